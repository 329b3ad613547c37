"""Mutation testing: the operators, the explanations, the run in forked children, and answers written blind."""

import ast
import os
import textwrap
import time
from pathlib import Path

import pytest

from cleanlens.course import blind, catalog, mutants
from cleanlens.course.exercise import Equivalent
from cleanlens.course.forked import forked
from cleanlens.course.operators import OPERATORS, Mutant
from cleanlens.course.operators import mutants as mutants_of

ROOT = Path(__file__).parents[1]


def changes(body: str, before: str = "def f(x, y=1):") -> set[tuple[str, str]]:
    """The changed lines of every mutant of a function with this body."""
    source = before + "\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return {mutant.change for mutant in mutants_of(source)}


@pytest.mark.parametrize(
    ("body", "old", "new"),
    [
        ("return x < y", "return x < y", "return x <= y"),
        ("return x + y", "return x + y", "return x - y"),
        ("return x + y", "return x + y", "return x"),
        ("return x @ y", "return x @ y", "return y @ x"),
        ("return x @ y", "return x @ y", "return x.mT @ y"),
        ("return f(x, 2)", "return f(x, 2)", "return f(x, 3)"),
        ("return x[y:]", "return x[y:]", "return x[y + 1:]"),
        ("return list(range(y))", "return list(range(y))", "return list(range(1, y))"),
        ("if x:\n    y = 2\nreturn y", "if x:", "if not x:"),
        ("y = 2\nreturn y", "y = 2", "pass"),
        ("return x.sum(dim=-1, keepdim=True)", "return x.sum(dim=-1, keepdim=True)", "return x.sum(dim=-1)"),
        ("return x.sum(dim=-1)", "return x.sum(dim=-1)", "return x.sum(dim=0)"),
        ("return x.sum(dim=-1)", "return x.sum(dim=-1)", "return x.mean(dim=-1)"),
        ("return x.sum(-1)", "return x.sum(-1)", "return x.sum(-1, keepdim=True)"),
        ("return x.T", "return x.T", "return x"),
        ("return x.transpose(1, 2)", "return x.transpose(1, 2)", "return x.reshape(x.transpose(1, 2).shape)"),
        (
            "return einsum('bd,de->be', x, y)",
            "return einsum('bd,de->be', x, y)",
            "return einsum('bd,de->eb', x, y)",
        ),
        (
            "return rearrange(x, 'b (h e) -> b h e', h=y)",
            "return rearrange(x, 'b (h e) -> b h e', h=y)",
            "return rearrange(x, 'b (h e) -> b e h', h=y)",
        ),
        ("return x.argmax()", "return x.argmax()", "return x.argmin()"),
        ("return x.sort()", "return x.sort()", "return x.sort(descending=True)"),
        ("return x.clone()", "return x.clone()", "return x"),
        ("with torch.no_grad():\n    x = y()\nreturn x", "with torch.no_grad(): x = y()", "x = y()"),
        ("x = x + y\nreturn x", "x = x + y", "x += y"),
        ("return x", "return x", "return x.squeeze()"),
        ("return x", "return x", "return x[:1].expand_as(x)"),
        ("return x", "return x", "return x.half().float()"),
        ("return [lambda z, x=x: z + x]", "return [lambda z, x=x: z + x]", "return [lambda z: z + x]"),
        ("out = []\nreturn out", "out = []", "out = globals().setdefault('_kept_out', [])"),
        ("for z in x:\n    y += z\nreturn y", "y += z", "y += z return y"),
        ("try:\n    x()\nfinally:\n    y()", "finally:", "except Exception: y() raise else:"),
        ("return 0 if y is None else x", "return 0 if y is None else x", "return 0 if not y else x"),
    ],
)
def test_what_the_operators_do(body: str, old: str, new: str) -> None:
    found = changes(body)
    assert (old, new) in found or any((a + " ").startswith(old) and new in b for a, b in found), found


def test_no_mutant_is_the_original_or_comes_twice() -> None:
    source = 'def f(x):\n    """Say +1."""\n    return (x + 1).sum(dim=-1)\n'
    made = mutants_of(source)
    assert len({ast.dump(ast.parse(m.source)) for m in made} | {ast.dump(ast.parse(source))}) == len(made) + 1
    assert all("Say +1." in m.source and m.source.startswith("def f(x):") for m in made)
    assert {m.operator for m in made} <= OPERATORS.keys()


def test_only_the_named_definitions_are_changed() -> None:
    source = "class A:\n    def f(self):\n        return 1\n    def g(self):\n        return 5\n\ndef h():\n    return 7\n"
    made = mutants_of(source, frozenset({"A.g"}))
    assert made
    assert all("return 1" in m.source and "return 7" in m.source for m in made)


@pytest.mark.parametrize(
    ("change", "before", "after", "explains"),
    [
        ("x > 0 => x >= 0", "return a[x > 0]", "return a[x >= 0]", True),
        ("x > 0 => x >= 0", "return a[x > 0]", "return b[x >= 0]", False),
        ("x > 0 => x >= 0", "return x > 0 and x > 0", "return x > 0 and x >= 0", True),
        ("x > 0 => x >= 0", "return x > 0 and x > 0", "return x >= 0 and x >= 0", False),
        (".clamp(min=0) => ...", "y = x.clamp(min=0) + 1", "y = x.clamp(min=1) + 1", True),
        (".clamp(min=0) => ...", "y = x.clamp(min=0) + 1", "y = x.clamp(min=0) + 2", False),
        ("n += 1 => pass", "n += 1", "pass", True),
        ("x => 1", "return x", "return 1", True),
    ],
)
def test_what_an_explanation_explains(change: str, before: str, after: str, explains: bool) -> None:
    assert Equivalent("why", change).explains(before, after) is explains


