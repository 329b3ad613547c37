"""Model files on disk and on the hub, read one tensor at a time. Files are data: nothing in them is run."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleanlens.loading.names import embedded_models

TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
]


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
        folder = fetch("config.json", "model*.safetensors", "model.safetensors.index.json", *TOKENIZER_FILES)
        if not weight_files(folder):
            folder = fetch("pytorch_model.bin")  # older checkpoints have nothing else
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConnectionError(
            f"{name!r} is not on this machine and could not be fetched from the Hugging Face hub ({reason}). "
            f"These models come with the package and work offline: {', '.join(embedded_models())}."
        ) from error
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as a dictionary.

    Raises:
        FileNotFoundError, ValueError: it is missing, or not JSON.
    """
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} has no config.json; expected a directory in the Hugging Face layout"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, all shards; else its pytorch_model.bin."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return [folder / shard for shard in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    known = [folder / "model.safetensors", folder / "pytorch_model.bin", *sorted(folder.glob("*final.pth"))]
    return [path for path in known if path.exists()][:1]


def read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of one file, in turn.

    Raises:
        ValueError: the file is not whole.
    """
    if path.suffix in (".bin", ".pth"):
        # Only tensors and containers are read, never code (torch's restricted unpickler).
        yield from torch.load(path, map_location="cpu", weights_only=True, mmap=True).items()
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            sizes = {name: math.prod(file.get_slice(name).get_shape()) for name in names}
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            # Opened anew for each: what has been read of the mapped file is given back to the system, so
            # that memory holds one copy of the model and one tensor; the largest first, while the model is
            # still empty.
            with safe_open(path, "pt") as file:
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or incomplete ({error}); get it again") from None
