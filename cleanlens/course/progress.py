"""What was checked and how it came out: `.cleanlens/progress.json` in the learner's folder. Torch-free.

    {"format": 1, "exercises": {"00.1": {"version": 1, "status": "right", "answer": "3f2a...", "where": "..."}},
     "hints": {"00.2": 1},
     "effort": {"00.1": {"attempts": 3, "seconds": 420, "hints": 1, "began": 1760000000, "last": 1760000420,
                         "right": 1760000420}}}

The effort stays in this file: it tells a learner, and whoever they hand their folder to, what took how long. An
attempt is an answer that was checked and reads otherwise than the one before; hints is the highest one taken; began,
last and right (the first time) are seconds since 1970. `seconds` is time at work: what has passed since whatever was
done last in the course, unless that is more than `PAUSE`.

A record holds for the answer that was checked (a hash of its text) and for the checker's version. The notebook, the
terminal and pytest write the same file: under a lock, into a file beside it that then takes its place, so a process
killed at any moment leaves a whole file. One that cannot be read is set aside, and said so.
"""

import errno
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .answers import Answers, read_own
from .catalog import ChapterEntry, Entry, entries
from .result import Result, Status

FORMAT = 1
MAX_BYTES = 16 * 2**20
UNCHECKED = "unchecked"
"""Something was written, and not checked since."""
EFFORT = ("attempts", "seconds", "hints", "began", "last", "right")
PAUSE = 20 * 60
"""Seconds without a check or a hint that count as a pause."""
LIVE = "the notebook"
"""Where an answer stood that was checked in a running notebook: it need not be in any file."""


def path_in(root: Path) -> Path:
    return root / ".cleanlens" / "progress.json"


class Newer(Exception):
    """The progress was written by a newer version of the course; it is left as it is."""


def read(root: Path) -> dict[str, dict[str, Any]]:
    """The records: {"exercises": {id: record}, "hints": {id: level}, "effort": {id: record}}. A file that is none is set aside.

    Raises Newer for one of a later format: it is fine, only not for this version.
    """
    path = path_in(root)
    try:
        data = read_own(path, MAX_BYTES)
        if data is None:
            return _checked({})
        book = json.loads(data.decode("utf-8"))
        if isinstance(form := book.get("format"), int) and form > FORMAT:
            raise Newer(
                f"{path} is of format {form}, from a newer cleanlens; this one knows format {FORMAT}. Update it (pip "
                "install --upgrade cleanlens). Your progress is untouched, and nothing is added to it meanwhile."
            )
        return _checked(book)
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        aside = path.with_name(f"progress.unreadable-{time.time_ns()}.json")
        try:
            os.replace(path, aside)
            done = f"It was set aside as {aside.name}; progress starts afresh, your answers are untouched."
        except OSError:
            done = "It is left where it is; nothing is remembered."
        _tell(f"{path} cannot be read as this version's progress ({error}). {done}")
        return _checked({})


def _checked(book: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if book.get("format", FORMAT) != FORMAT:
        raise ValueError(f"its format is {book['format']!r}, not {FORMAT}")
    records, hints = dict(book.get("exercises", {})), dict(book.get("hints", {}))
    if not all(isinstance(r, dict) and r.get("status") in list(Status) for r in records.values()):
        raise ValueError("a record without a status")
    if not all(isinstance(level, int) for level in hints.values()):
        raise ValueError("a hint's level is not a number")
    effort = {
        id: {key: int(known.get(key, 0)) for key in EFFORT} for id, known in book.get("effort", {}).items()
    }
    return {"exercises": records, "hints": hints, "effort": effort}


def change(root: Path, edit: Callable[[dict[str, dict[str, Any]]], None]) -> bool:
    """Let `edit` change the records, alone. False, with a message, where they cannot be written."""
    from filelock import FileLock, Timeout

    path = path_in(root)
    try:
        own_folder(root)
        lock = path.with_suffix(".lock")
        if lock.is_symlink():
            raise OSError(f"{lock} is a link")
        with FileLock(lock, timeout=10):
            for left in path.parent.glob("progress-*.tmp"):
                left.unlink(missing_ok=True)  # by a process that was killed
            book = read(root)
            edit(book)
            write_whole(path, json.dumps({"format": FORMAT, **book}, indent=1) + "\n")
        return True
    except Newer as error:
        _tell(str(error))
        return False
    except (OSError, Timeout) as error:
        _tell(f"Progress is not remembered: {path} cannot be written ({error}).")
        return False


def own_folder(root: Path, *inside: str) -> Path:
    """`.cleanlens` in a learner's folder, or a folder in it; made if need be. Raises OSError where it is a link."""
    folder = root
    for name in (".cleanlens", *inside):
        folder = folder / name
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "it is a link; a folder is wanted", str(folder))
        folder.mkdir(exist_ok=True)
    return folder


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that at every moment, a crash of the machine included, it is the old or the new one, whole.

    A link is replaced, not followed. Raises OSError with the file's name, such as "No space left on device".
    """
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        is_file = path.is_file() and not path.is_symlink()
        os.chmod(name, path.stat().st_mode & 0o777 if is_file else 0o644)
        os.replace(name, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    with suppress(OSError, AttributeError):  # the folder's entry, where a folder can be synced
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def record(root: Path, results: Iterable[Result]) -> None:
    """Remember verdicts. What was not attempted leaves no record."""
    judged = [result for result in results if result.status is not Status.NOT_ATTEMPTED]
    if not judged:
        return
    known = {entry.id: entry for entry in entries()}
    records = {
        result.id: {
            "version": version(known[result.id]),
            "status": str(result.status),
            "answer": result.answer,
            "where": result.where,
        }
        | ({"mistake": result.mistake} if result.mistake else {})
        for result in judged
    }

    def edit(book: dict[str, dict[str, Any]]) -> None:
        tried = [id for id, record in records.items() if _differs(record, book["exercises"].get(id))]
        _work(book, tried)
        for id in tried:
            book["effort"][id]["attempts"] += 1
            if records[id]["status"] == Status.RIGHT:
                book["effort"][id]["right"] = book["effort"][id]["right"] or int(time.time())
        book["exercises"].update(records)

    change(root, edit)


def _differs(record: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Whether it is about another answer than the one before; of one in a running notebook the text is not known."""
    return before is None or not record["answer"] or record["answer"] != before.get("answer")


