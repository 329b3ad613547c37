"""cleanlens: a hooked transformer you can read in an afternoon, and a course on opening it up."""

import importlib
from typing import TYPE_CHECKING, Any

from cleanlens import utils
from cleanlens.activation_cache import ActivationCache
from cleanlens.config import HookedTransformerConfig
from cleanlens.factored_matrix import FactoredMatrix
from cleanlens.hook_points import HookedRootModule, HookPoint
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.key_value_cache import HookedTransformerKeyValueCache

if TYPE_CHECKING:
    from cleanlens import components, evals, head_detector, loading_from_pretrained, patching, plots

__version__ = "0.1.0"

# Loaded when they are first used.
LAZY = ("components", "evals", "head_detector", "loading_from_pretrained", "patching", "plots")

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "HookedTransformerKeyValueCache",
    "components",
    "evals",
    "head_detector",
    "loading_from_pretrained",
    "patching",
    "plots",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return importlib.import_module(f"cleanlens.{name}")
    raise AttributeError(f"module 'cleanlens' has no attribute {name!r}")
