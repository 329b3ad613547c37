"""Trained models by name: what they are called, where their files are, and how each family's weights become ours.

Every name is loaded when it is first used, so that looking at names and files does not start torch.
"""

import importlib
from typing import Any

HOMES = {
    "ALIASES": "aliases",
    "FAMILIES": "pretrained",
    "ModelFileError": "checked",
    "best_real_model": "fetch",
    "embedded_models": "names",
    "find_model": "pretrained",
    "get_checkpoint_labels": "names",
    "load_pretrained": "pretrained",
    "official_name": "names",
}
"""The module each name lives in."""

__all__ = [
    "ALIASES",
    "FAMILIES",
    "ModelFileError",
    "best_real_model",
    "embedded_models",
    "find_model",
    "get_checkpoint_labels",
    "load_pretrained",
    "official_name",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'cleanlens.loading' has no attribute {name!r}")
    return getattr(importlib.import_module(f"cleanlens.loading.{HOMES[name]}"), name)
