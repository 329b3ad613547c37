"""Our own layout: config.json holds the fields of HookedTransformerConfig, weights have our names."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig

TIED = False
OPTIONAL = ("unembed.b_U",)
MORE_KINDS = (
    "F8_E4M3",
)  # as checkpoints are kept here: 8 bits a weight, without a scale, so that reading them is exact


def config(fields: dict[str, Any]) -> HookedTransformerConfig:
    """Our config; fields about the files themselves are left out."""
    about_files = ("model_type", "checkpoint_labels", "tokenizer")
    architecture = {key: value for key, value in fields.items() if key not in about_files}
    return HookedTransformerConfig.from_dict({**architecture, "init_weights": False})


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """The tensor under its own name."""
    yield name, tensor
