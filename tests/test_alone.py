"""A chapter's notebook opened alone: its first cell gets it what it needs, and what is checked in it is kept beside it."""

import ast
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from cleanlens.course import alone, catalog, notebook, progress, sources
from cleanlens.course.classroom import submissions
from cleanlens.course.result import Status

ROOT = Path(__file__).parents[1]
CHAPTERS = catalog.outline()
[TOKENS] = [chapter for chapter in CHAPTERS if chapter.id == "00"]
SOLVED, STUBS = (ROOT / TOKENS.solutions).read_text(), (ROOT / TOKENS.answers).read_text()
PAD = "import torch\n\ndef longest(rows):\n    return max(map(len, rows))\n\ndef pad_batch(*rows):\n    return longest(rows)\n"


def setup_of(chapter: catalog.ChapterEntry) -> str:
    book = nbformat.read(ROOT / chapter.notebook, as_version=4)
    return next(cell.source for cell in book.cells if cell.cell_type == "code")


# ---- the first cell --------------------------------------------------------------------------------------


def run(code: str, cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-S", "-c", code] if ROOT not in path else [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_where_the_course_is_the_first_cell_does_nothing(tmp_path: Path) -> None:
    done = run(setup_of(TOKENS), tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"cleanlens [\d.]+ is ready\.\n", done.stdout)
    assert list(tmp_path.iterdir()) == []


def pip_that(does: str, folder: Path) -> Path:
    """A pip that writes down what it is asked and does this, in a Python that knows of no other package."""
    (folder / "pip").mkdir(parents=True)
    (folder / "pip/__init__.py").write_text("")
    asked = f"import pathlib, sys\nhere = pathlib.Path({str(folder)!r})\n(here / 'asked').write_text(sys.argv[-1])\n"
    (folder / "pip/__main__.py").write_text(asked + does)
    return folder


GIVES = "(here / 'cleanlens/course').mkdir(parents=True)\n(here / 'cleanlens/__init__.py').write_text('__version__ = 7')\n"


@pytest.mark.parametrize("beside", [[], ["cleanlens-0.1.0-py3-none-any.whl"]])
def test_where_it_is_not_it_is_installed(tmp_path: Path, beside: list[str]) -> None:
    place = tmp_path / "content"
    place.mkdir()
    for name in beside:
        (place / name).write_text("")
    pip = pip_that(GIVES, tmp_path / "lib")
    done = run(setup_of(TOKENS), place, pip)
    assert done.returncode == 0, done.stderr
    assert "1 to 5 minutes" in done.stdout
    assert done.stdout.endswith("cleanlens 7 is ready.\n")
    [wanted] = beside or re.findall(r'PACKAGE = "(cleanlens==[\d.]+)"', setup_of(TOKENS))
    assert (pip / "asked").read_text() == wanted


def test_where_it_cannot_be_installed_it_says_what_to_do(tmp_path: Path) -> None:
    done = run(setup_of(TOKENS), tmp_path, pip_that("sys.exit(1)", tmp_path / "lib"))
    assert done.returncode == 1
    assert "RuntimeError: Put the course's wheel beside this notebook" in done.stderr


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.id)
def test_a_notebook_has_what_vs_code_and_colab_ask_for(chapter: catalog.ChapterEntry) -> None:
    text = (ROOT / chapter.notebook).read_text()
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in book.cells]
    assert len(set(ids)) == len(ids)
    # VS Code picks a kernel by the kernelspec, and colours and completes by the language's name; without them it asks.
    assert book.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert book.metadata.language_info.name == "python"
    assert book.metadata.language_info.file_extension == ".py"
    # Colab opens the table of contents, which the exercises' headings fill.
    assert book.metadata.colab == {"toc_visible": True}
    headings = re.findall(r"^### Exercise (\w+\.\d+)", "\n".join(c.source for c in book.cells), re.M)
    assert headings == [entry.id for entry in chapter.exercises]
    assert [i for i, cell in enumerate(book.cells) if "cleanlens-setup" in cell.metadata.get("tags", [])] == [
        1
    ]
    assert book.cells[1].source.startswith("# @title ")  # Colab shows this line of a folded cell
    assert not any(cell.get("outputs") or cell.get("attachments") for cell in book.cells)
    assert len(text) < 20 * 2**20  # Colab opens no larger one


# ---- what is checked is kept -----------------------------------------------------------------------------


def kept(tmp_path: Path) -> str:
    return (tmp_path / "ch00_tokens.py").read_text()


def test_answers_are_kept_with_the_helpers_that_they_call(tmp_path: Path) -> None:
    entries = {entry.id: entry for entry in TOKENS.exercises}
    vocab = 'def build_vocab(texts):\n    return {"BOS": 0}, {}\n'
    assert "Your answers are kept in" in alone.keep(entries["00.5"], ["", "%time x", "def (", PAD], tmp_path)
    assert (
        alone.keep(entries["00.1"], [vocab.replace("BOS", "before"), "check('00.1')", vocab], tmp_path) == ""
    )
    text = kept(tmp_path)
    compile(text, "kept", "exec")
    assert "return longest(rows)" in text
    assert text.count("def longest(rows):") == 1
    assert '{"BOS": 0}' in text
    assert '"before"' not in text
    # A session that has forgotten the others, after a restart, changes its own answer only.
    alone.keep(entries["00.1"], [STUBS, vocab.replace("BOS", "again")], tmp_path)
    assert "return longest(rows)" in kept(tmp_path)
    assert '{"again": 0}' in kept(tmp_path)
    # It is what a class hands in.
    [one] = submissions.find(tmp_path)
    assert one.read().files == {TOKENS.answers: kept(tmp_path).encode()}


