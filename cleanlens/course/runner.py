"""Grading in child processes: the learner's code runs in one, the verdict is made in another, neither here. Torch-free.

    the runner (this process)   starts the other two, passes on what they say, and keeps the time
    the marker                  reads the answers' text and judges plain data, under limits (`marker.py`)
    the child                   runs the learner's code, sealed where the system offers it (`child.py`, `seal.py`)

One child serves a learner's folder, a fork of it each chapter. When it dies or runs out of time, the exercise (or the
statement of the learner's file) that it was busy with is set aside with a message, and a new child goes on with the
rest.
"""

import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from . import calls, seal
from .answers import FILE, NOTEBOOK, find_root
from .catalog import Entry
from .processes import Ended, Peer, Use, use_of
from .result import Result, Status
from .text import clean

PATIENCE = 6  # a limit is meant in seconds of work; on a busy machine, or asleep, this many times longer
START_SECONDS = 60.0  # for Python and torch to come up, on a busy machine
STATEMENT_SECONDS = 20.0  # for one top-level statement of a learner's file
MARKER_SECONDS = 180.0  # for one reading or one verdict, which end by themselves after a minute of work
CLEAR_UP_SECONDS = 5.0  # after a job; a process that takes longer is replaced
MAX_CHILDREN_WITHOUT_PROGRESS = 5
MAX_PROCESSES = seal.PROCESSES
MAX_MEMORY = 8 * 2**30  # of a child and all that it started
JOBS = seal.JOBS


def grade(
    entries: Iterable[Entry],
    root: Path | None = None,
    *,
    seed: int = 0,
    sealed: bool | None = None,
    seconds: float | None = None,
    workers: int = 1,
    early: bool = False,
) -> Iterator[Result]:
    """The results of these exercises, in order. See `Grader`.

    Args:
        early: start the processes at once, before it is known whether there is anything to run.
        workers: how many chapters are graded at the same time, each by a pair of processes.
    """
    chapters = [list(group) for _, group in groupby(entries, key=lambda entry: entry.chapter.id)]
    graders = [Grader(seed=seed, sealed=sealed) for _ in range(max(1, min(workers, len(chapters))))]
    try:
        if len(graders) == 1:
            if early:
                graders[0].warm_up(root or find_root())
            yield from graders[0].grade(chain(*chapters), root, seconds=seconds)
        else:
            yield from _side_by_side(graders, chapters, root, seconds)
    finally:
        for grader in graders:
            grader.close()


def _side_by_side(
    graders: list["Grader"], chapters: list[list[Entry]], root: Path | None, seconds: float | None
) -> Iterator[Result]:
    """Each grader takes the next chapter until none is left; the results come in the chapters' order."""
    todo = iter(enumerate(chapters))
    done: queue.Queue[tuple[int, list[Result] | BaseException]] = queue.Queue()
    lock = threading.Lock()

    def take() -> tuple[int, list[Entry]] | None:
        with lock:
            return next(todo, None)

    def work(grader: Grader) -> None:
        try:
            while (taken := take()) is not None:
                done.put((taken[0], list(grader.grade(taken[1], root, seconds=seconds))))
        except BaseException as error:
            done.put((-1, error))
        grader.close()

    for grader in graders:
        threading.Thread(target=work, args=(grader,), daemon=True).start()
    made: dict[int, list[Result]] = {}
    for number in range(len(chapters)):
        while number not in made:
            index, results = done.get()
            if isinstance(results, BaseException):
                raise results
            made[index] = results
        yield from made[number]


def secret_seed() -> int:
    """A first seed that nobody can know: for a class, one for all, so that a table of constants does not pass."""
    return 1000 + secrets.randbelow(10**6)


