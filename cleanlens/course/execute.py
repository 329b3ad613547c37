"""Calling an answer: the half of a check that runs in the learner's process. It knows no expected value."""

import inspect
import random
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch

from .exercise import Exercise, pack
from .plain import Raised, encode, raised

METHODS = (FunctionType, property, staticmethod, classmethod)
_HERE = str(Path(__file__).parent)


def observe(ex: Exercise, answer: Any, seeds: range) -> bytes:
    """What `answer` gives for every case of every seed, as plain data; stops at the first exception.

    Each case is `{"value", "after"}` (the arguments as they stand after the call) or `{"error", "where"}`.
    """
    records: list[dict[str, Any]] = []
    for seed in seeds:
        for case in ex.cases(seed):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            try:
                with torch.enable_grad():
                    value = ex.observe(answer, case)
                after = None if ex.may_change_inputs else case
                records.append({"blob": encode({"value": value, "after": after})})
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                return encode([*records, {"error": error_as_data(error), "where": frames(error)}])
    return encode(records)


def error_as_data(error: BaseException) -> Raised:
    """The exception; sys.exit and running out of stack or memory get words of their own."""
    data = raised(error)
    if isinstance(error, SystemExit):
        data.message = f"it called sys.exit({data.message})"
    return data


def frames(error: BaseException) -> list[str]:
    """The learner's own lines on the way to an exception: `file, line N, in name: code`, the last three."""
    stack = traceback.extract_tb(error.__traceback__)
    mine = [f for f in stack if not f.filename.startswith((_HERE, "<frozen"))]
    mine = [f for f in mine if "site-packages" not in f.filename] or mine
    return [f"{Path(f.filename).name}, line {f.lineno}, in {f.name}: {f.line}" for f in mine[-3:]]


@contextmanager
def collected(ex: Exercise, space: Mapping[str, Any], all_others: bool = False) -> Iterator[Any]:
    """The answer in a learner's namespace, as the call step receives it.

    For an exercise on methods, the class's other methods that are still stubs (or, with `all_others`, all that
    belong to other exercises) are lent by `ex.supply` and taken away again. Raises KeyError for a missing name.
    """
    made: dict[str, Any] = {}
    for name in ex.names:
        owner = name.partition(".")[0]
        if owner not in space:
            raise KeyError(f"{owner} is not defined")
        made[owner] = space[owner]
    undo = []
    for owner, given in ex.supply.items():
        if not inspect.isclass(made.get(owner)):
            continue
        mine = {name.partition(".")[2] for name in ex.names if name.startswith(owner + ".")}
        others = {name.partition(".")[2] for name in ex.sibling_names if name.startswith(owner + ".")} - mine
        for method, value in methods(given).items():
            if method in mine or not ((all_others and method in others) or is_live_stub(made[owner], method)):
                continue
            undo.append((made[owner], method, vars(made[owner]).get(method)))
            setattr(made[owner], method, value)
    try:
        yield pack(made)
    finally:
        for cls, method, value in reversed(undo):
            delattr(cls, method) if value is None else setattr(cls, method, value)


def methods(cls: type) -> dict[str, Any]:
    """The functions and properties that a class and its bases define in Python, builtins and torch left out."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not object and not base.__module__.startswith("torch"):
            found |= {k: v for k, v in vars(base).items() if isinstance(v, METHODS)}
    return found


def is_live_stub(cls: type, method: str) -> bool:
    """True when a class's method is missing, or does nothing but raise NotImplementedError."""
    value = methods(cls).get(method)
    return value is None or is_stub_function(value)


def is_stub_function(value: Any) -> bool:
    """True for a function, method or property whose code uses no name but NotImplementedError."""
    value = getattr(value, "fget", None) or getattr(value, "__func__", value)
    code = getattr(value, "__code__", None)
    return code is not None and code.co_names == ("NotImplementedError",)
