"""Shapes of code that published notebooks are made of, in our words, on the embedded model.

Each of them has stopped a notebook at some time; tests/test_contract.py holds the names and signatures.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import plotly.express as px
import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanlens import (
    ActivationCache,
    FactoredMatrix,
    HookedTransformer,
    HookedTransformerConfig,
    evals,
    patching,
    utils,
)
from cleanlens.head_detector import detect_head
from cleanlens.hook_points import HookedRootModule, HookPoint

CLEAN = "When Mary and John went to the park, John gave a ball to"
CORRUPTED = "When Mary and John went to the park, Mary gave a ball to"


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return HookedTransformer.from_pretrained("gpt2-demo", device="cpu")


def difference(logits: Tensor, model: HookedTransformer) -> Tensor:
    return logits[0, -1, model.to_single_token(" Mary")] - logits[0, -1, model.to_single_token(" John")]


def test_plotly_express_draws_what_notebooks_give_it(model: HookedTransformer) -> None:
    """plotly express asks for pandas."""
    scores = utils.to_numpy(torch.randn(model.cfg.n_layers, model.cfg.n_heads))
    assert px.imshow(scores, color_continuous_midpoint=0.0, color_continuous_scale="RdBu").data
    assert px.line(x=list(range(4)), y=scores[0], hover_name=list("abcd")).data
    assert px.scatter(x=scores[0], y=scores[1]).data


def test_the_layer_of_a_head_found_by_topk_indexes_the_cache(model: HookedTransformer) -> None:
    """Exploratory analysis: the best heads of a flattened [layer head] tensor, and their patterns."""
    _, cache = model.run_with_cache(CLEAN)
    attribution = cache.logit_attrs(cache.stack_head_results(pos_slice=-1), " Mary", " John", pos_slice=-1)
    for index in attribution[:, 0].topk(3).indices:
        layer, head = index // model.cfg.n_heads, index % model.cfg.n_heads
        pattern = cache["pattern", layer][0, head]
        torch.testing.assert_close(pattern, cache[f"blocks.{layer}.attn.hook_pattern"][0, head])


def test_residual_stacks_to_logit_differences(model: HookedTransformer) -> None:
    logits, cache = model.run_with_cache(CLEAN)
    directions = model.tokens_to_residual_directions(
        torch.tensor([[model.to_single_token(" Mary"), model.to_single_token(" John")]])
    )
    direction = directions[:, 0] - directions[:, 1]
    stack, labels = cache.accumulated_resid(layer=-1, incl_mid=True, pos_slice=-1, return_labels=True)
    scaled = cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)
    lens = torch.einsum("cbd,bd->c", scaled, direction) / len(direction)
    bias = model.b_U[model.to_single_token(" Mary")] - model.b_U[model.to_single_token(" John")]
    assert labels[-1] == "final_post"
    torch.testing.assert_close(lens[-1] + bias, difference(logits, model), atol=1e-3, rtol=1e-3)


def test_gradients_are_cached_beside_activations(model: HookedTransformer) -> None:
    """Attribution patching: forward and backward caches by hooks, and a cache made of their products."""
    wanted = lambda name: "_input" not in name  # noqa: E731

    def caches(text: str) -> tuple[ActivationCache, ActivationCache]:
        cache: dict[str, Tensor] = {}
        gradients: dict[str, Tensor] = {}
        model.reset_hooks()
        model.add_hook(wanted, lambda act, hook: cache.__setitem__(hook.name, act.detach()), "fwd")
        model.add_hook(wanted, lambda grad, hook: gradients.__setitem__(hook.name, grad.detach()), "bwd")
        difference(model(text), model).backward()
        model.reset_hooks()
        model.zero_grad()
        return ActivationCache(cache, model), ActivationCache(gradients, model)

    clean, _ = caches(CLEAN)
    corrupted, gradients = caches(CORRUPTED)
    attribution = ActivationCache(
        {name: gradients[name] * (clean[name] - corrupted[name]) for name in gradients}, model
    )
    n_pos = clean["embed"].shape[1]
    assert attribution.stack_activation("z").shape == (model.cfg.n_layers, 1, n_pos, 4, model.cfg.d_head)
    assert attribution.stack_activation("pattern").shape == (model.cfg.n_layers, 1, 4, n_pos, n_pos)
    for stack in (attribution.accumulated_resid(-1, incl_mid=True), attribution.decompose_resid(-1)):
        assert stack.isfinite().all()
    # First order: the change of the metric when the last layer's input is patched a little.
    epsilon, name = 1e-3, "blocks.3.hook_resid_pre"
    step = lambda act, hook: act + epsilon * (clean[name] - act)  # noqa: E731
    with torch.no_grad():
        before = difference(model(CORRUPTED), model)
        after = difference(model.run_with_hooks(CORRUPTED, fwd_hooks=[(name, step)]), model)
    torch.testing.assert_close(attribution[name].sum(), (after - before) / epsilon, rtol=0.05, atol=0.05)


def test_activation_patching_with_an_index(model: HookedTransformer) -> None:
    tokens = model.to_tokens(CORRUPTED)
    _, clean_cache = model.run_with_cache(CLEAN)
    metric = lambda logits: difference(logits, model)  # noqa: E731
    swept = patching.get_act_patch_resid_pre(model, tokens, clean_cache, metric)
    df = patching.make_df_from_ranges([1, 2], ["layer", "pos"])
    some, same = patching.generic_activation_patch(
        model,
        tokens,
        clean_cache,
        metric,
        patching.layer_pos_patch_setter,
        "resid_pre",
        index_df=df,
        return_index_df=True,
    )
    assert same is df
    torch.testing.assert_close(some, swept[0, :2], atol=1e-4, rtol=1e-4)
    every = patching.get_act_patch_block_every(model, tokens, clean_cache, metric)
    assert every.shape == (3, model.cfg.n_layers, tokens.shape[1])


def test_head_detection_by_a_pattern_of_ones(model: HookedTransformer) -> None:
    n_pos = len(model.to_str_tokens(CLEAN))
    ones = torch.tril(torch.ones(n_pos, n_pos))
    scores = detect_head(model, CLEAN, ones, exclude_bos=True, exclude_current_token=True)
    torch.testing.assert_close(scores, torch.ones(model.cfg.n_layers, 4))
    assert (
        detect_head(model, [CLEAN, CORRUPTED], "previous_token_head", error_measure="abs").shape
        == scores.shape
    )


def test_hooks_on_a_toy_module() -> None:
    class SquareThenAdd(HookedRootModule):
        def __init__(self, offset: float):
            super().__init__()
            self.offset = nn.Parameter(torch.tensor(offset))
            self.hook_square = HookPoint()
            self.setup()

        def forward(self, x: Tensor) -> Tensor:
            return self.offset + self.hook_square(x * x)

    toy = SquareThenAdd(3.0)
    cache: dict[str, Tensor] = {}
    toy.cache_all(cache)
    assert toy(torch.tensor(5.0)).item() == 28.0
    assert cache["hook_square"].item() == 25.0
    toy.reset_hooks()
    assert (
        toy.run_with_hooks(torch.tensor(5.0), fwd_hooks=[("hook_square", lambda x, hook: x - x)]).item()
        == 3.0
    )


def test_eigenvalues_of_a_full_circuit(model: HookedTransformer) -> None:
    """The fraction of positive eigenvalues of W_E OV W_U, for every head at once."""
    full = model.W_E @ model.OV @ model.W_U
    assert isinstance(full, FactoredMatrix)
    eigenvalues = full.eigenvalues
    copying = eigenvalues.sum(dim=-1).real / eigenvalues.abs().sum(dim=-1)
    assert copying.shape == (model.cfg.n_layers, 4)
    assert copying.abs().max() <= 1 + 1e-5


def test_bos_ids_and_positions(model: HookedTransformer) -> None:
    """ARENA and the main demo: tokens with and without BOS, and the same text from an embedding on."""
    assert model.to_tokens("John")[0, 0] == model.tokenizer.bos_token_id
    with utils.LocallyOverridenDefaults(model, prepend_bos=False):
        assert len(model.to_tokens("John")[0]) == len(model.to_tokens("John", prepend_bos=True)[0]) - 1
    residual, tokens, _, mask = model.input_to_embed(CLEAN)
    whole = model(CLEAN)
    torch.testing.assert_close(model(residual, start_at_layer=0, tokens=tokens, attention_mask=mask), whole)
    loss = evals.sanity_check(HookedTransformer.from_pretrained("gpt2-demo", device="cpu"))
    assert loss.isfinite()


# ---------------------------------------------------------------- ARENA 1.2: induction heads, on its own model

ARENA_2L = dict(
    d_model=768,
    d_head=64,
    n_heads=12,
    n_layers=2,
    n_ctx=2048,
    d_vocab=50278,
    attention_dir="causal",
    attn_only=True,
    tokenizer_name="EleutherAI/gpt-neox-20b",
    seed=398,
    use_attn_result=True,
    normalization_type=None,
    positional_embedding_type="shortformer",
)


@pytest.fixture(scope="module")
def arena(model: HookedTransformer) -> HookedTransformer:
    """The published config with weights out of a state dict: random ones, as nobody can fetch the trained ones here.

    The state dict carries what the published file does beside weights. The tokenizer is the embedded model's.
    """
    cfg = HookedTransformerConfig(**ARENA_2L, device="cpu", init_weights=False)
    made = HookedTransformer(cfg, tokenizer=model.tokenizer)
    weights = {name: torch.zeros_like(weight) for name, weight in made.state_dict().items()}
    torch.manual_seed(0)
    for name, weight in weights.items():
        if "W_" in name:
            weight.normal_(std=1.0 if name.startswith(("embed", "pos_embed")) else weight.shape[-2] ** -0.5)
    for layer in range(2):
        weights[f"blocks.{layer}.attn.mask"] = torch.ones(2048, 2048, dtype=torch.bool).tril()
        weights[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-1e5)
    made.load_state_dict(weights)
    return made


@pytest.fixture(scope="module")
def repeated(arena: HookedTransformer) -> tuple[Tensor, Tensor, ActivationCache]:
    """BOS, random tokens, the same tokens again; logits and cache without a batch axis."""
    torch.manual_seed(0)
    half = torch.randint(0, arena.cfg.d_vocab, (1, 8))
    bos = (torch.ones(1, 1) * arena.tokenizer.bos_token_id).long()
    tokens = torch.cat([bos, half, half], dim=-1)
    with torch.no_grad():
        logits, cache = arena.run_with_cache(tokens, remove_batch_dim=True)
    return tokens, logits[0], cache


def test_arena_a_tokenizer_named_by_the_config(
    model: HookedTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**ARENA_2L, "d_model": 8, "d_head": 4, "n_heads": 2, "n_ctx": 16, "d_vocab": 4096}
    there = model.tokenizer.name_or_path
    named = HookedTransformer(HookedTransformerConfig(**{**small, "tokenizer_name": there}))
    assert named.to_tokens(CLEAN).equal(model.to_tokens(CLEAN))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.warns(UserWarning, match="the tokenizer 'nobody/nothing', which the config names, is not on"):
        nameless = HookedTransformer(HookedTransformerConfig(**{**small, "tokenizer_name": "nobody/nothing"}))
    with pytest.raises(ValueError, match="needs a tokenizer"):
        nameless.to_tokens(CLEAN)


def test_arena_scores_by_a_hook_on_every_pattern(arena: HookedTransformer, repeated: Any) -> None:
    """Diagonals of patterns: from the cache, and in a store that a hook fills by hook.layer()."""
    tokens, _, cache = repeated
    scores = torch.zeros(arena.cfg.n_layers, arena.cfg.n_heads)

    def store(pattern: Tensor, hook: HookPoint) -> None:
        stripe = pattern.diagonal(dim1=-2, dim2=-1, offset=1 - 8)
        scores[hook.layer(), :] = stripe.mean(dim=(0, -1))

    with torch.no_grad():
        arena.run_with_hooks(
            tokens, return_type=None, fwd_hooks=[(lambda name: name.endswith("pattern"), store)]
        )
    for layer in range(2):
        for head in range(12):
            here = cache["pattern", layer][head].diagonal(-7).mean()
            torch.testing.assert_close(scores[layer, head], here)
    labels = [f"{layer}.{head}" for layer in range(2) for head in range(12) if scores[layer, head] > 0.4]
    assert labels == []  # nothing has learned anything


def test_arena_logit_attribution_and_ablation(arena: HookedTransformer, repeated: Any) -> None:
    tokens, logits, cache = repeated
    W_U = arena.W_U[:, tokens[0, 1:]]
    parts = [cache["embed"][:-1], *(cache["result", layer][:-1] for layer in range(2))]
    direct = torch.einsum("pe,ep->p", parts[0], W_U)
    heads = [torch.einsum("phe,ep->ph", part, W_U) for part in parts[1:]]
    attribution = torch.cat([direct[:, None], *heads], dim=-1)
    right = logits[torch.arange(len(logits) - 1), tokens[0, 1:]]
    torch.testing.assert_close(attribution.sum(dim=-1), right, atol=1e-3, rtol=1e-3)

    def zero(z: Tensor, hook: HookPoint, head_index_to_ablate: int) -> None:
        z[:, :, head_index_to_ablate, :] = 0.0

    arena.reset_hooks()
    with torch.no_grad():
        ablated = arena.run_with_hooks(
            tokens,
            fwd_hooks=[(utils.get_act_name("z", 1), partial(zero, head_index_to_ablate=4))],
        )
        by_result = arena.run_with_hooks(
            tokens,
            fwd_hooks=[(utils.get_act_name("result", 1), partial(zero, head_index_to_ablate=4))],
        )
    torch.testing.assert_close(ablated, by_result, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        ablated[0], logits - cache["result", 1][:, 4] @ arena.W_U, atol=1e-3, rtol=1e-3
    )


def test_arena_circuits_from_weights(arena: HookedTransformer) -> None:
    head, layer = 4, 1
    OV = FactoredMatrix(arena.W_V[layer, head], arena.W_O[layer, head])
    full = arena.W_E @ OV @ arena.W_U
    assert isinstance(full, FactoredMatrix)
    assert full.shape == (50278, 50278)
    indices = torch.randint(0, arena.cfg.d_vocab, (30,))
    corner = full[indices, indices].AB
    by_hand = arena.W_E[indices] @ arena.W_V[1, 4] @ arena.W_O[1, 4] @ arena.W_U[:, indices]
    torch.testing.assert_close(corner, by_hand, atol=1e-3, rtol=1e-3)
    # Two heads at once, with their small spaces side by side.
    V = torch.cat([arena.W_V[1, 4], arena.W_V[1, 10]], dim=1)
    O = torch.cat([arena.W_O[1, 4], arena.W_O[1, 10]], dim=0)
    both = arena.W_E @ FactoredMatrix(V, O) @ arena.W_U
    some = full[indices, :][:, indices].AB + (
        (arena.W_E[indices] @ arena.W_V[1, 10]) @ (arena.W_O[1, 10] @ arena.W_U[:, indices])
    )
    torch.testing.assert_close(both[indices, indices].AB, some, atol=1e-3, rtol=1e-3)
    best = full.A[:64] @ full.B
    assert (best.argmax(dim=-1) == torch.arange(64)).float().mean() < 0.1
    # Where a head of layer 0 looks, by positions alone.
    QK = arena.W_Q[0, 7] @ arena.W_K[0, 7].T
    positions = (arena.W_pos[:9] @ QK @ arena.W_pos[:9].T) / arena.cfg.d_head**0.5
    hidden = torch.triu(torch.ones(9, 9, dtype=torch.bool), diagonal=1)
    pattern = positions.masked_fill(hidden, -1e6).softmax(-1)
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(9))
    k_comp = FactoredMatrix(arena.W_E @ arena.W_Q[1, 4], (arena.W_E @ OV.AB @ arena.W_K[1, 4]).T)
    assert k_comp.shape == (50278, 50278)
    scores = utils.composition_scores(arena.OV[0], arena.QK[1])
    assert scores.shape == (12, 12)
    loop = (arena.OV[0, 7] @ arena.QK[1, 4]).norm() / arena.OV[0, 7].norm() / arena.QK[1, 4].norm()
    torch.testing.assert_close(scores[7, 4], loop, atol=1e-4, rtol=1e-4)


def test_arena_decomposed_queries_and_keys(arena: HookedTransformer, repeated: Any) -> None:
    """What the queries of layer 1 read is a sum: embedding, position (a shortformer's), and layer 0's heads."""
    _, _, cache = repeated
    parts = torch.stack(
        [cache["embed"], cache["pos_embed"], *cache["result", 0].transpose(0, 1)]
    )  # [component pos d_model]
    torch.testing.assert_close(parts.sum(0), cache["resid_pre", 1] + cache["pos_embed"], rtol=0.01, atol=1e-4)
    q, k = parts @ arena.W_Q[1, 4], parts @ arena.W_K[1, 4]
    torch.testing.assert_close(q.sum(0), cache["q", 1][:, 4], rtol=0.01, atol=1e-3)
    torch.testing.assert_close(k.sum(0), cache["blocks.1.attn.hook_k"][:, 4], rtol=0.01, atol=1e-3)
    scores = torch.einsum("aqd,bkd->abqk", q, k) / arena.cfg.d_head**0.5
    seen = torch.ones(17, 17, dtype=torch.bool).tril()
    whole = cache["attn_scores", 1][4][seen]
    torch.testing.assert_close(scores.sum(dim=(0, 1))[seen], whole, atol=1e-3, rtol=1e-3)


def test_arena_from_the_first_block_on(arena: HookedTransformer, repeated: Any) -> None:
    tokens, logits, _ = repeated
    with torch.no_grad():
        residual, tokens, pos_embed, mask = arena.input_to_embed(tokens)
        options: Any = dict(start_at_layer=0, tokens=tokens, attention_mask=mask)
        again = arena(residual, shortformer_pos_embed=pos_embed, **options)
        without = arena(residual, shortformer_pos_embed=torch.zeros_like(pos_embed), **options)
    torch.testing.assert_close(again[0], logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(again, without, atol=1e-2)


# ---------------------------------------------------------------- ARENA 1.4.1: indirect objects

NAMES = [("Mary", "John"), ("Tom", "Lily")]


class Indirect(NamedTuple):
    """Prompts in pairs that differ in who gives, and the two possible answers of each."""

    tokens: Tensor
    answers: Tensor  # [prompt right_and_wrong]
    logits: Tensor
    cache: ActivationCache


@pytest.fixture(scope="module")
def refactored() -> HookedTransformer:
    return HookedTransformer.from_pretrained(
        "gpt2-demo",
        center_unembed=True,
        center_writing_weights=True,
        fold_ln=True,
        refactor_factored_attn_matrices=True,
        device="cpu",
    )


@pytest.fixture(scope="module")
def indirect(refactored: HookedTransformer) -> Indirect:
    prompts = [
        f"When {a} and {b} went to the park, {giver} gave a ball to" for a, b in NAMES for giver in (b, a)
    ]
    names = [(f" {x}", f" {y}") for a, b in NAMES for x, y in ((a, b), (b, a))]
    tokens = refactored.to_tokens(prompts, prepend_bos=True)
    answers = torch.concat([refactored.to_tokens(list(pair), prepend_bos=False).T for pair in names])
    with torch.no_grad():
        logits, cache = refactored.run_with_cache(tokens)
    return Indirect(tokens, answers, logits, cache)


def mean_difference(logits: Tensor, answers: Tensor, per_prompt: bool = False) -> Tensor:
    right, wrong = logits[:, -1, :].gather(dim=-1, index=answers).unbind(dim=-1)
    return right - wrong if per_prompt else (right - wrong).mean()


def test_arena_lens_layers_and_heads(refactored: HookedTransformer, indirect: Indirect) -> None:
    """Residual directions of the answers, and stacks read along them through the final LayerNorm."""
    cache, whole = indirect.cache, mean_difference(indirect.logits, indirect.answers)
    right, wrong = refactored.tokens_to_residual_directions(indirect.answers).unbind(dim=1)
    direction = right - wrong
    final = cache["resid_post", -1][:, -1, :]
    scaled = cache.apply_ln_to_stack(final, layer=-1, pos_slice=-1)
    b_U = refactored.b_U[indirect.answers]
    bias = (b_U[:, 0] - b_U[:, 1]).mean()
    read = torch.einsum("be,be->", scaled, direction) / len(direction)
    torch.testing.assert_close(read + bias, whole, atol=1e-3, rtol=1e-3)

    def along(stack: Tensor) -> Tensor:
        normed = cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)
        return torch.einsum("...be,be->...", normed, direction) / len(direction)

    stack, labels = cache.accumulated_resid(layer=-1, incl_mid=True, pos_slice=-1, return_labels=True)
    assert len(labels) == len(stack) == 2 * refactored.cfg.n_layers + 1
    torch.testing.assert_close(along(stack)[-1] + bias, whole, atol=1e-3, rtol=1e-3)
    per_layer, labels = cache.decompose_resid(layer=-1, pos_slice=-1, return_labels=True)
    ln_bias = 0.0  # folded into the unembedding
    torch.testing.assert_close(along(per_layer).sum() + bias + ln_bias, whole, atol=1e-3, rtol=1e-3)
    per_head, labels = cache.stack_head_results(layer=-1, pos_slice=-1, return_labels=True)
    n_layers, n_heads = refactored.cfg.n_layers, refactored.cfg.n_heads
    grid = rearrange(along(per_head), "(layer head) -> layer head", layer=n_layers, head=n_heads)
    best = np.unravel_index(int(grid.argmax()), grid.shape)
    assert labels[int(grid.argmax())] == f"L{best[0]}H{best[1]}"
    attention = torch.cat(
        [along(per_layer)[labels_at] for labels_at in ([2],)]
    )  # embed, pos_embed, 0_attn_out
    biases = along(refactored.b_O[0].expand(len(direction), -1))
    torch.testing.assert_close(grid[0].sum() + biases, attention[0], atol=1e-3, rtol=1e-3)


def test_arena_activation_patching_by_hand(refactored: HookedTransformer, indirect: Indirect) -> None:
    corrupted = indirect.tokens[[1, 0, 3, 2]]
    with torch.no_grad():
        clean, bad = indirect.logits, refactored(corrupted)
    low, high = (mean_difference(logits, indirect.answers) for logits in (bad, clean))

    def metric(logits: Tensor) -> Tensor:
        return (mean_difference(logits, indirect.answers) - low) / (high - low)

    def patch(resid: Tensor, hook: HookPoint, pos: int, clean_cache: ActivationCache) -> Tensor:
        resid[:, pos, :] = clean_cache[hook.name][:, pos, :]
        return resid

    refactored.reset_hooks()
    swept = patching.get_act_patch_resid_pre(
        model=refactored, corrupted_tokens=corrupted, clean_cache=indirect.cache, patching_metric=metric
    )
    last = corrupted.shape[1] - 1
    for layer, pos in ((0, 2), (2, last), (3, last)):
        hook = partial(patch, pos=pos, clean_cache=indirect.cache)
        with torch.no_grad():
            patched = refactored.run_with_hooks(
                corrupted, fwd_hooks=[(utils.get_act_name("resid_pre", layer), hook)]
            )
        torch.testing.assert_close(metric(patched), swept[layer, pos], atol=1e-4, rtol=1e-4)
    every = patching.get_act_patch_block_every(refactored, corrupted, indirect.cache, metric)
    torch.testing.assert_close(every[0], swept, atol=1e-4, rtol=1e-4)
    heads = patching.get_act_patch_attn_head_all_pos_every(refactored, corrupted, indirect.cache, metric)
    assert heads.shape == (5, refactored.cfg.n_layers, refactored.cfg.n_heads)


def test_arena_path_patching_by_hand(refactored: HookedTransformer, indirect: Indirect) -> None:
    """Hooks at a level of their own, a cache of one name with no return type, then the unembedding: heads to logits
    and heads to heads, as the published loops go."""
    model, orig_cache = refactored, indirect.cache
    new_tokens = indirect.tokens[[1, 0, 3, 2]]
    metric = partial(mean_difference, answers=indirect.answers)
    z_filter = lambda name: name.endswith("z")  # noqa: E731

    def patch_or_freeze(z: Tensor, hook: HookPoint, new_cache: Any, head_to_patch: tuple[int, int]) -> Tensor:
        z[...] = orig_cache[hook.name][...]
        if head_to_patch[0] == hook.layer():
            z[:, :, head_to_patch[1]] = new_cache[hook.name][:, :, head_to_patch[1]]
        return z

    def patch_heads(x: Tensor, hook: HookPoint, patched: Any, heads: list[tuple[int, int]]) -> Tensor:
        wanted = [head for layer, head in heads if layer == hook.layer()]
        x[:, :, wanted] = patched[hook.name][:, :, wanted]
        return x

    with torch.no_grad():
        model.reset_hooks()
        _, new_cache = model.run_with_cache(new_tokens, names_filter=z_filter, return_type=None)
        assert {name.rpartition(".")[2] for name in new_cache} == {"hook_z"}
        last = utils.get_act_name("resid_post", model.cfg.n_layers - 1)
        receivers = [(3, 0), (3, 2)]
        receiver_names = [utils.get_act_name("v", 3)]
        to_logits, to_heads = {}, {}
        for sender in ((0, 1), (2, 3)):
            hook = partial(patch_or_freeze, new_cache=new_cache, head_to_patch=sender)
            model.add_hook(z_filter, hook, level=1)
            _, patched = model.run_with_cache(
                indirect.tokens, names_filter=lambda name: name == last, return_type=None
            )
            assert set(patched.keys()) == {last}
            to_logits[sender] = metric(model.unembed(model.ln_final(patched[last])))
            _, received = model.run_with_cache(
                indirect.tokens, names_filter=lambda name: name in receiver_names, return_type=None
            )
            model.reset_hooks()
            again = partial(patch_heads, patched=received, heads=receivers)
            logits = model.run_with_hooks(
                indirect.tokens,
                fwd_hooks=[(lambda name: name in receiver_names, again)],
                return_type="logits",
            )
            to_heads[sender] = metric(logits)
        _, whole_new = model.run_with_cache(new_tokens)
        ours = patching.get_path_patch_head_to_logits(model, indirect.tokens, orig_cache, whole_new, metric)
        ours_v = patching.get_path_patch_head_to_heads(
            model, indirect.tokens, orig_cache, whole_new, metric, [("v", *head) for head in receivers]
        )
    for sender, value in to_logits.items():
        torch.testing.assert_close(value, ours[sender], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(to_heads[sender], ours_v[sender], atol=1e-4, rtol=1e-4)


def test_arena_copying_scores_and_a_minimal_circuit(
    refactored: HookedTransformer, indirect: Indirect
) -> None:
    """Names through the first MLP, a head's OV circuit and the unembedding; mean ablation that stays attached."""
    model = refactored
    names = [f" {name}" for pair in NAMES for name in pair]
    ids = model.to_tokens(names, prepend_bos=False).squeeze()
    with torch.no_grad():
        embedded = model.W_E[ids]
        first = embedded + model.blocks[0].mlp(model.blocks[0].ln2(embedded.unsqueeze(0))).squeeze(0)
        OV = FactoredMatrix(model.W_V, model.W_O)
        out = torch.stack(
            [(first @ OV[layer, head].AB) for layer in range(model.cfg.n_layers) for head in range(4)]
        )
        logits = model.unembed(model.ln_final(out))
        ranks = (logits > logits.gather(-1, ids.expand(len(out), 4)[..., None])).sum(dim=-1)
        copies = (ranks < 5).float().mean(dim=-1)
        assert copies.max() >= 0.7  # some head copies most names

        means = {
            name: z.mean(dim=0, keepdim=True) for name, z in indirect.cache.items() if name.endswith("z")
        }
        kept = {(layer, head) for layer in (3, 4, 5) for head in range(4)}

        def ablate(z: Tensor, hook: HookPoint) -> Tensor:
            gone = torch.tensor([(hook.layer(), head) not in kept for head in range(model.cfg.n_heads)])
            return torch.where(gone[:, None], means[hook.name], z)

        model.reset_hooks(including_permanent=True)
        model.add_hook(lambda name: name.endswith("z"), ablate, is_permanent=True)
        model.reset_hooks()
        circuit = mean_difference(model(indirect.tokens), indirect.answers)
        model.reset_hooks(including_permanent=True)
        whole = mean_difference(model(indirect.tokens), indirect.answers)
    torch.testing.assert_close(whole, mean_difference(indirect.logits, indirect.answers))
    assert circuit < whole
