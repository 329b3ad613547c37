"""The course as pages to read: `cleanlens site` runs the solved chapters and writes a folder of static HTML."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import build
from .catalog import ChapterEntry


def executed(
    chapter: ChapterEntry,
    root: Path,
    solved: bool = True,
    timeout: int = 600,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Any:
    """A chapter's notebook, run from top to bottom without a network in a folder of its own.

    `solved` fills the answers in. `progress` hears how many of how many cells are done. Raises
    nbclient.exceptions.CellExecutionError with the cell and its traceback when a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(build.notebook(chapter, root, solved), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "exercises").mkdir()
        (Path(folder) / "chapters").mkdir()
        (Path(folder) / chapter.answers).write_text(build.stub_file(chapter, root), encoding="utf-8")
        client = NotebookClient(
            book,
            timeout=timeout,
            resources={"metadata": {"path": f"{folder}/chapters"}},
            on_cell_complete=lambda cell, cell_index: progress(cell_index + 1, len(book.cells)),
        )
        environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CLEANLENS_COURSE": folder}
        client.execute(env=os.environ | environment)
    return book
