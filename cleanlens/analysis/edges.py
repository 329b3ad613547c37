"""A model as a graph: who writes into the residual stream, who reads it, and what each of these edges carries.

Senders are the embedding, every head and every MLP; receivers are every head's query, key and value input, every
MLP's input, and the logits. Whoever reads the residual stream at some point reads the sum of everything written
before, so there is an edge from each earlier sender (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits", "Transformers as residual networks"; Wang et al. 2022, section 3.1).

`edge_attribution` estimates what every edge carries in a few passes; `edge_patching` computes it, one run an edge.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.hook_points import HookPoint

if TYPE_CHECKING:
    import pandas

    from cleanlens.hooked_transformer import HookedTransformer

Metric = Callable[[Float[Tensor, "batch pos d_vocab"]], Tensor]
"""Logits to one number, or to one number per prompt `[batch]`."""

TOKENS_AT_ONCE = 2048  # positions of all runs that are computed together


@dataclass(frozen=True)
class Place:
    """One or more neighbouring nodes of the graph that share a hook point."""

    hook: str
    labels: list[str]
    time: int  # attention of layer l is at 2l, its MLP at 2l + 1; an edge leads from before to after


class Graph:
    """The senders, the receivers, and which edges there are: `exists [sender receiver]`."""

    def __init__(self, model: "HookedTransformer"):
        cfg = model.cfg
        if not hasattr(model, "ln_final") or not hasattr(model, "blocks") or not hasattr(model, "unembed"):
            raise ValueError(
                f"Graph: {type(model).__name__} is no decoder whose blocks add to a residual stream"
            )
        self.senders = [Place("blocks.0.hook_resid_pre", ["embed"], -1)]
        self.receivers: list[Place] = []
        for layer, block in enumerate(model.blocks):
            heads = [f"L{layer}H{head}" for head in range(cfg.n_heads)]
            groups = [f"L{layer}H{head}" for head in range(block.attn.n_key_value_heads)]
            for letter, labels in (("q", heads), ("k", groups), ("v", groups)):
                if len(labels) != len(heads):  # a key and value for several heads
                    labels = [label.replace("H", "G") for label in labels]
                name = f"blocks.{layer}.hook_{letter}_input"
                self.receivers.append(Place(name, [f"{label} {letter}" for label in labels], 2 * layer))
            self.senders.append(Place(f"blocks.{layer}.attn.hook_result", heads, 2 * layer))
            if hasattr(block, "mlp"):
                reads = 2 * layer + hasattr(
                    block, "hook_resid_mid"
                )  # a parallel block's MLP reads what attention reads
                self.receivers.append(Place(f"blocks.{layer}.hook_mlp_in", [f"L{layer} mlp"], reads))
                self.senders.append(Place(f"blocks.{layer}.hook_mlp_out", [f"L{layer} mlp"], 2 * layer + 1))
        last = cfg.n_layers - 1
        self.receivers.append(Place(f"blocks.{last}.hook_resid_post", ["logits"], 2 * cfg.n_layers))

    @cached_property
    def sender_labels(self) -> list[str]:
        return [label for place in self.senders for label in place.labels]

    @cached_property
    def receiver_labels(self) -> list[str]:
        return [label for place in self.receivers for label in place.labels]

    @cached_property
    def exists(self) -> Bool[Tensor, "sender receiver"]:
        sent = torch.tensor([place.time for place in self.senders for _ in place.labels])
        read = torch.tensor([place.time for place in self.receivers for _ in place.labels])
        return sent[:, None] < read[None, :]

    @property
    def n_edges(self) -> int:
        return int(self.exists.sum())

    def edge(self, name: str) -> tuple[int, int]:
        """Where `"L0H1 -> L1H2 k"` stands in a `[sender receiver]` tensor.

        Raises:
            KeyError: there is no such edge.
        """
        sender, _, receiver = (part.strip() for part in name.partition("->"))
        for label, known, what in (
            (sender, self.sender_labels, "sender"),
            (receiver, self.receiver_labels, "receiver"),
        ):
            if label not in known:
                raise KeyError(
                    f"{name!r}: no {what} {label!r}; there are {', '.join(known[:4])} … {known[-1]}"
                )
        index = self.sender_labels.index(sender), self.receiver_labels.index(receiver)
        if not self.exists[index]:
            raise KeyError(f"{name!r}: {receiver} reads the residual stream before {sender} writes to it")
        return index

    def edges(self, names: Sequence[str]) -> Bool[Tensor, "sender receiver"]:
        """A circuit from the names of its edges."""
        keep = torch.zeros_like(self.exists)
        for name in names:
            keep[self.edge(name)] = True
        return keep

    def names(self, keep: Bool[Tensor, "sender receiver"]) -> list[str]:
        """The names of a circuit's edges."""
        return [f"{self.sender_labels[s]} -> {self.receiver_labels[r]}" for s, r in keep.nonzero().tolist()]


