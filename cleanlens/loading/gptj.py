"""The GPT-J family (Wang & Komatsuzaki 2021): attention and MLP side by side behind one LayerNorm; pairs of
neighbouring entries are rotated; the unembedding has a bias, the attention has none."""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.tables import by_table

# Hugging Face's name within block N -> ours.
BLOCK_NAMES = {
    "ln_1.weight": "ln1.w",
    "ln_1.bias": "ln1.b",
    **{
        f"attn.{hf}.weight": f"attn.W_{W}"
        for hf, W in zip(("q_proj", "k_proj", "v_proj", "out_proj"), "QKVO")
    },
    "mlp.fc_in.weight": "mlp.W_in",
    "mlp.fc_in.bias": "mlp.b_in",
    "mlp.fc_out.weight": "mlp.W_out",
    "mlp.fc_out.bias": "mlp.b_out",
}
NAMES = {
    "wte.weight": "embed.W_E",
    "ln_f.weight": "ln_final.w",
    "ln_f.bias": "ln_final.b",
    "lm_head.weight": "unembed.W_U",
    "lm_head.bias": "unembed.b_U",
}
NOT_WEIGHTS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias|embed_positions)")  # that old files carry
TIED = False  # when config.json does not say
OPTIONAL = ("attn.b_Q", "attn.b_K", "attn.b_V", "attn.b_O")


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `GPTJConfig`.

    Raises:
        ValueError: sizes that do not fit together.
    """
    heads, width = hf["n_head"], hf["n_embd"]
    if width % heads:
        raise ValueError(f"config.json: n_embd = {width} is not a multiple of n_head = {heads}")
    return HookedTransformerConfig(
        n_layers=hf["n_layer"],
        d_model=width,
        n_ctx=hf["n_positions"],
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf.get("n_inner") or 4 * width,
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("activation_function", "gelu_new"),
        eps=hf.get("layer_norm_epsilon", 1e-5),
        normalization_type="LN",
        parallel_attn_mlp=True,
        positional_embedding_type="rotary",
        rotary_dim=hf.get("rotary_dim") or width // heads,
        rotary_adjacent_pairs=True,
        original_architecture="GPTJForCausalLM",
        init_weights=False,
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors for one of Hugging Face's, as `tables.by_table` gives them.

    Raises:
        KeyError: this family has no weight of this name.
    """
    name = name.removeprefix("transformer.")
    if NOT_WEIGHTS.fullmatch(name):
        return
    for ours, part in by_table(name, tensor, cfg, tied, NAMES, r"h\.", BLOCK_NAMES):
        yield ours, part
        if "ln1" in ours:  # the one LayerNorm of the block serves the MLP as well
            yield ours.replace("ln1", "ln2"), part