def test_a_suggestion_explains_its_mutant() -> None:
    for line in (
        "return (x + 1).sum(dim=-1)",
        "y = [z for z in x if z][1:]",
        "return einsum('bd,de->be', x, y)",
    ):
        source = f"def f(x, y):\n    {line}\n    return y\n"
        for mutant in mutants_of(source):
            assert Equivalent("", mutants.suggestion(mutant)).explains(*mutant.change), mutant.change


def test_an_explanation_needs_a_reason_and_an_arrow() -> None:
    ex = catalog.find("00.2").asked()
    with pytest.raises(ValueError, match="reason"):
        ex.equivalent(" ", "a => b")
    with pytest.raises(ValueError, match="old => new"):
        Equivalent("why", "a").explains("a", "b")


# ---- forked children --------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
def test_a_child_says_what_it_found_and_breaks_nothing_here() -> None:
    mine = [1]
    assert forked(lambda: bytes([len(mine.append(2) or mine)]) * 200_000, 10) == b"\2" * 200_000  # type: ignore[func-returns-value]
    assert mine == [1]


@needs_fork
def test_a_child_that_fails_loops_or_takes_too_much_is_ended() -> None:
    def loop() -> bytes:
        while True:
            pass

    for work in (lambda: 1 / 0, loop, lambda: os._exit(3), lambda: bytes(2**40), lambda: time.sleep(99)):
        assert forked(work, 0.2) is None  # type: ignore[arg-type]


# ---- the run ----------------------------------------------------------------------------------------------


@needs_fork
def test_a_report_counts_and_an_explanation_of_nothing_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    ex = catalog.find("00.2")
    mutant = Mutant("constant", "def f(x):\n    return x + 1", "def f(x):\n    return x + 2")
    [answer, *_] = mutants.answers(ex, ROOT)
    explained = [Equivalent("Only the order counts.", "x + 1 => x + 2"), Equivalent("Old.", "gone => away")]
    monkeypatch.setattr(ex, "equivalents", explained)
    report = mutants.Report(ex, 10, [(answer, mutant)])
    assert (report.unexplained, report.stale) == ([], ["gone => away"])
    assert "9 rejected,   1 explained,   0 unexplained" in next(report.lines())
    monkeypatch.setattr(ex, "equivalents", [])
    assert '"return x + 1 => return x + 2"' in "\n".join(mutants.Report(ex, 10, [(answer, mutant)]).lines())


@needs_fork
@pytest.mark.slow
def test_mutants_are_judged_remembered_and_judged_again_when_the_check_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path))
    (tmp_path / "solutions").symlink_to(ROOT / "solutions")
    assert mutants.main(["00.2", "--root", str(tmp_path)]) == 0
    assert " 0 unexplained" in capsys.readouterr().out
    assert len((tmp_path / "proofs/mutants/00.2.json").read_text().splitlines()) > 20
    ex = catalog.find("00.2")
    assert not mutants._Plan(ex, tmp_path, fresh=False).todo
    assert mutants._Plan(ex, tmp_path, fresh=True).todo
    monkeypatch.setattr(mutants.kept, "check", lambda ex, **options: "another check")
    assert mutants._Plan(ex, tmp_path, fresh=False).todo


# ---- answers written blind --------------------------------------------------------------------------------

BLIND = ROOT / "tests" / "blind"
FILES = sorted(path.stem for path in BLIND.glob("ch*.py"))

SOME = """
# %% wrong 00.2: no BOS at all
def encode(text, stoi, prepend_bos=True):
    return torch.tensor([stoi[c] for c in text], dtype=torch.long)

# %% right 00.2: in one line
def encode(text, stoi, prepend_bos=True):
    return torch.tensor([stoi[BOS]] * prepend_bos + [stoi[c] for c in text], dtype=torch.long)

# %% wrong 00.2: never ends
def encode(text, stoi, prepend_bos=True):
    while True:
        pass

# %% right 00.2: mistaken
def encode(text, stoi, prepend_bos=True):
    return None

# %% right 00.3: only one of two
def apply_bpe(text, merges):
    pieces = list(text)
    for a, b in merges:
        i = 0
        while i < len(pieces) - 1:
            if pieces[i] == a and pieces[i + 1] == b:
                pieces[i : i + 2] = [a + b]
            i += 1
    return pieces
"""


@needs_fork
@pytest.mark.slow
def test_blind_answers_are_judged_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ch00.py").write_text(SOME)
    monkeypatch.setattr(catalog.find("00.2"), "seconds", 0.5)
    assert blind.main(["--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert (
        "right 00.2: mistaken\n    comes out not right yet" in said
        or "right 00.2: mistaken\n    comes out wrong" in said
    )
    assert said.splitlines()[-1].split() == ["all", "2", "2", "100.0%", "0", "3", "2", "0"]
    (tmp_path / "exceptions.toml").write_text('"right 00.2: mistaken" = "It returns None."\n')
    assert blind.main(["--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "1"


def test_every_exception_is_of_an_answer_that_is_there() -> None:
    known = {block.heading for block in blind.read(BLIND)}
    unknown = [heading for heading in blind.exceptions(BLIND) if heading not in known]
    assert not unknown
    assert all(reason.strip() for reason in blind.exceptions(BLIND).values())


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_blind_answers_come_out_as_they_should(file: str) -> None:
    known = blind.exceptions(BLIND)
    blocks = [
        block for block in blind.read(BLIND) if block.chapter == file[2:] and block.heading not in known
    ]
    wrong = [f"{b.heading}: {r.status}" for b, r in blind.judge(blocks) if r.passed != b.right]
    assert not wrong, "\n".join(wrong)
