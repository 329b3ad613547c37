"""BERT's block: normalization stands behind attention and MLP, on the residual stream itself ("post-norm")."""

from jaxtyping import Bool
from torch import Tensor

from cleanlens.components.transformer_block import Resid, TransformerBlock
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache


class BertBlock(TransformerBlock):
    """resid_mid = resid_pre + attn(resid_pre); resid_post = ln1(resid_mid) + mlp(ln1(resid_mid)); out: ln2(resid_post)."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__(cfg, layer_id)
        self.hook_normalized_resid_post = HookPoint()  # [batch pos d_model], what the next block reads

    def forward(
        self,
        resid_pre: Resid,
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Resid:
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = self.hook_attn_out(self.attn(*self.streams(resid_pre), past_kv, mask))
        normalized_resid_mid = self.ln1(self.hook_resid_mid(resid_pre + attn_out))
        mlp_out = self.hook_mlp_out(self.mlp(self.mlp_input(normalized_resid_mid)))
        resid_post = self.hook_resid_post(normalized_resid_mid + mlp_out)
        return self.hook_normalized_resid_post(self.ln2(resid_post))
