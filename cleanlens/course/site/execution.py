"""Running a chapter's notebook, and keeping what came out for as long as nothing that it runs has changed."""

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import build
from ..catalog import ChapterEntry

PACKAGE = Path(__file__).parents[2]
NOT_RUN = ("course/site/", "course/reference.py", "course/tour.py", "course/cli.py")  # by a chapter
# Python 3.11 counts how deep a parser is in one place for all threads: two that parse at once can end in a SystemError.
ONE_PARSES = threading.Lock()
KEPT = 3  # executed notebooks of one chapter, the newest: of several checkouts, for instance


def executed(
    chapter: ChapterEntry,
    root: Path,
    solved: bool = True,
    timeout: int = 600,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Any:
    """A chapter's notebook, run from top to bottom without a network in a folder of its own.

    `solved` fills the answers in; the cells that only test what the text says run, too. `progress` hears how many of how
    many cells are done. Raises nbclient.exceptions.CellExecutionError with the cell and its traceback when a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    with ONE_PARSES:
        book = nbformat.reads(build.notebook(chapter, root, solved, tests=True), as_version=4)
        stubs = build.stub_file(chapter, root)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "exercises").mkdir()
        (Path(folder) / "chapters").mkdir()
        (Path(folder) / chapter.answers).write_text(stubs, encoding="utf-8")
        client = NotebookClient(
            book,
            timeout=timeout,
            extra_arguments=["--log-level=ERROR"],  # not a word about how this process talks to its kernel
            resources={"metadata": {"path": f"{folder}/chapters"}},
            on_cell_complete=lambda cell, cell_index: progress(cell_index + 1, len(book.cells)),
        )
        environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CLEANLENS_COURSE": folder}
        client.execute(env=os.environ | environment)
    return book


def kept_or_executed(
    chapter: ChapterEntry,
    root: Path,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Any:
    """The solved notebook with its outputs: from `folder` if it was run with the same code before, else run now."""
    import nbformat

    path = folder / f"{chapter.id}-{fingerprint(chapter, root)}.ipynb"
    if path.exists():
        path.touch()
        return nbformat.read(path, as_version=4)
    book = executed(chapter, root, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")  # a build that is stopped leaves no half of a notebook
    nbformat.write(book, unfinished)
    unfinished.replace(path)
    for old in sorted(folder.glob(f"{chapter.id}-*.ipynb"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
        old.unlink()
    return book


def fingerprint(chapter: ChapterEntry, root: Path) -> str:
    """A hash of all that decides what a chapter's cells show: its notebook, this package, and what it stands on."""
    with ONE_PARSES:
        parts = [
            build.notebook(chapter, root, solved=True, tests=True),
            build.stub_file(chapter, root),
            _environment(),
        ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


@cache
def _environment() -> str:
    """The versions of what draws and computes, and a hash of every file of the package that a chapter can run or read."""
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if path.suffix in (".py", ".json", ".safetensors") and not name.startswith(NOT_RUN):
            total.update(name.encode() + path.read_bytes())
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "plotly", "circuitsvis")]
    return " ".join([sys.version, *versions, total.hexdigest()])


def all_executed(
    chapters: Iterable[ChapterEntry],
    root: Path,
    folder: Path,
    progress: Callable[[ChapterEntry, int, int], None] = lambda chapter, done, of: None,
    workers: int | None = None,
) -> Iterator[tuple[ChapterEntry, Any]]:
    """Every chapter with its executed notebook, as soon as each is done; as many at a time as there are cores.

    When one fails, or nobody waits any more (Ctrl-C), the others end with the cell that they are in.
    """
    chapters = sorted(chapters, key=lambda c: -sum(entry.details["minutes"] for entry in c.exercises))
    stopped = threading.Event()
    with ThreadPoolExecutor(workers or _cores()) as pool:
        waiting = {}
        for chapter in chapters:

            def hears(done: int, of: int, chapter: ChapterEntry = chapter) -> None:
                if stopped.is_set():
                    raise InterruptedError(f"chapter {chapter.id} was stopped")
                progress(chapter, done, of)

            waiting[pool.submit(kept_or_executed, chapter, root, folder, hears)] = chapter
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            stopped.set()
            for future in waiting:
                future.cancel()


def _cores() -> int:
    """The cores that this process may use; each kernel computes on one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
