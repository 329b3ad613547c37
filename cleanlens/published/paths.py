"""Old module paths: which module of cleanlens answers to each.

A path is registered as a stand-in that loads nothing. The first name that is asked of it is looked up in the
module that it stands for, so that importing cleanlens stays as fast as it is.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HOMES = {
    "": "",
    "HookedTransformer": "hooked_transformer",
    "HookedTransformerConfig": "config",
    "HookedRootModule": "hook_points",
    "ActivationCache": "activation_cache",
    "FactoredMatrix": "factored_matrix",
    "SVDInterpreter": "published.svd_interpreter",
    "cache": "published.key_value_cache",
    "cache.key_value_cache": "published.key_value_cache",
    "cache.key_value_cache_entry": "published.key_value_cache",
    "past_key_value_caching": "published.key_value_cache",
    "config.HookedTransformerConfig": "config",
    "config.hooked_transformer_config": "config",
    "config.transformer_lens_config": "published.config",
    "conversion_utils": "published.conversion",
    "conversion_utils.conversion_steps": "published.conversion",
    "conversion_utils.conversion_steps.base_tensor_conversion": "published.conversion",
    "factories.activation_function_factory": "published.components",
    "factories.mlp_factory": "published.components",
    "supported_models": "loading_from_pretrained",
    "train": "published.train",
    "utilities": "utils",
    **{
        f"utilities.{name}": "utils"
        for name in (
            *(
                "activation_functions",
                "attention",
                "attribute_utils",
                "cache",
                "components_utils",
                "defaults_utils",
                "devices",
            ),
            *(
                "exploratory_utils",
                "gpu_utils",
                "hf_utils",
                "initialization_utils",
                "library_utils",
                "lm_utils",
            ),
            *("logits_utils", "matrix", "parameter_swap", "slice", "tensors", "tokenize_utils"),
        )
    },
}
"""Old path -> module, both within their package."""

SAME = (
    "components",
    "config",
    "evals",
    "head_detector",
    "hook_points",
    "loading_from_pretrained",
    "patching",
    "utils",
)
"""Modules that kept their path."""

COMPONENTS = {
    f"components.{name}": "components"
    for name in (
        *("abstract_attention", "attention", "bert_block", "bert_embed", "bert_mlm_head", "embed"),
        *("grouped_query_attention", "layer_norm", "layer_norm_pre", "mlps", "mlps.can_be_used_as_mlp"),
        *("mlps.gated_mlp", "mlps.mlp", "pos_embed", "rms_norm", "rms_norm_pre", "token_typed_embed"),
        *("transformer_block", "unembed"),
    )
}
"""The original's one file per component; ours are cut a little differently, and `components` has them all."""


class OldPath(ModuleType):
    """A module that has every name of another one, which it loads when the first is asked for."""

    def __init__(self, path: str, home: str):
        super().__init__(path, f"The published path of the names in `{home}`.")
        self.__dict__["_home"] = home
        self.__dict__["__spec__"] = ModuleSpec(path, None, is_package=True)
        self.__dict__["__path__"] = []  # it may have modules below it, and finds none by itself

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(name)  # tools look through all modules for such: nothing is loaded for them
        home = importlib.import_module(self._home)
        if name == "__all__":  # what `from path import *` takes
            return getattr(home, "__all__", [n for n in dir(home) if not n.startswith("_")])
        below = sys.modules.get(f"{self.__name__}.{name}")
        try:
            return getattr(home, name)
        except AttributeError:
            if below is not None:
                return below
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            setattr(importlib.import_module(self._home), name, value)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self._home))


def register(package: str, paths: dict[str, str]) -> None:
    """Make each old path within `package` importable."""
    for path, home in paths.items():
        full = f"{package}.{path}".rstrip(".")
        sys.modules[full] = OldPath(full, f"cleanlens.{home}".rstrip("."))
