"""The cache and its algebra: every sum equals the residual stream, every method a plain loop."""

import pytest
import torch
from helpers import random_model, random_tokens
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer
from cleanlens.utils import Slice

BATCH, POS = 2, 9


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    """Unprocessed: LayerNorm with gains and biases."""
    return random_model()


@pytest.fixture(scope="module")
def tokens(model: HookedTransformer) -> Tensor:
    return random_tokens(model, BATCH, POS)


@pytest.fixture(scope="module")
def cache(model: HookedTransformer, tokens: Tensor) -> ActivationCache:
    with torch.no_grad():
        return model.run_with_cache(tokens)[1]


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-11, rtol=0)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("embed", "hook_embed"),
        ("pos_embed", "hook_pos_embed"),
        ("scale", "ln_final.hook_scale"),
        ("normalized", "ln_final.hook_normalized"),
        ("blocks.0.attn.hook_pattern", "blocks.0.attn.hook_pattern"),
        (("pattern", 0), "blocks.0.attn.hook_pattern"),
        (("pattern", 1, "attn"), "blocks.1.attn.hook_pattern"),
        (("attn", 1), "blocks.1.attn.hook_pattern"),
        (("resid_post", -1), "blocks.2.hook_resid_post"),
        (("resid_pre", -3), "blocks.0.hook_resid_pre"),
        (("normalized", 0, "ln2"), "blocks.0.ln2.hook_normalized"),
        (("scale", 2, "ln1"), "blocks.2.ln1.hook_scale"),
        (("pre", 0, "mlp"), "blocks.0.mlp.hook_pre"),
        (("post", 0), "blocks.0.mlp.hook_post"),
        (("mlp_out", 0), "blocks.0.hook_mlp_out"),
        (("q", 1), "blocks.1.attn.hook_q"),
        ("k1", "blocks.1.attn.hook_k"),
        ("scale1ln2", "blocks.1.ln2.hook_scale"),
    ],
)
def test_short_names(cache: ActivationCache, key: str | tuple, name: str) -> None:
    assert cache[key] is cache.cache_dict[name]
    assert key in cache


def test_a_name_that_is_not_there(cache: ActivationCache) -> None:
    expected = (
        "'blocks.0.attn.hook_patern' is not among the 55 cached activations; the closest is "
        "'blocks.0.attn.hook_pattern'. Was it left out by names_filter or stop_at_layer?"
    )
    with pytest.raises(KeyError) as error:
        cache["blocks.0.attn.hook_patern"]
    assert error.value.args == (expected,)
    assert "blocks.0.attn.hook_patern" not in cache
    assert ("pattern", 7) not in cache


def test_it_is_a_mapping(cache: ActivationCache) -> None:
    assert len(cache) == len(list(cache)) == len(cache.keys()) == len(cache.values()) == len(cache.items())
    assert dict(cache.items()) == cache.cache_dict
    assert repr(cache).startswith("ActivationCache with keys ['hook_embed', 'hook_pos_embed', 'blocks.0.")


def test_the_order_is_that_of_firing(cache: ActivationCache) -> None:
    block = ["hook_resid_pre", "ln1.hook_scale", "ln1.hook_normalized"]
    block += [f"attn.hook_{name}" for name in ("q", "k", "v", "attn_scores", "pattern", "z")]
    block += ["hook_attn_out", "hook_resid_mid", "ln2.hook_scale", "ln2.hook_normalized"]
    block += ["mlp.hook_pre", "mlp.hook_post", "hook_mlp_out", "hook_resid_post"]
    expected = ["hook_embed", "hook_pos_embed"]
    expected += [f"blocks.{layer}.{name}" for layer in range(3) for name in block]
    expected += ["ln_final.hook_scale", "ln_final.hook_normalized"]
    assert list(cache) == expected


# ---------------------------------------------------------------- what is in it


