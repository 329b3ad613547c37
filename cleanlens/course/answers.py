"""Where the learner's answers live, by the one rule: the file, else the notebook, else not attempted.

Reads text and syntax trees only; torch-free. A file with a syntax error is read around it: the definition that
holds the error is set aside with its message, and the other answers are still graded.
"""

import ast
import hashlib
import json
import os
import re
import stat
import textwrap
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from . import calls, sources
from .catalog import ChapterEntry, Entry
from .text import lines_of

FILE, NOTEBOOK = "file", "notebook"
MAX_TEXT = 2 * 2**20
"""More than this, as a file or as all code cells of a notebook, is no answer to a chapter's exercises."""
MAX_NOTEBOOK = 64 * 2**20  # with its figures
MAX_CELLS = 5_000
MAX_BROKEN = 100  # definitions that do not parse, in one file
WORKSPACE = ".cleanlens/workspace.json"
"""What `cleanlens init` leaves in a workspace: which version it is from."""


def find_root(start: Path | None = None) -> Path:
    """The learner's folder: $CLEANLENS_COURSE, or the nearest one upwards (or the checkout) with exercises/.

    Raises FileNotFoundError that says what was looked for.
    """
    here = (start or Path.cwd()).resolve()
    if given := os.environ.get("CLEANLENS_COURSE"):
        candidates = [Path(given)]
    else:
        candidates = [here, *here.parents, Path(__file__).parents[2]]
    for folder in candidates:
        if any((folder / "exercises").glob("ch*.py")) or (folder / WORKSPACE).is_file():
            return folder
    raise FileNotFoundError(
        f"no folder with exercises/ch*.py at or above {here}. Go to your copy of the course, or make one with `cleanlens init DIR`; CLEANLENS_COURSE may name it."
    )


@dataclass
class Part:
    """A piece of a learner's program: its text, what to call it in messages, and whether only definitions run."""

    name: str
    text: str
    definitions_only: bool = False


@dataclass
class Broken:
    """A syntax error, and the name of the definition around it ("" when it is outside of any)."""

    name: str
    message: str


@dataclass
class Source:
    """One place with answers: the readable parts of its program, and what could not be read."""

    path: Path
    parts: list[Part] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)

    def look(self, entry: Entry) -> tuple[bool, str]:
        """Whether an exercise was attempted here, and where."""
        for name in entry.names:
            for broken in self.broken:
                if broken.name == name.partition(".")[0]:
                    return True, self.path.name
            for part in reversed(self.parts):
                if name.partition(".")[0] not in part.text:
                    continue
                found = sources.find(_parsed(part.text), name)
                if found is not None and found.attempted:
                    return True, f"{part.name}, line {found.line}"
                if found is not None:
                    break
        return False, ""

    def text(self, entry: Entry) -> str:
        """What was written for this exercise: its definitions, without their outer indentation."""
        pieces = []
        for name in entry.names:
            owner = name.partition(".")[0]
            pieces += [broken.message for broken in self.broken if broken.name == owner]
            pieces += filter(None, [self.definition(name)])
        return "\n\n\n".join(pieces)

    def definition(self, name: str) -> str:
        """The text of the last definition of a function, class or method, or ''."""
        for part in reversed([part for part in self.parts if name.partition(".")[0] in part.text]):
            try:
                node = sources.definition(_parsed(part.text), name)
            except KeyError:
                continue
            lines = lines_of(part.text)[sources.first_line(node) - 1 : node.end_lineno]
            return textwrap.dedent("\n".join(lines))
        return ""

    def syntax_error(self, entry: Entry) -> str:
        """The syntax error that keeps this exercise's answer from being read, or ''."""
        owners = {name.partition(".")[0] for name in entry.names}
        return next((b.message for b in self.broken if b.name in owners), "")

    def note(self) -> str:
        """A syntax error outside of every definition: everyone should know of it."""
        return next((b.message for b in self.broken if not b.name), "")


# Within a line only: `\s*` would try every run of empty lines from each of its beginnings.
DEFINES = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class|import|from)\b", re.M)
MAGIC = re.compile(r"^([ \t]*)([%!?].*)$", re.M)  # magics and shell lines are not Python


@dataclass
class Answer:
    """The answer to one exercise that counts: which source it is in (None: not attempted), and where."""

    entry: Entry
    origin: str | None
    where: str = ""
    note: str = ""


def read_file(path: Path, shown: str) -> Source:
    """The learner's file. A missing one has no parts."""
    source = Source(path)
    try:
        data = read_own(path, MAX_TEXT)
        text = "" if data is None else data.decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        source.broken.append(Broken("", f"{shown} cannot be read: {error}"))
        return source
    if data is None:
        return source
    text, broken = readable(text.replace("\r\n", "\n").replace("\r", "\n"), shown)
    source.parts.append(Part(shown, text))
    source.broken += broken
    return source


