"""Verdicts in the learner's words, two mistakes at once, and a failing call to look at or to walk through."""

import os
import sys
from pathlib import Path

import pexpect
import pytest
import torch

from cleanlens.course import build, catalog, notebook, position, replay, report, words, workspace
from cleanlens.course.execute import observe
from cleanlens.course.judge import Judge
from cleanlens.course.result import Result, Status

REPOSITORY = Path(__file__).parents[1]


def judged(id: str, answer: object) -> Result:
    ex = catalog.find(id)
    return Judge(ex).judge(observe(ex, answer, range(ex.seeds)))


# ---- names, axes and numbers ------------------------------------------------------------------------


def test_a_wrong_shape_is_told_with_the_axes_of_the_stub() -> None:
    result = judged("01.5", lambda q, k: torch.zeros(2, 5, 3, 5))
    assert result.message == "what it returns"
    assert (result.expected, result.got) == ("[b 2, h 3, q 5, k 5]", "[b 2, h 5, q 3, k 5]")
    assert result.on.splitlines() == [
        "q  [b 2, s 5, h 3, e 6] float32",
        "k  [b 2, s 5, h 3, e 6] float32",
    ]


def test_expected_and_got_stand_one_above_the_other() -> None:
    def pad(seqs, side="right"):
        tokens, mask = catalog.find("00.5").reference["pad_batch"].value(seqs, side)
        return tokens, ~mask

    result = judged("00.5", pad)
    assert result.message.startswith("mask at [b 0, s 0]")  # the part's name, from the docstring
    assert "[True]" in result.expected
    assert len(result.expected) == len(result.got)
    for columns in (60, 100):
        said = report.text(result, columns)
        assert max(map(len, said.splitlines())) <= columns
        rows = said.splitlines()
        [first] = [i for i, row in enumerate(rows) if row.startswith("      expected  ")]
        assert rows[first + 1].startswith("      got       ")


@pytest.mark.parametrize("chapter", catalog.outline(), ids=lambda chapter: chapter.id)
def test_the_checks_keys_are_never_shown(chapter: catalog.ChapterEntry) -> None:
    """Of every exercise one mistake: no record's key, no `result`, no name of a check's own argument."""
    for entry in chapter.exercises:
        ex = catalog.find(entry.id)
        judge = Judge(ex, range(1))
        blob = observe(ex, ex.complete(ex.mistakes[0]), range(1))
        failure = judge._first_failure(judge.outcomes(blob))
        if failure is None:
            continue  # it shows on another seed
        keys = words.GENERIC - {words.IT}
        assert not any(failure.text.startswith((f"{key}[", f"{key}:", f"{key} at")) for key in keys), failure
        assert "result[" not in failure.text


def test_what_it_was_called_with_is_what_the_learners_function_saw() -> None:
    ex = catalog.find("01.7")
    [mistake] = [m for m in ex.mistakes if m.slug == "relu"]
    result = judged("01.7", ex.complete(mistake))
    assert "self.W_in   [5, 7] float32" in result.on
    assert "x           [b 2, s 3, d 5] float32" in result.on
    assert "weights" not in result.on  # the check's own argument


def test_an_exception_is_told_once() -> None:
    def raises(tokenizer, text):
        raise ValueError("no such token")

    result = judged("00.4", raises)
    said = report.text(result)
    assert said.count("ValueError: no such token") == 1
    assert 'in raises: raise ValueError("no such token")' in said  # with its place, as of any other exception
    result = judged("00.6", lambda *_, **__: [][3])
    assert result.got == "IndexError: list index out of range"
    assert result.message.splitlines()[1].startswith("test_words.py, line ")
    assert "shorter than that" in result.message


def test_a_dict_of_another_length_is_told_by_its_keys() -> None:
    right = catalog.find("00.1").reference["build_vocab"].value

    def shared_id(texts):
        stoi, itos = right(texts)
        return stoi, dict(list(itos.items())[:1])

    result = judged("00.1", shared_id)
    assert (result.expected, result.got) == ("", "")
    assert result.message == "itos: the key 1 is missing; got the keys [0]"


