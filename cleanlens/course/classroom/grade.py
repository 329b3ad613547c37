"""A run over a class: which submissions still need grading, a pool of processes that do it, and the records. Torch-free.

    REPORT/.class/run.json            what is graded, and the class's secret seed
    REPORT/.class/records/KEY.json    one submission's verdicts, written whole or not at all
    REPORT/.class/class.json          who handed in what: student -> key

A run that was killed is started again with the same command: what has a record is not graded again.
"""

import json
import os
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import runner, seal
from ..catalog import Entry, entries
from ..processes import Ended, Peer
from ..progress import write_whole
from . import task
from .submissions import Submission, match, read_roster

ATTEMPTS = 3  # a worker that dies over a submission is replaced so often before the submission is given up


class Problem(Exception):
    """What is wrong with what was asked for, in words for the teacher."""


@dataclass
class Student:
    """One learner of the class, and what was handed in."""

    name: str
    key: str = ""  # of the record; "" where nothing was handed in
    notes: list[str] = field(default_factory=list)
    id: str = ""
    email: str = ""
    effort: dict[str, dict[str, int]] = field(default_factory=dict)  # by exercise, by the learner's own word


@dataclass
class Task:
    """A submission that has no record yet."""

    key: str
    submission: Submission
    label: str


class Run:
    """The folder of a run. One process at a time works in it."""

    def __init__(self, out: Path):
        self.out, self.folder = out, out / ".class"
        self.students: list[Student] = []
        self.about: dict[str, Any] = {}

    # ---- what is on the disk ---------------------------------------------------------------------------

    @classmethod
    def begin(cls, out: Path, chosen: list[Entry], seed: int | None = None, shard: str = "") -> "Run":
        """Start a run, or go on with the one in this folder. Raises Problem where it is another one."""
        run, ids = cls(out), [entry.id for entry in chosen]
        if out.exists() and not out.is_dir():
            raise Problem(f"{out} is a file. --out takes a folder for the report.")
        if (run.folder / "run.json").is_file():
            run.about = _read(run.folder / "run.json")
            if run.about["ids"] != ids or run.about["shard"] != shard:
                had = f"{run.about['ids'][0]} to {run.about['ids'][-1]}" + (
                    f", shard {run.about['shard']}" if run.about["shard"] else ""
                )
                raise Problem(
                    f"{out} holds a run over other exercises or another shard ({had}). Give another --out, or the same "
                    "--chapters and --shard."
                )
            if seed is not None and run.about["seed"] != seed:
                raise Problem(
                    f"{out} holds a run with another seed. Give another --out, or leave --seed out."
                )
        else:
            if out.is_dir() and any(out.iterdir()) and not run.folder.is_dir():
                raise Problem(f"{out} is not empty and holds no run. Give a new folder for --out.")
            seed = runner.secret_seed() if seed is None else seed
            run.about = {"format": task.FORMAT, "seed": seed, "ids": ids, "shard": shard}
            (run.folder / "records").mkdir(parents=True, exist_ok=True)
            run.folder.chmod(0o700)  # the seed is in it
            write_whole(run.folder / "run.json", json.dumps(run.about) + "\n")
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second process out of the folder. Raises Problem where one is in it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Problem(
                f"another process is grading into {self.out}; wait for it, or give another --out."
            ) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def entries(self) -> list[Entry]:
        return [entry for entry in entries() if entry.id in self.about["ids"]]

    def record(self, key: str) -> dict[str, Any] | None:
        """What is known of a submission. A record that is damaged counts as none."""
        try:
            found = _read(self.folder / "records" / f"{key}.json")
            return found if found.get("format") == task.FORMAT else None
        except (OSError, ValueError, AttributeError):
            return None

    def keep(self, key: str, record: dict[str, Any]) -> None:
        write_whole(self.folder / "records" / f"{key}.json", json.dumps(record) + "\n")

    def save(self) -> None:
        """Write down who belongs to the class, so that shards can be put together and pages made again."""
        rows = [vars(student) for student in self.students]
        write_whole(self.folder / "class.json", json.dumps(rows) + "\n")

    @classmethod
    def opened(cls, out: Path) -> "Run":
        """A run as it was left. Raises Problem where there is none."""
        run = cls(out)
        try:
            run.about = _read(run.folder / "run.json")
            run.students = [Student(**row) for row in _read(run.folder / "class.json")]
        except (OSError, ValueError, TypeError) as error:
            raise Problem(f"{out} holds no run that has come to its end ({error}).") from None
        return run

    # ---- what is to be done ----------------------------------------------------------------------------

    def tasks(self, submissions: list[Submission], roster: Path | None = None) -> list[Task]:
        """Read all submissions once; fills `students`, and gives those that need grading."""
        people = read_roster(roster) if roster else []
        matched, todo, known = match(submissions, people), dict[str, Task](), set[str]()
        self.students = []
        for submission in submissions:
            found, person = submission.read(), matched.get(submission.student)
            name = person.name if person else _shown(submission.student)
            student = Student(name, notes=found.notes, effort=found.effort)
            if person:
                student.id, student.email = person.id, person.email
            elif people:
                student.notes.append("the roster does not know this submission.")
            student.key = task.key_of(found.files, self.entries, self.about["seed"])
            self.students.append(student)
            if student.key not in known and self.record(student.key) is None:
                todo[student.key] = Task(student.key, submission, name)
            known.add(student.key)
        handed_in = set(matched.values())
        if not self.about["shard"]:  # in a shard, the others' submissions are elsewhere
            self.students += [
                Student(person.name, id=person.id, email=person.email)
                for person in people
                if person not in handed_in
            ]
        self.students.sort(key=lambda s: (s.name.casefold(), s.name, s.key))
        return list(todo.values())

    def options(self, sealed: bool, seconds: float | None) -> dict[str, Any]:
        """What is the same for every task of the run."""
        return {
            "ids": self.about["ids"],
            "seed": self.about["seed"],
            "sealed": sealed,
            "deadline": seconds,
        }


