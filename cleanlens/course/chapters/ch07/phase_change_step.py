"""Exercise 07.2: Where is the phase change?."""

import math

import numpy as np
import torch

from ...exercise import exercise

ex = exercise(
    "07.2",
    "phase_change_step",
    title="Where is the phase change?",
    objective="You can say when a curve rises fastest when its points are unevenly spaced and noisy.",
    minutes=20,
    version=2,
    difficulty=3,
    importance=3,
    source="The chain rule: d score / d log(1+t) = (1+t) d score / dt. Its largest value marks the 'abrupt' change of Olsson et "
    "al. 2022 ('Argument 1') by a rule instead of by eye.",
    atol=1e-4,
    rtol=1e-5,
    hints=[
        "Time first: x = log(1 + step). Then a slope is a difference of scores over a difference of x, between neighbours.",
        "Smoothing: entry i is the mean of scores[max(0, i - w // 2) : i + w // 2 + 1]. As many from the left as from the right, "
        "so nothing moves.",
        "The steepest interval has two ends. Half way in x is (x[i] + x[i + 1]) / 2; back to steps it is exp(that) - 1.",
    ],
    why="A difference must be divided by the time it took, or a wide interval wins for being wide. With log time 'fast' means per "
    "factor, not per step, which suits a process that takes ten times longer for each next thing. A slope belongs to an interval, so "
    "its place is the middle of it, in the same log time.",
)


@ex.inputs
def _(seed):
    rng = np.random.default_rng(seed)
    cases = []
    for window, n, first in [(1, 9, 0), (1, 8, 7), (3, 12, 0), (5, 13, 1), (3, 10, 4), (1, 11, 2)]:
        gaps = np.exp(rng.uniform(0.5, 4.5, n - 1)).astype(int) + 1
        steps = first + np.concatenate([[0], np.cumsum(gaps)])
        scores = rng.normal(size=n).cumsum() * 0.5 + np.linspace(0, 2, n)
        cases.append((steps, scores, window))
    shaped = [
        (1, [0, 3, 90, 400], [0, 4, 4.5, 6]),  # the steepest interval begins at step 0
        (1, [5, 9, 40, 50, 300], [6, 0.5, 1, 1.6, 2.5]),  # it falls further than it rises
        (1, [10, 20, 1000, 4000], [0, 0.5, 1, 4]),  # steep per step early, in log time late
        (3, [1, 3, 9, 30, 100, 300], [5, 5.05, 5.1, 5.4, 5.9, 6]),  # far from 0 at both ends
        (3, [1, 3, 7, 15, 31, 63, 127], [0, 0.3, 0.4, 0.5, 0.5, 0.6, 3]),  # steepest at the very end
        (3, [1, 3, 7, 15, 31, 63, 127], [2, 2, 2.5, 2.6, 1, 0.5, 0]),  # ends lower than it begins
    ]
    shaped += [
        (1, [0, 1], [0.3, 0.1]),  # one interval
        (5, [2, 9, 40, 90], [0, 1, 1.5, 1.7]),  # a window wider than the curve
        (3, [4, 5], [1, 2]),
        (7, [0, 10, 30, 500, 900], [0, 0.1, 4, 4.5, 4.6]),
        (1, [30, 100, 1000], [90, 60, 20]),  # it only falls
    ]
    for window, steps, scores in shaped:
        cases.append((np.array(steps), np.array(scores) + rng.normal(size=len(steps)) * 0.01, window))
    return [
        {
            "steps": torch.tensor(steps),
            "scores": torch.tensor(scores, dtype=torch.float64),
            "window": window,
        }
        for steps, scores, window in cases
    ]


@ex.oracle
def _(steps, scores, window):
    steps, scores = steps.tolist(), scores.tolist()
    smooth = []
    for i in range(len(scores)):
        near = [s for j, s in enumerate(scores) if abs(j - i) <= window // 2]
        smooth.append(sum(near) / len(near))
    best, place = -math.inf, None
    for i in range(len(steps) - 1):
        slope = (smooth[i + 1] - smooth[i]) / math.log((1 + steps[i + 1]) / (1 + steps[i]))
        if slope > best:
            best, place = slope, math.sqrt((1 + steps[i]) * (1 + steps[i + 1])) - 1
    return place


@ex.alternative
def with_tensors(steps, scores, window=1):
    half = window // 2
    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].mean() for i in range(len(scores))])
    x = torch.log1p(steps.double())
    slope = smooth.diff() / x.diff()
    i = int(slope.argmax())
    middle = (x[i] + x[i + 1]) / 2
    return float(torch.expm1(middle))


