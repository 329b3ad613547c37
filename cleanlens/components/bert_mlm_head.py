"""BERT's head for masked language modelling: one more layer before the unembedding (Devlin et al. 2019, section 3.1)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.components.layer_norm import LayerNorm
from cleanlens.config import HookedTransformerConfig
from cleanlens.utils import ACTIVATIONS


class BertMLMHead(nn.Module):
    """ln(act_fn(x W + b)), with `W [d_model d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig):
        super().__init__()
        assert cfg.act_fn is not None
        self.W = nn.Parameter(torch.empty(cfg.d_model, cfg.d_model, dtype=cfg.dtype))
        self.b = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype))
        self.act_fn = ACTIVATIONS[cfg.act_fn]
        self.ln = LayerNorm(cfg)

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self.ln(self.act_fn(resid @ self.W + self.b))
