"""The parts of a transformer, one file each, in the order in which a token meets them; first GPT-2's, then what other
families put in their place."""

import importlib
from typing import Any

from cleanlens.components.embed import Embed
from cleanlens.components.pos_embed import PosEmbed
from cleanlens.components.layer_norm import LayerNorm, LayerNormPre, NoNorm
from cleanlens.components.attention import Attention, visible
from cleanlens.components.mlp import MLP
from cleanlens.components.transformer_block import AttnOnlyBlock, TransformerBlock
from cleanlens.components.unembed import Unembed

from cleanlens.components.rms_norm import RMSNorm, RMSNormPre
from cleanlens.components.rotary_attention import RotaryAttention
from cleanlens.components.alibi_attention import AlibiAttention
from cleanlens.components.grouped_query_attention import GroupedQueryAttention
from cleanlens.components.local_attention import LocalAttention
from cleanlens.components.gated_mlp import GatedMLP
from cleanlens.components.solu_mlp import SoluMLP
from cleanlens.components.parallel_block import ParallelBlock
from cleanlens.components.shortformer import ShortformerAttnOnlyBlock, ShortformerBlock
from cleanlens.components.bert_embed import BertEmbed, TokenTypeEmbed
from cleanlens.components.bert_block import BertBlock
from cleanlens.components.bert_mlm_head import BertMLMHead
from cleanlens.components.choices import NORMS, final_norm_for
from cleanlens.config import HookedTransformerConfig

__all__ = [
    "MLP",
    "NORMS",
    "AlibiAttention",
    "Attention",
    "AttnOnlyBlock",
    "BertBlock",
    "BertEmbed",
    "BertMLMHead",
    "Embed",
    "GatedMLP",
    "GroupedQueryAttention",
    "LayerNorm",
    "LayerNormPre",
    "LocalAttention",
    "NoNorm",
    "ParallelBlock",
    "PosEmbed",
    "RMSNorm",
    "RMSNormPre",
    "RotaryAttention",
    "ShortformerAttnOnlyBlock",
    "ShortformerBlock",
    "SoluMLP",
    "TokenTypeEmbed",
    "TransformerBlock",
    "Unembed",
    "block_for",
    "final_norm_for",
    "visible",
]


def block_for(cfg: HookedTransformerConfig, layer: int) -> AttnOnlyBlock:
    """The block that a config asks for; see `choices` for what is inside of it."""
    if cfg.positional_embedding_type == "shortformer":
        return (ShortformerAttnOnlyBlock if cfg.attn_only else ShortformerBlock)(cfg, layer)
    if cfg.attn_only:
        return AttnOnlyBlock(cfg, layer)
    return (ParallelBlock if cfg.parallel_attn_mlp else TransformerBlock)(cfg, layer)


def __getattr__(name: str) -> Any:
    """Other names that published code knows live in `cleanlens.published.components`."""
    if name.startswith("__") or name not in ("AbstractAttention", "CanBeUsedAsMLP"):
        raise AttributeError(f"module 'cleanlens.components' has no attribute {name!r}")
    return getattr(importlib.import_module("cleanlens.published.components"), name)
