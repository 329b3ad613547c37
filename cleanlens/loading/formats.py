"""The files that models come in, read one tensor at a time. Files are data: nothing in them is run.

What a file says of itself is read first and believed only as far as it can be checked: `stored` tells of every
tensor without reading any.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cleanlens.loading.checked import ModelFileError, checked_file, short

# safetensors' names of number types; another one is shown as it stands.
KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
READ_AT_ONCE = 2**24  # bytes of a mapped file that may stay in memory


class Stored(NamedTuple):
    """What a file says of a tensor that it holds."""

    shape: tuple[int, ...]
    kind: str  # of its numbers: "float32", or whatever else the file calls it


class WeightFile(Protocol):
    """A file of tensors."""

    stored: dict[str, Stored]

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """These tensors in turn, the largest first. Raises ModelFileError when the file is not whole."""


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
