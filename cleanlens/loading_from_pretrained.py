"""The published import path of the names that describe pretrained models."""

from cleanlens.loading.names import ALIASES as MODEL_ALIASES
from cleanlens.loading.names import get_checkpoint_labels, official_name

OFFICIAL_MODEL_NAMES = sorted(set(MODEL_ALIASES.values()))

__all__ = ["MODEL_ALIASES", "OFFICIAL_MODEL_NAMES", "get_checkpoint_labels", "official_name"]
