"""A learner's whole way, from a built wheel in a fresh folder, by the commands they would type. Slow."""

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanlens.course import catalog

REPOSITORY = Path(__file__).parents[1]
CARRIED = ("cleanlens", "exercises", "chapters", "solutions", "tests/test_exercises.py")
FILES = (*CARRIED, "pyproject.toml", "README.md", "LICENSE")
VOCAB = catalog.find("00.1")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as pip puts it; its dependencies come from this Python."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for name in FILES:
        (source / name).parent.mkdir(exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name, ignore=unwanted)
        else:
            shutil.copy(REPOSITORY / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = source / "wheels"
    quiet = {"check": True, "capture_output": True}
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, source], **quiet
    )
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", target, wheel], **quiet)
    shutil.rmtree(source)
    return target


class Learner:
    """Somebody in a folder with a terminal."""

    def __init__(self, installed: Path, place: Path):
        self.place = place
        self.environment = os.environ | {
            "PYTHONPATH": str(installed),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.environment.pop("CLEANLENS_COURSE", None)
        self.command = [sys.executable, "-m", "cleanlens.course.cli"]

    def types(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [*self.command, *words], cwd=self.place, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def answers(self, name: str, source: str) -> None:
        """Write an answer, through another file that takes the old one's place."""
        from cleanlens.course import sources

        path = self.place / "exercises" / "ch00_tokens.py"
        new = path.with_suffix(".swp")
        new.write_text(sources.fill(path.read_text(), name, source))
        os.replace(new, path)


@pytest.fixture
def learner(installed: Path, tmp_path: Path) -> Learner:
    somebody = Learner(installed, tmp_path)
    somebody.types("init", "course")
    somebody.place = tmp_path / "course"
    return somebody


def test_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    code = "import cleanlens, cleanlens.course.workspace as w; print(cleanlens.__file__, w.home())"
    learner = Learner(installed, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=learner.environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        str(installed / "cleanlens" / "__init__.py"),
        str(installed / "cleanlens" / "course" / "data"),
    ]


def test_the_whole_loop(learner: Learner, installed: Path) -> None:
    said = learner.types()
    assert re.match(r"0 of \d+ exercises right", said)
    assert "Next: 00.1 build_vocab" in said
    assert not (learner.place / "solutions").exists()

    mistake = next(m for m in VOCAB.mistakes if m.slug == "unsorted_set")
    learner.answers("build_vocab", mistake.source)
    said = learner.types("check", "00.1", status=1)
    assert "✗ 00.1 build_vocab: not right yet" in said
    assert mistake.hint in said
    assert "hint (1 of 3)" in learner.types("hint", "00.1")

    learner.answers("build_vocab", VOCAB.alternatives[0].source)
    assert "✓ 00.1 build_vocab: right" in learner.types("check", "00.1")
    assert "Next: 00.2 encode" in learner.types("next")
    assert "1 of " in learner.types()
    assert "+    symbols = [BOS" in learner.types("solution", "00.1", "--diff")

    graded = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "00"],
        cwd=learner.place,
        env=learner.environment,
        capture_output=True,
        text=True,
    )
    assert re.search(r"1 passed, 5 skipped", graded.stdout), graded.stdout + graded.stderr

    edited = (learner.place / "exercises" / "ch00_tokens.py").read_text()
    data = installed / "cleanlens" / "course" / "data"
    shipped = [data / "solutions" / f"{name}.py" for name in ("ch00_tokens", "ch02_caching")]
    before = [path.read_text() for path in shipped]
    try:  # a newer course
        for path in shipped:
            path.write_text(path.read_text().replace('"""Chapter', '"""The new chapter', 1))
        said = learner.types("update")
    finally:
        for path, text in zip(shipped, before):
            path.write_text(text)
    assert "exercises/ch00_tokens.py: kept, yours; the new one is ch00_tokens.new.py" in said
    assert "exercises/ch02_caching.py: replaced" in said
    assert (learner.place / "exercises" / "ch00_tokens.py").read_text() == edited
    assert "The new chapter" in (learner.place / "exercises" / "ch00_tokens.new.py").read_text()
    assert "The new chapter" in (learner.place / "exercises" / "ch02_caching.py").read_text()

    learner.types("reset", "00.1")
    assert "Next: 00.1 build_vocab" in learner.types()
    rows = json.loads(learner.types("list", "--json"))
    assert {row["status"] for row in rows} == {"not attempted"}
    learner.types("doctor")


@pytest.fixture
def watching(learner: Learner) -> Iterator[tuple[subprocess.Popen, "queue.Queue[str]"]]:
    process = subprocess.Popen(
        [*learner.command, "watch"],
        cwd=learner.place,
        env=learner.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True)
    reader.start()
    yield process, lines
    process.kill()
    process.wait()
    reader.join(5)


def wait_for(lines: "queue.Queue[str]", text: str, seconds: float = 120) -> str:
    """Everything that is said until a line has `text` in it."""
    said, end = "", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            said += lines.get(timeout=1)
        except queue.Empty:
            continue
        if text in said:
            return said
    raise AssertionError(f"{text!r} was not said in {seconds} s: {said}")


def test_watch(learner: Learner, watching) -> None:
    process, lines = watching
    wait_for(lines, "Ctrl-C ends")
    time.sleep(1)
    mistake = next(m for m in VOCAB.mistakes if m.slug == "unsorted_set")
    learner.answers("build_vocab", mistake.source)
    wait_for(lines, mistake.hint[:60])
    learner.answers("build_vocab", VOCAB.alternatives[0].source)
    wait_for(lines, "Next: 00.2 encode")
    process.send_signal(signal.SIGINT)
    wait_for(lines, "Stopped.", 20)
    assert process.wait(20) == 0
    assert "1 of " in learner.types()


def test_interrupted_in_the_middle_of_a_check(learner: Learner) -> None:
    learner.answers("build_vocab", "def build_vocab(texts):\n    while True:\n        pass\n")
    process = subprocess.Popen(
        [*learner.command, "check", "00.1"],
        cwd=learner.place,
        env=learner.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_a_script_beside_the_clone_imports_the_package(tmp_path: Path) -> None:
    """The clone is a folder named cleanlens too; what an editable install puts on the path must win over it."""
    build = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    [wheel] = tmp_path.glob("*.whl")
    installed, beside = tmp_path / "site", tmp_path / "projects"
    shutil.unpack_archive(wheel, installed, "zip")
    (beside / "cleanlens" / "cleanlens").mkdir(parents=True)
    (beside / "script.py").write_text(
        f"import site; site.addsitedir({str(installed)!r}); import cleanlens; print(cleanlens.__file__)"
    )
    done = subprocess.run([sys.executable, "-S", "script.py"], cwd=beside, capture_output=True, text=True)
    assert done.stdout.strip() == str(REPOSITORY / "cleanlens" / "__init__.py"), done.stderr
