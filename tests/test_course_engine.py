"""The check engine itself: plain data, comparison, judging, diagnosis, and every kind of answer."""

import torch
from torch import nn

from cleanlens.course import sources
from cleanlens.course.execute import collected, observe
from cleanlens.course.exercise import Chapter, Exercise
from cleanlens.course.judge import Judge
from cleanlens.course.result import Result, Status

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


chapter = Chapter("98", "methods", "Methods")
first = chapter.exercise("98.1", "Scale.forward", supply={"Scale": GivenScale}, **DETAILS)
first.inputs(lambda seed: {"x": torch.arange(3.0) + 1 + seed, "gain": 2.0})
first.call(lambda answer, x, gain: {"out": answer(gain)(x), "back": answer(gain).inverse(x)})
first.oracle(lambda x, gain: {"out": x * gain, "back": x / gain})


@first.alternative
def forward(self, x):
    return self.gain * x


first.slip("adds", "It adds the gain.", "*", "+")

second = chapter.exercise("98.2", "Scale.twice", "Scale.inverse", supply={"Scale": GivenScale}, **DETAILS)
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