def test_only_the_failing_calls_prints_are_shown() -> None:
    calls = iter(range(1000))

    def noisy(q, k):
        print("call", number := next(calls))
        right = catalog.find("01.5").reference["attention_pattern"].value(q, k)
        return right if number < 2 else right + 1

    result = judged("01.5", noisy)
    assert result.printed == "call 2\n"
    assert "Printed in this call" in report.text(result)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("q @ k.flatten(0, 2)", "sums over the last axis"),
        ("torch.zeros(4, 5) @ torch.zeros(4, 5)", "5 (the length of s)"),
        ("q + k[:, :3, :2]", "lined up from their last axes"),
        ("q.shape(0)", "which is no function"),
        ("len[q]", "which has no elements"),
        ("None[0]", "Something here is None"),
        ("q.foo", "has nothing called foo"),
        ("q[:, 99]", "its last index is one less; 99 was asked for"),
        ("[1][3]", "shorter than that"),
        ("q[0, 0, 0, 0, 0]", "more indices than that"),
        ("q.softmax(dim=7)", "no axis 7"),
        ("q[0, 0] @ q[0, 0].double().mT", "dtypes meet"),
        ("torch.ones(2, requires_grad=True).numpy()", "history"),
        ("torch.ones(2).sum().backward()", "No gradient reaches"),
        ("torch.ones(2, requires_grad=True).add_(1)", "changed in place"),
        ("1 if q > 0 else 2", "`if` needs one answer"),
        ("float(q)", "where one number is needed"),
        ("nothing_of_that_name", "a slip in the name"),
        ("q.reshape(7, 7)", "keeps the number of numbers"),
        ("q.transpose(1, 2).view(-1)", "use reshape"),
        ("{}['a']", "There is no key"),
        ("breakpoint()", "cleanlens debug"),
    ],
)
def test_raw_exceptions_are_explained(code: str, meaning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if code == "breakpoint()":
        import bdb

        def no_terminal() -> None:
            raise bdb.BdbQuit

        monkeypatch.setattr(sys, "breakpointhook", no_terminal)
    space: dict = {"torch": torch}
    exec(f"def attention_pattern(q, k):\n    return {code}", space)
    result = judged("01.5", space["attention_pattern"])
    assert result.stage == "crash"
    assert meaning in result.message, result.message


# ---- two mistakes -----------------------------------------------------------------------------------


def test_two_mistakes_at_once_are_both_named() -> None:
    ex = catalog.find("01.6")
    one, other = (next(m for m in ex.mistakes if m.slug == slug) for slug in ("no_scale", "no_b_V"))
    result = judged("01.6", ex.both(one, other))
    assert set((result.mistake or "").split(" + ")) == {"no_scale", "no_b_V"}
    said = report.text(result)
    assert "these two mistakes together give" in said
    assert one.hint in said
    assert other.hint in said


def test_one_mistake_is_not_taken_for_two_and_none_is_made_up() -> None:
    ex = catalog.find("01.6")
    [one] = [m for m in ex.mistakes if m.slug == "no_scale"]
    assert judged("01.6", ex.complete(one)).mistake == "no_scale"
    right = ex.reference["Attention.forward"].value
    odd = ex.assemble({"Attention.forward": lambda self, x: right(self, x) * 1.37})
    assert judged("01.6", odd).mistake is None


def test_each_function_of_an_exercise_is_judged_by_itself() -> None:
    """A documented mistake in the first function is named, whatever the second does."""
    ex = catalog.find("00.3")
    mistake = next(m for m in ex.mistakes if m.of == "train_bpe")
    answer = ex.assemble({"train_bpe": mistake.value, "apply_bpe": lambda text, merges: ["something else"]})
    assert judged("00.3", answer).mistake == mistake.slug


def test_a_pair_that_never_ends_costs_its_budget_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from cleanlens.course import judge

    monkeypatch.setattr(judge, "PAIR_SECONDS", 0.1)
    with judge._working_time(0.1) as over:
        while True:
            pass
    assert over()


# ---- one call once more -----------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "course"
    (folder / "exercises").mkdir(parents=True)
    chapter = catalog.chapter_of("01")
    text = build.stub_file(chapter, workspace.home())
    text = text.replace('raise NotImplementedError("01.5")', "scores = q * 2\n    return scores")
    (folder / chapter.answers).write_text(text)
    monkeypatch.setenv("CLEANLENS_COURSE", str(folder))
    monkeypatch.setenv("CLEANLENS_PROGRESS", "off")
    return folder


def test_case_gives_the_failing_arguments_and_what_is_expected(place: Path) -> None:
    call = notebook.case("01.5")
    assert list(call.arguments) == ["q", "k"]
    right = catalog.find("01.5").reference["attention_pattern"].value
    torch.testing.assert_close(right(*call.values()), call.expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(call.got, call["q"] * 2)
    assert "q  [b 2, s 5, h 3, e 6] float32" in repr(call)
    assert "expected  [b 2, h 3, q 5, k 5] float32" in repr(call)
    assert list(notebook.case("01.5", call=2).arguments) == ["q", "k"]
    with pytest.raises(ValueError, match=r"01\.1 .*not attempted"):
        notebook.case("01.1")


def test_what_is_expected_of_a_method_is_what_it_returns() -> None:
    ex = catalog.find("01.7")
    assert isinstance(replay.expected(ex, 0), torch.Tensor)


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_debug_stops_in_the_answer_and_breakpoint_works(place: Path) -> None:
    path = place / catalog.chapter_of("01").answers
    path.write_text(
        path.read_text().replace("    return scores", "    breakpoint()\n    return scores.nothing", 1)
    )
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "cleanlens.course.cli", "debug", "attention_pattern"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "dumb"},
        cwd=str(place),
        encoding="utf-8",
        timeout=120,
        dimensions=(50, 100),
    )
    try:
        terminal.expect_exact("it did not run through")
        terminal.expect_exact("-> scores = q * 2")
        terminal.expect_exact("(Pdb) ")
        terminal.sendline("p q.shape")
        terminal.expect_exact("torch.Size([2, 5, 3, 6])")
        terminal.sendline("c")
        terminal.expect_exact("-> return scores.nothing")  # at the learner's own breakpoint()
        terminal.sendline("p scores.shape == q.shape")
        terminal.expect_exact("True")
        terminal.sendline("c")
        terminal.expect_exact("AttributeError")  # and where it raises
        terminal.expect_exact("(Pdb) ")
        terminal.sendline("q")
        terminal.expect_exact("expected [2, 3, 5, 5] float32")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
