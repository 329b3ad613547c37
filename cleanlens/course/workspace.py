"""A learner's folder: making one, bringing it up to date, setting an answer back. Torch-free.

`.cleanlens/workspace.json` says which files the course put there and how they looked, so that an update can tell
what the learner has touched.
"""

import ast
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from . import build, sources
from .answers import MAGIC, MAX_NOTEBOOK, MAX_TEXT, WORKSPACE, Answers, read_notebook, read_own
from .catalog import ChapterEntry, Entry, outline
from .progress import own_folder, write_whole
from .text import lines_of

FORMAT = 1
README = """# The cleanlens course

`cleanlens` says where you are and what is next; `cleanlens --help` lists the commands.

Write an answer in `exercises/` or in the notebook of the same number in `chapters/`, then check it with
`cleanlens check 00.1`, with `check("00.1")` in the notebook, with `pytest`, or let `cleanlens watch` do it
each time you save. `cleanlens update` brings a newer course and keeps your work.
"""


def home() -> Path:
    """Where the course's own files are: inside the installed package, or the checkout it runs from."""
    data = Path(__file__).parent / "data"
    return data if (data / "solutions").is_dir() else Path(__file__).parents[2]


def is_checkout(root: Path) -> bool:
    """Whether a folder is the course's own repository, which git keeps up to date."""
    return (root / "cleanlens" / "course").is_dir() and (root / "solutions").is_dir()


def chapters() -> Iterator[ChapterEntry]:
    """The chapters that are shipped."""
    return (chapter for chapter in outline() if (home() / chapter.solutions).is_file())


def shipped(solutions: bool = False) -> dict[str, str]:
    """Every file of a fresh workspace: its path and its text."""
    source, files = home(), {"README.md": README, ".gitignore": ".cleanlens/\n__pycache__/\n"}
    glossary = "chapters/GLOSSARY.md"  # to which the chapters' texts link
    files[glossary] = (source / glossary).read_text(encoding="utf-8")
    files["tests/test_exercises.py"] = (source / "tests" / "test_exercises.py").read_text(encoding="utf-8")
    for chapter in chapters():
        files[chapter.answers] = build.stub_file(chapter, source)
        if is_checkout(source) and (source / chapter.text).is_file():
            files[chapter.notebook] = build.notebook(chapter, source)  # the one there may be in use
        elif (source / chapter.notebook).is_file():
            files[chapter.notebook] = (source / chapter.notebook).read_text(encoding="utf-8")
        if solutions:
            files[chapter.solutions] = (source / chapter.solutions).read_text(encoding="utf-8")
    return files


def init(root: Path, solutions: bool = False) -> int:
    """Make a workspace; returns how many files it has. Raises FileExistsError when something is there already."""
    if (root / WORKSPACE).exists():
        raise FileExistsError(f"{root} is a workspace already. `cleanlens update` brings it up to date.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} is not empty. Give a new folder: cleanlens init my-course")
    files = shipped(solutions)
    # The record comes first: an init that is cut short can be finished by an update.
    _write_record(root, {}, solutions)
    for name, text in files.items():
        _write(root / name, text)
    _write_record(root, {name: mark(name, text) for name, text in files.items()}, solutions)
    return len(files)


