"""Keys and values of tokens already read, so that generating the next one reads only that one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.published.methods import OlderEntry


@dataclass
class LayerKeyValueCache(OlderEntry):
    """One layer's keys and values, in memory set aside for the longest sequence once and for all.

    Attributes:
        keys, values: `[batch capacity head d_head]`; the first `length` positions are filled.
        frozen: `append` returns old and new together but keeps only the old.
    """

    keys: Float[Tensor, "batch capacity head d_head"]
    values: Float[Tensor, "batch capacity head d_head"]
    length: int = 0
    frozen: bool = False

    @classmethod
    def init_cache_entry(
        cls,
        cfg: HookedTransformerConfig,
        device: torch.device | str | None = None,
        batch_size: int = 1,
        capacity: int | None = None,
    ) -> "LayerKeyValueCache":
        """An empty one for `capacity` positions (cfg.n_ctx unless given)."""
        shape = (batch_size, capacity or cfg.n_ctx, cfg.n_key_value_heads or cfg.n_heads, cfg.d_head)
        keys, values = (torch.empty(shape, dtype=cfg.dtype, device=device or cfg.device) for _ in "kv")
        return cls(keys, values)

    def append(
        self, k: Float[Tensor, "batch pos head d_head"], v: Float[Tensor, "batch pos head d_head"]
    ) -> tuple[Float[Tensor, "batch total head d_head"], Float[Tensor, "batch total head d_head"]]:
        """All keys and values up to and including these.

        Raises:
            ValueError: there is no room left.
        """
        total = self.length + k.shape[1]
        if total > self.keys.shape[1]:
            raise ValueError(f"the key-value cache holds {self.keys.shape[1]} positions; {total} are needed")
        self.keys[:, self.length : total] = k
        self.values[:, self.length : total] = v
        if not self.frozen:
            self.length = total
        return self.keys[:, :total], self.values[:, :total]


@dataclass
class HookedTransformerKeyValueCache:
    """The caches of all layers and which of the tokens in them are padding.

    Attributes:
        entries: one `LayerKeyValueCache` per layer.
        previous_attention_mask: `[batch pos]`, 0 for padding, for the tokens already read.
    """

    entries: list[LayerKeyValueCache]
    previous_attention_mask: Int[Tensor, "batch pos"]
    frozen: bool = False

    @classmethod
    def init_cache(
        cls,
        cfg: HookedTransformerConfig,
        device: torch.device | str | None = None,
        batch_size: int = 1,
        capacity: int | None = None,
    ) -> "HookedTransformerKeyValueCache":
        """An empty cache for `capacity` positions (cfg.n_ctx unless given)."""
        options = (cfg, device, batch_size, capacity)
        entries = [LayerKeyValueCache.init_cache_entry(*options) for _ in range(cfg.n_layers)]
        return cls(entries, torch.ones(batch_size, 0, dtype=torch.int64, device=device or cfg.device))

    @property
    def length(self) -> int:
        """How many positions have been read."""
        return self.previous_attention_mask.shape[1]

    def append_attention_mask(self, attention_mask: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch total"]:
        """The mask of all tokens up to and including these."""
        previous = self.previous_attention_mask
        total = torch.cat([previous, attention_mask.to(previous)], dim=1)
        if not self.frozen:
            self.previous_attention_mask = total
        return total

    def freeze(self) -> None:
        """Keep what is in it: further passes read the cache without adding to it."""
        self._set_frozen(True)

    def unfreeze(self) -> None:
        """Let passes add to it again."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for entry in self.entries:
            entry.frozen = frozen

    def __getitem__(self, layer: int) -> LayerKeyValueCache:
        return self.entries[layer]
