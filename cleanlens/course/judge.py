"""Judging: the half of a check that a learner's code never touches.

The order: not attempted, crash, type, shape, dtype, finite, values, arguments changed. The first difference
counts. Then diagnosis by simulation: every documented mistake is run on the same inputs, and the one that
gives exactly what the learner's answer gave lends its hint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .compare import Tolerance, first_difference, show
from .execute import observe
from .exercise import Case, Exercise
from .plain import Raised, decode, encode
from .result import Result, Status


@dataclass
class Outcome:
    """What one call gave: a value and the arguments afterwards, or an exception."""

    value: Any = None
    after: Any = None
    error: Raised | None = None
    where: tuple[str, ...] = ()


class Judge:
    """Judges answers to one exercise on the same seeds; keeps what it has computed for the next answer."""

    def __init__(self, ex: Exercise, seeds: range | None = None):
        self.ex, self.seeds = ex, seeds if seeds is not None else range(ex.seeds)
        self.tolerance = Tolerance(ex.atol, ex.rtol, ex.any_dtype)
        self._cases: list[Case] = []
        self._expected: list[Outcome] = []
        self._blobs: dict[str, bytes] = {}
        self._simulated: dict[str, list[Outcome]] = {}

    # ---- the three sources of outcomes: the oracle, the mistakes, the learner ---------------------------

    def fresh_cases(self) -> Iterator[Case]:
        for seed in self.seeds:
            yield from self.ex.cases(seed)

    def case(self, index: int) -> Case:
        """The judge's own copy of a call's arguments, for measuring and for showing."""
        if not self._cases:
            self._cases = list(self.fresh_cases())
        return self._cases[index]

    def expected(self) -> list[Outcome]:
        if not self._expected:
            for case in self.fresh_cases():
                before = _plain(case)
                self._expected.append(Outcome(_plain(self.ex.expected(case)), before))
        return self._expected

    def simulated(self, slug: str) -> list[Outcome]:
        if slug not in self._simulated:
            self._simulated[slug] = self.outcomes(self.blob(slug))
        return self._simulated[slug]

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
            if not isinstance(record.get("blob"), bytes):
                raise ValueError("a malformed value record")
            made.append(self._outcome(record["blob"], index))
        if len(made) < len(self.expected()):
            raise ValueError("fewer records than calls")
        return made

    def _outcome(self, blob: bytes, index: int) -> Outcome:
        raw = decode(blob, tensors=False)
        if not isinstance(raw, dict) or set(raw) != {"value", "after"}:
            raise ValueError("a malformed value record")
        value = raw["value"]
        if self.ex.run_measure is not None and not isinstance(value, Raised):
            try:
                value = _plain(self.ex.measured(decode(blob)["value"], self.case(index)))
            except Exception as error:
                text = f"got {show(value)}, which has not the form that was asked for ({error})"
                value = Raised("Unmeasurable", message=text)
        return Outcome(value, raw["after"])

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
        mistake = self.diagnose(got, index)
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

    def _first_failure(self, got: list[Outcome]) -> tuple[int, str, str] | None:
        """The first call that went wrong, at which stage, and what to say of it."""
        for index, (want, have) in enumerate(zip(self.expected(), got)):
            if (found := self._difference(want, have)) is not None:
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
            return difference.stage, str(difference)
        if have.after is None:
            return None
        if changed := first_difference(want.after, have.after, Tolerance(0.0, 0.0)):
            return "inputs", f"the answer is right, but your code changed its argument{changed.path}"
        return None

    # ---- diagnosis by simulation -----------------------------------------------------------------------

    def diagnose(self, got: list[Outcome], index: int) -> str | None:
        """The mistake that gives what the answer gave: on every call, or else, alone, on the call at `index`."""
        partly = []  # a crash is never matched in part: its message says little about its cause
        for mistake in self.ex.mistakes:
            try:
                simulated = self.simulated(mistake.slug)
            except Exception:
                continue
            if len(simulated) == len(got) and all(map(self._same, simulated, got, self.expected())):
                return mistake.slug
            if (
                got[index].error is None
                and index < len(simulated)
                and self._same(simulated[index], got[index], self.expected()[index])
            ):
                partly.append(mistake.slug)
        return partly[0] if len(partly) == 1 else None

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
        )

    def _hint(self, slug: str | None) -> str:
        return next((m.hint for m in self.ex.mistakes if m.slug == slug), "")


def _plain(value: Any) -> Any:
    return decode(encode(value), tensors=False)


def _show_case(case: Case) -> str:
    """The arguments of a call, each in short."""
    return ", ".join(f"{name} = {show(_plain(value))}" for name, value in case.items())
