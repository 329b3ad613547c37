"""Calling an answer: the half of a check that runs in the learner's process. It knows no expected value."""

import inspect
import random
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from .exercise import Case, Exercise, pack
from .plain import Raised, encode, frames, raised
from .text import Tail

METHODS = (FunctionType, property, staticmethod, classmethod)
MOST_CALLS = 500
"""After so many calls of the learner's functions within one call of the check no more are looked at."""
GRADIENTS = "its gradients (.grad)"
TOKENIZER = "its vocabulary and settings"
CHECKS = f"{__package__}.chapters."


def observe(ex: Exercise, answer: Any, seeds: range) -> bytes:
    """What `answer` gives for every case of every seed, as plain data; stops at the first exception."""
    return encode(list(records(ex, answer, seeds, tell=True)))


def records(ex: Exercise, answer: Any, seeds: range, tell: bool = False) -> Iterator[dict[str, Any]]:
    """What each call gives: `{"value", "after", "overwrote"}`, each as bytes or a number, or `{"error", "where"}`.

    With `tell` a record also holds what was `printed`, and what the learner's function was `called` with. `after` is
    how things stand after the call; `overwrote` is which earlier call's result had become another by the end of the
    seed's calls, or None. The last record is of the first call made once more: it should give what it gave.
    """
    for seed in seeds:
        given: list[tuple[Any, bytes]] = []
        cases = ex.cases(seed)
        for index, case in enumerate(cases):
            record = _record(ex, answer, case, (seed, index), given, tell)
            if index == len(cases) - 1 and "error" not in record:
                changed = (i for i, (value, then) in enumerate(given) if encode(value) != then)
                record["overwrote"] = next(changed, None)
            yield record
            if "error" in record:
                return
    yield _record(ex, answer, ex.cases(seeds[0])[0], (seeds[0], 0), [], tell)


def _record(
    ex: Exercise,
    answer: Any,
    case: Case,
    number: tuple[int, int],
    given: list[tuple[Any, bytes]],
    tell: bool,
) -> dict[str, Any]:
    """One call's record; what it gave is added to `given`, as it is and as bytes."""
    _reseed(*number)
    set_modes(case, *number)
    told = Told(ex, answer) if tell else None
    record: dict[str, Any]
    try:
        with torch.enable_grad():
            with told or nullcontext():
                value = ex.observe(answer, case)
            after = encode(standing(ex, case))
        given.append((value, encode(value)))
        record = {"value": given[-1][1], "after": after, "overwrote": None}
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        record = {"error": error_as_data(error), "where": frames(error)}
    return record | ({"printed": told.printed.kept[:2000], "called": told.calls} if told else {})


class Told:
    """What is worth telling of a call, besides what it gave: the prints, and the arguments the answer was called with.

    An exercise's check may call a method of a model that it makes, or a function several times over, so what the
    learner's own code is called with is seen only there. Python's profiler reports each call of a function; nothing is
    wrapped, so the answer is the very object that the learner wrote.
    """

    def __init__(self, ex: Exercise, answer: Any):
        self.printed, self.calls, self._left = Tail(), list[dict[str, Any]](), MOST_CALLS
        self._codes = {code: name for name, code in codes(ex, answer)}
        self._context = ExitStack()

    def __enter__(self) -> "Told":
        for redirect in (redirect_stdout, redirect_stderr):
            self._context.enter_context(redirect(self.printed))  # type: ignore[type-var]
        if self._codes and sys.getprofile() is None:
            sys.setprofile(self._event)
            self._context.callback(sys.setprofile, None)
        return self

    def __exit__(self, *error: object) -> None:
        self._context.close()

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in self._codes:
            with suppress(Exception):  # an object that does not like to be looked at
                self._tell(frame)
            self._left -= 1
            if not self._left:  # a recursion: enough was seen
                sys.setprofile(None)

    def _tell(self, frame: FrameType) -> None:
        code, name = frame.f_code, self._codes[frame.f_code]
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given = [a for key in names if key in frame.f_locals for a in arguments(key, frame.f_locals[key])]
        self.calls = [call for call in self.calls if call["function"] != name]
        self.calls.append({"function": name, "arguments": given})  # of each function its last call


