"""The OPT family (Zhang et al. 2022): GPT-2 with ReLU, whose table of positions begins with two rows for padding."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.tables import by_table

# Hugging Face's name within layer N -> ours.
BLOCK_NAMES = {
    "self_attn_layer_norm.weight": "ln1.w",
    "self_attn_layer_norm.bias": "ln1.b",
    **{
        f"self_attn.{hf}.weight": f"attn.W_{W}"
        for hf, W in zip(("q_proj", "k_proj", "v_proj", "out_proj"), "QKVO")
    },
    **{
        f"self_attn.{hf}.bias": f"attn.b_{b}"
        for hf, b in zip(("q_proj", "k_proj", "v_proj", "out_proj"), "QKVO")
    },
    "final_layer_norm.weight": "ln2.w",
    "final_layer_norm.bias": "ln2.b",
    "fc1.weight": "mlp.W_in",
    "fc1.bias": "mlp.b_in",
    "fc2.weight": "mlp.W_out",
    "fc2.bias": "mlp.b_out",
}
NAMES = {
    "embed_tokens.weight": "embed.W_E",
    "embed_positions.weight": "pos_embed.W_pos",
    "final_layer_norm.weight": "ln_final.w",
    "final_layer_norm.bias": "ln_final.b",
    "lm_head.weight": "unembed.W_U",
}
PADDING_ROWS = 2
TIED = True  # when config.json does not say
OPTIONAL = ("unembed.b_U",)


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of an `OPTConfig`.

    Raises:
        ValueError: sizes that do not fit together, or a variant that is not built, OPT-350m's among them.
    """
    heads, width = hf["num_attention_heads"], hf["hidden_size"]
    if width % heads:
        raise ValueError(
            f"config.json: hidden_size = {width} is not a multiple of num_attention_heads = {heads}"
        )
    narrow = hf.get("word_embed_proj_dim") or width
    if narrow != width or not hf.get("do_layer_norm_before", True):
        raise ValueError(
            f"config.json: word_embed_proj_dim = {narrow}, do_layer_norm_before = {hf.get('do_layer_norm_before', True)}: "
            "this OPT (350m is one) projects narrow embeddings into the residual stream and normalizes behind each "
            "layer; cleanlens builds the OPT models that do neither, from 125m to 66b (cleanlens/loading/opt.py)"
        )
    for field in ("enable_bias", "layer_norm_elementwise_affine"):
        if not hf.get(field, True):
            raise ValueError(
                f"config.json: {field} is false; cleanlens builds OPT with biases and gains only"
            )
    return HookedTransformerConfig(
        n_layers=hf["num_hidden_layers"],
        d_model=width,
        n_ctx=hf["max_position_embeddings"],
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf["ffn_dim"],
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("activation_function", "relu"),
        eps=1e-5,
        normalization_type="LN",
        original_architecture="OPTForCausalLM",
        init_weights=False,
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors for one of Hugging Face's, as `tables.by_table` gives them.

    Raises:
        KeyError: this family has no weight of this name.
    """
    name = name.removeprefix("model.").removeprefix("decoder.")
    if name == "embed_positions.weight":
        tensor = tensor[PADDING_ROWS:]
    yield from by_table(name, tensor, cfg, tied, NAMES, r"layers\.", BLOCK_NAMES)
