"""The GPT-NeoX family: GPT-NeoX-20B, Pythia, StableLM-Alpha (Black et al. 2022).

Attention and MLP side by side, each with a LayerNorm of its own; a part of every query and key is rotated.
"""

import re
from collections.abc import Iterator
from typing import Any

from einops import rearrange
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.llama import rotary
from cleanlens.loading.tables import by_table

# Hugging Face's name within layer N -> ours. The matrix that holds queries, keys and values is in `convert`.
BLOCK_NAMES = {
    "input_layernorm.weight": "ln1.w",
    "input_layernorm.bias": "ln1.b",
    "attention.dense.weight": "attn.W_O",
    "attention.dense.bias": "attn.b_O",
    "post_attention_layernorm.weight": "ln2.w",
    "post_attention_layernorm.bias": "ln2.b",
    "mlp.dense_h_to_4h.weight": "mlp.W_in",
    "mlp.dense_h_to_4h.bias": "mlp.b_in",
    "mlp.dense_4h_to_h.weight": "mlp.W_out",
    "mlp.dense_4h_to_h.bias": "mlp.b_out",
}
NAMES = {
    "embed_in.weight": "embed.W_E",
    "final_layer_norm.weight": "ln_final.w",
    "final_layer_norm.bias": "ln_final.b",
    "embed_out.weight": "unembed.W_U",
    "lm_head.weight": "unembed.W_U",  # what transformers 5 calls it
}
NOT_WEIGHTS = re.compile(
    r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"
)  # that old files carry
TIED = False  # when config.json does not say
OPTIONAL = ("unembed.b_U", "attn.b_Q", "attn.b_K", "attn.b_V", "attn.b_O")


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `GPTNeoXConfig`.

    Raises:
        ValueError: the file asks for something that is not built.
    """
    heads, width = hf["num_attention_heads"], hf["hidden_size"]
    if width % heads:
        raise ValueError(
            f"config.json: hidden_size = {width} is not a multiple of num_attention_heads = {heads}"
        )
    rope = {"rope_theta": hf.get("rotary_emb_base", 10000), **hf}
    share = (hf.get("rope_parameters") or {}).get("partial_rotary_factor", hf.get("rotary_pct", 0.25))
    return HookedTransformerConfig(
        n_layers=hf["num_hidden_layers"],
        d_model=width,
        n_ctx=hf["max_position_embeddings"],
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf["intermediate_size"],
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("hidden_act", "gelu"),
        eps=hf.get("layer_norm_eps", 1e-5),
        normalization_type="LN",
        parallel_attn_mlp=hf.get("use_parallel_residual", True),
        positional_embedding_type="rotary",
        rotary_dim=int(width // heads * share),
        original_architecture="GPTNeoXForCausalLM",
        init_weights=False,
        **rotary(rope),
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors for one of Hugging Face's, as `tables.by_table` gives them.

    Raises:
        KeyError: this family has no weight of this name.
    """
    name = name.removeprefix("gpt_neox.")
    if NOT_WEIGHTS.fullmatch(name):
        return
    joined = re.fullmatch(r"layers\.(\d+)\.attention\.query_key_value\.(weight|bias)", name)
    if joined is None:
        yield from by_table(name, tensor, cfg, tied, NAMES, r"layers\.", BLOCK_NAMES)
    else:
        shape = "(head part d_head) d_model -> part head d_model d_head"
        if joined.group(2) == "bias":
            shape = "(head part d_head) -> part head d_head"
        for letter, part in zip("QKV", rearrange(tensor, shape, part=3, d_head=cfg.d_head)):
            yield f"blocks.{joined.group(1)}.attn.{'b' if part.ndim == 2 else 'W'}_{letter}", part
