"""Sweeps over paths against the plain loop; several metrics and one value per prompt in one pass; uncertainty."""

from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from helpers import random_model, random_tokens
from test_analysis_edges import ARCHITECTURES
from torch import Tensor

from cleanlens import HookedTransformer, patching
from cleanlens.analysis import estimate

MODELS = ARCHITECTURES | {
    "norm-free": {"normalization_type": None},
    "shortformer": {"positional_embedding_type": "shortformer", "attn_only": True},
}
RECEIVERS: dict[str, Any] = {
    "logits": None,
    "one": [("k", 2, 1)],
    "two in a layer": [("q", 1, 3), ("k", 1, 0)],
    "in several layers": [("v", 2, 0), ("q", 1, 2), ("q", 2, 2)],
    "in the first layer": [("v", 0, 1)],
    "none": [],
}


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> HookedTransformer:
    return random_model(**(MODELS[request.param] | {"n_layers": 3}))


def runs(model: HookedTransformer, batch: int = 2) -> tuple[Tensor, Any, Any]:
    tokens, other = random_tokens(model, batch, 6, seed=1), random_tokens(model, batch, 6, seed=2)
    return tokens, model.run_with_cache(tokens)[1], model.run_with_cache(other)[1]


def per_prompt(logits: Tensor) -> Tensor:
    return logits[:, -1, 3] - logits[:, -2, 8].square()


