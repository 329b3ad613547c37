"""The process in which a learner's code runs: `python -P -m cleanlens.course.child`, a job on its standard input.

It brings the asking half of the exercises to life, seals itself, runs the learner's program, calls each answer, and
sends what came back as plain data. It judges nothing and holds no expected value; whatever it sends is only ever read
as data. All it says goes through a copy of its standard output that it took before any other code ran.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from . import seal, wire


def main() -> None:
    if not seal.inside_namespace():
        seal.die_with_parent()
    job = json.loads(sys.stdin.buffer.read())
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def say(*words: object) -> None:
        wire.send(channel, {"at": words})

    import torch

    torch.set_num_threads(1)
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
