"""Local attention: a query looks no further back than a window (Beltagy et al. 2020, "Longformer", section 3.1)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cleanlens.components.attention import Attention


class LocalAttention(Attention):
    """Attention over the last `cfg.window_size` positions, the query's own included."""

    def scores(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head_of_keys d_head"],
        mask: Bool[Tensor, "..."],
    ) -> Float[Tensor, "batch head query key"]:
        assert self.cfg.window_size is not None
        n_queries, n_keys = q.shape[1], k.shape[1]
        query = torch.arange(n_keys - n_queries, n_keys, device=q.device)[:, None]
        too_far = query - torch.arange(n_keys, device=q.device) >= self.cfg.window_size
        return super().scores(q, k, mask).masked_fill(too_far, -math.inf)