@pytest.mark.parametrize("freeze_mlps", [False, True])
@pytest.mark.parametrize("receivers", RECEIVERS.values(), ids=RECEIVERS.keys())
def test_all_senders_at_once_equal_the_plain_loop(
    model: HookedTransformer, receivers: Any, freeze_mlps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patching, "TOKENS_AT_ONCE", 60)  # several passes
    tokens, cache, new_cache = runs(model)
    options = (freeze_mlps,) if not model.cfg.attn_only else (False,)
    got = patching.get_path_patch_head_to_heads(
        model, tokens, cache, new_cache, per_prompt, receivers, *options, reduce="none"
    )
    assert got.shape == (3, model.cfg.n_heads, 2)
    for layer, head in product(range(3), range(model.cfg.n_heads)):
        logits = patching.path_patch(model, tokens, cache, new_cache, (layer, head), receivers, *options)
        torch.testing.assert_close(got[layer, head], per_prompt(logits), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("receivers", RECEIVERS.values(), ids=RECEIVERS.keys())
@pytest.mark.parametrize("pos", [-1, 2])
def test_one_position_is_enough_for_a_metric_that_reads_no_other(
    model: HookedTransformer, receivers: Any, pos: int
) -> None:
    tokens, cache, new_cache = runs(model)
    everywhere, there = (
        patching.get_path_patch_head_to_heads(
            model, tokens, cache, new_cache, metric, receivers, reduce="none", metric_pos=metric_pos
        )
        for metric, metric_pos in [
            (lambda logits: logits[:, pos, 5], None),
            (lambda logits: logits.squeeze(1)[:, 5], pos),
        ]
    )
    torch.testing.assert_close(there, everywhere, atol=1e-9, rtol=1e-9)


def test_padded_prompts_travel_with_their_mask() -> None:
    model = random_model()
    tokens, other = random_tokens(model, 2, 6, seed=1), random_tokens(model, 2, 6, seed=2)
    tokens[0, :2] = other[0, :2] = 0
    mask = torch.ones_like(tokens)
    mask[0, :2] = 0
    model.tokenizer = None
    cache = model.run_with_cache(tokens)[1]
    new_cache = model.run_with_cache(other)[1]
    got = patching.get_path_patch_head_to_logits(model, tokens, cache, new_cache, per_prompt, reduce="mean")
    expected = per_prompt(patching.path_patch(model, tokens, cache, new_cache, (1, 2))).mean()
    torch.testing.assert_close(got[1, 2], expected, atol=1e-9, rtol=0)


def test_every_pair_of_heads() -> None:
    model = random_model()
    tokens, cache, new_cache = runs(model)
    got = patching.get_path_patch_head_to_head_every(
        model, tokens, cache, new_cache, per_prompt, reduce="mean"
    )
    n = model.cfg.n_heads
    assert got.shape == (3, 3, n, 3, n)
    plain = per_prompt(model(tokens)).mean()
    for part, sender, receiver in [("q", (0, 1), (2, 3)), ("k", (1, 0), (2, 0)), ("v", (2, 1), (1, 1))]:
        logits = patching.path_patch(model, tokens, cache, new_cache, sender, [(part, *receiver)])
        place = ("qkv".index(part), *sender, *receiver)
        torch.testing.assert_close(got[place], per_prompt(logits).mean(), atol=1e-9, rtol=0)
    torch.testing.assert_close(got[2, 2, 1, 1, 1], plain, atol=1e-9, rtol=0)  # too late


def test_with_somebodys_hooks_the_plain_loop_runs() -> None:
    model = random_model()
    tokens, cache, new_cache = runs(model)
    model.add_hook("blocks.1.hook_mlp_out", lambda x, hook: 2 * x)
    got = patching.get_path_patch_head_to_logits(model, tokens, cache, new_cache, per_prompt, reduce="none")
    expected = per_prompt(patching.path_patch(model, tokens, cache, new_cache, (0, 3)))
    model.reset_hooks()
    torch.testing.assert_close(got[0, 3], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("receiver", [("x", 1, 0), ("q", 3, 0), ("k", 0, 9)])
def test_receivers_that_do_not_exist(receiver: Any) -> None:
    model = random_model()
    tokens, cache, new_cache = runs(model)
    with pytest.raises(ValueError, match=r"expected \('q'\|'k'\|'v', layer, head\)"):
        patching.get_path_patch_head_to_heads(model, tokens, cache, new_cache, per_prompt, [receiver])


# ---------------------------------------------------------------- one value per prompt, several metrics


@pytest.mark.parametrize(
    "sweep", [patching.get_act_patch_resid_pre, patching.get_act_patch_attn_head_pattern_by_pos]
)
def test_one_value_per_prompt_and_several_metrics_in_one_pass(sweep: Any) -> None:
    model = random_model()
    tokens, _, clean = runs(model, batch=3)

    def other(logits: Tensor) -> Tensor:
        return logits[:, 0].logsumexp(-1)

    alone = sweep(model, tokens, clean, lambda logits: per_prompt(logits).mean())
    kept = sweep(model, tokens, clean, per_prompt, reduce="none")
    assert kept.shape == (*alone.shape, 3)
    torch.testing.assert_close(kept.mean(-1), alone, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        sweep(model, tokens, clean, per_prompt, reduce="mean"), alone, atol=1e-9, rtol=0
    )
    passes = []
    model_forward = model.unembed.forward
    model.unembed.forward = lambda x: passes.append(1) or model_forward(x)  # type: ignore[method-assign]
    both = sweep(model, tokens, clean, {"difference": per_prompt, "sum": other}, reduce="none")
    n_both = len(passes)
    passes.clear()
    sweep(model, tokens, clean, per_prompt, reduce="none")
    model.unembed.forward = model_forward  # type: ignore[method-assign]
    assert n_both == len(passes)
    torch.testing.assert_close(both["difference"], kept)
    torch.testing.assert_close(both["sum"], sweep(model, tokens, clean, other, reduce="none"))


@pytest.mark.usefixtures("shapes_unchecked")
def test_metrics_of_the_wrong_shape_are_told() -> None:
    model = random_model()
    tokens, _, clean = runs(model)
    sweep = partial(patching.get_act_patch_resid_pre, model, tokens, clean)
    with pytest.raises(
        ValueError, match=r"the shape \[\]; with reduce='none' it must give one number per prompt, \[2\]"
    ):
        sweep(lambda logits: logits.sum(), reduce="none")
    with pytest.raises(ValueError, match='expected "none", "mean" or None'):
        sweep(per_prompt, reduce="sum")
    with pytest.raises(ValueError, match="is empty"):
        sweep({})
    with pytest.raises(ValueError, match=r"must give the same shape; these gave {'a': \[2\], 'b': \[\]}"):
        sweep({"a": per_prompt, "b": lambda logits: logits.sum()})


# ---------------------------------------------------------------- how sure a mean is


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """400 samples of 30 from a skewed distribution with mean 2: about 95% of the intervals must hold it."""
    generator = torch.Generator().manual_seed(0)
    samples = -2 * torch.rand(400, 30, generator=generator, dtype=torch.float64).log()
    result = estimate(samples)
    held = ((result.lows <= 2) & (result.highs >= 2)).double().mean().item()
    assert 0.88 < held < 0.98
    assert (result.lows < result.means).all()
    assert (result.means < result.highs).all()


def test_p_values_of_nothing_are_uniform_and_holm_finds_what_is_there() -> None:
    generator = torch.Generator().manual_seed(1)
    nothing = torch.randn(500, 12, generator=generator, dtype=torch.float64)
    p = estimate(nothing).p_values
    assert 0.02 < (p < 0.05).double().mean() < 0.09
    assert 0.4 < p.mean() < 0.6
    there = nothing[:20].reshape(4, 5, 12).clone()
    there[2, 3] += 5
    result = estimate(there)
    assert result.significant.nonzero().tolist() == [[2, 3]]
    assert result.to_pandas().iloc[13].place == (2, 3)


def test_exact_permutation_p_value_of_few_prompts() -> None:
    """All of 6 differences positive: 2 of the 2^6 sign patterns are as extreme."""
    result = estimate(torch.tensor([1.0, 2, 3, 4, 5, 6]), resamples=20_000)
    assert result.p_values.item() == pytest.approx(2 / 64, abs=0.005)
    assert result.mean == pytest.approx(3.5)
    assert estimate(torch.tensor([3.0, 3, 3]), baseline=3).p_values.item() == 1


def test_bad_samples() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        estimate(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="not finite"):
        estimate(torch.tensor([1.0, torch.nan]))
    one = estimate(torch.tensor([[2.0]]))
    assert one.low == one.high == 2.0
