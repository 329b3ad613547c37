"""Every chapter's notebook runs from top to bottom, as shipped and with the solutions, without a network.

As shipped every check says "not attempted"; with the solutions every check says "right".
"""

import dis
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import nbformat
import pytest

from cleanlens.course import build, catalog, report, site, sources
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
    book = site.executed(chapter, ROOT, solved, timeout=1800)
    verdicts = {id: shown for cell in book.cells for id, shown in verdicts_of(cell).items()}
    word = report.WORDS[Status.RIGHT if solved else Status.NOT_ATTEMPTED]
    for entry in chapter.exercises:
        assert f": {word}" in verdicts.get(entry.id, "nothing shown"), verdicts.get(entry.id)
    problems = [problem for cell in book.cells for problem in problems_of(cell)]
    assert not problems, "\n\n".join(problems)
    # The ends of 03 and 06, on a model that learned from real text: where there is one, the cell shows its figures.
    for cell in book.cells:
        if cell.source.startswith("real_name = best_real_model()"):
            title = f"{best_real_model()}: " if best_real_model() else "on this machine"
            assert any(title in str(output) for output in cell.outputs), cell.outputs


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
def test_a_learners_notebook_needs_nothing_of_the_cells_that_only_test(chapter: catalog.ChapterEntry) -> None:
    """Those cells run here and are left out there; so no other cell may use a name that one of them was last to bind."""
    book = nbformat.reads(build.notebook(chapter, ROOT, solved=True, tests=True), as_version=4)
    bound_by_test: dict[str, bool] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            is_test = "test" in cell.metadata.get("tags", [])
            code = compile(cell.source, "cell", "exec")
            if not is_test:
                missing = {name for name in names_from_before(code) if bound_by_test.get(name)}
                assert not missing, f"{missing} in\n{cell.source}"
            bound_by_test |= dict.fromkeys(names_bound(code), is_test)


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


def names_bound(code: CodeType) -> set[str]:
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_NAME"}


def names_from_before(code: CodeType) -> Iterator[str]:
    """The names that a cell reads before it binds them, if it does; those in its functions when it never does."""
    bound: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            bound.add(step.argval)
        elif step.opname == "LOAD_NAME" and step.argval not in bound:
            yield step.argval
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    while inner:
        function = inner.pop()
        inner += [const for const in function.co_consts if isinstance(const, CodeType)]
        for step in dis.get_instructions(function):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval not in bound:
                yield step.argval


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
