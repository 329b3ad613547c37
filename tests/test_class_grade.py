"""A class graded from the command line: verdicts, what is done again and what is not, kills, and hostile neighbours."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hostile import answers, files

from cleanlens.course import catalog, runner, seal, sources
from cleanlens.course.classroom import grade, simulated, submissions, task

ROOT = Path(__file__).parents[1]
TOKENS = catalog.chapter_of("00")
SOLVED, STUBS = (ROOT / TOKENS.solutions).read_text(), (ROOT / TOKENS.answers).read_text()
SEALED = seal.abilities().any
needs_seal = pytest.mark.skipif(not SEALED, reason="this system offers no sealing")


def with_(text: str, **bodies: str) -> str:
    for name, body in bodies.items():
        text = sources.fill(text, name, f"def {name}(*args, **kwargs):\n    {body}\n")
    return text


def mistaken(text: str, id: str, slug: str) -> str:
    [mistake] = [m for m in catalog.find(id).mistakes if m.slug == slug]
    return sources.fill(text, mistake.of, mistake.source)


def hand_in(folder: Path, student: str, text: str) -> None:
    (folder / student / "exercises").mkdir(parents=True, exist_ok=True)
    (folder / student / TOKENS.answers).write_text(text)


def cleanlens(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cleanlens", "class", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3600, **options)  # type: ignore[call-overload]


def verdicts(report: Path) -> dict[str, dict[str, str]]:
    with (report / "class.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def class_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class")
    hand_in(folder, "Ada Right", SOLVED)
    hand_in(folder, "Bea Copy", SOLVED)
    hand_in(folder, "Cy Mistaken", mistaken(SOLVED, "00.2", "bos_as_text"))
    hand_in(
        folder, "Di Unfinished", with_(STUBS, build_vocab="return 3", pad_batch="1 / 0", encode="return [")
    )
    hand_in(folder, "Eve Harm", with_(SOLVED, build_vocab="import os; os._exit(0)"))
    (folder / "Flo Nothing").mkdir()
    (folder / "Flo Nothing/readme.txt").write_text("sorry")
    return folder


@pytest.fixture(scope="module")
def report(class_: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, roster = tmp_path_factory.mktemp("report") / "out", class_.parent / "roster.csv"
    roster.write_text("name,id,email\nAda Right,1,ada@uni.example\nGus Absent,7,gus@uni.example\n")
    done = cleanlens(
        "grade", class_, "--out", out, "--chapters", "00", "--roster", roster, "--title", "Mondays", *UNSEALED
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 graded" in done.stdout
    return out


UNSEALED = [] if SEALED else ["--unsealed"]


# ---- what comes out --------------------------------------------------------------------------------------


def test_each_gets_the_verdicts_of_a_check_at_home(report: Path) -> None:
    rows = verdicts(report)
    assert [rows["Ada Right"][e.id] for e in TOKENS.exercises] == ["right"] * 6
    assert rows["Ada Right"] | {"name": "", "id": "", "email": ""} == rows["Bea Copy"] | {"name": ""}
    assert rows["Ada Right"]["email"] == "ada@uni.example"
    assert rows["Cy Mistaken"]["00.2"] == "wrong"
    assert [rows["Di Unfinished"][f"00.{n}"] for n in range(1, 7)] == [
        "wrong", "stuck", "not attempted", "not attempted", "stuck", "not attempted"
    ]  # fmt: skip
    assert rows["Eve Harm"]["00.1"] == "stuck"
    assert [rows["Eve Harm"][f"00.{n}"] for n in range(2, 7)] == ["right"] * 5
    assert set(rows["Flo Nothing"].values()) >= {"not attempted", "0"}
    assert rows["Gus Absent"]["00.1"] == rows["Gus Absent"]["right"] == ""
    [known] = [m for m in catalog.find("00.2").mistakes if m.slug == "bos_as_text"]
    [row] = [
        r
        for r in json.loads((report / "json/cy-mistaken.json").read_text())["exercises"]
        if r["id"] == "00.2"
    ]
    assert (row["mistake"], row["hint"]) == ("bos_as_text", known.hint)


def test_two_who_hand_in_the_same_are_graded_once(report: Path) -> None:
    assert len(list((report / ".class/records").glob("*.json"))) == 5


def test_nothing_is_graded_twice_and_what_changed_is(class_: Path, report: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "class"
    shutil.copytree(report, out)
    shutil.copytree(class_, again)
    before = {p.name: p.stat().st_mtime_ns for p in (out / ".class/records").iterdir()}
    roster = class_.parent / "roster.csv"
    words = (
        "grade",
        again,
        "--out",
        out,
        "--chapters",
        "00",
        "--roster",
        roster,
        "--title",
        "Mondays",
        *UNSEALED,
    )
    assert "5 have been graded already" in cleanlens(*words).stdout
    assert {p.name: p.stat().st_mtime_ns for p in (out / ".class/records").iterdir()} == before
    assert tree(out) == tree(report)
    hand_in(again, "Bea Copy", with_(SOLVED, encode="return 1"))
    done = cleanlens(*words)
    assert done.returncode == 0, done.stderr
    assert verdicts(out)["Bea Copy"]["00.2"] == "wrong"
    assert verdicts(out)["Ada Right"]["00.2"] == "right"


def tree(report: Path) -> dict[str, str]:
    """Everything a run has written, but for its lock."""
    found = {
        p.relative_to(report).as_posix(): p for p in report.rglob("*") if p.is_file() and p.name != "lock"
    }
    return {name: path.read_text() for name, path in found.items()}


def test_a_raised_version_of_a_check_is_graded_anew(monkeypatch) -> None:
    [entry, *_] = TOKENS.exercises
    before = task.key_of({"a": b"1"}, [entry], 5)
    assert before == task.key_of({"a": b"1"}, [entry], 5)
    assert before != task.key_of({"a": b"2"}, [entry], 5)
    assert before != task.key_of({"a": b"1"}, [entry], 6)
    monkeypatch.setitem(entry.details, "version", 99)
    assert before != task.key_of({"a": b"1"}, [entry], 5)


def test_files_that_could_be_taken_for_one_another_are_not() -> None:
    keys = [{"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}, {"a": b"", "bc": b""}]
    assert len({task.key_of(files, TOKENS.exercises, 5) for files in keys}) == len(keys)


# ---- what is refused -------------------------------------------------------------------------------------


def test_what_cannot_be_is_said_in_one_sentence(class_: Path, report: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("")
    for words, said in (
        (("grade", tmp_path / "none", "--out", tmp_path / "o"), "there is no"),
        (("grade", class_, "--out", tmp_path / "o", "--chapters", "00-99"), "There are pre, 00, 01"),
        (("grade", class_, "--out", full), "is not empty and holds no run"),
        (("grade", class_, "--out", report, "--chapters", "01", *UNSEALED), "over other exercises"),
        (("grade", class_, "--out", tmp_path / "o", "--shard", "4/3", *UNSEALED), "--shard takes"),
        (
            ("grade", class_, "--out", tmp_path / "o", "--roster", tmp_path / "r", *UNSEALED),
            "--roster: there is no",
        ),
        (("merge", tmp_path / "none", "--out", tmp_path / "o"), "holds no run"),
        (("new", full), "is not empty"),
    ):
        done = cleanlens(*words)
        assert done.returncode == 2, done
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_unsealed_only_when_told(class_: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from cleanlens.course import seal\n"
        "seal.abilities = lambda: seal.Abilities('', 0, 'it is not installed (the package is called bubblewrap)')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    out = tmp_path / "out"
    done = cleanlens("grade", class_, "--out", out, "--chapters", "00", env=environment)
    assert done.returncode == 2
    assert "cannot be sealed here" in done.stderr
    assert "--unsealed" in done.stderr
    assert not out.exists()
    place = tmp_path / "one"
    hand_in(place, "Ada", STUBS)
    done = cleanlens("grade", place, "--out", out, "--chapters", "00", "--unsealed", env=environment)
    assert done.returncode == 0, done.stderr
    assert "Not every submission ran sealed" in done.stderr
    assert "Not sealed." in (out / "index.html").read_text()


def test_two_runs_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    run = grade.Run.begin(tmp_path / "out", list(TOKENS.exercises))
    with run.alone(), pytest.raises(grade.Problem, match="another process is grading"), run.alone():
        pass
    with run.alone():
        pass


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    run = grade.Run.begin(tmp_path / "out", list(TOKENS.exercises))
    run.keep("k", {"format": task.FORMAT, "exercises": []})
    assert run.record("k") is not None
    for text in ("", "{", "[]", '{"format": 99}', "\x00"):
        (run.folder / "records/k.json").write_text(text)
        assert run.record("k") is None


def test_the_seed_is_nobodys_to_read(tmp_path: Path) -> None:
    run = grade.Run.begin(tmp_path / "out", list(TOKENS.exercises))
    assert run.folder.stat().st_mode & 0o077 == 0
    assert run.about["seed"] >= 1000
    assert grade.Run.begin(tmp_path / "out", list(TOKENS.exercises)).about["seed"] == run.about["seed"]


# ---- shards ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_shards_put_together_are_the_whole(class_: Path, report: Path, tmp_path: Path) -> None:
    seed, roster = json.loads((report / ".class/run.json").read_text())["seed"], class_.parent / "roster.csv"
    parts = [tmp_path / f"part {n}" for n in (1, 2)]
    for number, part in enumerate(parts, 1):
        words = (
            "--out",
            part,
            "--chapters",
            "00",
            "--roster",
            roster,
            "--seed",
            seed,
            "--shard",
            f"{number}/2",
        )
        done = cleanlens("grade", class_, *words, *UNSEALED)
        assert done.returncode == 0, done.stderr
    done = cleanlens("merge", parts[0], "--out", tmp_path / "half")
    assert done.returncode == 2
    assert "The shards 2/2 are missing" in done.stderr
    done = cleanlens("merge", *parts, "--out", tmp_path / "whole", "--roster", roster, "--title", "Mondays")
    assert done.returncode == 0, done.stderr
    assert verdicts(tmp_path / "whole") == verdicts(report)
    assert tree(tmp_path / "whole") == tree(report)


# ---- kills -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_seal
def test_killed_at_any_moment_it_comes_to_the_same(tmp_path: Path) -> None:
    """CLEANLENS_KILLS=50 for fifty; each run is killed until one comes through."""
    kills, rng, place = int(os.environ.get("CLEANLENS_KILLS", "6")), random.Random(1), tmp_path / "class"
    hand_in(place, "Ada", SOLVED)
    hand_in(place, "Cy", mistaken(SOLVED, "00.2", "bos_as_text"))
    hand_in(place, "Di", STUBS)
    hand_in(place, "Eve", with_(SOLVED, encode="import os; os._exit(3)"))
    # A verdict that says "no time left" would be the machine's, not the submission's.
    words = [place, "--chapters", "00", "--seed", 4711, "--jobs", 2, "--seconds", 1800]
    start = time.monotonic()
    assert cleanlens("grade", *words, "--out", tmp_path / "whole").returncode == 0
    took, expected = time.monotonic() - start, tree(tmp_path / "whole")
    done, number = 0, 0
    while done < kills:
        number += 1
        out = tmp_path / f"run {number}"
        while True:
            command = [
                sys.executable,
                "-m",
                "cleanlens",
                "class",
                "grade",
                *map(str, words),
                "--out",
                str(out),
            ]
            token = {"CLEANLENS_TOKEN": f"{os.getpid()}-{number}-{done}"}
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | token,
            )
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 1.1 * took))
            if process.poll() is not None:
                assert process.returncode == 0
                break
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            assert gone(token), "a killed run leaves a process"
            if done == kills:
                assert cleanlens("grade", *words, "--out", out).returncode == 0
                break
        assert tree(out) == expected
    left = [p for p in Path(tempfile.gettempdir()).glob(f"{runner.JOBS}*") if not lives(p)]
    runner.sweep()
    assert not [p for p in left if p.exists()]


def gone(token: dict[str, str]) -> bool:
    """Whether all that was started with this in its environment ends by itself."""
    [(name, value)] = token.items()
    mark, end = f"{name}={value}".encode(), time.monotonic() + 120  # on a machine with much else to do
    while time.monotonic() < end:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                found += [path] if mark in path.read_bytes() else []
        if not found:
            return True
        time.sleep(0.1)
    return False


def lives(folder: Path) -> bool:
    return Path("/proc", folder.name.removeprefix(runner.JOBS).partition("-")[0]).exists()


def test_a_worker_that_dies_is_replaced_and_a_submission_that_kills_three_is_given_up(
    tmp_path: Path, monkeypatch
) -> None:
    """The harm is done to the worker itself, as no submission can: it is the pool that is tried."""
    (tmp_path / "deadly.py").write_text(
        "import os, sys\n"
        "from cleanlens.course.classroom import task, worker\n"
        "def grade_files(files, **options):\n"
        "    once = files.get('once')\n"
        "    if 'always' in files or (once and not os.path.exists(once.decode())):\n"
        "        open(once.decode(), 'w').close() if once else None\n"
        "        os._exit(7)\n"
        "    return {'format': 1, 'sealed': '', 'exercises': []}\n"
        "worker.grade_files = grade_files\n"
        "worker.main()\n"
    )
    real = grade.Peer
    deadly = [sys.executable, str(tmp_path / "deadly.py")]
    monkeypatch.setattr(grade, "Peer", lambda command, *rest: real(deadly, *rest))
    contents = {
        "a": {"x": b"1"},
        "b": {"once": str(tmp_path / "mark").encode()},
        "c": {"always": b"1"},
        "d": {"x": b"2"},
    }
    tasks = []
    for name, held in contents.items():
        one = submissions.Submission(name, lambda: submissions.Tree({}))
        monkeypatch.setattr(one, "read", lambda held=held: submissions.Files(held))
        tasks.append(grade.Task(name, one, name))
    run = grade.Run.begin(tmp_path / "out", list(TOKENS.exercises))
    failed = grade.grade_class(run, tasks, sealed=False, jobs=2)
    assert set(failed) == {"c"}
    assert "exit status 7" in failed["c"]
    assert all(run.record(name) for name in "abd")
    assert run.record("c") is None  # so the next run tries it again


# ---- hostile and honest side by side ---------------------------------------------------------------------


def hostile_class(folder: Path, outside: Path) -> list[str]:
    """One submission for each of the hostile answers and files, and an honest one beside each ten."""
    groups = [
        answers.PATCHING,
        answers.WALKING,
        answers.READING,
        answers.FORGING,
        answers.WRITING,
        answers.CLASSES,
    ]
    groups += [answers.EXCEPTIONS, answers.MEMORY, answers.ENDING]
    names = []
    for group in groups:
        for code in group.values():
            name = f"hostile {len(names):03}"
            for old, new in {"ANSWER": "build_vocab", "SECRET": str(outside / "secret"), "VICTIM": str(outside / "victim"),
                             "PORT": "9", "COURSE": str(ROOT)}.items():  # fmt: skip
                code = code.replace(old, new)
            hand_in(folder, name, STUBS + "\n\n" + code)
            names.append(name)
            if len(names) % 10 == 0:
                hand_in(folder, f"honest {len(names) // 10:02}", SOLVED + f"\n# {len(names)}\n")
    return names


@pytest.mark.slow
@needs_seal
def test_a_hostile_class_passes_nothing_and_the_honest_beside_it_are_right(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("THE SECRET")
    (outside / "victim").write_text("untouched")
    names = hostile_class(tmp_path / "class", outside)
    done = cleanlens("grade", tmp_path / "class", "--out", tmp_path / "out", "--chapters", "00")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = verdicts(tmp_path / "out")
    passed = [name for name in names if rows[name]["00.1"] == "right"]
    assert passed == []
    honest = {name: row for name, row in rows.items() if name.startswith("honest")}
    assert len(honest) >= 5
    for name, row in honest.items():
        assert row["right"] == "6", (name, row)
    assert (outside / "victim").read_text() == "untouched"
    written = "\n".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "THE SECRET" not in written
    assert "\x1b" not in written


def test_there_are_hostile_answers_enough() -> None:
    groups = [
        answers.PATCHING,
        answers.WALKING,
        answers.READING,
        answers.FORGING,
        answers.WRITING,
        answers.CLASSES,
    ]
    groups += [answers.EXCEPTIONS, answers.MEMORY, answers.ENDING]
    assert sum(map(len, groups)) + len([n for n in dir(files) if n.isupper()]) >= 60


# ---- a class made up ---------------------------------------------------------------------------------------


def test_a_class_made_up_is_the_same_each_time_and_parses(tmp_path: Path) -> None:
    kinds = simulated.write_class(tmp_path / "one", 6, ["00", "05"], seed=3)
    assert kinds == simulated.write_class(tmp_path / "two", 6, ["00", "05"], seed=3)
    texts = [sorted(p.read_text() for p in (tmp_path / part).rglob("*.py")) for part in ("one", "two")]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 12
    for text in texts[0]:
        compile(text, "answer", "exec")
