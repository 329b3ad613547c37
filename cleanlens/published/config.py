"""The base class of the config in the published library's version 3."""

from dataclasses import dataclass

from cleanlens.config import HookedTransformerConfig


@dataclass
class TransformerLensConfig(HookedTransformerConfig):
    """A HookedTransformerConfig that need not say which `act_fn`."""

    act_fn: str | None = "relu"
