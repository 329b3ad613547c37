"""The proof of the course: its checks accept every right answer and name every documented mistake.

Plain `pytest` runs three seeds; CLEANLENS_SEEDS=50 (as in .ci/run) runs all: 20 for mistakes, 50 for right answers. What
was proven before, of the same texts, is not proven again (`cleanlens/course/kept.py`).
"""

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cleanlens.course import build, catalog, kept, proof, report, runner, sources
from cleanlens.course.execute import collected, observe
from cleanlens.course.exercise import Exercise
from cleanlens.course.judge import Judge
from cleanlens.course.result import Status

ROOT = Path(__file__).parents[1]
SEEDS = int(os.environ.get("CLEANLENS_SEEDS", "3"))
# CLEANLENS_CHAPTER=03 leaves the other chapters alone, for whoever is writing one.
CHAPTERS = [c for c in catalog.outline() if c.id in os.environ.get("CLEANLENS_CHAPTER", c.id)]
EXERCISES = [ex for entry in CHAPTERS for ex in catalog.load(entry.id).exercises]

GRADING = [path.stem for path in kept.COURSE.glob("*.py")]  # whatever a learner's file goes through

each_exercise = pytest.mark.parametrize("ex", EXERCISES, ids=lambda ex: f"{ex.id}-{ex.names[0]}")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.id)


def solutions(chapter_id: str) -> dict[str, object]:
    [chapter] = [c for c in CHAPTERS if c.id == chapter_id]
    space: dict[str, object] = {"__name__": f"solutions_{chapter_id}"}
    exec(compile((ROOT / chapter.solutions).read_text(), chapter.solutions, "exec"), space)
    return space


@each_exercise
def test_mistakes_are_rejected_with_their_own_hint_and_right_answers_pass(ex: Exercise) -> None:
    problems = proof.all_failures(ex, range(min(SEEDS, 20)))
    assert not problems, "\n".join(problems)


@each_exercise
def test_solution_passes(ex: Exercise) -> None:
    chapter = catalog.chapter_of(ex.id)
    text = (ROOT / chapter.solutions).read_text()
    with collected(ex, solutions(chapter.id)) as answer, kept.Kept("solutions", ex.id) as known:
        for seed in range(SEEDS):
            if (key := proof.key(ex, text, str(seed))) in known:
                continue
            judge = Judge(ex, range(seed, seed + 1))
            result = judge.judge(observe(ex, answer, judge.seeds))
            assert result.passed, f"seed {seed}: {result}"
            known[key] = "right"


@each_exercise
def test_right_answers_pass_on_more_seeds(ex: Exercise) -> None:
    with kept.Kept("alternatives", ex.id) as known:
        for seed in range(20, SEEDS):
            if (key := proof.key(ex, str(seed))) in known:
                continue
            judge = Judge(ex, range(seed, seed + 1))
            for right in ex.alternatives:
                result = proof.verdict(ex, right, seed, judge)
                assert result.passed, f"{right.slug}, seed {seed}: {result}"
            known[key] = "right"


@pytest.mark.slow
@each_exercise
def test_rounding_stays_below_half_the_tolerance(ex: Exercise) -> None:
    """Two right ways of computing differ by float32's rounding: on no seed may it come near what tells right from wrong."""
    for seed in (641239, *range(10**6, 10**6 + SEEDS)):
        judge = Judge(ex, range(seed, seed + 1))
        judge.tolerance = dataclasses.replace(judge.tolerance, atol=ex.atol / 2, rtol=ex.rtol / 2)
        for right in ex.alternatives:
            result = proof.verdict(ex, right, seed, judge)
            assert result.passed, f"{right.slug}, seed {seed}: {result}"


@each_exercise
def test_exercise_is_complete(ex: Exercise) -> None:
    assert set(ex.reference) == set(ex.names), "every name needs an alternative right answer"
    assert len(ex.mistakes) >= 2
    assert len(ex.hints) >= 2
    assert all(mistake.hint.strip() for mistake in ex.mistakes)
    assert len({mistake.hint for mistake in ex.mistakes}) == len(ex.mistakes), (
        "a hint of its own for each mistake"
    )
    assert ex.title
    assert ex.objective.startswith("You can ")
    assert ex.source
    assert ex.why
    assert 1 <= ex.minutes <= 180
    assert ex.difficulty in range(1, 6)
    assert ex.importance in range(1, 6)


@each_chapter
def test_outline_says_what_the_checks_say(chapter: catalog.ChapterEntry) -> None:
    loaded = catalog.load(chapter.id)
    assert (loaded.id, loaded.slug, loaded.title) == (chapter.id, chapter.slug, chapter.title)
    for entry, ex in zip(chapter.exercises, loaded.exercises, strict=True):
        assert (entry.id, entry.names) == (ex.id, ex.names)
        for key in ("title", "objective", "minutes", "difficulty", "importance", "source", "why"):
            assert entry.details[key] == getattr(ex, key), f"{ex.id}: {key} must be a literal"
        assert tuple(entry.hints) == ex.hints


@each_chapter
def test_every_exercise_has_its_cell_and_its_check_in_the_chapter(chapter: catalog.ChapterEntry) -> None:
    text = (ROOT / chapter.text).read_text()
    cells = re.findall(rf"^# exercise ({sources.ID})$", text, re.M)
    assert sorted(cells, key=lambda id: int(id.partition(".")[2])) == [
        entry.id for entry in chapter.exercises
    ]
    for entry in chapter.exercises:
        assert re.search(rf'^check\("{entry.id}"\)', text, re.M), (
            f"no cell check({entry.id!r}) in {chapter.text}"
        )


