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
    expected: str = ""  # both in short, to stand one above the other
    got: str = ""
    at: tuple[int, ...] = ()  # where in a tensor
    count: str = ""  # "4 of 28": how many numbers differ

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
    def differ(stage: str, text: str, expected: str = "", got: str = "") -> Iterator[Difference]:
        yield Difference(stage, path, text, expected, got)

    if isinstance(expected, Raised):
        if not isinstance(got, Raised):
            yield from differ(
                "type",
                f"expected {expected.kinds[0]} to be raised, got {show(got)}",
                f"{expected.kinds[0]} to be raised",
                show(got),
            )
        elif not set(expected.kinds) & set(got.kinds):
            yield from differ(
                "type",
                f"expected {expected.kinds[0]} to be raised, got {got!r}",
                f"{expected.kinds[0]} to be raised",
                _said(got),
            )
        elif absent := [text for text in expected.mentions if text not in got.message]:
            yield from differ(
                "values", f"the error's message should mention {absent[0]!r}; it is {got.message!r}"
            )
    elif _kind(expected) != _kind(got) and not (type(expected) is float and type(got) is int):
        yield from differ(
            "type",
            f"expected {_kind(expected)}, got {_kind(got)}{_value_of(got)}",
            _kind(expected),
            _said(got) if isinstance(got, Raised) else f"{_kind(got)}{_value_of(got)}",
        )
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
            yield from differ(
                "shape", text, f"{len(expected)} items: {show(expected)}", f"{len(got)}: {show(got)}"
            )
        else:
            for i, pair in enumerate(zip(expected, got)):
                yield from _differences(*pair, f"{path}[{i}]", tol)
    elif isinstance(expected, float | complex):
        want, have = complex(expected), complex(got)  # an int is welcome where a float is asked for
        if _finite(want) and not _finite(have):
            yield from differ(
                "finite", f"expected {show(expected)}, got {show(got)}", show(expected), show(got)
            )
        elif not (
            want == have or (_nan(want) and _nan(have)) or abs(want - have) <= tol.atol + tol.rtol * abs(want)
        ):
            yield from differ("values", f"expected {show(expected)}, got {show(got)}", *_apart(want, have))
    elif expected != got:
        yield from differ("values", f"expected {show(expected)}, got {show(got)}", show(expected), show(got))


def _array_differences(expected: Array, got: Array, path: str, tol: Tolerance) -> Iterator[Difference]:
    if expected.shape != got.shape:
        yield Difference(
            "shape", path, f"expected shape {expected.shape}, got {got.shape}", _sizes(expected), _sizes(got)
        )
        return
    same_kind = expected.dtype.rstrip("0123456789") == got.dtype.rstrip("0123456789").removeprefix("b")
    counting = not tol.exact_ints and expected.dtype in COUNTING and got.dtype in COUNTING
    if expected.dtype != got.dtype and not (counting or (tol.any_dtype and same_kind)):
        text = f"expected dtype {expected.dtype}, got {got.dtype}"
        yield Difference("dtype", path, text, expected.dtype, got.dtype)
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
            both, count = _rows(expected, got, at), f"{int(lost.sum())} of {lost.size}"
            yield Difference("finite", path, text, *both, tuple(map(int, at)), count)
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
        many = f"{int(wrong.sum())} of {wrong.size}" if wrong.size > 1 else ""
        both = _rows(expected, got, at)
        yield Difference("values", path, prefix + have_want + count, *both, tuple(map(int, at)), many)


ROW = 5
"""So many numbers of a tensor's row are shown around the one that differs."""


def _rows(expected: Array, got: Array, at: Any) -> tuple[str, str]:
    """The row of both tensors in which they differ, one number below the other; the one that differs in brackets."""
    if not at:
        return _apart(expected.data.item(), got.data.item())
    length = expected.shape[-1]
    first = max(0, min(int(at[-1]) - ROW // 2, length - ROW))
    numbers = range(first, min(first + ROW, length))
    columns = []
    for i in numbers:
        here = (*at[:-1], i)
        pair = _apart(expected.data[here].item(), got.data[here].item())
        marked = [f"[{text}]" if i == at[-1] and length > 1 else text for text in pair]
        columns.append([text.rjust(max(map(len, marked))) for text in marked])
    ends = ("… " if first else "", " …" if numbers.stop < length else "")
    rows = [ends[0] + " ".join(column[row] for column in columns) + ends[1] for row in (0, 1)]
    return rows[0], rows[1]


def _apart(*pair: Any) -> tuple[str, str]:
    """Two numbers in short, with as many digits as it takes to tell them apart."""
    texts = [""]
    for digits in (4, 6, 9, 17):
        texts = [
            f"{x.real:.{digits}g}{x.imag:+.{digits}g}j"
            if type(x) is complex and x.imag
            else _number(x, digits)
            for x in pair
        ]
        if texts[0] != texts[1] or pair[0] == pair[1] or pair[0] != pair[0]:
            break
    return texts[0], texts[1]


def _number(x: Any, digits: int) -> str:
    if type(x) is complex:
        x = x.real
    return f"{x:.{digits}g}" if type(x) is float else str(x)


def _sizes(x: Array) -> str:
    return "[" + ", ".join(map(str, x.shape)) + "]"


def _said(error: Raised) -> str:
    """As Python prints it."""
    return f"{error.kinds[0]}: {error.message}" if error.message else error.kinds[0]


def _at(index: Any) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def _finite(x: complex) -> bool:
    return bool(_isfinite(x))


def _nan(x: complex) -> bool:
    return x != x


def _value_of(x: Any) -> str:
    """The value, where it helps: not for None or an unknown object."""
    return "" if x is None or isinstance(x, Opaque | Array | Raised) else f": {show(x)}"


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
