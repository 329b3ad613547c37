"""A class that hands in what the checks have documented: right answers, mistakes, nothing, and things that do harm.

For measuring and for trying things out; `python -m cleanlens.course.classroom.simulated 30 submissions` writes one.
"""

import ast
import builtins
import random
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from .. import build, catalog, sources, workspace
from ..catalog import ChapterEntry, outline
from ..exercise import Exercise, Implementation
from ..text import lines_of

KINDS = {"strong": 50, "mixed": 30, "unfinished": 15, "hostile": 5}
"""Learners of each kind in a hundred. Strong: nine in ten right; mixed: half; unfinished: the beginning, then nothing."""

HARM = {
    "never ends": "while True: pass",
    "ends the process": "import os; os._exit(0)",
    "fills memory": "x = []\n    while True: x.append(bytes(10**8))",
    "starts processes": "import os\n    for _ in range(200): os.fork()",
    "prints for ever": "while True: print('right' * 1000)",
    "recurses": "import sys; sys.setrecursionlimit(10**9)\n    f = lambda: f()\n    f()",
    "patches torch": "import torch\n    torch.equal = torch.allclose = lambda *a, **k: True\n    return torch.zeros(1)",
    "sleeps": "import time; time.sleep(10**6)",
}


def write_class(folder: Path, count: int, chapters: Iterable[str] = (), seed: int = 0) -> dict[str, str]:
    """`count` submissions in a folder, the same for the same seed; returns the kind of each."""
    rng, kinds = random.Random(seed), dict[str, str]()
    chosen = [chapter for chapter in outline() if not chapters or chapter.id in chapters]
    order = rng.choices(list(KINDS), list(KINDS.values()), k=count)
    for number, kind in enumerate(order, 1):
        name = f"student {number:03}"
        kinds[name] = kind
        last = rng.uniform(0.1, 0.7) if kind == "unfinished" else 1.0
        for index, chapter in enumerate(chosen):
            text = _chapter(chapter, kind, rng, begun=index / len(chosen) < last)
            path = folder / name / chapter.answers
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return kinds


def _chapter(chapter: ChapterEntry, kind: str, rng: random.Random, begun: bool) -> str:
    stubs, solved = _texts(chapter.id)
    if not begun:
        return stubs
    text = solved
    harm = rng.choice([entry.id for entry in chapter.exercises]) if kind == "hostile" else ""
    right = 0.55 if kind == "mixed" else 0.9
    for entry in chapter.exercises:
        mistakes = _standing_alone(entry.id)
        if entry.id == harm:
            for name in entry.names:
                owner, _, method = name.rpartition(".")
                if not owner:
                    text = sources.fill(
                        text, method, f"def {method}(*args, **kwargs):\n    {rng.choice(list(HARM.values()))}"
                    )
        elif rng.random() < 0.05:
            for name in entry.names:
                text = sources.fill(text, name, _definition(stubs, name))
        elif rng.random() > right and mistakes:
            mistake = rng.choice(mistakes)
            text = sources.fill(text, mistake.of, mistake.source)
    return text


@cache
def _texts(chapter_id: str) -> tuple[str, str]:
    [chapter] = [c for c in outline() if c.id == chapter_id]
    home = workspace.home()
    return build.stub_file(chapter, home), (home / chapter.solutions).read_text(encoding="utf-8")


def _definition(text: str, name: str) -> str:
    node = sources.definition(ast.parse(text), name)
    return textwrap.dedent("\n".join(lines_of(text)[node.lineno - 1 : node.end_lineno]))


@cache
def _standing_alone(id: str) -> list[Implementation]:
    """The documented mistakes whose text names nothing but what the stubs' file has."""
    ex: Exercise = catalog.find(id)
    known = _names(_texts(id.partition(".")[0])[0]) | set(dir(builtins))
    found = []
    for mistake in ex.mistakes:
        if mistake.is_class and "." in mistake.of:
            continue
        tree = ast.parse(mistake.source)
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if used <= known | _names(mistake.source) | _local(tree):
            found.append(mistake)
    return found


def _names(text: str) -> set[str]:
    return {name for node in sources._top_level(ast.parse(text).body) for name in sources._bound_names(node)}


def _local(tree: ast.AST) -> set[str]:
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    inner = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    imported = {
        (a.asname or a.name).partition(".")[0]
        for n in ast.walk(tree)
        if isinstance(n, ast.Import | ast.ImportFrom)
        for a in n.names
    }
    return stored | inner | imported | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}


if __name__ == "__main__":
    made = write_class(Path(sys.argv[2]), int(sys.argv[1]), sys.argv[3:])
    print(f"{len(made)} submissions in {sys.argv[2]}")
