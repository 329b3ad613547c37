"""Submissions that want something else than a right answer.

None passes, none ends or delays the grading beyond its own deadline, none reads or changes anything else, and an
all-right submission that is graded beside them is right. `hostile/answers.py` and `hostile/files.py` hold them by
kind; several share a child where they leave it alive. What needs a seal is asked only where the system offers one.
"""

import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hostile import answers, files

from cleanlens.course import catalog, runner, seal, sources
from cleanlens.course.result import Result, Status

ROOT = Path(__file__).parents[1]
TOKENS = next(c for c in catalog.outline() if c.id == "00")
SOLUTIONS = (ROOT / TOKENS.solutions).read_text()
# 00.2 and 00.3 stay right, in the same file and the same process.
TARGETS = {"00.1": "build_vocab", "00.4": "single_token_id", "00.5": "pad_batch", "00.6": "token_position"}
SEALED = seal.abilities()

GROUPS = {
    "patching": answers.PATCHING,
    "walking": answers.WALKING,
    "reading": answers.READING,
    "forging": answers.FORGING,
    "writing": answers.WRITING,
    "classes": answers.CLASSES,
    "exceptions": answers.EXCEPTIONS,
    "memory": answers.MEMORY,
    "ending": answers.ENDING,
}
# What replaces the learner's own tools breaks the answers beside it as well: that is the learner's affair.
SPOILS_ITS_OWN_FILE = {"patching", "forging"}
SLOW = {"forging", "memory", "ending"}  # of the others, plain pytest runs the first few


def batches() -> list[object]:
    made: list[object] = []
    for kind, group in GROUPS.items():
        titles = list(group)
        for start in range(0, len(titles), len(TARGETS)):
            marks = [pytest.mark.slow] if start or kind in SLOW else []
            chosen = titles[start : start + len(TARGETS)]
            made.append(pytest.param(kind, chosen, id=f"{kind}-{start}", marks=marks))
    return made


class Outside:
    """What is beside the submissions: a secret, a file to be left alone, a line on which nobody calls."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.secret, self.victim = folder / "secret.txt", folder / "victim.txt"
        self.secret.write_text("TOP SECRET")
        self.victim.write_text("untouched")
        self.heard: list[bytes] = []
        self.lines = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        self.lines[0].bind(("127.0.0.1", 0))
        self.port = self.lines[0].getsockname()[1]
        self.lines[1].bind(("127.0.0.1", self.port))
        if sys.platform.startswith("linux"):
            self.lines.append(socket.socket(socket.AF_UNIX))
            self.lines[2].bind(f"\0cleanlens-test-{self.port}")
            self.lines[2].listen()
        self.lines[0].listen()
        for line in self.lines:
            threading.Thread(target=self._listen, args=(line,), daemon=True).start()

    def _listen(self, line: socket.socket) -> None:
        with suppress(OSError):
            while True:
                if line.type == socket.SOCK_DGRAM:
                    self.heard.append(line.recv(100))
                else:
                    call, _ = line.accept()
                    self.heard.append(call.recv(100) or b"a call")

    def close(self) -> None:
        for line in self.lines:
            line.close()

    def fill_in(self, text: str, id: str, root: Path) -> str:
        places = {
            "SECRET": self.secret,
            "VICTIM": self.victim,
            "COURSE": ROOT,
            "ROOT": root,
            "PORT": self.port,
        }
        text = text.replace("TOP SECRET", "TOP\0").replace("FOUND THE CHECK'S SOURCE", "FOUND\0")
        for word, value in places.items():
            text = text.replace(word, str(value))
        text = text.replace("TOP\0", "TOP SECRET").replace("FOUND\0", "FOUND THE CHECK'S SOURCE")
        return text.replace("ANSWER", TARGETS[id]).replace('"ID"', f'"{id}"')

    def check(self, results: list[Result]) -> None:
        """Nothing was read, nothing was changed, nobody called, nothing is left."""
        said = "\n".join(f"{r.message} {r.note} {r.printed}" for r in results)
        assert not any(ord(c) < 32 and c not in "\n\t" for c in said)
        assert not any(0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in said)
        if SEALED.any:
            assert "TOP SECRET" not in said
            assert "CHANGED" not in said
            assert self.victim.read_text() == "untouched"
            assert b"stolen" not in self.heard[:1] or not SEALED.bubblewrap
        if SEALED.bubblewrap:
            assert not self.heard
        assert "FOUND THE CHECK'S SOURCE" not in said or not SEALED.any
        assert not survivors()
        left = [
            path.name
            for path in Path(os.environ["TMPDIR"]).iterdir()
            if path.name.startswith("cleanlens-job")
        ]
        assert not left


def survivors() -> list[str]:
    """Processes that a job of ours started and that still live (the marker of a grader in use aside)."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"CLEANLENS_JOB=" in (path / "environ").read_bytes():
                words = (path / "cmdline").read_bytes()
                mine = f"CLEANLENS_TEST={os.getpid()}".encode() in (path / "environ").read_bytes()
                if b"course.marker" not in words and mine:
                    found.append(f"{path.name}: {words!r}")
    return found


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN_OF_THE_TEACHER", "TOP SECRET")
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setenv("CLEANLENS_TEST", str(os.getpid()))
        patch.setattr(seal, "ENVIRONMENT", [*seal.ENVIRONMENT, "CLEANLENS_TEST"])
        patch.setattr("tempfile.tempdir", None)
        for entry in TOKENS.exercises:
            patch.setitem(entry.details, "seconds", 3.0)
        yield


