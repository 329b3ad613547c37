"""`check`, `hint` and `solution` for a notebook or any Python session.

In a notebook the learner's code runs where it stands, in this process. The answer that counts is found by the one
rule (the file, else the notebook); it is called first, what it gave is turned into plain data, and only then is the
expected value computed.
"""

import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import calls, catalog, replay, report
from .answers import FILE, Answers, find_root
from .catalog import Entry, entries
from .execute import collected, functions_of, is_stub_function, lending, observe
from .judge import Judge
from .loader import Guard, captured, load
from .plain import encode, raised
from .replay import Call
from .result import Result, Status
from .solution import solution_text

_levels: dict[str, int] = {}
_guard = Guard()


def check(which: Any) -> None:
    """Check an exercise (`check("00.1")` or `check(build_vocab)`) or a chapter (`check("00")`), and show the verdict."""
    found = _entries(which)
    names = _namespace(which)
    for entry in found:
        result = _grade(entry, names)
        _show(result)
        _remember(result)


def grade(which: Any, names: Mapping[str, Any] | None = None) -> Result:
    """The verdict on one exercise as an object. `names` is where notebook answers are looked up."""
    [entry, *_] = _entries(which)
    return _grade(entry, names if names is not None else _namespace(which))


def hint(which: Any, level: int | None = None) -> None:
    """Show the next hint of an exercise, or the one with this number."""
    [entry, *_] = _entries(which)
    _say(report.hint_text(entry, level or _next_hint(entry)))


def solution(which: Any) -> None:
    """Show the solution of an exercise and why it is so."""
    [entry, *_] = _entries(which)
    _say(f"{entry.id} {entry.title}\n\n{solution_text(entry, _root())}\n\nWhy: {entry.details['why']}")


def case(which: Any, call: int | None = None) -> Call:
    """The call on which an answer fails: `case("01.7").arguments` by name, `.expected`, `.got`.

    The check's first call where the answer is right; `call` picks another, counted from 1.
    """
    entry, space, number = _call(which, call, _namespace(which))
    return replay.case(catalog.find(entry.id), space, number)


def debug(which: Any, call: int | None = None) -> None:
    """Walk through an answer with Python's debugger, on the call on which it fails."""
    entry, space, number = _call(which, call, _namespace(which))
    replay.debug(catalog.find(entry.id), space, number)


def _call(which: Any, call: int | None, names: Mapping[str, Any]) -> tuple[Entry, Mapping[str, Any], int]:
    [entry, *_] = _entries(which)
    result, space = _grade_and_load(entry, names)
    if not space:
        raise ValueError(f"{report.title(result)}. {result.message}")
    return entry, space, (result.case or 0) if call is None else call - 1


def yours(which: str, instead: Any = None) -> Any:
    """Your own answer to an exercise if it is right; `instead` otherwise, and a line that says so.

    `which` is an id with one definition ("00.2") or a name ("apply_bpe"); `instead` is the course's own answer
    unless given. For putting the pieces of a chapter together.
    """
    [entry, *_] = _entries(which)
    name = which if which in entry.names else entry.names[0]
    result, space = _grade_and_load(entry, _namespace(which))
    if result.passed and not result.lent:
        return space[name.partition(".")[0]]
    why = f"calls {result.lent}, not right yet" if result.lent else f"is {report.WORDS[result.status]}"
    _say(f"{entry.id} {name} {why}: a ready-made one stands in for it here.")
    return catalog.find(entry.id).reference[name].value if instead is None else instead


def _entries(which: Any) -> list[Entry]:
    if isinstance(which, str):
        return entries(which)
    name = getattr(which, "__name__", None)
    if name is None:
        raise TypeError(
            f'check takes an id such as "00.1", a chapter such as "00", or your function; got {which!r}'
        )
    return entries(name)


def _grade(entry: Entry, names: Mapping[str, Any]) -> Result:
    return _grade_and_load(entry, names)[0]


def _grade_and_load(entry: Entry, names: Mapping[str, Any]) -> tuple[Result, dict[str, Any]]:
    """The verdict, and the namespace in which the answer that was judged lives."""
    started = time.monotonic()
    answers = Answers.read(entry.chapter, _root())
    answer = answers.of(entry)
    live = all(_is_written(names, name) for name in entry.names)
    if answer.origin == FILE:
        if error := answers.file.syntax_error(entry):
            broken = Result(entry.id, Status.ERROR, stage="crash", message=error)
            return broken.with_(where=answer.where, answer=answers.fingerprint(entry)), {}
        with captured():
            space, problems = load(answers.file.parts, f"answers_{entry.chapter.id}")
        where, text = answer.where, answers.fingerprint(entry)
        note = "It is answered in the notebook as well; the file counts." if live else ""
    else:
        if not any(_is_written(names, name) for name in entry.names):
            # A notebook on its own has no file to point to.
            alone = not (_root() / entry.chapter.answers).is_file()
            place = "Write it in its cell of this notebook, and run that cell." if alone else ""
            return Result(entry.id, Status.NOT_ATTEMPTED, message=place), {}
        space, problems, where, text, note = dict(names), list[str](), "the notebook", "", ""
    result = _verdict(entry.id, *_observe(entry.id, space))
    if result.status in (Status.WRONG, Status.ERROR):
        result = _look_at_what_it_calls(entry, result, space, names)
    note = " ".join(filter(None, [result.note, note]))
    if result.status in (Status.WRONG, Status.ERROR):
        note = "\n".join(filter(None, [note, *problems[:3]]))
    seconds = time.monotonic() - started
    return result.with_(where=where, answer=text, note=note.strip(), seconds=seconds), space


