"""Every kind of figure on one page, with the call that draws it, from made-up numbers; it needs no network.

    python -m cleanlens.plots.gallery [FILE]       writes FILE (default: gallery.html)

To look at figures after a change: in a light and a dark browser, on a wide and a narrow window.
"""

import html
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cleanlens import plots

from .diagrams import DIAGRAMS, IOI_GPT2_SMALL

WORDS = [
    "<bos>",
    "When",
    "Mary",
    "and",
    "John",
    "went",
    "to",
    "the",
    "park",
    ",",
    "John",
    "gave",
    "a",
    "ball",
    "to",
]
TOKENS = [WORDS[0], WORDS[1], *(f" {word}" for word in WORDS[2:])]


def figures() -> Iterator[tuple[str, Any]]:
    """Each figure and the call that draws it."""
    rng = np.random.default_rng(0)
    n = len(TOKENS)
    heads = rng.normal(size=(4, 4)).round(2)
    scores = rng.beta(0.3, 1.5, size=(3, 4, 4))
    patterns = _patterns(rng, 8)
    recovered = np.clip(rng.normal(0.02, 0.05, (8, n)), -0.1, 1)
    recovered[:5, 10] = recovered[5:, -1] = 0.93
    steps = np.unique(np.logspace(0, 3.2, 30).astype(int))
    rise = 1 / (1 + np.exp(-(np.log(steps) - 4.5) * 3))
    layers = ["embed", *(f"after {i}" for i in range(6))]

    yield "head_map(effects)", plots.head_map(heads, "What each head adds", color_label="logit difference")
    yield (
        "head_map(scores, zero_centred=False)",
        plots.head_map(scores[0], "Induction score", zero_centred=False),
    )
    yield (
        "head_map(gpt2_small)",
        plots.head_map(rng.normal(size=(12, 12)) ** 3, "Twelve layers of twelve heads"),
    )
    yield (
        "head_maps({name: scores, ...})",
        plots.head_maps(
            dict(zip(("previous token", "duplicate token", "induction"), scores)),
            "Three scores of every head",
            zero_centred=False,
        ),
    )
    yield (
        "heatmap(pattern, tokens, tokens, zero_centred=False)",
        plots.heatmap(
            patterns[2], plots.numbered(TOKENS), plots.numbered(TOKENS), "A pattern", "key", "query", False
        ),
    )
    yield (
        "heatmaps({name: pattern, ...}, zero_centred=False)",
        plots.heatmaps(
            {
                "uniform": patterns[0],
                "the same": patterns[1],
                "the one before": patterns[2],
                "BOS": patterns[3],
            },
            title="Four patterns",
            x_label="key",
            y_label="query",
            zero_centred=False,
            columns=2,
        ),
    )
    yield (
        "heatmap(large)",
        plots.heatmap(rng.normal(size=(60, 60)), title="Sixty by sixty", color_label="logits"),
    )
    yield "heatmap(wide)", plots.heatmap(rng.random((3, 90)), title="A long text", x_label="position")
    yield (
        "patching_map(recovered, tokens)",
        plots.patching_map(recovered, TOKENS, "Denoising the residual stream"),
    )
    yield (
        "patching_map(..., significant=...)",
        plots.patching_map(
            recovered, TOKENS, "Cells that may be chance", significant=np.abs(recovered) > 0.08
        ),
    )
    yield (
        "line({name: curve, ...}, steps, log_x=True)",
        plots.line(
            {
                "first repeat": 7 - rise,
                "second repeat": 7 - 6.6 * rise,
                "a guess, log(d_vocab)": 6.9 + 0 * rise,
            },
            steps.tolist(),
            "Loss on repeated random tokens",
            "step",
            "nats",
            log_x=True,
        ),
    )
    yield (
        "line(curve, words)",
        plots.line(rng.normal(size=n), TOKENS, "Text has nothing between its tokens", "token", "nats"),
    )
    yield (
        "line(curves, layers, connect=True)",
        plots.line(
            {"Mary": np.arange(7) ** 1.5, "John": np.arange(7) ** 1.3},
            layers,
            "Layers have an order",
            connect=True,
        ),
    )
    yield (
        "line_panels({unit: curves, ...})",
        plots.line_panels(
            {
                "loss (nats)": {"first repeat": 7 - rise, "second repeat": 7 - 6.6 * rise},
                "score": {"previous token": rise**0.6, "induction": rise},
            },
            steps.tolist(),
            "One unit per axis",
            "step",
            log_x=True,
        ),
    )
    size = np.array([1, 3, 10, 30, 100])
    mean = 1 - np.exp(-size / 20)
    yield (
        "intervals(curves, target=1)",
        plots.intervals(
            {
                "EAP": (size, mean, mean - 0.1, mean + 0.08),
                "EAP-IG": (size, mean**0.7, mean**0.7 - 0.05, mean**0.7 + 0.05),
            },
            "How much of the behaviour a circuit shows",
            "edges in the circuit",
            "faithfulness",
            log_x=True,
            target=1,
        ),
    )
    names = [f"L{layer}H{head}" for layer in range(12) for head in range(12)]
    direct = rng.normal(size=144) ** 3
    yield (
        "scatter(direct, total, head_labels)",
        plots.scatter(
            direct, direct + rng.normal(size=144), names, "Labels where there is room", "direct", "total"
        ),
    )
    yield (
        "scatter(..., color=layer)",
        plots.scatter(rng.random(16), rng.random(16), names[:16], "Sixteen heads", color=np.arange(16) // 4),
    )
    yield "bar(values, labels)", plots.bar(heads[0], names[:4], "What four heads add", "logits")
    yield "bar(many)", plots.bar(rng.normal(size=n), plots.numbered(TOKENS), "One bar per token", "nats")
    yield (
        "attention(tokens, patterns, names)",
        plots.attention(TOKENS, patterns, [f"L{1 + i // 4}H{i % 4}" for i in range(8)]),
    )
    yield (
        "attention(tokens, patterns, long_names)",
        plots.attention(TOKENS, patterns[1:3], ["L1H2, whole model", "L1H2, without L0H3"]),
    )
    yield "tokens(tokens, values)", plots.tokens(TOKENS, rng.normal(size=n), "Loss per token")
    for name in DIAGRAMS:
        yield f'diagram("{name}")', plots.diagram(name)
    yield "ioi(heads_by_role)", plots.ioi(IOI_GPT2_SMALL)
    found = {"duplicate token": ["L0H1"], "S-inhibition": [], "name mover": ["L2H2", "L3H0"]}
    yield "ioi(another_model)", plots.ioi(found)


def _patterns(rng: np.random.Generator, n_heads: int) -> np.ndarray:
    """Attention patterns `[head query key]`: uniform, to itself, to the token before, to BOS, and some of chance."""
    n = len(TOKENS)
    scores = rng.normal(0, 1.5, (n_heads, n, n))
    scores[0], scores[3] = 0, scores[3] + 4 * (np.arange(n) == 0)
    scores[1] += 6 * np.eye(n)
    scores[2] += 6 * np.eye(n, k=-1)
    scores[:, np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]] = -np.inf
    weights = np.exp(scores)
    return weights / weights.sum(-1, keepdims=True)


def page() -> str:
    """The gallery as one HTML page, dark where the reader's system is."""
    blocks = "\n".join(
        f"<section><code>plots.{html.escape(call)}</code>{plots.to_html(figure)}</section>"
        for call, figure in figures()
    )
    return PAGE.format(scripts=plots.page_scripts(), blocks=blocks)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cleanlens: the figures</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; --ink: #1c2330; --ground: #fff; --rule: #d8dde6; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #dfe4ec; --ground: #14181f; --rule: #384252; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0; }}
main {{ max-width: 52rem; margin: 0 auto; padding: 1rem; }}
section {{ border-top: 1px solid var(--rule); padding: 1rem 0; }}
</style>
{scripts}
</head><body><main>
<h1>The figures</h1>
<p>Every kind of figure that <code>cleanlens.plots</code> draws, from made-up numbers.</p>
{blocks}
</main></body></html>
"""


def main(path: Path) -> None:
    path.write_text(page(), encoding="utf-8")
    print(f"{path} ({path.stat().st_size / 1e6:.0f} MB; it needs no network)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "gallery.html"))