def _shown(name: str) -> str:
    from ..text import clean

    return " ".join(clean(name).split())[:120] or "(no name)"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def shard_of(submissions: list[Submission], shard: str) -> list[Submission]:
    """The part of a class that `3/10` means. Raises Problem for what is none."""
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise Problem(f"--shard takes a part and a number of parts, such as 3/10; got {shard!r}.")
    return submissions[int(number) - 1 :: int(count)]


# ---- the pool ------------------------------------------------------------------------------------------

Done = Callable[[Task, dict[str, Any] | None, str], None]
"""Told of every task as it ends: its record, or None and why there is none."""


def run_here(tasks: list[Task], options: dict[str, Any], jobs: int, done: Done) -> None:
    """Grade the tasks with so many processes of this machine; `done` is called in this thread, in any order."""
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[Task, dict[str, Any] | None, str]] = queue.SimpleQueue()
    for one in tasks:
        todo.put(one)
    workers = [_Worker(todo, ended, options) for _ in range(min(jobs, len(tasks)))]
    try:
        for _ in tasks:
            done(*ended.get())
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A thread that feeds one process, and replaces it when it dies."""

    def __init__(self, todo: queue.SimpleQueue, ended: queue.SimpleQueue, options: dict[str, Any]):
        self.todo, self.ended, self.options = todo, ended, options
        self.peer: Peer | None = None
        self.stopped = False
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopped = True
        if (peer := self.peer) is not None:
            peer.end()

    def _work(self) -> None:
        while not self.stopped:
            try:
                one = self.todo.get_nowait()
            except queue.Empty:
                break
            self.ended.put((one, *self._graded(one)))
        self.stop()

    def _graded(self, one: Task) -> tuple[dict[str, Any] | None, str]:
        why = ""
        for _ in range(ATTEMPTS):
            if self.stopped:
                return None, "the run was stopped."
            if self.peer is None:
                self.peer = start_worker()
            try:
                body = task.pack(one.submission.read().files)
                return self.peer.ask(patience(self.options), body, **self.options), ""
            except Ended as error:
                why = f"{error} {self.peer.printed[-1000:]}"
            except Exception as error:
                why = repr(error)
            self.peer.end()
            self.peer = None
        return None, why


def start_worker() -> Peer:
    environment = {**os.environ, "CLEANLENS_JOB": secrets.token_hex(8), "OMP_NUM_THREADS": "1"}
    environment["CLEANLENS_PARENT"] = str(os.getpid())
    environment["PYTHONPATH"] = seal.environment("", "")["PYTHONPATH"]
    command = [sys.executable, "-P", "-m", "cleanlens.course.classroom.worker"]
    return Peer(command, environment, tempfile.gettempdir(), subprocess.PIPE)


def patience(options: dict[str, Any]) -> float:
    """Seconds after which a worker that says nothing is replaced: more than the submission's own deadline can come to."""
    chosen = [entry for entry in entries() if entry.id in options["ids"]]
    own = options["deadline"] or runner.PATIENCE * task.allowed(chosen)
    return 300.0 + 2 * own


