"""The gated MLP of Llama's kind: one product decides how much of another passes (Shazeer 2020, "GLU Variants")."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.components.mlp import MLP
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class GatedMLP(MLP):
    """(act_fn(x W_gate + b_gate) * (x W_in + b_in)) W_out + b_out, with `W_gate [d_model d_mlp]`."""

    READERS = (("W_gate", "b_gate"), ("W_in", "b_in"))

    def __init__(self, cfg: HookedTransformerConfig | dict[str, Any]):
        super().__init__(cfg := HookedTransformerConfig.unwrap(cfg))
        assert cfg.d_mlp is not None
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp, dtype=cfg.dtype))
        self.b_gate = nn.Parameter(torch.zeros(cfg.d_mlp, dtype=cfg.dtype))
        self.hook_pre_linear = HookPoint()  # [batch pos d_mlp], what the gate lets pass

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        pre = self.hook_pre(x @ self.W_gate + self.b_gate)
        pre_linear = self.hook_pre_linear(x @ self.W_in + self.b_in)
        post = self.hook_post(self.act_fn(pre) * pre_linear)
        return post @ self.W_out + self.b_out
