"""The shipped solution of an exercise, as text, with its why. Torch-free."""

import ast
import textwrap
from pathlib import Path

from . import sources
from .catalog import Entry
from .workspace import home


def solution_text(entry: Entry, root: Path) -> str:
    """The solution's definitions, the helpers written for them included. Raises FileNotFoundError without the file."""
    return sources.cell_text(_solutions(entry, root), entry.id, helpers=True)


def definitions_text(entry: Entry, root: Path) -> str:
    """The exercise's own definitions alone, a method without its class: what an answer is compared with."""
    text = _solutions(entry, root)
    lines, tree = text.splitlines(), ast.parse(text)
    pieces = []
    for name in entry.names:
        node = sources.definition(tree, name)
        pieces.append(textwrap.dedent("\n".join(lines[sources.first_line(node) - 1 : node.end_lineno])))
    return "\n\n\n".join(pieces)


def _solutions(entry: Entry, root: Path) -> str:
    path = next(
        (p for p in [root / entry.chapter.solutions, home() / entry.chapter.solutions] if p.is_file()), None
    )
    if path is None:
        raise FileNotFoundError(
            f"{entry.chapter.solutions} is not here; your copy of the course has no solutions"
        )
    return path.read_text(encoding="utf-8")
