"""The course and the library as pages to read: `cleanlens site` writes a folder of static HTML.

The solved chapters are run (`execution`), made into Markdown and notebooks together with the library's own files
(`content`, `course.reference`), and written as pages by Sphinx and MyST-NB (`generator`). Chapters and pages that have
not changed since the last time are left as they are.

The pages ask nothing of the network: formulas are MathML, the search is a script, and the scripts that draw the figures
lie beside the pages. Put the folder on any web server, or open its index.html.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..catalog import ChapterEntry, outline
from . import generator
from .content import Content
from .execution import all_executed, executed

__all__ = ["executed", "run", "write_source"]

WRITTEN = ".cleanlens-site"  # in the folder of the pages: which ones are ours


def run(out: Path | None = None, only: str = "", solutions: bool = True) -> int:
    """Write the site to `out` (default: the folder site). 0 when every chapter ran, 1 when one failed.

    Args:
        only: the id of a chapter to write alone, beside the library's pages.
        solutions: False leaves out whatever gives an answer away.
    """
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    console, out = Console(), Path("site") if out is None else out
    root = course_folder()
    if root is None:
        console.print("This installation has no solutions to run; use a checkout of cleanlens.", style="red")
        return 2
    chapters = [c for c in outline() if (root / c.text).exists() and c.id in (only or c.id)]
    if not chapters:
        ids = ", ".join(chapter.id for chapter in outline())
        console.print(f"There is no chapter {only!r}; the chapters are {ids}.", style="red")
        return 2
    state = _state(out, solutions)
    bar = Progress(
        BarColumn(20),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        tasks: dict[str, TaskID] = {}

        def hears(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of, visible=done < of)

        def runs(chapter: ChapterEntry, done: int, of: int) -> None:
            hears(f"running {chapter.id} {chapter.title}", done, of)

        try:
            books = {}
            for chapter, book in all_executed(chapters, root, state.parent / "notebooks", runs):
                books[chapter.id] = book
                hears("chapters", len(books), len(chapters))
        except (CellExecutionError, CellTimeoutError) as error:
            console.print(f"A chapter did not run through:\n{error}", markup=False, highlight=False)
            return 1
        write_source(Content(root, chapters, books, solutions), state / "source", hears)
        warnings = generator.generate(state / "source", out, state / "doctrees", hears)
    n_pages = _forget_old_pages(out, state / "source")
    for warning in warnings:
        console.print(warning, style="yellow", markup=False, highlight=False)
    console.print(
        f"{len(chapters)} {'chapter is' if len(chapters) == 1 else 'chapters are'} in {out}, on {n_pages} pages; "
        f"open {out / 'index.html'}.",
        highlight=False,
    )
    return 0


def course_folder() -> Path | None:
    """The folder that holds chapters/ and solutions/: the checkout, or what a wheel carries."""
    package = Path(__file__).parents[2]
    return next(
        (f for f in (package.parent, package / "course" / "data") if (f / "solutions").is_dir()), None
    )


def write_source(
    content: Content, folder: Path, progress: generator.Progress = lambda what, done, of: None
) -> None:
    """What the generator reads, in a folder. A file whose text is the same is not touched, so its page is not either."""
    from cleanlens import plots

    files = {name: text.encode() for name, text in _counted(content, progress)}
    files |= {f"_static/{name}": text.encode() for name, text in plots.scripts().items()}
    files |= {name: path.read_bytes() for name, path in content.assets.items()}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _counted(content: Content, progress: generator.Progress) -> Iterable[tuple[str, str]]:
    of = len(content.places) + len(content.library.files)
    for done, file in enumerate(content.files(), 1):
        progress("reading the source", min(done, of), of)
        yield file
    progress("reading the source", of, of)


def _state(out: Path, solutions: bool) -> Path:
    """Where what one folder of pages is made from is kept: with everything else that can be made again."""
    from cleanlens.loading.fetch import cache

    name = hashlib.sha256(f"{out.resolve()} {solutions}".encode()).hexdigest()[:16]
    return cache() / "site" / name


def _forget_old_pages(out: Path, source: Path) -> int:
    """Remove the pages that an earlier run wrote and this one did not; returns how many pages there are."""
    pages = {
        path.relative_to(source).with_suffix(".html").as_posix()
        for path in source.rglob("*")
        if path.suffix in (".md", ".ipynb")
    }
    ours = out / WRITTEN
    before = set(ours.read_text(encoding="utf-8").split("\n")) if ours.exists() else set()
    for name in before - pages:
        (out / name).unlink(missing_ok=True)
    ours.write_text("\n".join(sorted(pages)), encoding="utf-8")
    shutil.rmtree(out / "_sources", ignore_errors=True)
    return len(pages)
