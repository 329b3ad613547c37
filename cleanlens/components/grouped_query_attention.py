"""Grouped-query attention: several heads share one head of keys and values (Ainslie et al. 2023, section 2.2)."""

from jaxtyping import Bool, Float
from torch import Tensor

from cleanlens.components.attention import Attention


class GroupedQueryAttention(Attention):
    """Attention with `cfg.n_key_value_heads` heads of keys and values, each shared by a group of query heads.

    The parameters are `_W_K, _W_V [group d_model d_head]`; `W_K` and `W_V` show them once for every head, in the shape
    that circuits are written in. A memory of earlier tokens holds the groups only.
    """

    READERS = (("W_Q", "b_Q"), ("_W_K", "_b_K"), ("_W_V", "_b_V"))

    _W_K: Tensor
    _b_K: Tensor
    _W_V: Tensor
    _b_V: Tensor

    @property
    def W_K(self) -> Float[Tensor, "head d_model d_head"]:  # type: ignore[override]
        """Each head's key weights: copies of its group's."""
        return self.per_head(self._W_K)

    @property
    def b_K(self) -> Float[Tensor, "head d_head"]:  # type: ignore[override]
        """Each head's key biases."""
        return self.per_head(self._b_K)

    @property
    def W_V(self) -> Float[Tensor, "head d_model d_head"]:  # type: ignore[override]
        """Each head's value weights."""
        return self.per_head(self._W_V)

    @property
    def b_V(self) -> Float[Tensor, "head d_head"]:  # type: ignore[override]
        """Each head's value biases."""
        return self.per_head(self._b_V)

    def per_head(self, x: Tensor, dim: int = 0) -> Tensor:
        """Repeat what is there once per group, along axis `dim`, for every head of the group."""
        return x.repeat_interleave(self.cfg.n_heads // x.shape[dim], dim=dim)

    def keys(self, x: Tensor) -> Float[Tensor, "batch pos group d_head"]:
        return self.project(x, self._W_K) + self._b_K

    def values(self, x: Tensor) -> Float[Tensor, "batch pos group d_head"]:
        return self.project(x, self._W_V) + self._b_V

    def scores(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key group d_head"],
        mask: Bool[Tensor, "..."],
    ) -> Float[Tensor, "batch head query key"]:
        return super().scores(q, self.per_head(k, dim=2), mask)

    def mixed(
        self, pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch key group d_head"]
    ) -> Float[Tensor, "batch query head d_head"]:
        return super().mixed(pattern, self.per_head(v, dim=2))
