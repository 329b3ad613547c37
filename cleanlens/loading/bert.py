"""BERT (Devlin et al. 2019): an encoder, read by `HookedEncoder`. The pooler and the head that judges whether one
sentence follows another are not part of it."""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.tables import by_table

# Hugging Face's name within layer N -> ours.
BLOCK_NAMES = {
    **{f"attention.self.{hf}.weight": f"attn.W_{W}" for hf, W in zip(("query", "key", "value"), "QKV")},
    **{f"attention.self.{hf}.bias": f"attn.b_{b}" for hf, b in zip(("query", "key", "value"), "QKV")},
    "attention.output.dense.weight": "attn.W_O",
    "attention.output.dense.bias": "attn.b_O",
    "attention.output.LayerNorm.weight": "ln1.w",
    "attention.output.LayerNorm.bias": "ln1.b",
    "intermediate.dense.weight": "mlp.W_in",
    "intermediate.dense.bias": "mlp.b_in",
    "output.dense.weight": "mlp.W_out",
    "output.dense.bias": "mlp.b_out",
    "output.LayerNorm.weight": "ln2.w",
    "output.LayerNorm.bias": "ln2.b",
}
NAMES = {
    "embeddings.word_embeddings.weight": "embed.embed.W_E",
    "embeddings.position_embeddings.weight": "embed.pos_embed.W_pos",
    "embeddings.token_type_embeddings.weight": "embed.token_type_embed.W_token_type",
    "embeddings.LayerNorm.weight": "embed.ln.w",
    "embeddings.LayerNorm.bias": "embed.ln.b",
    "cls.predictions.transform.dense.weight": "mlm_head.W",
    "cls.predictions.transform.dense.bias": "mlm_head.b",
    "cls.predictions.transform.LayerNorm.weight": "mlm_head.ln.w",
    "cls.predictions.transform.LayerNorm.bias": "mlm_head.ln.b",
    "cls.predictions.decoder.weight": "unembed.W_U",
    "cls.predictions.decoder.bias": "unembed.b_U",
    "cls.predictions.bias": "unembed.b_U",  # the same once more, in many files the only one
}
STATED_TWICE = {"unembed.b_U"}  # files hold it for the head and once more for its decoder
NOT_WEIGHTS = re.compile(r"embeddings\.position_ids|pooler\..*|cls\.seq_relationship\..*")
TIED = True  # when config.json does not say
OPTIONAL = ()
IS_ENCODER = True


def config(hf: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of a `BertConfig`.

    Raises:
        ValueError: sizes that do not fit together, or something that is not built.
    """
    heads, width = hf["num_attention_heads"], hf["hidden_size"]
    if width % heads:
        raise ValueError(
            f"config.json: hidden_size = {width} is not a multiple of num_attention_heads = {heads}"
        )
    if hf.get("is_decoder") or hf.get("add_cross_attention"):
        raise ValueError(
            "config.json: is_decoder or add_cross_attention is true; cleanlens builds BERT as an encoder"
        )
    positions = hf.get("position_embedding_type", "absolute")
    if positions != "absolute" or hf.get("type_vocab_size", 2) != 2:
        raise ValueError(
            f"config.json: position_embedding_type = {positions!r}, type_vocab_size = {hf.get('type_vocab_size')}; "
            "cleanlens builds BERT with absolute positions and two token types"
        )
    return HookedTransformerConfig(
        n_layers=hf["num_hidden_layers"],
        d_model=width,
        n_ctx=hf["max_position_embeddings"],
        d_head=width // heads,
        n_heads=heads,
        d_mlp=hf["intermediate_size"],
        d_vocab=hf["vocab_size"],
        act_fn=hf.get("hidden_act", "gelu"),
        eps=hf.get("layer_norm_eps", 1e-12),
        normalization_type="LN",
        attention_dir="bidirectional",
        original_architecture="BertForMaskedLM",
        init_weights=False,
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """Our names and tensors for one of Hugging Face's, as `tables.by_table` gives them.

    Raises:
        KeyError: this family has no weight of this name.
    """
    name = name.removeprefix("bert.")
    # The first files, of 2018, call a norm's weight gamma and its bias beta.
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    if not NOT_WEIGHTS.fullmatch(name):
        yield from by_table(name, tensor, cfg, tied, NAMES, r"encoder\.layer\.", BLOCK_NAMES)
