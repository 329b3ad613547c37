"""The cache of keys and values under all its published names."""

from cleanlens.key_value_cache import HookedTransformerKeyValueCache, LayerKeyValueCache

HookedTransformerKeyValueCacheEntry = TransformerLensKeyValueCacheEntry = LayerKeyValueCache
TransformerLensKeyValueCache = HookedTransformerKeyValueCache
