"""Processing rewrites the weights and keeps the function."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import random_model, random_tokens
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.parity import FLAGS

OFF = dict.fromkeys(FLAGS, False)
CONFIGS: dict[str, dict[str, Any]] = {
    "LN": {},
    "attention only": dict(attn_only=True),
    "bidirectional": dict(attention_dir="bidirectional"),
    "no normalization": dict(normalization_type=None),
    "wide heads": dict(d_head=31, n_heads=2),  # d_head > d_model: fewer singular values than columns
}


def close(a: Tensor, b: Tensor | Any) -> None:
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def process(model: HookedTransformer, *flags: str) -> HookedTransformer:
    processed = copy.deepcopy(model)
    processed.process_weights_(**{**OFF, **dict.fromkeys(flags, True)})
    return processed


def each_flag(test: Callable) -> Callable:
    return pytest.mark.parametrize("flags", [*((flag,) for flag in FLAGS), FLAGS], ids=lambda f: f[-1])(test)


@each_flag
@pytest.mark.parametrize("config", CONFIGS)
def test_the_function_stays(config: str, flags: tuple[str, ...]) -> None:
    model = random_model(**CONFIGS[config])
    tokens = random_tokens(model)
    before, after = model(tokens), process(model, *flags)(tokens)
    if "center_unembed" in flags:
        before, after = before.log_softmax(dim=-1), after.log_softmax(dim=-1)
    close(after, before)


@each_flag
@pytest.mark.parametrize("config", [name for name in CONFIGS if name != "wide heads"])  # free columns there
def test_the_second_time_nothing_happens(config: str, flags: tuple[str, ...]) -> None:
    once = process(random_model(**CONFIGS[config]), *flags)
    twice = process(once, *flags)
    assert once.state_dict().keys() == twice.state_dict().keys()
    for name, weight in once.state_dict().items():
        torch.testing.assert_close(twice.state_dict()[name], weight, atol=1e-8, rtol=1e-8, msg=name)


@each_flag
def test_gradients_reach_the_embedding_as_before(flags: tuple[str, ...]) -> None:
    """d loss / d residual is the same function too; only its mean over d_model may be gone."""
    model = random_model()
    tokens = random_tokens(model)

    def gradient(model: HookedTransformer) -> Tensor:
        resid = model(tokens, stop_at_layer=0).detach().requires_grad_()
        model(resid, start_at_layer=0, tokens=tokens, return_type="loss").backward()
        assert resid.grad is not None
        return resid.grad

    close(gradient(process(model, *flags)), gradient(model))


def test_defaults_are_the_published_ones() -> None:
    model = random_model()
    processed = copy.deepcopy(model)
    processed.process_weights_()
    expected = process(model, *FLAGS[:-1])
    for name, weight in expected.state_dict().items():
        assert processed.state_dict()[name].equal(weight), name


# ---------------------------------------------------------------- what each one promises


def test_fold_ln() -> None:
    model = process(random_model(), "fold_ln")
    assert model.cfg.normalization_type == "LNPre"
    assert not [name for name in model.state_dict() if ".ln" in name or name.startswith("ln")]
    for reader in (model.W_Q, model.W_K, model.W_V, model.W_in, model.W_U):
        close(reader.mean(dim=-2), torch.zeros_like(reader.mean(dim=-2)))
    assert {"blocks.0.ln1.hook_scale", "ln_final.hook_normalized"} <= model.hook_dict.keys()


def test_fold_ln_keeps_hooks_and_their_names() -> None:
    model = random_model()
    seen: list[str] = []
    model.add_hook(lambda name: "hook_normalized" in name, lambda x, hook: seen.append(hook.name))
    model.process_weights_()
    model(random_tokens(model))
    assert seen == [f"blocks.{i}.ln{j}.hook_normalized" for i in range(3) for j in (1, 2)] + [
        "ln_final.hook_normalized"
    ]


def test_center_writing_weights() -> None:
    model = process(random_model(), "center_writing_weights")
    _, cache = model.run_with_cache(random_tokens(model))
    for name in ("embed", "pos_embed", ("attn_out", 0), ("mlp_out", 1), ("resid_post", -1)):
        close(cache[name].mean(dim=-1), torch.zeros_like(cache[name].mean(dim=-1)))


def test_center_writing_weights_leaves_a_model_without_layer_norm_alone() -> None:
    model = random_model(normalization_type=None)
    processed = process(model, "center_writing_weights")
    assert processed.W_E.equal(model.W_E)


def test_center_unembed() -> None:
    model = process(random_model(), "center_unembed")
    logits = model(random_tokens(model))
    close(logits.mean(dim=-1), torch.zeros_like(logits.mean(dim=-1)))


def test_fold_value_biases() -> None:
    model = random_model()
    processed = process(model, "fold_value_biases")
    assert processed.b_V.eq(0).all()
    for layer, block in enumerate(model.blocks):
        carried = sum(block.attn.b_V[head] @ block.attn.W_O[head] for head in range(4))
        close(processed.b_O[layer], block.attn.b_O + carried)


def test_refactored_factors() -> None:
    model = random_model()
    processed = process(model, "refactor_factored_attn_matrices")
    identity = torch.eye(5, dtype=torch.float64).expand(3, 4, 5, 5)
    close(processed.W_O @ processed.W_O.transpose(-1, -2), identity)
    close(processed.OV.AB, model.OV.AB)
    # Queries and keys with their biases as one more row share the singular values evenly.
    q = torch.cat([processed.W_Q, processed.b_Q[..., None, :]], dim=-2)
    k = torch.cat([processed.W_K, processed.b_K[..., None, :]], dim=-2)
    close(q.transpose(-1, -2) @ q, k.transpose(-1, -2) @ k)
    close((processed.W_Q @ processed.W_K.transpose(-1, -2)), model.QK.AB)


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_folding_is_done_in_float64(dtype: torch.dtype) -> None:
    """The only error is that of storing the result."""
    model = random_model().to(dtype)
    expected = process(copy.deepcopy(model).double(), *FLAGS[:-1])
    for name, weight in process(model, *FLAGS[:-1]).state_dict().items():
        assert weight.dtype == dtype
        exact = expected.state_dict()[name]
        # Each flag stores its result: a few roundings at most.
        bound = 4 * torch.finfo(dtype).eps * exact.abs().max()
        assert (weight.double() - exact).abs().max() <= bound, name


def test_processing_needs_no_gradients_and_leaves_none() -> None:
    model = process(random_model(), *FLAGS)
    assert all(weight.requires_grad and weight.grad_fn is None for weight in model.parameters())
    model(random_tokens(model), return_type="loss").backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_load_and_process_state_dict() -> None:
    source, target = random_model(seed=1), random_model(seed=2)
    target.load_and_process_state_dict(source.state_dict())
    tokens = random_tokens(source)
    close(target(tokens).log_softmax(-1), source(tokens).log_softmax(-1))
    assert target.cfg.normalization_type == "LNPre"


# ---------------------------------------------------------------- accumulated biases and composition


def test_accumulated_bias_by_plain_loop() -> None:
    model = random_model()
    for layer in range(4):
        for mlp in (True, False):
            expected = sum(
                (block.attn.b_O + (block.mlp.b_out if mlp else 0) for block in model.blocks[:layer]),
                start=torch.zeros(21, dtype=torch.float64),
            )
            close(model.accumulated_bias(layer, include_mlp_biases=mlp), expected)
    close(model.accumulated_bias(1, mlp_input=True), model.b_O[0] + model.b_out[0] + model.b_O[1])
    with pytest.raises(ValueError, match="layer 3 has no MLP: the model has 3 layers"):
        model.accumulated_bias(3, mlp_input=True)


def test_composition_scores_by_plain_loop() -> None:
    model = random_model()
    readers = {"Q": model.QK.AB, "K": model.QK.AB.transpose(-1, -2), "V": model.OV.AB}
    writer = model.OV.AB
    for mode, reader in readers.items():
        scores = model.all_composition_scores(mode)  # type: ignore[arg-type]
        assert scores.shape == (3, 4, 3, 4)
        for l1, h1, l2, h2 in [(0, 1, 1, 2), (0, 3, 2, 0), (1, 0, 2, 3), (1, 1, 1, 2), (2, 0, 0, 0)]:
            a, b = writer[l1, h1], reader[l2, h2]
            expected = (a @ b).norm() / a.norm() / b.norm() if l1 < l2 else torch.zeros_like(a[0, 0])
            close(scores[l1, h1, l2, h2], expected)


@pytest.mark.usefixtures("shapes_unchecked")
def test_composition_by_what() -> None:
    with pytest.raises(ValueError, match="mode = 'O'; it must be 'Q', 'K' or 'V'"):
        random_model().all_composition_scores("O")  # type: ignore[arg-type]
