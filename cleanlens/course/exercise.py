"""What an exercise is made of. Each has a file of its own (`course/chapters/ch00/single_token_id.py`) that fills this in.

    ex = exercise("00.4", "single_token_id", title=..., objective=..., minutes=5, ...)

    @ex.inputs       what the answer is called with, made from a seed
    @ex.oracle       what must come back: a plain loop, an identity, Hugging Face; never the shipped solution
    @ex.call         how the answer is called (default: answer(*inputs.values())); runs beside the learner's code
    @ex.measure      what of the returned value is compared (default: the value itself); runs beside the judge
    @ex.alternative  a right answer in another formulation; the first one is what slips are made from
    @ex.mistake      a wrong answer, with the hint that a learner who makes it should see
    ex.slip          the same in one line: the first alternative with a piece of its text replaced
    ex.equivalent    changes of a right answer that leave it right, and why (see `course/mutants.py`)

The chapter's index (`course/chapters/ch00/__init__.py`) lists them in order:

    chapter = Chapter("00", "tokens", "Tokens", [build_vocab.ex, encode.ex, ...])

`chapters/ADD_AN_EXERCISE.md` shows a whole one.
"""

import ast
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

Case = dict[str, Any]
"""The arguments of one call, by name."""

Function = Callable[..., Any]


class Implementation:
    """A right or wrong answer to one name of an exercise: a function or class, and its source text."""

    def __init__(self, slug: str, of: str, hint: str = "", value: Any = None, edit: tuple | None = None):
        self.slug, self.of, self.hint = slug, of, hint
        self._value, self._edit = value, edit
        self._compiled = edit is not None  # from its source

    @property
    def module(self) -> str:
        """The exercise's file, whose names the source may use."""
        return self._value.__module__ if self._edit is None else self._edit[0].module

    @property
    def written(self) -> bool:
        """Written out in the exercise's file, not made from another by a slip."""
        return self._edit is None

    @property
    def is_class(self) -> bool:
        """Whether it is a whole class; for a method's exercise it then replaces the class."""
        return inspect.isclass(self._value) if self._edit is None else self._edit[0].is_class

    @property
    def defines(self) -> str:
        """The name that the source defines: the exercise's own."""
        owner, _, method = self.of.partition(".")
        return method if method and not self.is_class else owner

    @cached_property
    def source(self) -> str:
        """The definition's text, decorators removed, under the name of the exercise (`forward`, `encode`)."""
        if self._edit is None:
            text = bare_source(self._value)
            return re.sub(rf"(?<![\w.]){re.escape(self._value.__name__)}\b", self.defines, text)
        base, changes = self._edit
        text = base.source
        for old, new in changes:
            if text.count(old) != 1:
                raise ValueError(
                    f"slip {self.slug!r} replaces {old!r}, which occurs {text.count(old)} times in "
                    f"{base.slug!r}; it must occur exactly once:\n{text}"
                )
            text = text.replace(old, new)
        return text

    def with_changes_of(self, slip: "Implementation") -> "Implementation | None":
        """This one with a slip's pieces of text replaced as well; None for no slip, or where they are not found once."""
        if slip._edit is None or slip.module != self.module:
            return None
        text = self.source
        for old, new in slip._edit[1]:
            if text.count(old) != 1:
                return None
            text = text.replace(old, new)
        made = Implementation(f"{self.slug} + {slip.slug}", self.of, value=self._value, edit=self._edit)
        made.source = text
        made._compiled = True
        return made

    @cached_property
    def value(self) -> Any:
        """The function or class itself."""
        if not self._compiled:
            return self._value
        space = dict(vars(sys.modules[self.module]))
        filename = f"<{self.slug}>"
        linecache.cache[filename] = (len(self.source), None, self.source.splitlines(True), filename)
        exec(compile(self.source, filename, "exec"), space)
        made = space[self.defines]
        made.__module__ = self.module
        return made


@dataclass(frozen=True)
class Equivalent:
    """A change of a right answer that leaves it right: `old => new`, where `...` stands for any text."""

    reason: str
    change: str

    def explains(self, before: str, after: str) -> bool:
        """Whether replacing `old` by `new` somewhere in `before` gives `after`."""
        old, arrow, new = self.change.partition(" => ")
        if not arrow:
            raise ValueError(f"a change is written 'old => new'; got {self.change!r}")
        old, new = (re.escape(" ".join(text.split())).replace(re.escape("..."), ".*") for text in (old, new))
        pattern = rf"(?P<head>.*){old}(?P<tail>.*)\n(?P=head){new}(?P=tail)"
        return bool(re.fullmatch(pattern, f"{before}\n{after}"))