def test_shapes(cache: ActivationCache) -> None:
    assert cache["resid_pre", 0].shape == cache["embed"].shape == (BATCH, POS, 21)
    assert cache["q", 0].shape == cache["k", 0].shape == cache["z", 0].shape == (BATCH, POS, 4, 5)
    assert cache["attn_scores", 0].shape == cache["pattern", 0].shape == (BATCH, 4, POS, POS)
    assert cache["pre", 0].shape == cache["post", 0].shape == (BATCH, POS, 29)
    assert cache["scale"].shape == cache["scale", 1, "ln2"].shape == (BATCH, POS, 1)


def test_one_head_by_plain_loops(model: HookedTransformer, cache: ActivationCache) -> None:
    """Everything inside one head, entry by entry."""
    layer, head, batch = 1, 2, 1
    attn, x = model.blocks[layer].attn, cache["normalized", layer, "ln1"][batch]
    x = x * model.blocks[layer].ln1.w + model.blocks[layer].ln1.b
    q = [x[i] @ attn.W_Q[head] + attn.b_Q[head] for i in range(POS)]
    k = [x[i] @ attn.W_K[head] + attn.b_K[head] for i in range(POS)]
    v = [x[i] @ attn.W_V[head] + attn.b_V[head] for i in range(POS)]
    for i in range(POS):
        scores = torch.stack([q[i] @ k[j] / 5**0.5 for j in range(i + 1)])
        weights = scores.exp() / scores.exp().sum()
        z = sum(weights[j] * v[j] for j in range(i + 1))
        close(cache["q", layer][batch, i, head], q[i])
        close(cache["attn_scores", layer][batch, head, i, : i + 1], scores)
        assert cache["attn_scores", layer][batch, head, i, i + 1 :].eq(-torch.inf).all()
        close(cache["pattern", layer][batch, head, i, : i + 1], weights)
        assert cache["pattern", layer][batch, head, i, i + 1 :].eq(0).all()
        close(cache["z", layer][batch, i, head], z)


def test_cached_embeddings_are_not_views_of_the_weights(model: HookedTransformer, tokens: Tensor) -> None:
    W_pos = model.W_pos.clone()
    _, cache = model.run_with_cache(tokens[:1])
    cache["pos_embed"].zero_()
    cache["embed"].zero_()
    assert model.W_pos.equal(W_pos)
    model.run_with_hooks(tokens[:1], fwd_hooks=[("hook_pos_embed", lambda x, hook: x.zero_())])
    assert model.W_pos.equal(W_pos)


# ---------------------------------------------------------------- the residual stream as a sum


@pytest.mark.parametrize("layer", [0, 1, 2, 3, None, -1])
@pytest.mark.parametrize("pos_slice", [None, -1, (2, 5), [0, 3]], ids=str)
def test_every_decomposition_sums_to_the_residual_stream(
    cache: ActivationCache, layer: int | None, pos_slice: object
) -> None:
    stream = cache["resid_post", -1] if layer in (3, None, -1) else cache["resid_pre", layer]
    index = {"None": slice(None), "-1": -1, "(2, 5)": slice(2, 5), "[0, 3]": [0, 3]}[str(pos_slice)]
    stream = stream[:, index]
    options = dict(pos_slice=pos_slice, return_labels=True)
    for name, (stack, labels) in {
        "accumulated": cache.accumulated_resid(layer, **options),
        "layers": cache.decompose_resid(layer, **options),
        "heads": cache.stack_head_results(layer, incl_remainder=True, **options),
        "neurons": cache.stack_neuron_results(layer, incl_remainder=True, **options),
        "some neurons": cache.stack_neuron_results(
            layer, neuron_slice=(3, 7), incl_remainder=True, **options
        ),
        "full": cache.get_full_resid_decomposition(layer, **options),
        "full, whole MLPs": cache.get_full_resid_decomposition(layer, expand_neurons=False, **options),
    }.items():
        assert len(stack) == len(labels), name
        close(stack[-1] if name == "accumulated" else stack.sum(dim=0), stream)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_input_of_the_mlp_is_a_sum_too(cache: ActivationCache, layer: int) -> None:
    mid = cache["resid_mid", layer]
    close(cache.decompose_resid(layer, mlp_input=True).sum(dim=0), mid)
    close(cache.get_full_resid_decomposition(layer, mlp_input=True).sum(dim=0), mid)
    close(cache.accumulated_resid(layer, mlp_input=True)[-1], mid)


