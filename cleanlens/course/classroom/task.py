"""The grading of one submission, in whatever process it is called: a worker of the pool, or of a cluster. Torch-free.

What goes in and what comes out is plain data: files as bytes, and a record that JSON can hold.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from .. import progress, runner, seal
from ..catalog import Entry, entries
from ..processes import Ended

FORMAT = 1
CHAPTER_SECONDS = 15.0  # for a chapter of a submission, on a machine that has nothing else to do
START_SECONDS = 30.0
SHOWN = 4000  # characters of each text of a verdict that are kept

_graders: dict[tuple[int, bool], runner.Grader] = {}


def key_of(files: dict[str, bytes], chosen: Iterable[Entry], seed: int) -> str:
    """What a record is filed under: the answers, the checks and their versions, and the class's seed.

    The same files get the same verdicts, so a submission that has not changed is not graded again, and two learners
    who hand in the same are graded once.
    """
    digest = hashlib.sha256(
        json.dumps([FORMAT, seed, [[e.id, progress.version(e)] for e in chosen]]).encode()
    )
    for name, data in sorted(files.items()):
        digest.update(json.dumps([name, len(data)]).encode() + data)
    return digest.hexdigest()[:32]


def pack(files: dict[str, bytes]) -> bytes:
    return json.dumps({name: base64.b64encode(data).decode() for name, data in files.items()}).encode()


def unpack(body: bytes) -> dict[str, bytes]:
    return {name: base64.b64decode(text) for name, text in json.loads(body).items()}


def grade_files(
    files: dict[str, bytes], ids: list[str], seed: int, sealed: bool = True, deadline: float | None = None
) -> dict[str, Any]:
    """The record of one submission: for each exercise its verdict and what was written for it.

    The grader of this process is kept: what is expected, and what the documented mistakes give, is computed once.
    """
    chosen = [entry for entry in entries() if entry.id in ids]
    grader = _graders.get((seed, sealed))
    if grader is None:
        close()
        grader = _graders[seed, sealed] = runner.Grader(seed=seed, sealed=sealed)
    with tempfile.TemporaryDirectory(prefix=f"{runner.JOBS}{os.getpid()}-") as folder:
        root = Path(folder)
        write(root, files)
        results = list(grader.grade(chosen, root, seconds=deadline or allowed(chosen)))
        texts: dict[str, str] = {}
        for chapter, group in groupby(chosen, key=lambda entry: entry.chapter.id):
            with suppress(Ended):
                found = grader.ask(do="texts", chapter=chapter, root=str(root), ids=[e.id for e in group])
                texts |= found["texts"]
    rows = []
    for result in results:
        row = {k: v[:SHOWN] if isinstance(v, str) else v for k, v in asdict(result).items()}
        row.pop("seconds")  # it is another one each time
        rows.append(row | {"text": texts.get(result.id, "")})
    return {"format": FORMAT, "sealed": how_sealed(sealed), "exercises": rows}


def close() -> None:
    """End what this process has kept."""
    for grader in _graders.values():
        grader.close()
    _graders.clear()


def allowed(chosen: list[Entry]) -> float:
    """The seconds for a submission, more where the machine has more to do than it has cores."""
    chapters = len({entry.chapter.id for entry in chosen})
    return (START_SECONDS + CHAPTER_SECONDS * chapters) * runner.slowness()


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def how_sealed(sealed: bool) -> str:
    found = seal.abilities()
    if not sealed or not found.any:
        return ""
    return " and ".join(["bubblewrap"] * bool(found.bubblewrap) + ["Landlock"] * bool(found.landlock))
