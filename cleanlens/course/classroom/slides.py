"""Slides from the chapters: each section a slide, its cells below one another, as nbconvert's reveal.js slides.

The exported pages load reveal.js and MathJax from the net when they are shown; `reveal` names a copy of reveal.js
(an address, or a folder beside the slides) for a room without one.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from .. import workspace
from ..catalog import outline

LONG = 900  # characters of a slide's prose, after which the next cell begins a slide below it


def write_slides(folder: Path, chapters: Iterable[str] = (), reveal: str = "") -> list[Path]:
    """Write NN_slug.slides.html for each chapter; returns the paths."""
    import nbconvert
    import nbformat

    # Beside the package itself: an environment on top of another one has no share/ of its own.
    beside = Path(nbconvert.__file__).parents[4] / "share" / "jupyter" / "nbconvert" / "templates"
    exporter = nbconvert.SlidesExporter(
        extra_template_basedirs=[str(beside)], extra_template_paths=[str(beside)]
    )
    if reveal:
        exporter.reveal_url_prefix = reveal
    shipped, made = workspace.shipped(), []
    folder.mkdir(parents=True, exist_ok=True)
    for chapter in outline():
        if (not chapters or chapter.id in set(chapters)) and chapter.notebook in shipped:
            book = nbformat.reads(with_slides(shipped[chapter.notebook]), as_version=4)
            text, _ = exporter.from_notebook_node(book, {"metadata": {"name": chapter.title}})
            path = folder / f"{chapter.id}_{chapter.slug}.slides.html"
            path.write_text(text, encoding="utf-8")
            made.append(path)
    return made


def with_slides(notebook: str) -> str:
    """A notebook whose cells say where a slide begins: at a heading, and below it where a slide is full."""
    book, length = json.loads(notebook), 0
    for cell in book["cells"]:
        text = "".join(cell["source"])
        length += len(text)
        if cell["cell_type"] == "markdown" and text.lstrip().startswith("#"):
            kind, length = "slide", len(text)
        elif length > LONG:
            kind, length = "subslide", len(text)
        else:
            kind = "-"
        cell["metadata"]["slideshow"] = {"slide_type": kind}
    return json.dumps(book)
