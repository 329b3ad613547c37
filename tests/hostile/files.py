"""Hostile files: title -> what is done to a folder with an all-right `exercises/ch00_tokens.py` in it.

The answers that a folder still holds after that may be graded right where `INTACT` says so.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

ANSWERS, NOTEBOOK = "exercises/ch00_tokens.py", "chapters/00_tokens.ipynb"


def written(content: bytes | str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / ANSWERS).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def notebook(content: bytes | str) -> Callable[[Path], None]:
    """In the notebook, with no other file."""

    def write(folder: Path) -> None:
        (folder / ANSWERS).unlink()
        (folder / NOTEBOOK).parent.mkdir(exist_ok=True)
        (folder / NOTEBOOK).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def cells(*sources: object) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]})


def linked(name: str, target: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():
            path.rename(folder / "moved")
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(target)

    return link


def special(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / ANSWERS).unlink()
        make(folder / ANSWERS)

    return put


def beside(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return write


F = "def build_vocab(texts):\n    return "
SABOTAGE = "import os, sys\nprint('CHANGED')\nraise SystemExit(0)\n"

FILES: dict[str, Callable[[Path], None]] = {
    "null bytes": written(b"x = 1\0\n" + F.encode() + b"0\n"),
    "nothing but null bytes": written(bytes(10**6)),
    "latin-1": written("# é\n".encode("latin-1") + F.encode() + b"0\n"),
    "UTF-16": written((F + "0\n").encode("utf-16")),
    "a coding line that says rot13": written("# -*- coding: rot13 -*-\nqrs ohvyq_ibpno(grkgf): erghea 0\n"),
    "a coding line that says utf-7": written("# coding: utf-7\n" + F + "0 +AAo-x=1\n"),
    "two marks of byte order": written(b"\xef\xbb\xbf\xef\xbb\xbf" + F.encode() + b"0\n"),
    "three megabytes": written(F + "0\n" + "#" * (3 * 2**20)),
    "a statement for each of a million lines": written(F + "0\n" + "a\n" * 1_000_000),
    "ten thousand parentheses": written(F + "(" * 10_000 + ")" * 10_000 + "\n"),
    "an expression, deeper than the stack": written(F + "-" * 100_000 + "1\n"),
    "attributes without end": written(F + "a" + ".b" * 100_000 + "\n"),
    "three thousand elifs": written("if 0: pass\n" + "elif 0: pass\n" * 3_000 + F + "0\n"),
    "ninety blocks in one another": written(
        "".join(" " * i + "if 1:\n" for i in range(90)) + " " * 90 + "pass\n" + F + "0\n"
    ),
    "decorators by the thousand": written("@d\n" * 20_000 + F + "0\n"),
    "a class of 50,000 methods": written(
        "class build_vocab:\n" + "".join(f"    def m{i}(self): pass\n" for i in range(50_000))
    ),
    "50,000 definitions of the same name": written((F + "0\n") * 50_000),
    "50,000 that do not parse": written("def build_vocab(:\n" * 50_000),
    "a megabyte of empty lines": written("\n \t" * 350_000 + F + "0\n"),
    "a line of a megabyte": written(F + "'" + "x" * 2**20 + "'\n"),
    "a number of 100,000 digits": written(F + "1" * 100_000 + "\n"),
    "form feeds": written("\x0c" * 1000 + F + "0\n\x0c\x0b\x1c\u2028"),
    "names that look alike": written("def build_vоcab(texts): return 0\nbuild_vocab = build_vоcab\n"),
    "text that changes its direction": written(F + "'\u202e' or 0 # \u2066 thgir\n"),
    "a statement that ends the process, a hundred times": written(
        "import os\n" + "os._exit(0)\n" * 100 + F + "0\n"
    ),
    "a notebook, nested 100,000 deep": notebook('{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "a notebook that is a number": notebook("1" * 10_000),
    "a notebook with cells of numbers": notebook(cells(1, None, {"a": 1}, ["x", 2], True)),
    "a notebook of 100,000 cells": notebook(cells(*(["def f(): pass"] * 100_000))),
    "a notebook with a megabyte of empty lines": notebook(cells("\n" * 2**20 + F + "0", "%" * 2**19)),
    "a notebook with magics": notebook(cells("%%bash\ntouch VICTIM", "!touch VICTIM\n" + F + "0")),
    "a notebook that is cut short": notebook(cells(F + "0")[:-20]),
    "a notebook that says it is 10^400": notebook(
        '{"cells": [], "nbformat": 1e400, "nbformat": ' + "9" * 5000 + "}"
    ),
    "an answer that is a link": linked(ANSWERS, "/etc/passwd"),
    "an answer that is a link to itself": linked(ANSWERS, "ch00_tokens.py"),
    "an answer that is a link to memory": linked(ANSWERS, "/dev/zero"),
    "a folder that is a link": linked("exercises", "/etc"),
    "an answer that is a folder": special(lambda path: path.mkdir()),
    "an answer that is a pipe": special(os.mkfifo),
}

INTACT: dict[str, Callable[[Path], None]] = {
    "a conftest.py": beside("conftest.py", SABOTAGE),
    "a conftest.py beside the answers": beside("exercises/conftest.py", SABOTAGE),
    "a sitecustomize.py": beside("exercises/sitecustomize.py", SABOTAGE),
    "a usercustomize.py": beside("usercustomize.py", SABOTAGE),
    "a torch.py": beside("exercises/torch.py", SABOTAGE),
    "a json.py in the folder": beside("json.py", SABOTAGE),
    "a cleanlens of its own": beside("cleanlens/__init__.py", SABOTAGE),
    "a pytest.ini and a .pth": beside("exercises/x.pth", "import os; os._exit(0)\n"),
    "a .cleanlens that is a link": linked(".cleanlens", "/etc"),
}
