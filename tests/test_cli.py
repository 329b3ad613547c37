"""The `cleanlens` command, its workspace and its memory: fast, mostly without running a check."""

import ast
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from helpers import judged, remember
from typer.testing import CliRunner

from cleanlens.course import catalog, cli, position, progress, runner, watch, workspace
from cleanlens.course.answers import WORKSPACE, Answers
from cleanlens.course.loop import Loop
from cleanlens.course.result import Result, Status
from cleanlens.loading import aliases, fetch

REPOSITORY = Path(__file__).parents[1]
TOKENS = catalog.chapter_of("00")
VOCAB = TOKENS.exercises[0]
STUB = 'raise NotImplementedError("00.1")'


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course") / "made"
    workspace.init(folder)
    return folder


@pytest.fixture
def place(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh workspace, which we stand in."""
    folder = tmp_path / "my course"
    shutil.copytree(pristine, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CLEANLENS_COURSE", raising=False)
    return folder


def invoke(*words: str, status: int | None = 0) -> str:
    """What a command prints, its messages included."""
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(cli.app, list(words))
    if isinstance(done.exception, cli.Problem):
        assert status == 2, done.exception
        return str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert status is None or done.exit_code == status, done.output
    return done.output


def write(place: Path, body: str = "return {}, {}") -> None:
    path = place / TOKENS.answers
    path.write_text(path.read_text().replace(STUB, body))


def verdicts(monkeypatch: pytest.MonkeyPatch, **by_id: Result) -> None:
    """Let checks come out as given, without running anything."""

    def grade(selected, root, **_):
        for entry in selected:
            result = by_id.get(f"ex{entry.id.replace('.', '_')}", Result(entry.id, Status.NOT_ATTEMPTED))
            yield judged(result, root)

    monkeypatch.setattr(runner, "grade", grade)


RIGHT = Result("00.1", Status.RIGHT, where="exercises/ch00_tokens.py, line 21")
WRONG = Result("00.1", Status.WRONG, "values", "they differ", mistake="unsorted_set", hint="Sort them.")


# ---- where you are -----------------------------------------------------------------------------------


def test_it_says_where_you_are_and_what_is_next(place: Path, monkeypatch) -> None:
    said = invoke()
    assert "0 of " in said
    assert "· 00 Tokens: 0/6" in said
    assert "Next: 00.1 build_vocab" in said
    assert "exercises/ch00_tokens.py, line 21" in said
    assert "cleanlens watch pre" in said  # for a newcomer, and only for one
    assert (
        "Read first: chapters/00_tokens.ipynb, section “1 The simplest tokenizer: one character, one number”: "
        "`cleanlens lab 00`" in said
    )
    write(place)
    assert "? not checked yet\nTry: cleanlens check 00.1" in invoke()
    assert "cleanlens watch pre" not in invoke()
    verdicts(monkeypatch, ex00_1=WRONG)
    assert "this mistake gives: Sort them." in invoke("check", "00.1", status=1)
    assert "✗ not right yet" in invoke()
    verdicts(monkeypatch, ex00_1=RIGHT)
    invoke("check", "00.1")
    assert "00 Tokens: 1/6" in invoke()
    said = invoke("next")
    assert "Next: 00.2 encode" in said
    assert "def encode(text: str" in said
    (place / TOKENS.notebook).write_text("{")  # cut short
    assert "Read first: chapters/00_tokens.ipynb: `cleanlens lab 00`" in invoke("next")


def test_a_chapter_that_is_begun_comes_before_one_that_is_not(place: Path) -> None:
    states = {e.id: str(Status.NOT_ATTEMPTED) for chapter in catalog.outline() for e in chapter.exercises}
    states |= {e.id: str(Status.RIGHT) for e in TOKENS.exercises}
    assert position.following(place, states).id == "01.1"
    states["pre.1"] = str(Status.RIGHT)
    assert position.following(place, states).id == "pre.2"
    states["03.1"] = str(Status.WRONG)
    assert position.following(place, states).id == "03.1"
    assert position.following(place, states, after="03.1").id == "03.2"


def test_the_prerequisites_are_next_for_who_begins_with_them(place: Path, monkeypatch) -> None:
    path = place / catalog.chapter_of("pre").answers
    path.write_text(
        path.read_text().replace('raise NotImplementedError("pre.4")', "return scores.softmax(-1)")
    )
    assert "Next: pre.1 split_heads" in invoke("next")
    write(place)  # and 00.1 is begun as well
    assert "Next: 00.1 build_vocab" in invoke("next")


def test_a_subfolder_is_as_good_as_the_workspace(place: Path, monkeypatch) -> None:
    monkeypatch.chdir(place / "chapters")
    assert "Next: 00.1" in invoke()


def test_outside_of_any_workspace_it_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CLEANLENS_COURSE", str(tmp_path))
    assert "cleanlens init DIR" in invoke(status=2)
    assert "is no folder" in invoke("--dir", str(tmp_path / "no"), status=2)


def test_progress_starts_without_torch_and_at_once(place: Path) -> None:
    code = (
        "import sys\nfrom cleanlens.course import cli\nsys.argv = ['cleanlens']\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\nassert 'torch' not in sys.modules"
    )
    seconds = []
    while len(seconds) < 8 and not (seconds and min(seconds) < 0.5):  # the first one may compile
        # Seconds of work: the clock also counts what other programs do.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, cwd=place, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5, seconds


def test_list_for_people_and_for_scripts(place: Path) -> None:
    assert f"· 00.1 build_vocab: not attempted, 10 min, check names {VOCAB.n_mistakes} mistakes" in invoke(
        "list", "00"
    )
    rows = json.loads(invoke("list", "--json"))
    assert [row["id"] for row in rows[:2]] == ["pre.1", "pre.2"]
    assert {"id", "chapter", "name", "status", "mistakes", "minutes"} <= rows[0].keys()


def test_the_outline_counts_the_mistakes_that_the_checks_have() -> None:
    for entry in TOKENS.exercises:
        assert entry.n_mistakes == len(catalog.find(entry.id).mistakes)


def test_an_id_nobody_has_is_answered_with_the_closest() -> None:
    assert "The closest exercises: 00.1 build_vocab" in invoke("check", "bild_vocab", status=2)
    assert "closest" not in invoke(
        "hint", "08.1", status=2
    )  # there is no chapter 08: an id of another one is no help
    said = invoke("hint", "00.9", status=2)
    assert "00.2 encode" in said
    assert "03." not in said
    assert said.index("The closest exercises") < said.index("The chapters are")
    assert catalog.entries("0.1") == [VOCAB]
    assert "no exercise or chapter '00.77'" in invoke("hint", "00.77", status=2)


def test_an_id_that_means_several_is_not_guessed(place: Path) -> None:
    assert "'00' means 6 exercises; give one of them: 00.1 build_vocab" in invoke("solution", "00", status=2)
    assert "give one of them" in invoke("hint", "tokens", status=2)
    for command in ("check", "watch", "reset"):
        assert "'forward' means" in invoke(command, "forward", status=2)


def test_the_status_of_a_check_is_for_scripts(place: Path, monkeypatch) -> None:
    verdicts(monkeypatch)
    assert "not attempted" in invoke("check", "00.1", status=1)
    invoke("check", "00", status=0)  # nothing wrong
    said = invoke("check", "00.6", "pad_batch", "00.6")
    assert said.index("00.5 pad_batch") < said.index("00.6 ")
    assert "2 not attempted" in said
    assert "no exercise or chapter '00.77'" in invoke("check", "00.1", "00.77", status=2)
    verdicts(monkeypatch, ex00_1=WRONG)
    assert "1 not right yet" in invoke("check", "00", status=1)

    def interrupted(selected, root, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "grade", interrupted)
    invoke("check", "00", status=130)


def test_hints_come_one_after_the_other(place: Path) -> None:
    assert "hint (1 of 3)" in invoke("hint", "00.1")
    assert "hint (2 of 3)" in invoke("hint", "00.1")
    assert "hint (1 of 3)" in invoke("hint", "00.1", "--level", "1")
    assert "once more" not in invoke("hint", "00.1")
    said = invoke("hint", "00.1")
    assert "hint (3 of 3)" in said
    assert "once more. `cleanlens solution 00.1`" in said


def test_the_solution_and_what_differs(place: Path) -> None:
    assert "symbols = [BOS, *sorted" in invoke("solution", "00.1")
    assert "nothing to compare" in invoke("solution", "00.1", "--diff", status=2)
    write(place)
    said = invoke("solution", "00.1", "--diff")
    assert "-    return {}, {}" in said
    assert "+    return stoi, itos" in said


def test_a_method_is_compared_with_the_method_alone(place: Path) -> None:
    path = place / catalog.chapter_of("01").answers
    path.write_text(path.read_text().replace('raise NotImplementedError("01.1")', "return x", 1))
    said = invoke("solution", "01.1", "--diff")
    assert "-    return x" in said
    assert "class LayerNorm" not in said
    assert "__init__" not in said


def test_every_command_has_help_with_an_example() -> None:
    assert "Examples" in invoke("--help")
    for name in ("check", "watch", "list", "hint", "solution", "reset", "init", "lab"):
        assert "Example" in invoke(name, "--help"), name
    assert "--install-completion" in invoke("--help")


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"PLAIN": "1"}, {}])
def test_narrow_and_simple_terminals(place: Path, environment: dict[str, str]) -> None:
    write(place)
    extra = ["--plain"] if "PLAIN" in environment else []
    for words in ([], ["list", "00"], ["--help"], ["hint", "00.1"]):
        done = subprocess.run(
            [sys.executable, "-m", "cleanlens.course.cli", *words, *extra],
            capture_output=True,
            cwd=place,
            env=os.environ | {"COLUMNS": "40", "NO_COLOR": "1", **environment},
        )
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout
        if environment and words != ["--help"]:
            assert done.stdout.isascii()


def test_doctor(place: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub" / "models--openai-community--gpt2").mkdir(parents=True)
    said = invoke("doctor", status=0)
    assert "✓ torch " in said
    assert "model gpt2-demo" in said
    assert "openai-community/gpt2" in said
    assert "without a network: every exercise" in said
    for family, names, offline in aliases.model_table():
        assert f"models, {family}: {names}; offline {offline}" in said


@pytest.mark.parametrize("here", [False, True])
def test_doctor_says_how_to_get_a_real_model(place: Path, monkeypatch, tmp_path: Path, here: bool) -> None:
    wheel = fetch.WHEELS["smollm2-135m"]
    monkeypatch.setattr(fetch, "in_hub_cache", lambda name: False)
    monkeypatch.setattr(
        fetch, "fetched_gguf", lambda name: fetch.kept_at(wheel) if here and "smol" in name else None
    )
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path))
    said = invoke("doctor", status=0)
    if here:
        assert f"✓ a model that learned from real text: smollm2-135m ({tmp_path / 'SmolLM2-135M'}" in said
    else:
        assert (
            "· a model that learned from real text: none here. `cleanlens fetch smollm2-135m` gets one (92.9 MB)"
            in said
        )


def test_lab_says_when_jupyterlab_is_missing(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert "pip install jupyterlab" in invoke("lab", "00", status=2)
    (place / TOKENS.notebook).unlink()
    assert "cleanlens update" in invoke("lab", "00", status=2)


def test_lab_opens_the_chapter_and_passes_its_end_on(place: Path, monkeypatch) -> None:
    package = place / "packages" / "jupyterlab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys\nassert os.path.isfile(sys.argv[1]), sys.argv\n"
        "open('opened', 'w').write('\\n'.join(sys.argv[1:]))\nsys.exit(7)"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    invoke("lab", "tokens", status=7)
    assert (place / "opened").read_text() == str(place / TOKENS.notebook)
    invoke("lab", "tokens", "--no-browser", "--port", "8899", status=7)
    assert (place / "opened").read_text().splitlines() == [
        str(place / TOKENS.notebook),
        "--no-browser",
        "--port",
        "8899",
    ]


def test_in_a_folder_that_is_no_course_it_says_which_one_is_meant(
    tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLEANLENS_COURSE", raising=False)
    cli.status()
    assert f"no course at or above {tmp_path}" in capfd.readouterr().err


# ---- making, resetting, updating ---------------------------------------------------------------------


def test_init_makes_a_workspace_once(tmp_path: Path) -> None:
    assert "cleanlens" in invoke("init", str(tmp_path / "new"))
    assert (tmp_path / "new" / TOKENS.answers).is_file()
    assert (tmp_path / "new" / TOKENS.notebook).is_file()
    assert not (tmp_path / "new" / "solutions").exists()
    assert "workspace already" in invoke("init", str(tmp_path / "new"), status=2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    assert "not empty" in invoke("init", str(tmp_path / "full"), status=2)


def test_reset_gives_the_stub_back_and_keeps_a_copy(place: Path, monkeypatch) -> None:
    before = (place / TOKENS.answers).read_text()
    write(place)
    verdicts(monkeypatch, ex00_1=RIGHT)
    invoke("check", "00.1")
    assert "your version: .cleanlens/backup" in invoke("reset", "00.1")
    assert (place / TOKENS.answers).read_text() == before
    assert progress.read(place)["exercises"] == {}
    [copy] = (place / ".cleanlens" / "backup").iterdir()
    assert "return {}, {}" in copy.read_text()


def test_reset_leaves_the_other_answers_alone(place: Path) -> None:
    write(place)
    path = place / TOKENS.answers
    path.write_text(path.read_text().replace('raise NotImplementedError("00.2")', "return 'mine'"))
    invoke("reset", "00.1")
    assert STUB in path.read_text()
    assert "return 'mine'" in path.read_text()


def test_reset_in_the_notebook(place: Path) -> None:
    path = place / TOKENS.notebook
    before = json.loads(path.read_text())
    path.write_text(path.read_text().replace(STUB.replace('"', '\\"'), "return 1"))
    assert Answers.read(TOKENS, place).of(VOCAB).origin == "notebook"
    invoke("reset", "00.1")
    assert json.loads(path.read_text())["cells"] == before["cells"]


def test_reset_of_a_file_that_does_not_parse_or_is_gone(place: Path) -> None:
    before = (place / TOKENS.answers).read_text()
    write(place, "return (")
    assert "cleanlens reset 00" in invoke("reset", "00.1", status=2)
    invoke("reset", "00")
    assert (place / TOKENS.answers).read_text() == before
    (place / TOKENS.answers).unlink()
    invoke("reset", "00.1")
    assert (place / TOKENS.answers).read_text() == before


def test_every_shipped_answer_resets_to_its_stub(place: Path) -> None:
    """Fill in each solution, reset each exercise: the file is the one that was shipped."""
    for chapter in workspace.chapters():
        path, stubs = place / chapter.answers, (place / chapter.answers).read_text()
        path.write_text((REPOSITORY / chapter.solutions).read_text())
        for entry in chapter.exercises:
            workspace.reset(place, entry)
        answers = Answers.read(chapter, place)
        assert not [e.id for e in chapter.exercises if answers.of(e).origin], chapter.id
        ast.parse(path.read_text())
        path.write_text(stubs)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, pristine: Path) -> Iterator[dict[str, str]]:
    """The next version of the course, to be edited by a test."""
    names = json.loads((pristine / WORKSPACE).read_text())["files"]
    files = {name: (pristine / name).read_text() for name in names}
    monkeypatch.setattr(workspace, "shipped", lambda solutions=False: dict(files))
    return files


def test_update_replaces_what_is_untouched_and_keeps_what_is_not(place: Path, newer: dict[str, str]) -> None:
    other = catalog.chapter_of("01")
    newer[TOKENS.answers] += "# newer\n"
    newer[other.answers] += "# newer\n"
    newer["exercises/ch98_new.py"] = "# new\n"
    write(place)
    said = invoke("update")
    assert f"{TOKENS.answers}: kept, yours; the new one is ch00_tokens.new.py" in said
    assert f"{other.answers}: replaced" in said
    assert "exercises/ch98_new.py: added" in said
    assert "return {}, {}" in (place / TOKENS.answers).read_text()
    assert (place / "exercises" / "ch00_tokens.new.py").read_text().endswith("# newer\n")
    assert (place / other.answers).read_text().endswith("# newer\n")
    del newer["exercises/ch98_new.py"]
    assert "ch98_new.py: removed, no longer in the course" in invoke("update")


def test_a_notebook_that_was_only_run_is_untouched(place: Path, newer: dict[str, str]) -> None:
    book = json.loads((place / TOKENS.notebook).read_text())
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = 3
    (place / TOKENS.notebook).write_text(json.dumps(book))
    assert "up to date" in invoke("update")
    changed = json.loads(newer[TOKENS.notebook])
    changed["cells"][0]["source"] = "newer"
    newer[TOKENS.notebook] = json.dumps(changed)
    assert f"{TOKENS.notebook}: replaced" in invoke("update")


def test_update_of_a_moved_half_made_or_older_workspace(
    place: Path, newer: dict[str, str], monkeypatch
) -> None:
    moved = place.rename(place.with_name("elsewhere"))
    monkeypatch.chdir(moved)
    (moved / TOKENS.answers).unlink()
    assert "added" in invoke("update")
    write(moved)
    (moved / WORKSPACE).write_text("{")  # cut short, or from before there was one
    newer[TOKENS.answers] += "# newer\n"
    newer[catalog.chapter_of("01").answers] += "# newer\n"
    said = invoke("update")
    assert "kept, yours; the new one is ch00_tokens.new.py" in said
    assert f"{catalog.chapter_of('01').answers}: replaced" in said
    assert "return {}, {}" in (moved / TOKENS.answers).read_text()


def test_the_repository_is_updated_by_git(tmp_path: Path) -> None:
    assert "git pull" in invoke("update", "--dir", str(REPOSITORY), status=2)


def test_a_chapter_file_that_was_deleted_or_renamed(place: Path) -> None:
    (place / TOKENS.answers).rename(place / "exercises" / "mine.py")
    assert "missing: `cleanlens update` brings it back" in invoke()


# ---- memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', '{"exercises": {"00.1": 3}}', "\x00\xff"])
def test_a_progress_file_that_cannot_be_read_is_set_aside(place: Path, text: str, capsys) -> None:
    progress.path_in(place).write_text(text, encoding="latin-1")
    assert progress.read(place) == {"exercises": {}, "hints": {}, "effort": {}}
    assert "was set aside as progress.unreadable-" in capsys.readouterr().err
    [aside] = (place / ".cleanlens").glob("progress.unreadable-*")
    assert aside.read_text(encoding="latin-1") == text
    remember(place, WRONG)
    assert progress.read(place)["exercises"]["00.1"]["mistake"] == "unsorted_set"


def test_an_edit_or_a_newer_checker_makes_a_verdict_old(place: Path, monkeypatch) -> None:
    write(place)
    remember(place, RIGHT)
    assert progress.states(place, [TOKENS])["00.1"] == "right"
    write_again = (place / TOKENS.answers).read_text().replace("return {}, {}", "return 1, 2")
    (place / TOKENS.answers).write_text(write_again)
    assert progress.states(place, [TOKENS])["00.1"] == progress.UNCHECKED
    before = judged(RIGHT, place)
    (place / TOKENS.answers).write_text(write_again.replace("return 1, 2", "return 3, 4"))
    progress.record(place, [before])  # an edit while it was being judged
    assert progress.states(place, [TOKENS])["00.1"] == progress.UNCHECKED
    remember(place, RIGHT)
    assert progress.states(place, [TOKENS])["00.1"] == "right"
    monkeypatch.setitem(VOCAB.details, "version", VOCAB.details.get("version", 1) + 1)
    assert progress.states(place, [TOKENS])["00.1"] == progress.UNCHECKED


def test_a_verdict_from_a_running_notebook_needs_no_saved_file(place: Path) -> None:
    progress.record(place, [RIGHT.with_(where=progress.LIVE)])
    assert progress.states(place, [TOKENS])["00.1"] == "right"


def test_a_folder_that_cannot_be_written_is_still_checked(place: Path, monkeypatch, capsys) -> None:
    shutil.rmtree(place / ".cleanlens")
    (place / ".cleanlens").write_text("in the way")  # works also for root, who may write anywhere
    write(place)
    verdicts(monkeypatch, ex00_1=RIGHT)
    assert "right" in invoke("check", "00.1")
    assert "hint (1 of 3)" in invoke("hint", "00.1")
    assert "Next: 00.1" in invoke()


WRITER = """
import sys
from pathlib import Path
from cleanlens.course import progress
for i in range(int(sys.argv[2])):
    progress.change(Path.cwd(), lambda book: book["hints"].update({f"{sys.argv[1]}.{i}": i}))
"""


def test_two_processes_lose_nothing(place: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name, "25"], cwd=place) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(progress.read(place)["hints"]) == 50


def test_killed_at_any_moment_the_file_is_whole(place: Path) -> None:
    for delay in (0.0, 0.003, 0.011, 0.02):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, "a", "100000"], cwd=place)
        path = progress.path_in(place)
        path.unlink(missing_ok=True)
        while not path.exists():
            time.sleep(0.01)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert json.loads(path.read_text())["hints"]
        assert progress.change(place, lambda book: None)  # the lock went with the process
    assert not list((place / ".cleanlens").glob("progress-*.tmp"))


# ---- watching ----------------------------------------------------------------------------------------


def test_every_kind_of_save_is_noticed(place: Path, monkeypatch) -> None:
    path = place / TOKENS.answers

    def in_place():
        path.write_text(path.read_text() + "\n")

    def by_rename():
        (place / "exercises" / "tmp~").write_text("x = 1\n")
        os.replace(place / "exercises" / "tmp~", path)

    def gone():
        path.unlink()

    def back():
        path.write_text("y = 1\n")

    def ticks(root):
        for action in [in_place, lambda: None, by_rename, gone, back]:
            action()
            yield

    monkeypatch.setattr(watch, "ticks", ticks)
    assert list(watch.saves(place)) == [{TOKENS.answers}] * 4


def test_without_watchfiles_the_clock_decides(place: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    monkeypatch.setattr(watch, "SECONDS", 0.0)
    ticks = watch.ticks(place)
    assert [next(ticks), next(ticks)] == [None, None]


def test_watch_shows_the_diagnosis_and_moves_on(place: Path, monkeypatch) -> None:
    checked = threading.Semaphore(0)
    answers = {"return {}, {}": WRONG, "return 1, 2": RIGHT}

    class Grader:
        def __init__(self, warm: bool):
            assert warm  # or each save would wait for torch

        def warm_up(self, root: Path) -> None: ...

        def close(self) -> None: ...

        def grade(self, selected, root):
            text = (place / TOKENS.answers).read_text()
            verdict = judged(next(answers[body] for body in answers if body in text), place)
            yield from (verdict for _ in selected)
            checked.release()

    def saves(root):
        write(place)
        yield {TOKENS.answers}
        checked.acquire(timeout=20)
        path = place / TOKENS.answers
        path.write_text(path.read_text().replace("return {}, {}", "return 1, 2"))
        yield {TOKENS.answers}
        checked.acquire(timeout=20)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "Grader", Grader)
    monkeypatch.setattr(watch, "saves", saves)
    said = invoke("watch")
    assert said.index("Now: 00.1") < said.index("Sort them.") < said.index("00.1 build_vocab: right")
    assert said.index("right") < said.index("Next: 00.2") < said.index("Stopped")
    # What is asked for stands there when an exercise begins.
    assert said.index("Next: 00.2") < said.index("def encode(text: str") < said.index("Stopped")
    assert "10 minutes, difficulty ●" in said
    assert f"check names {VOCAB.n_mistakes} mistakes" in said
    assert re.search(r"\d\d:\d\d:\d\d, checked in", said)
    assert "00 Tokens █░░░░░ 1/6" in said
    assert progress.effort(place)["00.1"]["attempts"] == 2


def test_a_chapters_end_says_what_one_now_knows(place: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(runner, "Grader", lambda warm: None)
    loop = Loop(place, TOKENS.exercises[-1])
    states = {e.id: str(Status.RIGHT) for e in TOKENS.exercises}
    loop.celebrate(TOKENS, states | {"00.2": "wrong"})
    assert capsys.readouterr().out == ""
    loop.celebrate(TOKENS, states)
    said = capsys.readouterr().out
    assert "Chapter 00, Tokens, is done." in said
    assert all(" ".join(e.details["objective"].split()) in " ".join(said.split()) for e in TOKENS.exercises)
    assert "cleanlens lab 00" in said
    assert (place / TOKENS.notebook).as_uri() in said


@pytest.fixture
def loop(place: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """In a terminal, where nothing is checked."""

    class Grader:
        def __init__(self, warm: bool): ...

        def warm_up(self, root: Path) -> None: ...

        def grade(self, selected, root):
            text = (place / TOKENS.answers).read_text()
            yield from (judged(WRONG if "return {}" in text else RIGHT, root) for _ in selected)

    monkeypatch.setattr(runner, "Grader", Grader)
    loop = Loop(place, VOCAB)
    loop.screen = True
    return loop


def test_a_hint_stands_below_the_last_verdict(place: Path, loop: Loop, capsys) -> None:
    write(place)
    loop.check([VOCAB])
    capsys.readouterr()
    loop.pressed("h")
    said = capsys.readouterr().out
    assert said.index("Sort them.") < said.index("hint (1 of 3)") < said.index("q quit")


def test_in_watch_help_is_a_key(place: Path, loop: Loop, capsys) -> None:
    result = Result("00.1", Status.WRONG, "values", "they differ")
    loop.verdicts = [result]
    loop.show_verdicts()
    said = capsys.readouterr().out
    assert "Help: h: hint\n" in said
    assert "notebook" not in said


def test_the_next_exercise_is_shown_after_a_right_answer_to_another(place: Path, loop: Loop, capsys) -> None:
    write(place, "return 1, 2")
    loop.entry = TOKENS.exercises[1]  # n was pressed
    loop.check([VOCAB])
    said = capsys.readouterr().out
    assert said.index("00.1 build_vocab: right") < said.index("Now: 00.2 encode")


@pytest.mark.parametrize("there", ["", "nano"])
def test_an_editor_is_looked_for(
    place: Path, loop: Loop, monkeypatch, tmp_path: Path, capsys, there: str
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    if there:
        (commands / there).write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/edited\n')
        (commands / there).chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(commands))
    loop.screen = False  # pytest has no terminal to hand over
    loop.edit()
    if there:
        assert (tmp_path / "edited").read_text() == f"+21 {place / TOKENS.answers}\n"
    else:
        assert "export EDITOR=" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_keys_of_watch(place: Path, tmp_path: Path) -> None:
    """A real terminal, 60 columns wide: every key, the editor at the exercise's line, and q."""
    editor = tmp_path / "nano"
    editor.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/edited\n')
    editor.chmod(0o755)
    write(place)
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "cleanlens.course.cli", "watch", "00.2"],
        env=os.environ | {"EDITOR": str(editor), "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)},
        cwd=str(place),
        encoding="utf-8",
        timeout=120,
        dimensions=(40, 60),
    )
    try:
        terminal.expect_exact("q quit")
        for key, expected in [
            ("h", r"The ids of(?s:.*)hint .1 of"),  # below what is asked for
            ("s", "s once more"),
            ("l", r"00 Tokens: "),  # and s is as it was
            ("s", "s once more"),
            ("s", "Why: "),
            ("x", "Now: 00.2 encode(?s:.*)The ids of"),
            ("n", "00.3 train_bpe"),
            ("l", r"00 Tokens: "),
            ("r", "r once more"),
            ("e", "Now: 00.3"),
        ]:
            terminal.send(key)
            terminal.expect(expected)
            if "once more" not in expected:
                terminal.expect_exact("q quit")
        terminal.send("c")
        terminal.expect("1 (not right yet|it did not run through)")
        terminal.expect_exact("q quit")
        terminal.send("q")
        terminal.expect_exact("Stopped.")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)
    words = (tmp_path / "edited").read_text()
    line = (place / TOKENS.answers).read_text().splitlines().index("# exercise 00.3") + 2
    assert words == f"+{line} {place / TOKENS.answers}\n"


