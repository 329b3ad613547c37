"""Plain data: the only thing that passes from a learner's code to the judge.

`encode` turns what an answer returned into bytes (a JSON tree plus the raw bytes of its tensors); `decode`
turns bytes back into numbers, text, containers and arrays. Nothing that is decoded can run code, and nothing
a learner defines (a tensor subclass, an `__eq__` that is always true, a patched `torch.allclose`) survives
the trip: the judge compares numpy arrays made from bytes, with functions it took hold of at import.
"""

import json
import math
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAX_BYTES = 64 * 2**20
"""An answer larger than this is refused rather than carried."""

MAX_TREE = 4 * 2**20
"""The same for what is around its numbers: containers, keys, texts."""

# Bound once, at import: a learner who patches torch.Tensor later changes nothing here.
_TENSOR, _PARAMETER, _NO_OVERRIDE = torch.Tensor, torch.nn.Parameter, torch._C.DisableTorchFunctionSubclass
_detach, _cpu, _contiguous = torch.Tensor.detach, torch.Tensor.cpu, torch.Tensor.contiguous
_view, _reshape, _numpy = torch.Tensor.view, torch.Tensor.reshape, torch.Tensor.numpy
_copy = torch.Tensor.copy_
_resolve_conj, _resolve_neg = torch.Tensor.resolve_conj, torch.Tensor.resolve_neg
_from_numpy, _dumps, _loads = torch.from_numpy, json.dumps, json.loads
_UINT8 = torch.uint8
_mro, _name = type.__dict__["__mro__"].__get__, type.__dict__["__name__"].__get__
_trace = BaseException.__dict__["__traceback__"].__get__
_HERE = str(Path(__file__).parent)

DTYPES: dict[str, tuple[torch.dtype, str]] = {  # name -> (torch's, the numpy type that holds its bytes)
    "float64": (torch.float64, "<f8"),
    "float32": (torch.float32, "<f4"),
    "float16": (torch.float16, "<f2"),
    "bfloat16": (torch.bfloat16, "<u2"),
    "complex128": (torch.complex128, "<c16"),
    "complex64": (torch.complex64, "<c8"),
    "int64": (torch.int64, "<i8"),
    "int32": (torch.int32, "<i4"),
    "int16": (torch.int16, "<i2"),
    "int8": (torch.int8, "|i1"),
    "uint8": (torch.uint8, "|u1"),
    "bool": (torch.bool, "|b1"),
}
_NUMPY_NUMBERS = {np.dtype(code).type for code in "?bhilqBHILQefd"}
_NAMES = {dtype: name for name, (dtype, _) in DTYPES.items()}


@dataclass(frozen=True)
class Opaque:
    """Something that is not plain data; only the name of its type is known."""

    type_name: str


@dataclass(frozen=True)
class Array:
    """A tensor (`kind="tensor"`) or a numpy array (`kind="numpy"`) as bytes that numpy can read."""

    kind: str
    dtype: str
    data: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape


class Raised:
    """An exception as data. As an expected value, `Raised(ValueError)` accepts any ValueError.

    `mentions` are texts that an expected exception's message must contain; `where` are the lines that led to one.
    """

    def __init__(
        self,
        *kinds: type[BaseException] | str,
        message: str = "",
        mentions: Iterable[str] = (),
        where: Iterable[str] = (),
    ):
        self.kinds = tuple(kind if isinstance(kind, str) else kind.__name__ for kind in kinds)
        self.message, self.mentions, self.where = message, tuple(mentions), tuple(where)

    def __repr__(self) -> str:
        return f"{self.kinds[0]}({self.message!r})" if self.message else " or ".join(self.kinds)


def attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `function` returns, or `Raised(...)` when it raises; a stub's NotImplementedError passes through."""
    try:
        return function(*args, **kwargs)
    except NotImplementedError:
        raise
    except Exception as error:
        return raised(error)


