"""Multi-head attention (Vaswani et al. 2017, section 3.2), every step of it visible.

A head moves information: its pattern says from where to where (QK), its values say what (OV).
"""

import math

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.factored_matrix import FactoredMatrix
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache

# Every head reads the same input, or each head an input of its own.
PROJECT = {
    3: "batch pos d_model, head d_model d_head -> batch pos head d_head",
    4: "batch pos head d_model, head d_model d_head -> batch pos head d_head",
}


def visible(
    n_queries: int,
    n_keys: int,
    attention_mask: Int[Tensor, "batch key"] | None = None,
    attention_dir: str = "causal",
    device: torch.device | str | None = None,
) -> Bool[Tensor, "batch 1 query key"] | Bool[Tensor, "query key"]:
    """Which keys each query may look at. The queries are the last `n_queries` of the `n_keys` positions.

    Padding (0 in `attention_mask`) is seen by nobody but itself: a query that sees nothing at all would
    have no softmax.
    """
    query = torch.arange(n_keys - n_queries, n_keys, device=device)[:, None]
    key = torch.arange(n_keys, device=device)[None, :]
    allowed = {"causal": key <= query, "bidirectional": (key == key) & (query == query)}[attention_dir]
    if attention_mask is None:
        return allowed
    return (allowed & attention_mask[:, None, None, :].to(device).bool()) | (key == query)


class Attention(nn.Module):
    """All heads of one layer: `W_Q, W_K, W_V [head d_model d_head]`, `W_O [head d_head d_model]`.

    q = x W_Q + b_Q, likewise k and v; pattern = softmax(q k^T / attn_scale) over the visible keys;
    z = pattern v; the output is the sum of z W_O over heads, plus b_O.
    """

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int = 0):
        super().__init__()
        self.cfg = cfg
        self.layer_id = layer_id
        n_heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head

        def weight() -> nn.Parameter:
            # In memory [d_model head d_head], the order in which the product with x reads it: seen through
            # its published shape, the weight never has to be copied.
            return nn.Parameter(torch.empty(d_model, n_heads, d_head, dtype=cfg.dtype).transpose(0, 1))

        def bias() -> nn.Parameter:
            return nn.Parameter(torch.zeros(n_heads, d_head, dtype=cfg.dtype))

        self.W_Q, self.b_Q = weight(), bias()
        self.W_K, self.b_K = weight(), bias()
        self.W_V, self.b_V = weight(), bias()
        self.W_O = nn.Parameter(torch.empty(n_heads, d_head, d_model, dtype=cfg.dtype))
        self.b_O = nn.Parameter(torch.zeros(d_model, dtype=cfg.dtype))
        self.attn_scale = cfg.attn_scale * (layer_id + 1 if cfg.scale_attn_by_inverse_layer_idx else 1)

        self.hook_q = HookPoint()  # [batch pos head d_head]
        self.hook_k = HookPoint()  # [batch pos head d_head]
        self.hook_v = HookPoint()  # [batch pos head d_head]
        self.hook_attn_scores = HookPoint()  # [batch head query key], after masking
        self.hook_pattern = HookPoint()  # [batch head query key]
        self.hook_z = HookPoint()  # [batch pos head d_head]
        self.hook_result = HookPoint()  # [batch pos head d_model], when cfg.use_attn_result

    @property
    def OV(self) -> FactoredMatrix:
        """What each head writes for what it reads: W_V W_O, `[head d_model d_model]`."""
        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def QK(self) -> FactoredMatrix:
        """Where each head looks: W_Q W_K^T, `[head d_model d_model]`."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-1, -2))

    def forward(
        self,
        query_input: Float[Tensor, "batch pos d_model"] | Float[Tensor, "batch pos head d_model"],
        key_input: Float[Tensor, "batch pos d_model"] | Float[Tensor, "batch pos head d_model"],
        value_input: Float[Tensor, "batch pos d_model"] | Float[Tensor, "batch pos head d_model"],
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The three inputs are the same tensor unless somebody split them in order to patch one.

        Args:
            past_kv: keys and values of the tokens before these; the new ones are added to it.
            mask: True where a query may look, as `visible` makes it; None: from here to the left.
        """
        q = self.hook_q(self.project(query_input, self.W_Q) + self.b_Q)
        k = self.hook_k(self.project(key_input, self.W_K) + self.b_K)
        v = self.hook_v(self.project(value_input, self.W_V) + self.b_V)
        if past_kv is not None:
            k, v = past_kv.append(k, v)
        if mask is None:
            mask = visible(q.shape[1], k.shape[1], None, self.cfg.attention_dir, q.device)

        scores = einsum(
            q / self.attn_scale,
            k,
            "batch query head d_head, batch key head d_head -> batch head query key",
        )
        scores = self.hook_attn_scores(scores.masked_fill(~mask, -math.inf))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        z = einsum(
            pattern, v, "batch head query key, batch key head d_head -> batch query head d_head"
        ).contiguous()
        return OUTPUTS[self.cfg.use_attn_result](self, self.hook_z(z))

    def project(self, x: Tensor, weight: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        """Into every head's own small space."""
        return einsum(x, weight, PROJECT[x.ndim])

    def sum_of_heads(self, z: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos d_model"]:
        """All heads' outputs at once, as one product."""
        return (
            einsum(z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos d_model") + self.b_O
        )

    def sum_of_results(self, z: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos d_model"]:
        """The same, with each head's output visible on the way: n_heads times the memory."""
        result = einsum(z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos head d_model")
        return self.hook_result(result).sum(dim=2) + self.b_O


OUTPUTS = {False: Attention.sum_of_heads, True: Attention.sum_of_results}