@pytest.fixture(scope="module")
def graders() -> Iterator[tuple[runner.Grader, runner.Grader]]:
    """One for the hostile, one for the honest: they work at the same time, on the same machine and folders."""
    with runner.Grader(seed=runner.secret_seed()) as one, runner.Grader(seed=one.seed) as other:
        yield one, other


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.close()


def submission(folder: Path) -> Path:
    (folder / "exercises").mkdir(parents=True)
    (folder / TOKENS.answers).write_text(SOLUTIONS)
    return folder


def graded(
    graders: tuple[runner.Grader, runner.Grader], hostile: Path, outside: Outside
) -> dict[str, Result]:
    """Both at once; the honest one is right, and nothing else was touched."""
    honest = submission(outside.folder / "honest")
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(lambda: list(graders[1].grade(TOKENS.exercises, honest)))
        results = list(graders[0].grade(TOKENS.exercises, hostile, seconds=400))
        assert time.monotonic() - started < 400 + runner.MARKER_SECONDS
        assert all(result.passed for result in beside.result()), beside.result()
    assert [result.id for result in results] == [entry.id for entry in TOKENS.exercises]
    outside.check(results)
    assert (honest / TOKENS.answers).read_text() == SOLUTIONS
    return {result.id: result for result in results}


@pytest.mark.parametrize(("kind", "titles"), batches())
def test_no_hostile_answer_passes(
    kind: str, titles: list[str], graders: tuple[runner.Grader, runner.Grader], outside: Outside
) -> None:
    root = submission(outside.folder / "it's a ñame; rm -rf")
    text, used = SOLUTIONS, dict(zip(TARGETS, titles))
    for id, title in used.items():
        name = TARGETS[id]
        # The right answer is taken away, and the hostile one put at the end.
        text = sources.fill(text, name, f"def {name}(*args, **kwargs):\n    return None\n")
        text += outside.fill_in(GROUPS[kind][title], id, root)
    (root / TOKENS.answers).write_text(text)
    results = graded(graders, root, outside)
    for id, title in used.items():
        assert not results[id].passed, f"{title}: {results[id]}"
        assert results[id].message or results[id].status is Status.NOT_ATTEMPTED, title
    if kind not in SPOILS_ITS_OWN_FILE:
        for id in results.keys() - used.keys():
            if id not in TARGETS:
                assert results[id].passed, results[id]
    assert (root / TOKENS.answers).read_text() == text
    if SEALED.any:
        assert not (root / ".cleanlens").exists()


@pytest.mark.slow
@pytest.mark.parametrize("title", files.FILES)
def test_no_hostile_file_passes_or_ends_the_grading(
    title: str, graders: tuple[runner.Grader, runner.Grader], outside: Outside
) -> None:
    root = submission(outside.folder / "hostile")
    files.FILES[title](root)
    results = list(graders[0].grade(TOKENS.exercises, root, seconds=100))
    assert not any(result.passed for result in results), [r for r in results if r.passed]
    outside.check(results)


def test_the_graders_are_none_the_worse(
    graders: tuple[runner.Grader, runner.Grader], outside: Outside
) -> None:
    for number, grader in enumerate(graders):
        results = list(grader.grade(TOKENS.exercises, submission(outside.folder / str(number))))
        assert all(result.passed for result in results), results


@pytest.mark.slow
@pytest.mark.parametrize("title", files.INTACT)
def test_what_lies_beside_the_answers_changes_nothing(
    title: str, graders: tuple[runner.Grader, runner.Grader], outside: Outside
) -> None:
    root = submission(outside.folder / "hostile")
    files.INTACT[title](root)
    before = sorted(os.listdir("/etc"))
    results = list(graders[0].grade(TOKENS.exercises, root))
    assert all(result.passed for result in results), results
    outside.check(results)
    assert sorted(os.listdir("/etc")) == before


def test_there_are_enough_of_them() -> None:
    assert sum(map(len, GROUPS.values())) + len(files.FILES) + len(files.INTACT) >= 80
    assert shutil.which("bwrap") is None or SEALED.bubblewrap or SEALED.why
