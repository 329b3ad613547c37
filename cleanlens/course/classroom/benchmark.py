"""How long a class takes, on this machine and on more cores than it has.

    python -m cleanlens.course.classroom.benchmark
    python -m cleanlens.course.classroom.benchmark --students 200 --jobs 2 --chapters 00-03

A class is made up (`simulated.py`: right, mistaken, unfinished and hostile, from the checks' own documentation) and
graded with one process at a time, then with more. Work is in seconds of processor time, sampled four times a second
from /proc over everything that the grading started, so a process that lives for less is missed. What more workers
would need is simulated: each takes the next submission when it is free, and starts with what a first one costs.
"""

import argparse
import heapq
import os
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import grade, simulated, submissions
from .commands import chapters_of

WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass
class Measured:
    """One run: seconds for each submission as they ended, and for all."""

    jobs: int
    wall: float = 0.0
    work: float = 0.0
    memory: int = 0  # bytes, the most at once; what processes share is counted in each
    each: list[tuple[str, float, float]] = field(
        default_factory=list
    )  # who, wall, work; of one job at a time


class Meter:
    """Samples what this process and all below it use."""

    def __init__(self) -> None:
        self.spent: dict[tuple[int, int], float] = {}
        self.most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def work(self) -> float:
        return sum(list(self.spent.values()))

    def stop(self) -> None:
        self._sample()
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self._sample()

    def _sample(self) -> None:
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        rows, mine = {}, {os.getpid()}
        for name in os.listdir("/proc"):
            if name.isdecimal():
                with suppress(OSError, ValueError, IndexError):
                    rows[int(name)] = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        before = 0
        while before != len(mine):
            before = len(mine)
            mine |= {pid for pid, row in rows.items() if int(row[1]) in mine}
        total = 0
        for pid in mine & rows.keys():
            row = rows[pid]
            self.spent[pid, int(row[19])] = (int(row[11]) + int(row[12])) / ticks
            total += int(row[21]) * page
        self.most = max(self.most, total)


def measure(place: Path, out: Path, chapters: str, jobs: int, sealed: bool) -> Measured:
    made, meter, start = Measured(jobs), Meter(), time.monotonic()
    run = grade.Run.begin(out, chapters_of(chapters), seed=4711)
    tasks = run.tasks(submissions.find(place))
    last = [start, 0.0]

    def shown(one: grade.Task, why: str) -> None:
        now, work = time.monotonic(), meter.work
        made.each.append((one.label, now - last[0], work - last[1]))
        last[:] = [now, work]
        print(f"  {one.label}: {made.each[-1][1]:.1f} s, {made.each[-1][2]:.1f} s of work {why}", flush=True)

    grade.grade_class(run, tasks, sealed, jobs=jobs, shown=shown)
    meter.stop()
    made.wall, made.work, made.memory = time.monotonic() - start, meter.work, meter.most
    return made


def simulate(times: list[float], first: float, workers: int) -> float:
    """Seconds until the last of the submissions is done, when each worker takes the next one as it gets free."""
    free = [first] * workers
    heapq.heapify(free)
    for seconds in times:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How long a class takes to grade.")
    parser.add_argument("--students", type=int, default=20)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--chapters", default="", help="00-03; all by default")
    parser.add_argument("--unsealed", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        place, runs = Path(folder) / "class", dict[int, Measured]()
        ids = dict.fromkeys(entry.chapter.id for entry in chapters_of(options.chapters))
        kinds = simulated.write_class(place, options.students, ids)
        print(
            f"{options.students} submissions, {len(ids)} chapters; load {os.getloadavg()[0]:.1f}", flush=True
        )
        for jobs in options.jobs:
            print(f"{jobs} at once", flush=True)
            runs[jobs] = measure(
                place, Path(folder) / f"out {jobs}", options.chapters, jobs, not options.unsealed
            )
            found = runs[jobs]
            print(
                f"  {found.wall:.0f} s, {found.work:.0f} s of work ({found.work / options.students:.1f} a submission), "
                f"at most {found.memory / 2**30:.1f} GiB; load {os.getloadavg()[0]:.1f}"
            )
        if 1 in runs:
            report(runs[1], kinds)
        if {1, 2} <= runs.keys():
            print(f"One to two at once: {runs[1].wall / runs[2].wall:.2f} times as fast.")


def report(one: Measured, kinds: dict[str, str]) -> None:
    """Of a run with one at a time: what each kind costs, and what 200 would need."""
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for name, wall, work in one.each[1:]:  # the first pays for what is kept
        by_kind.setdefault(kinds.get(name, ""), []).append((wall, work))
    for kind, rows in sorted(by_kind.items()):
        wall, work = (statistics.mean(column) for column in zip(*rows))
        print(f"  {kind}: {len(rows)} submissions, {wall:.1f} s, {work:.1f} s of work each")
    rest = one.each[1:] or one.each
    first = max(0.0, one.each[0][2] - statistics.median(work for *_, work in rest))
    works = [work for *_, work in rest]
    walls = [wall for _, wall, _ in rest]
    print("200 submissions, simulated from these (by work: cores that do nothing else; by wall: as here):")
    for workers in WORKERS:
        times = [
            simulate([column[i % len(column)] for i in range(200)], first, workers)
            for column in (works, walls)
        ]
        print(f"  {workers:2} workers: {times[0] / 60:.1f} min by work, {times[1] / 60:.1f} min by wall")


if __name__ == "__main__":
    main()
