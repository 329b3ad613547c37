"""Root mean square normalization, with and without gain (Zhang & Sennrich 2019, section 4)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class RMSNormPre(nn.Module):
    """Divide each vector by its root mean square: x / sqrt(mean(x^2) + eps). Unlike LayerNorm it takes no mean away.

    What is left of RMSNorm once its gain has been folded into the weights that read it.
    """

    centres = False

    def __init__(self, cfg: HookedTransformerConfig, width: int | None = None):
        super().__init__()
        self.eps = cfg.eps
        self.hook_scale = HookPoint()  # [batch pos 1]
        self.hook_normalized = HookPoint()  # [batch pos d_model]

    def forward(self, x: Float[Tensor, "*batch_pos d_model"]) -> Float[Tensor, "*batch_pos d_model"]:
        # Half-precision squares are too coarse; the result goes back to the type it came in.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = self.hook_scale((wide.square().mean(dim=-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(wide / scale).to(x.dtype)


class RMSNorm(RMSNormPre):
    """RMSNormPre, then times a gain `w [d_model]`."""

    without_gain = RMSNormPre

    def __init__(self, cfg: HookedTransformerConfig, width: int | None = None):
        super().__init__(cfg)
        self.w = nn.Parameter(torch.ones(width or cfg.d_model, dtype=cfg.dtype))

    def forward(self, x: Float[Tensor, "*batch_pos d_model"]) -> Float[Tensor, "*batch_pos d_model"]:
        return super().forward(x) * self.w
