"""Judging: the half of a check that a learner's code never touches.

The order: not attempted, crash, type, shape, dtype, finite, values, what must not have changed. The first difference
counts. Then diagnosis by simulation: the documented mistakes are run on the same inputs, and the one that gives, on every
call, exactly what the learner's answer gave lends its hint. That is all it knows: what the answer gave, not how it is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .compare import Difference, Tolerance, first_difference, show
from .execute import observe, records, standing
from .exercise import Case, Exercise, Implementation
from .plain import Raised, decode, encode
from .result import Result, Status

AGAIN = (
    "each answer was right, but called once more with what it was first called with, it gives something else"
)


@dataclass
class Outcome:
    """What one call gave: a value and the arguments afterwards, or an exception."""

    value: Any = None
    after: Any = None
    overwrote: int | None = None
    error: Raised | None = None
    where: tuple[str, ...] = ()


class Judge:
    """Judges answers to one exercise on the same seeds; keeps what it has computed for the next answer."""

    def __init__(self, ex: Exercise, seeds: range | None = None):
        self.ex, self.seeds = ex, seeds if seeds is not None else range(ex.seeds)
        self.tolerance = Tolerance(ex.atol, ex.rtol, ex.any_dtype, ex.exact_ints)
        self._cases: list[Case] = []
        self._expected: list[Outcome] = []
        self._blobs: dict[str, bytes] = {}
        self._simulated: dict[
            str, tuple[list[Outcome], bool]
        ] = {}  # what is known of it, and whether that is all

    # ---- the three sources of outcomes: the oracle, the mistakes, the learner ---------------------------

    def fresh_cases(self) -> Iterator[Case]:
        for seed in self.seeds:
            yield from self.ex.cases(seed)

    def case(self, index: int) -> Case:
        """The judge's own copy of a call's arguments, for measuring and for showing; the last call is the first again."""
        if not self._cases:
            self._cases = list(self.fresh_cases())
        return self._cases[index % len(self._cases)]

    def expected(self) -> list[Outcome]:
        if not self._expected:
            for case in self.fresh_cases():
                before = _plain(standing(self.ex, case))
                self._expected.append(Outcome(_plain(self.ex.expected(case)), before))
            self._expected.append(self._expected[0])
        return self._expected

    def blob(self, slug: str) -> bytes:
        """What a documented mistake gives, as a learner's process would send it."""
        if slug not in self._blobs:
            [mistake] = [m for m in self.ex.mistakes if m.slug == slug]
            self._blobs[slug] = observe(self.ex, self.ex.complete(mistake), self.seeds)
        return self._blobs[slug]

    def outcomes(self, blob: bytes) -> list[Outcome]:
        """The outcomes in what a learner's process sent. Raises ValueError when it is not in that form."""
        made: list[Outcome] = []
        records = decode(blob)
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ValueError("not a list of records")
        if len(records) > len(self.expected()):
            raise ValueError("more records than calls")
        for index, record in enumerate(records):
            if "error" in record:
                if not isinstance(record["error"], Raised) or not isinstance(record.get("where"), list):
                    raise ValueError("a malformed error record")
                made.append(Outcome(error=record["error"], where=tuple(map(str, record["where"]))))
                return made
            made.append(self._outcome(record, index))
        if len(made) < len(self.expected()):
            raise ValueError("fewer records than calls")
        return made

    def _outcome(self, record: dict[str, Any], index: int) -> Outcome:
        value, after, overwrote = (record.get(key) for key in ("value", "after", "overwrote"))
        if (
            not isinstance(value, bytes)
            or not isinstance(after, bytes)
            or not isinstance(overwrote, int | None)
        ):
            raise ValueError("a malformed value record")
        measured = decode(value, tensors=False)
        if self.ex.run_measure is not None and not isinstance(measured, Raised):
            try:
                measured = _plain(self.ex.measured(decode(value), self.case(index)))
            except Exception as error:
                text = f"got {show(measured)}, which has not the form that was asked for ({error})"
                measured = Raised("Unmeasurable", message=text)
        return Outcome(measured, decode(after, tensors=False), overwrote)

    # ---- the verdict -----------------------------------------------------------------------------------

    def judge(self, blob: bytes) -> Result:
        """The verdict on what an answer gave (the bytes made by `execute.observe`)."""
        try:
            got = self.outcomes(blob)
        except ValueError as error:
            return Result.error(self.ex, "crash", f"your code left nothing that can be judged ({error}).")
        failure = self._first_failure(got)
        if failure is None:
            return Result(self.ex.id, Status.RIGHT, message=self.ex.objective)
        index, stage, text = failure
        if stage == "not attempted":
            so_far = " What is written so far is right." if index else ""
            return Result(self.ex.id, Status.NOT_ATTEMPTED, message=f"A part is still to be written.{so_far}")
        if stage == "missing":
            return Result.error(self.ex, "crash", text)
        mistake = self.diagnose(got)
        return Result(
            self.ex.id,
            Status.ERROR if stage == "crash" else Status.WRONG,
            stage=stage,
            message=text,
            on="" if stage == "crash" and not mistake else _show_case(self.case(index)),
            mistake=mistake,
            hint=self._hint(mistake),
        )

    def passes(self, blob: bytes) -> bool:
        """Whether an answer is right, without a word about why not: for judging many of them."""
        try:
            return self._first_failure(self.outcomes(blob)) is None
        except ValueError:
            return False

    def accepts(self, answer: Any) -> bool:
        """The same of an answer itself, called no further than to the first call that tells."""
        wanted = self.expected()
        self.case(0)  # made before the run: inputs may share a model that is written anew for each seed
        for index, record in enumerate(records(self.ex, answer, self.seeds)):
            if "error" in record or self._difference(wanted[index], self._outcome(record, index)) is not None:
                return False
        return True

    def _first_failure(self, got: list[Outcome]) -> tuple[int, str, str] | None:
        """The first call that went wrong, at which stage, and what to say of it."""
        for index, (want, have) in enumerate(zip(self.expected(), got)):
            if (found := self._difference(want, have)) is not None:
                if want is self.expected()[0] and index:
                    return index, found[0], f"{AGAIN}: {found[1]}"
                return index, *found
        if len(got) != len(self.expected()):
            return len(got), "missing", "your code did not answer every call."
        return None

    def judge_runs(self, runs: list[bytes]) -> Result:
        """The verdict on an answer that may have been run twice: as it is, and with the other methods supplied."""
        result = self.judge(runs[0])
        if not result.passed and len(runs) > 1 and (second := self.judge(runs[1])).passed:
            return second.with_(note="Judged with right versions of your class's other methods.")
        return result

    def _difference(self, want: Outcome, have: Outcome) -> tuple[str, str] | None:
        if have.error is not None:
            if have.error.kinds[0] == "NotImplementedError" and have.error.message == self.ex.id:
                return "not attempted", ""
            return "crash", "\n".join([f"it raised {have.error!r}", *have.where])
        if isinstance(have.value, Raised) and have.value.kinds == ("Unmeasurable",):
            return "type", have.value.message
        if difference := first_difference(want.value, have.value, self.tolerance):
            return difference.stage, self._in_words(difference)
        if changed := first_difference(want.after, have.after, Tolerance(0.0, 0.0)):
            return "inputs", f"the answer is right, but your code changed {_place(changed.path)}"
        if have.overwrote is not None:
            return "inputs", (
                "each answer is right, but a later call changed what an earlier one had returned: return a new object "
                "each time"
            )
        return None

    def _in_words(self, difference: Difference) -> str:
        """Where the check itself made a record of several results, its keys are their names."""
        recorded = self.ex.run_call is not None or self.ex.run_measure is not None
        if recorded and (key := re.match(r"\['([^']*)'\]", difference.path)):
            return f"{key[1]}{difference.path[key.end() :]}: {difference.text}"
        return str(difference)

    # ---- diagnosis by simulation -----------------------------------------------------------------------

    def diagnose(self, got: list[Outcome]) -> str | None:
        """The mistake that gives on every call what the answer gave."""
        return next((mistake.slug for mistake in self.ex.mistakes if self._gives(mistake, got)), None)

    def _gives(self, mistake: Implementation, got: list[Outcome]) -> bool:
        """Whether a mistake gives what the answer gave. It is run no further than to the first call that tells."""
        wanted = self.expected()
        known, complete = self._simulated.get(mistake.slug, ([], False))
        if not all(self._same(*three) for three in zip(known, got, wanted)):
            return False
        if complete:
            return len(known) == len(got)
        self.case(0)  # made before the run: inputs may share a model that is written anew for each seed
        known = []
        try:
            for index, record in enumerate(records(self.ex, self.ex.complete(mistake), self.seeds)):
                if "error" in record:
                    known.append(Outcome(error=record["error"], where=tuple(record["where"])))
                else:
                    known.append(self._outcome(record, index))
                if index >= len(got) or not self._same(known[index], got[index], wanted[index]):
                    self._simulated[mistake.slug] = known, False
                    return False
        except Exception:
            return False
        self._simulated[mistake.slug] = known, True
        return len(known) == len(got)

    def _same(self, a: Outcome, b: Outcome, want: Outcome) -> bool:
        if a.error is not None or b.error is not None:
            return repr(a.error) == repr(b.error)
        if isinstance(a.value, Raised) and isinstance(b.value, Raised):
            mentions = want.value.mentions if isinstance(want.value, Raised) else ()
            told = [[text in side.value.message for text in mentions] for side in (a, b)]
            unmeasurable = "Unmeasurable" in (a.value.kinds[0], b.value.kinds[0])
            same_message = a.value.message == b.value.message
            return a.value.kinds[0] == b.value.kinds[0] and (
                same_message or (told[0] == told[1] and not unmeasurable)
            )
        return (
            first_difference(a.value, b.value, self.tolerance) is None
            and first_difference(a.after, b.after, Tolerance(0.0, 0.0)) is None
            and a.overwrote == b.overwrote
        )

    def _hint(self, slug: str | None) -> str:
        return next((m.hint for m in self.ex.mistakes if m.slug == slug), "")


def _plain(value: Any) -> Any:
    return decode(encode(value), tensors=False)


def _place(path: str) -> str:
    """`['arguments']['model']['its hooks']['hook_z']` in words: `its argument model: its hooks (hook_z)`."""
    kind, *keys = re.findall(r"\[(?:'([^']*)'|\"([^\"]*)\"|(\d+))\]", path) or [("",) * 3]
    names = ["".join(key) for key in keys]
    if "".join(kind) == "modes":
        return names[0]
    if len(names) > 1 and names[1].startswith(("its ", "requires_grad")):
        inside = f" ({names[2]})" if len(names) > 2 and names[2] else ""
        return f"its argument {names[0]}: {names[1]}{inside}"
    return f"its argument {names[0]}{path.split(repr(names[0]) + ']', 1)[-1]}" if names else "an argument"


def _show_case(case: Case) -> str:
    """The arguments of a call, each in short."""
    return ", ".join(f"{name} = {show(_plain(value))}" for name, value in case.items())
