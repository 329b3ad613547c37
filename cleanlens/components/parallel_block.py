"""A block whose attention and MLP read the same residual stream, side by side (Wang & Komatsuzaki 2021, GPT-J)."""

from jaxtyping import Bool
from torch import Tensor

from cleanlens.components.choices import NORMS, mlp_for
from cleanlens.components.transformer_block import AttnOnlyBlock, Resid, TransformerBlock
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache


class ParallelBlock(TransformerBlock):
    """resid_post = resid_pre + attn(ln1(resid_pre)) + mlp(ln2(resid_pre)); there is no resid_mid.

    GPT-J has one LayerNorm for both: there ln1 and ln2 hold the same weights.
    """

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        AttnOnlyBlock.__init__(self, cfg, layer_id)
        self.ln2 = NORMS[cfg.normalization_type](cfg)
        self.mlp = mlp_for(cfg)
        self.hook_mlp_in = HookPoint()  # [batch pos d_model], when wanted
        self.hook_mlp_out = HookPoint()  # [batch pos d_model]

    def forward(
        self,
        resid_pre: Resid,
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Resid:
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = self.hook_attn_out(self.attn(*self.attn_inputs(resid_pre), past_kv, mask))
        mlp_out = self.hook_mlp_out(self.mlp(self.ln2(self.mlp_input(resid_pre))))
        return self.hook_resid_post(resid_pre + attn_out + mlp_out)
