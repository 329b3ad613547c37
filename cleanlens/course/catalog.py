"""Finding chapters and exercises, with torch (`chapters`, `find`) and without it (`outline`)."""

import ast
import difflib
import importlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exercise import Chapter, Exercise

FOLDER = Path(__file__).parent / "chapters"


@dataclass
class Entry:
    """What the terminal shows of an exercise, read from its file without running it."""

    id: str
    names: tuple[str, ...]
    details: dict[str, Any]
    chapter: "ChapterEntry" = field(repr=False)
    n_mistakes: int = 0  # how many documented mistakes its check can name

    @property
    def title(self) -> str:
        return self.details["title"]

    @property
    def hints(self) -> list[str]:
        return list(self.details["hints"])


@dataclass
class ChapterEntry:
    """A chapter's id, the slug in its files' names, its title, and its exercises."""

    id: str  # "00", "01", ...; of the prerequisites, which a learner may leave out, a name: "pre"
    slug: str
    title: str
    exercises: list[Entry] = field(default_factory=list)

    @property
    def optional(self) -> bool:
        """Whether one may begin without it."""
        return not self.id.isdigit()

    @property
    def answers(self) -> str:
        return f"exercises/ch{self.id}_{self.slug}.py"

    @property
    def solutions(self) -> str:
        return f"solutions/ch{self.id}_{self.slug}.py"

    @property
    def text(self) -> str:
        return f"chapters/{self.id}_{self.slug}.py"

    @property
    def notebook(self) -> str:
        return f"chapters/{self.id}_{self.slug}.ipynb"


@cache
def outline() -> tuple[ChapterEntry, ...]:
    """Every chapter with its exercises' details. Reads the files' text only, so it takes milliseconds.

    The details in `exercise(...)` must therefore be literals (numbers, texts, lists of them).
    """
    folders = [path.parent for path in FOLDER.glob("ch*/__init__.py")]
    # The prerequisites have a name instead of a number, and come before the chapters that have one.
    folders.sort(key=lambda path: (path.name[2:].isdigit(), path.name))
    return tuple(_read_outline(path) for path in folders)


def chapter_of(id: str) -> ChapterEntry:
    """The chapter with this id ("00"), or of the exercise with this id ("00.1")."""
    return next(chapter for chapter in outline() if chapter.id == id.partition(".")[0])


def _read_outline(folder: Path) -> ChapterEntry:
    index = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    for node in index.body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name("Chapter"), args=[*args, ast.List(exercises)])):
                chapter = ChapterEntry(*(ast.literal_eval(arg) for arg in args))
                for name in exercises:  # each is the name of an exercise's file, then .ex
                    file = folder / f"{ast.unparse(name).removesuffix('.ex')}.py"
                    chapter.exercises.append(_read_exercise(file, chapter))
                return chapter
    raise ValueError(
        f'{folder.name}/__init__.py must hold chapter = Chapter("NN", "slug", "Title", [name.ex, ...]) at its top level'
    )


def _read_exercise(path: Path, chapter: ChapterEntry) -> Entry:
    text = path.read_text(encoding="utf-8")
    found = _EXERCISE.search(text)
    if found is None:
        raise ValueError(f'{path.name} must hold ex = exercise("NN.N", "name", ...) at its top level')
    call = ast.parse(found[1], mode="eval").body
    assert isinstance(call, ast.Call)
    id, *names = (ast.literal_eval(arg) for arg in call.args)
    details = {k.arg: _literal(k.value) for k in call.keywords if k.arg}
    return Entry(id, tuple(names), details, chapter, len(_MISTAKE.findall(text)))


# The calls that an outline is made of, at the start of a line, as the formatter leaves them. Parsing only these
# instead of whole files keeps `cleanlens` fast.
_EXERCISE = re.compile(r"^ex = (exercise\((?:.*\)$|.*\n(?:[ \t].*\n|\n)*\)))", re.MULTILINE)
_MISTAKE = re.compile(r"^(?:@ex\.mistake\(|ex\.slip\()", re.MULTILINE)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def entries(which: str | None = None) -> list[Entry]:
    """The exercises that `which` means: an id ("00.1"), a chapter ("00", "0", "tokens"), a name, or None for all.

    Raises KeyError that lists what there is.
    """
    everything = [entry for chapter in outline() for entry in chapter.exercises]
    if which is None:
        return everything
    key = which.strip().removeprefix("ch")
    if re.fullmatch(r"\d\.\d+", key):
        key = f"0{key}"
    exact = [
        e for e in everything if key in (e.id, *e.names) or key in {n.rpartition(".")[2] for n in e.names}
    ]
    found = [e for e in everything if key.zfill(2) == e.chapter.id or key == e.chapter.slug] or exact
    if not found:
        chapters = ", ".join(f"{c.id} ({c.slug})" for c in outline())
        known = {n: e for e in everything for n in (*e.names, *(n.rpartition(".")[2] for n in e.names))}
        # Ids of other chapters differ from a mistyped one in a digit, which says nothing.
        known |= {e.id: e for e in everything if key.startswith(f"{e.chapter.id}.")}
        close = dict.fromkeys(
            known[name].id for name in difflib.get_close_matches(key, known, n=5, cutoff=0.6)
        )
        closest = ", ".join(f"{e.id} {e.names[0]}" for e in everything if e.id in close)
        raise KeyError(
            f"no exercise or chapter {which!r}."
            + (f" The closest exercises: {closest}." if closest else "")
            + f" The chapters are {chapters}; `cleanlens list` shows all."
        )
    return found


@cache
def load(chapter_id: str) -> "Chapter":
    """A chapter's checks. Imports torch."""
    return importlib.import_module(f"cleanlens.course.chapters.ch{chapter_id}").chapter


@cache
def find(id: str) -> "Exercise":
    """The exercise with this id, ready to be checked."""
    return next(ex for ex in load(id.partition(".")[0]).exercises if ex.id == id)
