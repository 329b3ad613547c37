"""Mutation testing of the checks: every right answer is changed in one place, and the check must reject it.

    python -m cleanlens.course.mutants [ID ...] [-j 2]

Every alternative and the shipped solution of an exercise is mutated (`operators.py`) and judged on the seeds of an
ordinary check. A mutant that passes is a hole in the check, unless the change leaves the answer right: then the
exercise's file says so, with the reason:

    ex.equivalent("No score is 0: the softmax of finite numbers is positive.", "pattern > 0 => pattern >= 0")

Prints the score and every survivor that nobody explained, in the form that `ex.equivalent` takes. The exit status is 1
when there is one, or an explanation that explains nothing. Verdicts are kept (`kept.py`) and used again while the check,
the answer, the engine, and the library if the check uses it, stay as they are.
"""

import argparse
import ast
import concurrent.futures
import gc
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from . import catalog, kept, sources
from .exercise import Equivalent, Exercise, Implementation
from .forked import forked
from .operators import Mutant, mutants

ROOT = Path(__file__).parents[2]
CHUNK = 20
SURVIVED, REJECTED = "survived", "rejected"


@dataclass
class Answer:
    """A right answer to an exercise as text that can be changed, and how an answer object is made of the text."""

    slug: str
    text: str
    make: Callable[[str], Any] = field(repr=False)
    only: frozenset[str] | None = None
    """The definitions to mutate; the others in the text belong to other exercises."""
    context: str = ""
    """What else its verdict depends on."""


def answers(ex: Exercise, root: Path) -> list[Answer]:
    """The alternatives and the solution of an exercise."""
    found = [_alternative(ex, part) for part in ex.alternatives]
    if (solution := _solution(ex, root)) is not None:
        found.append(solution)
    return found


def _alternative(ex: Exercise, part: Implementation) -> Answer:
    def make(text: str) -> Any:
        space = dict(vars(sys.modules[part.module]))
        exec(compile(text, f"<{part.slug}>", "exec"), space)
        value = space[part.defines]
        value.__module__ = part.module
        return ex.complete(Implementation(part.slug, part.of, value=value))

    return Answer(part.slug, part.source, make)


def _solution(ex: Exercise, root: Path) -> Answer | None:
    """The solution's definitions, with the helpers that it uses and, around a method, its whole class."""
    path = root / catalog.chapter_of(ex.id).solutions
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    lines, tree, only, owners, parts = text.splitlines(), ast.parse(text), set(ex.names), set[str](), []
    if helpers := sources.helpers_of(text, ex.id):
        parts.append(helpers)
        only |= {node.name for node in ast.parse(helpers).body if isinstance(node, sources.DEFINITIONS)}
    for name in ex.names:
        owner = name.partition(".")[0]
        if owner not in owners:
            owners.add(owner)
            node = sources.definition(tree, owner)
            parts.append("\n".join(lines[sources.first_line(node) - 1 : node.end_lineno]))

    def make(changed: str) -> Any:
        from .execute import collected

        space = dict(_space_of(path))
        exec(compile(changed, path.name, "exec"), space)
        with collected(ex, space) as answer:
            return answer

    return Answer("solution", "\n\n".join(parts), make, frozenset(only), context=text)


@cache
def _space_of(path: Path) -> dict[str, Any]:
    """The namespace of a solutions file."""
    space: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), space)
    return space


# ---- judging, in a process that is warm and forks one child per mutant -----------------------------------


