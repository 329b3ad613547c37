"""ALiBi: positions as a penalty on distance, another one for each head (Press, Smith & Lewis 2022, section 3)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cleanlens.components.attention import Attention


class AlibiAttention(Attention):
    """Attention whose scores fall with the distance of query and key, by a slope of each head's own."""

    def scores(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head_of_keys d_head"],
        mask: Bool[Tensor, "..."],
    ) -> Float[Tensor, "batch head query key"]:
        return super().scores(q, k, mask) + penalties(q.shape[1], k.shape[1], q.shape[2]).to(q)


def penalties(n_queries: int, n_keys: int, n_heads: int) -> Float[Tensor, "head query key"]:
    """-slope * distance; the queries are the last of the positions. What comes later is not penalized."""
    query = torch.arange(n_keys - n_queries, n_keys)[:, None]
    minus_distance = (torch.arange(n_keys) - query).clamp(max=0)
    return slopes(n_heads)[:, None, None] * minus_distance


def slopes(n_heads: int) -> Float[Tensor, " head"]:
    """2^(-8/n), 2^(-16/n), ..., 2^-8 for n heads, if n is a power of two. Otherwise those of the next smaller power,
    and then every other one of the next larger."""
    power = 2 ** math.floor(math.log2(n_heads))
    first = 2.0 ** (-8 * torch.arange(1, power + 1) / power)
    between = 2.0 ** (-8 * torch.arange(1, 2 * power + 1, 2) / (2 * power))
    return torch.cat([first, between[: n_heads - power]])
