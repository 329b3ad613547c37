"""Circuits: which edges to keep, a run of the model with nothing else, and how much of the behaviour that is.

Faithfulness says how much of a behaviour a circuit shows alone, completeness how little is left without it (Wang et
al. 2022, section 4). Drawn over the circuit's size they compare ways of finding circuits; the areas under and beside
the curve are those of MIB (Mueller et al. 2025, "MIB: A Mechanistic Interpretability Benchmark", section 3): CPR, the
larger the better, and CMD, the smaller the better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.analysis.edges import EdgeScores, Graph, Metric, measured, run_circuits, sender_outputs
from cleanlens.analysis.uncertainty import Estimate, estimate

if TYPE_CHECKING:
    import pandas

    from cleanlens.hooked_transformer import HookedTransformer

Ablation = Literal["resample", "mean", "zero"]
FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of all edges, as in MIB


def ablation_values(
    model: "HookedTransformer", kind: Ablation, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "sender _batch pos d_model"]:
    """What an edge carries that is not in the circuit.

    Args:
        kind: "resample": what its sender writes on `tokens`, prompt by prompt (corrupted prompts); "mean": the mean
            of that over the prompts, at each position; "zero": nothing. Biases (b_O, b_out is part of the MLP) are
            no sender's and always stay.

    Raises:
        ValueError: another kind, or no prompts to take the mean of.
    """
    if kind not in ("resample", "mean", "zero"):
        raise ValueError(f'ablation_values: kind = {kind!r}; expected "resample", "mean" or "zero"')
    if tokens.ndim != 2 or tokens.numel() == 0:
        raise ValueError(
            f"ablation_values: tokens have the shape {list(tokens.shape)}; expected [batch pos] with at least one prompt"
        )
    with torch.no_grad():
        values = sender_outputs(model, Graph(model), tokens)
    if kind == "mean":
        return values.mean(dim=1, keepdim=True)
    return values if kind == "resample" else torch.zeros_like(values)


def run_circuit(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    ablated: Float[Tensor, "sender #batch pos d_model"],
    circuit: Bool[Tensor, "sender receiver"] | Sequence[str],
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits when only the circuit's edges carry what their senders write; the others carry `ablated`.

    Args:
        circuit: as a tensor or as names, `"L0H1 -> L1H2 k"`.
    """
    graph = Graph(model)
    keep = circuit if isinstance(circuit, Tensor) else graph.edges(circuit)
    return next(run_circuits(model, tokens, ablated, keep[None], graph))


# ---------------------------------------------------------------- from scores to circuits


def best_edges(scores: EdgeScores, n: int, by_size: bool = True) -> Bool[Tensor, "sender receiver"]:
    """The n edges with the best scores: by size, or, with `by_size=False`, the most helpful ones."""
    _check_size(scores, n)
    values = scores.scores.abs() if by_size else scores.scores
    flat = values.masked_fill(~scores.graph.exists, -torch.inf).flatten()
    keep = torch.zeros(len(flat), dtype=torch.bool)
    keep[flat.argsort(descending=True, stable=True)[:n]] = True
    return keep.reshape(values.shape)


def connected_edges(scores: EdgeScores, n: int, by_size: bool = True) -> Bool[Tensor, "sender receiver"]:
    """n edges, greedily: again and again the best one of those that lead to the circuit so far, from the logits on.

    Unlike `best_edges`, no edge is kept whose receiver nobody listens to (Hanna et al. 2024, section 4). Fewer than
    n when nothing more leads there.
    """
    _check_size(scores, n)
    graph = scores.graph
    values = scores.scores.abs() if by_size else scores.scores
    # What a sender sends depends on these receivers: a head on its own q, k and v, an MLP on its input.
    feeds = {label: _inputs_of(label, graph) for label in graph.sender_labels}
    open_ = torch.zeros_like(graph.exists)
    open_[:, graph.receiver_labels.index("logits")] = True
    keep = torch.zeros_like(graph.exists)
    for _ in range(n):
        candidates = values.masked_fill(~(open_ & graph.exists & ~keep), -torch.inf)
        best = int(candidates.argmax())
        sender, receiver = divmod(best, values.shape[1])
        if candidates[sender, receiver] == -torch.inf:
            break
        keep[sender, receiver] = True
        open_[:, feeds[graph.sender_labels[sender]]] = True
    return keep


def _inputs_of(sender: str, graph: Graph) -> list[int]:
    if sender == "embed":
        return []
    found = [i for i, label in enumerate(graph.receiver_labels) if label == sender or label[:-2] == sender]
    if len(found) in (1, 3):
        return found
    # Heads in groups: the keys and values that a head shares are labelled by their group.
    layer, head = sender[1:].split("H")
    groups = sorted({r[:-2] for r in graph.receiver_labels if r.startswith(f"L{layer}G")}, key=len)
    heads = sum(label.startswith(f"L{layer}H") for label in graph.sender_labels)
    group = f"L{layer}G{int(head) * len(groups) // heads}"
    return found + [i for i, label in enumerate(graph.receiver_labels) if label[:-2] == group]


