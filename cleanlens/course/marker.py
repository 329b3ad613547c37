"""The process that reads answers and makes verdicts: `python -P -m cleanlens.course.marker`, asked by the runner.

It never runs a learner's code: it parses text and compares plain data. Both can be made to take for ever or to fill
the memory, so it works under limits of its own, and when it ends over one answer, that answer alone gets no verdict.
One marker serves a whole run, and computes what is expected once for all submissions.
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from . import wire
from .answers import Answers
from .asking import questions
from .catalog import chapter_of
from .result import Result, Status
from .text import clean

MEMORY = 4 * 2**30  # for one request, beyond what is there
SECONDS = 60  # of work, for one request


def main() -> None:
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "read": read,
        "texts": texts,
        "prepare": prepare,
        "judge": judge,
    }
    # It ends when the runner does, in whatever way, because then there is nothing more to read.
    while (message := wire.receive(sys.stdin.buffer)) is not None:
        head, body = message
        with_limits(head["do"] != "prepare")
        do = requests[head.pop("do")]
        wire.send(channel, do(**head, body=body) if body else do(**head))


def with_limits(on: bool = True) -> None:
    """Allow one more request's worth of memory and work (where the system can). Importing torch is not counted."""
    with suppress(Exception):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        memory = pages * resource.getpagesize() + MEMORY if on else resource.RLIM_INFINITY
        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, int(used) + SECONDS)):
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(chapter: str, root: str, ids: list[str], lend: list[str]) -> dict[str, Any]:
    """What is written for these exercises, and what the child needs to run it, right answers to `lend` included."""
    entry_of_chapter = chapter_of(chapter)
    entries = [entry for entry in entry_of_chapter.exercises if entry.id in ids]
    try:
        answers = Answers.read(entry_of_chapter, Path(root))
    except Exception as error:
        return {"unreadable": f"the chapter's files cannot be read ({error!r})"}
    found: dict[str, dict[str, Any]] = {}
    origins = set()
    for entry in entries:
        try:
            answer = answers.of(entry)
            wrong = answers.source(answer.origin).syntax_error(entry) if answer.origin else answer.note
            found[entry.id] = {
                "origin": answer.origin,
                "where": answer.where,
                "answer": answers.fingerprint(entry),
                "note": answer.note,
                "error": wrong,
            }
            if answer.origin and not wrong:
                origins.add(answer.origin)
                found[entry.id]["calls"] = [e.id for e in answers.calls(entry, answer.origin)]
        except Exception as problem:  # one answer that cannot be read costs only itself
            found[entry.id] = {
                "origin": None,
                "error": f"it cannot be read ({problem!r})",
                "note": "",
                "where": "",
                "answer": "",
            }
    return {
        "answers": found,
        "programs": {
            origin: [asdict(part) for part in answers.program(origin)] for origin in sorted(origins)
        },
        "questions": questions(chapter, [entry.id for entry in entries], lend) if origins else [],
        "names": [name for entry in entry_of_chapter.exercises for name in entry.names],
    }


def texts(chapter: str, root: str, ids: list[str]) -> dict[str, Any]:
    """What is written for these exercises, as text, for a teacher to read: at most 20,000 characters of each."""
    entry_of_chapter = chapter_of(chapter)
    answers, found = Answers.read(entry_of_chapter, Path(root)), dict[str, str]()
    for entry in entry_of_chapter.exercises:
        if entry.id in ids:
            with suppress(Exception):
                found[entry.id] = clean(answers.text(entry)[:20_000])
    return {"texts": found}


@cache
def judge_of(id: str, seed: int) -> Any:
    from . import catalog
    from .judge import Judge

    ex = catalog.find(id)
    return Judge(ex, range(seed, seed + ex.seeds))


def prepare(chapter: str, ids: Iterable[str] = (), seed: int = 0) -> dict[str, Any]:
    """Bring torch and a chapter's checks up and compute what is expected, while the child does the same work."""
    from . import catalog

    catalog.load(chapter)
    for id in ids:
        judge_of(id, seed).expected()
    return {}


def judge(id: str, seed: int, problems: list[str], body: bytes = b"") -> dict[str, Any]:
    """The verdict on what the child sent for one exercise."""
    judge = judge_of(id, seed)
    try:
        result = _verdict(judge, problems, body)
    except MemoryError:
        result = Result.error(judge.ex, "crash", "what your code gave is too large to be compared.")
    except Exception as error:
        result = Result.error(judge.ex, "crash", f"what your code gave cannot be judged ({error!r:.300}).")
    return {k: clean(v) if isinstance(v, str) else v for k, v in asdict(result).items()}


def _verdict(judge: Any, problems: list[str], body: bytes) -> Result:
    from .plain import decode

    try:
        record = decode(body)
        runs, printed, said = (
            record["runs"],
            str(record["printed"]),
            [*problems, *map(str, record["problems"])],
        )
        if not runs or len(runs) > 2 or not all(isinstance(run, bytes) for run in runs):
            raise ValueError("no runs")
    except (ValueError, TypeError, KeyError):
        return Result.error(judge.ex, "crash", "your code left nothing that can be judged.")
    result = judge.judge_runs(runs)
    if not result.passed and result.status is not Status.NOT_ATTEMPTED:
        notes = [result.note, *list(dict.fromkeys(said))[:3]]
        result = result.with_(note="\n".join(filter(None, notes)))
    return result.with_(printed=(result.printed or printed)[:4000], version=judge.ex.version)


if __name__ == "__main__":
    main()