@pytest.mark.parametrize("id", ["01.5", "01.9"])
def test_a_debugger_that_is_left_says_nothing_about_the_result(place: Path, id: str) -> None:
    path = place / catalog.chapter_of("01").answers
    path.write_text(path.read_text().replace(f'raise NotImplementedError("{id}")', "return 3", 1))
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "cleanlens.course.cli", "debug", id],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "dumb"},
        cwd=str(place),
        encoding="utf-8",
        timeout=120,
        dimensions=(50, 100),
    )
    try:
        terminal.expect_exact("(Pdb) ")
        terminal.sendline("q")
        terminal.expect_exact("Stopped before it returned.")
        terminal.expect(pexpect.EOF)
        assert "It gave" not in terminal.before
    finally:
        terminal.close(force=True)


def test_statements_are_filled_by_paragraphs() -> None:
    text = (
        "def f(x):\n"
        '    """One two three\n    four five.\n\n'
        "    - a list\n    - of two\n\n    Args:\n        x: what it\n            is.\n"
        '    """'
    )
    assert position.reflowed(text, 60) == text.replace("three\n    four", "three four")
    assert position.reflowed(text, 18).startswith(
        'def f(x):\n    """One two\n    three four\n    five.\n\n    - a list\n    - of'
    )
    assert position.reflowed(text, None) == text
    mary = position.reflowed('def f():\n    """Such as " Mary" with its space."""', 18)
    assert mary == 'def f():\n    """Such as\n    " Mary" with\n    its space."""'
    for chapter in catalog.outline():
        for entry in chapter.exercises:
            statement = position.statement_of(entry)
            assert position.reflowed(statement, 60).split() == statement.split()


def test_reports_have_no_line_beyond_the_terminals_width() -> None:
    long = "word " * 60
    result = Result(
        "01.5",
        Status.WRONG,
        "values",
        long,
        "1 " * 90,
        "2 " * 90,
        on="q  " + "x" * 200,
        hint=long,
        printed="y" * 300,
    )
    for columns in (60, 100):
        assert max(map(len, report.text(result, columns).splitlines())) <= columns


def test_a_list_of_many_verdicts_has_each_in_a_line() -> None:
    named = Result(
        "01.6", Status.WRONG, "values", "what it returns", mistake="no_b_V", hint="b_V is missing."
    )
    assert report.in_a_line(named) == "no b V"
    other = Result("01.6", Status.WRONG, "shape", "what it returns", "[b 2]", "[3]")
    assert report.in_a_line(other) == "the shape differs: what it returns: expected [b 2], got [3]"
    crash = Result("01.6", Status.ERROR, "crash", "KeyError: 'x'\nch01.py, line 3, in forward: a['x']")
    assert report.in_a_line(crash) == "KeyError: 'x'"


def test_a_notebook_on_its_own_points_to_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANLENS_COURSE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    said = report.text(notebook.grade("00.1", {}))
    assert "its cell of this notebook" in said
    assert "exercises/" not in said


def test_the_effort_of_a_chapter_in_words() -> None:
    tokens = catalog.chapter_of("00").exercises
    known = {
        "00.1": {"attempts": 3, "seconds": 4000, "hints": 1},
        "00.2": {"attempts": 1, "seconds": 50, "hints": 0},
    }
    assert position.efforts(tokens, known) == "4 attempts, 1 hint, 1 h 8 min"
    assert position.efforts(tokens[2:], known) == ""