class Grader:
    """Grades submissions, one after the other; keeps what is expected for the next one.

    Args:
        seed: the first of the seeds that inputs are made from. 0 gives the same inputs on every check, as a learner
            wants; `secret_seed()` is for a class.
        sealed: True: raise RuntimeError where the system cannot seal a learner's code; False: do not try to;
            None: where it can.
        warm: keep the process in which code runs (torch loaded, forked for each check) for the next check of the same
            folder: for a learner who checks again and again.
    """

    def __init__(self, seed: int = 0, sealed: bool | None = None, warm: bool = False):
        if sealed and not seal.abilities().any:
            raise RuntimeError(
                f"a learner's code cannot be sealed here: bubblewrap {seal.abilities().why}, and the system has no Landlock"
            )
        self.seed = seed
        self.sealed = (
            sealed is not False and not os.environ.get("CLEANLENS_UNSEALED") and seal.abilities().any
        )
        self.warm = warm
        self._marker: Peer | None = None
        self._child: Peer | None = None
        self._child_root = Path()
        self._jobs = self._over = 0  # the numbers of the last job, and of the last that is cleared up after
        sweep()

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.end_child()
        self._end_marker()

    def _end_marker(self) -> None:
        if self._marker is not None:
            self._marker.end()
            self._marker = None

    def grade(
        self, entries: Iterable[Entry], root: Path | None = None, seconds: float | None = None
    ) -> Iterator[Result]:
        """The results of these exercises, in order.

        Args:
            root: the learner's folder; the one we are in by default.
            seconds: when this much time is over, what is left is not run; no limit but the chapters' own by default.
        """
        folder, end = (root or find_root()).resolve(), time.monotonic() + (seconds or float("inf"))
        for _, group in groupby(entries, key=lambda entry: entry.chapter.id):
            chosen = list(group)
            results = _Chapter(self, chosen, folder, end).results()
            yield from (results[entry.id] for entry in chosen)
        if not self.warm:
            self.end_child()

    def child(self, root: Path) -> tuple[Peer, int]:
        """The process for a job in a learner's folder, and the job's number: the last job's when it is fit for another."""
        if self._child is not None and (self._child_root != root or not self._is_over()):
            self.end_child()
        if self._child is None:
            self._child, self._child_root = self._start_child(root / "exercises"), root
        self._jobs += 1
        return self._child, self._jobs

    def _is_over(self) -> bool:
        """Whether the last job has been cleared up after. What it still says is dropped."""
        assert self._child is not None
        end = time.monotonic() + CLEAR_UP_SECONDS
        self._child.printed = ""
        with suppress(Ended):
            while self._jobs > self._over and time.monotonic() < end:
                head, _ = self._child.hear(0.1) or ({}, b"")
                if head.get("over") == self._jobs:
                    self._over = self._jobs
        return self._jobs == self._over

    def warm_up(self, root: Path) -> None:
        """Start both processes now, so that they are ready, or nearly so, when something is to be graded."""
        self._start_marker()
        if self._child is None:
            self._child, self._child_root = self._start_child(root.resolve() / "exercises"), root.resolve()

    def _start_marker(self) -> Peer:
        if self._marker is None:
            environment = seal.environment(secrets.token_hex(8), tempfile.gettempdir())
            command = [sys.executable, "-P", "-m", "cleanlens.course.marker"]
            self._marker = Peer(command, environment, str(Path.cwd()), subprocess.PIPE)
        return self._marker

    def _start_child(self, beside: Path) -> Peer:
        boxed = self.sealed and bool(seal.abilities().bubblewrap)
        command, made = [sys.executable, "-P", "-m", "cleanlens.course.child"], ""
        if boxed:
            extra = [beside] if beside.is_dir() and not beside.is_symlink() else []
            command = seal.bubblewrap(command, extra)
        else:
            # On the disk, as everything of ours: `sweep` removes what a killed run leaves.
            made = tempfile.mkdtemp(prefix=f"{JOBS}{os.getpid()}-")
        environment = seal.environment(secrets.token_hex(8), made or "/tmp")
        environment |= {"CLEANLENS_SEALED": "bubblewrap"} if boxed else {}
        child = Peer(command, environment, made or "/", subprocess.PIPE)
        child.folder = made
        return child

    def end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child, self._over = None, self._jobs

    def ask(self, body: bytes = b"", **head: Any) -> dict[str, Any]:
        """Have the marker do something. Raises Ended when it does not get through; the next request gets a new one."""
        try:
            return self._start_marker().ask(MARKER_SECONDS, body, **head)
        except BaseException:
            self._end_marker()
            raise


