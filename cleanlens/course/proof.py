"""The proof that the checks are right: every right answer passes, every mistake is rejected with its own hint."""

import ast
import sys
from collections.abc import Iterator, Mapping

from . import asking, catalog, kept, sources
from .execute import observe
from .exercise import Exercise, Implementation
from .judge import Judge
from .result import Result


def verdict(ex: Exercise, part: Implementation, seed: int, judge: Judge | None = None) -> Result:
    """The verdict on a documented right or wrong answer, on one seed."""
    judge = judge or Judge(ex, range(seed, seed + 1))
    if part in ex.mistakes:
        return judge.judge(judge.blob(part.slug))
    return judge.judge(observe(ex, ex.complete(part), judge.seeds))


ENGINE = (*kept.JUDGING, "proof")


def key(ex: Exercise, *more: str) -> str:
    """What a finding about an exercise's check is kept under; `more` are a program that is judged, a seed, and the like."""
    return kept.digest(kept.check(ex), kept.engine(*ENGINE), kept.library_in(*more), *more)


def all_failures(ex: Exercise, seeds: range) -> list[str]:
    """The failures on these seeds. A seed that was without is not asked again while check and engine stay as they are."""
    found: list[str] = []
    with kept.Kept("mistakes", ex.id) as known:
        for seed in seeds:
            if (name := key(ex, str(seed))) in known:
                continue
            if not (some := list(failures(ex, seed))):
                known[name] = "none"
            found += some
    return found


def failures(ex: Exercise, seed: int) -> Iterator[str]:
    """What is wrong with an exercise's check on one seed, in words; nothing when it is right."""
    judge = Judge(ex, range(seed, seed + 1))
    for right in ex.alternatives:
        result = verdict(ex, right, seed, judge)
        if not result.passed:
            yield f"{ex.id}, seed {seed}: the right answer {right.slug!r} is rejected: {result.message}"
    for mistake in ex.mistakes:
        result = verdict(ex, mistake, seed, judge)
        if result.passed:
            yield f"{ex.id}, seed {seed}: the mistake {mistake.slug!r} passes; the inputs do not tell it apart"
        elif result.mistake != mistake.slug:
            took = f"taken for {result.mistake!r}" if result.mistake else "not recognised"
            yield f"{ex.id}, seed {seed}: the mistake {mistake.slug!r} is rejected but {took}: {result.message}"


def submission(stubs: str, parts: Mapping[str, Implementation]) -> str:
    """The learner's file with these answers (name -> right or wrong answer) written into it.

    What an answer uses of the exercise's file (a helper, an import) is written at the top: where a learner's code runs,
    that file is not.
    """
    for name, part in parts.items():
        stubs = sources.fill(stubs, name, part.source)
        words = {node.id for node in ast.walk(ast.parse(part.source)) if isinstance(node, ast.Name)}
        used = (words & vars(sys.modules[part.module]).keys()) - {name.partition(".")[0]}
        if used:
            stubs = f"{asking.excerpt(part.module, sorted(used))}\n\n\n{stubs}"
    return stubs


def page() -> str:
    """chapters/MISTAKES.md: every mistake that a check names. Built by running each of them."""
    lines = [
        "# The mistakes that the checks name",
        "",
        "Built by `python -m cleanlens.course.build`, which ran every wrong answer below and saw it rejected with",
        "the hint beside it. The tests do the same on many seeds. Do not read this page before you have tried.",
    ]
    for entry in catalog.outline():
        lines += ["", f"## {entry.id} {entry.title}"]
        for ex in catalog.load(entry.id).exercises:
            names = ", ".join(f"`{name}`" for name in ex.names)
            lines += ["", f"### {ex.id} {ex.title}: {names}", ""]
            lines += ["| mistake | rejected | fails at | hint |", "|---|---|---|---|"]
            lines += _rows(ex)
    return "\n".join(lines) + "\n"


def _rows(ex: Exercise) -> list[str]:
    """The page's table of one exercise; made once for the same check and engine."""
    with kept.Kept("page", ex.id) as known:
        if (name := key(ex)) not in known:
            judge = Judge(ex, range(1))
            known[name] = [_row(mistake, verdict(ex, mistake, 0, judge)) for mistake in ex.mistakes]
        return list(known[name])


def _row(mistake: Implementation, result: Result) -> str:
    own = "**NO**" if result.passed else "**no hint**"
    if result.mistake == mistake.slug:
        own = "with its hint"
    hint = " ".join(mistake.hint.split()).replace("|", "\\|")
    return f"| {mistake.slug.replace('_', ' ')} | {own} | {result.stage} | {hint} |"