def codes(ex: Exercise, answer: Any) -> Iterator[tuple[str, CodeType]]:
    """The code objects of the functions and methods that an exercise asks for."""
    owners = {name.partition(".")[0] for name in ex.names}
    for name in ex.names:
        owner, _, method = name.partition(".")
        value = answer if len(owners) == 1 else getattr(answer, owner, None)
        found: dict[str, Any] = {name: value}
        if inspect.isclass(value):
            inside = methods(value)
            found = {name: inside.get(method)} if method else {f"{name}.{m}": v for m, v in inside.items()}
        for label, function in found.items():
            function = getattr(function, "fget", None) or getattr(function, "__func__", function)
            with suppress(Exception):
                yield label, inspect.unwrap(function).__code__


def arguments(name: str, value: Any) -> list[dict[str, Any]]:
    """An argument in short; of `self`, the weights that it holds."""
    if name != "self":
        return [short(name, value)]
    weights = vars(value).get("_parameters") if isinstance(value, nn.Module) else None
    shown = [short(f"self.{key}", x) for key, x in (weights or {}).items() if x is not None][:8]
    return [weight | {"text": ""} for weight in shown]


def short(name: str, value: Any) -> dict[str, Any]:
    """An argument in a few words: {"name", "text"}, of a tensor also its "shape" and "dtype"."""
    if type(value) in (torch.Tensor, nn.Parameter):
        text = str(_rounded(value.tolist())) if value.numel() <= 8 and value.layout is torch.strided else ""
        dtype = str(value.dtype).removeprefix("torch.")
        return {"name": name, "text": text, "shape": list(value.shape), "dtype": dtype}
    return {"name": name, "text": _in_short(value)}


def _in_short(value: Any, depth: int = 0) -> str:
    if type(value) in (torch.Tensor, nn.Parameter):
        return f"tensor {list(value.shape)}"
    if type(value) is dict and depth < 3:
        texts = [f"{key!r}: {_in_short(item, depth + 1)}" for key, item in list(value.items())[:12]]
        text = "{" + ", ".join(texts) + (", …}" if len(value) > 12 else "}")
    elif type(value) in (list, tuple) and depth < 3:
        text = ", ".join(_in_short(item, depth + 1) for item in value[:12]) + (
            ", …" if len(value) > 12 else ""
        )
        text = f"[{text}]" if type(value) is list else f"({text})"
    elif value is None or type(value) in (bool, int, float, str):
        text = repr(_rounded(value))
    else:
        text = getattr(value, "__name__", "") if callable(value) else ""
        kind = type(value).__name__
        text = text if type(text) is str and text else f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
    return text if len(text) <= 150 else text[:149] + "…"


def _rounded(value: Any) -> Any:
    if type(value) is list:
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if type(value) is float else value


def _reseed(seed: int, index: int) -> None:
    """What the answer draws must not be what the inputs were drawn from: a fresh embedding would equal the hidden one."""
    start = 1_000_003 * (seed + 1) + 7919 * index
    random.seed(start)
    np.random.seed(start % 2**32)
    torch.manual_seed(start)


def set_modes(case: Case, seed: int, index: int) -> None:
    """Lent models are in training mode in one call and in eval mode in the next: who turns on one of the two is seen."""
    for model in _models(list(case.values())):
        model.train((seed + index) % 2 == 0)


def _models(value: Any) -> Iterator[nn.Module]:
    """The models in a call's arguments, also those that a cache or a list holds."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _models(item)
    elif isinstance(getattr(value, "cache_dict", None), dict):
        yield from _models(value.model)


def standing(ex: Exercise, case: Case) -> dict[str, Any]:
    """The arguments of a call and torch's own modes as they stand, as data: what a call has changed shows in it."""
    modes = {
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's default dtype": str(torch.get_default_dtype()),
    }
    arguments = {} if ex.may_change_inputs else {name: _standing(value) for name, value in case.items()}
    if ex.may_leave_gradients:
        for record in arguments.values():
            if isinstance(record, dict):
                record.pop(GRADIENTS, None)
    return {"arguments": arguments, "modes": modes}


