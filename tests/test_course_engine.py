"""The check engine itself: plain data, comparison, judging, diagnosis, and every kind of answer."""

import ast
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import nn
from typer.testing import CliRunner

from cleanlens import ActivationCache
from cleanlens.course import build, catalog, cli, notebook, report, runner, sources
from cleanlens.course.answers import read_file, read_notebook, readable
from cleanlens.course.compare import Tolerance, first_difference
from cleanlens.course.execute import collected, observe
from cleanlens.course.exercise import Chapter, Exercise, exercise
from cleanlens.course.judge import AGAIN, Judge
from cleanlens.course.loader import Guard
from cleanlens.course.plain import DTYPES, Opaque, Raised, decode, encode
from cleanlens.course.result import Result, Status

ROOT = Path(__file__).parents[1]
DETAILS = {
    "title": "T",
    "objective": "You can test.",
    "minutes": 1,
    "difficulty": 1,
    "importance": 1,
    "source": "here",
    "hints": ["one", "two"],
    "why": "so",
}


def grade(ex: Exercise, space: dict[str, object], all_others: bool = False) -> Result:
    with collected(ex, space, all_others) as answer:
        return Judge(ex).judge(observe(ex, answer, range(ex.seeds)))


# ---- methods of a class that several exercises build up ---------------------------------------------


