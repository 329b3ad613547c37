"""Grading in a child process: the learner's code runs there, the verdict is made here.

One child serves a whole chapter. When it dies or runs out of time, the exercise (or the statement of the learner's
file) that it was busy with is set aside with a message, and a new child goes on with the rest.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from .answers import Answer, Answers, find_root
from .catalog import Entry
from .result import Result, Status

PATIENCE = 6  # a limit is meant in seconds of work; on a busy machine, or asleep, this many times longer
START_SECONDS = 60.0  # for Python and torch to come up, on a busy machine
STATEMENT_SECONDS = 20.0  # for one top-level statement of a learner's file
MAX_CHILDREN_WITHOUT_PROGRESS = 5
MAX_RESULT_BYTES = 600 * 2**20


def grade(entries: Iterable[Entry], root: Path | None = None) -> Iterator[Result]:
    """The results of these exercises, in order, each chapter's in a process of its own."""
    folder = root or find_root()
    for _, group in groupby(entries, key=lambda entry: entry.chapter.id):
        chosen = list(group)
        yield from grade_chapter(chosen, Answers.read(chosen[0].chapter, folder))


def grade_chapter(entries: list[Entry], answers: Answers) -> list[Result]:
    """Grade some exercises of one chapter."""
    results: dict[str, Result] = {}
    waiting: list[Answer] = []
    for entry in entries:
        answer = answers.of(entry)
        if answer.origin is None:
            status = Status.ERROR if answer.note else Status.NOT_ATTEMPTED
            results[entry.id] = Result(
                entry.id, status, stage="crash" if answer.note else "", message=answer.note
            )
        elif error := answers.source(answer.origin).syntax_error(entry):
            results[entry.id] = Result(entry.id, Status.ERROR, stage="crash", message=error)
        else:
            waiting.append(answer)
    results |= _Run(answers, waiting).results() if waiting else {}
    return [results[entry.id] for entry in entries]