@dataclass(kw_only=True)
class Exercise:
    """One exercise: what it teaches, how an answer is called and judged, and the mistakes it can name.

    `names` are the definitions a learner writes: a function or class (`encode`), or a method of a class
    whose other methods are given (`LayerNorm.forward`). With one name the call step receives that function
    or class; with several, a namespace with all of them.
    """

    id: str
    names: tuple[str, ...]
    title: str
    objective: str  # "You can ...": what a learner can do afterwards
    minutes: int
    difficulty: int  # 1-5
    importance: int  # 1-5
    source: str  # where the claim comes from: a paper by section, or the identity that proves it
    hints: tuple[str, ...]  # graded: the first points, the last nearly tells
    why: str  # shown with the solution
    supply: dict[str, type] = field(default_factory=dict)  # a class whose methods stand in for missing ones
    atol: float = 1e-5
    rtol: float = 1e-4
    any_dtype: bool = False  # accept another precision of the same kind (float64 for float32)
    exact_ints: bool = False  # the stub says int64, so int32 will not do; Int alone means either
    may_change_inputs: bool = False
    may_leave_gradients: bool = False  # a backward pass through a lent model may fill its .grad
    seeds: int = 3  # a check runs this many seeds
    seconds: float = 10.0  # a check that takes longer is stopped
    version: int = 1  # raise it when the same answer may now be judged differently

    sibling_names: list[str] = field(default_factory=list, repr=False)  # the names of the whole chapter

    make_inputs: Callable[[int], Case | Iterable[Case]] | None = None
    make_expected: Function | None = None
    run_call: Function | None = None
    run_measure: Function | None = None
    alternatives: list[Implementation] = field(default_factory=list)
    mistakes: list[Implementation] = field(default_factory=list)
    equivalents: list["Equivalent"] = field(default_factory=list)

    # ---- written by the exercise's file -------------------------------------------------------------------

    def inputs(self, function: Function) -> Function:
        """`(seed) -> dict` of arguments, or a list of such dicts (several calls); fresh objects each time."""
        self.make_inputs = function
        return function

    def oracle(self, function: Function) -> Function:
        """`(**inputs) -> value` that a right answer gives; may take `**_` for arguments it does not need."""
        self.make_expected = function
        return function

    def call(self, function: Function) -> Function:
        """`(answer, **inputs) -> plain data`. Runs in the learner's process; makes no judgement."""
        self.run_call = function
        return function

    def measure(self, function: Function) -> Function:
        """`(observed, **inputs) -> value`: what is compared with the oracle. Runs in the judge's process."""
        self.run_measure = function
        return function

    def alternative(self, function: Any = None, *, of: str | None = None) -> Any:
        """A right answer, named by its function. Every name needs one; the first is the base of slips."""

        def add(value: Any) -> Any:
            self.alternatives.append(Implementation(value.__name__, self._name(of), value=value))
            return value

        return add if function is None else add(function)

    def mistake(self, hint: str, *, of: str | None = None) -> Callable[[Any], Any]:
        """A wrong answer; the function's own name is the mistake's slug."""

        def add(value: Any) -> Any:
            self._add_mistake(Implementation(value.__name__, self._name(of), hint, value=value))
            return value

        return add

    def slip(self, slug: str, hint: str, *changes: str, of: str | None = None) -> None:
        """A wrong answer made from the first alternative: `old, new` text pairs, each `old` found once."""
        if not changes or len(changes) % 2:
            raise ValueError(
                f"slip {slug!r} of {self.id} needs pairs of texts (old, new), got {len(changes)} texts"
            )
        base = self.reference[self._name(of)]
        pairs = list(zip(changes[::2], changes[1::2]))
        self._add_mistake(Implementation(slug, self._name(of), hint, edit=(base, pairs)))

    def equivalent(self, reason: str, *changes: str) -> None:
        """Changes of right answers that no check should reject, each as `old => new`, and the reason for all of them.

        `python -m cleanlens.course.mutants` prints a change in this form for every mutant that survives.
        """
        if not reason.strip() or not changes:
            raise ValueError(f"{self.id}: an equivalent needs a reason and at least one change 'old => new'")
        self.equivalents += [Equivalent(reason, change) for change in changes]

    def _add_mistake(self, mistake: Implementation) -> None:
        if any(known.slug == mistake.slug for known in self.mistakes):
            raise ValueError(
                f"{self.id} has two mistakes named {mistake.slug!r}; give each a name of its own"
            )
        self.mistakes.append(mistake)

    def _name(self, of: str | None) -> str:
        if of is not None and of not in self.names:
            raise ValueError(f"{self.id} asks for {', '.join(self.names)}; of={of!r} is none of them")
        return of or self.names[0]

    # ---- used by the engine --------------------------------------------------------------------------

    @property
    def reference(self) -> dict[str, Implementation]:
        """The first alternative of each name."""
        first: dict[str, Implementation] = {}
        for alternative in self.alternatives:
            first.setdefault(alternative.of, alternative)
        return first

    def cases(self, seed: int) -> list[Case]:
        """The calls that a seed asks for, with fresh arguments."""
        if self.make_inputs is None:
            raise ValueError(f"exercise {self.id} has no inputs; write @ex.inputs")
        made = self.make_inputs(seed)
        return [made] if isinstance(made, dict) else list(made)

    def asked(self) -> "Exercise":
        """The half of the exercise that a learner's process needs: no oracle, no right or wrong answers."""
        return replace(
            self, make_expected=None, run_measure=None, alternatives=[], mistakes=[], equivalents=[]
        )

    def expected(self, case: Case) -> Any:
        if self.make_expected is None:
            raise ValueError(f"exercise {self.id} has no oracle; write @ex.oracle")
        return self.make_expected(**case)

    def observe(self, answer: Any, case: Case) -> Any:
        return answer(*case.values()) if self.run_call is None else self.run_call(answer, **case)

    def measured(self, observed: Any, case: Case) -> Any:
        return observed if self.run_measure is None else self.run_measure(observed, **case)

    def complete(self, part: Implementation) -> Any:
        """The answer made of `part` and, for the other names, the reference."""
        return self.assemble(
            {name: known.value for name, known in self.reference.items()} | {part.of: part.value}
        )

    def both(self, one: Implementation, other: Implementation) -> Any:
        """The answer with two mistakes; None where they cannot be made together, as two whole functions cannot."""
        reference = {name: known.value for name, known in self.reference.items()}
        if one.of != other.of:
            return self.assemble(reference | {one.of: one.value, other.of: other.value})
        together = one.with_changes_of(other) or other.with_changes_of(one)
        return None if together is None else self.assemble(reference | {one.of: together.value})

    def assemble(self, parts: Mapping[str, Any]) -> Any:
        """The answer object that the call step receives, from one implementation per name."""
        made: dict[str, Any] = {}
        for name in self.names:
            owner, _, method = name.partition(".")
            part = parts[name]
            if not method or inspect.isclass(part):
                made[owner] = part
            else:
                base = made.get(owner) or self.supply[owner]
                given = inspect.getattr_static(base, method, None)
                if isinstance(given, property | staticmethod | classmethod):
                    part = type(given)(part)
                made[owner] = type(owner, (base,), {method: part})
        return pack(made)


