"""The published import path of the names that describe pretrained models, and of their weights as state dicts."""

from typing import Any

import torch
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.loading.names import ALIASES, STANFORD_CRFM_STEPS, get_checkpoint_labels, official_name
from cleanlens.loading.pretrained import find_model, load_pretrained

MODEL_ALIASES = {
    name: [alias for alias, official in ALIASES.items() if official == name]
    for name in sorted(set(ALIASES.values()), key=str.lower)
}
"""Hugging Face id -> the short names that mean it."""

OFFICIAL_MODEL_NAMES = list(MODEL_ALIASES)
DEFAULT_MODEL_ALIASES = [aliases[0] for aliases in MODEL_ALIASES.values()]
STANFORD_CRFM_CHECKPOINTS = STANFORD_CRFM_STEPS
PYTHIA_CHECKPOINTS = [0, *(2**i for i in range(10)), *range(1_000, 143_001, 1_000)]
NON_HF_HOSTED_MODEL_NAMES: list[str] = []
NEED_REMOTE_CODE_MODELS: tuple[str, ...] = ()  # none: no code of a model's repository is ever run

get_official_model_name = official_name


def make_model_alias_map() -> dict[str, str]:
    """Every name, short or official, in small letters -> the Hugging Face id."""
    return {name.lower(): official for alias, official in ALIASES.items() for name in (alias, official)}


def get_pretrained_model_config(
    model_name: str, dtype: torch.dtype = torch.float32, fold_ln: bool = False, **options: Any
) -> HookedTransformerConfig:
    """The config that a model of this name would have. Its files are fetched when they are not here, weights too.

    Args:
        options: as for `HookedTransformer.from_pretrained`.
    """
    cfg = _load(model_name, dtype=dtype, **options).cfg
    if fold_ln and cfg.normalization_type in ("LN", "RMS"):
        cfg.normalization_type += "Pre"
    return cfg


def get_num_params_of_pretrained(model_name: str) -> int | None:
    """The weights in attention and MLPs (`cfg.n_params`)."""
    return get_pretrained_model_config(model_name).n_params


def get_pretrained_state_dict(
    official_model_name: str,
    cfg: HookedTransformerConfig | None = None,
    hf_model: Any = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> dict[str, Tensor]:
    """A model's weights by our names, as they were trained."""
    return _load(official_model_name, hf_model=hf_model, dtype=dtype, **options).state_dict()


def _load(model_name: str, **options: Any) -> HookedTransformer:
    wanted = {name: value for name, value in options.items() if value is not None}
    wanted |= {
        "fold_ln": False,
        "center_writing_weights": False,
        "center_unembed": False,
        "fold_value_biases": False,
    }
    return load_pretrained(HookedTransformer, model_name, move_to_device=False, **wanted)


def __getattr__(name: str) -> Any:
    """`convert_FAMILY_weights(hf_model, cfg)`: the weights of a Hugging Face model in memory, by our names."""
    if not (name.startswith("convert_") and name.endswith("_weights")):
        raise AttributeError(f"module 'cleanlens.loading_from_pretrained' has no attribute {name!r}")

    def convert(hf_model: Any, cfg: HookedTransformerConfig | None = None) -> dict[str, Tensor]:
        return get_pretrained_state_dict("custom", cfg, hf_model, dtype=hf_model.dtype)

    return convert


__all__ = [
    "DEFAULT_MODEL_ALIASES",
    "MODEL_ALIASES",
    "NEED_REMOTE_CODE_MODELS",
    "NON_HF_HOSTED_MODEL_NAMES",
    "OFFICIAL_MODEL_NAMES",
    "PYTHIA_CHECKPOINTS",
    "STANFORD_CRFM_CHECKPOINTS",
    "find_model",
    "get_checkpoint_labels",
    "get_num_params_of_pretrained",
    "get_official_model_name",
    "get_pretrained_model_config",
    "get_pretrained_state_dict",
    "make_model_alias_map",
    "official_name",
]
