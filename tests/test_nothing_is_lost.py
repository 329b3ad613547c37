"""A learner's work is never lost: whatever they do to their files, whatever version they come from, whenever it stops."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import remember

from cleanlens.course import catalog, cli, progress, workspace
from cleanlens.course.answers import Answers
from cleanlens.course.result import Result, Status
from cleanlens.course.text import clean, lines_of

TOKENS = catalog.chapter_of("00")
VOCAB = TOKENS.exercises[0]
STUB = 'raise NotImplementedError("00.1")'
RIGHT = Result("00.1", Status.RIGHT, where="exercises/ch00_tokens.py, line 21")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course") / "made"
    workspace.init(folder)
    return folder


@pytest.fixture
def place(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "course"
    shutil.copytree(pristine, folder)
    monkeypatch.setenv("CLEANLENS_COURSE", str(folder))
    return folder


def types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """What somebody who types a command sees: the exit status, and all that is printed."""
    monkeypatch.setattr(sys, "argv", ["cleanlens", *words])
    before = signal.getsignal(signal.SIGTERM)
    try:
        cli.main()
        status = 0
    except SystemExit as done:
        status = int(done.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr()
    return status, said.out + said.err


def answer(place: Path, body: str) -> None:
    path = place / TOKENS.answers
    path.write_text(path.read_text().replace(STUB, body))


# ---- lines are counted as Python counts them -----------------------------------------------------------

ODD = ["\x0c", "\x0b", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def test_lines_are_those_of_the_syntax_tree() -> None:
    text = "a = '" + "".join(ODD) + "'\r\nb = 2\rc = 3\n\nd = 4"
    assert [len(lines_of(text)), len(lines_of(text + "\n"))] == [5, 5]
    assert "".join(lines_of(text, keepends=True)) == text
    assert lines_of("") == []


@pytest.mark.parametrize("odd", ODD, ids=[f"U+{ord(c):04X}" for c in ODD])
def test_odd_line_ends_hide_no_edit_and_can_be_reset(place: Path, odd: str) -> None:
    path = place / TOKENS.answers
    path.write_text(
        path.read_text().replace("import torch", f"ODD = 'one{odd}two{odd}three'\nimport torch", 1)
    )
    answer(place, "return {}, {}  # mine")
    remember(place, RIGHT)
    assert progress.states(place, [TOKENS])["00.1"] == "right"
    path.write_text(path.read_text().replace("return {}, {}  # mine", "return 1, 2"))
    assert progress.states(place, [TOKENS])["00.1"] == progress.UNCHECKED  # spoilt, and seen
    workspace.reset(place, VOCAB)
    text = path.read_text()
    assert STUB in text
    assert f"one{odd}two{odd}three" in text
    assert Answers.read(TOKENS, place).of(VOCAB).origin is None


# ---- the notebook --------------------------------------------------------------------------------------


def in_the_notebook(place: Path, edit: str, cell_text: str | None = None, metadata: bool = False) -> Path:
    """Answer 00.1 in the notebook; without the metadata that says which exercise a cell is for."""
    path = place / TOKENS.notebook
    book = json.loads(path.read_text())
    for cell in book["cells"]:
        if cell.get("metadata", {}).get("exercise") == "00.1":
            text = "".join(cell["source"]).replace(STUB, edit) if cell_text is None else cell_text
            cell["source"] = text.splitlines(keepends=True)
            if not metadata:
                cell["metadata"] = {}
    path.write_text(json.dumps(book))
    return path


def test_a_cell_that_lost_its_metadata_is_reset(place: Path) -> None:
    path = in_the_notebook(place, "return {}, {}")
    assert Answers.read(TOKENS, place).of(VOCAB).origin == "notebook"
    [copy] = workspace.reset(place, VOCAB)
    assert Answers.read(TOKENS, place).of(VOCAB).origin is None
    assert STUB.replace('"', '\\"') in path.read_text()
    assert "return {}, {}" in copy.read_text()


def test_the_rest_of_such_a_cell_stays(place: Path) -> None:
    text = "%matplotlib inline\nkept = 1\n\ndef build_vocab(texts):\n    return {}, {}\n\n!ls\nalso_kept = 2"
    path = in_the_notebook(place, "", text)
    workspace.reset(place, VOCAB)
    [cell] = [c for c in json.loads(path.read_text())["cells"] if "kept = 1" in "".join(c["source"])]
    new = "".join(cell["source"])
    assert "return {}, {}" not in new
    assert new.startswith("%matplotlib inline\nkept = 1\n")
    assert new.endswith("!ls\nalso_kept = 2")


def test_what_cannot_be_taken_out_is_said_and_left(place: Path) -> None:
    path = in_the_notebook(place, "", "build_vocab = lambda texts: ({}, {})\ndef other(): pass\n")
    answer(place, "return 1")
    before = path.read_text(), (place / TOKENS.answers).read_text()
    assert Answers.read(TOKENS, place).notebook.look(VOCAB)[0]
    with pytest.raises(ValueError, match="cannot be taken out alone"):
        workspace.reset(place, VOCAB)
    assert before == (path.read_text(), (place / TOKENS.answers).read_text())


# ---- updates -------------------------------------------------------------------------------------------


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, pristine: Path) -> dict[str, str]:
    names = json.loads((pristine / ".cleanlens/workspace.json").read_text())["files"]
    files = {name: (pristine / name).read_text() for name in names}
    monkeypatch.setattr(workspace, "shipped", lambda solutions=False: dict(files))
    return files


def test_an_edited_new_file_is_not_overwritten_by_the_next_update(place: Path, newer: dict[str, str]) -> None:
    answer(place, "return {}, {}")
    new, second = (place / "exercises" / f"ch00_tokens.{name}.py" for name in ("new", "new2"))
    newer[TOKENS.answers] += "# 2\n"
    workspace.update(place)
    assert new.read_text().endswith("# 2\n")
    newer[TOKENS.answers] += "# 3\n"
    workspace.update(place)  # untouched, so it is brought up to date
    assert new.read_text().endswith("# 3\n")
    new.write_text("merged by hand\n")
    newer[TOKENS.answers] += "# 4\n"
    done = dict((name, what) for what, name in workspace.update(place))
    assert "ch00_tokens.new2.py" in done[TOKENS.answers]
    assert new.read_text() == "merged by hand\n"
    assert second.read_text().endswith("# 4\n")
    newer[TOKENS.answers] += "# 5\n"
    workspace.update(place)
    assert new.read_text() == "merged by hand\n"
    assert second.read_text().endswith("# 5\n")
    assert "return {}, {}" in (place / TOKENS.answers).read_text()


# ---- progress ------------------------------------------------------------------------------------------


def test_progress_of_a_newer_version_is_left_alone_and_said(place: Path, monkeypatch, capsys) -> None:
    path, text = progress.path_in(place), json.dumps({"format": 2, "anything": [1]})
    path.write_text(text)
    for words in ([], ["list"], ["hint", "00.1"], ["next"]):
        status, said = types(monkeypatch, capsys, *words)
        assert status == 2, words
        assert "from a newer cleanlens" in said
        assert "0 of" not in said
    remember(place, RIGHT)
    assert "Your progress is untouched" in capsys.readouterr().err
    assert path.read_text() == text
    assert not list(path.parent.glob("*unreadable*"))


def test_a_full_disk_is_said_with_the_files_name(place: Path, monkeypatch, capsys) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    answer(place, "return {}, {}")
    before = (place / TOKENS.answers).read_text()
    monkeypatch.setattr(os, "fsync", full)
    status, said = types(monkeypatch, capsys, "reset", "00.1")
    assert status == 2
    said = " ".join(said.split())  # the terminal wraps it
    assert "No space left on device" in said
    assert "ch00_tokens.py" in said
    assert "a file:" not in said
    assert (place / TOKENS.answers).read_text() == before
    assert not list(place.rglob("*.tmp"))


def test_backups_are_on_the_disk_before_anything_is_overwritten(place: Path, monkeypatch) -> None:
    answer(place, "return {}, {}")
    order: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        order.append("sync")
        sync(handle)

    def replaced(old: str, new: Path) -> None:
        order.append(Path(new).parent.name)
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    workspace.reset(place, VOCAB)
    first = order.index("backup")
    assert "sync" in order[:first]
    assert order.index("exercises") > first


RESETTER = """
import sys
from pathlib import Path
from cleanlens.course import catalog, workspace
place, entry = Path(sys.argv[1]), catalog.entries("00.1")[0]
path = place / entry.chapter.answers
stub = 'raise NotImplementedError("00.1")'
print("ready", flush=True)
for i in range(10**6):
    workspace.write_whole(path, path.read_text().replace(stub, f"return {i}, 'mine'"))
    workspace.reset(place, entry)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_killed_at_any_moment_an_answer_is_in_its_file_or_in_a_backup(place: Path) -> None:
    rng, path = random.Random(0), place / TOKENS.answers
    shipped = path.read_text()
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", RESETTER, str(place)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.4))
        process.kill()
        process.wait()
        process.stdout.close()
        text = path.read_text()
        assert text == shipped or "'mine'" in text  # whole, the one or the other
        copies = sorted((place / ".cleanlens/backup").glob("*.py"))
        assert all("'mine'" in copy.read_text() and copy.read_text().endswith("\n") for copy in copies)
        numbers = [int(copy.read_text().partition("return ")[2].partition(",")[0]) for copy in copies]
        if text == shipped and numbers:
            assert numbers[-1] == max(numbers)
        path.write_text(shipped)
        shutil.rmtree(place / ".cleanlens/backup", ignore_errors=True)


