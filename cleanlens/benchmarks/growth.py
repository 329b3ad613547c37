"""How cost grows, and where memory ends: `python -m cleanlens.benchmarks.growth`.

GPT-2 small's sizes with random weights, and one size at a time doubled until the work no longer fits into the
memory it is given (8 GB unless told, a workshop laptop); then the edge is looked for between the last two.
Every point is measured in a process of its own, so that nothing is left of the one before.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

GPT2_SMALL = dict(
    n_layers=12, d_model=768, n_ctx=1024, d_head=64, n_heads=12, d_mlp=3072, d_vocab=50257, act_fn="gelu_new"
)
PROMPT = 8  # tokens, where patch sites are counted: 8 * 8 * 12 * 12 pairs of positions are the most of them


@dataclass(frozen=True)
class Axis:
    """Something that grows.

    Attributes:
        name: what grows; the figure's title.
        work: what is done.
        sizes: how many of `unit`, tried in this order until memory or patience ends.
    """

    name: str
    work: str
    unit: str
    sizes: tuple[int, ...]


AXES = {
    "context": Axis(
        "context length",
        "run_with_cache of 1 × n tokens, everything",
        "tokens",
        tuple(2**i for i in range(6, 16)),
    ),
    "layers": Axis(
        "layers", "run_with_cache of 1 × 128 tokens, everything", "layers", tuple(2**i for i in range(11))
    ),
    "batch": Axis(
        "batch", "run_with_cache of n × 128 tokens, everything", "prompts", tuple(2**i for i in range(12))
    ),
    "sites": Axis(
        "patch sites",
        f"four patching sweeps of {PROMPT} tokens, from residuals to single pattern entries",
        "sites",
        (12 * PROMPT, 12 * 12, 12 * 12 * PROMPT, 12 * 12 * PROMPT * PROMPT),
    ),
}


def work(axis: str, size: int) -> Any:
    """The work of one point, as a function still to be called; everything that it needs exists already."""
    import torch

    from cleanlens import HookedTransformer, patching

    sizes = dict(GPT2_SMALL)
    if axis == "layers":
        sizes["n_layers"] = size
    if axis == "context":
        sizes["n_ctx"] = size
    model = HookedTransformer(sizes)
    shape = {"context": (1, size), "batch": (size, 128), "layers": (1, 128), "sites": (1, PROMPT)}[axis]
    tokens = torch.randint(0, 50257, shape, device=model.cfg.device)
    if axis != "sites":
        return lambda: model.run_with_cache(tokens)
    sweeps = [
        patching.get_act_patch_resid_pre,
        patching.get_act_patch_attn_head_out_all_pos,
        patching.get_act_patch_attn_head_out_by_pos,
        patching.get_act_patch_attn_head_pattern_dest_src_pos,
    ]
    sweep = sweeps[AXES["sites"].sizes.index(size)]
    _, clean = model.run_with_cache(tokens.flip(1))
    return lambda: sweep(model, tokens, clean, lambda logits: logits[0, -1, 11], metric_pos=-1)


def measure_here(axis: str, size: int, gigabytes: float) -> dict[str, Any]:
    """Seconds and the peak of megabytes (weights included) in this process, or the error."""
    import torch

    from cleanlens.benchmarks.worker import CLOCKS, peak_memory

    device = "cuda" if torch.cuda.is_available() else "cpu"
    limit_memory(gigabytes)
    try:
        with peak_memory(device) as peak, torch.no_grad():
            seconds = CLOCKS[device](work(axis, size))
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        return {"size": size, "error": "out of memory"}
    return {"size": size, "seconds": seconds, "megabytes": peak["megabytes"]}


def limit_memory(gigabytes: float) -> None:
    """Let an allocation beyond this fail, instead of the whole machine. (Linux; elsewhere nothing happens.)"""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9), resource.RLIM_INFINITY))


def measure(axis: str, size: int, gigabytes: float, patience: float) -> dict[str, Any]:
    """The same in a fresh process."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--point", axis, str(size), str(gigabytes)],
            capture_output=True,
            text=True,
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        return {"size": size, "error": f"longer than {patience:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        killed = "out of memory" if done.returncode < 0 else last
        return {"size": size, "error": killed}
    return json.loads(done.stdout.splitlines()[-1])


def series(axis: Axis, key: str, gigabytes: float, patience: float, progress: Progress) -> list[dict]:
    """All points of one axis, sorted, and some more where memory ends."""
    task = progress.add_task(axis.name, total=len(axis.sizes))
    points: list[dict] = []
    for size in axis.sizes:
        progress.update(task, description=f"{axis.name}: {size}")
        points.append(measure(key, size, gigabytes, patience))
        progress.advance(task)
        if "error" in points[-1]:
            break
    if points[-1].get("error") == "out of memory" and len(points) > 1:
        fits, too_much = points[-2]["size"], points[-1]["size"]
        for _ in range(3):
            middle = (fits + too_much) // 2
            progress.update(task, description=f"{axis.name}: {middle}")
            points.append(measure(key, middle, gigabytes, patience))
            fits, too_much = (fits, middle) if "error" in points[-1] else (middle, too_much)
    progress.update(task, description=axis.name, completed=len(axis.sizes))
    return sorted(points, key=lambda point: point["size"])


def edge(points: list[dict], unit: str, gigabytes: float) -> str:
    """Where memory ends, in words."""
    good = [point["size"] for point in points if "seconds" in point]
    over = [point["size"] for point in points if point.get("error") == "out of memory"]
    if over:
        return f"{gigabytes:g} GB end between {max(good, default=0)} and {min(over)} {unit}"
    if any("error" in point for point in points):
        return f"{points[-1]['error']} at {points[-1]['size']} {unit}"
    return f"{max(good)} {unit} use {max(p['megabytes'] for p in points):.0f} MB"


def figure(axis: Axis, points: list[dict], gigabytes: float) -> Any:
    """Time and memory over size, all logarithmic: a line as steep as the diagonal is linear growth."""
    from cleanlens import plots

    good = [point for point in points if "seconds" in point]
    curves = {
        "seconds": [point["seconds"] for point in good],
        "peak memory, GB": [point["megabytes"] / 1000 for point in good],
    }
    title = f"{axis.name}: {axis.work}<br><sup>{edge(points, axis.unit, gigabytes)}</sup>"
    drawn = plots.line(curves, [point["size"] for point in good], title, axis.unit, log_x=True)
    return drawn.update_yaxes(type="log", dtick="D2").update_xaxes(dtick="D2")


def main(
    out: Annotated[Path, typer.Option(help="Where growth.json and the figures go.")] = Path("growth"),
    memory: Annotated[float, typer.Option(min=1, help="Gigabytes that the work may use.")] = 8,
    patience: Annotated[float, typer.Option(help="Seconds after which a point is given up.")] = 120,
    only: Annotated[str | None, typer.Option(help=f"One of {', '.join(AXES)}.")] = None,
    picture: Annotated[str, typer.Option(help="html; or svg or png, with kaleido.")] = "html",
) -> None:
    """Measure how time and memory grow with context length, layers, batch and patch sites; draw one figure each."""
    from cleanlens import plots

    console = Console()
    if only is not None and only not in AXES:
        raise typer.BadParameter(f"{only!r}; it must be one of {', '.join(AXES)}")
    chosen = {key: axis for key, axis in AXES.items() if only in (None, key)}
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    with Progress(console=console) as progress:
        for key, axis in chosen.items():
            results[key] = series(axis, key, memory, patience, progress)
            (out / "growth.json").write_text(json.dumps(results, indent=1) + "\n")
    for key, axis in chosen.items():
        plots.save(figure(axis, results[key], memory), out / f"{key}.{picture}")
        console.print(f"[bold]{axis.name}[/] ({axis.work}): {edge(results[key], axis.unit, memory)}")
    console.print(f"Figures are in {out}.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--point"]:
        print(json.dumps(measure_here(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
    else:
        typer.run(main)
