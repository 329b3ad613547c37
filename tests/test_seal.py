"""What a learner's code is kept from, what it is given, and that nothing is left when it is over."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cleanlens.course import asking, catalog, doctor, runner, seal, sources
from cleanlens.course.execute import observe
from cleanlens.course.judge import Judge
from cleanlens.course.result import Result

ROOT = Path(__file__).parents[1]
TOKENS = catalog.chapter_of("00")
SOLUTIONS = (ROOT / TOKENS.solutions).read_text()
CHAPTERS = [chapter.id for chapter in catalog.outline()]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


def submission(folder: Path, **bodies: str) -> Path:
    (folder / "exercises").mkdir(parents=True, exist_ok=True)
    text = SOLUTIONS
    for name, body in bodies.items():
        text = sources.fill(text, name, f"def {name}(*args, **kwargs):\n    {body}\n")
    (folder / TOKENS.answers).write_text(text)
    return folder


def graded(folder: Path, *ids: str, **options: object) -> dict[str, Result]:
    entries = [entry for entry in TOKENS.exercises if not ids or entry.id in ids]
    return {result.id: result for result in runner.grade(entries, folder, **options)}  # type: ignore[arg-type]


# ---- the asking half -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_asking_half_has_no_line_of_the_other(chapter: str) -> None:
    exercises = catalog.load(chapter).exercises
    made = asking.questions(chapter, [ex.id for ex in exercises])
    text = "\n".join(question["text"] for question in made)
    for word in ("oracle", "measure", "alternative", "mistake", "slip"):
        assert f"ex.{word}" not in text
    for ex in exercises:
        assert ex.why not in text
        assert not any(hint in text for hint in ex.hints)
        for part in ex.mistakes:
            assert repr(part.slug) not in text, part.slug
            assert part.hint not in text


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_asking_half_asks_what_the_whole_asks(chapter: str) -> None:
    code = (
        "import json, sys\n"
        "from cleanlens.course.asking import ask\n"
        "found = ask(json.load(sys.stdin))\n"
        "assert not any(ex.make_expected or ex.run_measure or ex.mistakes or ex.alternatives for ex in found.values())\n"
        "print(json.dumps({id: [[sorted(case) for case in ex.cases(7)], ex.names, ex.seeds] for id, ex in found.items()}))"
    )
    exercises = catalog.load(chapter).exercises
    made = asking.questions(chapter, [ex.id for ex in exercises])
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(made), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    whole = {ex.id: [[sorted(case) for case in ex.cases(7)], list(ex.names), ex.seeds] for ex in exercises}
    assert json.loads(done.stdout) == whole


def test_one_exercise_brings_no_other() -> None:
    made = asking.questions("00", ["00.2"])
    assert [question["module"].rpartition(".")[2] for question in made] == ["helpers", "encode"]


# ---- secret seeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_right_answers_pass_on_seeds_that_nobody_knows(chapter: str) -> None:
    seed = runner.secret_seed()
    for ex in catalog.load(chapter).exercises:
        judge = Judge(ex, range(seed, seed + ex.seeds))
        answer = ex.assemble({name: part.value for name, part in ex.reference.items()})
        result = judge.judge(observe(ex, answer, judge.seeds))
        assert result.passed, f"{ex.id}, seed {seed}: {result}"


def test_a_table_of_constants_passes_on_known_inputs_only(tmp_path: Path) -> None:
    ex = catalog.find("00.1")
    right = ex.reference["build_vocab"].value
    table = {repr(case): right(**case) for seed in range(3) for case in ex.cases(seed)}
    folder = submission(
        tmp_path, build_vocab=f"return {table!r}.get(repr({{'texts': args[0]}}), ({{}}, {{}}))"
    )
    assert graded(folder, "00.1")["00.1"].passed
    assert not graded(folder, "00.1", seed=runner.secret_seed())["00.1"].passed


# ---- what the system offers ------------------------------------------------------------------------------


def test_doctor_says_what_this_machine_can_seal(monkeypatch) -> None:
    for found, fine, words in (
        (seal.Abilities("/usr/bin/bwrap", 7), True, "bubblewrap and Landlock (version 7)"),
        (
            seal.Abilities("", 4, "it is not installed"),
            None,
            "bubblewrap cannot be used: it is not installed",
        ),
        (
            seal.Abilities("", 0, "there is none on darwin"),
            None,
            "Check only code that you would run yourself",
        ),
    ):
        monkeypatch.setattr(seal, "abilities", lambda found=found: found)
        [(said, text)] = [line for line in doctor.examine() if line[1].startswith("sealing:")]
        assert said is fine
        assert words in text


def test_what_must_be_sealed_is_refused_where_it_cannot_be(monkeypatch) -> None:
    monkeypatch.setattr(seal, "abilities", lambda: seal.Abilities("", 0, "it is not installed"))
    with pytest.raises(RuntimeError, match="cannot be sealed here: bubblewrap it is not installed"):
        runner.Grader(sealed=True)


READER = """
import os
def tried(path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
def listed(path):
    try:
        return os.listdir(path)
    except OSError as error:
        return type(error).__name__
def build_vocab(texts):
    print("READ", tried("SECRET"), listed("COURSE/solutions"), listed("COURSE/cleanlens/course/chapters/ch00"))
    for path in ("SECRET", "COURSE/here", "/usr/here"):
        try:
            open(path, "w").write("changed")
            print("WRITTEN", path)
        except OSError:
            pass
    open(os.environ["TMPDIR"] + "/mine", "w").write("fine")
    print("TMPDIR", tried(os.environ["TMPDIR"] + "/mine"))
    return {}, {}
"""


@linux
@pytest.mark.parametrize("which", ["bubblewrap", "landlock", "both"])
def test_each_seal_alone_keeps_files_apart(tmp_path: Path, monkeypatch, which: str) -> None:
    real = seal.abilities()
    if (which != "landlock" and not real.bubblewrap) or (which != "bubblewrap" and not real.landlock):
        pytest.skip("not offered here")
    limited = seal.Abilities(
        real.bubblewrap if which != "landlock" else "", real.landlock if which != "bubblewrap" else 0
    )
    monkeypatch.setattr(seal, "abilities", lambda: limited)
    secret = tmp_path / "secret"
    secret.write_text("TOP SECRET")
    folder = submission(tmp_path / "work")
    text = READER.replace("SECRET", str(secret)).replace("COURSE", str(ROOT))
    (folder / TOKENS.answers).write_text(SOLUTIONS + text)
    results = graded(folder)
    printed = results["00.1"].printed
    assert "READ" in printed, results
    assert "TOP SECRET" not in printed
    assert "ch00_tokens.py" not in printed
    assert "encode.py" not in printed
    # In a /tmp of its own it may write what it likes.
    assert f"WRITTEN {ROOT}" not in printed
    assert "WRITTEN /usr" not in printed
    assert "TMPDIR fine" in printed
    assert secret.read_text() == "TOP SECRET"
    assert all(results[id].passed for id in results if id != "00.1")


def test_the_environment_is_an_allow_list(monkeypatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    made = seal.environment("job", "/somewhere")
    assert "SECRET_TOKEN" not in made
    assert made["LC_ALL"] == "C.UTF-8"
    assert made["TMPDIR"] == made["HOME"] == "/somewhere"


# ---- nothing is left ---------------------------------------------------------------------------------------


def test_folders_of_killed_runs_are_swept_and_no_others(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "precious").mkdir()
    names = [f"{runner.JOBS}{ended.pid}-a", f"{runner.JOBS}{os.getpid()}-b", f"{runner.JOBS}x-c", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / f"{runner.JOBS}{ended.pid}-link").symlink_to(tmp_path / "precious")
    runner.Grader().close()
    assert [(tmp_path / name).exists() for name in names] == [False, True, True, True]
    assert (tmp_path / "precious").is_dir()


def of_a_job(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (path / "environ").read_bytes()
            if b"CLEANLENS_JOB=" in environment and mark.encode() in environment:
                found.append(f"{path.name} {(path / 'cmdline').read_bytes()!r}")
    return found


@pytest.fixture
def mark(monkeypatch) -> str:
    """A word in the environment of all that a test starts."""
    word = f"LC_CLEANLENS_TEST=t{time.time_ns()}"
    monkeypatch.setenv(*word.split("="))
    return word


GHOST = """
import os, time
def build_vocab(texts):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(10**6)
        os._exit(0)
    while True:
        pass
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("unsealed", ["", "1"], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_a_check_ends_all_of_it(
    tmp_path: Path, mark: str, monkeypatch, unsealed: str, number: signal.Signals
) -> None:
    if number == signal.SIGKILL and unsealed:
        pytest.skip("a ghost of its own session outlives a killed check that nothing seals")
    folder = submission(tmp_path / "work")
    (folder / TOKENS.answers).write_text(SOLUTIONS + GHOST)
    monkeypatch.setenv("CLEANLENS_UNSEALED", unsealed)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "cleanlens.course.cli", "check", "00.1", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while not any("course.child" in line for line in of_a_job(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], said
    assert "Traceback" not in said
    end = time.monotonic() + 20
    while of_a_job(mark) and time.monotonic() < end:
        time.sleep(0.1)  # a killed runner's marker ends when it sees that nobody asks any more
    assert not of_a_job(mark)
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("cleanlens-*"))


@linux
@pytest.mark.slow
def test_unsealed_no_ghost_outlives_the_check(tmp_path: Path, mark: str, monkeypatch) -> None:
    monkeypatch.setitem(TOKENS.exercises[0].details, "seconds", 2.0)
    folder = submission(tmp_path / "work")
    (folder / TOKENS.answers).write_text(SOLUTIONS + GHOST)
    results = graded(folder, "00.1", "00.2", sealed=False)
    assert "is there a loop that never ends?" in results["00.1"].message
    assert results["00.2"].passed
    assert not of_a_job(mark)


@pytest.mark.slow
def test_pytest_takes_nothing_from_the_folder_but_the_answers(tmp_path: Path) -> None:
    folder = submission(tmp_path / "work", encode="return 0")
    sabotage = (
        "import pytest\n"
        "@pytest.hookimpl(hookwrapper=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    outcome = yield\n"
        "    outcome.get_result().outcome = 'passed'\n"
    )
    for name in ("conftest.py", "exercises/conftest.py", "plug.py"):
        (folder / name).write_text(sabotage)
    for name in ("pytest.py", "torch.py", "cleanlens.py"):
        (folder / name).write_text("raise SystemExit(0)\n")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p plug --collect-only\n")
    command = [
        sys.executable,
        "-P",
        "-m",
        "cleanlens.course.graded_tests",
        "--dir",
        str(folder),
        "-k",
        "00",
        "-q",
    ]
    environment = os.environ | {"PYTEST_ADDOPTS": "--collect-only", "PYTEST_PLUGINS": "plug"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 5 passed" in done.stdout
    assert not (folder / ".cleanlens").exists()
