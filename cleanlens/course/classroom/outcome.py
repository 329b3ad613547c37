"""What came out of a class, as one object that pages and exports are written from. Torch-free."""

import ast
import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import chain, count
from statistics import median
from typing import Any

from ..catalog import ChapterEntry, Entry
from ..report import WORDS
from ..result import Result, Status
from ..terminal import duration
from .grade import Run, Student
from .submissions import MOST, plain

NOTHING = "nothing handed in"
STATES = (Status.RIGHT, Status.WRONG, Status.ERROR, Status.NOT_ATTEMPTED)
SHORT = {
    Status.RIGHT: "right",
    Status.WRONG: "wrong",
    Status.ERROR: "stuck",
    Status.NOT_ATTEMPTED: "not attempted",
}
"""How the four are called on the class page. Stuck: it does not run through, so nothing can be said of its values."""
SIGNS = {Status.RIGHT: "✓", Status.WRONG: "✗", Status.ERROR: "!", Status.NOT_ATTEMPTED: "·"}
DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
_RESULT = {f.name for f in fields(Result)}


@dataclass
class Verdict:
    """The verdict on one exercise of one learner, and what was written for it."""

    result: Result
    text: str = ""
    effort: dict[str, int] = field(default_factory=dict)  # attempts, hints, seconds; the learner's own word

    @property
    def status(self) -> Status:
        return self.result.status


@dataclass
class Learner:
    """One learner, as the report shows them."""

    student: Student
    slug: str  # the name of their files
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    sealed: str = ""
    failed: str = ""  # why there are no verdicts, although something was handed in

    @property
    def name(self) -> str:
        return self.student.name

    @property
    def handed_in(self) -> bool:
        return bool(self.student.key)

    def count(self, status: Status) -> int:
        return sum(verdict.status is status for verdict in self.verdicts.values())


@dataclass
class Mistake:
    """A documented mistake, and how many of the class gave what it gives."""

    slug: str
    hint: str
    count: int
    attempted: int


class Outcome:
    """The class: its learners, its exercises, and what of these was understood."""

    def __init__(self, run: Run, title: str = "", failed: dict[str, str] | None = None):
        self.title = title or "The class"
        self.entries: list[Entry] = run.entries
        failed, used = failed or {}, set[str]()
        self.learners: list[Learner] = []
        for student in run.students:
            own = slug(student.name)
            learner = Learner(
                student, next(s for s in chain([own], (f"{own}-{n}" for n in count(2))) if s not in used)
            )
            used.add(learner.slug)
            record = run.record(student.key) if student.key else None
            if record is not None:
                learner.sealed = record["sealed"]
                for row in record["exercises"]:
                    fields_ = {k: v for k, v in row.items() if k in _RESULT}
                    result = Result(**fields_ | {"status": Status(row["status"])})
                    effort = student.effort.get(result.id, {})
                    learner.verdicts[result.id] = Verdict(result, row["text"], effort)
            elif student.key:
                learner.failed = failed.get(student.key, "it was not graded.")
            self.learners.append(learner)

    @cached_property
    def chapters(self) -> list[tuple[ChapterEntry, list[Entry]]]:
        found: dict[str, tuple[ChapterEntry, list[Entry]]] = {}
        for entry in self.entries:
            found.setdefault(entry.chapter.id, (entry.chapter, []))[1].append(entry)
        return list(found.values())

    @property
    def graded(self) -> list[Learner]:
        return [learner for learner in self.learners if learner.verdicts]

    @property
    def sealed(self) -> str:
        """How the class was sealed; "" when any of it was not."""
        kinds = {learner.sealed for learner in self.graded}
        return "" if not kinds or "" in kinds else min(kinds, key=len)

    def counts(self, entry: Entry) -> dict[Status, int]:
        found = Counter(learner.verdicts[entry.id].status for learner in self.graded)
        return {status: found[status] for status in STATES}

    def effort(self, entry: Entry) -> dict[str, float]:
        """Medians of attempts, hints and seconds over those of whom they are known."""
        told, found = [learner.verdicts[entry.id].effort for learner in self.graded], dict[str, float]()
        for name in MOST:
            if numbers := [effort[name] for effort in told if name in effort]:
                found[name] = median(numbers)
        return found

    @property
    def with_effort(self) -> int:
        """How many handed in the progress file that tells of it."""
        return sum(bool(learner.student.effort) for learner in self.graded)

    def mistakes(self, entry: Entry) -> list[Mistake]:
        """The documented mistakes that were made here, the most frequent first."""
        counts, hints = Counter[str](), dict[str, str]()
        for learner in self.graded:
            result = learner.verdicts[entry.id].result
            if result.mistake:
                counts[result.mistake] += 1
                hints[result.mistake] = result.hint
        attempted = len(self.graded) - self.counts(entry)[Status.NOT_ATTEMPTED]
        rows = [Mistake(slug, hints[slug], n, attempted) for slug, n in counts.items()]
        return sorted(rows, key=lambda m: (-m.count, m.slug))

    def unnamed(self, entry: Entry) -> list[tuple[Learner, Verdict]]:
        """Wrong answers whose mistake got no name: a teacher reads these first."""
        found = [(learner, learner.verdicts[entry.id]) for learner in self.graded]
        return [(who, v) for who, v in found if v.status is Status.WRONG and not v.result.mistake]

    def unnamed_groups(self, entry: Entry) -> list[tuple[list[Learner], Verdict]]:
        """The same, those with one and the same first difference together, the largest group first."""
        groups: dict[tuple[str, str], list[tuple[Learner, Verdict]]] = defaultdict(list)
        for learner, verdict in self.unnamed(entry):
            groups[verdict.result.stage, verdict.result.message].append((learner, verdict))
        made = [([learner for learner, _ in group], group[0][1]) for group in groups.values()]
        return sorted(made, key=lambda group: (-len(group[0]), group[1].result.message))


