"""Which class serves a config: here an architecture is chosen, once, when a model is built."""

from functools import cache

from torch import nn

from cleanlens.components.alibi_attention import AlibiAttention
from cleanlens.components.attention import Attention
from cleanlens.components.gated_mlp import GatedMLP
from cleanlens.components.grouped_query_attention import GroupedQueryAttention
from cleanlens.components.layer_norm import LayerNorm, LayerNormPre, NoNorm
from cleanlens.components.local_attention import LocalAttention
from cleanlens.components.mlp import MLP
from cleanlens.components.rms_norm import RMSNorm, RMSNormPre
from cleanlens.components.rotary_attention import RotaryAttention
from cleanlens.components.solu_mlp import SoluMLP
from cleanlens.config import HookedTransformerConfig

NORMS: dict[str | None, type[nn.Module]] = {
    "LN": LayerNorm,
    "LNPre": LayerNormPre,
    "RMS": RMSNorm,
    "RMSPre": RMSNormPre,
    None: NoNorm,
}


def final_norm_for(cfg: HookedTransformerConfig) -> nn.Module:
    """The norm before the unembedding: that of the blocks, or with `final_rms` its counterpart without a mean."""
    name = cfg.normalization_type
    return NORMS[name.replace("LN", "RMS") if name and cfg.final_rms else name](cfg)


def attention_for(cfg: HookedTransformerConfig, layer: int) -> Attention:
    """GPT-2's attention, and on top of it the parts that this layer needs."""
    is_local = cfg.use_local_attn and cfg.attn_types is not None and cfg.attn_types[layer] == "local"
    parts = [
        (LocalAttention, is_local),
        (AlibiAttention, cfg.positional_embedding_type == "alibi"),
        (RotaryAttention, cfg.positional_embedding_type == "rotary"),
        (GroupedQueryAttention, cfg.n_key_value_heads is not None),
    ]
    return _joined(*(part for part, wanted in parts if wanted))(cfg, layer)


@cache
def _joined(*parts: type[Attention]) -> type[Attention]:
    """One class of these: each does its step and leaves the rest to the next (`super()`)."""
    if len(parts) < 2:
        return parts[0] if parts else Attention
    return type("".join(part.__name__.removesuffix("Attention") for part in parts) + "Attention", parts, {})


def mlp_for(cfg: HookedTransformerConfig) -> MLP:
    """The MLP by its activation function and whether it is gated."""
    if cfg.gated_mlp:
        return GatedMLP(cfg)
    if cfg.act_fn == "solu_ln":
        return SoluMLP(cfg, NORMS[cfg.normalization_type])
    return MLP(cfg)
