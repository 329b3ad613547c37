"""The cache of keys and values under its other published names."""

from typing import Any

import torch
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.key_value_cache import HookedTransformerKeyValueCache, LayerKeyValueCache


class TransformerLensKeyValueCacheEntry(LayerKeyValueCache):
    """One layer's keys and values, `[batch pos head d_head]`, made from those read so far; it grows as it is used.

    A model's own cache sets its memory aside once and for all instead, see `LayerKeyValueCache`.
    """

    def __init__(self, past_keys: Tensor, past_values: Tensor, frozen: bool = False):
        super().__init__(past_keys, past_values, past_keys.shape[1], frozen)

    @classmethod
    def init_cache_entry(
        cls,
        cfg: HookedTransformerConfig,
        device: Any = None,
        batch_size: int = 1,
        capacity: int | None = None,
    ) -> "TransformerLensKeyValueCacheEntry":
        """An empty one."""
        empty = LayerKeyValueCache.init_cache_entry(cfg, device, batch_size, capacity=1)
        return cls(empty.past_keys, empty.past_values)

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values up to and including these; they are kept unless it is frozen."""
        keys, values = torch.cat([self.keys, k], dim=1), torch.cat([self.values, v], dim=1)
        if not self.frozen:
            self.keys, self.values, self.length = keys, values, keys.shape[1]
        return keys, values


HookedTransformerKeyValueCacheEntry = TransformerLensKeyValueCacheEntry
TransformerLensKeyValueCache = HookedTransformerKeyValueCache
