"""The GPT-Neo family, TinyStories among it (Black et al. 2021): every other layer sees a window only, and scores are
not divided by anything."""

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
    "attn.attention.q_proj.weight": "attn.W_Q",
    "attn.attention.k_proj.weight": "attn.W_K",
    "attn.attention.v_proj.weight": "attn.W_V",
    "attn.attention.out_proj.weight": "attn.W_O",
    "attn.attention.out_proj.bias": "attn.b_O",
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
NOT_WEIGHTS = re.compile(r"h\.\d+\.attn\.attention\.(bias|masked_bias)")  # causal masks that old files carry
TIED = True  # when config.json does not say
OPTIONAL = ("unembed.b_U", "attn.b_Q", "attn.b_K", "attn.b_V")


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `GPTNeoConfig`.

    Raises:
        ValueError: sizes that do not fit together, or a kind of attention other than "global" and "local".
    """
    heads, width, layers = hf["num_heads"], hf["hidden_size"], hf["num_layers"]
    if width % heads:
        raise ValueError(f"config.json: hidden_size = {width} is not a multiple of num_heads = {heads}")
    # [[["global", "local"], 6]]: this pattern, six times over.
    repeated = hf.get("attention_types") or [[["global", "local"], layers // 2]]
    types = [kind for pattern, times in repeated for kind in list(pattern) * times]
    return HookedTransformerConfig(
        n_layers=layers,
        d_model=width,
        n_ctx=hf["max_position_embeddings"],
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf.get("intermediate_size") or 4 * width,
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("activation_function", "gelu_new"),
        eps=hf.get("layer_norm_epsilon", 1e-5),
        normalization_type="LN",
        use_attn_scale=False,
        use_local_attn=True,
        window_size=hf.get("window_size", 256),
        attn_types=types,
        original_architecture="GPTNeoForCausalLM",
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
    if not NOT_WEIGHTS.fullmatch(name):
        yield from by_table(name, tensor, cfg, tied, NAMES, r"h\.", BLOCK_NAMES)
