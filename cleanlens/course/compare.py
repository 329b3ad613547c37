"""The first difference between what was expected and what came back, in the order a learner can use.

Type, then shape, then dtype, then finite, then values; nothing is broadcast before it is compared. Works on
decoded plain data (`plain.decode(..., tensors=False)`) with numpy functions taken hold of at import.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .plain import Array, Opaque, Raised

COUNTING = ("int64", "int32")  # jaxtyping's Int is any of them
STAGES = ("type", "shape", "dtype", "finite", "values")
_abs, _isfinite, _isnan, _argmax, _where = np.abs, np.isfinite, np.isnan, np.argmax, np.where
_maximum = np.maximum
_unravel, _errstate = np.unravel_index, np.errstate


@dataclass(frozen=True)
class Difference:
    """Where (`path`, such as `[1]["mask"]`) and at which stage two values part, in one sentence."""

    stage: str
    path: str
    text: str

    def __str__(self) -> str:
        return f"result{self.path}: {self.text}" if self.path else self.text


@dataclass(frozen=True)
class Tolerance:
    """Numbers are equal when |expected - got| <= atol + rtol * |expected|.

    In an array `|expected|` is at least a tenth of its largest finite number: an entry that is small because large
    terms cancel keeps their rounding, in one right way of computing another than in the next.
    """

    atol: float = 1e-5
    rtol: float = 1e-4
    any_dtype: bool = False
    exact_ints: bool = False


def first_difference(expected: Any, got: Any, tolerance: Tolerance = Tolerance()) -> Difference | None:
    """The difference of the earliest stage, or None when the two are equal."""
    found = list(_differences(expected, got, "", tolerance))
    return min(found, key=lambda d: STAGES.index(d.stage)) if found else None


def _differences(expected: Any, got: Any, path: str, tol: Tolerance) -> Iterator[Difference]:
    def differ(stage: str, text: str) -> Iterator[Difference]:
        yield Difference(stage, path, text)

    if isinstance(expected, Raised):
        if not isinstance(got, Raised):
            yield from differ("type", f"expected {expected.kinds[0]} to be raised, got {show(got)}")
        elif not set(expected.kinds) & set(got.kinds):
            yield from differ("type", f"expected {expected.kinds[0]} to be raised, got {got!r}")
        elif absent := [text for text in expected.mentions if text not in got.message]:
            yield from differ(
                "values", f"the error's message should mention {absent[0]!r}; it is {got.message!r}"
            )
    elif _kind(expected) != _kind(got) and not (type(expected) is float and type(got) is int):
        yield from differ("type", f"expected {_kind(expected)}, got {_kind(got)}{_value_of(got)}")
    elif isinstance(expected, Array):
        yield from _array_differences(expected, got, path, tol)
    elif isinstance(expected, dict):
        if missing := [key for key in expected if key not in got]:
            yield from differ(
                "shape", f"the key {show(missing[0])} is missing; got the keys {show(list(got))}"
            )
        elif extra := [key for key in got if key not in expected]:
            yield from differ("shape", f"there is a key {show(extra[0])} that should not be there")
        else:
            for key in expected:
                yield from _differences(expected[key], got[key], f"{path}[{key!r}]", tol)
    elif isinstance(expected, list | tuple):
        if len(expected) != len(got):
            text = (
                f"expected {len(expected)} items, got {len(got)}: expected {show(expected)}, got {show(got)}"
            )
            yield from differ("shape", text)
        else:
            for i, pair in enumerate(zip(expected, got)):
                yield from _differences(*pair, f"{path}[{i}]", tol)
    elif isinstance(expected, float | complex):
        want, have = complex(expected), complex(got)  # an int is welcome where a float is asked for
        if _finite(want) and not _finite(have):
            yield from differ("finite", f"expected {show(expected)}, got {show(got)}")
        elif not (
            want == have or (_nan(want) and _nan(have)) or abs(want - have) <= tol.atol + tol.rtol * abs(want)
        ):
            yield from differ("values", f"expected {show(expected)}, got {show(got)}")
    elif expected != got:
        yield from differ("values", f"expected {show(expected)}, got {show(got)}")


def _array_differences(expected: Array, got: Array, path: str, tol: Tolerance) -> Iterator[Difference]:
    if expected.shape != got.shape:
        yield Difference("shape", path, f"expected shape {expected.shape}, got {got.shape}")
        return
    same_kind = expected.dtype.rstrip("0123456789") == got.dtype.rstrip("0123456789").removeprefix("b")
    counting = not tol.exact_ints and expected.dtype in COUNTING and got.dtype in COUNTING
    if expected.dtype != got.dtype and not (counting or (tol.any_dtype and same_kind)):
        yield Difference("dtype", path, f"expected dtype {expected.dtype}, got {got.dtype}")
        return
    if expected.data.size == 0:
        return
    if expected.data.dtype.kind in "biu":
        wrong = expected.data != got.data
        error = wrong.astype("<f8")
    else:
        wide = "<c16" if expected.data.dtype.kind == "c" else "<f8"
        want, have = expected.data.astype(wide), got.data.astype(wide)
        lost = _isfinite(want) & ~_isfinite(have)
        if lost.any():
            at = _unravel(int(_argmax(lost)), lost.shape)
            text = (
                f"{int(lost.sum())} of {lost.size} numbers are not finite, the first at {_at(at)}: {have[at]}"
            )
            yield Difference("finite", path, text)
            return
        with _errstate(all="ignore"):
            error = _where((want == have) | (_isnan(want) & _isnan(have)), 0.0, _abs(want - have))
            error = _where(_isnan(error), np.inf, error)
            size = _where(_isfinite(want), _abs(want), 0.0)
            wrong = error > tol.atol + tol.rtol * _maximum(size, 0.1 * size.max())
    if wrong.any():
        at = _unravel(int(_argmax(_where(wrong, error, -1.0))), wrong.shape)
        count = f" ({int(wrong.sum())} of {wrong.size} differ)" if wrong.size > 1 else ""
        where = f" at {_at(at)}" if at else ""
        largest = (
            "" if expected.data.dtype.kind in "biu" else f"the largest error is {error[at]:.3g}{where}: "
        )
        prefix = largest or (f"{where.strip()}: " if where else "")
        have_want = f"expected {show(expected.data[at].item())}, got {show(got.data[at].item())}"
        yield Difference("values", path, prefix + have_want + count)


def _at(index: Any) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def _finite(x: complex) -> bool:
    return bool(_isfinite(x))


def _nan(x: complex) -> bool:
    return x != x


def _value_of(x: Any) -> str:
    """The value, where it helps: not for None or an unknown object."""
    return "" if x is None or isinstance(x, Opaque | Array) else f": {show(x)}"


def _kind(x: Any) -> str:
    """The type in a learner's words; a list and a tuple count as different things, an int and a bool too."""
    if isinstance(x, Opaque):
        return f"an object of type {x.type_name}"
    if isinstance(x, Array):
        return "a tensor" if x.kind == "tensor" else "a numpy array"
    if isinstance(x, Raised):
        return f"an exception {x!r}"
    if x is None:
        return "None"
    name = type(x).__name__
    return {"str": "text"}.get(name, f"{'an' if name[0] in 'aeiou' else 'a'} {name}")


def show(x: Any, limit: int = 120) -> str:
    """A short text for a value; a tensor by its shape, or in full when it is small."""
    if isinstance(x, Array):
        body = str(x.data.tolist())
        text = body if len(body) <= limit else f"shape {x.shape}"
        return f"{x.kind if x.kind == 'tensor' else 'array'}({text}, {x.dtype})"
    if isinstance(x, float):
        return f"{x:.6g}"
    if isinstance(x, Opaque):
        return f"<{x.type_name}>"
    if isinstance(x, list | tuple):
        text = ", ".join(show(item, limit) for item in x[:40])
        text = f"[{text}]" if isinstance(x, list) else f"({text})"
    elif isinstance(x, dict):
        text = "{" + ", ".join(f"{show(k)}: {show(v, limit)}" for k, v in list(x.items())[:40]) + "}"
    else:
        text = repr(x)
    return text if len(text) <= limit else text[: limit - 1] + "…"
