"""The parts of a transformer, one file each, in the order in which a token meets them."""

from cleanlens.components.embed import Embed
from cleanlens.components.pos_embed import PosEmbed
from cleanlens.components.layer_norm import NORMS, LayerNorm, LayerNormPre, NoNorm
from cleanlens.components.attention import Attention, visible
from cleanlens.components.mlp import MLP
from cleanlens.components.transformer_block import BLOCKS, AttnOnlyBlock, TransformerBlock
from cleanlens.components.unembed import Unembed

__all__ = [
    "BLOCKS",
    "MLP",
    "NORMS",
    "Attention",
    "AttnOnlyBlock",
    "Embed",
    "LayerNorm",
    "LayerNormPre",
    "NoNorm",
    "PosEmbed",
    "TransformerBlock",
    "Unembed",
    "visible",
]