def slug(name: str) -> str:
    """A file's name for a learner, with a few letters of a hash where it is not simply their name."""
    letters = unicodedata.normalize("NFKD", plain(name)).encode("ascii", "ignore").decode()
    simple = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:40]
    if simple and simple.replace("-", " ") == plain(name):
        return simple
    return f"{simple or 'learner'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def anonymous(text: str, names: list[str]) -> str:
    """A learner's code without comments, docstrings and names of the class; "" for what does not parse."""
    try:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        made = ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    for name in sorted(names, key=len, reverse=True):
        made = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", made, flags=re.I)
    return made


def in_words(effort: Mapping[str, float]) -> str:
    """`3 attempts, 1 hint, 12 min`, or "" of what is not known."""
    counts = [(effort[f"{word}s"], word) for word in ("attempt", "hint") if f"{word}s" in effort]
    words = [f"{n:g} {word}{'s' * (n != 1)}" for n, word in counts]
    return ", ".join(words + [duration(effort[key]) for key in ("seconds",) if key in effort])


def words_of(learners: list[Learner]) -> list[str]:
    """What a learner may be known by: names, their parts, numbers, addresses."""
    found: set[str] = set()
    for learner in learners:
        student = learner.student
        email = [student.email, student.email.partition("@")[0]]
        found |= {student.name, student.id, *email, *plain(student.name).split()}
    return [word for word in found if len(word) > 2]


def unnamed_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """For whoever improves the course: what was wrong without a name, and nothing of who wrote it."""
    names, rows = words_of(outcome.learners), dict[str, dict[str, Any]]()
    for entry in outcome.entries:
        for _, verdict in outcome.unnamed(entry):
            text = anonymous(verdict.text, names)
            row = {
                "exercise": entry.id,
                "names": list(entry.names),
                "version": verdict.result.version,
                "stage": verdict.result.stage,
                "message": anonymous_words(verdict.result.message, names),
                "answer": text,
            }
            known = rows.setdefault(json.dumps(row, sort_keys=True), row | {"count": 0})
            known["count"] += 1
    return sorted(rows.values(), key=lambda row: (row["exercise"], -row["count"], row["answer"]))


def anonymous_words(text: str, names: list[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text, flags=re.I)
    return text


def summary(outcome: Outcome) -> str:
    """One line for the terminal."""
    graded, total = outcome.graded, len(outcome.entries)
    right = sum(learner.count(Status.RIGHT) for learner in graded)
    missing = sum(not learner.handed_in for learner in outcome.learners)
    failed = sum(bool(learner.failed) for learner in outcome.learners)
    text = f"{len(graded)} graded, {right} of {len(graded) * total} exercises {WORDS[Status.RIGHT]}"
    text += f", {missing} handed in nothing" if missing else ""
    return text + (f", {failed} could not be graded" if failed else "")