def pack(made: Mapping[str, Any]) -> Any:
    """One definition as itself, several as a namespace."""
    return next(iter(made.values())) if len(made) == 1 else SimpleNamespace(**made)


def bare_source(value: Any) -> str:
    """The source of a function or class without its decorators and outer indentation."""
    text = textwrap.dedent(inspect.getsource(value))
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return "\n".join(text.splitlines()[node.lineno - 1 :]) + "\n"


def exercise(id: str, *names: str, hints: Iterable[str] = (), **details: Any) -> Exercise:
    """A new exercise; see `Exercise` for what `details` must hold."""
    return Exercise(id=id, names=names, hints=tuple(hints), **details)


class Chapter:
    """A chapter's exercises, in order. `slug` names its files: `exercises/ch00_tokens.py`, `chapters/00_tokens.py`."""

    def __init__(self, id: str, slug: str, title: str, exercises: Iterable[Exercise]):
        self.id, self.slug, self.title = id, slug, title
        self.exercises = list(exercises)
        ids = [ex.id for ex in self.exercises]
        if wrong := [x for i, x in enumerate(ids) if not x.startswith(f"{id}.") or x in ids[:i]]:
            raise ValueError(f"exercise {wrong[0]!r} is not a new id of chapter {id}")
        names = [name for ex in self.exercises for name in ex.names]
        for ex in self.exercises:
            ex.sibling_names = names