def update(root: Path) -> list[tuple[str, str]]:
    """Bring a workspace to this version of the course. Returns (what was done, file) for all that changed.

    A file that is as it was shipped is replaced. One that was edited stays; if the course's has changed, the new
    one is put beside it (`ch00_tokens.new.py`).
    """
    known, solutions, beside = _read_record(root)
    files, done = shipped(solutions), list[tuple[str, str]]()
    now = dict(known)
    for name, text in files.items():
        path, new = root / name, mark(name, text)
        if path.is_symlink() or path.parent.is_symlink():
            done.append(("a link, left as it is", name))
            continue
        if not path.exists():
            _write(path, text)
            done.append(("added", name))
        elif (present := _mark_of(path, name)) != new:
            if present == known.get(name) or (name not in known and _is_untouched(root, name)):
                backup(root, path)
                _write(path, text)
                done.append(("replaced", name))
            elif known.get(name) == new:
                done.append(("kept, yours", name))
            else:
                new_one = _free(path, name, new, beside)
                _write(new_one, text)
                beside[f"{Path(name).parent.as_posix()}/{new_one.name}"] = new
                done.append((f"kept, yours; the new one is {new_one.name}", name))
        now[name] = new
        _write_record(root, now, solutions, beside)
    for name in known.keys() - files.keys():
        path = root / name
        inside = ".." not in Path(name).parts and not Path(name).is_absolute()
        if inside and path.is_file() and not path.is_symlink() and not path.parent.is_symlink():
            if _mark_of(path, name) == known[name]:
                backup(root, path)
                path.unlink()
                done.append(("removed, no longer in the course", name))
            else:
                done.append(("kept, yours; no longer in the course", name))
        del now[name]
    _write_record(root, now, solutions, beside)
    return done


def _free(path: Path, name: str, new: str, beside: dict[str, str]) -> Path:
    """Where the course's new version goes: `ch00.new.py`, or `ch00.new2.py` when that one has been worked in."""
    for number in count(1):
        place = path.with_name(f"{path.stem}.new{number if number > 1 else ''}{path.suffix}")
        known = beside.get(f"{Path(name).parent.as_posix()}/{place.name}")
        if not place.is_symlink() and (not place.exists() or _mark_of(place, name) in (new, known)):
            return place
    raise AssertionError


def reset(root: Path, entry: Entry) -> list[Path]:
    """Make an exercise's definitions stubs again, in the file and in the notebook. Returns the backups.

    Raises ValueError when that cannot be done piece by piece.
    """
    stubs, kept = build.stub_file(entry.chapter, home()), list[Path]()
    path, answers = root / entry.chapter.answers, Answers.read(entry.chapter, root)
    changed: list[tuple[Path, str]] = []
    if not path.exists() and not path.is_symlink():
        _write(path, stubs)
    elif answers.file.look(entry)[0]:
        text = (read_own(path, MAX_TEXT) or b"").decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        try:
            new = _with_stubs(text, stubs, entry)
        except SyntaxError as error:
            raise ValueError(
                f"{entry.chapter.answers}, line {error.lineno}, has a syntax error, so one exercise cannot be taken "
                f"out of it. `cleanlens reset {entry.chapter.id}` sets the whole file back, and keeps a copy."
            ) from None
        if any((f := sources.find(ast.parse(new), name)) is None or f.attempted for name in entry.names):
            raise ValueError(
                f"{entry.id} is written in {entry.chapter.answers} in a way that cannot be taken out alone. "
                f"`cleanlens reset {entry.chapter.id}` sets the whole file back, and keeps a copy."
            )
        changed.append((path, new))
    if answers.notebook.look(entry)[0]:
        changed.append((root / entry.chapter.notebook, _notebook_with_stubs(root, stubs, entry)))
    for path, new in changed:  # nothing is written unless all of it can be
        kept.append(backup(root, path))
        write_whole(path, new)
    return kept


def _notebook_with_stubs(root: Path, stubs: str, entry: Entry) -> str:
    """The notebook's text with an exercise's stubs: in its own cell, known by the cell's metadata, and wherever else
    it is defined. Raises ValueError when that cannot be done."""
    content = json.loads((read_own(root / entry.chapter.notebook, MAX_NOTEBOOK) or b"").decode("utf-8"))
    for cell in content["cells"]:
        if cell.get("cell_type") != "code":
            continue
        if cell.get("metadata", {}).get("exercise") == entry.id:
            cell["source"] = lines_of(sources.cell_text(stubs, entry.id), keepends=True)
            cell["outputs"], cell["execution_count"] = [], None
            continue
        # Cells lose their metadata: split, copied into another notebook, saved by another program.
        text = MAGIC.sub(r"\1pass  #magic:\2", "".join(cell["source"]))
        for name in entry.names:
            with suppress(KeyError, SyntaxError, ValueError, RecursionError, MemoryError):
                if (found := sources.find(ast.parse(text), name)) is not None and found.attempted:
                    text = _with_stubs(text, stubs, entry, [name])
                    cell["outputs"], cell["execution_count"] = [], None
                    cell["source"] = lines_of(text.rstrip("\n").replace("pass  #magic:", ""), keepends=True)
    new = json.dumps(content, indent=1, ensure_ascii=not _is_unicode(content)) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.ipynb"
        write_whole(copy, new)
        attempted, where = read_notebook(copy, entry.chapter.notebook).look(entry)
    if attempted:
        raise ValueError(
            f"{entry.id} is written in {where}, in a way that cannot be taken out alone: delete it there. "
            f"Or `cleanlens reset {entry.chapter.id}` sets the whole chapter back, and keeps a copy."
        )
    return new