def test_the_shell_completes_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CLEANLENS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "2")
    for words, expected in {
        "cleanlens check 00": ["00", *(entry.id for entry in TOKENS.exercises)],
        "cleanlens hint 00.": [entry.id for entry in TOKENS.exercises],
    }.items():
        monkeypatch.setenv("COMP_WORDS", words)
        done = CliRunner().invoke(cli.app, [], prog_name="cleanlens")
        assert done.output.split() == expected


def test_notebook_and_terminal_count_the_same_hints(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cleanlens.course import notebook

    monkeypatch.delenv("CLEANLENS_PROGRESS", raising=False)
    assert "hint (1 of 2)" in invoke("hint", "00.2")
    notebook.hint("00.2")
    assert "hint (2 of 2)" in capsys.readouterr().out
    notebook.hint("00.3")
    assert "hint (1 of" in capsys.readouterr().out
    assert "hint (2 of" in invoke("hint", "00.3")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_completion_in_a_real_shell(shell: str, place: Path, tmp_path: Path) -> None:
    """The script that --install-completion installs, loaded by the shell itself, which then is asked to complete."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    commands = tmp_path / "bin"
    commands.mkdir()
    program = commands / "cleanlens"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cleanlens "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "_CLEANLENS_COMPLETE": f"source_{shell}",
    }
    script = subprocess.run([program], env=environment, cwd=place, capture_output=True, text=True, check=True)
    assert "exercises right" not in script.stdout
    (tmp_path / "completion").write_text(script.stdout)
    del environment["_CLEANLENS_COMPLETE"]
    options = ["--norc", "--noprofile", "-i"] if shell == "bash" else ["-f", "-i"]
    terminal = pexpect.spawn(
        shell, options, env=environment | {"TERM": "dumb"}, cwd=str(place), encoding="utf-8", timeout=60
    )
    try:
        ready = "echo rea''dy"
        prepare = "autoload -Uz compinit; compinit -D; " if shell == "zsh" else ""
        terminal.sendline(f"{prepare}source '{tmp_path}/completion'; {ready}")
        terminal.expect("ready")
        terminal.send("cleanlens hint 00." + "\t" * (2 if shell == "bash" else 1))
        for entry in TOKENS.exercises:
            terminal.expect_exact(entry.id)
    finally:
        terminal.close(force=True)