class Bench:
    """The judges of an exercise, with what they expect computed once, and its right answers."""

    def __init__(self, ex: Exercise, root: Path):
        from .judge import Judge

        self.ex = ex
        self.judges = [Judge(ex, range(seed, seed + 1)) for seed in range(ex.seeds)]
        self.answers = {answer.slug: answer for answer in answers(ex, root)}
        self.seconds = dict[str, float]()
        for slug, answer in self.answers.items():
            started = time.process_time()
            if not self.passes(answer, ast.unparse(ast.parse(answer.text))):
                raise ValueError(
                    f"{ex.id}: the right answer {slug!r} is rejected, so no mutant of it says anything"
                )
            self.seconds[slug] = time.process_time() - started

    def passes(self, answer: Answer, text: str) -> bool:
        made = answer.make(text)
        return all(judge.accepts(made) for judge in self.judges)

    def verdict(self, slug: str, text: str) -> str:
        """Whether a mutant survives, found out in a child of its own: what it breaks, breaks there."""
        answer = self.answers[slug]
        said = forked(
            lambda: SURVIVED.encode() if self.passes(answer, text) else b"", 2 + 5 * self.seconds[slug]
        )
        return SURVIVED if said == SURVIVED.encode() else REJECTED


@cache
def _bench(id: str, root: Path) -> Bench:
    import torch

    torch.set_num_threads(1)
    made = Bench(catalog.find(id), root)
    gc.collect()
    gc.freeze()  # a child then writes to fewer of the pages that it shares with us
    return made


def judge_some(id: str, root: Path, todo: list[tuple[str, str]]) -> list[str]:
    """The verdicts on some mutants of one exercise: (the answer's slug, the mutant's text)."""
    bench = _bench(id, root)
    return [bench.verdict(slug, text) for slug, text in todo]


# ---- the run ----------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What became of the mutants of one exercise."""

    ex: Exercise
    total: int = 0
    survivors: list[tuple[Answer, Mutant]] = field(default_factory=list)

    @cached_property
    def explained(self) -> list[tuple[Answer, Mutant]]:
        return [pair for pair in self.survivors if self._reasons(pair[1])]

    @property
    def unexplained(self) -> list[tuple[Answer, Mutant]]:
        return [pair for pair in self.survivors if not self._reasons(pair[1])]

    @property
    def stale(self) -> list[str]:
        """Explanations that explain no survivor."""
        changes = [mutant.change for _, mutant in self.survivors]
        return [e.change for e in self.ex.equivalents if not any(e.explains(*change) for change in changes)]

    def _reasons(self, mutant: Mutant) -> list[str]:
        return [e.reason for e in self.ex.equivalents if e.explains(*mutant.change)]

    def lines(self, show_explained: bool = False) -> Iterator[str]:
        rejected = self.total - len(self.survivors)
        yield (
            f"{self.ex.id:6} {self.ex.names[0]:32} {self.total:4} mutants, {rejected:4} rejected, "
            f"{len(self.explained):3} explained, {len(self.unexplained):3} unexplained"
        )
        for answer, mutant in self.survivors if show_explained else self.unexplained:
            before, after = mutant.change
            yield f"    {answer.slug}: {mutant.operator}"
            yield f"      - {before}"
            yield f"      + {after}"
            reasons = self._reasons(mutant)
            yield (
                f"      {reasons[0]}"
                if reasons
                else f"      {json.dumps(suggestion(mutant), ensure_ascii=False)}"
            )
        for change in self.stale:
            yield f"    explains no mutant that survives: {json.dumps(change, ensure_ascii=False)}"


def suggestion(mutant: Mutant, least: int = 12) -> str:
    """The change in the form that `ex.equivalent` takes, as short as it can be said."""
    before, after = (re.findall(r"\w+|\s+|.", line) for line in mutant.change)
    start = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(before, after))))
    shorter = min(len(before), len(after)) - start
    end = len(list(takewhile(lambda i: before[-1 - i] == after[-1 - i], range(shorter))))
    while (start or end) and len("".join(before[start : len(before) - end])) < least:
        start, end = max(start - 1, 0), max(end - 1, 0)
    old, new = ("".join(line[start : len(line) - end]).strip() for line in (before, after))
    said = f"{old} => {new}"
    return said if Equivalent("", said).explains(*mutant.change) else " => ".join(mutant.change)