def _is_unicode(content: Any) -> bool:
    """Whether it can be written as it is: halves of surrogate pairs can only be escaped."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def reset_chapter(root: Path, chapter: ChapterEntry) -> list[Path]:
    """Make a chapter's file and notebook as new. Returns the backups."""
    kept, fresh = list[Path](), shipped()
    for name in (chapter.answers, chapter.notebook):
        path = root / name
        if name in fresh and not (path.is_file() and _mark_of(path, name) == mark(name, fresh[name])):
            if path.is_file():
                kept.append(backup(root, path))
            _write(path, fresh[name])
    return kept


def _with_stubs(text: str, stubs: str, entry: Entry, names: Iterable[str] = ()) -> str:
    original = ast.parse(stubs)
    for name in names or entry.names:
        node = sources.definition(original, name)
        lines = lines_of(stubs)[sources.first_line(node) - 1 : node.end_lineno]
        source = "\n".join(line.removeprefix(" " * node.col_offset) for line in lines)
        text = sources.fill(text, name, source)
    return text


def backup(root: Path, path: Path) -> Path:
    """A copy of a file in .cleanlens/backup/."""
    folder = own_folder(root, "backup")
    copy = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09d}-{path.name}"
    write_whole(copy, path.read_bytes())
    return copy


def mark(name: str, text: str) -> str:
    """What tells one version of a file from another. Of a notebook only the cells' sources count."""
    if name.endswith(".ipynb"):
        try:
            cells = json.loads(text)["cells"]
            text = json.dumps([[c["cell_type"], "".join(c["source"])] for c in cells])
        except (ValueError, KeyError, TypeError):
            pass
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def _mark_of(path: Path, name: str) -> str:
    return mark(name, path.read_text(encoding="utf-8", errors="replace"))


def _is_untouched(root: Path, name: str) -> bool:
    """Without a record: whether a chapter's file holds no answer."""
    return any(
        not any(source.look(entry)[0] for entry in chapter.exercises) and not source.broken
        for chapter in outline()
        for answers in [Answers.read(chapter, root)]
        for source, of in [(answers.file, chapter.answers), (answers.notebook, chapter.notebook)]
        if of == name
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def _write_record(
    root: Path, files: dict[str, str], solutions: bool, beside: dict[str, str] | None = None
) -> None:
    from cleanlens import __version__

    book = {"format": FORMAT, "cleanlens": __version__, "solutions": solutions, "files": files}
    book["beside"] = beside or {}
    root.mkdir(parents=True, exist_ok=True)
    own_folder(root)
    _write(root / WORKSPACE, json.dumps(book, indent=1) + "\n")


def _read_record(root: Path) -> tuple[dict[str, str], bool, dict[str, str]]:
    """The marks of the files as they were shipped, whether solutions were, and the marks of those put beside edited
    ones; empty when that is not known."""
    try:
        book = json.loads((read_own(root / WORKSPACE, MAX_TEXT) or b"").decode("utf-8"))
        files, beside = (
            {str(k): str(v) for k, v in book.get(part, {}).items()} for part in ("files", "beside")
        )
        if "files" not in book:
            raise KeyError("files")
        return files, bool(book.get("solutions")), beside
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, any((root / "solutions").glob("ch*.py")), {}
