"""The config under the name of its base class in the published library's version 3."""

from cleanlens.config import HookedTransformerConfig

TransformerLensConfig = HookedTransformerConfig
