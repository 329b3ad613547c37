"""The MLP of the SoLU models: softmax linear units, then a LayerNorm (Elhage et al. 2022, "Softmax Linear Units")."""

from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.components.mlp import MLP
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class SoluMLP(MLP):
    """ln(act_fn(x W_in + b_in)) W_out + b_out; the LayerNorm is over the `d_mlp` neurons."""

    def __init__(self, cfg: HookedTransformerConfig, norm: type[nn.Module]):
        super().__init__(cfg)
        self.hook_mid = HookPoint()  # [batch pos d_mlp], before the LayerNorm
        self.ln = norm(cfg, cfg.d_mlp)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        pre = self.hook_pre(x @ self.W_in + self.b_in)
        post = self.hook_post(self.ln(self.hook_mid(self.act_fn(pre))))
        return post @ self.W_out + self.b_out
