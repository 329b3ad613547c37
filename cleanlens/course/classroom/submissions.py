"""Who handed in what: folders, archives, single files, downloads of Gradescope and Moodle. Torch-free.

Everything in a submission is data, names included. Nothing is unpacked to the disk, no link is followed, and of each
file no more is read than an answer may have. What a submission comes to is a few files under the names they have in
the course (`exercises/ch00_tokens.py`, `chapters/00_tokens.ipynb`), whatever it looked like.
"""

import csv
import io
import json
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from ..answers import MAX_NOTEBOOK, MAX_TEXT, read_own
from ..catalog import ChapterEntry, outline
from ..text import clean

MAX_ENTRIES = 20_000  # files of one submission that are looked at
MAX_TOTAL = 200 * 2**20  # bytes read for one submission
MAX_ARCHIVE = 256 * 2**20  # an archive inside of an archive or folder
MAX_HELPERS = 50  # modules of the learner's own beside the answers
MAX_NAME = 120
MOST = {"attempts": 10_000, "hints": 100, "seconds": 10**7}  # that a progress file is believed
LEFT_OUT = {
    ".git",
    "__MACOSX",
    "__pycache__",
    ".ipynb_checkpoints",
    ".venv",
    "venv",
    "env",
    "node_modules",
    "site-packages",
    "solutions",
    "tests",
}
GRADESCOPE = "submission_metadata.yml"
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)_?(?P<file>.*)$", re.S)
ARCHIVES, ANSWERS = (".zip",), (".py", ".ipynb")


class Unreadable(Exception):
    """Why a file or an archive is not looked at, in words for the teacher."""


@dataclass
class Files:
    """A submission's files under the course's names, and what was odd about it."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    effort: dict[str, dict[str, int]] = field(default_factory=dict)  # by exercise, by the learner's own word


@dataclass
class Submission:
    """One learner's work, read when it is asked for."""

    student: str  # as the folder, the download or the roster calls them
    open: Callable[[], "Tree"]
    keys: tuple[str, ...] = ()  # email addresses and numbers that a roster may know them by

    def read(self) -> Files:
        try:
            return _collect(self.open())
        except Exception as error:  # whatever it is, it costs this submission and no other
            return Files({}, [clean(f"it cannot be read: {error or type(error).__name__}")[:500]])


# ---- a folder and an archive are looked at in the same way ---------------------------------------------


@dataclass
class Tree:
    """Files by path, each with its size and a function that reads at most so many bytes of it."""

    entries: dict[str, tuple[int, Callable[[int], bytes]]]
    notes: list[str] = field(default_factory=list)
    open_folder: "Callable[[str], Tree] | None" = (
        None  # for entries that end in /: a folder not looked into yet
    )

    def below(self, prefix: str) -> "Tree":
        inside = {p.removeprefix(prefix): e for p, e in self.entries.items() if p.startswith(prefix)}
        return Tree(inside, self.notes)