def run(exercises: list[Exercise], root: Path = ROOT, jobs: int = 2, fresh: bool = False) -> Iterator[Report]:
    """The reports, in order, with a bar that counts the mutants still to be judged."""
    from tqdm import tqdm

    plans = [_Plan(ex, root, fresh) for ex in tqdm(exercises, "mutating", leave=False)]
    for ex in exercises:
        catalog.find(ex.id)  # torch and the checks are loaded here once, and the workers are forked after it
    context = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(max(jobs, 1), mp_context=context) as pool,
        tqdm(total=sum(len(plan.todo) for plan in plans), unit="mutant", smoothing=0.02) as bar,
    ):
        for plan in plans:
            plan.start(pool, root, bar.update)
        for plan in plans:
            yield plan.finish()


class _Plan:
    """The mutants of one exercise: which are known, which are to be judged."""

    def __init__(self, ex: Exercise, root: Path, fresh: bool):
        self.ex, self.verdicts = ex, kept.Kept("mutants", ex.id, fresh)
        self.all: list[tuple[str, Answer, Mutant]] = []
        judged_by = kept.engine(*kept.JUDGING), kept.check(ex, answers=False)
        for answer in answers(ex, root):
            for mutant in mutants(answer.text, answer.only):
                if not (ex.any_dtype and mutant.operator == "double precision"):
                    key = kept.digest(*judged_by, answer.slug, answer.context, mutant.source)
                    self.all.append((key, answer, mutant))
        self.todo = [(key, a, m) for key, a, m in self.all if key not in self.verdicts]
        self.running: list[tuple[list[str], concurrent.futures.Future]] = []

    def start(self, pool: concurrent.futures.Executor, root: Path, progress: Callable[[int], Any]) -> None:
        for i in range(0, len(self.todo), CHUNK):
            some = self.todo[i : i + CHUNK]
            work = [(answer.slug, mutant.source) for _, answer, mutant in some]
            future = pool.submit(judge_some, self.ex.id, root, work)
            future.add_done_callback(partial(_count, progress, len(some)))
            self.running.append(([key for key, _, _ in some], future))

    def finish(self) -> Report:
        with self.verdicts as verdicts:
            for keys, future in self.running:
                for key, verdict in zip(keys, future.result(), strict=True):
                    verdicts[key] = verdict
            survivors = [(a, m) for key, a, m in self.all if verdicts[key] == SURVIVED]
        return Report(self.ex, len(self.all), survivors)


def _count(progress: Callable[[int], Any], n: int, _: concurrent.futures.Future) -> None:
    progress(n)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cleanlens.course.mutants",
        description="Change every right answer in one place and see the check reject it.",
    )
    parser.add_argument(
        "which", nargs="*", metavar="ID", help="an exercise (01.5) or a chapter (01); all if none"
    )
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many processes judge (2)")
    parser.add_argument("--fresh", action="store_true", help="judge every mutant again")
    parser.add_argument("--explained", action="store_true", help="show the explained survivors, too")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder with solutions/")
    options = parser.parse_args(argv)
    if not hasattr(os, "fork"):
        parser.error("this needs os.fork, which Linux and macOS have")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        entries = [entry for which in options.which or [None] for entry in catalog.entries(which)]
    except KeyError as error:
        parser.error(error.args[0])
    reports = []
    for report in run(
        [catalog.find(entry.id) for entry in entries], options.root, options.jobs, options.fresh
    ):
        reports.append(report)
        print(*report.lines(options.explained), sep="\n", flush=True)
    total, survived = sum(r.total for r in reports), sum(len(r.survivors) for r in reports)
    unexplained, stale = sum(len(r.unexplained) for r in reports), sum(len(r.stale) for r in reports)
    print(
        f"{total} mutants of {len(reports)} exercises: {total - survived} rejected, {survived - unexplained} explained, "
        f"{unexplained} unexplained; score {100 * (total - unexplained) / max(total, 1):.1f}%"
    )
    if stale:
        print(f"{stale} explanations explain no mutant that survives; take them out.")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main())
