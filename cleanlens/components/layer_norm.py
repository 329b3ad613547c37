"""Layer normalization, with and without gain and bias (Ba, Kiros & Hinton 2016, section 3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class LayerNormPre(nn.Module):
    """Centre each vector and divide it by its standard deviation: (x - mean) / sqrt(var + eps).

    What is left of LayerNorm once its gain and bias have been folded into the weights that read it.
    """

    centres = True  # the mean of what it reads does not matter

    def __init__(self, cfg: HookedTransformerConfig, width: int | None = None):
        super().__init__()
        self.eps = cfg.eps
        self.hook_scale = HookPoint()  # [batch pos 1]
        self.hook_normalized = HookPoint()  # [batch pos d_model]

    def forward(self, x: Float[Tensor, "*batch_pos d_model"]) -> Float[Tensor, "*batch_pos d_model"]:
        # Half-precision variances are too coarse; the result goes back to the type it came in.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - wide.mean(dim=-1, keepdim=True)
        scale = self.hook_scale((centred.square().mean(dim=-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(centred / scale).to(x.dtype)


class LayerNorm(LayerNormPre):
    """LayerNormPre, then times a gain `w [d_model]` and plus a bias `b [d_model]`."""

    without_gain = LayerNormPre

    def __init__(self, cfg: HookedTransformerConfig, width: int | None = None):
        super().__init__(cfg)
        self.w = nn.Parameter(torch.ones(width or cfg.d_model, dtype=cfg.dtype))
        self.b = nn.Parameter(torch.zeros(width or cfg.d_model, dtype=cfg.dtype))

    def forward(self, x: Float[Tensor, "*batch_pos d_model"]) -> Float[Tensor, "*batch_pos d_model"]:
        return super().forward(x) * self.w + self.b


class NoNorm(nn.Identity):
    """No normalization at all, for toy models."""
