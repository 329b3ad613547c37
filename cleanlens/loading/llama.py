"""The Llama-shaped families: Llama, SmolLM2, Mistral, Qwen2 and Qwen3 (Touvron et al. 2023).

RMSNorm, rotary positions, a gated MLP, heads that share keys and values; Qwen3 normalizes queries and keys.
"""

import re
from collections.abc import Iterator
from typing import Any

from einops import rearrange
from torch import Tensor

from cleanlens.config import HookedTransformerConfig

# Hugging Face's name within layer N -> ours. The attention's matrices are in `convert`.
BLOCK_NAMES = {
    "input_layernorm.weight": "ln1.w",
    "self_attn.q_norm.weight": "attn.q_norm.w",
    "self_attn.k_norm.weight": "attn.k_norm.w",
    "self_attn.o_proj.bias": "attn.b_O",
    "post_attention_layernorm.weight": "ln2.w",
    "mlp.gate_proj.weight": "mlp.W_gate",
    "mlp.gate_proj.bias": "mlp.b_gate",
    "mlp.up_proj.weight": "mlp.W_in",
    "mlp.up_proj.bias": "mlp.b_in",
    "mlp.down_proj.weight": "mlp.W_out",
    "mlp.down_proj.bias": "mlp.b_out",
}
HEADS = {"q": "Q", "k": "_K", "v": "_V"}  # grouped keys and values are parameters of their own
NOT_WEIGHTS = re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")  # that old files carry
TIED = False  # when config.json does not say


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `LlamaConfig`, `MistralConfig`, `Qwen2Config` or `Qwen3Config`.

    Raises:
        ValueError: a field is missing, or the file asks for something that is not built.
    """
    kind = hf["model_type"]
    heads, width, layers = hf["num_attention_heads"], hf["hidden_size"], hf["num_hidden_layers"]
    window, local_layers = _window(hf, layers)
    return HookedTransformerConfig(
        n_layers=layers,
        d_model=width,
        n_ctx=hf["max_position_embeddings"],
        d_head=hf.get("head_dim") or (128 if kind == "qwen3" else width // heads),
        n_heads=heads,
        n_key_value_heads=hf.get("num_key_value_heads") or heads,
        d_mlp=hf["intermediate_size"],
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("hidden_act", "silu"),
        eps=hf.get("rms_norm_eps", 1e-6),
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        positional_embedding_type="rotary",
        use_qk_norm=kind == "qwen3",
        use_local_attn=window is not None,
        window_size=window,
        attn_types=local_layers,
        original_architecture={"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}.get(
            kind, f"{kind.capitalize()}ForCausalLM"
        ),
        init_weights=False,
        **rotary(hf),
    )


def _window(hf: dict[str, Any], n_layers: int) -> tuple[int | None, list[str] | None]:
    """How far the local layers see, and which layers they are."""
    window = hf.get("sliding_window")
    if hf["model_type"].startswith("qwen") and not hf.get("use_sliding_window"):
        window = None
    if window is None or window >= hf["max_position_embeddings"]:
        return None, None
    if types := hf.get("layer_types"):
        kinds = {"full_attention": "global", "sliding_attention": "local"}
        if not set(types) <= set(kinds):
            raise ValueError(f"config.json: layer_types has {sorted(set(types))}; built are {sorted(kinds)}")
        return window, [kinds[kind] for kind in types]
    first = hf.get("max_window_layers", 0) if hf["model_type"].startswith("qwen") else 0
    return window, ["global" if layer < first else "local" for layer in range(n_layers)]


def rotary(hf: dict[str, Any]) -> dict[str, Any]:
    """The fields of our config that say how fast queries and keys turn: `rope_parameters`, or as older files write it
    `rope_theta` and `rope_scaling`.

    Raises:
        ValueError: a kind of scaling that is not built.
    """
    rope = {"rope_theta": hf.get("rope_theta"), **(hf.get("rope_scaling") or {}), **(hf.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    fields: dict[str, Any] = {"rotary_base": float(rope["rope_theta"] or 10000.0)}
    if kind == "llama3":
        fields |= {
            "use_NTK_by_parts_rope": True,
            "NTK_by_parts_factor": rope["factor"],
            "NTK_by_parts_low_freq_factor": rope["low_freq_factor"],
            "NTK_by_parts_high_freq_factor": rope["high_freq_factor"],
            "NTK_original_ctx_len": rope["original_max_position_embeddings"],
        }
    elif kind == "linear":
        fields["rotary_scaling_factor"] = rope["factor"]
    elif kind != "default":
        raise ValueError(
            f"config.json: the rotary scaling is {kind!r}; built are 'default', 'linear' and 'llama3' "
            "(cleanlens/components/rotary_attention.py)"
        )
    return fields


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors (views, nothing is copied) for one of Hugging Face's.

    Args:
        tied: the file has no `lm_head.weight`; the embedding serves as unembedding too.

    Raises:
        KeyError: these families have no weight of this name.
    """
    name = name.removeprefix("model.")
    if NOT_WEIGHTS.fullmatch(name):
        return
    block = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if block is None:
        if name == "embed_tokens.weight" and tied:
            yield "unembed.W_U", tensor.T
        names = {"embed_tokens.weight": "embed.W_E", "norm.weight": "ln_final.w", "lm_head.weight": "unembed.W_U"}
        yield names[name], tensor.T if name == "lm_head.weight" else tensor
        return
    layer, rest = int(block.group(1)), block.group(2)
    if layer >= cfg.n_layers:  # first_n_layers leaves these out
        return
    part = re.fullmatch(r"self_attn\.([qkv])_proj\.(weight|bias)", rest)
    if part is not None:
        underscore, letter = HEADS[part.group(1)].rpartition("_")[1:]
        shape = "(head d_head) d_model -> head d_model d_head"
        if part.group(2) == "bias":
            shape = "(head d_head) -> head d_head"
        weight_or_bias = "W" if part.group(2) == "weight" else "b"
        yield (
            f"blocks.{layer}.attn.{underscore}{weight_or_bias}_{letter}",
            rearrange(tensor, shape, d_head=cfg.d_head),
        )
    elif rest == "self_attn.o_proj.weight":
        W_O = rearrange(tensor, "d_model (head d_head) -> head d_head d_model", d_head=cfg.d_head)
        yield f"blocks.{layer}.attn.W_O", W_O
    else:
        yield f"blocks.{layer}.{BLOCK_NAMES[rest]}", tensor.T if tensor.ndim == 2 else tensor
