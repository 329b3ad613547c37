"""How long a learner waits for a verdict: `python -m cleanlens.benchmarks.checks [--rounds 9]`.

What is measured, in turn, so that a slow moment of the machine hits all alike, beside `python -c "import torch"`:

    check        `cleanlens check ID`, everything started anew
    save, right  from the save of a right answer to its verdict in `cleanlens watch`, in seconds and as a ratio
    save, wrong  the same for a wrong answer that is documented
    save, other  and for one that is not, where pairs of mistakes are tried as well
    check all    all exercises, their chapters side by side, beside one after the other

The table shows medians over the rounds, each time with another exercise.
"""

import ast
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cleanlens.course import catalog, sources, watch, workspace
from cleanlens.course.catalog import Entry, entries
from cleanlens.course.result import Result
from cleanlens.course.runner import Grader, grade

CHAPTERS = ("00", "01", "02", "03")
Seconds = dict[str, list[float]]


@contextlib.contextmanager
def workspace_with_solutions() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "course"
        workspace.init(place)
        for chapter in catalog.outline():
            if (workspace.home() / chapter.solutions).is_file():
                shutil.copy(workspace.home() / chapter.solutions, place / chapter.answers)
        yield place


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(*words: str, cwd: Path | None = None) -> None:
    subprocess.run([sys.executable, *words], cwd=cwd, check=False, capture_output=True)


def edited(entry: Entry, place: Path, kind: str) -> str:
    """The chapter's file with a right answer, a documented mistake, or something nobody documented."""
    ex, text = catalog.find(entry.id), (workspace.home() / entry.chapter.solutions).read_text()
    if kind == "other":  # nobody returns this by a slip
        node = sources.definition(ast.parse(text), entry.names[0])
        indent = " " * (node.body[-1].col_offset)
        lines = text.splitlines()
        lines.insert(node.body[-1].lineno - 1, f"{indent}return [3.25]")
        return "\n".join(lines) + "\n"
    part = ex.mistakes[len(ex.mistakes) // 2] if kind == "wrong" else ex.reference[entry.names[0]]
    return sources.fill(text, part.of, part.source)


def save_to_verdict(entry: Entry, place: Path, grader: Grader, kind: str, number: int) -> float:
    """As `watch` does it: notice the save, find what was edited, check it."""
    path = place / entry.chapter.answers
    saves = watch.saves(place)
    text = edited(entry, place, kind) + f"# save {number}\n"
    next_save = _in_background(saves)
    time.sleep(2.0)  # the watcher is up, and somebody thinks
    start = time.perf_counter()
    path.write_text(text)
    next_save()
    [result] = grader.grade([entry], place)
    seconds = time.perf_counter() - start
    assert result.passed == (kind == "right"), result
    return seconds


def _in_background(saves: Iterator[set[str]]) -> Callable[[], None]:
    seen = threading.Event()

    def watch() -> None:
        next(saves)
        seen.set()

    def wait() -> None:
        seen.wait(60)

    threading.Thread(target=watch, daemon=True).start()
    return wait


def measure(rounds: int, everything: bool) -> Seconds:
    found: Seconds = {}
    chosen = [e for e in entries() if e.chapter.id in CHAPTERS and len(e.names) == 1]
    with workspace_with_solutions() as place, Grader(warm=True) as grader:
        grader.warm_up(place)
        list(grader.grade(chosen[:1], place))
        for number in track(range(rounds), "Rounds", transient=True):
            entry = chosen[number * 7 % len(chosen)]
            found.setdefault("import torch", []).append(timed(lambda: run("-c", "import torch")))
            command = ("-m", "cleanlens.course.cli", "check", entry.id)
            shutil.copy(workspace.home() / entry.chapter.solutions, place / entry.chapter.answers)
            found.setdefault("check", []).append(timed(lambda c=command: run(*c, cwd=place)))  # type: ignore[misc]
            for kind in ("right", "wrong", "other"):
                seconds = save_to_verdict(entry, place, grader, kind, number)
                found.setdefault(f"save, {kind}", []).append(seconds)
            shutil.copy(workspace.home() / entry.chapter.solutions, place / entry.chapter.answers)
        if everything:
            for name, workers in (("check all", min(4, os.cpu_count() or 1)), ("check all, one by one", 1)):
                results: list[Result] = []
                work = lambda n=workers, r=results: r.extend(grade(entries(), place, workers=n))  # type: ignore[misc]  # noqa: E731
                found[name] = [timed(work)]
                assert all(result.passed for result in results)
    return found


def table(found: Seconds) -> Table:
    shown = Table(
        "work", "median", "× import torch", "goal", title="From a save to a verdict", title_justify="left"
    )
    goals = {
        "check": "≤ 1.5 × import torch",
        "save, right": "≤ 0.7 s",
        "save, wrong": "≤ 1.5 s",
        "save, other": "≤ 1.5 s",
    }
    start = found["import torch"]
    for name, seconds in found.items():
        rounds = zip(seconds, start)  # a ratio is taken within a round
        ratio = "" if name == "import torch" else f"{statistics.median(a / b for a, b in rounds):.2f}"
        shown.add_row(name, f"{statistics.median(seconds):.2f} s", ratio, goals.get(name, ""))
    return shown


def main(
    rounds: Annotated[int, typer.Option(help="How often each is measured.")] = 9,
    everything: Annotated[
        bool, typer.Option("--all/--no-all", help="With `check all`, a minute or two.")
    ] = True,
) -> None:
    """How long a learner waits for a verdict."""
    os.environ["CLEANLENS_PROGRESS"] = "off"
    Console().print(table(measure(rounds, everything)))


if __name__ == "__main__":
    typer.run(main)
