"""Model files on disk and on the hub: which there are. How one is read is in formats.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanlens.loading.checked import ModelFileError, read_json, short
from cleanlens.loading.names import embedded_models

if TYPE_CHECKING:
    from cleanlens.loading.formats import WeightFile

TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
]
# Sharded and whole, the newer format first.
WEIGHT_FILES = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
]
# What is fetched from the hub, when a model has it.
DOWNLOADED = ["config.json", "model*.safetensors", "model.safetensors.index.json", *TOKENIZER_FILES]


# ---------------------------------------------------------------- the hub


def download(name: str, revision: str | None = None) -> Path:
    """The local copy of a model on the Hugging Face hub, fetched when it is not there yet.

    Raises:
        ConnectionError: it is not here and the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))

    try:
        folder = fetch(*DOWNLOADED)
        if not weight_files(folder):
            folder = fetch(
                "pytorch_model*.bin", "pytorch_model.bin.index.json"
            )  # older ones have nothing else
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise ConnectionError(
            f"{name!r} is not on this machine and could not be fetched from the Hugging Face hub ({short(error)}). "
            f"These models come with the package and work offline: {', '.join(embedded_models())}. "
            "A real one, without the hub: cleanlens fetch smollm2-135m"
        ) from error
    return folder


# ---------------------------------------------------------------- config


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as a dictionary.

    Raises:
        FileNotFoundError, ModelFileError: it is missing, or not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} has no config.json; expected a directory in the Hugging Face layout"
        )
    return read_json(path)


# ---------------------------------------------------------------- weights


def weight_files(folder: Path) -> list[Path]:
    """A model's safetensors files, all shards; else those that torch.save wrote.

    Raises:
        ModelFileError: the index of the shards is not one.
    """
    known = [folder / name for name in WEIGHT_FILES]
    for path in [*known, *sorted(folder.glob("*final.pth"))]:  # the last: interpretability models
        if path.exists():
            return shards(path) if path.name.endswith(".index.json") else [path]
    return []


def shards(index: Path) -> list[Path]:
    """The files that an index names, all of them beside it."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise ModelFileError(f"{index}: expected weight_map to name a file for every tensor. Get it again")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or Path(name).suffix not in (".safetensors", ".bin"):
            raise ModelFileError(
                f"{index} names the file {name[:100]!r}; expected a .safetensors or .bin file beside the index. "
                "Get the model again from where you trust"
            )
    return [index.parent / name for name in names]


def open_weights(path: Path) -> "WeightFile":
    """A file of tensors, by its ending."""
    from cleanlens.loading.formats import (  # with torch, which looking at names does without
        Pickled,
        Safetensors,
    )

    return Pickled(path) if path.suffix in (".bin", ".pth") else Safetensors(path)