class _Run:
    """The children that grade the waiting answers of one chapter."""

    def __init__(self, answers: Answers, waiting: list[Answer]):
        self.answers, self.waiting = answers, waiting
        self.done: dict[str, Result] = {}
        self.skip: list[tuple[str, int]] = []
        self.problems: list[str] = []

    def results(self) -> dict[str, Result]:
        fruitless = 0
        while self.waiting:
            before = len(self.waiting)
            with tempfile.TemporaryDirectory(prefix="cleanlens-", ignore_cleanup_errors=True) as name:
                self._one_child(Path(name))
            self.waiting = [a for a in self.waiting if a.entry.id not in self.done]
            fruitless = fruitless + 1 if len(self.waiting) == before else 0
            if fruitless >= MAX_CHILDREN_WITHOUT_PROGRESS:
                text = "\n".join(
                    [
                        "Your file ends the process again and again, so nothing in it can be checked.",
                        *self.problems,
                    ]
                )
                for answer in self.waiting:
                    self._set(answer, Result(answer.entry.id, Status.ERROR, stage="crash", message=text))
                break
        return self.done

    def _set(self, answer: Answer, result: Result) -> None:
        from . import catalog

        note = " ".join(filter(None, [answer.note, result.note]))
        version = catalog.find(answer.entry.id).version
        self.done[answer.entry.id] = result.with_(where=answer.where, note=note, version=version)

    def _one_child(self, folder: Path) -> None:
        origins = {answer.origin for answer in self.waiting if answer.origin}
        job = {
            "chapter": self.answers.chapter.id,
            "root": str(self.answers.root),
            "programs": {o: [asdict(part) for part in self.answers.program(o)] for o in sorted(origins)},
            "skip": self.skip,
            "exercises": [{"id": a.entry.id, "origin": a.origin} for a in self.waiting],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        # Both files are read through our own handles: what a learner's code puts in their place is not looked at.
        with open(folder / "output", "w+b") as output, open(folder / "progress", "w+b") as progress:
            child = subprocess.Popen(
                [sys.executable, "-m", "cleanlens.course.child", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd=self.answers.root,
                start_new_session=True,
            )
            try:
                from . import catalog

                catalog.load(self.answers.chapter.id)  # torch comes up here while it comes up there
                busy, why = self._watch(child, progress)
            finally:
                _end(child)
            said = _tail(output, 1500)
        self._collect(folder)
        if busy != ["end"]:
            self._blame(busy, why, said)

    def _watch(self, child: subprocess.Popen, progress: BinaryIO) -> tuple[list[str], str]:
        """Wait for the child; returns what it was last busy with, and why it stopped."""
        last, since, worked = ["begin"], time.monotonic(), 0.0
        limits = {a.entry.id: float(a.entry.details.get("seconds") or 10.0) for a in self.waiting}
        while True:
            ended = child.poll()
            said = _tail(progress, 500).rstrip("\n").splitlines()
            if said and said[-1].split() != last:
                last, since, worked = said[-1].split() or last, time.monotonic(), _cpu_seconds(child.pid)
            if ended is not None:
                return last, _exit_words(ended)
            match last:
                case ["start", id] if id in limits:
                    limit = limits[id]
                case ["run", _, _]:
                    limit = STATEMENT_SECONDS
                case ["end"]:
                    limit = 5.0
                case _:
                    limit = START_SECONDS
            waited = time.monotonic() - since
            if waited > PATIENCE * limit or (
                waited > limit and _cpu_seconds(child.pid) - worked >= 0.9 * limit
            ):
                return last, f"it was still running after {limit:g} seconds: is there a loop that never ends?"
            time.sleep(0.01)

    def _collect(self, folder: Path) -> None:
        """Judge what the child left behind."""
        from . import catalog
        from .judge import Judge
        from .plain import decode

        for answer in self.waiting:
            blob = _read_safely(folder / f"{answer.entry.id}.bin")
            if blob is None:
                continue
            ex, started = catalog.find(answer.entry.id), time.monotonic()
            try:
                record = decode(blob)
                runs, printed, problems = record["runs"], str(record["printed"]), record["problems"]
                if not runs or not all(isinstance(run, bytes) for run in runs):
                    raise ValueError("no runs")
            except (ValueError, TypeError, KeyError):
                self._set(answer, Result.error(ex, "crash", "your code left nothing that can be judged."))
                continue
            result = Judge(ex).judge_runs(runs)
            if not result.passed and result.status is not Status.NOT_ATTEMPTED:
                said = [*self.problems, *map(str, problems)]
                result = result.with_(note="\n".join(filter(None, [result.note, *_unique(said)[:3]])))
            self._set(answer, result.with_(printed=printed[:4000], seconds=time.monotonic() - started))

    def _blame(self, busy: list[str], why: str, output: str) -> None:
        """Set aside what the child was busy with when it ended."""
        from .loader import statement_place

        match busy:
            case ["run", origin, number] if origin in ("file", "notebook") and number.isdigit():
                self.skip.append((origin, int(number)))
                place = statement_place(self.answers.program(origin), int(number))
                self.problems.append(f"{place}: {why} The rest of the file was checked without it.")
            case ["start", id] if any(a.entry.id == id for a in self.waiting):
                [answer] = [a for a in self.waiting if a.entry.id == id]
                if id not in self.done:
                    tail = "\n" + output.strip()[-600:] if output.strip() else ""
                    self._set(answer, Result(id, Status.ERROR, stage="crash", message=why + tail))
            case _:
                if not self.done.keys() & {a.entry.id for a in self.waiting}:
                    self.problems.append(f"{why} {output.strip()[-1000:]}")


def _environment() -> dict[str, str]:
    """The child's environment: like ours, with one thread and no way to reach a network hub by accident."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
        "HF_HUB_OFFLINE": "1",
    }


def _end(child: subprocess.Popen) -> None:
    """End the child and whatever it started."""
    with suppress(OSError, AttributeError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(OSError):
        child.kill()
    child.wait()


def _cpu_seconds(pid: int) -> float:
    """The seconds of work a process has done; where the system does not tell, the clock stands in."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic()


def _exit_words(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            name = signal.Signals(-code).name
            return f"it was ended by the signal {name}." + (" Out of memory?" if name == "SIGKILL" else "")
    return f"it ended the whole process (exit status {code}): os._exit, or a crash outside of Python?"


def _tail(file: BinaryIO, count: int) -> str:
    """The last bytes of an open file, as text."""
    file.seek(max(file.seek(0, os.SEEK_END) - count, 0))
    return file.read(count).decode(errors="replace")


def _read_safely(path: Path) -> bytes | None:
    """A regular file's bytes, not through a link, up to a limit; None when there is no such file."""
    try:
        flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        handle = os.open(path, sum(flags, os.O_RDONLY))
    except OSError:
        return None
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_RESULT_BYTES:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read()


def _unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))