def _standing(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return _module_standing(value)
    if isinstance(getattr(value, "cache_dict", None), dict):  # an ActivationCache
        return dict(value.cache_dict) | {"its model": _standing(value.model)}
    if isinstance(value, Tokenizer):
        return {TOKENIZER: zlib.crc32(value.to_str().encode())}
    if type(value).__module__.startswith(CHECKS) and hasattr(value, "__dict__"):  # what a check made up
        return {name: _standing(item) for name, item in vars(value).items()}
    if type(value) in (list, tuple):
        return type(value)(map(_standing, value))
    if type(value) is dict:
        return {key: _standing(item) for key, item in value.items()}
    return value


def _module_standing(module: nn.Module) -> dict[str, Any]:
    """What a caller may rely on in a model that it lends."""
    parameters = dict(module.named_parameters())
    numbers = parameters | dict(module.named_buffers())
    hooks = {
        name: [
            getattr(hook, "__qualname__", type(hook).__name__)
            for kind in ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks")
            for hook in getattr(part, kind).values()
        ]
        for name, part in module.named_modules()
    }
    settings = getattr(getattr(module, "cfg", None), "__dict__", {})
    return {
        "its mode (train or eval)": {name: part.training for name, part in module.named_modules()},
        "its weights": {name: _checksum(x) for name, x in numbers.items()},
        "requires_grad": {name: x.requires_grad for name, x in parameters.items()},
        GRADIENTS: {name: None if x.grad is None else _checksum(x.grad) for name, x in parameters.items()},
        "its hooks": {name: some for name, some in hooks.items() if some},
        "its settings (cfg)": {k: v for k, v in settings.items() if type(v) in (bool, int, float, str)},
    }


def _checksum(x: torch.Tensor) -> int:
    return zlib.crc32(encode(x.detach()))


def error_as_data(error: BaseException) -> Raised:
    """The exception; sys.exit and running out of stack or memory get words of their own."""
    data = raised(error)
    if isinstance(error, SystemExit):
        data.message = f"it called sys.exit({data.message})"
    return data


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


@contextmanager
def lending(rights: Mapping[str, Any], *spaces: dict[str, Any]) -> Iterator[None]:
    """Right answers to other exercises (name -> function, class or method) where the learner's code looks for its own.

    `spaces` are the namespaces of that code, which are as they were before when it is over.
    """
    undo: list[tuple[Any, str, Any]] = []
    for name, value in rights.items():
        owner, _, method = name.partition(".")
        for space in spaces:
            cls = space.get(owner)
            if not method or inspect.isclass(value):
                undo.append((space, owner, space.get(owner, undo)))
                space[owner] = value
            elif inspect.isclass(cls):
                given = inspect.getattr_static(cls, method, None)
                undo.append((cls, method, vars(cls).get(method, undo)))
                wrap = type(given) if isinstance(given, property | staticmethod | classmethod) else None
                setattr(cls, method, wrap(value) if wrap else value)
    try:
        yield
    finally:
        for place, name, before in reversed(undo):  # `undo` itself stands for a name that was not there
            if isinstance(place, dict):
                place[name] = before
                if before is undo:
                    del place[name]
            elif before is undo:
                delattr(place, name)
            else:
                setattr(place, name, before)


def methods(cls: type) -> dict[str, Any]:
    """The functions and properties that a class and its bases define in Python, builtins and torch left out."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not object and not base.__module__.startswith("torch"):
            found |= {k: v for k, v in vars(base).items() if isinstance(v, METHODS)}
    return found


def functions_of(value: Any) -> list[FunctionType]:
    """A function itself, or those that a class defines: its methods, and what is behind its properties."""
    found = list(vars(value).values()) if inspect.isclass(value) else [value]
    bare = [getattr(f, "fget", None) or getattr(f, "__func__", f) for f in found]
    return [f for f in bare if isinstance(f, FunctionType)]


def is_live_stub(cls: type, method: str) -> bool:
    """True when a class's method is missing, or does nothing but raise NotImplementedError."""
    value = methods(cls).get(method)
    return value is None or is_stub_function(value)


def is_stub_function(value: Any) -> bool:
    """True for a function, method or property whose code uses no name but NotImplementedError."""
    value = getattr(value, "fget", None) or getattr(value, "__func__", value)
    code = getattr(value, "__code__", None)
    return code is not None and code.co_names == ("NotImplementedError",)
