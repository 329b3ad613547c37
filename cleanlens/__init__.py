"""cleanlens: a hooked transformer you can read in an afternoon, and a course on opening it up.

Every name is loaded when it is first used, so that the course's terminal commands start without torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from cleanlens.published import paths

if TYPE_CHECKING:
    from cleanlens import components, evals, head_detector, loading_from_pretrained, patching, plots, utils
    from cleanlens.activation_cache import ActivationCache
    from cleanlens.config import HookedTransformerConfig
    from cleanlens.factored_matrix import FactoredMatrix
    from cleanlens.hook_points import HookedRootModule, HookPoint
    from cleanlens.hooked_encoder import HookedEncoder
    from cleanlens.hooked_transformer import HookedTransformer
    from cleanlens.key_value_cache import HookedTransformerKeyValueCache
    from cleanlens.published.svd_interpreter import SVDInterpreter

__version__ = "0.1.0"

HOMES = {
    "ActivationCache": "activation_cache",
    "FactoredMatrix": "factored_matrix",
    "HookPoint": "hook_points",
    "HookedEncoder": "hooked_encoder",
    "HookedRootModule": "hook_points",
    "HookedTransformer": "hooked_transformer",
    "HookedTransformerConfig": "config",
    "HookedTransformerKeyValueCache": "key_value_cache",
    "HookedTransformerKeyValueCacheEntry": "published.key_value_cache",
    "SVDInterpreter": "published.svd_interpreter",
    "TransformerLensKeyValueCache": "published.key_value_cache",
    "TransformerLensKeyValueCacheEntry": "published.key_value_cache",
}
"""The module each public class lives in."""

MODULES = (
    "components",
    "evals",
    "head_detector",
    "loading",
    "loading_from_pretrained",
    "patching",
    "plots",
    "tokenization",
    "utils",
)

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedEncoder",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "HookedTransformerKeyValueCache",
    "SVDInterpreter",
    "components",
    "evals",
    "head_detector",
    "loading_from_pretrained",
    "patching",
    "plots",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"cleanlens.{HOMES[name]}"), name)
    if name in MODULES or name in HOMES.values():
        return importlib.import_module(f"cleanlens.{name}")
    if name in paths.HOMES:
        return sys.modules[f"cleanlens.{name}"]
    raise AttributeError(f"module 'cleanlens' has no attribute {name!r}")


# `from cleanlens.past_key_value_caching import ...`: paths that only published notebooks use.
paths.register("cleanlens", {path: home for path, home in paths.HOMES.items() if path})


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
