"""Edges and circuits, against plain loops, against a linear model where the estimate is exact, and on edges known by hand."""

from typing import Any

import pytest
import torch
from helpers import random_model, random_tokens
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.analysis import (
    EdgeScores,
    Graph,
    ablation_values,
    best_edges,
    connected_edges,
    edge_attribution,
    edge_patching,
    faithfulness_curve,
    run_circuit,
)
from cleanlens.analysis.circuits import random_scores
from cleanlens.analysis.edges import sender_outputs

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "attn-only": {"attn_only": True},
    "llama-shaped": {
        "n_key_value_heads": 2,
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "rotary_dim": 4,
        "d_head": 6,
        "gated_mlp": True,
        "act_fn": "silu",
    },
    "parallel": {
        "parallel_attn_mlp": True,
        "positional_embedding_type": "rotary",
        "rotary_dim": 4,
        "d_head": 6,
    },
    "bidirectional": {"attention_dir": "bidirectional"},
    "one layer": {"n_layers": 1},
}


@pytest.fixture(params=ARCHITECTURES, scope="module")
def model(request: pytest.FixtureRequest) -> HookedTransformer:
    return random_model(**ARCHITECTURES[request.param])


def prompts(model: HookedTransformer) -> tuple[Tensor, Tensor]:
    return random_tokens(model, 2, 5, seed=1), random_tokens(model, 2, 5, seed=2)


def difference(logits: Tensor) -> Tensor:
    return logits[:, -1, 3] - logits[:, -1, 8]


def test_the_graph_has_every_sender_and_receiver(model: HookedTransformer) -> None:
    graph, cfg = Graph(model), model.cfg
    n_kv, mlps = cfg.n_key_value_heads or cfg.n_heads, 0 if cfg.attn_only else cfg.n_layers
    assert len(graph.sender_labels) == 1 + cfg.n_layers * cfg.n_heads + mlps
    assert len(graph.receiver_labels) == cfg.n_layers * (cfg.n_heads + 2 * n_kv) + mlps + 1
    assert graph.exists[0].all()  # everybody reads the embedding
    assert graph.exists[:, -1].all()  # the logits read everybody
    assert graph.exists[:, 0].tolist() == [True] + [False] * (len(graph.sender_labels) - 1)


def test_what_the_senders_write_adds_up_to_the_residual_stream(model: HookedTransformer) -> None:
    tokens, _ = prompts(model)
    graph = Graph(model)
    _, cache = model.run_with_cache(tokens)
    total = sender_outputs(model, graph, tokens).sum(0)
    biases = sum(block.attn.b_O for block in model.blocks)
    torch.testing.assert_close(total + biases, cache["resid_post", -1], atol=1e-9, rtol=0)