def _work(book: dict[str, dict[str, Any]], ids: Iterable[str]) -> None:
    """Count the time since the last sign of work for these exercises, in equal parts."""
    ids, now = list(ids), int(time.time())
    passed = now - max((known["last"] for known in book["effort"].values()), default=now)
    for id in ids:
        known = book["effort"].setdefault(id, dict.fromkeys(EFFORT, 0) | {"began": now})
        known["seconds"] += passed // len(ids) if 0 < passed <= PAUSE else 0
        known["last"] = now


def begin(root: Path, entry: Entry) -> None:
    """From now on this exercise is worked on."""
    change(root, lambda book: _work(book, [entry.id]))


def next_hint(root: Path, entry: Entry) -> int:
    """The number of the hint to show now, the last one when all have been seen; from now on it has been seen."""
    level = min(read(root)["hints"].get(entry.id, 0) + 1, len(entry.hints))

    def edit(book: dict[str, dict[str, Any]]) -> None:
        book["hints"][entry.id] = level
        _work(book, [entry.id])
        book["effort"][entry.id]["hints"] = max(level, book["effort"][entry.id]["hints"])

    change(root, edit)
    return level


def forget(root: Path, ids: Iterable[str]) -> None:
    """Drop the verdicts on some exercises and the hints to them; the effort was made all the same."""
    chosen = set(ids)
    if path_in(root).exists():

        def edit(book: dict[str, dict[str, Any]]) -> None:
            for part in (book["exercises"], book["hints"]):
                for id in chosen & part.keys():
                    del part[id]

        change(root, edit)


def effort(root: Path) -> dict[str, dict[str, int]]:
    """id -> attempts, seconds of work, hints taken, and when it began, was last worked on, and was first right."""
    return read(root)["effort"]


def texts(root: Path, chapters: Iterable[ChapterEntry]) -> dict[str, str]:
    """id -> what is written for each exercise of these chapters, to see which one an edit was about."""
    read = [(chapter, Answers.read(chapter, root)) for chapter in chapters]
    return {e.id: answers.text(e) for chapter, answers in read for e in chapter.exercises}


def states(root: Path, chapters: Iterable[ChapterEntry]) -> dict[str, str]:
    """id -> a Status, or UNCHECKED, of every exercise of these chapters."""
    records, found = read(root)["exercises"], dict[str, str]()
    for chapter in chapters:
        answers = Answers.read(chapter, root)
        for entry in chapter.exercises:
            found[entry.id] = _state(entry, answers, records.get(entry.id))
    return found


def _state(entry: Entry, answers: Answers, known: dict[str, Any] | None) -> str:
    answer = answers.of(entry)
    if known is not None and known.get("version") != version(entry):
        known = None
    if answer.origin is None and (known is None or known.get("where") != LIVE):
        return str(Status.NOT_ATTEMPTED)
    if known is None:
        return UNCHECKED
    if answer.origin and known.get("answer") and known["answer"] != answers.fingerprint(entry):
        return UNCHECKED
    return str(known["status"])


def version(entry: Entry) -> int:
    return int(entry.details.get("version") or 1)


def _tell(message: str) -> None:
    print(message, file=sys.stderr)
