"""The exercises as pytest's tests, one each: skipped when not attempted, failed with the report when not right.

A learner runs `pytest tests/test_exercises.py`, which imports them from here. Somebody who grades a folder that is not
theirs runs this module instead:

    python -P -m cleanlens.course.graded_tests --dir SUBMISSION [pytest's own options, such as -k 03 --junitxml out.xml]

Then nothing that lies in the folder takes part: no conftest.py, no pytest.ini, no plugin, no module of a known name.
"""

import os
import sys
from functools import cache
from pathlib import Path

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
    if os.environ.get("CLEANLENS_PROGRESS") != "off":
        progress.record(find_root(), found.values())
    return found


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)  # short: the summary cuts its lines
def test_exercise(entry: Entry, request: pytest.FixtureRequest) -> None:
    items = [item.callspec.params.get("entry") for item in request.session.items if hasattr(item, "callspec")]
    chosen = tuple(e.id for e in items if isinstance(e, Entry) and e.chapter.id == entry.chapter.id)
    result = results(chosen)[entry.id]
    if result.status is Status.NOT_ATTEMPTED:
        pytest.skip(result.message or "not attempted")
    if not result.passed:
        pytest.fail(f"{report.in_a_line(result)}\n{report.text(result)}", pytrace=False)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--dir"]:
        os.environ["CLEANLENS_COURSE"] = str(Path(arguments[1]).resolve())
        os.environ["CLEANLENS_PROGRESS"] = "off"  # it is not the one who grades who makes progress
        arguments = arguments[2:]
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    ours = ["--noconftest", "-c", os.devnull, "--rootdir", str(Path(__file__).parent)]
    ours += ["--import-mode=importlib", "-p", "no:cacheprovider"]
    return int(pytest.main([*ours, __file__, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