def test_labels(cache: ActivationCache) -> None:
    def labels(method: str, *args: object, **kwargs: object) -> list[str]:
        return getattr(cache, method)(*args, return_labels=True, **kwargs)[1]

    assert labels("accumulated_resid") == ["0_pre", "1_pre", "2_pre", "final_post"]
    assert labels("accumulated_resid", 1) == ["0_pre", "1_pre"]
    assert labels("accumulated_resid", 1, incl_mid=True) == ["0_pre", "0_mid", "1_pre"]
    assert labels("accumulated_resid", 1, mlp_input=True) == ["0_pre", "1_pre", "1_mid"]
    everything = ["embed", "pos_embed", "0_attn_out", "0_mlp_out", "1_attn_out", "1_mlp_out"]
    assert labels("decompose_resid", 2) == everything
    assert labels("decompose_resid", 2, mode="attn") == [*everything[:2], "0_attn_out", "1_attn_out"]
    assert labels("decompose_resid", 2, mode="mlp", incl_embeds=False) == ["0_mlp_out", "1_mlp_out"]
    assert labels("decompose_resid", 1, mlp_input=True) == [*everything[:4], "1_attn_out"]
    heads = [f"L{layer}H{head}" for layer in range(3) for head in range(4)]
    assert labels("stack_head_results") == heads
    assert labels("stack_head_results", 1, incl_remainder=True) == [*heads[:4], "remainder"]
    assert labels("stack_neuron_results", 2, neuron_slice=(3, 5)) == ["L0N3", "L0N4", "L1N3", "L1N4"]
    assert labels("stack_neuron_results", 2, neuron_slice=7) == ["L0N7", "L1N7"]
    whole = labels("get_full_resid_decomposition", 1, expand_neurons=False)
    assert whole == [*heads[:4], "0_mlp_out", "embed", "pos_embed", "bias"]


def test_heads_by_a_plain_loop(model: HookedTransformer, cache: ActivationCache) -> None:
    stack = cache.stack_head_results()
    for layer in range(3):
        for head in range(4):
            expected = cache["z", layer][:, :, head] @ model.blocks[layer].attn.W_O[head]
            close(stack[layer * 4 + head], expected)
    attn_out = stack[4:8].sum(dim=0) + model.blocks[1].attn.b_O
    close(attn_out, cache["attn_out", 1])


def test_heads_are_the_same_from_hook_result(
    model: HookedTransformer, tokens: Tensor, cache: ActivationCache
) -> None:
    model.set_use_attn_result(True)
    _, with_results = model.run_with_cache(tokens)
    model.set_use_attn_result(False)
    close(with_results["result", 1].sum(dim=2) + model.b_O[1], cache["attn_out", 1])
    close(with_results.stack_head_results(), cache.stack_head_results())
    computed = ActivationCache(dict(cache.items()), model)
    computed.compute_head_results()
    for layer in range(3):
        close(computed["result", layer], with_results["result", layer])


def test_neurons_by_a_plain_loop(model: HookedTransformer, cache: ActivationCache) -> None:
    results = cache.get_neuron_results(1)
    assert results.shape == (BATCH, POS, 29, 21)
    for neuron in (0, 13, 28):
        expected = cache["post", 1][..., neuron, None] * model.blocks[1].mlp.W_out[neuron]
        close(results[:, :, neuron], expected)
        close(cache.get_neuron_results(1, neuron_slice=neuron), expected)
        close(cache.get_neuron_results(1, neuron_slice=[neuron], pos_slice=3)[:, 0], expected[:, 3])
        close(cache.stack_neuron_results(2, neuron_slice=neuron)[1], expected)
    close(results.sum(dim=2) + model.blocks[1].mlp.b_out, cache["mlp_out", 1])


