"""Shortformer positions: added to what queries and keys read, never to the residual stream
(Press, Smith & Lewis 2021, "Shortformer", section 4)."""

from jaxtyping import Bool
from torch import Tensor

from cleanlens.components.transformer_block import (
    AttnOnlyBlock,
    PerHead,
    PerHeadOfKeys,
    Resid,
    TransformerBlock,
)
from cleanlens.config import HookedTransformerConfig
from cleanlens.key_value_cache import LayerKeyValueCache


class ShortformerAttnOnlyBlock(AttnOnlyBlock):
    """A block that is told the positions' embeddings: q and k read ln1(resid) + pos_embed, v reads ln1(resid)."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__(cfg, layer_id)
        self.pos_embed: Tensor | None = None  # of the run that is under way

    def forward(
        self,
        resid_pre: Resid,
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        pos_embed: Resid | None = None,
    ) -> Resid:
        self.pos_embed = pos_embed
        try:
            return super().forward(resid_pre, past_kv, mask)
        finally:
            self.pos_embed = None

    def attn_inputs(
        self, resid: Resid
    ) -> tuple[Resid, Resid, Resid] | tuple[PerHead, PerHeadOfKeys, PerHeadOfKeys]:
        q, k, v = super().attn_inputs(resid)
        assert self.pos_embed is not None, "a shortformer's block needs pos_embed"
        pos_embed = self.pos_embed if q.ndim == 3 else self.pos_embed[:, :, None]
        return q + pos_embed, k + pos_embed, v


class ShortformerBlock(ShortformerAttnOnlyBlock, TransformerBlock):
    """The same with an MLP."""
