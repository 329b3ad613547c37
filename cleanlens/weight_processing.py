"""Rewrite weights into a form that is easier to read, without changing what the model computes.

Each function works in place on a HookedTransformer, in float64 whatever the model's own type, and does
nothing new the second time. The logits stay the same, except that `center_unembed` shifts all logits of a
position by the same number, which no probability sees.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from einops import einsum
from torch import Tensor, nn

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

CHUNK = 1024  # columns of the unembedding held in float64 at one time


@torch.no_grad()
def process_weights_(
    model: "HookedTransformer",
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    fold_value_biases: bool = True,
    refactor_factored_attn_matrices: bool = False,
) -> None:
    """Apply the chosen ones, in this order."""
    if fold_ln:
        fold_layer_norm(model)
    if center_writing_weights:
        center_writing(model)
    if center_unembed:
        center_unembedding(model)
    if fold_value_biases:
        fold_value_bias(model)
    if refactor_factored_attn_matrices:
        from cleanlens.published.refactor import refactor_attention  # seldom wanted, and the longest of them

        refactor_attention(model)


def fold_layer_norm(model: "HookedTransformer") -> None:
    """Move each norm's gain and bias into the weights that read its output.

    For a reader W, b of LayerNorm's output n * w + b_ln:  (n * w + b_ln) W + b = n (w[:, None] W) + (b_ln W + b).
    The normalized n has mean 0, so the mean of W over d_model is never read and is removed as well. RMSNorm has no
    bias and takes no mean away: there the gain is all.

    A shortformer is left as it is: its queries and keys read the norm's output and the positions beside it, which the
    gain does not belong to.
    """
    if model.cfg.positional_embedding_type == "shortformer":
        return
    for block in model.blocks:
        block.ln1 = _folded(model, block.ln1, block.attn, block.attn.READERS)
        if not model.cfg.attn_only:
            block.ln2 = _folded(model, block.ln2, block.mlp, block.mlp.READERS)
            if model.cfg.is_layer_norm_activation():
                block.mlp.ln = _folded(model, block.mlp.ln, block.mlp, [("W_out", "b_out")])
    model.ln_final = _folded(model, model.ln_final, model.unembed, [("W_U", "b_U")])
    without_gain = {"LN": "LNPre", "RMS": "RMSPre"}
    model.cfg.normalization_type = without_gain.get(
        str(model.cfg.normalization_type), model.cfg.normalization_type
    )
    model.setup()


def _folded(model: "HookedTransformer", ln: Any, module: nn.Module, readers: Iterable) -> nn.Module:
    """What is left of `ln` when its gain and bias are in these weights and biases of the module that reads it."""
    if not hasattr(ln, "w"):
        return ln
    gain = ln.w.double()
    for weight_name, bias_name in readers:
        W, b = getattr(module, weight_name), getattr(module, bias_name)
        for start in range(0, W.shape[-1], CHUNK):
            columns = slice(start, start + CHUNK)
            wide = W[..., columns].double()
            if hasattr(ln, "b"):
                b[..., columns] = b[..., columns].double() + ln.b.double() @ wide
            wide = gain[:, None] * wide
            W[..., columns] = wide - wide.mean(dim=-2, keepdim=True) if ln.centres else wide
    plain = ln.without_gain(model.cfg)
    plain.hook_scale, plain.hook_normalized = ln.hook_scale, ln.hook_normalized  # hooks stay attached
    return plain


def center_writing(model: "HookedTransformer") -> None:
    """Remove the mean over d_model from everything that is written to the residual stream.

    LayerNorm subtracts that mean before anything reads the stream, so nobody misses it. A model in which
    something reads the stream without one (RMSNorm does not subtract it) is left as it is.
    """
    if model.cfg.normalization_type not in ("LN", "LNPre") or model.cfg.final_rms:
        return
    writers: list[Tensor] = [model.embed.W_E]
    if model.cfg.positional_embedding_type == "standard":
        writers.append(model.pos_embed.W_pos)
    for block in model.blocks:
        writers += [block.attn.W_O, block.attn.b_O]
        if not model.cfg.attn_only:
            writers += [block.mlp.W_out, block.mlp.b_out]
    for weight in writers:
        # Row by row, so that the embedding is never held in float64 as a whole.
        for part in weight.split(CHUNK) if weight.ndim > 1 else [weight]:
            part.copy_(part.double() - part.double().mean(dim=-1, keepdim=True))


def center_unembedding(model: "HookedTransformer") -> None:
    """Remove the mean over the vocabulary from the unembedding: softmax does not see a common shift."""
    W_U, b_U = model.unembed.W_U, model.unembed.b_U
    mean = W_U.new_zeros(len(W_U), 1, dtype=torch.float64)
    for columns in W_U.split(CHUNK, dim=1):
        mean += columns.double().sum(dim=1, keepdim=True) / W_U.shape[1]
    for columns in W_U.split(CHUNK, dim=1):
        columns.copy_(columns.double() - mean)
    b_U.copy_(b_U.double() - b_U.double().mean())


def fold_value_bias(model: "HookedTransformer") -> None:
    """Move each head's b_V into b_O: a pattern sums to 1, so every position receives b_V W_O in any case."""
    for block in model.blocks:
        attn = block.attn
        carried = einsum(attn.b_V.double(), attn.W_O.double(), "head d_head, head d_head d_model -> d_model")
        attn.b_O.copy_(attn.b_O.double() + carried)
        getattr(attn, attn.READERS[2][1]).zero_()