def raised(error: BaseException) -> Raised:
    """`error` as data: the names of its classes, the nearest first, its message, and where it came from."""
    # Asked of `type` itself: a learner's metaclass may answer as it likes, with nothing at all or for ever.
    kinds = [kind for kind in _mro(type(error)) if kind not in (object, BaseException)]
    try:
        message = str(error)
    except BaseException:
        message = ""
    names = [_name(kind)[:100] for kind in kinds[:50] or [BaseException]]
    return Raised(*names, message=str.__getitem__(message, slice(2000)), where=frames(error))


def frames(error: BaseException) -> list[str]:
    """The learner's own lines on the way to an exception: `file, line N, in name: code`, the last three."""
    stack = traceback.extract_tb(_trace(error))
    mine = [f for f in stack if not f.filename.startswith((_HERE, "<frozen"))]
    mine = [f for f in mine if "site-packages" not in f.filename] or mine
    return [
        f"{Path(f.filename).name}, line {f.lineno}, in {f.name}: {(f.line or '')[:300]}" for f in mine[-3:]
    ]


def encode(value: Any, limit: int = MAX_BYTES) -> bytes:
    """`value` as bytes. What is not plain data becomes `Opaque`; more than `limit` raises MemoryError."""
    chunks: list[bytes] = []
    size = n_nodes = 0

    def store(raw: bytes) -> list[int]:
        nonlocal size
        start, size = size, size + len(raw)
        if size > limit:
            raise MemoryError(f"the answer holds more than {limit >> 20} MB of numbers")
        chunks.append(raw)
        return [start, len(raw)]

    def array(kind: str, dtype: str, data: np.ndarray) -> dict:
        return {"a": [kind, dtype, [int(n) for n in data.shape], store(data.tobytes())[0]]}

    def tensor(x: torch.Tensor) -> dict:
        with _NO_OVERRIDE():
            if x.dtype not in _NAMES or x.layout is not torch.strided or x.device.type == "meta":
                return {"o": f"{x.layout} tensor of {x.dtype} on {x.device}"}
            if x.numel() * x.element_size() > limit:  # before an expanded view is written out in full
                raise MemoryError(f"the answer holds more than {limit >> 20} MB of numbers")
            name, shape = _NAMES[x.dtype], tuple(x.shape)
            flat = _reshape(_contiguous(_cpu(_resolve_neg(_resolve_conj(_detach(x))))), (-1,))
            if flat.stride() != (1,):  # a single number may have any stride, and then has no view as bytes
                flat = _copy(torch.empty(flat.shape, dtype=flat.dtype), flat)
            raw = _numpy(_view(flat, _UINT8)).tobytes()
        return array("tensor", name, np.frombuffer(raw, DTYPES[name][1]).reshape(shape))

    def walk(x: Any, depth: int = 0) -> Any:
        nonlocal n_nodes
        n_nodes += 1
        if n_nodes > MAX_TREE // 4:
            raise MemoryError(f"the answer holds more than {MAX_TREE // 4} things")
        if depth > 40:
            return {"o": "containers nested more than 40 deep"}
        kind = type(x)
        if kind in _NUMPY_NUMBERS:  # numpy's float is as good as Python's
            x = x.item()
            kind = type(x)
        if x is None or kind is bool or kind is str:
            return x
        if kind in (_TENSOR, _PARAMETER):
            return tensor(x)
        if kind is np.ndarray:
            name = x.dtype.name
            return array("numpy", name, x) if name in DTYPES else {"o": f"numpy array of {x.dtype}"}
        if kind is int or (isinstance(x, int) and kind is not bool):
            plain = int.__add__(x, 0)  # of an int's subclass, the number itself
            return {"i": str(plain)} if -(10**100) < plain < 10**100 else {"o": "a huge int"}
        if kind is float:
            return {"f": x.hex()}
        if kind is complex:
            return {"c": [x.real.hex(), x.imag.hex()]}
        if kind is bytes:
            return {"b": store(x)}
        if kind is Raised:
            return {"r": [list(x.kinds), x.message, list(x.mentions), list(x.where)]}
        if isinstance(x, list | tuple):
            members = list.__iter__(x) if isinstance(x, list) else tuple.__iter__(x)
            items = [walk(item, depth + 1) for item in members]
            return {"l" if isinstance(x, list) else "t": items}
        if isinstance(x, dict):
            return {"d": [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in dict.items(x)]}
        if kind in (set, frozenset):
            return {"s": sorted((walk(item, depth + 1) for item in x), key=_dumps)}
        return {"o": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")}

    tree = _dumps(walk(value)).encode()
    if len(tree) > MAX_TREE:
        raise MemoryError(f"the answer holds more than {MAX_TREE >> 20} MB of text and containers")
    return len(tree).to_bytes(8, "little") + tree + b"".join(chunks)


def decode(blob: bytes, tensors: bool = True) -> Any:
    """The value that `encode` wrote. Tensors come back as torch tensors, or as `Array` with tensors=False.

    Raises ValueError on anything else: the bytes may come from a process that a learner's code has changed.
    """
    try:
        length = int.from_bytes(blob[:8], "little")
        if length > MAX_TREE:
            raise ValueError(f"its tree has {length} bytes")
        tree, body = _loads(blob[8 : 8 + length]), memoryview(blob)[8 + length :]
        return _read(tree, _Body(body), tensors)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError, AttributeError) as e:
        raise ValueError(f"not an encoded answer: {e}") from None