def grade_class(
    run: Run,
    tasks: list[Task],
    sealed: bool,
    seconds: float | None = None,
    jobs: int | None = None,
    scheduler: str = "",
    shown: Callable[[Task, str], None] = lambda one, why: None,
) -> dict[str, str]:
    """Grade what has no record yet, and keep each record as it comes. Returns the keys that have none, and why."""
    failed: dict[str, str] = {}

    def done(one: Task, record: dict[str, Any] | None, why: str) -> None:
        if record is None:
            failed[one.key] = why.strip()
        else:
            run.keep(one.key, record)
        shown(one, why)

    if tasks:
        if sealed and not scheduler:
            with suppress(OSError):
                runner.sweep()
        if scheduler:
            from .cluster import run_there

            run_there(tasks, run.options(sealed, seconds), scheduler, done)
        else:
            run_here(tasks, run.options(sealed, seconds), jobs or cores(), done)
    run.save()
    return failed


def cores() -> int:
    """Processes that this one may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- shards --------------------------------------------------------------------------------------------


def merged(reports: list[Path], out: Path, roster: Path | None = None) -> Run:
    """One run out of its shards. Raises Problem where they do not belong together, or one is missing."""
    parts = [Run.opened(report) for report in reports]
    first = parts[0].about
    for report, part in zip(reports, parts):
        if part.about["ids"] != first["ids"]:
            raise Problem(f"{report} is a run over other exercises than {reports[0]}.")
    shards = {part.about["shard"] for part in parts} - {""}
    counts = {shard.partition("/")[2] for shard in shards}
    if len(counts) > 1:
        raise Problem(f"These are parts of different divisions: {', '.join(sorted(shards))}.")
    for count in counts:
        missing = [f"{n}/{count}" for n in range(1, int(count) + 1) if f"{n}/{count}" not in shards]
        if missing:
            raise Problem(f"The shards {', '.join(missing)} are missing: the class would not be whole.")
    run = Run.begin(out, parts[0].entries, first["seed"])
    seen: set[tuple[str, str]] = set()
    for part in parts:
        for student in part.students:
            if (student.name, student.key) not in seen:
                seen.add((student.name, student.key))
                run.students.append(student)
            if student.key and (record := part.record(student.key)) is not None:
                run.keep(student.key, record)
    if roster:
        there = {(s.name, s.id, s.email) for s in run.students}
        run.students += [
            Student(p.name, id=p.id, email=p.email)
            for p in read_roster(roster)
            if (p.name, p.id, p.email) not in there
        ]
    run.students.sort(key=lambda s: (s.name.casefold(), s.name, s.key))
    run.save()
    return run
