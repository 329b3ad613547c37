"""An answer that calls an earlier one: "01.6 is right; 01.5, which it calls, is not", at every front."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleanlens.course import answers, asking, catalog, cli, notebook, report, runner, seal, sources
from cleanlens.course.execute import lending
from cleanlens.course.result import Result, Status

ROOT = Path(__file__).parents[1]
CHAPTER = next(chapter for chapter in catalog.outline() if chapter.id == "01")
SOLUTIONS = (ROOT / CHAPTER.solutions).read_text()
RIGHT, MINE = "01.6 is right; 01.5, which it calls, is not.", "01.5, which it calls, is not right yet"
both_ways = pytest.mark.parametrize("sealed", [None, False], ids=["as the system offers", "unsealed"])


def with_answers(**texts: str) -> str:
    """The solutions with some definitions replaced; `Attention_forward` stands for `Attention.forward`."""
    text = SOLUTIONS
    for name, source in texts.items():
        text = sources.fill(text, name.replace("_forward", ".forward"), textwrap.dedent(source))
    return text


def body(name: str, arguments: str, text: str) -> str:
    return f"def {name}({arguments}):\n    {text}\n"


@pytest.fixture(scope="module")
def graders() -> Iterator[dict[bool | None, runner.Grader]]:
    """One marker for all: it brings torch up once."""
    with runner.Grader() as sealed, runner.Grader(sealed=False) as unsealed:
        yield {None: sealed, False: unsealed}


@pytest.fixture
def graded(graders: dict[bool | None, runner.Grader], tmp_path: Path) -> Callable[..., dict[str, Result]]:
    def grade(text: str, *ids: str, sealed: bool | None = None) -> dict[str, Result]:
        (tmp_path / "exercises").mkdir(exist_ok=True)
        (tmp_path / CHAPTER.answers).write_text(text)
        entries = [entry for entry in CHAPTER.exercises if entry.id in ids]
        return {result.id: result for result in graders[sealed].grade(entries, tmp_path)}

    return grade


NO_SCALE = body(
    "attention_pattern", "q, k", "return causal_mask(einsum(q, k, 'b q h e, b k h e -> b h q k')).softmax(-1)"
)
STUB = body("attention_pattern", "q, k", 'raise NotImplementedError("01.5")')
CALLS_MASK = body(
    "attention_pattern",
    "q, k",
    "return causal_mask(einsum(q, k, 'b q h e, b k h e -> b h q k') / q.shape[-1] ** 0.5).softmax(-1)",
)
NO_MASK = body("causal_mask", "scores", "return scores.clone()")


@both_ways
def test_a_right_answer_that_calls_a_wrong_one(graded, sealed: bool | None) -> None:
    text = with_answers(attention_pattern=NO_SCALE)
    both = graded(text, "01.4", "01.5", "01.6", "01.7", sealed=sealed)
    assert [id for id, result in both.items() if not result.passed] == ["01.5"]
    assert [id for id, result in both.items() if result.lent] == ["01.6"]
    assert both["01.6"].note == RIGHT
    assert both["01.6"].lent == "01.5"
    assert RIGHT in report.text(both["01.6"])
    alone = graded(text, "01.6", sealed=sealed)  # 01.5 was not asked for
    assert alone == {"01.6": both["01.6"]}


def test_a_right_answer_that_calls_a_stub(graded) -> None:
    [result] = graded(with_answers(attention_pattern=STUB), "01.6").values()
    assert result.passed
    assert result.note == "01.6 is right; 01.5, which it calls, is still to be written."


def test_a_chain_of_calls_names_its_weakest_links(graded) -> None:
    results = graded(with_answers(attention_pattern=CALLS_MASK, causal_mask=NO_MASK), "01.5", "01.6")
    assert results["01.5"].note == "01.5 is right; 01.4, which it calls, is not."
    assert results["01.6"].note == "01.6 is right; 01.4, which it calls, is not."
    text = with_answers(attention_pattern=CALLS_MASK.replace("** 0.5", "** 1"), causal_mask=NO_MASK)
    [result] = graded(text, "01.6").values()
    assert result.note == "01.6 is right; 01.4, 01.5, which it calls, are not."


def test_a_wrong_answer_that_calls_a_wrong_one_is_told_its_own_mistake(graded) -> None:
    text = with_answers(attention_pattern=NO_SCALE).replace(") + self.b_O", ")")
    [result] = graded(text, "01.6").values()
    assert result.status is Status.WRONG
    assert "b_O" in result.hint
    assert result.note == f"{MINE}: it was judged with a right one."


def test_what_calls_right_answers_is_judged_as_it_is(graded) -> None:
    text = SOLUTIONS.replace(") + self.b_O", ")")
    assert text != SOLUTIONS
    [result] = graded(text, "01.6").values()
    assert result.status is Status.WRONG
    assert not result.note


@pytest.mark.slow
def test_a_right_answer_that_calls_one_that_hangs_or_ends_the_process(graded, monkeypatch) -> None:
    for id in ("01.5", "01.6"):
        monkeypatch.setitem(catalog.entries(id)[0].details, "seconds", 1.0)
    for end in ("while True: pass", "import os; os._exit(0)"):
        text = with_answers(attention_pattern=body("attention_pattern", "q, k", end))
        [result] = graded(text, "01.6").values()
        assert result.passed, result
        assert result.note.startswith(RIGHT)


def test_only_what_is_called_counts() -> None:
    """A local variable, an attribute, a keyword, a later exercise: none of them is a call."""
    text = with_answers(
        train_step="""
            def train_step(model, optimizer, batch):
                loss = model.encode(generate=1) + batch
                return helper(loss)
        """
    )
    text += "\n\ndef helper(x):\n    return [attention_pattern(y, y) for y in x]\n"
    made = answers.Answers(
        CHAPTER, ROOT, answers.Source(Path("a"), [answers.Part("a", text)]), answers.Source(Path("b"))
    )

    def called(id: str) -> list[str]:
        return [entry.id for entry in made.calls(catalog.entries(id)[0], answers.FILE)]

    assert called("01.11") == ["01.5"]
    assert called("01.6") == ["01.5"]
    assert called("01.4") == []


# ---- what is lent, is lent alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", [chapter.id for chapter in catalog.outline()])
def test_right_answers_to_earlier_exercises_bring_none_to_the_one_that_is_asked(chapter: str) -> None:
    exercises = catalog.load(chapter).exercises
    for n, ex in enumerate(exercises):
        made = asking.questions(chapter, [ex.id], [other.id for other in exercises[:n]])
        text = "\n".join(question["text"] for question in made)
        for part in (*ex.alternatives, *ex.mistakes):
            if part.written:
                assert f"def {part._value.__name__}(" not in text, part.slug
        for word in ("oracle", "measure", "alternative", "mistake", "slip"):
            assert f"ex.{word}" not in text
    code = (
        "import json, sys\nfrom cleanlens.course.asking import ask, lent\nmade = json.load(sys.stdin)\n"
        "ask(made)\nprint(json.dumps({name: callable(value) for name, value in lent(made).items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(made), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: True for ex in exercises[:-1] for name in ex.names}


STEALING = {  # answers to 01.6 that are not right, and look for what is
    "in memory": "import gc\n    attention_pattern\n"
    "    return next(f for f in gc.get_objects() if getattr(f, '__name__', '') == 'heads_side_by_side')(self, x)",
    "in the check's module": "return attention_pattern.__globals__['ex'].make_expected(x, vars(self))",
    "in the check's file": "from cleanlens.course.catalog import find\n    attention_pattern\n"
    "    return find('01.6').reference['Attention.forward'].value(self, x)",
    "by changing what is lent": "attention_pattern.__code__ = Attention.forward.__code__\n    return attention_pattern(x, x)",
}


@pytest.mark.skipif(not seal.abilities().any, reason="this system cannot seal")
@pytest.mark.parametrize("theft", STEALING)
def test_a_right_version_that_is_lent_helps_no_other_answer(graded, theft: str) -> None:
    text = with_answers(
        attention_pattern=NO_SCALE, Attention_forward=body("forward", "self, x", STEALING[theft])
    )
    [result] = graded(text, "01.6").values()
    assert not result.passed, result


def test_an_answer_cannot_take_its_own_right_version_from_where_it_is_lent(graded) -> None:
    """01.5 never runs as an answer where a right 01.5 is: 01.4 to 01.6 have a process each when they are judged again."""
    grab = (
        "import sys\n    here = [m for n, m in sys.modules.items() if n.endswith('ch01.attention_pattern')]\n"
        "    right = [f for m in here for f in vars(m).values() if getattr(f, '__code__', None) and f.__code__.co_argcount == 2]\n"
        "    return right[0](q, k)"
    )
    text = with_answers(attention_pattern=body("attention_pattern", "q, k", grab), causal_mask=NO_MASK)
    results = graded(text, "01.4", "01.5", "01.6")
    assert not results["01.5"].passed
    assert results["01.6"].note.startswith(RIGHT)


def test_what_is_lent_is_taken_away_again() -> None:
    class Twice:
        def forward(self, x):
            return x

        @property
        def size(self):
            return 1

    def right(self, x=0):
        return 2

    space: dict[str, object] = {"Twice": Twice, "encode": len}
    before = dict(space), dict(vars(Twice))
    rights = {
        "encode": right,
        "decode": right,
        "Twice.forward": right,
        "Twice.size": right,
        "Absent.x": right,
    }
    with lending(rights, space, space):
        assert space["encode"] is space["decode"] is right
        assert Twice().forward(1) == Twice().size == 2
        assert "Absent" not in space
    assert (space, dict(vars(Twice))) == before


# ---- the other fronts --------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "exercises").mkdir()
    monkeypatch.setenv("CLEANLENS_COURSE", str(tmp_path))
    monkeypatch.setenv("CLEANLENS_PROGRESS", "off")
    return tmp_path


@pytest.mark.parametrize("place", ["file", "notebook"])
def test_in_a_notebook(here: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, object] = {"__name__": "notebook"}
    for text, passed, note in (
        (with_answers(attention_pattern=NO_SCALE), True, RIGHT),
        (
            with_answers(attention_pattern=STUB),
            True,
            "01.6 is right; 01.5, which it calls, is still to be written.",
        ),
        (with_answers(attention_pattern=NO_SCALE).replace(") + self.b_O", ")"), False, MINE),
        (SOLUTIONS, True, ""),
    ):
        if place == "file":
            (here / CHAPTER.answers).write_text(text)
        exec(text, space)
        mine = space["attention_pattern"]
        result = notebook.grade("01.6", space)
        assert result.passed is passed, result
        assert result.note.startswith(note)
        assert space["attention_pattern"] is mine
    capsys.readouterr()


def test_what_calls_a_wrong_one_is_not_put_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / CHAPTER.answers).write_text(with_answers(attention_pattern=NO_SCALE))
    assert notebook.yours("01.6", instead=int) is int
    assert "01.6 Attention.forward calls 01.5, not right yet" in capsys.readouterr().out
    (here / CHAPTER.answers).write_text(SOLUTIONS)
    assert notebook.yours("01.6", instead=int) is not int


def test_in_the_terminal(here: Path) -> None:
    (here / CHAPTER.answers).write_text(with_answers(attention_pattern=NO_SCALE))
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(cli.app, ["check", "01.6"])
    assert done.exit_code == 0, done.output
    assert RIGHT in " ".join(done.output.split())


@pytest.mark.slow
def test_in_pytest(here: Path) -> None:
    (here / CHAPTER.answers).write_text(with_answers(attention_pattern=NO_SCALE))
    command = [sys.executable, "-P", "-m", "cleanlens.course.graded_tests", "--dir", str(here)]
    done = subprocess.run([*command, "-k", "01.5 or 01.6"], capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