def test_stack_activation(cache: ActivationCache) -> None:
    close(cache.stack_activation("pattern"), torch.stack([cache["pattern", layer] for layer in range(3)]))
    scales = cache.stack_activation("scale", 2, "ln2")
    close(scales, torch.stack([cache["scale", layer, "ln2"] for layer in range(2)]))


def test_a_layer_that_does_not_exist(cache: ActivationCache) -> None:
    with pytest.raises(ValueError, match="layer = 4; it must be from 0 to 3, or -1 for after the last"):
        cache.decompose_resid(4)


# ---------------------------------------------------------------- reading the stream


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize(("layer", "mlp_input"), [(0, False), (1, False), (1, True), (None, False)])
def test_components_through_layer_norm_sum_to_its_output(
    tokens: Tensor, processed: bool, layer: int | None, mlp_input: bool
) -> None:
    model = random_model()
    if processed:
        model.process_weights_()
    _, cache = model.run_with_cache(tokens)
    parts = cache.apply_ln_to_stack(
        cache.decompose_resid(layer, mlp_input=mlp_input), layer, mlp_input=mlp_input
    )
    which = "ln2" if mlp_input else "ln1"
    ln = model.ln_final if layer is None else getattr(model.blocks[layer], which)
    stream = (
        cache["resid_post", -1] if layer is None else cache["resid_mid" if mlp_input else "resid_pre", layer]
    )
    expected = ln(stream) - (0 if processed else ln.b)
    close(parts.sum(dim=0), expected)
    close(cache.decompose_resid(layer, mlp_input=mlp_input, apply_ln=True), parts)


@pytest.mark.parametrize("processed", [False, True])
def test_logit_attributions_sum_to_the_logits(tokens: Tensor, processed: bool) -> None:
    """Less what belongs to no component: b_U, and ln_final's bias when it is not folded."""
    model = random_model()
    if processed:
        model.process_weights_()
    logits, cache = model.run_with_cache(tokens)
    rest = model.b_U if processed else model.b_U + model.ln_final.b @ model.W_U
    logits = logits - rest
    stack = cache.decompose_resid()
    answers, wrong = tokens[:, 0], tokens[:, 3]

    close(cache.logit_attrs(stack, tokens=7).sum(0), logits[..., 7])
    close(cache.logit_attrs(stack, tokens=7, incorrect_tokens=5).sum(0), logits[..., 7] - logits[..., 5])
    per_row = torch.stack([logits[b, :, answers[b]] - logits[b, :, wrong[b]] for b in range(BATCH)])
    close(cache.logit_attrs(stack, answers, wrong).sum(0), per_row)
    per_position = logits.gather(-1, tokens[..., None])[..., 0]
    close(cache.logit_attrs(stack, tokens).sum(0), per_position)

    last = cache.decompose_resid(pos_slice=-1)
    close(cache.logit_attrs(last, answers, wrong, pos_slice=-1).sum(0), per_row[:, -1])
    one = cache.logit_attrs(last[:, 1], answers[1], pos_slice=-1, batch_slice=1, has_batch_dim=False)
    close(one.sum(), logits[1, -1, answers[1]])
    some = cache.logit_attrs(last[:, 1:], answers[1:], pos_slice=-1, batch_slice=(1, None))
    close(some.sum(0)[0], logits[1, -1, answers[1]])


# ---------------------------------------------------------------- the batch axis


def test_without_batch_axis(model: HookedTransformer, tokens: Tensor, cache: ActivationCache) -> None:
    _, single = model.run_with_cache(tokens[:1], remove_batch_dim=True)
    _, batch_of_one = model.run_with_cache(tokens[:1])
    for removed in (single, batch_of_one.remove_batch_dim()):
        assert not removed.has_batch_dim
        close(removed["pattern", 0], cache["pattern", 0][0])
        close(removed.decompose_resid(pos_slice=-1), cache.decompose_resid(pos_slice=-1)[:, 0])
        close(removed.decompose_resid(2, apply_ln=True), cache.decompose_resid(2, apply_ln=True)[:, 0])
        attrs = removed.logit_attrs(removed.decompose_resid(), 7, has_batch_dim=False)
        close(attrs, cache.logit_attrs(cache.decompose_resid(), 7)[:, 0])
        close(removed.stack_head_results(), cache.stack_head_results()[:, 0])
        close(removed.get_full_resid_decomposition(1), cache.get_full_resid_decomposition(1)[:, 0])


