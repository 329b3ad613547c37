"""Multi-head attention (Vaswani et al. 2017, section 3.2), every step of it visible.

A head moves information: its pattern says from where to where (QK), its values say what (OV).
"""

import math
from typing import Any

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.factored_matrix import FactoredMatrix
from cleanlens.hook_points import HookPoint
from cleanlens.key_value_cache import LayerKeyValueCache
from cleanlens.published.methods import OlderAttention

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


class Attention(OlderAttention, nn.Module):
    """All heads of one layer: `W_Q, W_K, W_V [head d_model d_head]`, `W_O [head d_head d_model]`.

    q = x W_Q + b_Q, likewise k and v; pattern = softmax(q k^T / attn_scale) over the visible keys;
    z = pattern v; the output is the sum of z W_O over heads, plus b_O.
    """

    # The weights that read the residual stream, each with its bias.
    READERS: tuple[tuple[str, str], ...] = (("W_Q", "b_Q"), ("W_K", "b_K"), ("W_V", "b_V"))

    W_Q: Tensor
    b_Q: Tensor
    W_K: Tensor
    b_K: Tensor
    W_V: Tensor
    b_V: Tensor

    def __init__(self, cfg: HookedTransformerConfig | dict[str, Any], layer_id: int = 0):
        super().__init__()
        self.cfg = cfg = HookedTransformerConfig.unwrap(cfg)
        self.layer_id = layer_id
        n_heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head
        self.n_key_value_heads = cfg.n_key_value_heads or n_heads  # fewer when groups of heads share theirs
        for W, b in self.READERS:
            n = n_heads if W == "W_Q" else self.n_key_value_heads
            # In memory [d_model head d_head], the order in which the product with x reads it: seen through
            # its published shape, the weight never has to be copied.
            weight = torch.empty(d_model, n, d_head, dtype=cfg.dtype).transpose(0, 1)
            setattr(self, W, nn.Parameter(weight))
            setattr(self, b, nn.Parameter(torch.zeros(n, d_head, dtype=cfg.dtype)))
        self.W_O = nn.Parameter(torch.empty(n_heads, d_head, d_model, dtype=cfg.dtype))
        self.b_O = nn.Parameter(torch.zeros(d_model, dtype=cfg.dtype))
        self.attn_scale = cfg.attn_scale * (layer_id + 1 if cfg.scale_attn_by_inverse_layer_idx else 1)

        self.hook_q = HookPoint()  # [batch pos head d_head]
        self.hook_k = HookPoint()  # [batch pos head d_head]
        self.hook_v = HookPoint()  # [batch pos head d_head]
        self.hook_attn_scores = HookPoint()  # [batch head query key], after masking
        self.hook_pattern = HookPoint()  # [batch head query key]
        self.hook_z = HookPoint()  # [batch pos head d_head]
        self.hook_result = HookPoint()  # [batch pos head d_model], when wanted

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
        key_input: Float[Tensor, "batch pos d_model"] | Float[Tensor, "batch pos head_of_keys d_model"],
        value_input: Float[Tensor, "batch pos d_model"] | Float[Tensor, "batch pos head_of_keys d_model"],
        past_kv: LayerKeyValueCache | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The three inputs are the same tensor unless somebody split them in order to patch one.

        Args:
            past_kv: keys and values of the tokens before these; the new ones are added to it.
            mask: True where a query may look, as `visible` makes it; None: from here to the left.
        """
        q = self.hook_q(self.queries(query_input))
        k = self.hook_k(self.keys(key_input))
        v = self.hook_v(self.values(value_input))
        if past_kv is not None:
            k, v = past_kv.append(k, v)
        if mask is None:
            mask = visible(q.shape[1], k.shape[1], None, self.cfg.attention_dir, q.device)

        scores = self.hook_attn_scores(self.scores(q, k, mask))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        z = self.hook_z(self.mixed(pattern, v))
        return self.sum_of_heads(z)

    def queries(self, x: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        """What each head looks for."""
        return self.project(x, self.W_Q) + self.b_Q

    def keys(self, x: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        """What each head can be found by."""
        return self.project(x, self.W_K) + self.b_K

    def values(self, x: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        """What each head will move."""
        return self.project(x, self.W_V) + self.b_V

    def project(self, x: Tensor, weight: Tensor) -> Float[Tensor, "batch pos head d_head"]:
        """Into every head's own small space."""
        return einsum(x, weight, PROJECT[x.ndim])

    def scores(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head d_head"],
        mask: Bool[Tensor, "..."],
    ) -> Float[Tensor, "batch head query key"]:
        """How well each query fits each key; minus infinity where it may not look."""
        scores = einsum(
            q / self.attn_scale,
            k,
            "batch query head d_head, batch key head d_head -> batch head query key",
        )
        return scores.masked_fill(~mask, -math.inf)

    def mixed(
        self, pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch key head d_head"]
    ) -> Float[Tensor, "batch query head d_head"]:
        """The values, averaged by how much each query looks at each."""
        return einsum(
            pattern, v, "batch head query key, batch key head d_head -> batch query head d_head"
        ).contiguous()

    def sum_of_heads(self, z: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos d_model"]:
        """All heads' outputs at once, as one product; one by one only when somebody wants to see them."""
        if self.cfg.use_attn_result or self.hook_result.has_hooks():
            result = einsum(
                z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos head d_model"
            )
            return self.hook_result(result).sum(dim=2) + self.b_O
        return (
            einsum(z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos d_model") + self.b_O
        )
