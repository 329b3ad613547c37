"""The MLP: what a position does with what attention has brought to it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.utils import ACTIVATIONS


class MLP(nn.Module):
    """act_fn(x W_in + b_in) W_out + b_out, with `W_in [d_model d_mlp]` and `W_out [d_mlp d_model]`."""

    # The weights that read the residual stream, each with its bias.
    READERS: tuple[tuple[str, str], ...] = (("W_in", "b_in"),)

    def __init__(self, cfg: HookedTransformerConfig | dict[str, Any]):
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        assert cfg.d_mlp is not None
        assert cfg.act_fn is not None
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp, dtype=cfg.dtype))
        self.b_in = nn.Parameter(torch.zeros(cfg.d_mlp, dtype=cfg.dtype))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model, dtype=cfg.dtype))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype))
        self.act_fn = ACTIVATIONS[cfg.act_fn]
        self.hook_pre = HookPoint()  # [batch pos d_mlp]
        self.hook_post = HookPoint()  # [batch pos d_mlp]

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        pre = self.hook_pre(x @ self.W_in + self.b_in)
        post = self.hook_post(self.act_fn(pre))
        return post @ self.W_out + self.b_out