def tree_of_folder(folder: Path) -> Tree:
    """The files in a folder. A link is noted and left alone."""
    if folder.is_symlink():
        raise Unreadable("it is a link; put the folder itself there")
    tree = Tree({})
    for here, folders, names in os.walk(folder):
        links = [name for name in folders if Path(here, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name not in links)
        for name in sorted([*names, *links]):
            path = Path(here, name)
            shown = path.relative_to(folder).as_posix()
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                if path.suffix.lower() in (*ANSWERS, *ARCHIVES) or name in links:
                    tree.notes.append(f"{shown} is a link and was not followed.")
            elif stat.S_ISREG(about.st_mode):
                tree.entries[shown] = (about.st_size, partial(_file, path))
            if len(tree.entries) > MAX_ENTRIES:
                tree.notes.append(f"it has more than {MAX_ENTRIES} files; only so many were looked at.")
                return tree
    return tree


def _file(path: Path, limit: int) -> bytes:
    """At most `limit` + 1 bytes: one more than allowed tells that it is too long."""
    try:
        return read_own(path, limit) or b""
    except OSError as error:
        if "has more than" in str(error):
            with path.open("rb") as file:
                return file.read(limit + 1)
        raise


def tree_of_archive(data: bytes | Path, shown: str) -> Tree:
    """The files in a zip archive, without unpacking it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data)
        infos = archive.infolist()
    except Exception as error:
        raise Unreadable(f"{shown} is no zip archive that can be read ({error})") from None
    tree = Tree({})
    if len(infos) > MAX_ENTRIES:
        tree.notes.append(f"{shown} has more than {MAX_ENTRIES} entries; only so many were looked at.")
    for info in infos[:MAX_ENTRIES]:
        name = info.filename.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if info.is_dir():
            continue
        if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            tree.notes.append(f"{name[:MAX_NAME]!r} in {shown} leads out of the archive and was left out.")
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            tree.notes.append(f"{name[:MAX_NAME]} in {shown} is a link and was left out.")
            continue
        if not LEFT_OUT & set(parts[:-1]):
            tree.entries["/".join(parts)] = (
                info.file_size,
                partial(_member, archive, info),
            )
    return tree


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    try:
        with archive.open(info) as file:
            return file.read(limit + 1)
    except Exception as error:  # of zipfile, zlib, bz2, lzma: each has its own
        raise OSError(f"it cannot be unpacked ({error})") from None


# ---- who -----------------------------------------------------------------------------------------------


def find(place: Path) -> list[Submission]:
    """The submissions in a folder or an archive, by student.

    Raises FileNotFoundError and ValueError that say what was looked for.
    """
    if not place.exists():
        raise FileNotFoundError(f"there is no {place}. Give the folder (or zip) with what was handed in.")
    if place.is_file():
        if place.suffix.lower() in ARCHIVES:
            try:
                found = _units(tree_of_archive(place, place.name), place.stem)
            except Unreadable as error:
                raise ValueError(str(error)) from None
        else:
            found = [Submission(place.stem, lambda: _single(place))]
    else:
        found = _in_folder(place)
    if not found:
        raise ValueError(
            f"nothing was handed in in {place}: it holds no folder, no .zip, no .py and no .ipynb. Expected is one of "
            "these for each learner, or a download of Gradescope or Moodle."
        )
    return sorted(found, key=lambda s: (s.student.casefold(), s.student))


def _in_folder(place: Path) -> list[Submission]:
    """A real folder's entries are opened one at a time, when they are graded."""
    names = sorted(os.listdir(place))
    names = [name for name in names if not name.startswith(".") and name not in LEFT_OUT]
    if GRADESCOPE in names or any(MOODLE.match(name) for name in names):
        return _units(_lazily(place, names), place.name)
    if "exercises" in names or "chapters" in names:  # one learner's folder
        return [Submission(place.resolve().name, lambda: tree_of_folder(place))]
    inner = [place / name for name in names]
    if len(inner) == 1 and inner[0].is_dir() and not inner[0].is_symlink():
        below = os.listdir(inner[0])
        if GRADESCOPE in below or any(MOODLE.match(name) for name in below):
            return _in_folder(inner[0])
    if len(inner) == 1 and inner[0].suffix.lower() in ARCHIVES and inner[0].is_file():
        with suppress(Unreadable):  # a download, packed; or else one learner's
            if units := _units(tree_of_archive(inner[0], inner[0].name), inner[0].stem):
                return units
    return _units(_lazily(place, names), place.name)


def _lazily(place: Path, names: list[str]) -> Tree:
    """The top of a folder; of a folder in it, only that it is there (`name/`)."""
    tree = Tree({})
    for name in names:
        path = place / name
        if path.is_dir() or path.is_symlink():
            tree.entries[f"{name}/"] = (0, lambda limit: b"")
        elif path.is_file():
            tree.entries[name] = (path.stat().st_size, partial(_file, path))
    tree.open_folder = lambda name: tree_of_folder(place / name)
    return tree


def _units(tree: Tree, name: str) -> list[Submission]:
    tops = sorted({path.partition("/")[0] + ("/" if "/" in path else "") for path in tree.entries})
    inside = [top for top in tops if top.endswith("/")]
    if len(tops) == 1 and inside and tree.open_folder is None:  # an archive of one folder
        return _units(tree.below(inside[0]), name)
    if GRADESCOPE in tops:
        return _gradescope(tree, inside)
    if "exercises/" in tops or "chapters/" in tops:
        return [Submission(name, lambda: tree)]
    groups: dict[str, list[str]] = {}
    keys: dict[str, set[str]] = {}
    for top in tops:
        bare = top.rstrip("/")
        moodle = MOODLE.match(bare)
        suffix = PurePosixPath(bare).suffix.lower()
        if moodle:
            student = moodle["name"].strip()
            keys.setdefault(student, set()).add(moodle["id"])
        elif top.endswith("/"):
            student = bare
        elif suffix in (*ANSWERS, *ARCHIVES):
            student = _without_chapter(bare[: -len(suffix)])
        else:
            continue  # a roster, a note, what a file manager leaves
        groups.setdefault(student, []).append(top)
    return [
        Submission(student, partial(_gathered, tree, tops), tuple(sorted(keys.get(student, ()))))
        for student, tops in groups.items()
    ]


def _gathered(tree: Tree, tops: list[str]) -> Tree:
    """What one learner handed in: some folders and files at the top."""
    made = Tree({})
    for top in tops:
        if top.endswith("/"):
            part = tree.open_folder(top[:-1]) if tree.open_folder is not None else tree.below(top)
        else:
            moodle = MOODLE.match(top)
            part = Tree({(moodle["file"] if moodle else "") or top: tree.entries[top]})
        made.entries |= part.entries
        made.notes += part.notes
    return made


def _gradescope(tree: Tree, folders: list[str]) -> list[Submission]:
    """Gradescope's export: submission_metadata.yml says whose the folders are."""
    import yaml

    try:
        book = yaml.safe_load(tree.entries[GRADESCOPE][1](64 * 2**20).decode("utf-8"))
        known = {str(key): value for key, value in dict(book).items()}
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OSError) as error:
        raise ValueError(f"{GRADESCOPE} cannot be read: {error}") from None
    found = []
    for folder in folders:
        about = known.get(folder.rstrip("/"))
        people = about.get(":submitters", []) if isinstance(about, dict) else []
        people = [person for person in people if isinstance(person, dict)]
        names = [str(person.get(":name") or person.get(":email") or "") for person in people]
        keys = [str(person[key]) for person in people for key in (":email", ":sid") if person.get(key)]
        student = ", ".join(filter(None, names)) or folder.rstrip("/")
        found.append(Submission(student, partial(_gathered, tree, [folder]), tuple(keys)))
    return found


