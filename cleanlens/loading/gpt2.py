"""The GPT-2 family: how Hugging Face names its sizes and weights, and how we do (Radford et al. 2019)."""

import re
from collections.abc import Iterator
from typing import Any

from einops import rearrange
from torch import Tensor

from cleanlens.config import HookedTransformerConfig

# Hugging Face's name within block N -> ours. A matrix that holds several is in `convert`.
BLOCK_NAMES = {
    "ln_1.weight": "ln1.w",
    "ln_1.bias": "ln1.b",
    "attn.c_proj.weight": "attn.W_O",
    "attn.c_proj.bias": "attn.b_O",
    "ln_2.weight": "ln2.w",
    "ln_2.bias": "ln2.b",
    "mlp.c_fc.weight": "mlp.W_in",
    "mlp.c_fc.bias": "mlp.b_in",
    "mlp.c_proj.weight": "mlp.W_out",
    "mlp.c_proj.bias": "mlp.b_out",
}
NAMES = {
    "wte.weight": "embed.W_E",
    "wpe.weight": "pos_embed.W_pos",
    "ln_f.weight": "ln_final.w",
    "ln_f.bias": "ln_final.b",
    "lm_head.weight": "unembed.W_U",
}
NOT_WEIGHTS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")  # causal masks that old files carry
TIED = True  # when config.json does not say
OPTIONAL = ("unembed.b_U",)  # what no file has starts at zero


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `GPT2Config`, whose defaults hold where a field is missing.

    Raises:
        ValueError: the file asks for something that a GPT-2 of ours does not have.
    """
    if hf.get("add_cross_attention"):
        raise ValueError("config.json: add_cross_attention is true; cleanlens has no cross-attention")
    heads, width = hf.get("n_head", 12), hf.get("n_embd", 768)
    if width % heads:
        raise ValueError(f"config.json: n_embd = {width} is not a multiple of n_head = {heads}")
    return HookedTransformerConfig(
        n_layers=hf.get("n_layer", 12),
        d_model=width,
        n_ctx=hf.get("n_positions", hf.get("n_ctx", 1024)),
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf.get("n_inner") or 4 * width,
        d_vocab=hf.get("vocab_size", 50257),
        act_fn=hf.get("activation_function", "gelu_new"),
        eps=hf.get("layer_norm_epsilon", 1e-5),
        normalization_type="LN",
        use_attn_scale=hf.get("scale_attn_weights", True),
        scale_attn_by_inverse_layer_idx=hf.get("scale_attn_by_inverse_layer_idx", False),
        original_architecture="GPT2LMHeadModel",
        init_weights=False,
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors (views, nothing is copied) for one of Hugging Face's.

    Args:
        tied: the file has no `lm_head.weight`; the embedding serves as unembedding too.

    Raises:
        KeyError: GPT-2 has no weight of this name.
    """
    name = name.removeprefix("transformer.")
    if NOT_WEIGHTS.fullmatch(name):
        return
    block = re.fullmatch(r"h\.(\d+)\.(.+)", name)
    if block is None:
        if name == "wte.weight" and tied:
            yield "unembed.W_U", tensor.T
        yield NAMES[name], tensor.T if name == "lm_head.weight" else tensor
        return
    layer, rest = int(block.group(1)), block.group(2)
    if rest == "attn.c_attn.weight":
        for letter, part in zip("QKV", tensor.chunk(3, dim=1)):
            W = rearrange(part, "d_model (head d_head) -> head d_model d_head", head=cfg.n_heads)
            yield f"blocks.{layer}.attn.W_{letter}", W
    elif rest == "attn.c_attn.bias":
        for letter, part in zip("QKV", tensor.chunk(3)):
            b = rearrange(part, "(head d_head) -> head d_head", head=cfg.n_heads)
            yield f"blocks.{layer}.attn.b_{letter}", b
    elif rest == "attn.c_proj.weight":
        W_O = rearrange(tensor, "(head d_head) d_model -> head d_head d_model", head=cfg.n_heads)
        yield f"blocks.{layer}.attn.W_O", W_O
    else:
        yield f"blocks.{layer}.{BLOCK_NAMES[rest]}", tensor
