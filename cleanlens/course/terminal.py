"""What the terminal shows: texts as they are, in ASCII or without colour where that is wanted, wrapped to its width."""

from rich.console import Console
from rich.markup import escape

from . import progress, report
from .result import Result, Status
from .text import clean

COLOURS = {Status.RIGHT: "green", Status.WRONG: "red", Status.ERROR: "red", Status.NOT_ATTEMPTED: "dim"}
SIGNS = report.SIGNS | {progress.UNCHECKED: "?"}
WORDS = report.WORDS | {progress.UNCHECKED: "not checked yet"}
ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "·": "-", "…": "...", "−": "-", "×": "x", "“": '"', "”": '"', "→": "->"}
    | {"●": "*", "○": ".", "█": "#", "░": ".", "└": "`", "─": "-"}
)
settings = {"plain": False}
WIDEST = 100
"""Longer lines are hard to read, however wide the window is."""


def _console() -> Console:
    return Console(no_color=True if settings["plain"] else None, highlight=False)


def say(text: str = "", style: str = "", wrap: bool = True) -> None:
    """Print a text as it is, in ASCII where the terminal knows no more."""
    console = _console()
    console.print(
        plain(text, console),
        style="" if settings["plain"] else style,
        markup=False,
        soft_wrap=not wrap or not console.is_terminal,
    )


def plain(text: str, console: Console | None = None) -> str:
    """`text` with what this terminal can show."""
    console, text = console or _console(), clean(text)
    try:
        "✓✗·…●█".encode("ascii" if settings["plain"] else console.encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.translate(ASCII).encode("ascii", "replace").decode()
    return text


def width() -> int | None:
    """Columns to write in; None where nobody looks, such as in a pipe: then lines stay whole."""
    console = _console()
    return min(console.width, WIDEST) if console.is_terminal else None


def say_wrapped(text: str, indent: int = 0, style: str = "") -> None:
    """A text, each of its lines wrapped to the terminal; what a line began with stays its indentation."""
    for line in text.splitlines() or [""]:
        for piece in report.wrapped(" " * indent + line, width()):
            say(piece, style, wrap=False)


def show(result: Result, help: str = "") -> None:
    """A verdict; `help` is what to do where no mistake is named, if not what the report says."""
    first, *rest = report.text(result, width(), help).splitlines()
    say(first, f"bold {COLOURS[result.status]}", wrap=False)
    for line in rest:
        say(line, wrap=False)


def show_code(text: str) -> None:
    """Python, in colours where there are some."""
    console = _console()
    text = "\n".join(piece for line in text.splitlines() for piece in report.wrapped(line, width()))
    if not console.is_terminal or settings["plain"] or console.no_color:
        say(text, wrap=False)
        return
    from rich.syntax import Syntax

    console.print(Syntax(plain(text, console), "python", background_color="default", word_wrap=True))


def warn(text: str) -> None:
    """Something the user should know, beside what was asked for."""
    Console(stderr=True, no_color=True if settings["plain"] else None).print(
        escape(text), style="yellow", highlight=False, soft_wrap=True
    )


def summary(results: list[Result]) -> None:
    counts = [(status, sum(r.status is status for r in results)) for status in Status]
    say(", ".join(f"{n} {report.WORDS[status]}" for status, n in counts if n))


def duration(seconds: float) -> str:
    """`under a minute`, `12 min`, `3 h 5 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"


def dots(level: int | None, of: int = 5) -> str:
    """`●●●○○`."""
    return "" if level is None else "●" * level + "○" * (of - level)
