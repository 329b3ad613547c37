"""Shapes of code that published notebooks are made of, in our words, on the embedded model.

Each of them has stopped a notebook at some time; tests/test_contract.py holds the names and signatures.
"""

import plotly.express as px
import pytest
import torch
from torch import Tensor, nn

from cleanlens import ActivationCache, FactoredMatrix, HookedTransformer, evals, patching, utils
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
    assert attribution.stack_activation("z").shape == (4, 1, n_pos, 4, 32)
    assert attribution.stack_activation("pattern").shape == (4, 1, 4, n_pos, n_pos)
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
    assert every.shape == (3, 4, tokens.shape[1])


def test_head_detection_by_a_pattern_of_ones(model: HookedTransformer) -> None:
    n_pos = len(model.to_str_tokens(CLEAN))
    ones = torch.tril(torch.ones(n_pos, n_pos))
    scores = detect_head(model, CLEAN, ones, exclude_bos=True, exclude_current_token=True)
    torch.testing.assert_close(scores, torch.ones(4, 4))
    assert detect_head(model, [CLEAN, CORRUPTED], "previous_token_head", error_measure="abs").shape == (4, 4)


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
    assert copying.shape == (4, 4)
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
