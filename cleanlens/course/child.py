"""The process in which a learner's code runs: `python -P -m cleanlens.course.child`, jobs on its standard input.

It imports torch once and forks for each job. The fork brings the asking half of the exercises to life, seals itself,
runs the learner's program, calls each answer, and sends what came back as plain data. It judges nothing and holds no
expected value; whatever it sends is only ever read as data. All it says goes through a copy of its standard output that it took before any other code ran.
"""

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from . import seal, wire

FINISHED = 67  # how a job ends that ran through; 0 is what code that leaves the process early would give


def main() -> None:
    """Import torch, then do one job after the other, each in a fork of its own; where the system cannot fork, one."""
    if not seal.inside_namespace():
        seal.die_with_parent()
    jobs, channel = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    import torch

    torch.set_num_threads(1)
    import cleanlens  # and what it imports, once for all jobs

    assert cleanlens
    while (message := wire.receive(jobs)) is not None:
        job = json.loads(message[1])
        if not hasattr(os, "fork"):
            return work(job, channel)
        me = os.getpid()
        if (fork := os.fork()) == 0:
            jobs.close()
            try:
                if not seal.inside_namespace():
                    seal.die_with_parent()
                work(job, channel)
            finally:
                # Whatever threads the learner's code left behind.
                os._exit(FINISHED if sys.exc_info()[0] is None else 1)
        status = os.waitpid(fork, 0)[1]
        if os.waitstatus_to_exitcode(status) != FINISHED:  # we end as it did, and are replaced
            os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
        clear_up(me)
        wire.send(channel, {"over": job["number"]})
    return None


def clear_up(me: int) -> None:
    """End what a job has left running, and empty its temporary folder: the next one starts as the first did."""
    from .processes import marked

    others = marked(os.environ["CLEANLENS_JOB"])
    if seal.inside_namespace():
        others = (int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1")
    for pid in others:
        if pid != me:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    temporary = Path(os.environ["TMPDIR"])
    if not seal.inside_namespace() and not temporary.name.startswith(seal.JOBS):
        return  # not a folder that was made for us
    for path in temporary.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # what is shown there read-only stays
        else:
            with suppress(OSError):
                path.unlink()


def work(job: dict[str, Any], channel: IO[bytes]) -> None:
    """Bring the exercises of a job to life, seal ourselves, call each answer and send what came of it."""

    def say(*words: object) -> None:
        wire.send(channel, {"at": words})

    from .answers import Part
    from .asking import ask, lent
    from .execute import collected, lending, observe
    from .loader import Guard, captured, load
    from .plain import MAX_BYTES, encode, raised

    exercises, rights = ask(job["questions"]), lent(job["questions"])
    for ex in exercises.values():
        ex.sibling_names = job["names"]
    guard = Guard()
    sys.path.append(job["beside"])
    guard.path = list(sys.path)
    if job["landlock"]:
        seal.lock([Path(job["beside"])], Path(os.environ["TMPDIR"]))
    seal.limit()
    say("ready")

    spaces: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for origin, parts in job["programs"].items():
        skip = frozenset(number for where, number in job["skip"] if where == origin)
        module = f"answers_{origin}"
        with captured():
            before = partial(say, "run", origin)
            spaces[origin] = load([Part(**part) for part in parts], module, skip, before)
        guard.restore()
    say("loaded")

    for item in job["exercises"]:
        ex, (space, problems) = exercises[item["id"]], spaces[item["origin"]]
        say("start", ex.id)
        runs: list[bytes] = []
        with captured() as printed:
            for all_others in [False, True] if ex.supply else [False]:
                try:
                    with lending(rights, space), collected(ex, space, all_others) as answer:
                        runs.append(observe(ex, answer, range(item["seed"], item["seed"] + ex.seeds)))
                except BaseException as error:
                    runs.append(encode([{"error": raised(error), "where": []}]))
                guard.restore()
        record = {"runs": runs, "printed": printed.kept, "problems": [text[:2000] for text in problems[:5]]}
        wire.send(channel, {"done": ex.id}, encode(record, 2 * MAX_BYTES + 2**20))
    say("end")


if __name__ == "__main__":
    main()
    os._exit(0)  # whatever threads or exit handlers the learner's code left behind
