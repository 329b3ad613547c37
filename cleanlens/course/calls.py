"""Which earlier exercises an answer calls: "01.6 is right; 01.5, which it calls, is not". Torch-free; runs nothing.

An answer may call what was written for an earlier exercise. When it is not right, and something that it calls is not
either, it is judged once more with right versions of those; `runner.py` and `notebook.py` do that.
"""

import dis
from collections.abc import Callable, Iterable, Iterator
from types import CodeType

from .catalog import Entry
from .result import Result, Status


def in_text(texts: Iterable[str]) -> dict[str, list[CodeType]]:
    """The code of the definitions in a program, by name; compiled, not run."""
    found: dict[str, list[CodeType]] = {}
    for text in texts:
        for code in _inside(compile(text, "<answers>", "exec", dont_inherit=True)):
            found.setdefault(code.co_name, []).append(code)
    return found


def earlier(entry: Entry, code_of: Callable[[str], Iterable[CodeType]]) -> list[Entry]:
    """The exercises before this one whose names its answer uses, directly or through other definitions.

    `code_of` gives the code behind a name of the learner's: of a function, or of a class's methods.
    """
    own = {name.partition(".")[0] for name in entry.names}
    reached, new = set[str](), set(own)
    while new:
        reached |= new
        new = {used for name in new for code in code_of(name) for used in _globals(code)} - reached
    before = entry.chapter.exercises[: entry.chapter.exercises.index(entry)]
    return [e for e in before if any(name.partition(".")[0] in reached - own for name in e.names)]


def _globals(code: CodeType) -> Iterator[str]:
    """The global names that some code reads. A local variable of the same name is none."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for inner in _inside(code):
        yield from _globals(inner)


def _inside(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))


def settle(first: Result, again: Result, lent: list[Result]) -> Result:
    """The verdict on an answer that is not right (`first`), judged `again` with right versions of what it calls.

    `lent` are the verdicts on the learner's own versions of those.
    """
    ids = ", ".join(result.id for result in lent)
    some = len(lent) > 1
    if again.passed:
        written = any(result.status is not Status.NOT_ATTEMPTED for result in lent)
        what = "not" if written else "still to be written"
        said = f"{first.id} is right; {ids}, which it calls, {'are' if some else 'is'} {what}."
        return again.with_(note="\n".join(filter(None, [said, first.note])), lent=ids)
    said = f"{ids}, which it calls, {'are' if some else 'is'} not right yet"
    if again.status is Status.WRONG:
        said += f": it was judged with {'right ones' if some else 'a right one'}."
        return again.with_(note="\n".join(filter(None, [said, first.note])), printed=first.printed)
    return first.with_(note="\n".join(filter(None, [said + ".", first.note])))
