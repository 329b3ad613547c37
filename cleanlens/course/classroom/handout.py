"""What is given out to a class: stubs, notebooks and what is needed to start them anywhere; never a solution.

    cleanlens class new DIR --chapters 00,01,03 --title "A day of circuits" --repo https://github.com/me/circuits

DIR is a folder to put into a repository or to zip as it is. Beside it lies DIR-gradescope.zip, an autograder for
Gradescope, which is the teacher's.
"""

import io
import json
import re
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlencode

from .. import workspace
from ..catalog import ChapterEntry, outline

PYTHON = "3.12"
IMAGE = f"mcr.microsoft.com/devcontainers/python:1-{PYTHON}-bookworm"

SETUP_CELL = """# On Colab and Kaggle this installs the course and fetches the handout, in 1 to 5 minutes; anywhere else it does nothing.
import os
import subprocess
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", {package!r}], check=True)
    if not os.path.isdir("handout"):
        subprocess.run({fetch}, check=True)
    os.chdir("handout")
import cleanlens.course

print("cleanlens", cleanlens.__version__, "is ready in", os.getcwd())"""

README = """# {title}

{what}

## Start

**On your own machine** (Python 3.11 or newer):

```console
python3 -m venv .venv
.venv/bin/pip install -r requirements.txt
.venv/bin/cleanlens
```

(On Windows it is `.venv\\Scripts\\` instead of `.venv/bin/`.) `cleanlens` says where you are and what is next.

**In a browser**{browser}

**In Visual Studio Code or a Codespace**: open this folder and choose *Reopen in Container*. It installs everything.

## Work

Write each answer either in the chapter's notebook in `chapters/` or in the file of the same number in `exercises/`.
Both hold the same stubs, and either counts; where both are answered, the file does.

| | |
|---|---|
| `cleanlens watch` | checks again each time you save, says what is wrong, and goes on when it is right |
| `cleanlens check 00.1` | checks one exercise; `check("00.1")` does it in the notebook |
| `cleanlens hint 00.1` | a hint, a little more each time |
| `cleanlens lab 00` | opens the notebook |

A wrong answer is told apart by the mistake that gives the same result, where that is a known one. What is said of your
answer at home is what is said of it when it is graded, on inputs that are new each time.

{table}

## Hand in

The folders `exercises` and `chapters`, as they are:

```console
python3 -m zipfile -c handed-in.zip exercises chapters
```

With `.cleanlens/progress.json` in it too, your teacher sees how many attempts, hints and minutes each exercise took you,
by your own word; leave it out if you like.

{push}Works without a network once it is installed; nothing is sent anywhere.
"""

WORKFLOW = """# Grades what was pushed, and shows it on the run's summary page.
name: grade
on:
  push:
  workflow_dispatch:
permissions:
  contents: read
jobs:
  grade:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "{python}"
          cache: pip
      - name: Install
        run: python -m pip install -r requirements.txt
      - name: Grade
        run: cleanlens --plain class grade . --out report --chapters {chapters}
      - name: Summary
        if: always()
        run: test ! -f report/summary.md || cat report/summary.md >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: report
          path: report
          include-hidden-files: false
"""

SETUP_SH = """#!/usr/bin/env bash
# Gradescope runs this once, when the autograder is built. Choose Ubuntu 24.04 or newer as its base image.
set -euo pipefail
root="${{AUTOGRADER:-/autograder}}"
apt-get update -qq
apt-get install -y -qq python3-venv bubblewrap
python3 -c 'import sys; assert sys.version_info >= (3, 11), "choose a newer base image: this has " + sys.version'
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install -q -r "$root/source/requirements.txt"
"""

RUN_AUTOGRADER = """#!/usr/bin/env bash
# Gradescope runs this for each submission. A submission is sealed from the checks; where the machine cannot do that,
# nothing is graded and results.json says so. (--unsealed grades all the same.)
set -euo pipefail
root="${{AUTOGRADER:-/autograder}}"
mkdir -p "$root/results"
"$root/venv/bin/python" -m cleanlens.course.classroom.autograder "$root/submission" "$root/results/results.json" \\
    --chapters {chapters}
"""