# ---- links, and what a terminal would obey ---------------------------------------------------------------


def test_nothing_is_written_through_a_link(place: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(place / ".cleanlens", elsewhere)
    (place / ".cleanlens").symlink_to(elsewhere)
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir() if path.is_file()}
    answer(place, "return {}, {}")
    remember(place, RIGHT)
    assert "link" in capsys.readouterr().err
    status, said = types(monkeypatch, capsys, "reset", "00.1")
    assert status == 2
    assert "link" in said
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("name", ["progress.json", "progress.lock"])
def test_a_link_in_the_place_of_a_file_of_ours_is_not_followed(
    place: Path, tmp_path: Path, name: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (place / ".cleanlens" / name).unlink(missing_ok=True)
    (place / ".cleanlens" / name).symlink_to(precious)
    remember(place, RIGHT)
    assert precious.read_text() == "precious"


def test_an_answer_that_is_a_link_or_a_pipe_is_said_and_not_read(place: Path, tmp_path: Path) -> None:
    path, secret = place / TOKENS.answers, tmp_path / "secret.py"
    secret.write_text("def build_vocab(texts):\n    return 'secret'\n")
    path.unlink()
    path.symlink_to(secret)
    assert "it is a link" in Answers.read(TOKENS, place).file.note()
    path.unlink()
    os.mkfifo(path)
    assert "it is no file" in Answers.read(TOKENS, place).file.note()
    path.unlink()
    path.write_bytes(b"#" * (2 * 2**20 + 1))
    assert "more than 2 MB" in Answers.read(TOKENS, place).file.note()


def test_control_characters_never_reach_the_terminal(place: Path, monkeypatch, capsys) -> None:
    answer(place, "return '\x1b]0;owned\x07\x1b[2J\u202e\x9b31m', 'a\\ud800'")
    status, said = types(monkeypatch, capsys, "solution", "00.1", "--diff")
    assert status == 0
    assert not set(said) & set("\x1b\x07\u202e\x9b")
    assert r"\x1b]0;owned\x07" in said
    assert clean("\x1b\ud800\r\n\tok é") == "\\x1b\\ud800\n\tok é"


# ---- what was done for it ------------------------------------------------------------------------------


def test_attempts_time_and_hints_are_counted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000_000]
    monkeypatch.setattr(progress.time, "time", lambda: clock[0])
    progress.begin(place, VOCAB)
    clock[0] += 60
    answer(place, "return 1")
    wrong = Result("00.1", Status.WRONG, where="exercises/ch00_tokens.py, line 21")
    remember(place, wrong)
    remember(place, wrong)  # the same answer once more is no attempt
    clock[0] += 100
    assert progress.next_hint(place, VOCAB) == 1
    clock[0] += progress.PAUSE + 1  # away
    path = place / TOKENS.answers
    path.write_text(path.read_text().replace("return 1", "return 2"))
    remember(place, RIGHT)
    expected = {
        "attempts": 2,
        "seconds": 160,
        "hints": 1,
        "began": 1_000_000,
        "last": clock[0],
        "right": clock[0],
    }
    assert progress.effort(place) == {"00.1": expected}
    progress.forget(place, ["00.1"])
    book = progress.read(place)
    assert book == {"exercises": {}, "hints": {}, "effort": {"00.1": expected}}


def test_time_is_shared_by_what_was_changed_together(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000_000]
    monkeypatch.setattr(progress.time, "time", lambda: clock[0])
    progress.begin(place, VOCAB)
    clock[0] += 101
    answer(place, "return 1")
    second = Result("00.2", Status.RIGHT, where="exercises/ch00_tokens.py, line 30")
    remember(place, RIGHT, second)
    assert [progress.effort(place)[id]["seconds"] for id in ("00.1", "00.2")] == [50, 50]


@pytest.mark.parametrize("effort", ['{"00.1": []}', '{"00.1": {"seconds": "long"}}', "3"])
def test_effort_that_is_none_is_set_aside(place: Path, effort: str) -> None:
    path = progress.path_in(place)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{"format": 1, "effort": {effort}}}')
    assert progress.read(place) == {"exercises": {}, "hints": {}, "effort": {}}
    assert list(path.parent.glob("progress.unreadable-*"))
