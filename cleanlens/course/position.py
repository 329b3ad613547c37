"""Where a learner is in the course, and what comes next. Torch-free."""

import ast
import json
import re
import textwrap
from contextlib import suppress
from pathlib import Path

from . import build, progress, sources, workspace
from .answers import Answers
from .catalog import ChapterEntry, Entry, outline
from .result import Status
from .terminal import dots, duration, say, say_wrapped, show_code, width
from .text import lines_of


def here(place: Path) -> list[ChapterEntry]:
    """The chapters there are to work on: those that are shipped, or stand in this folder."""
    known = {chapter.id for chapter in workspace.chapters()}
    return [c for c in outline() if c.id in known or (place / c.answers).is_file()]


def following(place: Path, states: dict[str, str] | None = None, after: str = "") -> Entry | None:
    """The first exercise that is not right, from `after` on if there is one."""
    states = states or progress.states(place, here(place))
    order = [e for c in in_turn(here(place), states) for e in c.exercises]
    rest = [e for e in order if states[e.id] != Status.RIGHT]
    ids = [e.id for e in order]
    later = [e for e in rest if after in ids and ids.index(e.id) > ids.index(after)]
    return next(iter(later or rest), None)


def in_turn(chapters: list[ChapterEntry], states: dict[str, str]) -> list[ChapterEntry]:
    """The chapters in the order of work: first those that are begun and not finished.

    Optional ones come first for those who begin with them, for all others last.
    """

    def begun(optional: bool) -> bool:
        mine = [e for c in chapters if c.optional == optional for e in c.exercises]
        return any(states[e.id] != Status.NOT_ATTEMPTED for e in mine)

    def under_way(chapter: ChapterEntry) -> bool:
        mine = [states[e.id] for e in chapter.exercises]
        return any(s != Status.NOT_ATTEMPTED for s in mine) and any(s != Status.RIGHT for s in mine)

    first = begun(optional=True) and not begun(optional=False)
    return sorted(chapters, key=lambda chapter: (not under_way(chapter), chapter.optional != first))


def spot(entry: Entry, place: Path) -> tuple[str, int]:
    """The file in which an exercise is written, or is to be, and the line; 0: it is not in there."""
    answers = Answers.read(entry.chapter, place)
    answer = answers.of(entry)
    name, comma, line = answer.where.rpartition(", line ")
    if answer.origin and comma:
        return name.partition(", cell")[0], int(line) if name.endswith(".py") else 0
    for part in answers.file.parts:
        for number, text in enumerate(lines_of(part.text), 1):
            if text.strip() == f"# exercise {entry.id}":
                return part.name, number + 1
    return entry.chapter.answers, 0


def place_of(entry: Entry, place: Path) -> str:
    """`exercises/ch00_tokens.py, line 20`, as seen from here."""
    answers = Answers.read(entry.chapter, place)
    answer = answers.of(entry)
    if answer.origin:
        return answer.where
    name, line = spot(entry, place)
    if line:
        return f"{name}, line {line}"
    if answers.file.parts:
        return f"{entry.chapter.answers} (it is not in there: define {', '.join(entry.names)})"
    return f"{entry.chapter.answers} (missing: `cleanlens update` brings it back)"


def about(entry: Entry) -> str:
    """`20 minutes, difficulty ●●●○○, importance ●●●●○, check names 8 mistakes`."""
    difficulty, importance = entry.details.get("difficulty"), entry.details.get("importance")
    parts = [f"{entry.details.get('minutes')} minutes"]
    parts += [f"difficulty {dots(difficulty)}"] if difficulty else []
    parts += [f"importance {dots(importance)}"] if importance else []
    return ", ".join([*parts, f"check names {entry.n_mistakes} mistakes"])


def introduce(entry: Entry, place: Path, word: str = "Next", statement: bool = False) -> None:
    """An exercise's title, its place and its lesson's; with `statement`, its signature and docstring as well."""
    say_wrapped(f"{word}: {entry.id} {', '.join(entry.names)}: {entry.title}", style="bold")
    say_wrapped(about(entry), 2)
    say(f"  {place_of(entry, place)}", wrap=False)
    say_wrapped(entry.details.get("objective", ""), 2)
    section = section_of(entry, place)
    lesson = f"{entry.chapter.notebook}, section “{section}”" if section else entry.chapter.notebook
    say_wrapped(f"Read first: {lesson}: `cleanlens lab {entry.chapter.id}`", 2)
    if statement:
        say()
        show_code(reflowed(statement_of(entry), width()))


def section_of(entry: Entry, place: Path) -> str:
    """The heading under which the chapter's notebook asks for an exercise; "" where it cannot be read."""
    heading = ""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        for cell in json.loads((place / entry.chapter.notebook).read_text(encoding="utf-8"))["cells"]:
            for line in lines_of("".join(cell["source"])) if cell["cell_type"] == "markdown" else []:
                if line.startswith(f"### Exercise {entry.id}:"):
                    return heading
                if line.startswith(("## ", "### ")) and not line.startswith("### Exercise "):
                    heading = line.lstrip("# ")
    return ""


def statement_of(entry: Entry) -> str:
    """What an exercise asks for: signature and docstring of each of its definitions."""
    return sources.statement(build.stub_file(entry.chapter, workspace.home()), entry.names)


def reflowed(statement: str, columns: int | None) -> str:
    """A statement with each paragraph of its docstrings filled to so many columns; lists and code keep their lines."""
    if columns is None:
        return statement
    try:
        tree = ast.parse(statement)
    except SyntaxError:  # a stub without a docstring has no body
        return statement
    rows: list[str | None] = [*lines_of(statement)]
    paragraphs = set[int]()  # the rows in which one begins
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(node) is None:
            continue
        doc = node.body[0]
        before: int | None = None  # where the paragraph begins that the next line may go on with
        for i in range(doc.lineno - 1, doc.end_lineno or doc.lineno):
            line = str(rows[i])
            body, indent = line.strip(), len(line) - len(line.lstrip())
            is_prose = indent == doc.col_offset and re.match(r"[-*>]|\d+[.)] |\"\"\"$|```", body) is None
            if not body or not is_prose:
                before = None
            elif before is None:
                before = i
                paragraphs.add(i)
            else:
                rows[before], rows[i] = f"{rows[before]} {body}", None
            if body.endswith(":"):
                before = None
    filled = list[str]()
    for i, row in enumerate(rows):
        if row is not None and i in paragraphs:
            margin = " " * (len(row) - len(row.lstrip()))
            together = re.sub(r'" (?=\S+")', '"\0', row)  # " Mary" is no place for a line's end
            pieces = textwrap.wrap(together, columns, subsequent_indent=margin, break_on_hyphens=False)
            filled += [piece.replace("\0", " ") for piece in pieces]
        elif row is not None:
            filled.append(row)
    return "\n".join(filled)


def efforts(entries: list[Entry], known: dict[str, dict[str, int]]) -> str:
    """`12 attempts, 3 hints, 1 h 20 min`, or "" for what was not begun."""
    mine = [known[e.id] for e in entries if e.id in known]
    tried, hints, seconds = (sum(m[key] for m in mine) for key in ("attempts", "hints", "seconds"))
    if not tried and not hints:
        return ""
    counts = [(tried, "attempt"), (hints, "hint")]
    words = [f"{n} {word}{'s' * (n > 1)}" for n, word in counts if n]
    return ", ".join([*words, duration(seconds)])
