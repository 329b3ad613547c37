"""The Llama-shaped families: Llama, SmolLM2, Mistral, Qwen2 and Qwen3 (Touvron et al. 2023).

RMSNorm, rotary positions, a gated MLP, heads that share keys and values; Qwen3 normalizes queries and keys.
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.tables import by_table

# Hugging Face's name within layer N -> ours; keys and values of a group of heads have names of their own.
BLOCK_NAMES = {
    "input_layernorm.weight": "ln1.w",
    **{f"self_attn.{hf}_proj.weight": f"attn.{W}" for hf, W in zip("qkvo", ("W_Q", "_W_K", "_W_V", "W_O"))},
    **{f"self_attn.{hf}_proj.bias": f"attn.{b}" for hf, b in zip("qkvo", ("b_Q", "_b_K", "_b_V", "b_O"))},
    "self_attn.q_norm.weight": "attn.q_norm.w",
    "self_attn.k_norm.weight": "attn.k_norm.w",
    "post_attention_layernorm.weight": "ln2.w",
    "mlp.gate_proj.weight": "mlp.W_gate",
    "mlp.gate_proj.bias": "mlp.b_gate",
    "mlp.up_proj.weight": "mlp.W_in",
    "mlp.up_proj.bias": "mlp.b_in",
    "mlp.down_proj.weight": "mlp.W_out",
    "mlp.down_proj.bias": "mlp.b_out",
}
NAMES = {
    "embed_tokens.weight": "embed.W_E",
    "norm.weight": "ln_final.w",
    "lm_head.weight": "unembed.W_U",
}
NOT_WEIGHTS = re.compile(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq")  # that old files carry
TIED = False  # when config.json does not say
OPTIONAL = (
    "unembed.b_U",
    "attn.b_Q",
    "attn._b_K",
    "attn._b_V",
    "attn.b_O",
    "mlp.b_gate",
    "mlp.b_in",
    "mlp.b_out",
)


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
    rope = {
        "rope_theta": hf.get("rope_theta"),
        **(hf.get("rope_scaling") or {}),
        **(hf.get("rope_parameters") or {}),
    }
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
    if not NOT_WEIGHTS.fullmatch(name):
        yield from by_table(name, tensor, cfg, tied, NAMES, r"layers\.", BLOCK_NAMES)
