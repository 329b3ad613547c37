"""What has been proven need not be proven again: findings kept in files, under keys made of all that they depend on.

The proof of the checks (`proof.py`), answers written blind (`blind.py`) and mutants (`mutants.py`) ask the same of the
same texts again and again. A finding's key is a digest of the check, the answer and the engine; when one of them has
another text, the finding is no longer found and is made anew. Only `$CLEANLENS_CACHE/proofs` holds them (or the system's
folder for caches): deleting it costs nothing but time.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from .exercise import Exercise

COURSE = Path(__file__).parent
JUDGING = ("exercise", "judge", "compare", "execute", "plain", "result")
"""The modules of the engine that a verdict goes through, whoever asks for it."""


def folder(kind: str) -> Path:
    """Where findings of one kind are kept."""
    given = os.environ.get("CLEANLENS_CACHE")
    home = Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("cleanlens", False))
    return home / "proofs" / kind


class Kept:
    """Findings about one thing, read from its file and written back when the block is left, however it is left.

        with Kept("solutions", "01.5") as kept:
            for seed in range(50):
                if (key := digest(check, str(seed))) not in kept:
                    kept[key] = find_out(seed)

    What was neither asked for nor found in the block is forgotten.
    """

    def __init__(self, kind: str, name: str, fresh: bool = False):
        self.path = folder(kind) / f"{name}.json"
        self.known: dict[str, Any] = {}
        self.used: set[str] = set()
        if not fresh:
            with contextlib.suppress(OSError, ValueError):
                self.known = dict(json.loads(self.path.read_text(encoding="utf-8")))

    def __contains__(self, key: str) -> bool:
        if key in self.known:
            self.used.add(key)
        return key in self.known

    def __getitem__(self, key: str) -> Any:
        self.used.add(key)
        return self.known[key]

    def __setitem__(self, key: str, finding: Any) -> None:
        self.used.add(key)
        self.known[key] = finding

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *error: object) -> None:
        # An interrupted run has not asked for all, so it forgets nothing.
        kept = self.known if error[0] else {key: self.known[key] for key in self.used}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(kept, indent=0), encoding="utf-8")
        unfinished.replace(self.path)


def digest(*texts: str) -> str:
    """A key: the same for the same texts, and for no others."""
    return hashlib.sha256("\0".join(f"{len(text)}:{text}" for text in texts).encode()).hexdigest()[:24]


@cache
def engine(*modules: str) -> str:
    """A digest of the course's modules with these names and of the versions of what they run on."""
    import torch

    return digest(sys.version, torch.__version__, *(_code(COURSE / f"{name}.py") for name in modules))


def library_in(*texts: str) -> str:
    """A digest of the library when one of these programs imports it, else ""."""
    return _library() if any(map(IMPORTS_LIBRARY.search, texts)) else ""


IMPORTS_LIBRARY = re.compile(r"^\s*(?:from|import) cleanlens\b(?!\.course)", re.MULTILINE)


@cache
def _library() -> str:
    return digest(
        *(_code(path) for path in sorted(COURSE.parent.rglob("*.py")) if COURSE not in path.parents)
    )


def check(ex: Exercise, answers: bool = True) -> str:
    """A digest of an exercise's check: its file, what the chapter's checks share, and the library if they use it.

    Without `answers` its right answers, mistakes and explanations do not count.
    """
    assert ex.make_inputs is not None
    path = Path(ex.make_inputs.__code__.co_filename)
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    out = ("ex.equivalent(",) if answers else ("ex.equivalent(", "ex.slip(", "@ex.alternative", "@ex.mistake")
    texts = [text for text in map(ast.unparse, nodes) if not text.startswith(out)]
    helpers = path.with_name("helpers.py")
    texts += map(_code, [helpers] if helpers.exists() else [])
    return digest(*texts, library_in(*texts))


def _code(path: Path) -> str:
    """A file's code: comments and layout do not count."""
    return ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