class _Body:
    """The bytes behind a tree. Each may be asked for once: otherwise a few would do for any number of arrays."""

    def __init__(self, data: memoryview):
        self.data, self.left = data, len(data)

    def take(self, start: int, length: int) -> memoryview:
        if type(start) is not int or type(length) is not int or start < 0 or length < 0:
            raise ValueError("a malformed place")
        self.left -= length
        if start + length > len(self.data) or self.left < 0:
            raise ValueError("numbers that run past the end")
        return self.data[start : start + length]


def _read(tree: Any, body: _Body, tensors: bool) -> Any:
    if not isinstance(tree, dict):
        if tree is None or type(tree) in (bool, str):
            return tree
        raise ValueError("unknown leaf")
    [(tag, x)] = tree.items()
    match tag:
        case "i":
            return int(x)
        case "f":
            return float.fromhex(x)
        case "c":
            return complex(float.fromhex(x[0]), float.fromhex(x[1]))
        case "b":
            start, length = x
            return bytes(body.take(start, length))
        case "r":
            kinds, message, mentions, where = x
            if not kinds:
                raise ValueError("an exception of no kind")
            return Raised(
                *map(str, kinds),
                message=str(message),
                mentions=map(str, mentions),
                where=[str(line)[:500] for line in where[:3]],
            )
        case "l":
            return [_read(item, body, tensors) for item in x]
        case "t":
            return tuple(_read(item, body, tensors) for item in x)
        case "s":
            return {_read(item, body, tensors) for item in x}
        case "d":
            return {_read(k, body, tensors): _read(v, body, tensors) for k, v in x}
        case "o":
            return Opaque(str(x))
        case "a":
            kind, dtype, shape, start = x
            return _read_array(kind, dtype, shape, start, body, tensors)
    raise ValueError(f"unknown tag {tag!r}")


def _read_array(kind: str, name: str, shape: list[int], start: int, body: _Body, tensors: bool) -> Any:
    _, holder = DTYPES[name]
    if kind not in ("tensor", "numpy") or any(type(n) is not int or n < 0 for n in [*shape, start]):
        raise ValueError("a malformed array")
    if len(shape) > 32 or max(shape, default=0) > MAX_BYTES:
        raise ValueError("a shape that no array has")
    count = math.prod(shape)
    data = np.frombuffer(body.take(start, count * np.dtype(holder).itemsize), holder).reshape(shape).copy()
    if not tensors:
        if name == "bfloat16":  # a bfloat16 is the upper half of a float32
            data = (data.astype("<u4") << 16).view("<f4").reshape(shape)
        return Array(kind, name, data)
    if kind == "numpy":
        return data
    if name == "bfloat16":
        return _view(_from_numpy(data.view("<i2")), torch.bfloat16)
    return _from_numpy(data)
