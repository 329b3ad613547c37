"""One transformer block: attention and MLP, each reading the residual stream and adding to it."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from cleanlens.components.attention import Attention
from cleanlens.components.layer_norm import NORMS
from cleanlens.components.mlp import MLP
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache

Resid = Float[Tensor, "batch pos d_model"]
PerHead = Float[Tensor, "batch pos head d_model"]


class AttnOnlyBlock(nn.Module):
    """resid_post = resid_pre + attn(ln1(resid_pre))."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__()
        self.cfg = cfg
        self.ln1 = NORMS[cfg.normalization_type](cfg)
        self.attn = Attention(cfg, layer_id)
        self.hook_attn_in = HookPoint()  # [batch pos head d_model], when cfg.use_attn_in
        self.hook_q_input = HookPoint()  # [batch pos head d_model], when cfg.use_split_qkv_input
        self.hook_k_input = HookPoint()  # likewise
        self.hook_v_input = HookPoint()  # likewise
        self.hook_resid_pre = HookPoint()  # [batch pos d_model]
        self.hook_attn_out = HookPoint()  # [batch pos d_model]
        self.hook_resid_post = HookPoint()  # [batch pos d_model]

    def forward(
        self,
        resid_pre: Resid,
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Resid:
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = self.hook_attn_out(self.attn(*self.attn_inputs(resid_pre), past_kv, mask))
        return self.hook_resid_post(resid_pre + attn_out)

    def attn_inputs(self, resid: Resid) -> tuple[Resid, Resid, Resid] | tuple[PerHead, PerHead, PerHead]:
        """What queries, keys and values are made from; how separately is for the user to say."""
        return ATTN_INPUTS[self.cfg.use_split_qkv_input, self.cfg.use_attn_in](self, resid)

    def _shared(self, resid: Resid) -> tuple[Resid, Resid, Resid]:
        x = self.ln1(resid)
        return x, x, x

    def _per_head(self, resid: Resid) -> tuple[PerHead, PerHead, PerHead]:
        x = self.ln1(self.hook_attn_in(self._one_per_head(resid)))
        return x, x, x

    def _split(self, resid: Resid) -> tuple[PerHead, PerHead, PerHead]:
        return self._split_heads(self._one_per_head(resid))

    def _per_head_and_split(self, resid: Resid) -> tuple[PerHead, PerHead, PerHead]:
        return self._split_heads(self.hook_attn_in(self._one_per_head(resid)))

    def _split_heads(self, heads: PerHead) -> tuple[PerHead, PerHead, PerHead]:
        q_input = self.hook_q_input(heads.clone())
        k_input = self.hook_k_input(heads.clone())
        v_input = self.hook_v_input(heads.clone())
        return self.ln1(q_input), self.ln1(k_input), self.ln1(v_input)

    def _one_per_head(self, resid: Resid) -> PerHead:
        # A copy per head, because a hook may edit one in place.
        return resid[:, :, None].repeat(1, 1, self.cfg.n_heads, 1)


ATTN_INPUTS = {
    (False, False): AttnOnlyBlock._shared,
    (False, True): AttnOnlyBlock._per_head,
    (True, False): AttnOnlyBlock._split,
    (True, True): AttnOnlyBlock._per_head_and_split,
}


class TransformerBlock(AttnOnlyBlock):
    """resid_mid = resid_pre + attn(ln1(resid_pre)); resid_post = resid_mid + mlp(ln2(resid_mid))."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__(cfg, layer_id)
        self.ln2 = NORMS[cfg.normalization_type](cfg)
        self.mlp = MLP(cfg)
        self.hook_resid_mid = HookPoint()  # [batch pos d_model]
        self.hook_mlp_in = HookPoint()  # [batch pos d_model], when cfg.use_hook_mlp_in
        self.hook_mlp_out = HookPoint()  # [batch pos d_model]

    def forward(
        self,
        resid_pre: Resid,
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Resid:
        resid_pre = self.hook_resid_pre(resid_pre)
        attn_out = self.hook_attn_out(self.attn(*self.attn_inputs(resid_pre), past_kv, mask))
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        mlp_out = self.hook_mlp_out(self.mlp(self.ln2(self.mlp_input(resid_mid))))
        return self.hook_resid_post(resid_mid + mlp_out)

    def mlp_input(self, resid_mid: Resid) -> Resid:
        """What the MLP reads; a copy that can be edited without touching the stream when asked."""
        return MLP_INPUTS[self.cfg.use_hook_mlp_in](self, resid_mid)

    def _copied(self, resid_mid: Resid) -> Resid:
        return self.hook_mlp_in(resid_mid.clone())

    def _direct(self, resid_mid: Resid) -> Resid:
        return resid_mid


MLP_INPUTS = {False: TransformerBlock._direct, True: TransformerBlock._copied}
BLOCKS: dict[bool, type[AttnOnlyBlock]] = {False: TransformerBlock, True: AttnOnlyBlock}