def test_a_batch_of_two_cannot_be_removed(model: HookedTransformer, tokens: Tensor) -> None:
    _, cache = model.run_with_cache(tokens)
    with pytest.raises(ValueError, match="remove_batch_dim: the cache has batch size 2; it must be 1"):
        cache.remove_batch_dim()
    assert cache["embed"].ndim == 3


def test_slicing_the_batch(cache: ActivationCache) -> None:
    one = cache.apply_slice_to_batch_dim(1)
    assert not one.has_batch_dim
    close(one["pattern", 0], cache["pattern", 0][1])
    some = cache.apply_slice_to_batch_dim((0, 1))
    assert some.has_batch_dim
    close(some["resid_post", -1], cache["resid_post", -1][:1])
    with pytest.raises(ValueError, match="this cache has no batch axis"):
        one.apply_slice_to_batch_dim(0)


# ---------------------------------------------------------------- run_with_cache


@pytest.mark.parametrize("pos_slice", [-1, (2, 5), [1, 4], Slice((2, 5))], ids=str)
def test_cached_positions(
    model: HookedTransformer, tokens: Tensor, cache: ActivationCache, pos_slice: object
) -> None:
    _, sliced = model.run_with_cache(tokens, pos_slice=pos_slice)
    index = {"-1": [-1], "[1, 4]": [1, 4]}.get(str(pos_slice), slice(2, 5))
    for name, value in cache.items():
        positions_first = value.ndim == 4 and "hook_pattern" not in name and "scores" not in name
        if value.ndim == 3 or positions_first:
            close(sliced[name], value[:, index])
        else:  # a pattern: the query
            assert sliced[name].equal(value[:, :, index])


def test_a_filtered_run_stops_early(model: HookedTransformer, tokens: Tensor, cache: ActivationCache) -> None:
    calls: list[int] = []
    handle = model.blocks[1].register_forward_hook(lambda *_: calls.append(1))
    out, first = model.run_with_cache(tokens, names_filter="blocks.0.hook_resid_post", return_type=None)
    handle.remove()
    assert out is None
    assert calls == []
    close(first["resid_post", 0], cache["resid_post", 0])


def test_a_plain_dictionary(model: HookedTransformer, tokens: Tensor) -> None:
    _, plain = model.run_with_cache(tokens, return_cache_object=False)
    assert type(plain) is dict


def test_gradients_are_cached(model: HookedTransformer, tokens: Tensor, cache: ActivationCache) -> None:
    with torch.enable_grad():
        _, with_gradients = model.run_with_cache(tokens, return_type="loss", incl_bwd=True)
        resid = cache["resid_pre", 1].clone().requires_grad_()
        loss = model(resid, start_at_layer=1, tokens=tokens, return_type="loss")
        [expected] = torch.autograd.grad(loss, resid)
    close(with_gradients["blocks.1.hook_resid_pre_grad"], expected)
    normalized = with_gradients["blocks.1.ln1.hook_normalized_grad"]  # through q, k and v together
    parts = sum(
        torch.einsum(
            "bphd,hmd->bpm", with_gradients[f"blocks.1.attn.hook_{x}_grad"], getattr(model, f"W_{X}")[1]
        )
        for x, X in zip("qkv", "QKV")
    )
    close(normalized, parts * model.blocks[1].ln1.w)
    model.zero_grad()


def test_to_and_toggle_autodiff(cache: ActivationCache) -> None:
    assert cache.to("cpu") is cache
    try:
        cache.toggle_autodiff(True)
        assert torch.is_grad_enabled()
    finally:
        cache.toggle_autodiff(False)
    assert not torch.is_grad_enabled()
