"""Judging: the half of a check that a learner's code never touches.

The order: not attempted, crash, type, shape, dtype, finite, values, what must not have changed. The first difference
counts. Then diagnosis by simulation: the documented mistakes are run on the same inputs, and the one that gives, on every
call, exactly what the learner's answer gave lends its hint. That is all it knows: what the answer gave, not how it is written.
"""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from . import words
from .compare import Difference, Tolerance, first_difference, show
from .execute import observe, records, set_modes, standing
from .exercise import Case, Exercise, Implementation
from .plain import Raised, decode, encode
from .result import Result, Status

PAIR_SECONDS = 0.8
"""Seconds of work for finding two mistakes that together explain an answer."""
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
    printed: str = ""
    called: tuple[dict[str, Any], ...] = ()  # what the learner's own function was called with, in short


@dataclass(frozen=True)
class Failure:
    """The first call that went wrong: at which stage, and what to say of it."""

    index: int
    stage: str
    text: str = ""
    expected: str = ""
    got: str = ""


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
            for index, case in enumerate(self.ex.cases(seed)):
                set_modes(case, seed, index)
                yield case

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
                made.append(
                    Outcome(error=record["error"], where=tuple(map(str, record["where"])), **_told(record))
                )
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
        return Outcome(measured, decode(after, tensors=False), overwrote, **_told(record))

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
        index, stage, text = failure.index, failure.stage, failure.text
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
            expected=failure.expected,
            got=failure.got,
            on=self._called(got[index], index),
            case=index,
            mistake=mistake,
            hint=self._hint(mistake),
            printed=got[index].printed,
        )

    def _called(self, got: Outcome, index: int) -> str:
        """What the learner's own function was called with; where that was not seen, what the check was."""
        if got.called:
            last = got.called[-1]
            said = words.called(last["arguments"], self._signature(last["function"]))
            if (said and len(self.ex.names) > 1) or last["function"] not in self.ex.names:
                return "\n".join([f"{last['function']}(", *(f"  {line}" for line in said.splitlines()), ")"])
            return said
        return _show_case(self.case(index))

    def _signature(self, name: str) -> words.Signature:
        return words.signatures(self.ex.id).get(name, words.Signature())

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
            if "error" in record:
                return False
            if self._difference(wanted[index], self._outcome(record, index), index) is not None:
                return False
        return True

    def _first_failure(self, got: list[Outcome]) -> Failure | None:
        """The first call that went wrong, at which stage, and what to say of it."""
        for index, (want, have) in enumerate(zip(self.expected(), got)):
            if (found := self._difference(want, have, index)) is not None:
                if want is self.expected()[0] and index:
                    return replace(found, text=f"{AGAIN}: {found.text}")
                return found
        if len(got) != len(self.expected()):
            return Failure(len(got), "missing", "your code did not answer every call.")
        return None

    def judge_runs(self, runs: list[bytes]) -> Result:
        """The verdict on an answer that may have been run twice: as it is, and with the other methods supplied."""
        result = self.judge(runs[0])
        if not result.passed and len(runs) > 1 and (second := self.judge(runs[1])).passed:
            return second.with_(note="Judged with right versions of your class's other methods.")
        return result

    def _difference(self, want: Outcome, have: Outcome, index: int = 0) -> Failure | None:
        if have.error is not None:
            if have.error.kinds[0] == "NotImplementedError" and have.error.message == self.ex.id:
                return Failure(index, "not attempted")
            return Failure(index, "crash", "\n".join(self._crash(have)))
        if isinstance(have.value, Raised) and have.value.kinds == ("Unmeasurable",):
            return Failure(index, "type", have.value.message)
        if difference := first_difference(want.value, have.value, self.tolerance):
            return self._in_words(difference, want, have, index)
        if changed := first_difference(want.after, have.after, Tolerance(0.0, 0.0)):
            return Failure(
                index, "inputs", f"the answer is right, but your code changed {_place(changed.path)}"
            )
        if have.overwrote is not None:
            text = "each answer is right, but a later call changed what an earlier one had returned: return a new object each time"
            return Failure(index, "inputs", text)
        return None

    def _crash(self, have: Outcome) -> Iterator[str]:
        """The exception as Python prints it, the learner's lines that led to it, and what it usually means."""
        assert have.error is not None
        kind, message = have.error.kinds[0], have.error.message
        yield f"{kind}: {message}" if message else kind
        yield from have.where
        known: words.Sizes = {}
        if have.called:
            last = have.called[-1]
            known = words.sizes(last["arguments"], self._signature(last["function"]))
        if meaning := words.explain(kind, message, known):
            yield meaning

    def _in_words(self, difference: Difference, want: Outcome, have: Outcome, index: int) -> Failure:
        recorded = self.ex.run_call is not None or self.ex.run_measure is not None
        name = have.called[-1]["function"] if have.called else self.ex.names[-1]
        what, axes = words.place(difference.path, recorded, self._signature(name))
        text, expected, got = what, difference.expected, difference.got
        if recorded and isinstance(want.value, Raised) and not isinstance(have.value, Raised):
            got = "no exception"  # the check's own record of what came back says nothing to a learner
        if difference.at:
            text += f" at {words.index(difference.at, axes)}"
        if difference.count:
            text += f" ({difference.count} numbers)"
        if difference.stage == "shape":
            expected, got = words.with_axes(expected, axes), words.with_axes(got, axes)
        if isinstance(have.value, Raised) and difference.stage == "type":  # one that the check looks at
            meaning = words.explain(have.value.kinds[0], have.value.message, {})
            text = "\n".join(filter(None, ["it raised an exception", *have.value.where[-3:], meaning]))
        if not expected and not got:
            text += f": {difference.text}"
        return Failure(index, difference.stage, text, expected, got)

    # ---- diagnosis by simulation -----------------------------------------------------------------------

    def diagnose(self, got: list[Outcome]) -> str | None:
        """The mistake that gives on every call what the answer gave; `a + b` for two that do so together."""
        for mistake in self.ex.mistakes:
            if self._gives(mistake, got):
                return mistake.slug
        return self._in_one_function(got) or self._two_at_once(got)

    def _in_one_function(self, got: list[Outcome]) -> str | None:
        """Of an exercise with several functions, each is judged by itself: a mistake in the one that was called when it
        first went wrong, if it gives on all calls of this function alone what the answer gave."""
        failure = self._first_failure(got)
        if len(self.ex.names) == 1 or failure is None or failure.index >= len(got):
            return None
        called = {call["function"] for call in got[failure.index].called}
        if len(called) != 1:
            return None
        mine = {i for i, outcome in enumerate(got) if {call["function"] for call in outcome.called} == called}
        with _working_time(PAIR_SECONDS) as over:
            for mistake in self.ex.mistakes:
                if (
                    {mistake.of} == called
                    and not over()
                    and self._agrees(self.ex.complete(mistake), got, mine)
                ):
                    return mistake.slug
        return None

    def _two_at_once(self, got: list[Outcome]) -> str | None:
        """Two documented mistakes that give together what the answer gave. Neither does so alone, so both count."""
        if any(outcome.error is not None for outcome in got):
            return None  # an exception's text alone says too little among so many pairs
        everything = set(range(len(got)))
        with _working_time(PAIR_SECONDS) as over:
            for one, other in combinations(self.ex.mistakes, 2):
                if over():
                    return None
                try:
                    answer = self.ex.both(one, other)
                except Exception:  # the two do not go together
                    continue
                if answer is not None and not over() and self._agrees(answer, got, everything):
                    return f"{one.slug} + {other.slug}"
        return None

    def _agrees(self, answer: Any, got: list[Outcome], indices: set[int]) -> bool:
        """Whether another answer gives the same on these calls. It is run no further than to the first that tells."""
        self.case(0)  # made before the run, as in `_gives`
        wanted, last = self.expected(), max(indices)
        try:
            for index, record in enumerate(records(self.ex, answer, self.seeds)):
                if index > last:
                    return True
                if "error" in record:
                    have = Outcome(error=record["error"], where=tuple(record["where"]))
                else:
                    have = self._outcome(record, index)
                if index in indices and not self._same(have, got[index], wanted[index]):
                    return False
                if "error" in record:
                    return index == last
        except Exception:
            return False
        return True

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
        hints = [m.hint for m in self.ex.mistakes if slug and m.slug in slug.split(" + ")]
        return (
            "\n".join(f"{i}. {text}" for i, text in enumerate(hints, 1)) if len(hints) > 1 else "".join(hints)
        )


