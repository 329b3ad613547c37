"""Grades your answers: `pytest tests/test_exercises.py`, or `-k 03` for a chapter, `-k 03.5` for one exercise.

An exercise that is not attempted is skipped. Your code runs in a process of its own; the verdict is made here.
"""

from functools import cache

import pytest

from cleanlens.course import report
from cleanlens.course.catalog import Entry, entries
from cleanlens.course.result import Result, Status


@cache
def results(chosen: tuple[str, ...]) -> dict[str, Result]:
    from cleanlens.course import progress
    from cleanlens.course.answers import find_root
    from cleanlens.course.runner import grade

    found = {result.id: result for result in grade([e for e in entries() if e.id in chosen])}
    progress.record(find_root(), found.values())
    return found


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: f"{entry.id}-{entry.names[0]}")
def test_exercise(entry: Entry, request: pytest.FixtureRequest) -> None:
    items = [item.callspec.params.get("entry") for item in request.session.items if hasattr(item, "callspec")]
    chosen = tuple(e.id for e in items if isinstance(e, Entry) and e.chapter.id == entry.chapter.id)
    result = results(chosen)[entry.id]
    if result.status is Status.NOT_ATTEMPTED:
        pytest.skip(result.message or "not attempted")
    if not result.passed:
        pytest.fail(report.text(result), pytrace=False)