@ex.alternative
def with_a_moving_sum(steps, scores, window=1):
    width = np.ones(window)
    smooth = np.convolve(scores.numpy(), width, "full") / np.convolve(np.ones(len(scores)), width, "full")
    smooth = smooth[window // 2 : window // 2 + len(scores)]
    t = steps.numpy().astype(float) + 1
    i = int(np.argmax(np.diff(smooth) / np.diff(np.log2(t))))
    return float(np.sqrt(t[i] * t[i + 1]) - 1)


ex.slip(
    "argmax_of_the_score",
    "That is where the score is highest. A phase change is where it rises fastest: the slope's maximum, long before the score's own.",
    "    i = int(slope.argmax())\n    middle = (x[i] + x[i + 1]) / 2",
    "    middle = x[smooth.argmax()]",
)


ex.slip(
    "index_for_step",
    "That is the number of the checkpoint in the list. Turn it into a step: the interval is from steps[i] to steps[i + 1].",
    "return float(torch.expm1(middle))",
    "return float(i)",
)


ex.slip(
    "per_step",
    "The slope was taken per step. Between steps 10 and 20 as much happens as between 1000 and 2000: divide by the difference of "
    "log(1 + step).",
    "smooth.diff() / x.diff()",
    "smooth.diff() / steps.diff()",
)


ex.slip(
    "spacing_ignored",
    "The largest difference between neighbours was taken, however far apart they are. A long interval rises more because it is "
    "long: divide by the difference of log(1 + step).",
    "smooth.diff() / x.diff()",
    "smooth.diff()",
)


ex.slip(
    "left_end",
    "That is the step at which the steepest interval begins. A slope belongs to the whole interval: give its middle in log time.",
    "(x[i] + x[i + 1]) / 2",
    "x[i]",
)


ex.slip(
    "right_end",
    "That is the step at which the steepest interval ends: an answer that is always late. Give its middle in log time.",
    "(x[i] + x[i + 1]) / 2",
    "x[i + 1]",
)


ex.slip(
    "middle_in_steps",
    "The right interval, but its middle was taken in steps. Slopes were measured in log time, so take the middle there too: "
    "sqrt((1 + a)(1 + b)) - 1.",
    "return float(torch.expm1(middle))",
    "return float((steps[i] + steps[i + 1]) / 2)",
)


ex.slip(
    "still_in_log_time",
    "That is log(1 + step). Take it back to steps: exp of it, minus 1.",
    "return float(torch.expm1(middle))",
    "return float(middle)",
)


ex.slip(
    "one_too_late",
    "Close, but one step late: exp gives 1 + step. Subtract the 1 that kept log(0) away.",
    "torch.expm1(middle)",
    "torch.exp(middle)",
)


ex.slip(
    "log_of_zero",
    "log(0) is minus infinity, so the interval that begins at step 0 is infinitely long and can never be the steepest. Use log(1 + "
    "step).",
    "x = torch.log1p(steps.double())",
    "x = steps.double().log()",
    "return float(torch.expm1(middle))",
    "return float(torch.exp(middle))",
)


ex.slip(
    "falls_count_too",
    "The steepest place here is a fall. We look for where the score rises; do not take absolute values.",
    "slope.argmax()",
    "slope.abs().argmax()",
)


ex.slip(
    "steepest_fall",
    "That is where the score falls fastest. Take the largest slope, not the smallest.",
    "slope.argmax()",
    "slope.argmin()",
)


ex.slip(
    "trailing_average",
    "The average looks only backwards, so everything appears later than it was. Take as many neighbours from the left as from the "
    "right.",
    "scores[max(0, i - half) : i + half + 1]",
    "scores[max(0, i - window + 1) : i + 1]",
)


ex.slip(
    "leading_average",
    "The average looks only ahead, so everything appears earlier than it was. Take as many neighbours from the left as from the right.",
    "scores[max(0, i - half) : i + half + 1]",
    "scores[i : i + window]",
)


ex.slip(
    "not_smoothed",
    "The window has no effect: with window 3 each score should become the mean of itself and its two neighbours first. A single noisy "
    "checkpoint is steep on both sides.",
    "half = window // 2",
    "half = 0",
)


ex.slip(
    "window_twice_as_wide",
    "window is the whole width. You took that many on each side: use window // 2.",
    "half = window // 2",
    "half = window",
)


ex.slip(
    "smoothed_slope",
    "The slopes were smoothed, not the scores. With unevenly spaced steps that is not the same: smooth the scores, then take slopes.",
    "scores[max(0, i - half) : i + half + 1].mean()",
    "scores[i]",
    "    i = int(slope.argmax())",
    "    slope = torch.stack([slope[max(0, i - half) : i + half + 1].mean() for i in range(len(slope))])\n"
    "    i = int(slope.argmax())",
)


@ex.mistake(
    "At the two ends the missing neighbours were counted as zeros, which bends the curve towards 0 there and makes a steep place out "
    "of nothing. Average those that exist."
)
def padded_with_zeros(steps, scores, window=1):
    half = window // 2
    near = torch.cat([scores.new_zeros(half), scores, scores.new_zeros(half)]).unfold(0, window, 1)
    x = torch.log1p(steps.double())
    i = int((near.mean(-1).diff() / x.diff()).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


@ex.mistake(
    "The window runs around the ends: the first checkpoint was averaged with the last. Time does not wrap; average the neighbours that "
    "exist."
)
def around_the_ends(steps, scores, window=1):
    half = window // 2
    smooth = torch.stack([scores.roll(shift) for shift in range(-half, half + 1)]).mean(0)
    x = torch.log1p(steps.double())
    i = int((smooth.diff() / x.diff()).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


@ex.mistake(
    "Smoothing dropped the checkpoints at the ends, and the slopes that are left were looked up among all steps: everything is window // 2 "
    "checkpoints too early. Keep one smoothed score per step."
)
def ends_dropped(steps, scores, window=1):
    smooth = scores.unfold(0, window, 1).mean(-1)
    x = torch.log1p(steps.double())[: len(smooth)]
    i = int((smooth.diff() / x.diff()).argmax())
    return float(torch.expm1((x[i] + x[i + 1]) / 2))


@ex.mistake(
    "That is a slope at a checkpoint, taken over the interval before and the one after together (np.gradient does this). It blurs a sharp rise "
    "over two intervals. Take the slope of each interval by itself."
)
def over_two_intervals(steps, scores, window=1):
    half = window // 2
    smooth = [scores[max(0, i - half) : i + half + 1].mean().item() for i in range(len(scores))]
    return float(steps[int(np.gradient(smooth, np.log1p(steps.numpy())).argmax())])


ex.slip(
    "one_short_on_the_right",
    "The average has one neighbour less on the right than on the left: a slice leaves out its end. Take scores up to i + window // 2, that one "
    "included.",
    "i + half + 1]",
    "i + half]",
    "max(0, i - half) :",
    "max(0, i - half) : i + 1 if half == 0 else",
)


ex.slip(
    "smoothed_with_smoothed",
    "The averages were taken over scores that were averaged already. Smooth from the scores as they were given, into a new tensor.",
    "    smooth = torch.stack([scores[max(0, i - half) : i + half + 1].mean() for i in range(len(scores))])",
    "    smooth = scores.clone()\n    for i in range(len(smooth)):\n        smooth[i] = smooth[max(0, i - half) : i + half + 1].mean()",
)


ex.slip(
    "a_tensor",
    "The result is a tensor. A Python float is asked for: float(...).",
    "return float(torch.expm1(middle))",
    "return torch.expm1(middle)",
)


ex.slip(
    "rounded",
    "The result was rounded to a whole step. The middle in log time lies between the steps: keep the fraction.",
    "return float(torch.expm1(middle))",
    "return float(round(float(torch.expm1(middle))))",
)


ex.equivalent(
    "The logarithm of a whole number is float32 here, which gives the step back to a millionth of itself.",
    "steps.double()) => steps)",
)


ex.equivalent(
    "A tensor or a numpy number that holds one integer is an index as an int is.",
    "int(slope.argmax() => slope.argmax(",
    "int((smooth.diff() / x.diff()).argmax() => (smooth.diff() / x.diff()).argmax(",
    "int(np.argmax(np.diff(smooth) / np.diff(np.log2(t) => np.argmax(np.diff(smooth) / np.diff(np.log2(t",
)


ex.equivalent(
    "'full' is what numpy's convolve does when it is not told otherwise.",
    "width, 'full') => width)",
)


ex.equivalent(
    "a convolved with b is b convolved with a.",
    "scores.numpy(), width => width, scores.numpy()",
    "np.ones(len(scores)), width => width, np.ones(len(scores))",
)


ex.equivalent(
    "numpy reads a tensor as the array that it holds.",
    "scores.numpy(), => scores,",
)


ex.equivalent(
    "numpy takes logarithms and roots of whole numbers in float64.",
    ".astype(float) => ",
)


ex.equivalent(
    "Another base of the logarithm stretches all intervals alike, so the same one is the steepest.",
    "diff(np.log2(t)) => diff(np.log(t))",
)


ex.equivalent(
    "A number of numpy's passes for one of Python's.",
    "float(np.sqrt(t[i] * t[i + 1]) - 1) => np.sqrt(t[i] * t[i + 1]) - 1",
)
