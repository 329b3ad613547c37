"""One transformer block: attention and MLP, each reading the residual stream and adding to it."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from cleanlens.components.choices import NORMS, attention_for, mlp_for
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache

Resid = Float[Tensor, "batch pos d_model"]
PerHead = Float[Tensor, "batch pos head d_model"]
PerHeadOfKeys = Float[
    Tensor, "batch pos head_of_keys d_model"
]  # as many, unless groups of heads share theirs


class AttnOnlyBlock(nn.Module):
    """resid_post = resid_pre + attn(ln1(resid_pre))."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__()
        self.cfg = cfg
        self.ln1 = NORMS[cfg.normalization_type](cfg)
        self.attn = attention_for(cfg, layer_id)
        self.hook_attn_in = HookPoint()  # [batch pos head d_model], when wanted
        self.hook_q_input = HookPoint()  # [batch pos head d_model], when wanted
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

    def attn_inputs(
        self, resid: Resid
    ) -> tuple[Resid, Resid, Resid] | tuple[PerHead, PerHeadOfKeys, PerHeadOfKeys]:
        """What queries, keys and values are made from."""
        q, k, v = self.streams(resid)
        if q is v:
            x = self.ln1(q)
            return x, x, x
        return self.ln1(q), self.ln1(k), self.ln1(v)

    def streams(
        self, resid: Resid
    ) -> tuple[Resid, Resid, Resid] | tuple[PerHead, PerHeadOfKeys, PerHeadOfKeys]:
        """The residual stream that each of them reads: one for all heads, unless somebody (a hook, or cfg for the
        cache) wants one for every head."""
        q_k_v = (self.hook_q_input, self.hook_k_input, self.hook_v_input)
        split = self.cfg.use_split_qkv_input or any(point.has_hooks() for point in q_k_v)
        per_head = self.cfg.use_attn_in or self.hook_attn_in.has_hooks()
        n_heads, n_kv_heads = self.cfg.n_heads, self.attn.n_key_value_heads
        if per_head and n_kv_heads != n_heads:
            raise ValueError(
                f"hook_attn_in: {n_heads} query heads share {n_kv_heads} heads of keys and values, so no head has "
                "an input of its own; use hook_q_input, hook_k_input and hook_v_input"
            )
        if per_head:
            resid = self.hook_attn_in(_one_per_head(resid, n_heads))
        if split:
            q = self.hook_q_input(_one_per_head(resid, n_heads))
            k = self.hook_k_input(_one_per_head(resid, n_kv_heads))
            v = self.hook_v_input(_one_per_head(resid, n_kv_heads))
            return q, k, v
        return resid, resid, resid


def _one_per_head(resid: Resid | PerHead, n_heads: int) -> PerHead:
    """A copy for each head, because a hook may edit one in place."""
    return resid.clone() if resid.ndim == 4 else resid[:, :, None].repeat(1, 1, n_heads, 1)


class TransformerBlock(AttnOnlyBlock):
    """resid_mid = resid_pre + attn(ln1(resid_pre)); resid_post = resid_mid + mlp(ln2(resid_mid))."""

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int):
        super().__init__(cfg, layer_id)
        self.ln2 = NORMS[cfg.normalization_type](cfg)
        self.mlp = mlp_for(cfg)
        self.hook_resid_mid = HookPoint()  # [batch pos d_model]
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
        resid_mid = self.hook_resid_mid(resid_pre + attn_out)
        mlp_out = self.hook_mlp_out(self.mlp(self.ln2(self.mlp_input(resid_mid))))
        return self.hook_resid_post(resid_mid + mlp_out)

    def mlp_input(self, resid_mid: Resid) -> Resid:
        """What the MLP reads; a copy that can be edited without touching the stream when somebody wants one."""
        if self.cfg.use_hook_mlp_in or self.hook_mlp_in.has_hooks():
            return self.hook_mlp_in(resid_mid.clone())
        return resid_mid
