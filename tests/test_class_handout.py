"""What is given out: no solution in it, every file in the form its reader expects, and its commands run."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from test_class_report import GRADESCOPE

from cleanlens.course import catalog, seal, sources
from cleanlens.course.answers import Answers
from cleanlens.course.classroom import handout

ROOT = Path(__file__).parents[1]
CHOSEN = ["00", "03"]
REPO = "https://github.com/somebody/circuits"
CHAPTERS = [c for c in catalog.outline() if c.id in CHOSEN]
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / 'a day of "circuits"'
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cleanlens", "class", "new", str(folder), "--chapters", ",".join(CHOSEN)),
            *("--title", 'A day of "circuits"', "--repo", REPO, "--hub", "https://hub.uni.example/"),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert "the autograder is a day of" in done.stdout
    return folder


def run(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def everything(given: Path) -> dict[str, str]:
    files = {p.relative_to(given).as_posix(): p.read_text() for p in given.rglob("*") if p.is_file()}
    with zipfile.ZipFile(given.with_name(f"{given.name}-gradescope.zip")) as archive:
        return files | {f"autograder/{name}": archive.read(name).decode() for name in archive.namelist()}


# ---- nothing that is to be found out ---------------------------------------------------------------------


def test_no_solution_is_in_it(given: Path) -> None:
    texts = everything(given)
    assert {name for name in texts if "exercises/" in name} == {c.answers for c in CHAPTERS}
    for chapter in CHAPTERS:
        answers = Answers.read(chapter, given)
        for entry in chapter.exercises:
            assert answers.of(entry).origin is None, f"{entry.id} is solved in what is given out"
        solved = ast.parse((ROOT / chapter.solutions).read_text())
        for entry in chapter.exercises:
            for name in entry.names:
                body = sources.definition(solved, name).body
                lines = [
                    line.strip()
                    for node in body[1:]
                    for line in ast.unparse(node).splitlines()
                    if len(line) > 40
                ]
                for line in lines:
                    assert not any(line in text for text in texts.values()), (entry.id, line)


@pytest.mark.parametrize("which", [["00"], ["05", "07"], []])
def test_it_holds_the_chapters_that_were_asked_for(which: list[str], tmp_path: Path) -> None:
    handout.write_handout(tmp_path / "x", which)
    wanted = [c for c in catalog.outline() if not which or c.id in which]
    assert sorted(p.name for p in (tmp_path / "x/exercises").iterdir()) == sorted(
        Path(c.answers).name for c in wanted
    )
    assert {p.name for p in (tmp_path / "x/chapters").iterdir()} == {
        "GLOSSARY.md",
        *(Path(c.notebook).name for c in wanted),
    }
    readme = (tmp_path / "x/README.md").read_text()
    assert f"{sum(len(c.exercises) for c in wanted)} exercises" in readme


def test_a_folder_with_something_in_it_is_left_alone(given: Path) -> None:
    with pytest.raises(FileExistsError, match="is not empty"):
        handout.write_handout(given)


# ---- what is pinned --------------------------------------------------------------------------------------


def test_what_is_pinned_is_here_and_fits_together(given: Path) -> None:
    from importlib import metadata

    from packaging.requirements import Requirement

    lines = (given / "requirements.txt").read_text().split()
    assert lines[0].startswith("cleanlens==")
    assert lines == (given / ".binder/requirements.txt").read_text().split()
    for line in lines[1:]:
        wanted = Requirement(line)
        assert metadata.version(wanted.name) in wanted.specifier, line
    assert any(line.startswith("torch==") for line in lines)


# ---- notebooks -------------------------------------------------------------------------------------------


def test_the_notebooks_are_valid_and_their_first_code_is_the_setup(given: Path) -> None:
    for chapter in CHAPTERS:
        book = nbformat.read(given / chapter.notebook, as_version=4)
        nbformat.validate(book)
        first = next(cell for cell in book.cells if cell.cell_type == "code")
        assert "google.colab" in first.source
        compile(first.source, "setup", "exec")


def first_code(path: Path) -> str:
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def test_the_setup_does_nothing_at_home(given: Path, tmp_path: Path) -> None:
    code = first_code(given / CHAPTERS[0].notebook)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"is ready in {tmp_path}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["colab", "kaggle"])
@pytest.mark.parametrize("from_repository", [True, False])
def test_the_setup_installs_fetches_and_checks_elsewhere(
    given: Path, tmp_path: Path, host: str, from_repository: bool
) -> None:
    """As on those hosts, but for pip, which is asked and written down: it would fetch gigabytes."""
    repository = tmp_path / "remote"
    if from_repository:
        handout.write_handout(repository, ["00"], repo=str(repository))
        git = "git init -q -b main && git add -A && git -c user.name=n -c user.email=e@x commit -qm x"
        assert run(git, repository).returncode == 0
        code = first_code(repository / CHAPTERS[0].notebook)
    else:
        handout.write_handout(tmp_path / "plain", ["00"])
        code = first_code(tmp_path / "plain" / CHAPTERS[0].notebook)
    colab = tmp_path / "lib/google/colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").write_text("")
    (tmp_path / "lib/pip").mkdir()
    (tmp_path / "lib/pip/__init__.py").write_text("")
    (tmp_path / "lib/pip/__main__.py").write_text(
        f"import sys\nopen({str(tmp_path / 'pip.txt')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
    )
    start = (
        "import google.colab\n"
        if host == "colab"
        else "import os\nos.environ['KAGGLE_KERNEL_RUN_TYPE'] = 'Interactive'\n"
    )
    check = '\nfrom cleanlens.course import check\ndef encode(text, stoi, prepend_bos=True): return 1\ncheck("00.2")\n'
    work = tmp_path / "content"
    work.mkdir()
    environment = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path / 'lib'}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", start + code + check],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "not right yet" in done.stdout
    assert (tmp_path / "pip.txt").read_text().startswith("install -q cleanlens==")
    assert (work / "handout/exercises/ch00_tokens.py").is_file()


# ---- files for others ------------------------------------------------------------------------------------


def test_the_devcontainer_is_one(given: Path) -> None:
    book = json.loads((given / ".devcontainer/devcontainer.json").read_text())
    assert book["name"] == 'A day of "circuits"'
    pytest.importorskip("jsonschema").validate(book, DEVCONTAINER)


COMMAND = {
    "type": ["string", "array", "object"],
    "items": {"type": "string"},
    "additionalProperties": {"type": ["string", "array"]},
}
DEVCONTAINER = {
    # What https://containers.dev/implementors/json_reference/ says of a container that is made from an image, as far as
    # we might want it.
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string", "pattern": r"^[\w./-]+:[\w.-]+$"},
        "features": {"type": "object"},
        "customizations": {
            "type": "object",
            "properties": {
                "vscode": {"properties": {"extensions": {"items": {"pattern": r"^[\w-]+\.[\w-]+$"}}}},
                "codespaces": {"properties": {"openFiles": {"items": {"type": "string"}}}},
            },
        },
        "forwardPorts": {"type": "array", "items": {"type": ["integer", "string"]}},
        "containerEnv": {"type": "object", "additionalProperties": {"type": "string"}},
        "remoteEnv": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        "remoteUser": {"type": "string"},
        "hostRequirements": {"type": "object"},
        **dict.fromkeys(
            ["onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand"], COMMAND
        ),
    },
}


def test_the_devcontainers_command_runs(given: Path, tmp_path: Path) -> None:
    """With the course itself as this checkout; everything else that is pinned is here, so nothing is fetched."""
    command = json.loads((given / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"]
    assert command == "python -m pip install -r requirements.txt"
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("there is no pip in this environment")
    (tmp_path / "requirements.txt").write_text(
        "\n".join((given / "requirements.txt").read_text().split()[1:])
    )
    done = run(f"{command} --no-index --no-deps --dry-run", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_is_one(given: Path) -> None:
    path = given / ".github/workflows/grade.yml"
    book = yaml.safe_load(path.read_text())
    assert book[True] == {
        "push": None,
        "workflow_dispatch": None,
    }  # YAML 1.1 reads `on` as true; GitHub does not
    assert book["permissions"] == {"contents": "read"}
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_has_nothing_to_say(given: Path) -> None:
    done = run("actionlint .github/workflows/grade.yml", given)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_workflows_commands_run(given: Path, tmp_path: Path) -> None:
    """All but the installation, in a repository with one answer right and one wrong."""
    work = tmp_path / "repository"
    subprocess.run(["cp", "-r", str(given), str(work)], check=True)
    text = (work / CHAPTERS[0].answers).read_text()
    text = sources.fill(text, "encode", "def encode(text, stoi, prepend_bos=True):\n    return 1\n")
    (work / CHAPTERS[0].answers).write_text(text)
    steps = yaml.safe_load((work / ".github/workflows/grade.yml").read_text())["jobs"]["grade"]["steps"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cleanlens").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cleanlens "$@"\n')
    (tmp_path / "bin/cleanlens").chmod(0o755)
    environment = {
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}",
    }
    commands = [step["run"] for step in steps if "run" in step and "pip install" not in step["run"]]
    assert len(commands) == 2
    for command in commands:
        if "class grade" in command and not seal.abilities().any:
            command += " --unsealed"
        done = run(command, work, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
    summary = (tmp_path / "summary.md").read_text()
    assert "| ✗ wrong | 00.2 encode |" in summary
    assert (work / "report/index.html").is_file()  # what upload-artifact takes


def test_links_lead_where_they_say(given: Path) -> None:
    readme = (given / "README.md").read_text()
    links = dict(re.findall(r"\[([^\]]+)\]\((https://[^)]+)\)", readme))
    for chapter in CHAPTERS:
        colab = links[f"{chapter.id} {chapter.title}"]
        assert (
            colab
            == f"https://colab.research.google.com/github/somebody/circuits/blob/main/{chapter.notebook}"
        )
        assert (given / colab.partition("/blob/main/")[2]).is_file()
    binder = urllib.parse.urlsplit(links["Binder"])
    assert binder.path == "/v2/gh/somebody/circuits/HEAD"
    assert (given / urllib.parse.parse_qs(binder.query)["labpath"][0]).is_file()
    hub = urllib.parse.urlsplit(links["Our JupyterHub"])
    query = {key: value[0] for key, value in urllib.parse.parse_qs(hub.query).items()}
    assert hub.netloc + hub.path == "hub.uni.example/hub/user-redirect/git-pull"
    assert query == {"repo": REPO, "branch": "main", "urlpath": f"lab/tree/circuits/{CHAPTERS[0].notebook}"}
    assert re.fullmatch(r"python-3\.\d+\n", (given / ".binder/runtime.txt").read_text())


def test_the_readmes_commands_are_commands(given: Path) -> None:
    readme = (given / "README.md").read_text()
    named = set(re.findall(r"cleanlens ([a-z]+)", readme)) - {"is"}
    assert named >= {"watch", "check", "hint", "lab"}
    from cleanlens.course import cli

    known = {
        command.name or command.callback.__name__
        for command in cli.app.registered_commands
        if command.callback
    }
    assert named <= known, named - known


# ---- Gradescope ------------------------------------------------------------------------------------------


def test_the_autograder_has_gradescopes_two_programs(given: Path) -> None:
    with zipfile.ZipFile(given.with_name(f"{given.name}-gradescope.zip")) as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        for name in ("setup.sh", "run_autograder"):
            assert archive.getinfo(name).external_attr >> 16 & 0o111
            assert archive.read(name).startswith(b"#!")
            done = subprocess.run(["bash", "-n"], input=archive.read(name), capture_output=True)
            assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("handed_in", ["files", "nothing"])
def test_the_autograder_runs(given: Path, tmp_path: Path, handed_in: str) -> None:
    """In a folder that is laid out as Gradescope's container is, with this environment as its own."""
    with zipfile.ZipFile(given.with_name(f"{given.name}-gradescope.zip")) as archive:
        archive.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "venv/bin/python").chmod(0o755)
    if handed_in == "files":
        text = (ROOT / CHAPTERS[0].solutions).read_text()
        text = sources.fill(text, "encode", "def encode(text, stoi, prepend_bos=True):\n    return 1\n")
        (tmp_path / "submission/ch00_tokens.py").write_text(text)
    command = (tmp_path / "source/run_autograder").read_text()
    if not seal.abilities().any:
        command = command.rstrip() + " --unsealed\n"
    done = run(command, tmp_path, AUTOGRADER=str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "results/results.json").read_text())
    pytest.importorskip("jsonschema").validate(made, GRADESCOPE)
    scores = {test["number"]: test["score"] for test in made["tests"]}
    assert len(scores) == sum(len(c.exercises) for c in CHAPTERS)
    assert sum(scores.values()) == (5 if handed_in == "files" else 0)
    if handed_in == "files":
        assert scores["00.2"] == 0
    else:
        assert "no answers were found" in made["output"]


def test_where_nothing_can_be_sealed_the_autograder_says_so(monkeypatch, tmp_path: Path) -> None:
    from cleanlens.course.classroom import autograder

    monkeypatch.setattr(seal, "abilities", lambda: seal.Abilities("", 0, "it is not installed"))
    (tmp_path / "submission").mkdir()
    status = autograder.main(
        [str(tmp_path / "submission"), str(tmp_path / "results.json"), "--chapters", "00"]
    )
    made = json.loads((tmp_path / "results.json").read_text())
    assert status == 1
    assert made["tests"] == []
    assert "not your fault" in made["output"]
    pytest.importorskip("jsonschema").validate(made, GRADESCOPE)