def test_the_whole_graph_is_the_model_and_nothing_of_it_is_the_other_run(model: HookedTransformer) -> None:
    clean, corrupted = prompts(model)
    graph, ablated = Graph(model), ablation_values(model, "resample", corrupted)
    torch.testing.assert_close(
        run_circuit(model, clean, ablated, graph.exists), model(clean), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(run_circuit(model, clean, ablated, []), model(corrupted), atol=1e-9, rtol=0)


def test_a_cut_edge_carries_what_it_carries_in_the_other_run(model: HookedTransformer) -> None:
    """The oracle: edit the one receiver's input by hand, in a plain run."""
    clean, corrupted = prompts(model)
    graph = Graph(model)
    exact = edge_patching(model, clean, corrupted, difference)
    gap = sender_outputs(model, graph, corrupted) - sender_outputs(model, graph, clean)
    whole = difference(model(clean)).mean()
    receivers = [(place, i) for place in graph.receivers for i in range(len(place.labels))]
    generator = torch.Generator().manual_seed(0)
    edges = graph.exists.nonzero()
    for sender, receiver in edges[torch.randperm(len(edges), generator=generator)[:12]].tolist():
        place, index = receivers[receiver]

        def edit(x: Tensor, hook: Any, sender: int = sender, index: int = index) -> Tensor:
            x = x.clone()
            if x.ndim == 4:
                x[:, :, index] += gap[sender]
            else:
                x += gap[sender]
            return x

        expected = whole - difference(model.run_with_hooks(clean, fwd_hooks=[(place.hook, edit)])).mean()
        torch.testing.assert_close(exact.scores[sender, receiver], expected, atol=1e-9, rtol=1e-9)


def test_the_estimate_is_the_slope_of_the_exact_effect(model: HookedTransformer) -> None:
    """Corrupt by a little and the first order is all there is: estimate and exact effect agree."""
    clean, _ = prompts(model)
    graph = Graph(model)
    before = model.embed.W_E.data.clone()
    # Other tokens whose embeddings are nearly those of the clean ones.
    other = torch.full_like(clean, 0)
    size = 1e-5
    used = clean.unique().tolist()
    twins = {token: 1 + max(used) + i for i, token in enumerate(used)}
    if max(twins.values()) >= model.cfg.d_vocab:
        free = [i for i in range(model.cfg.d_vocab) if i not in used]
        twins = dict(zip(used, free))
    try:
        for token, twin in twins.items():
            other[clean == token] = twin
            model.embed.W_E.data[twin] = before[token] + size * torch.randn_like(before[token])
        estimate = edge_attribution(model, clean, other, difference).scores
        exact = edge_patching(model, clean, other, difference).scores
    finally:
        model.embed.W_E.data.copy_(before)
    scale = exact.abs().max()
    assert scale > 0
    assert ((estimate - exact)[graph.exists].abs() / scale).max() < 1e-3


def test_integrated_gradients_are_the_mean_of_gradients_along_the_line(model: HookedTransformer) -> None:
    """For the edges from the embedding, a finite difference along each edge is the oracle."""
    clean, corrupted = prompts(model)
    graph = Graph(model)
    steps, eps = 3, 1e-6
    got = edge_attribution(model, clean, corrupted, difference, steps=steps).scores
    z_clean, z_corrupted = sender_outputs(model, graph, clean), sender_outputs(model, graph, corrupted)
    place = graph.receivers[1]  # the keys of layer 0
    expected = torch.zeros(len(place.labels), dtype=torch.float64)
    for step in range(1, steps + 1):
        start = z_corrupted[0] + step / steps * (z_clean[0] - z_corrupted[0])
        for index in range(len(place.labels)):
            values = []
            for sign in (1, -1):

                def edit(x: Tensor, hook: Any, index: int = index, sign: int = sign) -> Tensor:
                    x = x.clone()
                    x[:, :, index] += sign * eps * (z_clean[0] - z_corrupted[0])
                    return x

                hooks = [
                    ("blocks.0.hook_resid_pre", lambda x, hook, start=start: start.clone()),
                    (place.hook, edit),
                ]
                values.append(difference(model.run_with_hooks(clean, fwd_hooks=hooks)).mean())
            expected[index] += (values[0] - values[1]) / (2 * eps) / steps
    first = len(graph.receivers[0].labels)
    torch.testing.assert_close(got[0, first : first + len(expected)], expected, atol=1e-6, rtol=1e-5)


def test_frozen_weights_and_no_grad_mode_do_not_matter() -> None:
    model = random_model()
    clean, corrupted = prompts(model)
    expected = edge_attribution(model, clean, corrupted, difference).scores
    model.requires_grad_(False)
    with torch.no_grad():
        got = edge_attribution(model, clean, corrupted, difference).scores
    torch.testing.assert_close(got, expected)
    assert not any(hook.has_hooks() for hook in model.hook_points())


def test_edges_have_names_and_names_that_do_not_exist_are_told() -> None:
    model = random_model()
    graph = Graph(model)
    keep = graph.edges(["embed -> L0H1 k", "L0H1 -> L1 mlp", "L1 mlp->logits"])
    assert graph.names(keep) == ["embed -> L0H1 k", "L0H1 -> L1 mlp", "L1 mlp -> logits"]
    with pytest.raises(KeyError, match="L0H1 k reads the residual stream before L2H0 writes to it"):
        graph.edge("L2H0 -> L0H1 k")
    with pytest.raises(KeyError, match="no sender 'L9H0'; there are embed, L0H0"):
        graph.edge("L9H0 -> logits")
    with pytest.raises(KeyError, match="no receiver 'L1H2'"):
        graph.edge("embed -> L1H2")


def test_best_and_connected_edges() -> None:
    model = random_model(n_layers=2)
    graph = Graph(model)
    scores = torch.zeros(graph.exists.shape)
    for name, value in {
        "embed -> L0H0 q": 9.0,  # L0H0 is heard by nobody
        "embed -> L0H1 v": 5.0,
        "L0H1 -> L1H2 k": -4.0,
        "L1H2 -> logits": 3.0,
        "L0H3 -> logits": 1.0,
    }.items():
        scores[graph.edge(name)] = value
    known = EdgeScores(graph, scores)
    assert known.top(2) == [("embed -> L0H0 q", 9.0), ("embed -> L0H1 v", 5.0)]
    assert graph.names(best_edges(known, 2)) == ["embed -> L0H0 q", "embed -> L0H1 v"]
    assert set(graph.names(connected_edges(known, 3))) == {
        "L1H2 -> logits",
        "L0H1 -> L1H2 k",
        "embed -> L0H1 v",
    }
    assert best_edges(known, graph.n_edges).equal(graph.exists)
    assert connected_edges(known, graph.n_edges).equal(graph.exists)
    assert not best_edges(known, 0).any()
    with pytest.raises(ValueError, match=f"this model has {graph.n_edges}"):
        best_edges(known, graph.n_edges + 1)
    frame = known.to_pandas()
    assert len(frame) == graph.n_edges
    assert frame[(frame.sender == "L0H1") & (frame.receiver == "L1H2 k")].score.item() == -4.0


@pytest.mark.parametrize("kind", ["resample", "mean", "zero"])
def test_faithfulness_goes_from_nothing_to_everything(kind: Any) -> None:
    model = random_model()
    clean, corrupted = random_tokens(model, 4, 5, seed=1), random_tokens(model, 4, 5, seed=2)
    ablated = ablation_values(model, kind, corrupted)
    scores = edge_patching(model, clean, corrupted, difference)
    curve = faithfulness_curve(model, clean, ablated, difference, scores, "exact", fractions=(0.1, 0.5, 1.0))
    assert curve.sizes[-1] == curve.n_edges == scores.graph.n_edges
    assert curve.faithfulness[-1].mean == pytest.approx(1)
    assert curve.completeness[-1].mean == pytest.approx(0, abs=1e-9)
    # One point by hand.
    keep = best_edges(scores, curve.sizes[1])
    m = [
        difference(run_circuit(model, clean, ablated, c)).mean().item()
        for c in (keep, scores.graph.exists, [])
    ]
    assert curve.faithfulness[1].mean == pytest.approx((m[0] - m[2]) / (m[1] - m[2]))
    fractions, means = curve.fractions, [e.mean for e in curve.faithfulness]
    by_hand = fractions[0] * means[0] + sum(
        (fractions[i + 1] - fractions[i]) * (means[i + 1] + means[i]) / 2 for i in range(2)
    )
    assert curve.cpr == pytest.approx(by_hand)
    assert list(curve.to_pandas().edges) == curve.sizes
    assert len(curve.plot().data) == 1


def test_zero_and_mean_ablation_are_what_they_say() -> None:
    model = random_model()
    tokens = random_tokens(model, 3, 4)
    assert not ablation_values(model, "zero", tokens).any()
    mean = ablation_values(model, "mean", tokens)
    _, cache = model.run_with_cache(tokens)
    torch.testing.assert_close(mean[0, 0], cache["resid_pre", 0].mean(0))
    torch.testing.assert_close(mean[-1, 0], cache["mlp_out", -1].mean(0))


def test_bad_input_is_told_before_the_first_pass() -> None:
    model = random_model()
    clean, corrupted = prompts(model)
    with pytest.raises(ValueError, match=r"\[2, 5\] and corrupted tokens \[2, 4\]"):
        edge_attribution(model, clean, corrupted[:, 1:], difference)
    with pytest.raises(ValueError, match="steps = 0"):
        edge_attribution(model, clean, corrupted, difference, steps=0)
    with pytest.raises(ValueError, match=r"the metric gave \[2, 5\]; expected"):
        edge_attribution(model, clean, corrupted, lambda logits: logits[:, :, 0])
    with pytest.raises(ValueError, match="the metric gave float"):
        edge_patching(model, clean, corrupted, lambda logits: logits[0, 0, 0].item())
    with pytest.raises(ValueError, match="has no gradient"):
        edge_attribution(model, clean, corrupted, lambda logits: logits[:, -1].argmax(-1).double())
    with pytest.raises(ValueError, match="at least one prompt"):
        ablation_values(model, "mean", clean[:0])
    with pytest.raises(ValueError, match='expected "resample", "mean" or "zero"'):
        ablation_values(model, "median", clean)  # type: ignore[arg-type]
    graph = Graph(model)
    ablated = ablation_values(model, "resample", clean)
    with pytest.raises(ValueError, match="nothing to explain"):
        faithfulness_curve(model, clean, ablated, difference, random_scores(graph))


# ---------------------------------------------------------------- edges known by hand


def hand_built_induction(d_vocab: int = 11, n_ctx: int = 16) -> HookedTransformer:
    """Two attention-only layers: L0H0 attends to the previous token and copies it aside, L1H1 looks for the place whose
    previous token is the present one, and writes that place's token to the output. The other heads do nothing."""
    from cleanlens import HookedTransformerConfig

    d_model = 2 * d_vocab + n_ctx + d_vocab  # token, previous token, position, answer
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=d_model, n_ctx=n_ctx, d_head=max(d_vocab, n_ctx), n_heads=2, d_vocab=d_vocab,
        attn_only=True, normalization_type=None, dtype=torch.float64, device="cpu", init_weights=False,
    )  # fmt: skip
    model = HookedTransformer(cfg)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        token, previous = torch.arange(d_vocab), d_vocab + torch.arange(d_vocab)
        position, answer = 2 * d_vocab + torch.arange(n_ctx), 2 * d_vocab + n_ctx + torch.arange(d_vocab)
        model.embed.W_E[token, token] = 1
        model.pos_embed.W_pos[torch.arange(n_ctx), position] = 1
        model.unembed.W_U[answer, token] = 1
        first, second, strong = model.blocks[0].attn, model.blocks[1].attn, 60.0
        p = torch.arange(n_ctx - 1)
        first.W_Q[0, position[1:], p] = strong * cfg.attn_scale
        first.W_K[0, position[:-1], p] = 1
        first.W_V[0, token, token] = 1
        first.W_O[0, token, previous] = 1
        second.W_Q[1, token, token] = strong * cfg.attn_scale
        second.W_K[1, previous, token] = 1
        second.W_V[1, token, token] = 1
        second.W_O[1, token, answer] = 1
    return model