class GivenScale(nn.Module):
    """The given code and right methods of the class below."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return x * self.gain

    def twice(self, x):
        return self.forward(self.forward(x))

    @property
    def inverse(self):
        return type(self)(1 / self.gain)


first = exercise("98.1", "Scale.forward", supply={"Scale": GivenScale}, **DETAILS)
first.inputs(lambda seed: {"x": torch.arange(3.0) + 1 + seed, "gain": 2.0})
first.call(lambda answer, x, gain: {"out": answer(gain)(x), "back": answer(gain).inverse(x)})
first.oracle(lambda x, gain: {"out": x * gain, "back": x / gain})


@first.alternative
def forward(self, x):
    return self.gain * x


first.slip("adds", "It adds the gain.", "*", "+")

second = exercise("98.2", "Scale.twice", "Scale.inverse", supply={"Scale": GivenScale}, **DETAILS)
second.inputs(lambda seed: {"x": torch.arange(3.0) + 1 + seed, "gain": 2.0})
second.call(lambda answer, x, gain: (answer(gain).twice(x), answer(gain).inverse(x)))
second.oracle(lambda x, gain: (x * gain * gain, x / gain))


@second.alternative(of="Scale.twice")
def twice(self, x):
    return self(self(x))


@second.alternative(of="Scale.inverse")
def inverse(self):
    return type(self)(1 / self.gain)


second.slip("once", "Only once.", "self(self(x))", "self(x)", of="Scale.twice")
second.slip(
    "negated",
    "The inverse of a factor is not its negative.",
    "1 / self.gain",
    "-self.gain",
    of="Scale.inverse",
)

chapter = Chapter("98", "methods", "Methods", [first, second])

STUBS = '''
from torch import nn

class Scale(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    # exercise 98.1
    def forward(self, x):
        """Scale x."""
        raise NotImplementedError("98.1")

    # exercise 98.2
    def twice(self, x):
        raise NotImplementedError("98.2")

    # exercise 98.2
    @property
    def inverse(self):
        raise NotImplementedError("98.2")
'''


def run(text: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "learner"}
    exec(text, space)
    return space


def test_methods_that_are_still_stubs_are_supplied_and_taken_away_again() -> None:
    space = run(sources.fill(STUBS, "Scale.forward", "def forward(self, x):\n    return x * self.gain\n"))
    assert grade(first, space).status is Status.RIGHT
    assert grade(second, space).status is Status.NOT_ATTEMPTED
    wrong = run(sources.fill(STUBS, "Scale.forward", "def forward(self, x):\n    return x + self.gain\n"))
    assert grade(first, wrong).mistake == "adds"


def test_a_wrong_method_of_another_exercise_can_be_replaced() -> None:
    text = sources.fill(STUBS, "Scale.forward", "def forward(self, x):\n    return x + self.gain\n")
    text = sources.fill(
        text, "Scale.twice", "def twice(self, x):\n    return self.forward(self.forward(x))\n"
    )
    text = sources.fill(
        text, "Scale.inverse", "@property\ndef inverse(self):\n    return Scale(1 / self.gain)\n"
    )
    assert grade(second, run(text)).status is Status.WRONG
    assert grade(second, run(text), all_others=True).status is Status.RIGHT


def test_mistakes_of_methods_are_recognised() -> None:
    for ex in chapter.exercises:
        for mistake in ex.mistakes:
            judge = Judge(ex)
            assert judge.judge(observe(ex, ex.complete(mistake), judge.seeds)).mistake == mistake.slug
        for right in ex.alternatives:
            assert judge.judge(observe(ex, ex.complete(right), judge.seeds)).passed


def test_notebook_cells_build_a_class_up() -> None:
    one, two = sources.cell_text(STUBS, "98.1"), sources.cell_text(STUBS, "98.2")
    assert "def __init__" in one
    assert "twice" not in one
    assert two.startswith("class Scale(Scale):")
    assert "forward" not in two
    compile(one + "\n" + two, "cells", "exec")


# ---- plain data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [dtype for dtype, _ in DTYPES.values()], ids=list(DTYPES))
def test_tensors_survive_the_trip(dtype: torch.dtype) -> None:
    x = (torch.arange(6).reshape(2, 3) - 2).to(dtype)
    back = decode(encode({"x": x, "t": x.T, "scalar": x[0, 0], "none": x[:0]}))
    assert back["x"].dtype == dtype
    assert torch.equal(back["x"], x)
    assert torch.equal(back["t"], x.T)
    assert back["scalar"].shape == ()
    assert back["none"].shape == (0, 3)


def test_plain_values_survive_the_trip() -> None:
    value = {"a": [1, -(2**70), 0.1, float("inf"), 2j, None, True], ("t", 1): ("é", b"\x00"), 3: {1, 2}}
    assert decode(encode(value)) == value
    assert np.isnan(decode(encode(float("nan"))))
    for one in (torch.arange(4.0)[::2][:1], torch.tensor(3.0).expand(1)):  # one number, whatever its stride
        assert decode(encode(one)).equal(one)
    assert decode(encode(torch.ones(2, dtype=torch.complex64).conj())).dtype == torch.complex64


def test_what_is_not_plain_becomes_opaque() -> None:
    class Sneaky(torch.Tensor):
        pass

    for thing in (
        nn.Linear(1, 1),
        object(),
        torch.ones(2).as_subclass(Sneaky),
        lambda: 0,
        {1, "a"},
    ):
        kept = decode(encode([thing]))[0]
        assert isinstance(kept, Opaque) or thing == {1, "a"}
    loop: list = []
    loop.append(loop)
    decode(encode(loop))


def test_one_number_with_any_stride_and_numpy_numbers_survive_the_trip() -> None:
    odd = torch.arange(6.0).reshape(2, 3)[:1, ::3].as_strided((1, 1), (5, 7))
    assert torch.equal(decode(encode(odd)), odd)
    value = decode(encode([np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True)]))
    assert value == [0.5, 0.5, 3, True]
    assert [type(x) for x in value] == [float, float, int, bool]


def test_garbage_is_not_decoded() -> None:
    import pickle

    good = encode({"x": torch.ones(3)})
    for blob in (
        b"",
        b"\x00" * 9,
        good[:-1],
        good[8:],
        pickle.dumps({}),
        b"\xff" * 50,
        encode([1]).replace(b"i", b"z"),
    ):
        with pytest.raises(ValueError, match="not an encoded answer"):
            decode(blob)


def test_an_expanded_view_is_refused_before_it_is_written_out() -> None:
    with pytest.raises(MemoryError):
        encode(torch.zeros(1).expand(2**31))


# ---- comparison: the order type, shape, dtype, finite, values ----------------------------------------


def differ(expected: object, got: object, **tolerance: float | bool) -> str:
    plain = [decode(encode(x), tensors=False) for x in (expected, got)]
    found = first_difference(*plain, Tolerance(**tolerance))  # type: ignore[arg-type]
    return f"{found.stage}: {found}" if found else ""


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (6, torch.tensor(6), "type: expected an int, got a tensor"),
        (torch.tensor([6]), torch.tensor(6), "shape: expected shape (1,), got ()"),
        (torch.zeros(2, 1), torch.zeros(1, 2), "shape: expected shape (2, 1), got (1, 2)"),
        (torch.zeros(2), torch.zeros(2).double(), "dtype: expected dtype float32, got float64"),
        (
            torch.zeros(2),
            torch.tensor([0.0, torch.nan]),
            "finite: 1 of 2 numbers are not finite, the first at [1]: nan",
        ),
        (
            torch.zeros(2, 2),
            torch.eye(2),
            "values: the largest error is 1 at [0, 0]: expected 0, got 1 (2 of 4 differ)",
        ),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "values: at [1]: expected 2, got 3 (1 of 2 differ)"),
        (1, True, "type: expected an int, got a bool: True"),
        (1.0, 2, "values: expected 1, got 2"),
        ((1, 2), [1, 2], "type: expected a tuple, got a list: [1, 2]"),
        ([1, 2], [1], "shape: expected 2 items, got 1: expected [1, 2], got [1]"),
        ({"a": 1}, {"b": 1}, "shape: the key 'a' is missing; got the keys ['b']"),
        ({"a": 1}, {"a": 1, "b": 1}, "shape: there is a key 'b' that should not be there"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "values: result['a'][1]: expected 2, got 3"),
        ((torch.zeros(1), 1), (torch.ones(1), "1"), "type: result[1]: expected an int, got text: '1'"),
        (torch.zeros(2), np.zeros(2, dtype="f4"), "type: expected a tensor, got a numpy array"),
        (0.5, None, "type: expected a float, got None"),
        (0.5, float("nan"), "finite: expected 0.5, got nan"),
        (1j, 2j, "values: expected 1j, got 2j"),
        (Raised(ValueError), 3, "type: expected ValueError to be raised, got 3"),
        (
            Raised(ValueError),
            Raised(KeyError, message="k"),
            "type: expected ValueError to be raised, got KeyError('k')",
        ),
        (
            Raised(ValueError, mentions=["Mary"]),
            Raised(ValueError, message="no"),
            "values: the error's message should mention 'Mary'; it is 'no'",
        ),
    ],
)
def test_the_first_difference_in_words(expected: object, got: object, words: str) -> None:
    assert differ(expected, got) == words


def test_equal_values_do_not_differ() -> None:
    nan = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])
    for value in (
        nan,
        torch.ones(0, 3),
        torch.tensor(1 + 2j),
        {"a": (1, [2.0, "x", None])},
        Raised(ValueError),
    ):
        assert not differ(value, value)
    assert not differ(1.0, 1)
    assert not differ(torch.ones(2), torch.ones(2) + 1e-6)
    assert not differ(torch.tensor([1]), torch.tensor([1], dtype=torch.int32))
    assert differ(torch.tensor([1]), torch.tensor([1], dtype=torch.int32), exact_ints=True)
    assert differ(torch.tensor([1]), torch.tensor([1], dtype=torch.uint8))
    assert not differ(torch.ones(2), torch.ones(2).double(), any_dtype=True)
    assert differ(torch.ones(2), torch.ones(2).int(), any_dtype=True)
    assert differ(torch.ones(2), torch.ones(2) + 1e-6, atol=0.0, rtol=0.0)
    large = torch.tensor([-70.0, 0.03, -torch.inf])
    assert not differ(large, large + 3e-4)  # what float32 leaves where numbers of 70 cancel
    assert differ(large, large + 3e-3)
    assert differ(large[1:], large[1:] + 3e-4)
    assert differ(torch.tensor([torch.inf]), torch.tensor([-torch.inf]))
    assert differ(torch.tensor([torch.inf]), torch.tensor([1.0]))


# ---- what must not change, and what the answer may draw ----------------------------------------------


def small_check(**details: object) -> Exercise:
    """y = model(x), twice; the model is lent."""
    ex = exercise("97.1", "apply", **(DETAILS | details))  # type: ignore[arg-type]

    @ex.inputs
    def _(seed: int) -> list[dict]:
        model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.0))
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(torch.arange(weight.numel()).reshape(weight.shape) / 7 + seed)
        return [{"model": model, "x": torch.ones(n, 3)} for n in (2, 2)]

    @ex.oracle
    def _(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x @ model[0].weight.detach().T + model[0].bias.detach()  # type: ignore[index, operator]

    return ex


def told(body: str, **details: object) -> str:
    """What is said of an answer with this body."""
    space: dict[str, object] = {"torch": torch}
    exec("def apply(model, x):\n" + textwrap.indent(textwrap.dedent(body), "    "), space)
    result = grade(small_check(**details), space)
    return "" if result.passed else f"{result.stage}: {result.message}"


CHANGED = "inputs: the answer is right, but your code changed "


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return model(x).detach()", ""),
        ("model.eval()\nreturn model(x)", CHANGED + "its argument model: its mode (train or eval)"),
        ("model.train()\nreturn model(x)", CHANGED + "its argument model: its mode (train or eval)"),
        (
            "y = model(x)\nmodel.requires_grad_(False)\nreturn y",
            CHANGED + "its argument model: requires_grad (0.weight)",
        ),
        (
            "y = model(x)\ny.sum().backward()\nreturn y",
            CHANGED + "its argument model: its gradients (.grad) (0.weight)",
        ),
        (
            "y = model(x)\nmodel[0].bias.data += 1\nreturn y",
            CHANGED + "its argument model: its weights (0.bias)",
        ),
        (
            "y = model(x)\nmodel[0].register_forward_hook(lambda *_: None)\nreturn y",
            CHANGED + "its argument model: its hooks",
        ),
        ("y = model(x)\nx += 1\nreturn y", CHANGED + "its argument x"),
        ("torch.set_grad_enabled(False)\nreturn model(x)", CHANGED + "torch's grad mode"),
    ],
)
def test_what_must_not_change_is_named(body: str, words: str) -> None:
    said = told(body)
    assert said.startswith(words) if words else not said, said


def test_the_model_of_a_lent_cache_is_watched_too() -> None:
    ex = exercise("97.1", "apply", **DETAILS)  # type: ignore[arg-type]
    ex.inputs(lambda seed: [{"cache": ActivationCache({"x": torch.ones(2)}, nn.LayerNorm(2))}])  # type: ignore[arg-type]
    ex.oracle(lambda cache: cache["x"])

    def apply(cache: ActivationCache) -> torch.Tensor:
        cache.model.requires_grad_(False)
        return cache["x"]

    assert grade(ex, {"apply": lambda cache: cache["x"]}).passed
    assert (
        grade(ex, {"apply": apply}).message
        == CHANGED.partition(": ")[2] + "its argument cache: its model (requires_grad)"
    )


def test_gradients_may_be_left_where_the_exercise_says_so() -> None:
    assert not told("y = model(x)\ny.sum().backward()\nreturn y", may_leave_gradients=True)


def test_a_result_that_a_later_call_overwrites_is_seen() -> None:
    ex = exercise("97.2", "double", **DETAILS)  # type: ignore[arg-type]
    ex.inputs(lambda seed: [{"x": torch.ones(2) * n} for n in (1, 2)])
    ex.oracle(lambda x: x * 2)
    buffer = torch.zeros(2)

    def double(x: torch.Tensor) -> torch.Tensor:
        return buffer.copy_(x * 2)

    result = grade(ex, {"double": double})
    assert (result.stage, "a later call changed" in result.message) == ("inputs", True)


def test_a_first_call_made_once_more_must_give_the_same() -> None:
    ex = exercise("97.6", "double", **DETAILS)  # type: ignore[arg-type]
    ex.inputs(lambda seed: [{"x": 10.0 * seed + n} for n in (1, 2)])
    ex.oracle(lambda x: x * 2)
    seen: list[float] = []

    def double(x: float) -> float:
        seen.append(x)
        return x * (3 if x in seen[:-1] else 2)

    result = grade(ex, {"double": double})
    assert seen[-1] == seen[0] == 1.0
    assert result.stage == "values"
    assert result.message == f"{AGAIN}: what it returns"
    assert (result.expected, result.got) == ("2", "3")
    assert grade(ex, {"double": lambda x: x * 2}).passed


class Words:
    """What a check makes up to lend: something that is no tensor and no module."""

    def __init__(self) -> None:
        self.known = ["a", "b"]


Words.__module__ = "cleanlens.course.chapters.ch97.words"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tokenizer, words: None, ""),
        (lambda tokenizer, words: tokenizer.encode("a b"), ""),
        (lambda tokenizer, words: tokenizer.add_tokens(["c"]), "tokenizer: its vocabulary and settings"),
        (lambda tokenizer, words: tokenizer.enable_padding(), "tokenizer: its vocabulary and settings"),
        (lambda tokenizer, words: tokenizer.enable_truncation(1), "tokenizer: its vocabulary and settings"),
        (lambda tokenizer, words: words.known.append("c"), "words['known']"),
    ],
)
def test_a_lent_tokenizer_stays_as_it_is(change: Callable, words: str) -> None:
    ex = exercise("97.7", "size", **DETAILS)  # type: ignore[arg-type]

    @ex.inputs
    def _(seed: int) -> dict:
        return {"tokenizer": Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")), "words": Words()}

    ex.oracle(lambda tokenizer, words: 2)
    result = grade(ex, {"size": lambda tokenizer, words: [2, change(tokenizer, words)][0]})
    assert result.passed is not bool(words)
    if words:
        assert result.message.startswith(f"{CHANGED.removeprefix('inputs: ')}its argument {words}"), result


def test_the_answer_does_not_draw_what_the_inputs_drew() -> None:
    ex = exercise("97.3", "guess", **DETAILS)  # type: ignore[arg-type]

    @ex.inputs
    def _(seed: int) -> dict:
        torch.manual_seed(seed)
        return {"shape": (2, 3), "hidden": torch.randn(2, 3)}

    ex.call(lambda answer, shape, hidden: answer(shape))
    ex.oracle(lambda shape, hidden: hidden)
    assert grade(ex, {"guess": torch.randn}).stage == "values"


def test_a_name_needs_agreement_on_every_call() -> None:
    ex = exercise("97.4", "half", **DETAILS)  # type: ignore[arg-type]
    ex.inputs(lambda seed: [{"x": 4.0}, {"x": 6.0}])
    ex.oracle(lambda x: x / 2)
    ex.alternative(halved)
    ex.slip("squared", "The square.", "x / 2", "x**2")
    assert grade(ex, {"half": lambda x: x**2}).mistake == "squared"
    assert grade(ex, {"half": lambda x: x**2 if x < 5 else x}).mistake is None


def halved(x: float) -> float:
    return x / 2


def test_a_record_of_the_check_is_told_by_its_keys() -> None:
    ex = exercise("97.5", "both", **DETAILS)  # type: ignore[arg-type]
    ex.inputs(lambda seed: {"x": 1})
    ex.call(lambda answer, x: {"the sum": answer(x)[0], "the rest": answer(x)[1]})
    ex.oracle(lambda x: {"the sum": 2, "the rest": [1, 2]})
    result = grade(ex, {"both": lambda x: (2, [1, 3])})
    assert (result.message, result.expected, result.got) == ("the rest[1]", "2", "3")


# ---- reading answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "attempted"),
    [
        (
            'def f(x):\n    """Another docstring."""\n    # a comment\n    raise NotImplementedError("00.1")',
            False,
        ),
        ("def f(x): raise NotImplementedError", False),
        ("def f(x): ...", False),
        ("def f(x): pass", False),
        ("def f(x): return x", True),
        ('def f(x):\n    y = x\n    raise NotImplementedError("00.1")', True),
        ("f = lambda x: x", True),
        ("from elsewhere import f", True),
        ("class f:\n    def __init__(self, x): self.x = x", True),
        ("class f:\n    def g(self): ...", False),
        ("def f(x): return x\ndef f(x): ...", False),
        ("if True:\n    def f(x): return x", True),
        ("try:\n    import g\nexcept ImportError:\n    def f(x): return x", True),
        ("f: int", None),
        ("def g(x): return x", None),
    ],
)
def test_what_counts_as_an_attempt(text: str, attempted: bool | None) -> None:
    found = sources.find(ast.parse(text), "f")
    assert (found.attempted if found else None) is attempted


def test_a_syntax_error_is_read_around() -> None:
    text = "import os\n\ndef f(x):\n    return (x\n\n@decorator\ndef g(x):\n    return x\n\nclass H:\n    y = = 2\n"
    readable_text, broken = readable(text, "file.py")
    assert [b.name for b in broken] == ["f", "H"]
    assert "line 4: return (x" in broken[0].message or "line 4" in broken[0].message
    assert [n.name for n in ast.parse(readable_text).body if isinstance(n, ast.FunctionDef)] == ["g"]
    assert ast.parse(readable_text).body[1].lineno == 7


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    for content in (b"\xff\xfe\x00bad", b"x = '\x00'", b"((((", b"def f(:\n"):
        path.write_bytes(content)
        assert read_file(path, "a.py").broken[0].message.startswith("a.py ")
    path.write_text("{")
    assert "not a notebook" in read_notebook(path, "a.ipynb").broken[0].message
    assert read_file(tmp_path / "none.py", "none.py").parts == []


# ---- the learner's code in a process of its own ------------------------------------------------------

TOKENS = next(c for c in catalog.outline() if c.id == "00")
SOLUTIONS = (ROOT / TOKENS.solutions).read_text()


def graded(folder: Path, text: str) -> dict[str, Result]:
    (folder / "exercises").mkdir(exist_ok=True)
    (folder / TOKENS.answers).write_text(text)
    return {result.id: result for result in runner.grade(TOKENS.exercises, folder)}


def with_bodies(**bodies: str) -> str:
    """The solutions with some functions' bodies replaced."""
    text = SOLUTIONS
    for name, body in bodies.items():
        text = sources.fill(
            text, name, f"def {name}(*args, **kwargs):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        )
    return text


def test_a_file_that_misbehaves_at_import_is_still_graded(tmp_path: Path) -> None:
    text = (
        "import sys, no_such_module\nprint('1 passed')\n1 / 0\nsys.exit(0)\nraise SystemExit\nraise KeyboardInterrupt\n"
        "class Odd(BaseException): pass\nraise Odd\n"
    )
    results = graded(tmp_path, text + SOLUTIONS + "\nsys.exit(3)\nraise ValueError('at the end')\n")
    assert all(result.passed for result in results.values()), results


def test_a_syntax_error_costs_only_its_own_exercise(tmp_path: Path) -> None:
    results = graded(
        tmp_path, SOLUTIONS.replace("ids = tokenizer.encode(text,", "ids = = tokenizer.encode(text,")
    )
    assert results["00.4"].status is Status.ERROR
    assert "syntax error" in results["00.4"].message
    assert "ids = = tokenizer" in results["00.4"].message
    assert all(result.passed for id, result in results.items() if id != "00.4")


def test_functions_that_misbehave_get_a_verdict_each(tmp_path: Path) -> None:
    text = with_bodies(
        build_vocab="import sys\nsys.exit(0)",
        encode="print('right. 1 passed'); return torch.tensor([float('nan')])",
        train_bpe="return train_bpe(*args)",
        single_token_id="return torch.empty(10**14)",
        token_position="return [0] * 10**12",
    )
    text = sources.fill(
        text, "pad_batch", "class pad_batch:\n    def __init__(self, seqs, side): self.seqs = seqs\n"
    )
    results = graded(tmp_path, text)
    assert not any(result.passed for result in results.values())
    assert "sys.exit" in results["00.1"].message
    assert results["00.2"].stage in ("dtype", "shape")
    assert results["00.2"].printed.startswith("right. 1 passed")
    assert "RecursionError" in results["00.3"].message
    assert results["00.4"].status in (Status.ERROR, Status.WRONG)
    assert "an object of type answers_file.pad_batch" in results["00.5"].message + results["00.5"].got
    assert "MemoryError" in results["00.6"].message + results["00.6"].got


CHEATS = """
import math, torch, numpy, sys, builtins
class AlwaysEqual(torch.Tensor):
    def __eq__(self, other): return True
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return True
class Zero(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __int__(self): return 3
    def __sub__(self, other): return 0
for owner in (torch, torch.testing, numpy, math):
    for name in ("allclose", "isclose", "equal", "array_equal", "assert_close"):
        if hasattr(owner, name):
            setattr(owner, name, lambda *a, **k: True)
torch.Tensor.__eq__ = lambda *a: torch.tensor(True)
torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
torch.zeros = torch.full = lambda *a, **k: 0
builtins.any = lambda *a: False
def peek():
    found, frame = [], sys._getframe(1)
    while frame is not None:
        for space in (frame.f_locals, frame.f_globals):
            for value in list(space.values()):
                if callable(getattr(value, "make_expected", None)):
                    found.append(value)
        frame = frame.f_back
    return found
"""
CHEATING = {
    "build_vocab": "return {'<|endoftext|>': Zero(0)}, {0: '<|endoftext|>'}",
    "encode": "return torch.tensor([0, 0]).as_subclass(AlwaysEqual)",
    "apply_bpe": "return type('L', (list,), {'__eq__': lambda a, b: True})(['a'])",
    "single_token_id": "return type('Any', (), {'__eq__': lambda a, b: True})()",
    "pad_batch": "return peek()[0].make_expected(*args)",
    "token_position": "return Zero(0)",
}


def test_no_cheat_passes_in_a_process_of_its_own(tmp_path: Path) -> None:
    results = graded(tmp_path, CHEATS + with_bodies(**CHEATING))
    assert not any(result.passed for result in results.values()), results
    assert "IndexError" in results["00.5"].message  # nothing to peek at
    assert "AlwaysEqual" in results["00.2"].got


def test_what_a_file_patches_is_put_back(tmp_path: Path) -> None:
    patches = "import torch\ntorch.zeros = torch.full = torch.tensor = None\ntorch.set_default_dtype(torch.float64)\n"
    results = graded(tmp_path, patches + SOLUTIONS)
    assert all(result.passed for result in results.values()), results


@pytest.mark.slow
def test_a_file_that_ends_the_process_is_still_graded(tmp_path: Path) -> None:
    results = graded(
        tmp_path, "import os, signal\nos._exit(0)\nos.kill(os.getpid(), signal.SIGSEGV)\n" + SOLUTIONS
    )
    assert all(result.passed for result in results.values()), results


@pytest.mark.slow
def test_functions_that_end_or_hang_the_process_cost_only_themselves(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(catalog.entries("00.2")[0].details, "seconds", 1.0)
    text = with_bodies(
        build_vocab="import os\nprint('passed', flush=True)\nos._exit(0)",
        encode="while True: pass",
        single_token_id="import os\nos.kill(os.getpid(), 11)",
        pad_batch="import sys\nsys.setrecursionlimit(10**8)\nreturn pad_batch(*args)",
        token_position="raise KeyboardInterrupt",
    )
    results = graded(tmp_path, text)
    assert "ended the whole process" in results["00.1"].message
    assert "still running after 1 seconds" in results["00.2"].message
    assert results["00.3"].passed
    assert "SIGSEGV" in results["00.4"].message
    assert results["00.5"].status is Status.ERROR
    assert results["00.6"].status is Status.ERROR


# ---- the rule for where answers live -----------------------------------------------------------------


def write_notebook(path: Path, *cells: str) -> None:
    path.parent.mkdir(exist_ok=True)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(book, path)


def test_the_file_counts_then_the_notebook(tmp_path: Path) -> None:
    stubs = build.stub_file(TOKENS, ROOT)
    right = {name: sources._text(SOLUTIONS.splitlines(), node) for name, node in all_solutions()}
    write_notebook(
        tmp_path / TOKENS.notebook,
        "%matplotlib inline\nimport torch\n1 / 0\nopen('side_effect', 'w')",
        right["encode"],
        right["pad_batch"].replace("True", "False"),
        "def token_position(token, tokens, mode):\n    return (",
        "x = 1\n" + right["single_token_id"],
    )
    text = sources.fill(stubs, "pad_batch", right["pad_batch"])
    results = graded(tmp_path, text)
    assert results["00.1"].status is Status.NOT_ATTEMPTED
    assert results["00.2"].passed
    assert results["00.2"].where == "chapters/00_tokens.ipynb, cell 2, line 1"
    assert results["00.4"].passed
    assert results["00.5"].passed
    assert "the file counts" in results["00.5"].note
    assert "syntax error" in results["00.6"].message
    assert not (tmp_path / "side_effect").exists()


def all_solutions() -> list[tuple[str, ast.AST]]:
    return [pair for pairs in sources.marked(SOLUTIONS).values() for pair in pairs]  # type: ignore[misc]


# ---- in a notebook -----------------------------------------------------------------------------------


@pytest.fixture
def stubs_here(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "exercises").mkdir()
    (tmp_path / TOKENS.answers).write_text(build.stub_file(TOKENS, ROOT))
    monkeypatch.setenv("CLEANLENS_COURSE", str(tmp_path))
    return tmp_path


def test_check_in_a_session(stubs_here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, object] = {"__name__": "notebook"}
    exec(SOLUTIONS, space)
    assert all(notebook.grade(entry.id, space).passed for entry in TOKENS.exercises)
    assert notebook.grade("00.2", {}).status is Status.NOT_ATTEMPTED
    exec((stubs_here / TOKENS.answers).read_text(), space)
    assert notebook.grade("00.2", space).status is Status.NOT_ATTEMPTED

    def encode(text, stoi, prepend_bos=True):
        return torch.tensor([[stoi[c] for c in text]])

    notebook.check(encode)
    assert "not right yet" in capsys.readouterr().out
    (stubs_here / TOKENS.answers).write_text(SOLUTIONS)
    result = notebook.grade(encode)
    assert result.passed
    assert "the file counts" in result.note
    notebook.hint("00.2")
    notebook.hint("00.2")
    assert "hint (2 of 2)" in capsys.readouterr().out
    (stubs_here / "solutions").mkdir()
    (stubs_here / TOKENS.solutions).write_text(SOLUTIONS)
    notebook.solution("00.3")
    shown = capsys.readouterr().out
    assert "def merge(" in shown
    assert "def apply_bpe(" in shown
    assert "Why: " in shown


def test_no_cheat_passes_in_a_session(stubs_here: Path) -> None:
    guard = Guard()
    try:
        space: dict[str, object] = {"__name__": "notebook"}
        exec(CHEATS + with_bodies(**CHEATING), space)
        results = [notebook.grade(entry.id, space) for entry in TOKENS.exercises]
    finally:
        guard.restore()
    assert not any(result.passed for result in results), results


def test_unknown_ids_are_answered_with_what_there_is() -> None:
    with pytest.raises(
        KeyError, match=r"no exercise or chapter '99\.9'\. The chapters are pre \(tensors\), 00 \(tokens\)"
    ):
        catalog.entries("99.9")
    with pytest.raises(TypeError, match="check takes an id"):
        notebook.check(3)


def test_html_escapes_what_a_learner_wrote() -> None:
    result = Result("00.2", Status.WRONG, "values", "<script>alert(1)</script>", printed="<b>", hint="a & b")
    page = report.html(result)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b" in page


# ---- the terminal ------------------------------------------------------------------------------------


def test_the_terminal_says_what_the_notebook_says(tmp_path: Path) -> None:
    (tmp_path / "exercises").mkdir()
    (tmp_path / TOKENS.answers).write_text(with_bodies(encode="return torch.tensor([[0]])"))
    terminal = CliRunner(env={"CLEANLENS_COURSE": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "120"})
    done = terminal.invoke(cli.app, ["check", "00"])
    assert done.exit_code == 1
    assert "✓ 00.1 build_vocab: right" in done.stdout
    assert "✗ 00.2 encode: not right yet" in done.stdout
    assert "5 right, 1 not right yet" in done.stdout
    assert "00.2 encode: not right yet" in terminal.invoke(cli.app, ["list", "00"]).stdout


def test_the_terminal_shows_hints_and_solutions(monkeypatch) -> None:
    terminal = CliRunner(env={"CLEANLENS_COURSE": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120"})
    assert "hint (2 of 3)" in terminal.invoke(cli.app, ["hint", "00.1", "--level", "2"]).stdout
    assert "def encode(" in terminal.invoke(cli.app, ["solution", "00.2"]).stdout
    assert "has hints 1 to 3, not 7" in str(
        terminal.invoke(cli.app, ["hint", "00.1", "--level", "7"]).exception
    )
    monkeypatch.setattr(sys, "argv", ["cleanlens", "check", "99"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()


def test_the_terminal_starts_without_torch() -> None:
    """Everything but a check itself; the package's own __init__ is left out here."""
    code = (
        "import sys, types\n"
        "package = types.ModuleType('cleanlens')\n"
        f"package.__path__ = [{str(ROOT / 'cleanlens')!r}]\n"
        "sys.modules['cleanlens'] = package\n"
        "import cleanlens.course.cli, cleanlens.course.runner\n"
        "from cleanlens.course.catalog import entries\n"
        "assert entries('00.1')[0].hints\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
