"""Every chapter's notebook runs from top to bottom, as shipped and with the solutions, without a network.

As shipped every check says "not attempted"; with the solutions every check says "right".
"""

import os
import re
from pathlib import Path

import nbformat
import pytest

from cleanlens.course import catalog, report, site, sources
from cleanlens.course.result import Status
from cleanlens.loading import best_real_model

ROOT = Path(__file__).parents[1]
# CLEANLENS_CHAPTER=03 leaves the other chapters alone, for whoever is writing one.
CHAPTERS = [c for c in catalog.outline() if c.id in os.environ.get("CLEANLENS_CHAPTER", c.id)]
LOADS = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//[^\s"'>]+"""
    r"""|\bimport\(\s*["']https?://[^"']+|\bfetch\(\s*["']https?://[^"']+|require\.config\(""",
    re.I,
)


@pytest.mark.slow
@pytest.mark.parametrize("solved", [False, True], ids=["shipped", "solved"])
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
def test_notebook_runs_from_top_to_bottom(chapter: catalog.ChapterEntry, solved: bool) -> None:
    book = site.executed(chapter, ROOT, solved)
    verdicts = {id: shown for cell in book.cells for id, shown in verdicts_of(cell).items()}
    word = report.WORDS[Status.RIGHT if solved else Status.NOT_ATTEMPTED]
    for entry in chapter.exercises:
        assert f": {word}" in verdicts.get(entry.id, "nothing shown"), verdicts.get(entry.id)
    problems = [problem for cell in book.cells for problem in problems_of(cell)]
    assert not problems, "\n\n".join(problems)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("id", ["03", "06"])
def test_the_end_of_the_chapter_on_a_real_model(id: str) -> None:
    """The cells that need one are executed, not left out."""
    [chapter] = [chapter for chapter in CHAPTERS if chapter.id == id] or [pytest.skip("CLEANLENS_CHAPTER")]
    book = site.executed(chapter, ROOT, solved=True, timeout=1800)
    [cell] = [cell for cell in book.cells if cell.source.startswith("real_name = best_real_model()")]
    shown = [str(output) for output in cell.outputs]
    assert not any("on this machine" in text for text in shown)
    assert any(f"{best_real_model()}: " in text for text in shown)  # a figure's title
    assert not problems_of(cell)


def problems_of(cell: nbformat.NotebookNode) -> list[str]:
    """What is wrong with a cell's outputs: figures without anything in them, things fetched from outside."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        figure = data.get("application/vnd.plotly.v1+json")
        if figure is not None and not (figure["data"] and all(map(has_data, figure["data"]))):
            found.append(f"an empty figure:\n{cell.source}")
        page = data.get("text/html", "")
        if "cleanlens-view" in page and re.search(r'"(?:attention|values)":\s*\[\s*\]', page):
            found.append(f"an empty view:\n{cell.source}")
        if outside := LOADS.search(page):
            found.append(f"an output loads {outside[0]!r}:\n{cell.source}")
    return found


def verdicts_of(cell: nbformat.NotebookNode) -> dict[str, str]:
    """Exercise id -> the text that its check printed below this cell."""
    [match] = re.findall(rf'^check\("({sources.ID})"\)', cell.source, re.M)[:1] or [None]
    shown = [
        out.get("data", {}).get("text/plain", "") or out.get("text", "") for out in cell.get("outputs", [])
    ]
    return {match: "\n".join(shown)} if match and cell.cell_type == "code" else {}


def has_data(trace: dict) -> bool:
    """Whether a plotly trace would draw something."""
    found = [trace.get(key) for key in ("z", "y", "x", "r", "values") if trace.get(key) is not None]
    sizes = [len(v["bdata"]) if isinstance(v, dict) else len(v) for v in found]
    return bool(sizes) and min(sizes) > 0


def test_the_checks_of_this_file_see_what_they_should() -> None:
    def cell(**data: object) -> nbformat.NotebookNode:
        return nbformat.from_dict({"source": "f()", "outputs": [{"data": data}]})

    plotly = "application/vnd.plotly.v1+json"
    assert problems_of(cell(**{plotly: {"data": []}}))
    assert problems_of(cell(**{plotly: {"data": [{"y": []}]}}))
    assert not problems_of(cell(**{plotly: {"data": [{"y": [1]}]}}))
    assert problems_of(cell(**{"text/html": '<script charset="utf-8" src="https://cdn.example/x.js">'}))
    assert problems_of(cell(**{"text/html": '<div class="cleanlens-view"></div>{"attention": []}'}))
    assert not problems_of(cell(**{"text/html": '<a href="https://example.org">the paper</a>'}))