def test_the_hand_built_induction_circuit_is_found_edge_by_edge() -> None:
    model = hand_built_induction()
    clean = torch.tensor([[0, 3, 7, 2, 5, 3], [0, 4, 1, 8, 6, 4]])  # position 0 has no previous token
    corrupted = torch.tensor(
        [[0, 9, 7, 2, 5, 3], [0, 10, 1, 8, 6, 4]]
    )  # the present token was not there before
    answers = torch.tensor([7, 1])
    assert (model(clean)[:, -1].argmax(-1) == answers).all()

    def metric(logits: Tensor) -> Tensor:
        return logits[:, -1].gather(1, answers[:, None]).squeeze(1)

    exact = edge_patching(model, clean, corrupted, metric)
    # What the corruption changes travels by K-composition alone: token 1 -> L0H0's value -> L1H1's key -> the answer.
    found = {name for name, value in exact.top(50) if abs(value) > 0.1}
    assert found == {"embed -> L0H0 v", "L0H0 -> L1H1 k", "L1H1 -> logits"}
    integrated = edge_attribution(model, clean, corrupted, metric, steps=50)
    assert {name for name, _ in integrated.top(3)} == found
    ablated = ablation_values(model, "resample", corrupted)
    torch.testing.assert_close(
        metric(run_circuit(model, clean, ablated, sorted(found))), metric(model(clean)), atol=1e-6, rtol=0
    )
    # With everything cut off (zero ablation) the circuit needs its queries, positions and values too.
    needed = [
        "embed -> L0H0 q", "embed -> L0H0 k", "embed -> L0H0 v", "L0H0 -> L1H1 k",
        "embed -> L1H1 q", "embed -> L1H1 v", "L1H1 -> logits",
    ]  # fmt: skip
    nothing = ablation_values(model, "zero", clean)
    torch.testing.assert_close(metric(run_circuit(model, clean, nothing, needed)), metric(model(clean)))
    for name in needed:
        rest = [other for other in needed if other != name]
        assert metric(run_circuit(model, clean, nothing, rest)).max() < 0.9, name
