"""The course's front in a notebook: `from cleanlens.course import check, hint, solution`."""

from typing import Any

__all__ = ["case", "check", "debug", "grade", "hint", "solution", "yours"]


def __getattr__(name: str) -> Any:
    """The fronts, imported when first used: the terminal's commands start without torch."""
    if name in __all__:
        from . import notebook

        return getattr(notebook, name)
    raise AttributeError(f"cleanlens.course has no {name!r}; it offers {', '.join(__all__)}")