def test_methods_are_kept_in_their_class(tmp_path: Path) -> None:
    [entry] = [e for c in CHAPTERS for e in c.exercises if "FactoredMatrix.norm" in e.names]
    cell = (
        "class FactoredMatrix(FactoredMatrix):\n    @property\n    def norm(self):\n        return 'turned'\n"
    )
    alone.keep(entry, [cell], tmp_path)
    text = (tmp_path / Path(entry.chapter.answers).name).read_text()
    found = sources.definition(ast.parse(text), "FactoredMatrix.norm")
    assert "turned" in text.splitlines()[(found.end_lineno or 0) - 1]
    assert text.count("class FactoredMatrix") == 1


def test_a_file_that_does_not_parse_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ch00_tokens.py").write_text("def (")
    with pytest.raises(SyntaxError):
        alone.keep(TOKENS.exercises[0], ["def build_vocab(texts):\n    return 1\n"], tmp_path)
    assert kept(tmp_path) == "def ("


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A notebook's names, where there is no folder of the course."""

    def nowhere(start: Path | None = None) -> Path:
        raise FileNotFoundError

    names: dict[str, object] = {"__name__": "notebook", "In": [""], "BOS": "<|endoftext|>"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLEANLENS_PROGRESS", raising=False)
    monkeypatch.setattr(notebook, "find_root", nowhere)
    monkeypatch.setattr(notebook, "_shell", lambda: SimpleNamespace(user_ns=names))
    monkeypatch.setattr(notebook, "_show", lambda result: None)
    return names


def cell(names: dict[str, object], code: str) -> None:
    names["In"] += [code]  # type: ignore[operator]
    exec(code, names)


def test_check_writes_answers_and_progress_beside_the_notebook(
    session: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell(session, "def build_vocab(texts):\n    return {}, {}\n")
    notebook.check("00.1")
    notebook.check("00.2")  # not attempted
    assert f"Your answers are kept in {tmp_path / 'ch00_tokens.py'}." in capsys.readouterr().out
    cell(session, sources_of("build_vocab"))
    notebook.check("00.1")
    notebook.hint("00.2")
    assert sources_of("build_vocab") in kept(tmp_path)
    assert 'raise NotImplementedError("00.2")' in kept(tmp_path)
    book = progress.read(tmp_path)
    assert {id: record["status"] for id, record in book["exercises"].items()} == {"00.1": Status.RIGHT}
    assert book["effort"]["00.1"]["attempts"] == 2
    assert book["hints"] == {"00.2": 1}
    handed_in = submissions.Submission("ada", lambda: submissions.tree_of_folder(tmp_path)).read()
    assert handed_in.files == {TOKENS.answers: kept(tmp_path).encode()}
    assert handed_in.effort["00.1"]["attempts"] == 2


def sources_of(name: str) -> str:
    node = sources.definition(ast.parse(SOLVED), name)
    return "\n".join(SOLVED.splitlines()[node.lineno - 1 : node.end_lineno])


def test_what_cannot_be_written_is_said(
    session: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ch00_tokens.py").write_text("def (")
    cell(session, "def build_vocab(texts):\n    return {}, {}\n")
    notebook.check("00.1")
    assert "Your answer is in this notebook only: ch00_tokens.py cannot be written" in capsys.readouterr().out


# ---- in an environment that has nothing -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("CLEANLENS_FRESH"), reason="CLEANLENS_FRESH=1: it installs torch and all else"
)
@pytest.mark.parametrize("given", ["chapter", "handout"])
def test_alone_in_a_fresh_environment_it_installs_itself_and_checks(tmp_path: Path, given: str) -> None:
    """The first cell as it is, in a new environment with the package index only; then an answer, by that environment's Jupyter."""
    from hatchling.build import build_wheel

    from cleanlens.course.classroom import handout

    work = tmp_path / "content"
    work.mkdir()
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        wheel = build_wheel(str(work))
    finally:
        os.chdir(here)
    venv.create(tmp_path / "venv", with_pip=True)
    python, text = tmp_path / "venv/bin/python", (ROOT / TOKENS.notebook).read_text()
    environment = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
    if given == "handout":
        handout.write_handout(tmp_path / "plain", ["00"], package=str(work / wheel))
        text = (tmp_path / "plain" / TOKENS.notebook).read_text()
        environment["KAGGLE_KERNEL_RUN_TYPE"] = "Interactive"
    book = nbformat.reads(text, as_version=4)
    first = next(cell.source for cell in book.cells if cell.cell_type == "code")
    done = subprocess.run(
        [python, "-c", first], cwd=work, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    for cell in book.cells:
        if cell.metadata.get("exercise") == "00.1":
            cell.source = sources_of("build_vocab")
    nbformat.write(book, work / "00_tokens.ipynb")
    command = [python, "-m", "jupyter", "execute", "--inplace", "--timeout=600", "00_tokens.ipynb"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = (work / "00_tokens.ipynb").read_text()
    assert "00.1 build_vocab: right" in shown
    folder = work / "handout" if given == "handout" else work
    known = json.loads((folder / ".cleanlens/progress.json").read_text())
    assert known["exercises"]["00.1"]["status"] == "right"
    if given == "chapter":
        assert sources_of("build_vocab") in (work / "ch00_tokens.py").read_text()
