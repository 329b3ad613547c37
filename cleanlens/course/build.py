"""Build what is derived: stubs from solutions, notebooks from chapters, and the table of mistakes.

    python -m cleanlens.course.build [CHAPTER ...] [--check]

    solutions/ch00_tokens.py  -> exercises/ch00_tokens.py
    chapters/00_tokens.py     -> chapters/00_tokens.ipynb
    the checks' own mistakes  -> chapters/MISTAKES.md

With --check nothing is written; a file that is not what would be built is named, and the exit status is 1.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import sources
from .catalog import ChapterEntry, Entry, outline

HEADER = """# Write your answers here, or in the notebook of the chapter; then run `cleanlens check {id}`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""


# How JupyterLab and VS Code, Colab, and the site are told to fold a cell's code, and nbconvert's slides to leave it out.
FOLDED = {
    "jupyter": {"source_hidden": True},
    "cellView": "form",
    "tags": ["tell", "hide-input", "remove_input"],
}

SETUP = """# @title Setup: installs the course where there is none, in 1 to 5 minutes (longer where PyTorch is missing too)
PACKAGE = "cleanlens=={version}"  # or a wheel's address, or git+https://... of the course's repository
try:
    import cleanlens.course
except ImportError:
    import glob, importlib, subprocess, sys

    wanted = [PACKAGE, *sorted(glob.glob("cleanlens-*.whl"))][-1]  # a wheel beside this notebook comes first
    print("Installing", wanted, "and what it needs: 1 to 5 minutes, more if PyTorch is missing too.", flush=True)
    if subprocess.run([sys.executable, "-m", "pip", "install", "-q", wanted]).returncode:
        raise RuntimeError("Put the course's wheel beside this notebook, or its address into PACKAGE above.") from None
    importlib.invalidate_caches()
    import cleanlens.course
print("cleanlens", cleanlens.__version__, "is ready.")"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build stubs, notebooks and the table of mistakes.")
    parser.add_argument("chapters", nargs="*", help="only these (00 01 ...), and not the table of mistakes")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when something is out of date"
    )
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[2], help="the folder with solutions/"
    )
    options = parser.parse_args(argv)
    stale = []
    for path, text in built_files(options.root, options.chapters):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale.append(path)
        name = path.relative_to(options.root)
        if not options.check:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {name}")
        else:
            difference = difflib.unified_diff(
                old.splitlines(), text.splitlines(), "is", "should be", lineterm="", n=1
            )
            print(f"{name} is out of date:", *list(difference)[:12], sep="\n  ")
    if options.check and stale:
        print("Run `python -m cleanlens.course.build` and commit what it writes.")
        return 1
    return 0


def built_files(root: Path, only: Sequence[str] = ()) -> Iterator[tuple[Path, str]]:
    """Every derived file and the text it should hold; of the chapters in `only`, if there are any."""
    for chapter in outline():
        if not (root / chapter.solutions).exists() or (only and chapter.id not in only):
            continue
        yield root / chapter.answers, stub_file(chapter, root)
        if (root / chapter.text).exists():
            yield root / chapter.notebook, notebook(chapter, root)
    if not only:
        yield root / "chapters" / "MISTAKES.md", mistakes_page()


def stub_file(chapter: ChapterEntry, root: Path) -> str:
    """The learner's file of a chapter. Raises ValueError when its solutions are not those of its exercises."""
    text = (root / chapter.solutions).read_text(encoding="utf-8")
    found = {id: {name for name, _ in named} for id, named in sources.marked(text).items()}
    wanted = {entry.id: set(entry.names) for entry in chapter.exercises}
    for id in sorted(found.keys() | wanted.keys()):
        if found.get(id, set()) != wanted.get(id, set()):
            raise ValueError(
                f"{chapter.solutions} marks {sorted(found.get(id, []))} with `# exercise {id}`, "
                f"but the checks of {id} ask for {sorted(wanted.get(id, []))}"
            )
    return HEADER.format(id=chapter.id) + sources.make_stubs(text)


def notebook(chapter: ChapterEntry, root: Path, solved: bool = False, tests: bool = False) -> str:
    """The notebook of a chapter, as the text of an .ipynb file without outputs; `solved` fills the answers in.

    Cells of the text can have tags. `test` holds claims of the text as assertions, for whoever runs the chapter as a
    test (`tests`); a learner's notebook is without them. `tell` shows a result in words: its code is folded. An exercise
    gets a heading. A learner's notebook begins with a cell that installs the course where there is none.
    """
    import jupytext
    import nbformat

    from cleanlens import __version__

    stubs = stub_file(chapter, root)
    solutions = (root / chapter.solutions).read_text(encoding="utf-8")
    text = (root / chapter.text).read_text(encoding="utf-8")
    book = jupytext.reads(re.sub(r"\A(# ruff: .*\n)+", "", text), fmt="py:percent")
    entries = {entry.id: entry for entry in chapter.exercises}
    cells = []
    for cell in book.cells:
        if "test" in cell.metadata.get("tags", []) and not tests:
            continue
        if "tell" in cell.metadata.get("tags", []):
            cell.metadata |= FOLDED
        if cell.cell_type == "code" and (match := sources.MARKER.match(cell.source)):
            cells.append(nbformat.v4.new_markdown_cell(heading(entries[match[1]])))
            cell.source = sources.cell_text(solutions if solved else stubs, match[1], helpers=solved)
            cell.metadata["exercise"] = match[1]
        cells.append(cell)
    for i, cell in enumerate(cells):
        cell["id"] = f"{chapter.id}-{i:03d}"
    if not tests:
        cells.insert(1, setup_cell(SETUP.format(version=__version__)))
    book.cells = cells
    book.metadata = {
        "colab": {"toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
    }
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return nbformat.writes(book, indent=1) + "\n"


def setup_cell(source: str) -> Any:
    """A notebook's first code cell, folded."""
    import nbformat

    metadata = FOLDED | {"tags": ["cleanlens-setup", "hide-input", "remove_input"]}
    return nbformat.v4.new_code_cell(source, id="setup", metadata=metadata)


def heading(entry: Entry) -> str:
    """What stands above an exercise's cell, and in the notebook's table of contents."""
    facts = [f"{entry.details['minutes']} minutes"]
    for name in ("difficulty", "importance"):
        if value := entry.details.get(name):
            facts.append(f"{name} {value} of 5")
    return f"### Exercise {entry.id}: {entry.title}\n\n*{' · '.join(facts)}*"


def mistakes_page() -> str:
    """The table exercise × mistakes × hint, for chapters/MISTAKES.md. Each row was run when this was built."""
    from .proof import page

    return page()


if __name__ == "__main__":
    sys.exit(main())
