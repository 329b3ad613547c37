"""The process in which a learner's code runs: `python -m cleanlens.course.child FOLDER`.

It reads FOLDER/job.json, runs the learner's program, calls each answer, and leaves what came back as plain data in
FOLDER/<id>.bin. It judges nothing and holds no expected value; whatever it writes is only ever read as data.
"""

import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

MEMORY = 4 * 2**30
"""How much a learner's code may allocate beyond what Python and torch hold already."""


def limit_memory() -> None:
    """Make a huge allocation fail with a MemoryError instead of taking the machine down (where the system can)."""
    with contextlib.suppress(Exception):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY // 8, MEMORY // 8))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    log = os.open(folder / "progress", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(*words: object) -> None:
        os.write(log, (" ".join(map(str, words)) + "\n").encode())

    import torch

    torch.set_num_threads(1)
    from . import catalog
    from .answers import Part
    from .execute import collected, observe
    from .loader import Guard, captured, load
    from .plain import encode, raised

    exercises = {item["id"]: catalog.find(item["id"]).asked() for item in job["exercises"]}
    catalog.forget_answers(job["chapter"])
    guard = Guard()
    sys.path.append(str(Path(job["root"]) / "exercises"))
    guard.path = list(sys.path)
    limit_memory()
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
        record: dict[str, Any] = {"runs": [], "printed": "", "problems": problems[:5]}
        with captured() as printed:
            for all_others in [False, True] if ex.supply else [False]:
                try:
                    with collected(ex, space, all_others) as answer:
                        record["runs"].append(observe(ex, answer, range(ex.seeds)))
                except BaseException as error:
                    record["runs"].append(encode([{"error": raised(error), "where": []}]))
                guard.restore()
        record["printed"] = printed.kept
        unfinished = folder / f"{ex.id}.part"
        unfinished.write_bytes(encode(record))
        unfinished.rename(folder / f"{ex.id}.bin")
        say("done", ex.id)
    say("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # whatever threads or exit handlers the learner's code left behind