@dataclass
class EdgeScores:
    """A score for every edge of a graph; where there is no edge it is 0."""

    graph: Graph
    scores: Float[Tensor, "sender receiver"]

    def __getitem__(self, name: str) -> float:
        return self.scores[self.graph.edge(name)].item()

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """The n edges with the largest scores by size, signs kept."""
        order = self.scores.abs().flatten().argsort(descending=True)
        width = self.scores.shape[1]
        best = [divmod(i, width) for i in order.tolist() if self.graph.exists.flatten()[i]][:n]
        senders, receivers = self.graph.sender_labels, self.graph.receiver_labels
        return [(f"{senders[s]} -> {receivers[r]}", self.scores[s, r].item()) for s, r in best]

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per edge: sender, receiver, score."""
        import pandas

        s, r = self.graph.exists.nonzero(as_tuple=True)
        senders, receivers = self.graph.sender_labels, self.graph.receiver_labels
        return pandas.DataFrame(
            {
                "sender": [senders[i] for i in s],
                "receiver": [receivers[i] for i in r],
                "score": self.scores[s, r].tolist(),
            }
        )

    def plot(self, title: str = "What each edge carries") -> Any:
        """A map of senders and receivers."""
        from cleanlens import plots

        return plots.heatmap(
            self.scores, self.graph.receiver_labels, self.graph.sender_labels, title, "receiver", "sender"
        )


# ---------------------------------------------------------------- estimates


def edge_attribution(
    model: "HookedTransformer",
    clean_tokens: Int[Tensor, "batch pos"],
    corrupted_tokens: Int[Tensor, "batch pos"],
    metric: Metric,
    steps: int = 1,
) -> EdgeScores:
    """About how much of the metric is lost when one edge carries what it carries on the corrupted tokens.

    For an edge from u to v, summed over positions and averaged over prompts, to first order:

        score(u, v) = (z_u(clean) - z_u(corrupted)) . d metric / d input of v

    With `steps = 1` the gradient is that of the clean run: edge attribution patching (EAP, Syed et al. 2023,
    "Attribution Patching Outperforms Automated Circuit Discovery", section 3). With more, it is the mean over
    `steps` points on the line from the corrupted to the clean embedding: EAP with integrated gradients (EAP-IG,
    Hanna et al. 2024, "Have Faith in Faithfulness", section 3), which does not vanish where the metric is flat at the
    clean run. The cost is one forward pass, and `steps` passes forward and back.

    Args:
        metric: of the logits; one number, or one per prompt.

    Raises:
        ValueError: the two sets of tokens differ in shape; the metric gives something else than numbers with a
            gradient; `steps` is below 1.
    """
    _same_shape(clean_tokens, corrupted_tokens)
    if steps < 1:
        raise ValueError(f"edge_attribution: steps = {steps}; it takes at least 1")
    graph = Graph(model)
    with torch.no_grad():
        corrupted = sender_outputs(model, graph, corrupted_tokens)
        embedding = model(clean_tokens, stop_at_layer=0)
    gradients: list[Tensor] = []
    for step in tqdm(range(1, steps + 1), desc="edge attribution", delay=2, leave=False):
        embedded = torch.lerp(corrupted[0], embedding, step / steps)
        outputs, found = _outputs_and_gradients(model, graph, clean_tokens, embedded, metric)
        gradients = [total + more for total, more in zip(gradients, found)] if gradients else found
    # The line ends at the clean run, so its last point also says what the senders write there.
    difference = torch.stack(outputs).sub_(corrupted).flatten(1)
    scores, column = difference.new_zeros(graph.exists.shape), 0
    for _, some in groupby(zip(graph.receivers, gradients), key=lambda pair: pair[0].time):
        gradient = torch.cat([gradient for _, gradient in some]).flatten(1)
        before = int(graph.exists[:, column].sum())  # the senders that these receivers hear come first
        columns = slice(column, column := column + len(gradient))
        scores[:before, columns] = difference[:before] @ gradient.T / steps
    return EdgeScores(graph, scores.cpu())


def sender_outputs(
    model: "HookedTransformer", graph: Graph, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "sender batch pos d_model"]:
    """What every sender writes."""
    outputs: list[Tensor] = []

    def keep(activation: Tensor, hook: HookPoint) -> None:
        outputs.extend(activation.unbind(2) if activation.ndim == 4 else [activation])

    model.run_with_hooks(tokens, return_type=None, fwd_hooks=[(place.hook, keep) for place in graph.senders])
    return torch.stack(outputs)


def _outputs_and_gradients(
    model: "HookedTransformer",
    graph: Graph,
    tokens: Int[Tensor, "batch pos"],
    embedded: Float[Tensor, "batch pos d_model"],
    metric: Metric,
) -> tuple[list[Float[Tensor, "batch pos d_model"]], list[Float[Tensor, "receiver batch pos d_model"]]]:
    """What every sender writes in a run that starts from `embedded`, and for each place of receivers the metric's
    gradient with respect to their inputs.
    """
    outputs: list[Tensor] = []
    kept: dict[str, Tensor] = {}

    def start(resid: Tensor, hook: HookPoint) -> Tensor:
        return embedded.clone().requires_grad_()

    def written(activation: Tensor, hook: HookPoint) -> None:
        outputs.extend(activation.detach().unbind(2) if activation.ndim == 4 else [activation.detach()])

    def keep(activation: Tensor, hook: HookPoint) -> None:
        kept[hook.name] = activation  # type: ignore[index]

    # A head's input is the stream that all heads of its layer read. Rather than give each a copy and a norm of its own,
    # the run keeps what the heads make of it, and the gradient is brought back from there.
    blocks = range(len(model.blocks))
    streams = [f"blocks.{layer}.hook_resid_pre" for layer in blocks]
    made = [f"blocks.{layer}.attn.hook_{part}" for layer in blocks for part in "qkv"]
    others = [place.hook for place in graph.receivers if not place.hook.endswith("_input")]
    hooks: list[Any] = [("blocks.0.hook_resid_pre", start)]
    hooks += [(place.hook, written) for place in graph.senders]
    hooks += [(name, keep) for name in dict.fromkeys([*streams, *made, *others])]
    with torch.enable_grad():
        value = measured(metric, model.run_with_hooks(tokens, fwd_hooks=hooks)).mean()
        if not value.requires_grad:
            raise ValueError(
                "edge_attribution: the metric's value has no gradient; it must be computed from the logits, "
                "without .item(), .detach() or argmax, and outside of torch.inference_mode"
            )
        found = torch.autograd.grad(value, [kept[name] for name in [*made, *others]])
    slopes = dict(zip([*made, *others], found))
    gradients = {name: slopes[name][None] for name in others}
    for layer, block in enumerate(model.blocks):
        makers = (block.attn.queries, block.attn.keys, block.attn.values)
        for part, make in zip("qkv", makers):
            slope = slopes[f"blocks.{layer}.attn.hook_{part}"]
            stream = kept[streams[layer]].detach()
            gradients[f"blocks.{layer}.hook_{part}_input"] = _at_the_stream(stream, block.ln1, make, slope)
    return outputs, [gradients[place.hook] for place in graph.receivers]


def _at_the_stream(
    stream: Float[Tensor, "batch pos d_model"],
    norm: Callable[[Tensor], Tensor],
    make: Callable[[Tensor], Tensor],
    slope: Float[Tensor, "batch pos head d_head"],
) -> Float[Tensor, "head batch pos d_model"]:
    """The gradient with respect to a stream of its own for each head, from that to what is made of it: make(norm(stream))."""
    normed, through_norm, *_ = torch.func.vjp(norm, stream)
    own = normed[:, :, None].expand(-1, -1, slope.shape[2], -1).detach().requires_grad_()
    with torch.enable_grad():
        [at_normed] = torch.autograd.grad(make(own), own, slope)
    [at_stream] = torch.func.vmap(through_norm)(at_normed.movedim(2, 0))
    return at_stream


# ---------------------------------------------------------------- runs in which only some edges are left


@torch.no_grad()
def run_circuits(
    model: "HookedTransformer",
    tokens: Int[Tensor, "batch pos"],
    ablated: Float[Tensor, "sender #batch pos d_model"],
    circuits: Bool[Tensor, "circuit sender receiver"],
    graph: Graph | None = None,
) -> Iterator[Float[Tensor, "batch pos d_vocab"]]:
    """The logits of each circuit: its edges carry what their senders write in that very run, all other edges carry
    `ablated`.

    A receiver reads the residual stream less what the cut edges should not have brought:
    x - sum over cut edges of (what the sender writes - what it writes when ablated).
    """
    graph = graph or Graph(model)
    shape = (len(graph.sender_labels), len(graph.receiver_labels))
    if circuits.ndim != 3 or circuits.shape[1:] != shape:
        raise ValueError(
            f"run_circuits: circuits have the shape {list(circuits.shape)}; expected [circuit, {shape[0]}, {shape[1]}]"
        )
    at_once = max(1, TOKENS_AT_ONCE // tokens.numel())
    for part in circuits.split(at_once):
        yield from _run_together(model, graph, tokens, ablated, ~part & graph.exists)


def _run_together(
    model: "HookedTransformer",
    graph: Graph,
    tokens: Int[Tensor, "batch pos"],
    ablated: Float[Tensor, "sender #batch pos d_model"],
    cut: Bool[Tensor, "circuit sender receiver"],
) -> tuple[Float[Tensor, "batch pos d_vocab"], ...]:
    n, batch = len(cut), len(tokens)
    cut = cut.to(ablated.device).to(ablated.dtype)
    excess: list[
        Tensor
    ] = []  # per sender so far: what it writes more than when ablated, [circuit batch pos d_model]

    def write(activation: Tensor, hook: HookPoint) -> None:
        runs = activation.unflatten(0, (n, batch))
        for output in runs.unbind(3) if runs.ndim == 5 else [runs]:
            excess.append(output - ablated[len(excess)])

    def read(activation: Tensor, hook: HookPoint) -> Tensor:
        first, last = columns[hook.name]  # type: ignore[index]
        weights = cut[:, : len(excess), first:last]
        unwanted = torch.einsum("scbpd,csr->cbprd", torch.stack(excess), weights).flatten(0, 1)
        return activation - (unwanted if activation.ndim == 4 else unwanted.squeeze(2))

    columns, first = {}, 0
    for place in graph.receivers:
        columns[place.hook] = first, first + len(place.labels)
        first += len(place.labels)
    # With one layer the logits' place is the block's own; its senders' hooks fire before it, as in the forward.
    hooks = [(place.hook, write) for place in graph.senders] + [
        (place.hook, read) for place in graph.receivers
    ]
    return model.run_with_hooks(tokens.repeat(n, 1), fwd_hooks=hooks).split(batch)


def edge_patching(
    model: "HookedTransformer",
    clean_tokens: Int[Tensor, "batch pos"],
    corrupted_tokens: Int[Tensor, "batch pos"],
    metric: Metric,
) -> EdgeScores:
    """How much of the metric is lost when one edge carries what it carries on the corrupted tokens: exact.

    One run for each edge; `edge_attribution` estimates the same in a few. For small models, and as an oracle.
    """
    _same_shape(clean_tokens, corrupted_tokens)
    graph = Graph(model)
    edges = graph.exists.nonzero().tolist()
    with torch.no_grad():
        ablated = sender_outputs(model, graph, corrupted_tokens)
        whole = measured(metric, model(clean_tokens)).mean()
    circuits = graph.exists.repeat(len(edges), 1, 1)
    for circuit, (sender, receiver) in zip(circuits, edges):
        circuit[sender, receiver] = False
    scores = whole.new_zeros(graph.exists.shape)
    runs = run_circuits(model, clean_tokens, ablated, circuits, graph)
    for (sender, receiver), logits in zip(
        edges, tqdm(runs, total=len(edges), desc="patching edges", delay=2, leave=False)
    ):
        scores[sender, receiver] = whole - measured(metric, logits).mean()
    return EdgeScores(graph, scores.cpu())


def measured(metric: Metric, logits: Float[Tensor, "batch pos d_vocab"]) -> Tensor:
    """The metric's value, one number or one per prompt.

    Raises:
        ValueError: it is something else.
    """
    value = metric(logits)
    if not isinstance(value, Tensor) or value.ndim > 1 or (value.ndim == 1 and len(value) != len(logits)):
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"the metric gave {shape}; expected a tensor with one number, or one per prompt [{len(logits)}]"
        )
    return value


def _same_shape(clean: Tensor, corrupted: Tensor) -> None:
    if clean.shape != corrupted.shape or clean.ndim != 2:
        raise ValueError(
            f"clean tokens have the shape {list(clean.shape)} and corrupted tokens {list(corrupted.shape)}; both must "
            "be [batch pos] and equal, prompt by prompt and position by position"
        )
