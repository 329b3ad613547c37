"""Running a learner's program one statement at a time, so that one that fails costs only itself."""

import ast
import contextlib
import linecache
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .answers import Part
from .execute import error_as_data, frames
from .text import Tail, lines_of

DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def load(
    parts: Iterable[Part],
    module: str,
    skip: frozenset[int] = frozenset(),
    before: Callable[[int, str], None] = lambda number, place: None,
) -> tuple[dict[str, Any], list[str]]:
    """Run the parts in one fresh module; returns its namespace and what went wrong on the way, in words.

    `before(number, place)` is called ahead of each statement, and the statements in `skip` are left out: that is
    how one that ends the process, or never ends, is found and passed over.
    """
    made = types.ModuleType(module)
    sys.modules[module] = made
    space, problems, number, flags = made.__dict__, list[str](), 0, 0
    for part in parts:
        lines = lines_of(part.text, keepends=True)
        linecache.cache[part.name] = (len(part.text), None, lines, part.name)
        space["__file__"] = part.name
        for node in ast.parse(part.text).body:
            if part.definitions_only and not isinstance(node, DEFINING):
                continue
            number += 1
            if number - 1 in skip:
                continue
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                import __future__

                for alias in node.names:
                    flags |= getattr(__future__, alias.name).compiler_flag
            before(number - 1, f"{part.name}, line {node.lineno}")
            try:
                code = compile(ast.Module([node], []), part.name, "exec", flags=flags, dont_inherit=True)
                exec(code, space)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                where = frames(error)[-1:] or [f"{part.name}, line {node.lineno}"]
                problems.append(f"{where[0].rstrip(': ')} raised {error_as_data(error)!r}")
    return space, problems


@contextlib.contextmanager
def captured() -> Iterator[Tail]:
    """Collect what is printed."""
    tail = Tail()
    with contextlib.redirect_stdout(tail), contextlib.redirect_stderr(tail):
        yield tail


class Guard:
    """Remembers what torch, math and their like were, and puts back what a learner's code has replaced."""

    def __init__(self) -> None:
        import builtins
        import math
        import random

        import numpy
        import torch

        self.torch = torch
        owners: list[Any] = [
            torch,
            torch.Tensor,
            torch.nn,
            torch.nn.Module,
            torch.nn.functional,
            torch.testing,
        ]
        owners += [torch.linalg, torch.autograd, builtins, math, random, numpy, numpy.random, ast, linecache]
        self.saved = [(owner, dict(vars(owner))) for owner in owners]
        self.path = list(sys.path)

    def changed(self) -> list[tuple[Any, str, Any, Any]]:
        """(owner, name, its value now, its value then) for everything that was replaced."""
        found = []
        for owner, saved in self.saved:
            now = vars(owner)
            # What a class inherits is replaced by adding a name; modules gain names by importing.
            names = saved.keys() | now.keys() if isinstance(owner, type) else saved.keys()
            pairs = [(name, now.get(name, Guard), saved.get(name, Guard)) for name in names]
            found += [(owner, name, is_now, then) for name, is_now, then in pairs if is_now is not then]
        return found

    @staticmethod
    def put(owner: Any, name: str, value: Any) -> None:
        """Set a name, or take it away where it was not there (`Guard` stands for that)."""
        if value is Guard:
            delattr(owner, name)
        else:
            setattr(owner, name, value)

    def restore(self) -> None:
        """Put everything back for good: between two exercises of a child process."""
        for owner, name, _, then in self.changed():
            with contextlib.suppress(Exception):
                self.put(owner, name, then)
        self.torch.set_default_dtype(self.torch.float32)
        self.torch.set_default_device(None)
        self.torch.set_grad_enabled(True)
        sys.path[:] = self.path

    @contextlib.contextmanager
    def pristine(self) -> Iterator[None]:
        """Put everything back for the time of judging: in a notebook, where the learner's changes stay theirs."""
        changed, dtype = self.changed(), self.torch.get_default_dtype()
        for owner, name, _, then in changed:
            self.put(owner, name, then)
        self.torch.set_default_dtype(self.torch.float32)
        try:
            with self.torch.enable_grad():
                yield
        finally:
            self.torch.set_default_dtype(dtype)
            for owner, name, now, _ in changed:
                self.put(owner, name, now)
