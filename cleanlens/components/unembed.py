"""Unembedding: from the residual stream to one logit per vocabulary entry."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig


class Unembed(nn.Module):
    """x W_U + b_U, with `W_U [d_model d_vocab_out]`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        # In memory [d_vocab_out d_model], as the embedding that it is often tied to: loading copies rows.
        self.W_U = nn.Parameter(torch.empty(cfg.d_vocab_out, cfg.d_model, dtype=cfg.dtype).T)
        self.b_U = nn.Parameter(torch.zeros(cfg.d_vocab_out, dtype=cfg.dtype))

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        # In place, because the logits are the largest tensor of a run.
        return (resid @ self.W_U).add_(self.b_U)
