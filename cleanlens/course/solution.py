"""The shipped solution of an exercise, as text, with its why. Torch-free."""

import ast
from pathlib import Path

from . import sources
from .catalog import Entry


def solution_text(entry: Entry, root: Path) -> str:
    """The solution's definitions, the helpers written for them included. Raises FileNotFoundError without the file."""
    path = next((p for p in [root / entry.chapter.solutions, _shipped(entry)] if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{entry.chapter.solutions} is not here; your copy of the course has no solutions"
        )
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    nodes = [node for _, node in sources.marked(text)[entry.id]]
    used = {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}
    helpers = [
        node
        for node in ast.parse(text).body
        if isinstance(node, sources.DEFINITIONS)
        and node.name in used
        and sources.SOLUTION_ONLY.match(lines[max(sources.first_line(node) - 2, 0)])
    ]
    parts = ["\n".join(lines[sources.first_line(node) - 1 : node.end_lineno]) for node in [*helpers, *nodes]]
    return "\n\n\n".join(parts)


def _shipped(entry: Entry) -> Path:
    """Where an installed package carries its solutions."""
    return Path(__file__).parent / "data" / entry.chapter.solutions
