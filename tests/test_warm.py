"""One process with torch in it serves check after check: the same verdicts, nothing left over, a new one after a crash."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanlens.course import build, catalog, sources, workspace
from cleanlens.course.result import Result, Status
from cleanlens.course.runner import Grader, grade

TOKENS, TRANSFORMER = catalog.chapter_of("00"), catalog.chapter_of("01")
VOCAB = TOKENS.exercises[0]
RIGHT = catalog.find("00.1").alternatives[0].source
MISTAKE = next(m for m in catalog.find("00.1").mistakes if m.slug == "unsorted_set")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts a process for each check")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "exercises").mkdir()
    for chapter in (TOKENS, TRANSFORMER):
        (tmp_path / chapter.answers).write_text(build.stub_file(chapter, workspace.home()))
    return tmp_path


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(warm=True) as made:
        yield made


def check(grader: Grader, place: Path, source: str) -> Result:
    path = place / TOKENS.answers
    path.write_text(sources.fill(build.stub_file(TOKENS, workspace.home()), "build_vocab", source))
    [result] = grader.grade([VOCAB], place)
    return result


def test_one_process_serves_save_after_save(grader: Grader, place: Path) -> None:
    first = check(grader, place, MISTAKE.source)
    assert (first.status, first.mistake) == (Status.WRONG, "unsorted_set")
    process = grader._child.process.pid
    assert check(grader, place, RIGHT).passed
    assert check(grader, place, MISTAKE.source).mistake == "unsorted_set"
    assert grader._child.process.pid == process


def test_nothing_of_a_check_is_there_at_the_next(grader: Grader, place: Path) -> None:
    leaves = """def build_vocab(texts):
    import builtins, os, subprocess, sys, tempfile, torch
    builtins.left = torch.left = 1
    open(os.path.join(tempfile.gettempdir(), "left"), "w").close()
    # it leaves its parent and its group, and forgets whose it is
    subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": os.environ["PATH"]})
    raise ValueError("left")
"""
    finds = """def build_vocab(texts):
    import builtins, os, tempfile, torch
    found = [hasattr(builtins, "left"), hasattr(torch, "left"), "left" in os.listdir(tempfile.gettempdir())]
    names = [open(f"/proc/{p}/comm").read().strip() for p in os.listdir("/proc") if p.isdecimal()] if SEALED else []
    raise ValueError(f"{found} {'sleep' in names}")
"""
    assert "ValueError: left" in check(grader, place, leaves).message
    finds = finds.replace("SEALED", str(bool(grader.sealed)))
    assert "ValueError: [False, False, False] False" in check(grader, place, finds).message


def test_a_process_that_was_ended_is_replaced(grader: Grader, place: Path) -> None:
    check(grader, place, RIGHT)
    process = grader._child.process.pid
    result = check(grader, place, "def build_vocab(texts):\n    import os\n    os._exit(3)\n")
    assert "ended the whole process (exit status 3)" in result.message
    result = check(grader, place, "def build_vocab(texts):\n    import os\n    os.kill(os.getpid(), 11)\n")
    assert "SIGSEGV" in result.message
    assert check(grader, place, RIGHT).passed
    assert grader._child.process.pid != process


def test_another_folder_gets_a_process_of_its_own(grader: Grader, place: Path, tmp_path: Path) -> None:
    check(grader, place, RIGHT)
    process, other = grader._child.process.pid, tmp_path / "other"
    shutil.copytree(place / "exercises", other / "exercises")
    [result] = grader.grade([VOCAB], other)
    assert result.passed
    assert grader._child.process.pid != process


def test_chapters_side_by_side_give_the_same_in_the_same_order(place: Path) -> None:
    for chapter, number in ((TOKENS, 2), (TRANSFORMER, 3)):
        text = build.stub_file(chapter, workspace.home())
        for entry in chapter.exercises[:number]:
            for name, right in catalog.find(entry.id).reference.items():
                text = sources.fill(text, name, right.source)
        (place / chapter.answers).write_text(text)
    chosen = [*TOKENS.exercises, *TRANSFORMER.exercises]
    one, two = (
        [(r.id, r.status, r.message) for r in grade(chosen, place, workers=workers)] for workers in (1, 2)
    )
    assert one == two
    assert [status for _, status, _ in two].count(Status.RIGHT) == 5