def _single(path: Path) -> Tree:
    return Tree({path.name: (path.lstat().st_size, lambda limit: _file(path, limit))})


# ---- what ----------------------------------------------------------------------------------------------


def _chapter_named(name: str) -> ChapterEntry | None:
    """`ch00_tokens (1).py`, `Copy of 00_tokens.ipynb`: the chapter that a file's name means."""
    for chapter in outline():
        if re.search(rf"(?<!\d){chapter.id}[_\- ]{chapter.slug}(?![a-z])", name, re.I):
            return chapter
    return None


def _without_chapter(stem: str) -> str:
    """`alice_ch00_tokens` -> `alice`, so that several files of one learner come together."""
    for chapter in outline():
        found = re.search(rf"[_\- ]*(?:ch)?{chapter.id}[_\- ]{chapter.slug}.*$", stem, re.I)
        if found and found.start():
            return stem[: found.start()]
    return stem


def _collect(tree: Tree) -> Files:
    """The answers of a submission, under the course's names."""
    made, left = Files(notes=list(tree.notes)), MAX_TOTAL
    candidates: dict[str, list[str]] = {}
    loose, helpers = list[str](), list[str]()
    entries = dict(_with_archives(tree, made))
    for path in sorted(
        entries, key=lambda p: ("exercises" not in p and "chapters" not in p, p.count("/"), p)
    ):
        name, suffix = PurePosixPath(path).name, PurePosixPath(path).suffix.lower()
        if ".cleanlens" in PurePosixPath(path).parts:
            if name == "progress.json":
                made.effort = made.effort or _effort(entries[path][1])
            continue  # the rest are backups
        if suffix not in ANSWERS or ".new" in name:
            continue
        if (chapter := _chapter_named(name)) is not None:
            target = chapter.answers if suffix == ".py" else chapter.notebook
            candidates.setdefault(target, []).append(path)
        elif PurePosixPath(path).parent.name == "exercises" and suffix == ".py":
            helpers.append(path)
        else:
            loose.append(path)

    def take(path: str, target: str) -> None:
        nonlocal left
        limit = MAX_TEXT if target.endswith(".py") else MAX_NOTEBOOK
        try:
            if left <= 0:
                raise OSError("the submission is too large")
            data = entries[path][1](min(limit, left))
            left -= len(data)
            made.files[target] = data if target.endswith(".py") else _code_only(data)
        except OSError as error:
            made.notes.append(f"{path}: {error}.")

    for target, paths in candidates.items():
        take(paths[0], target)
        if len(paths) > 1:
            made.notes.append(f"{target} is there {len(paths)} times; {paths[0]} was graded.")
    for path in helpers[:MAX_HELPERS]:
        if PurePosixPath(path).stem.isidentifier():
            take(path, f"exercises/{PurePosixPath(path).name}")
    for path in loose[:MAX_HELPERS]:
        take(path, "loose" + PurePosixPath(path).suffix.lower())
        for suffix in ANSWERS:
            if (data := made.files.pop(f"loose{suffix}", None)) is not None:
                for chapter in _chapters_defined(data, suffix):
                    target = chapter.answers if suffix == ".py" else chapter.notebook
                    if target not in made.files:
                        made.files[target] = data
                        made.notes.append(f"{path} was graded as {target}.")
    if not any(name.startswith(("exercises/ch", "chapters/")) for name in made.files):
        made.notes.append("no answers were found in it: no file defines what an exercise asks for.")
    made.notes = [clean(note)[:500] for note in made.notes[:20]]
    return made