def _check_size(scores: EdgeScores, n: int) -> None:
    if not 0 <= n <= scores.graph.n_edges:
        raise ValueError(f"a circuit of {n} edges; this model has {scores.graph.n_edges}")


# ---------------------------------------------------------------- how good a circuit is


@dataclass
class FaithfulnessCurve:
    """How much of a behaviour circuits of growing size show.

    `faithfulness` of a circuit C is (m(C) - m(nothing)) / (m(model) - m(nothing)): 1 when it does all the model does, 0
    when no more than with every edge cut; above 1 when the model holds itself back. `completeness` is the
    faithfulness of all that is not in C: 0 when nothing was forgotten.
    """

    label: str
    sizes: list[int]
    n_edges: int
    faithfulness: list[Estimate]
    completeness: list[Estimate]

    @property
    def fractions(self) -> list[float]:
        return [size / self.n_edges for size in self.sizes]

    @property
    def cpr(self) -> float:
        """Area under the curve over the fraction of edges: the integrated circuit performance ratio of MIB."""
        return _area(self.fractions, [e.mean for e in self.faithfulness])

    @property
    def cmd(self) -> float:
        """Area between the curve and 1: the integrated circuit-model distance of MIB."""
        return _area(self.fractions, [abs(1 - e.mean) for e in self.faithfulness])

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per size."""
        import pandas

        return pandas.DataFrame(
            {
                "circuit": self.label,
                "edges": self.sizes,
                "fraction": self.fractions,
                "faithfulness": [e.mean for e in self.faithfulness],
                "low": [e.low for e in self.faithfulness],
                "high": [e.high for e in self.faithfulness],
                "completeness": [e.mean for e in self.completeness],
            }
        )

    def plot(
        self, *others: "FaithfulnessCurve", title: str = "How much of the behaviour a circuit shows"
    ) -> Any:
        """This curve, and others beside it, with their intervals."""
        from cleanlens import plots

        curves = {
            curve.label: (
                curve.sizes,
                [e.mean for e in curve.faithfulness],
                [e.low for e in curve.faithfulness],
                [e.high for e in curve.faithfulness],
            )
            for curve in (self, *others)
        }
        return plots.intervals(curves, title, "edges in the circuit", "faithfulness", log_x=True, target=1)


def faithfulness_curve(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    ablated: Float[Tensor, "sender #batch pos d_model"],
    metric: Metric,
    scores: EdgeScores,
    label: str = "",
    fractions: Sequence[float] = FRACTIONS,
    connected: bool = False,
    by_size: bool = True,
) -> FaithfulnessCurve:
    """Faithfulness and completeness of the circuits that the scores give, at each of these sizes.

    Args:
        ablated: what the other edges carry; see `ablation_values`.
        metric: one number per prompt `[batch]`, for the intervals.
        fractions: sizes, as parts of all edges; each circuit has at least one edge.
        connected: `connected_edges` instead of `best_edges`.
        by_size: whether harmful edges count as much as helpful ones.

    Raises:
        ValueError: the metric gives no number per prompt; model and empty circuit do not differ in it.
    """
    graph = scores.graph
    sizes = sorted({max(1, round(fraction * graph.n_edges)) for fraction in fractions})
    choose = connected_edges if connected else best_edges
    circuits = torch.stack([choose(scores, n, by_size) for n in sizes])
    wanted = torch.cat(
        [graph.exists[None], torch.zeros_like(graph.exists)[None], circuits, graph.exists & ~circuits]
    )
    runs = run_circuits(model, tokens, ablated, wanted, graph)
    values = [
        measured(metric, logits)
        for logits in tqdm(runs, total=len(wanted), desc="running circuits", delay=2, leave=False)
    ]
    if values[0].ndim != 1:
        raise ValueError(
            "faithfulness_curve: the metric must give one number per prompt [batch], for the intervals"
        )
    whole, nothing, *rest = values
    span = (whole - nothing).mean()
    if span.abs() < 1e-6 * max(1.0, whole.abs().max().item()):
        raise ValueError(
            f"faithfulness_curve: the metric is {whole.mean():.4g} with all edges and {nothing.mean():.4g} with none; "
            "there is nothing to explain. Do the prompts and the ablation differ?"
        )
    parts = [estimate((value - nothing) / span) for value in rest]
    return FaithfulnessCurve(label, sizes, graph.n_edges, parts[: len(sizes)], parts[len(sizes) :])


def random_scores(graph: Graph, seed: int = 0) -> EdgeScores:
    """Scores that know nothing: what circuits of the same size chosen by chance are made from."""
    generator = torch.Generator().manual_seed(seed)
    return EdgeScores(graph, torch.rand(graph.exists.shape, generator=generator) * graph.exists)


def _area(x: Sequence[float], y: Sequence[float]) -> float:
    """By trapezia, from 0 on with the first value, divided by the range."""
    xs, ys = [0.0, *x], [y[0], *y]
    return sum((b - a) * (p + q) / 2 for a, b, p, q in zip(xs, xs[1:], ys, ys[1:])) / xs[-1]