def test_stubs_and_notebooks_have_not_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    chapters = [chapter.id for chapter in CHAPTERS]
    assert build.main(["--check", "--root", str(ROOT), *chapters]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_the_table_of_mistakes_has_not_drifted() -> None:
    assert proof.page() == (ROOT / "chapters" / "MISTAKES.md").read_text(), (
        "run python -m cleanlens.course.build"
    )


@each_chapter
def test_stubs_are_not_attempted(chapter: catalog.ChapterEntry) -> None:
    import ast

    tree = ast.parse(build.stub_file(chapter, ROOT))
    for entry in chapter.exercises:
        for name in entry.names:
            found = sources.find(tree, name)
            assert found is not None
            assert not found.attempted
    space: dict[str, object] = {"__name__": "stubs"}
    exec(compile(tree, "stubs", "exec"), space)
    for ex in catalog.load(chapter.id).exercises:
        judge = Judge(ex, range(1))
        with collected(ex, space) as answer:
            assert judge.judge(observe(ex, answer, judge.seeds)).status is Status.NOT_ATTEMPTED


def workspace(folder: Path, chapter: catalog.ChapterEntry, answers: str) -> Path:
    """A learner's folder with one chapter's answers."""
    (folder / "exercises").mkdir(parents=True, exist_ok=True)
    (folder / chapter.answers).write_text(answers)
    return folder


@pytest.mark.slow
@each_chapter
def test_mistakes_copied_into_the_file_fail_with_their_hint(
    chapter: catalog.ChapterEntry, tmp_path: Path
) -> None:
    """Round k holds the k-th mistake of every exercise; each must fail in the child process with its own hint."""
    stubs, exercises = build.stub_file(chapter, ROOT), catalog.load(chapter.id).exercises
    checks = kept.digest(*map(kept.check, exercises), kept.engine(*GRADING), kept.library_in(stubs))
    with kept.Kept("files", chapter.id) as known, runner.Grader() as grader:
        for k in range(max(len(ex.mistakes) for ex in exercises)):
            text, wrong = stubs, {}
            for ex in exercises:
                mistake = ex.mistakes[k % len(ex.mistakes)]
                text = proof.submission(text, ex.reference | {mistake.of: mistake})
                wrong[ex.id] = mistake
            if (key := kept.digest(checks, text)) in known:
                continue
            for result in grader.grade(chapter.exercises, workspace(tmp_path, chapter, text)):
                assert not result.passed, (wrong[result.id].slug, result)
                assert wrong[result.id].hint in report.text(result), (wrong[result.id].slug, result)
            known[key] = "all named"


@pytest.mark.slow
@each_chapter
def test_solutions_copied_into_the_file_pass(chapter: catalog.ChapterEntry, tmp_path: Path) -> None:
    folder = workspace(tmp_path, chapter, (ROOT / chapter.solutions).read_text())
    for result in runner.grade(chapter.exercises, folder):
        assert result.passed, report.text(result)


def test_the_example_of_the_add_page_works(tmp_path: Path) -> None:
    """chapters/ADD_AN_EXERCISE.md holds a whole exercise; take it out, build it, prove it."""
    page = (ROOT / "chapters" / "ADD_AN_EXERCISE.md").read_text()
    blocks = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', page, re.M | re.S))
    assert set(blocks) == {
        "cleanlens/course/chapters/ch99/causal_mean.py",
        "cleanlens/course/chapters/ch99/__init__.py",
        "solutions/ch99_example.py",
        "chapters/99_example.py",
    }
    for name, text in blocks.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "cleanlens/course/chapters/ch99"
    spec = importlib.util.spec_from_file_location("ch99", folder / "__init__.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    sys.modules["ch99"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    [ex] = module.chapter.exercises
    assert not [line for seed in range(20) for line in proof.failures(ex, seed)]
    entry = catalog._read_outline(folder)
    assert entry.exercises[0].hints == list(ex.hints)
    assert 'raise NotImplementedError("99.1")' in build.stub_file(entry, tmp_path)
    assert 'raise NotImplementedError(\\"99.1\\")' in build.notebook(entry, tmp_path)
    space: dict[str, object] = {}
    exec((tmp_path / "solutions/ch99_example.py").read_text(), space)
    with collected(ex, space) as answer:
        assert Judge(ex).judge(observe(ex, answer, range(3))).passed


# ---- the front that a learner runs: pytest tests/test_exercises.py -----------------------------------


def pytest_in(folder: Path) -> tuple[dict[str, int], str]:
    """Run the learner's tests on chapter 00 in a folder; returns the counts (passed, failed, skipped) and the output."""
    environment = os.environ | {"CLEANLENS_COURSE": str(folder), "COLUMNS": "200"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/test_exercises.py",
        "-k",
        "00.",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    last = done.stdout.strip().splitlines()[-1]
    return {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", last)}, done.stdout


@pytest.mark.slow
def test_the_learners_tests(tmp_path: Path) -> None:
    chapter = catalog.chapter_of("00")
    exercises = catalog.load(chapter.id).exercises
    n = len(exercises)
    stubs = build.stub_file(chapter, ROOT)
    assert pytest_in(workspace(tmp_path, chapter, stubs))[0] == {"skipped": n}
    solved = (ROOT / chapter.solutions).read_text()
    assert pytest_in(workspace(tmp_path, chapter, solved))[0] == {"passed": n}
    wrong = stubs
    for ex in exercises:
        wrong = proof.submission(wrong, ex.reference | {ex.mistakes[0].of: ex.mistakes[0]})
    counts, output = pytest_in(workspace(tmp_path, chapter, wrong))
    assert counts == {"failed": n}
    assert "Traceback" not in output
    for ex in exercises:
        assert ex.mistakes[0].hint in output