def write_handout(
    folder: Path,
    chapters: Iterable[str] = (),
    title: str = "",
    repo: str = "",
    hub: str = "",
    package: str = "",
) -> list[Path]:
    """Write the handout's files and the autograder beside it; returns all paths.

    Args:
        chapters: ids; all by default.
        repo: the address of the repository it will be in: for Colab, Binder and nbgitpuller.
        hub: the address of a JupyterHub: for nbgitpuller.
        package: what pip installs the course by; this version of cleanlens by default.

    Raises FileExistsError where something is in the folder already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty. Give a new folder: cleanlens class new handout")
    chosen = [c for c in outline() if not chapters or c.id in set(chapters)]
    title = title or "Opening up a transformer"
    files = handout(chosen, title, repo, hub, package)
    made = []
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        made.append(folder / name)
    archive = folder.with_name(f"{folder.name}-gradescope.zip")
    archive.write_bytes(autograder(chosen, package))
    return [*made, archive]


def handout(
    chosen: list[ChapterEntry], title: str, repo: str = "", hub: str = "", package: str = ""
) -> dict[str, str]:
    """The files by their names."""
    ids = ",".join(chapter.id for chapter in chosen)
    shipped, required = workspace.shipped(), requirements(package)
    mine = [name for chapter in chosen for name in (chapter.answers, chapter.notebook)]
    files = {name: shipped[name] for name in mine if name in shipped}
    for chapter in chosen:
        if chapter.notebook in files:
            files[chapter.notebook] = with_setup(files[chapter.notebook], repo, package)
    files |= {
        "README.md": readme(chosen, title, repo, hub),
        "requirements.txt": required,
        "chapters/GLOSSARY.md": shipped["chapters/GLOSSARY.md"],  # to which the texts link
        ".gitignore": ".cleanlens/\n.venv/\n__pycache__/\n.ipynb_checkpoints/\nreport/\n",
        "tests/test_exercises.py": shipped["tests/test_exercises.py"],
        ".devcontainer/devcontainer.json": json.dumps(devcontainer(title), indent=2) + "\n",
        ".binder/requirements.txt": required,
        ".binder/runtime.txt": f"python-{PYTHON}\n",
        ".github/workflows/grade.yml": WORKFLOW.format(python=PYTHON, chapters=ids),
    }
    return files


def requirements(package: str = "") -> str:
    """The course, and what it needs in the versions that this machine has: those it was tried with."""
    lines = [package or this_version()]
    for line in _required():
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if name and "extra ==" not in line:
            version = metadata.version(name[0]).partition("+")[0]  # 2.13.0+cpu is one build of 2.13.0
            lines.append(f"{name[0]}=={version}")
    return "\n".join(lines) + "\n"


def this_version() -> str:
    from cleanlens import __version__

    return f"cleanlens=={__version__}"


def _required() -> list[str]:
    """What the course asks for: of the installed one, or of the checkout that it runs from."""
    try:
        return metadata.requires("cleanlens") or []
    except metadata.PackageNotFoundError:
        book = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
        return list(book["project"]["dependencies"])


def with_setup(notebook: str, repo: str, package: str) -> str:
    """A notebook whose first code cell makes it work on Colab and Kaggle, in the handout's folder."""
    book = json.loads(notebook)
    fetch = ["git", "clone", "-q", "--depth", "1", repo, "handout"] if repo else None
    shown = repr(fetch) if fetch else '[sys.executable, "-m", "cleanlens", "init", "handout"]'
    [cell] = [cell for cell in book["cells"] if cell["id"] == "setup"]
    source = SETUP_CELL.format(package=package or this_version(), fetch=shown)
    cell["source"] = source.splitlines(keepends=True)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def devcontainer(title: str) -> dict[str, object]:
    """https://containers.dev/implementors/json_reference/"""
    return {
        "name": title,
        "image": IMAGE,
        "postCreateCommand": "python -m pip install -r requirements.txt",
        "customizations": {
            "vscode": {"extensions": ["ms-python.python", "ms-toolsai.jupyter"]},
            "codespaces": {"openFiles": ["README.md"]},
        },
        "containerEnv": {"OMP_NUM_THREADS": "2"},
    }


def readme(chosen: list[ChapterEntry], title: str, repo: str, hub: str) -> str:
    rows = ["| chapter | exercises | about |", "|---|---|---|"]
    for chapter in chosen:
        minutes = sum(int(e.details.get("minutes") or 0) for e in chapter.exercises)
        rows.append(f"| {chapter.id} {chapter.title} | {len(chapter.exercises)} | {minutes} minutes |")
    count = sum(len(chapter.exercises) for chapter in chosen)
    what = (
        f"{count} exercises in {len(chosen)} {'chapter' if len(chosen) == 1 else 'chapters'}: you rebuild parts of a "
        "transformer and of the tools that open it up, and a checker tells you which mistake you made."
    )
    push = (
        "In a repository on GitHub each push is graded too (`.github/workflows/grade.yml`); the run's summary page "
        "shows the result.\n\n"
    )
    return README.format(
        title=title, what=what, browser=_browser(chosen, repo, hub), table="\n".join(rows), push=push
    )


def _browser(chosen: list[ChapterEntry], repo: str, hub: str) -> str:
    first, lines = chosen[0].notebook, list[str]()
    if found := re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?", repo):
        for chapter in chosen:
            colab = f"https://colab.research.google.com/github/{found[1]}/blob/main/{chapter.notebook}"
            lines.append(f"- Colab: [{chapter.id} {chapter.title}]({colab})")
        lines.append(
            f"- [Binder](https://mybinder.org/v2/gh/{found[1]}/HEAD?labpath={quote(first, safe='')})"
        )
    if repo and hub:
        lines.append(f"- [Our JupyterHub]({nbgitpuller(hub, repo, first)})")
    if not lines:
        return ": upload a notebook of `chapters/` to Colab or Kaggle. Its first cell installs what it needs."
    return ":\n\n" + "\n".join(lines)


def nbgitpuller(hub: str, repo: str, notebook: str) -> str:
    """A link that brings a repository to a JupyterHub and opens it there: https://nbgitpuller.readthedocs.io"""
    name = repo.rstrip("/").removesuffix(".git").rpartition("/")[2]
    query = urlencode({"repo": repo, "branch": "main", "urlpath": f"lab/tree/{name}/{notebook}"})
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{query}"


def autograder(chosen: list[ChapterEntry], package: str = "") -> bytes:
    """Gradescope's zip: setup.sh and run_autograder at its top, both executable."""
    ids = ",".join(chapter.id for chapter in chosen)
    files = {
        "setup.sh": SETUP_SH.format(),
        "run_autograder": RUN_AUTOGRADER.format(chapters=ids),
        "requirements.txt": requirements(package),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (0o100644 if name.endswith(".txt") else 0o100755) << 16
            archive.writestr(info, text)
    return buffer.getvalue()