class _Chapter:
    """The grading of some exercises of one chapter in one folder."""

    def __init__(
        self, grader: Grader, entries: list[Entry], root: Path, end: float, lend: Iterable[str] = ()
    ):
        self.grader, self.entries, self.root = grader, entries, root
        self.lend = list(lend)  # exercises of which right answers stand in for the learner's
        self.chapter = entries[0].chapter
        self.limits = {e.id: float(e.details.get("seconds") or 10.0) for e in entries}
        # What a file says of its progress cannot make it longer than this.
        own = START_SECONDS + STATEMENT_SECONDS + 3 * sum(self.limits.values())
        self.end = min(end, time.monotonic() + own * slowness())
        self.done: dict[str, Result] = {}
        self.skip: list[tuple[str, int]] = []
        self.problems: list[str] = []

    def results(self) -> dict[str, Result]:
        try:
            self.read = self.grader.ask(
                do="read",
                chapter=self.chapter.id,
                root=str(self.root),
                ids=[e.id for e in self.entries],
                lend=self.lend,
            )
            unreadable = self.read.get("unreadable", "")
        except Ended as ended:
            unreadable = f"the chapter's files cannot be read: {ended}"
        if unreadable:
            return {e.id: self._error(e, unreadable) for e in self.entries}
        for entry in self.entries:
            found = self.read["answers"][entry.id]
            if found["error"]:
                broken = self._error(entry, found["error"])
                self.done[entry.id] = broken.with_(where=clean(found["where"]), answer=found["answer"])
            elif not found["origin"]:
                self.done[entry.id] = Result(entry.id, Status.NOT_ATTEMPTED)
        try:
            self._run_children()
        except OSError as error:
            for entry in self.waiting():
                self._set(entry, self._error(entry, f"it could not be run: {error}"))
        if not self.lend:
            for entry in sorted(self.entries, key=self.chapter.exercises.index):
                self._look_at_what_it_calls(entry)
        return self.done

    def _look_at_what_it_calls(self, entry: Entry) -> None:
        """An answer that is not right may only be so because an earlier one, which it calls, is not.

        Then it is run once more, with right versions of those, in a process of its own: where a right version is, no
        answer to its exercise runs.
        """
        first, called = self.done[entry.id], self.read["answers"][entry.id].get("calls", [])
        if first.passed or first.status is Status.NOT_ATTEMPTED or not called:
            return
        unknown = [e for e in self.chapter.exercises if e.id in called and e.id not in self.done]
        if unknown:
            self.done |= _Chapter(self.grader, unknown, self.root, self.end).results()
        wrong = [self.done[id] for id in called if not self.done[id].passed]
        if wrong and time.monotonic() < self.end:
            lend = [result.id for result in wrong]
            again = _Chapter(self.grader, [entry], self.root, self.end, lend).results()[entry.id]
            self.done[entry.id] = calls.settle(first, again, wrong)

    def waiting(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.id not in self.done]

    def _error(self, entry: Entry, message: str) -> Result:
        return Result(entry.id, Status.ERROR, stage="crash", message=clean(message))

    def _set(self, entry: Entry, result: Result) -> None:
        found = self.read["answers"][entry.id]
        note = " ".join(filter(None, [found["note"], result.note]))
        version = int(entry.details.get("version") or 1)
        self.done[entry.id] = result.with_(
            where=clean(found["where"]), answer=found["answer"], note=clean(note), version=version
        )

    def _run_children(self) -> None:
        fruitless = 0
        while waiting := self.waiting():
            if time.monotonic() > self.end:
                text = "there was no time left for it: the rest of the file had used it up."
                for entry in waiting:
                    self._set(entry, self._error(entry, "\n".join([text, *self.problems])))
                return
            self._one_child()
            fruitless = fruitless + 1 if len(self.waiting()) == len(waiting) else 0
            if fruitless >= MAX_CHILDREN_WITHOUT_PROGRESS:
                text = "Your file ends the process again and again, so nothing in it can be checked."
                for entry in self.waiting():
                    self._set(entry, self._error(entry, "\n".join([text, *self.problems[:5]])))
                return

    # ---- one child ---------------------------------------------------------------------------------------

    def _one_child(self) -> None:
        child, number = self.grader.child(self.root)
        try:
            child.tell(json.dumps(self._job(number)).encode())
            with suppress(Ended):  # torch comes up here while it comes up there
                first = [e.id for e in self.waiting()][:1]
                self.grader.ask(do="prepare", chapter=self.chapter.id, ids=first, seed=self.grader.seed)
            busy, why = self._watch(child)
        except BaseException:
            self.grader.end_child()
            raise
        if busy != ["end"]:
            self.grader.end_child()
            self._blame(busy, why, child.printed)
        elif not hasattr(os, "fork"):
            self.grader.end_child()  # it has done its one job

    def _job(self, number: int) -> dict[str, Any]:
        waiting = self.waiting()
        origins = {self.read["answers"][e.id]["origin"] for e in waiting}
        return {
            "number": number,
            "questions": self.read["questions"],
            "names": self.read["names"],
            "programs": {o: parts for o, parts in self.read["programs"].items() if o in origins},
            "skip": self.skip,
            "exercises": [
                {"id": e.id, "origin": self.read["answers"][e.id]["origin"], "seed": self.grader.seed}
                for e in waiting
            ],
            "beside": str(self.root / "exercises"),  # a learner's own modules beside the answers
            "landlock": self.grader.sealed and bool(seal.abilities().landlock),
        }

    def _watch(self, child: Peer) -> tuple[list[str], str]:
        """Listen to the child and have judged what it sends; returns what it was last busy with, and why it stopped."""
        busy = ["begin"]
        since: dict[tuple[str, ...], tuple[float, float]] = {
            ("begin",): (time.monotonic(), 0.0)
        }  # for how long and with how much work; never set back
        waiting = {entry.id: entry for entry in self.waiting()}
        looked, use = 0.0, Use(1, 0.0, 0)
        while True:
            try:
                message = child.hear(0.1)
            except Ended as ended:
                return busy, str(ended)
            now = time.monotonic()
            if now - looked > 0.2:
                looked, use = now, use_of(child.process.pid)
            if message is not None:
                head, body = message
                if isinstance(head.get("at"), list):
                    busy = [str(word)[:200] for word in head["at"][:6]]
                    since.setdefault(tuple(busy[:3]), (now, use.seconds))
                elif (entry := waiting.pop(str(head.get("done")), None)) is not None:
                    self._judge(entry, body)
                    self.end += time.monotonic() - now  # that was our time
            if busy == ["end"]:
                return busy, ""
            if use.processes > MAX_PROCESSES or use.memory > MAX_MEMORY:
                many = f"{use.processes} processes, {use.memory / 2**30:.1f} GB of memory"
                return busy, f"it used more than it may: {many}."
            limit = self._limit(busy)
            started, worked = since.get(tuple(busy[:3]), (now, 0.0))
            waited = now - started
            if now > self.end or len(since) > 10_000:
                return busy, "the time for the whole file was over."
            if waited > PATIENCE * limit or (waited > limit and use.seconds - worked >= 0.9 * limit):
                return busy, f"it was still running after {limit:g} seconds: is there a loop that never ends?"

    def _limit(self, busy: list[str]) -> float:
        match busy:
            case ["start", id] if id in self.limits:
                return self.limits[id]
            case ["run", *_]:
                return STATEMENT_SECONDS
        return START_SECONDS

    def _judge(self, entry: Entry, record: bytes) -> None:
        try:
            fields = self.grader.ask(
                record, do="judge", id=entry.id, seed=self.grader.seed, problems=self.problems[:3]
            )
            result = Result(**fields | {"status": Status(fields["status"])})
        except Ended as ended:
            result = self._error(entry, f"what your code gave takes too much to be compared: {ended}")
        self._set(entry, result)

    def _blame(self, busy: list[str], why: str, printed: str) -> None:
        """Set aside what the child was busy with when it ended."""
        printed = clean(printed.strip())
        match busy:
            case ["run", origin, number, place] if origin in (FILE, NOTEBOOK) and number.isdecimal():
                self.skip.append((origin, int(number)))
                self.problems.append(f"{clean(place)}: {why} The rest of the file was checked without it.")
            case ["start", id] if entry := next((e for e in self.waiting() if e.id == id), None):
                self._set(entry, self._error(entry, why + (f"\n{printed[-600:]}" if printed else "")))
            case _:
                self.problems.append(f"{why} {printed[-1000:]}")


def slowness() -> float:
    """How many times longer work takes here now than on a machine that has nothing else to do, as far as we wait."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    return min(max(busy, 1.0), float(PATIENCE))


def sweep() -> None:
    """Remove the folders of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{JOBS}*"):
        owner = folder.name.removeprefix(JOBS).partition("-")[0]
        if owner.isdecimal() and not folder.is_symlink() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    if os.name != "posix":
        return True  # there, os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