@contextmanager
def _working_time(seconds: float) -> Iterator[Callable[[], bool]]:
    """Tells whether this process has worked for so long since; then it also breaks into what is running, where it can:
    two mistakes together may make a loop that never ends."""
    end = time.process_time() + seconds

    def stop(*_: object) -> None:
        raise _Over

    can = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGPROF, stop) if can else None
    if can:
        # Again and again: whoever runs code that may fail in any way catches this, too.
        signal.setitimer(signal.ITIMER_PROF, seconds + 0.2, 0.2)
    try:
        yield lambda: time.process_time() > end
    except _Over:
        pass
    finally:
        if can:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


class _Over(BaseException):
    pass


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """What a record tells besides what a call gave. It is only ever shown; anything malformed is left out."""
    printed, called = record.get("printed", ""), record.get("called", [])
    try:
        calls = tuple(
            {"function": str(call["function"]), "arguments": [_argument(a) for a in call["arguments"][:20]]}
            for call in called[:5]
        )
    except (TypeError, KeyError, ValueError):
        calls = ()
    return {"printed": printed[:2000] if isinstance(printed, str) else "", "called": calls}


def _argument(argument: dict[str, Any]) -> dict[str, Any]:
    short: dict[str, Any] = {"name": str(argument["name"])[:80], "text": str(argument["text"])[:200]}
    if "shape" in argument:
        short |= {"shape": [int(n) for n in argument["shape"]][:20], "dtype": str(argument["dtype"])[:20]}
    return short


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
    """The arguments of a call, each in short, one a line."""
    longest = max((len(name) for name in case), default=0)
    return "\n".join(f"{name:{longest}}  {show(_plain(value))}" for name, value in case.items())