def _effort(read: Callable[[int], bytes]) -> dict[str, dict[str, int]]:
    """Attempts, hints and seconds of each exercise that a progress file (see `..progress`) tells of; {} of what is none.

    It is the learner's own word, like their answers: only ids that we know, and numbers that can be, are taken from it.
    """
    try:
        found = dict(json.loads(read(MAX_TEXT))["effort"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    told = {}
    for id in (entry.id for chapter in outline() for entry in chapter.exercises):
        if isinstance(known := found.get(id), dict):
            numbers = {name: known.get(name) for name in MOST}
            told[id] = {k: n for k, n in numbers.items() if type(n) is int and 0 <= n <= MOST[k]}
    return {id: numbers for id, numbers in told.items() if numbers}


def _with_archives(tree: Tree, made: Files) -> Iterator[tuple[str, tuple[int, Callable[[int], bytes]]]]:
    """The tree's files, and those of the archives in it (not of archives in those)."""
    opened = 0
    for path, (size, read) in tree.entries.items():
        if PurePosixPath(path).suffix.lower() not in ARCHIVES:
            yield path, (size, read)
            continue
        opened += 1
        try:
            if size > MAX_ARCHIVE or opened > 5:
                raise Unreadable("it is too large, or one of too many archives")
            inner = tree_of_archive(read(MAX_ARCHIVE), path)
        except (Unreadable, OSError) as error:
            made.notes.append(f"{path}: {error}.")
            continue
        made.notes += inner.notes
        for name, entry in inner.entries.items():
            yield f"{path.removesuffix('.zip')}/{name}", entry


def _code_only(data: bytes) -> bytes:
    """A notebook without outputs and prose; the cells keep their numbers. What is no notebook stays as it is."""
    try:
        cells = json.loads(data)["cells"]
        code = [c.get("source", "") if c.get("cell_type") == "code" else None for c in cells]
        made = [
            {"cell_type": "markdown", "source": ""} if c is None else {"cell_type": "code", "source": c}
            for c in code
        ]
        return json.dumps({"cells": made, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data[: MAX_TEXT + 1]


def _chapters_defined(data: bytes, suffix: str) -> list[ChapterEntry]:
    """The chapters that ask for a name which this text defines at its top level."""
    start = r"^" if suffix == ".py" else r'(?:^|"|\\n)'
    found = re.findall(start + r"(?:async +)?(?:def|class) +(\w+)", data.decode("utf-8", "replace"), re.M)
    names = set(found)
    return [
        chapter
        for chapter in outline()
        if names & {name.partition(".")[0] for entry in chapter.exercises for name in entry.names}
    ]


# ---- the roster ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """A row of the roster."""

    name: str
    id: str
    email: str

    @property
    def keys(self) -> set[str]:
        local = self.email.partition("@")[0]
        turned = " ".join(reversed([part.strip() for part in self.name.split(",")]))
        return {plain(key) for key in (self.name, turned, self.id, self.email, local)} - {""}


def plain(name: str) -> str:
    """A name as it is compared: without case, accents' encodings, and what programs put for spaces."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_\-.,'’]+", " ", text).strip()


COLUMNS = {
    "name": {"name", "full name", "student", "student name", "name der person", "display name"},
    "first": {"first name", "firstname", "given name", "vorname"},
    "last": {"last name", "lastname", "surname", "family name", "nachname"},
    "id": {"id", "sid", "student id", "sis user id", "id number", "username", "login", "sis login id"},
    "email": {"email", "e mail", "mail", "email address"},
}


def read_roster(path: Path) -> list[Person]:
    """A class list as Gradescope, Moodle, Canvas or a spreadsheet writes it: a CSV with names, and ids or emails.

    Raises ValueError that says which columns were looked for.
    """
    text = path.read_text(encoding="utf-8-sig")
    try:
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(io.StringIO(text), dialect))
    head = [plain(cell) for cell in rows[0]] if rows else []
    where = {
        kind: next((i for i, h in enumerate(head) if h in words), None) for kind, words in COLUMNS.items()
    }
    if where["name"] is None and where["last"] is None and where["email"] is None:
        raise ValueError(
            f"{path}: the first line must name its columns, with one of name, last name, email (and first name, id if "
            f"you like). It has {', '.join(rows[0]) if rows else 'nothing'}."
        )
    people = []
    for row in rows[1:]:
        cell = {k: clean(row[i].strip()) if i is not None and i < len(row) else "" for k, i in where.items()}
        name = cell["name"] or f"{cell['first']} {cell['last']}".strip() or cell["email"]
        if name:
            people.append(Person(name, cell["id"], cell["email"]))
    return people


def match(found: list[Submission], people: list[Person]) -> dict[str, Person]:
    """student -> person, for the submissions that the roster knows."""
    by_key: dict[str, Person | None] = {}
    for person in people:
        for key in person.keys:
            by_key[key] = (
                None if key in by_key and by_key[key] != person else person
            )  # two of one name: neither
    matched = {}
    for submission in found:
        for key in (*submission.keys, submission.student, submission.student.partition("_")[0]):
            if (known := by_key.get(plain(key))) is not None:
                matched[submission.student] = known
                break
    return matched
