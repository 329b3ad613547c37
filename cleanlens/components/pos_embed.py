"""Learned absolute positions: the second thing written to the residual stream."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig


class PosEmbed(nn.Module):
    """Each position's row of `W_pos [n_ctx d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model, dtype=cfg.dtype))

    def forward(
        self,
        tokens: Int[Tensor, "batch pos"],
        past_kv_pos_offset: int = 0,
        attention_mask: Int[Tensor, "batch past_and_pos"] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The positions of these tokens, counted from the first one that is not padding.

        Args:
            past_kv_pos_offset: how many tokens came before these.
            attention_mask: 0 for padding, 1 for tokens, those that came before included.
        """
        batch, length = tokens.shape
        if attention_mask is None:
            rows = self.W_pos[past_kv_pos_offset : past_kv_pos_offset + length]
            return rows.repeat(batch, 1, 1)  # a copy: a hook that edits it must not edit the weight
        positions = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
        return self.W_pos[positions[:, past_kv_pos_offset:]]
