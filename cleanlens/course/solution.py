"""The shipped solution of an exercise, as text, with its why. Torch-free."""

from pathlib import Path

from . import sources
from .catalog import Entry
from .workspace import home


def solution_text(entry: Entry, root: Path) -> str:
    """The solution's definitions, the helpers written for them included. Raises FileNotFoundError without the file."""
    path = next(
        (p for p in [root / entry.chapter.solutions, home() / entry.chapter.solutions] if p.is_file()), None
    )
    if path is None:
        raise FileNotFoundError(
            f"{entry.chapter.solutions} is not here; your copy of the course has no solutions"
        )
    return sources.cell_text(path.read_text(encoding="utf-8"), entry.id, helpers=True)
