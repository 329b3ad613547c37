"""One call of a check once more, in this process: to look at (`case`), or to walk through with a debugger (`debug`).

Here the learner's code runs as if they had started it themselves: not sealed, with this terminal or notebook.
"""

import bdb
import copy
import dis
import linecache
import os
import pdb
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

from . import words
from .execute import codes, collected, set_modes, short
from .exercise import Exercise


@dataclass(repr=False)
class Call:
    """A call of the learner's function by a check, and what should come back.

    `arguments` are those of the function itself, by name, as they were when it was called; `f(*call.values())` calls
    it with them. `function` is the name of what was called.
    """

    id: str
    number: int
    function: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    expected: Any = None
    got: Any = None

    def values(self) -> list[Any]:
        return list(self.arguments.values())

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def __repr__(self) -> str:
        signature = words.signatures(self.id).get(self.function, words.Signature())
        given = words.called([short(name, value) for name, value in self.arguments.items()], signature)
        rows = [f"{self.id}, call {self.number + 1} of the check: {self.function}(", *_indented(given), ")"]
        for label, value in (("expected", self.expected), ("got", self.got)):
            axes = words.Signature({label: signature.returns[0]} if len(signature.returns) == 1 else {})
            rows.append(words.called([short(label, value)], axes).replace("\n", "\n  "))
        return "\n".join(rows)


def in_short(value: Any) -> str:
    return words.called([short("", value)], words.Signature()).strip()


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def arguments_of(ex: Exercise, number: int) -> tuple[int, dict[str, Any]]:
    """The seed and the arguments of a check's call; its last is the first once more. Raises IndexError beyond that."""
    for seed in [*range(ex.seeds), 0]:
        cases = ex.cases(seed)
        if 0 <= number < len(cases):
            set_modes(cases[number], seed, number)
            return seed, cases[number]
        number -= len(cases)
    raise IndexError(f"the check of {ex.id} makes no such call")


def expected(ex: Exercise, number: int) -> Any:
    """What a right answer gives; where the check keeps a record of several things, the one that is returned."""
    return returned(ex, ex.expected(arguments_of(ex, number)[1]))


def returned(ex: Exercise, value: Any) -> Any:
    """Of what a check's call gives, what the learner's function returned."""
    if ex.run_call is not None and isinstance(value, dict):
        return next((value[key] for key in value if key in words.GENERIC), value)
    return value


def case(ex: Exercise, space: Mapping[str, Any], number: int) -> Call:
    """Make the call once more and see what the learner's function is given, and gives."""
    found = Call(ex.id, number, expected=expected(ex, number))
    _, given = arguments_of(ex, number)
    with collected(ex, space) as answer:
        known = {code: name for name, code in codes(ex, answer)}

        def see(frame: FrameType, event: str, returned: Any) -> None:
            if frame.f_code in known and event == "call":
                names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
                found.function = known[frame.f_code]
                found.arguments = {
                    name: _copied(frame.f_locals[name]) for name in names if name in frame.f_locals
                }
            elif frame.f_code in known and event == "return":
                found.got = returned

        before = sys.getprofile()
        sys.setprofile(see)
        try:
            with torch.enable_grad():
                ex.observe(answer, given)
        except Exception as error:
            found.got = error
        finally:
            sys.setprofile(before)
    if not found.function:  # something that is no Python function
        found.function, found.arguments = ex.names[0], given
    return found


def _copied(value: Any) -> Any:
    with suppress(Exception):
        return copy.deepcopy(value)
    return value  # a tensor that is not a leaf, a file, ...


def debug(ex: Exercise, space: Mapping[str, Any], number: int, debugger: pdb.Pdb | None = None) -> Any:
    """Make the call under a debugger that stops at the first line of the learner's function, and where it raises.

    Returns what the check's call gives, or the exception; BdbQuit where the debugger was left before it was through.
    """
    debugger = debugger or pdb.Pdb(nosigint=True)
    _, given = arguments_of(ex, number)
    with collected(ex, space) as answer:
        for name, code in codes(ex, answer):
            if name in ex.names or name.endswith((".forward", ".__call__")):
                _stop_at(debugger, code)
        debugger.rcLines.append("continue")  # from our own code to the learner's
        through = list[Any]()

        def call() -> None:
            value = ex.observe(answer, given)
            if not debugger.quitting:  # else a check that looks at exceptions took the debugger's own for one
                through.append(value)

        try:
            with torch.enable_grad():
                debugger.runcall(call)  # ends in silence where the debugger is left
            return returned(ex, through[0]) if through else bdb.BdbQuit()
        except Exception as error:
            traceback.print_exception(type(error), error, _own(error), chain=False)
            debugger.reset()
            debugger.interaction(None, error.__traceback__)
            return error


def _stop_at(debugger: pdb.Pdb, code: CodeType) -> None:
    """A breakpoint at a function's first line of code, wherever its text is kept."""
    lines = [line for _, line in dis.findlinestarts(code) if line is not None and line != code.co_firstlineno]
    name = debugger.canonic(code.co_filename)
    if name not in linecache.cache and code.co_filename in linecache.cache:
        linecache.cache[name] = linecache.cache[
            code.co_filename
        ]  # a notebook's cell has no file of that name
    debugger.set_break(name, lines[0] if lines else code.co_firstlineno)


def _own(error: BaseException) -> Any:
    """The traceback from the learner's first line on."""
    trace, ours = error.__traceback__, (str(Path(__file__).parent), os.path.dirname(pdb.__file__))
    while trace is not None and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return trace