def read_notebook(path: Path, shown: str) -> Source:
    """The learner's notebook: of each code cell the definitions and imports."""
    source = Source(path)
    try:
        data = read_own(path, MAX_NOTEBOOK)
        if data is None:
            return source
        cells = json.loads(data.decode("utf-8"))["cells"]
        texts = [("".join(c["source"]), i) for i, c in enumerate(cells) if c.get("cell_type") == "code"]
        if len(texts) > MAX_CELLS or sum(len(text) for text, _ in texts) > MAX_TEXT:
            raise ValueError(f"its code is more than {MAX_CELLS} cells or {MAX_TEXT >> 20} MB")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        source.broken.append(Broken("", f"{shown} is not a notebook that can be read: {error!r}"))
        return source
    for text, i in texts:
        add_cell(source, text, f"{shown}, cell {i + 1}")
    return source


def add_cell(source: Source, text: str, shown: str) -> None:
    """Add what a notebook's cell defines."""
    if text.lstrip().startswith("%%") or not DEFINES.search(text):
        return  # parsing only what can hold an answer keeps `cleanlens` quick
    cell, broken = readable(MAGIC.sub(r"\1pass", text), shown)
    source.parts.append(Part(shown, cell, definitions_only=True))
    source.broken += [b for b in broken if b.name]


def read_own(path: Path, limit: int) -> bytes | None:
    """A file's bytes; None when there is none. Not through a link, nor from a pipe or a device, up to a limit.

    Raises OSError that says which of these it is.
    """
    if path.parent.is_symlink() or path.is_symlink():
        raise OSError("it is a link; put the file itself there")
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")]
    try:
        handle = os.open(path, sum(flags, os.O_RDONLY))
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError("it is no file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"it has more than {limit >> 20} MB")
    return data


def readable(text: str, shown: str) -> tuple[str, list[Broken]]:
    """`text` with what does not parse blanked out (line numbers kept), and the syntax errors found there."""
    error = _syntax_error(text)
    if error is None:
        return text, []
    lines, broken = lines_of(text), list[Broken]()
    starts = [i for i, line in enumerate(lines) if i == 0 or re.match(r"[A-Za-z_@]", line)]
    starts = [i for n, i in enumerate(starts) if n == 0 or not lines[starts[n - 1]].startswith("@")]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        chunk = "\n".join(lines[start:end])
        inner = _syntax_error(chunk)
        if inner is not None:
            name = re.search(r"^(?:async +)?(?:def|class) +(\w+)", chunk, re.M)
            line = f"line {start + (inner.lineno or 1)}: {(inner.text or '').strip()}"
            broken.append(Broken(name[1] if name else "", f"{shown} has a syntax error: {inner.msg}\n{line}"))
            lines[start:end] = [""] * (end - start)
            if len(broken) > MAX_BROKEN:
                break
    text = "\n".join(lines) + "\n"
    if _syntax_error(text) is None and broken:
        return text, broken
    line = f"line {error.lineno}: {(error.text or '').strip()}"
    return "", [Broken("", f"{shown} has a syntax error: {error.msg}\n{line}")]


@lru_cache(maxsize=256)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _syntax_error(text: str) -> SyntaxError | None:
    try:
        _parsed(text)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:
        return SyntaxError(str(error) or type(error).__name__)
    return None


@dataclass
class Answers:
    """The answers of one chapter in a learner's folder."""

    chapter: ChapterEntry
    root: Path
    file: Source
    notebook: Source

    @classmethod
    def read(cls, chapter: ChapterEntry, root: Path) -> "Answers":
        file = read_file(root / chapter.answers, chapter.answers)
        return cls(chapter, root, file, read_notebook(root / chapter.notebook, chapter.notebook))

    def of(self, entry: Entry) -> Answer:
        """The one rule."""
        in_file, place = self.file.look(entry)
        in_notebook, cell = self.notebook.look(entry)
        if in_file:
            both = f"It is answered in {cell} as well; the file counts." if in_notebook else ""
            return Answer(entry, FILE, place, both)
        if in_notebook:
            return Answer(entry, NOTEBOOK, cell)
        nothing_readable = not self.file.parts or not self.file.parts[0].text
        return Answer(entry, None, note=self.file.note() if nothing_readable else "")

    def text(self, entry: Entry) -> str:
        """The text of the answer that counts, or ''."""
        origin = self.of(entry).origin
        return self.source(origin).text(entry) if origin else ""

    def fingerprint(self, entry: Entry) -> str:
        """A hash of the text of the answer that counts, or ''."""
        text = self.text(entry)
        return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""

    def calls(self, entry: Entry, origin: str) -> list[Entry]:
        """The earlier exercises that the answer in one place calls."""
        code = calls.in_text(part.text for part in self.program(origin))
        return calls.earlier(entry, lambda name: code.get(name, []))

    def source(self, origin: str) -> Source:
        return self.file if origin == FILE else self.notebook

    def program(self, origin: str) -> list[Part]:
        """What runs to bring the answers of one place to life; the notebook's definitions build on the file's code."""
        return self.file.parts if origin == FILE else [*self.file.parts, *self.notebook.parts]
