"""Slides of the chapters: every section on one of its own, and no solution on any."""

import json
import re
from pathlib import Path

import pytest

from cleanlens.course import catalog, workspace
from cleanlens.course.classroom import slides


@pytest.mark.parametrize("chapter", catalog.outline(), ids=lambda chapter: chapter.id)
def test_every_section_begins_a_slide(chapter: catalog.ChapterEntry) -> None:
    cells = json.loads(slides.with_slides(workspace.shipped()[chapter.notebook]))["cells"]
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in cells]
    headings = [cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith("#") for cell in cells]
    assert [kind == "slide" for kind in kinds] == headings
    assert sum(headings) >= 4


def test_the_pages_are_slides(tmp_path: Path) -> None:
    pytest.importorskip("nbconvert")
    [path] = slides.write_slides(tmp_path, ["03"], reveal="reveal.js")
    text = path.read_text()
    assert path.name == "03_induction.slides.html"
    chapter = next(c for c in catalog.outline() if c.id == "03")
    cells = json.loads(workspace.shipped()[chapter.notebook])["cells"]
    count = sum(c["cell_type"] == "markdown" and "".join(c["source"]).startswith("#") for c in cells)
    assert len(re.findall(r"<section>\s*<section", text)) == count
    assert "reveal.js/dist/reveal" in text
    assert "NotImplementedError" in text  # the stubs
