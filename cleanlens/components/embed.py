"""Token embedding: the first thing written to the residual stream."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig


class Embed(nn.Module):
    """Each token's row of `W_E [d_vocab d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model, dtype=cfg.dtype))

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_E[tokens]
