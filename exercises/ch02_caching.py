# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 02`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 02, Caching and logit attribution: what one run leaves behind, and how to read the residual stream.

A cache is what `model.run_with_cache` returns: `cache["q", 1]`, `cache["resid_post", 0]`, `cache["embed"]`, and
`cache.model`, the model it comes from. No answer changes a cache, its model, or another argument.
"""

from collections.abc import Callable

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer
from cleanlens.components import LayerNorm


# exercise 02.1
def run_with_cache(
    model: HookedTransformer, tokens: Int[Tensor, "b s"], names_filter: str | Callable[[str], bool]
) -> tuple[Float[Tensor, "b s v"], dict[str, Tensor]]:
    """Run the model; return its logits and a dictionary of activations by the names of their hook points.

    Every value is a copy of what its hook point passed on, after the hooks that were there already; it may keep its
    graph of gradients or not. Afterwards, also when the run raises or is interrupted, the model has the hooks that it
    had before and no others; the exception reaches the caller.

    `names_filter` is one whole name, or a function that says of each name whether it is wanted.
    Use `model.hook_dict` (names to hook points), `point.add_hook(fn)` and `point.discard(...)` of what it returns.
    A hook is called `fn(activation, hook=point)`; it returns None, and `point.name` is its name.
    """
    raise NotImplementedError("02.1")


# exercise 02.2
def recompute_pattern(cache: ActivationCache, layer: int) -> Float[Tensor, "b h q k"]:
    """The causal attention pattern of every head of a layer, from the cached queries and keys alone.

    `cache["q", layer]` and `cache["k", layer]` are `[b s h e]`; their model divides scores by the root of d_head (e).
    Scores may be large: hundreds, of either sign.
    """
    raise NotImplementedError("02.2")


# exercise 02.3
def head_results(cache: ActivationCache, layer: int) -> Float[Tensor, "b s h d"]:
    """What each head of a layer writes to the residual stream: its z through its own W_O, without b_O.

    `cache["z", layer]` is `[b s h e]`; `cache.model.blocks[layer].attn.W_O` is `[h e d]`.
    """
    raise NotImplementedError("02.3")


# exercise 02.4
def decompose_resid(cache: ActivationCache, layer: int) -> tuple[Float[Tensor, "c b s d"], list[str]]:
    """Everything that was written to the residual stream before `layer` reads it, and a label for each component.

    In the order of writing: "embed", "pos_embed", "0_attn_out", "0_mlp_out", "1_attn_out", ... up to layer - 1, as in
    `cache["embed"]`, `cache["attn_out", 0]`, `cache["mlp_out", 0]`. With layer = n_layers, all of it. An attention-only
    model (`cache.model.cfg.attn_only`) has no MLPs.
    """
    raise NotImplementedError("02.4")


# exercise 02.5
def apply_final_ln(
    stack: Float[Tensor, "c b s d"], scale: Float[Tensor, "b s 1"], ln: LayerNorm
) -> Float[Tensor, "c b s d"]:
    """Pass each component through LayerNorm's linear part: centred, divided by the given scale, times the gain.

    The scale is the standard deviation that the whole stream had, epsilon included (`cache["scale"]`); `ln.w` is the
    gain. All components of the stream sum to the LayerNorm's output on the whole stream, less its bias `ln.b`.
    `stack` may hold only some of them; it is not changed.
    """
    raise NotImplementedError("02.5")


# exercise 02.6
def logit_attribution(
    stack: Float[Tensor, "c s d"], W_U: Float[Tensor, "d v"], tokens: Int[Tensor, " s"]
) -> Float[Tensor, "s-1 c"]:
    """What each component adds to the logit of the next token, at each position that has one.

    `stack` holds the components of one sequence behind the final LayerNorm (as `apply_final_ln` gives them).
    Entry [i, c] is component c's part, at position i, of the logit of the token at position i + 1 (b_U is no component's).
    With one token alone there is no such position.
    """
    raise NotImplementedError("02.6")


# exercise 02.7
def logit_lens(cache: ActivationCache) -> Float[Tensor, "l b s v"]:
    """The logits that the model would give if it ended after the embeddings, after layer 0, ..., after the last.

    n_layers + 1 entries: the residual stream that enters each layer, and the one that leaves the last, each through
    `cache.model.ln_final` and `cache.model.unembed`. The last entry is the model's own logits.
    """
    raise NotImplementedError("02.7")


# exercise 02.8
def fold_ln(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A new state dict of the same model, whose LayerNorms have gain 1 and bias 0 and whose logits are the same.

    ln1 (`blocks.0.ln1.w`, `blocks.0.ln1.b`) is read by `blocks.0.attn.W_Q`, `W_K`, `W_V` (`[h d e]`, with biases
    `b_Q`, `b_K`, `b_V`, `[h e]`); ln2 by `blocks.0.mlp.W_in` (`[d m]`) and `b_in`; ln_final by `unembed.W_U` (`[d v]`)
    and `b_U`. Attention-only models have no ln2. All other entries stay, under their names. The given state and its
    tensors are not changed; tensors that stay the same may be shared.
    """
    raise NotImplementedError("02.8")
