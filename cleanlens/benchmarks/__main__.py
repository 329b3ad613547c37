"""The same work in cleanlens and other libraries, in turn, in one run: what counts are the ratios.

    python -m cleanlens.benchmarks
    python -m cleanlens.benchmarks --transformer-lens ~/other-env/bin/python
    python -m cleanlens.benchmarks --bridge ~/env-4/bin/python --nnsight ~/env-5/bin/python

One model has GPT-2 small's sizes, one SmolLM2 135M's, and both random weights, so nothing is fetched. With a CUDA device
there is a second table, of the same work on it. Each library works in a process of its own; the work goes round from one to
the next, so that a slow moment of the machine hits all alike. The table shows medians, and for each ratio the median over
rounds of the ratio within a round.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cleanlens.loading.names import MODELS

Results = dict[tuple[str, str], list[dict[str, Any]]]  # (work, library) -> one answer a round
WORKER = Path(__file__).with_name("worker.py")
IMPORTS = {
    "cleanlens": "from cleanlens import HookedTransformer",
    "hugging_face": "from transformers import GPT2LMHeadModel",
    "transformer_lens": "import transformer_lens",
    "bridge": "from transformer_lens.model_bridge import TransformerBridge",
    "bridge_compatible": "from transformer_lens.model_bridge import TransformerBridge",
    "nnsight": "from nnsight import LanguageModel",
}


@dataclass(frozen=True)
class Work:
    """A piece of work and how it should compare.

    Attributes:
        goal: the largest ratio of cleanlens to `against` that we are content with.
        memory_goal: likewise for the peak of memory; or in megabytes, when above 10.
        than: the work of `against` that it is compared with, if it is another.
    """

    name: str
    title: str
    against: str
    goal: float
    memory_goal: float | None = None
    than: str | None = None

    @property
    def other(self) -> str:
        """What it is compared with, in words."""
        [than] = [work.title for work in WORK if work.name == self.than] or [""]
        return f"{TITLES[self.against]} {than}".strip()


TITLES = {
    "cleanlens": "our own",
    "hugging_face": "Hugging Face",
    "transformer_lens": "TransformerLens",
    "bridge": "TransformerBridge",
    "bridge_compatible": "the same, compatible",
    "nnsight": "nnsight",
}

WORK = [
    Work("import", "import", "transformer_lens", 0.4),
    Work("load", "load from a local directory", "transformer_lens", 0.6, 0.4),
    Work("forward_1x32", "forward 1×32", "hugging_face", 1.15),
    Work("forward_8x128", "forward 8×128", "hugging_face", 1.15),
    Work("forward_1x512", "forward 1×512", "hugging_face", 1.15),
    Work("forward_8x15", "forward 8×15", "hugging_face", 1.15),
    Work("cache_8x128", "run_with_cache 8×128, everything", "cleanlens", 1.08, None, "forward_8x128"),
    Work("one_pattern", "one layer-0 pattern, no logits", "transformer_lens", 0.1),
    Work("patch_resid", "residual patching sweep, 12 × 15", "transformer_lens", 0.06),
    Work("patch_heads", "head-output patching sweep, 12 × 12", "transformer_lens", 0.08),
    Work("patch_resid_everywhere", "residual sweep, all logits", "cleanlens", 1.19, None, "forward_8x128"),
    Work("patch_heads_everywhere", "head sweep, all logits", "cleanlens", 1.66, None, "forward_8x128"),
    Work("path_patch", "path patching, all heads to logits", "transformer_lens", 0.05),
    Work("edges", "EAP, 8 prompts", "cleanlens", 4, None, "forward_8x15"),
    Work("edges_5_steps", "EAP-IG, 8 prompts, 5 steps", "cleanlens", 20, None, "forward_8x15"),
    Work("k_composition", "all K-composition scores", "transformer_lens", 0.1),
    Work("eigenvalues", "eigenvalues of W_E @ OV @ W_U, all heads", "transformer_lens", 0.15, 1000),
    Work("generate_50", "greedy generation, 50 tokens", "hugging_face", 1.15),
    Work("llama_load", "Llama-shaped: load", "cleanlens", 1.5, None, "load"),
    Work("llama_forward_8x128", "Llama-shaped: forward 8×128", "hugging_face", 1.15),
    Work(
        "llama_cache_8x128", "Llama-shaped: everything cached", "cleanlens", 1.08, None, "llama_forward_8x128"
    ),
    Work("llama_generate_50", "Llama-shaped: greedy, 50 tokens", "hugging_face", 1.15),
]


class Worker:
    """A library's process."""

    def __init__(self, library: str, python: str, folder: Path, device: str):
        self.library, self.python = library, python
        self.process = subprocess.Popen(
            [python, str(WORKER), library, str(folder), device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def do(self, name: str) -> dict[str, Any]:
        """Seconds and megabytes of one piece of work, or what went wrong."""
        if name == "import":
            start = time.perf_counter()
            subprocess.run([self.python, "-W", "ignore", "-c", IMPORTS[self.library]], check=True)
            return {"seconds": time.perf_counter() - start, "megabytes": 0.0}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(name, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else {"error": "its process has ended"}


def make_models(folder: Path) -> None:
    """GPT-2 small's sizes and SmolLM2 135M's, random weights, in the Hugging Face layout: `gpt2/` and `llama/`."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    gpt2, llama = folder / "gpt2", folder / "llama"
    GPT2LMHeadModel(GPT2Config()).save_pretrained(gpt2)
    config = json.loads((gpt2 / "config.json").read_text())
    config["n_ctx"] = config["n_positions"]  # its older name, which TransformerLens still reads
    (gpt2 / "config.json").write_text(json.dumps(config))
    sizes = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(sizes).save_pretrained(llama)
    for name in ("tokenizer.json", "tokenizer_config.json"):  # some library insists on one
        for model in (gpt2, llama):
            (model / name).write_bytes((MODELS / "gpt2-demo" / name).read_bytes())


def table(results: Results, works: list[Work], libraries: list[str], title: str) -> Table:
    """Medians, ratios and goals."""
    names = ("cleanlens", *(TITLES[library] for library in libraries if library != "cleanlens"))
    shown = Table("work", *names, "ratio", "goal", title=title, title_justify="left")
    for work in works:
        cells = []
        for library in libraries:
            answers = results.get((work.name, library), [])
            good = [answer for answer in answers if "seconds" in answer]
            if not good:
                cells.append(answers[0]["error"] if answers else "")
                continue
            cell = f"{statistics.median(a['seconds'] for a in good):.3g} s"
            if work.memory_goal:
                cell += f", {max(a['megabytes'] for a in good):.0f} MB"
            cells.append(cell)
        shown.add_row(work.title, *cells, *ratios(work, results))
    return shown


def ratios(work: Work, results: Results) -> tuple[str, str]:
    """The ratio within rounds, and the goal; coloured and marked."""
    ours = results.get((work.name, "cleanlens"), [])
    theirs = results.get((work.than or work.name, work.against), [])
    pairs = [(a, b) for a, b in zip(ours, theirs) if "seconds" in a and "seconds" in b]
    if not pairs:
        return "", f"≤ {work.goal} × {work.other}"
    ratio = statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)
    text, goal, holds = (
        f"{ratio:.2f}",
        f"≤ {work.goal} × {work.other}",
        ratio <= work.goal,
    )
    if work.memory_goal is not None:
        # The most of all rounds: a later round may find memory that an earlier one has not given back.
        used, used_by_them = (max(answer["megabytes"] for answer in side) for side in zip(*pairs))
        in_megabytes = work.memory_goal > 10
        ratio = used if in_megabytes else used / max(used_by_them, 1)
        text += f", {ratio:.0f} MB" if in_megabytes else f", {ratio:.2f}"
        goal += f", ≤ {work.memory_goal:g} {'MB' if in_megabytes else '× memory'}"
        holds = holds and ratio <= work.memory_goal
    return (f"[green]✓ {text}[/]" if holds else f"[red]✗ {text}[/]"), goal


def main(
    transformer_lens: Annotated[
        str | None, typer.Option(help="Python of an environment that has transformer_lens<4.")
    ] = None,
    bridge: Annotated[
        str | None, typer.Option(help="Python of an environment that has transformer-lens>=4.3.")
    ] = None,
    nnsight: Annotated[str | None, typer.Option(help="Python of an environment that has nnsight.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is done.")] = 5,
    only: Annotated[str | None, typer.Option(help="Only work whose name contains this.")] = None,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="Write every measurement to this file.")
    ] = None,
) -> None:
    """Time the same work in cleanlens, Hugging Face and, where their Pythons are given, the other libraries."""
    pythons = {"cleanlens": sys.executable, "hugging_face": sys.executable}
    given = {
        "transformer_lens": transformer_lens,
        "bridge": bridge,
        "bridge_compatible": bridge,
        "nnsight": nnsight,
    }
    pythons |= {library: python for library, python in given.items() if python is not None}
    console = Console(width=None if sys.stdout.isatty() else 90 + 15 * len(pythons))
    chosen = [work for work in WORK if only is None or only in work.name]
    chosen += [work for work in WORK if work not in chosen and work.name in {other.than for other in chosen}]
    if not chosen:
        raise typer.BadParameter(f"no work named like {only!r}; there are {[work.name for work in WORK]}")
    import torch

    measurements: dict[str, Results] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder)
        for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
            title = (
                torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
            )
            results = measurements[device] = measure(folder, device, pythons, chosen, rounds, console)
            console.print(table(results, chosen, list(pythons), f"{title}, medians of {rounds} rounds"))
    if json_out is not None:
        rows = [[device, *key, answers] for device, of in measurements.items() for key, answers in of.items()]
        json_out.write_text(json.dumps(rows, indent=1))


def measure(
    folder: Path, device: str, pythons: dict[str, str], works: list[Work], rounds: int, console: Console
) -> Results:
    """All works, round by round, the libraries in turn."""
    results: Results = {}
    workers = {library: Worker(library, python, folder, device) for library, python in pythons.items()}
    with Progress(console=console) as progress:
        task = progress.add_task("", total=rounds * len(works) * len(workers))
        for _ in range(rounds):
            for work in works:
                for library, worker in workers.items():
                    progress.update(task, description=f"{work.title}: {TITLES[library]}")
                    results.setdefault((work.name, library), []).append(worker.do(work.name))
                    progress.advance(task)
    for worker in workers.values():
        worker.process.kill()
    return results


if __name__ == "__main__":
    typer.run(main)