def _look_at_what_it_calls(
    entry: Entry, first: Result, space: dict[str, Any], names: Mapping[str, Any]
) -> Result:
    """An answer that is not right, judged once more with right versions of the earlier ones that it calls."""
    called = calls.earlier(entry, lambda name: [f.__code__ for f in functions_of(space.get(name))])
    wrong = [result for result in (_grade(e, names) for e in called) if not result.passed]
    if not wrong:
        return first
    return calls.settle(first, _verdict(entry.id, *_observe(entry.id, space, [r.id for r in wrong])), wrong)


def _verdict(id: str, blobs: list[bytes], printed: str) -> Result:
    ex = catalog.find(id)
    with _guard.pristine():
        result = Judge(ex).judge_runs(blobs)
    return result.with_(printed=result.printed or printed, version=ex.version)


def _observe(id: str, space: dict[str, Any], lend: Iterable[str] = ()) -> tuple[list[bytes], str]:
    """Call the answer; nothing in here, or above it, knows an expected value yet."""
    ex, blobs = catalog.find(id).asked(), list[bytes]()
    rights = {name: right.value for other in lend for name, right in catalog.find(other).reference.items()}
    homes = [f.__globals__ for name in ex.names for f in functions_of(space.get(name.partition(".")[0]))]
    with captured() as printed, lending(rights, space, *homes):
        for all_others in [False, True] if ex.supply else [False]:
            try:
                with collected(ex, space, all_others) as answer:
                    blobs.append(observe(ex, answer, range(ex.seeds)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                blobs.append(encode([{"error": raised(error), "where": []}]))
    return blobs, printed.kept


def _is_written(names: Mapping[str, Any], name: str) -> bool:
    """Whether a name is defined in a namespace as something other than its stub."""
    owner, _, method = name.partition(".")
    value = names.get(owner)
    if method and value is not None:
        value = getattr(value, method, None)
    return value is not None and not is_stub_function(value)


def _namespace(which: Any) -> dict[str, Any]:
    """Where the learner's notebook lives: IPython's namespace, else the module that called us."""
    shell = _shell()
    names = dict(shell.user_ns if shell is not None else sys._getframe(2).f_globals)
    if not isinstance(which, str):
        names[which.__name__] = which
    return names


def _remember(result: Result) -> None:
    from . import progress

    root = _root_of_progress()
    if root is not None:
        with _guard.pristine():
            progress.record(root, [result])
            if result.where == progress.LIVE and not (root / "exercises").is_dir():
                _keep(result, root)


def _keep(result: Result, folder: Path) -> None:
    """Write down an answer that was checked where there is no course around the notebook."""
    from . import alone

    [entry], shell = entries(result.id), _shell()
    try:
        said = alone.keep(entry, shell.user_ns.get("In", []), folder)
    except (OSError, ValueError, SyntaxError) as error:
        said = f"Your answer is in this notebook only: {Path(entry.chapter.answers).name} cannot be written ({error})."
    if said:
        _say(said)


def _next_hint(entry: Entry) -> int:
    from . import progress

    root = _root_of_progress()
    if root is not None:
        with suppress(progress.Newer):
            return progress.next_hint(root, entry)
    _levels[entry.id] = min(_levels.get(entry.id, 0) + 1, len(entry.hints))
    return _levels[entry.id]


def _root_of_progress() -> Path | None:
    """Where progress is shared with the terminal, or beside a notebook on its own; nowhere for one that a test runs."""
    if os.environ.get("CLEANLENS_PROGRESS") == "off":
        return None
    try:
        return find_root()
    except FileNotFoundError:
        return Path.cwd() if _shell() is not None else None


def _root() -> Path:
    try:
        return find_root()
    except FileNotFoundError:
        return Path.cwd()  # a notebook on its own: only the answers in it count


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _show(result: Result) -> None:
    if _shell() is None:
        print(report.text(result))
        return
    from IPython.display import display

    display({"text/plain": report.text(result), "text/html": report.html(result)}, raw=True)


def _say(text: str) -> None:
    print(text)
