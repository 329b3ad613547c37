# mypy: ignore-errors
"""Chapter 07, Training dynamics: scoring checkpoints, finding a phase change, and training a model to see one."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from ...config import HookedTransformerConfig
from ...hooked_transformer import HookedTransformer
from ...training import train as library_train
from ..exercise import Chapter
from ..plain import Raised, attempt

chapter = Chapter("07", "training", "Training dynamics")

BOS = 0


# ---- what the checks are made of --------------------------------------------------------------------


def small_config(attn_only=True, n_layers=2, n_ctx=9):
    return HookedTransformerConfig(
        n_layers=n_layers,
        d_model=10,
        n_ctx=n_ctx,
        d_head=3,
        n_heads=4,
        d_mlp=None if attn_only else 7,
        d_vocab=13,
        act_fn=None if attn_only else "gelu_new",
        attn_only=attn_only,
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


@lru_cache(maxsize=16)
def built(slot, **settings):
    return HookedTransformer(small_config(**settings))


@torch.no_grad()
def small_model(seed, slot=0, **settings):
    """A model whose weights, biases and gains included, are random and of order 1; written anew every time."""
    model = built(slot, **settings)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        kind = name.rpartition(".")[2]
        scale = 1 / math.sqrt(weight.shape[-2]) if kind.startswith("W_") else 0.3
        weight.copy_(torch.randn(weight.shape, generator=generator) * scale + (kind == "w"))
        weight.grad, weight.requires_grad = None, True
    return model


# ---- 07.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "07.1",
    "score_checkpoints",
    title="One score for every checkpoint",
    objective="You can follow a number through training: the same question put to every checkpoint, in the order of time.",
    minutes=15,
    difficulty=2,
    importance=4,
    source="Olsson et al. 2022, heading 'Argument 1': scores and losses of the same prompts over many snapshots of one training "
    "run.",
    hints=[
        "Which things must differ from one checkpoint to the next, and which must not? Only the weights may.",
        "Labels are text. sorted(labels, key=int) puts '200' before '1000'.",
        "load() writes into one and the same model: score a checkpoint before you load the next. model.eval(), and "
        "torch.no_grad() around it all.",
    ],
    why="Every difference along the curve should come from training. So the tokens are drawn once, the model is in eval mode, "
    "and each checkpoint is scored while its own weights are in place.",
)


class Snapshots:
    """A model whose training was recorded: `load(label)` puts that moment's weights in and returns the model.

    Its BatchNorm makes the mode matter: in training mode it uses, and changes, other statistics.
    """

    def __init__(self, seed, labels):
        generator = torch.Generator().manual_seed(seed)
        self.model = nn.Sequential(nn.Embedding(11, 6), nn.Flatten(0, 1), nn.BatchNorm1d(6), nn.Linear(6, 4))
        self.states = {}
        for label in labels:
            state = {}
            for name, value in self.model.state_dict().items():
                value = (
                    torch.randn(value.shape, generator=generator)
                    if value.is_floating_point()
                    else value.clone()
                )
                state[name] = value.abs() + 0.5 if name.endswith("running_var") else value
            self.states[label] = state

    def load(self, label):
        self.model.load_state_dict(self.states[label])
        return self.model.train()


class Draws:
    """`make_tokens()` of the check: other tokens at each call."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self):
        return torch.randint(0, 11, (3, 5), generator=self.generator)


def mean_output(model, tokens):
    return model(tokens).mean(dim=0)  # four numbers


def largest_output(model, tokens):
    return model(tokens).max()  # one number


SCORES = {"mean": mean_output, "largest": largest_output}


@ex.inputs
def _(seed):
    return [
        {"labels": ["100", "2500", "0", "800", "1000", "30"], "score": "mean", "seed": seed},
        {"labels": ["512", "1024", "2", "64"], "score": "largest", "seed": seed + 50},
    ]


@ex.oracle
def _(labels, score, seed):
    snapshots, tokens = Snapshots(seed, labels), Draws(seed)()
    by_step = {}
    for label in labels:
        state = snapshots.states[label]
        x = state["0.weight"][tokens].flatten(0, 1)
        x = (x - state["2.running_mean"]) / (state["2.running_var"] + 1e-5).sqrt()
        x = x * state["2.weight"] + state["2.bias"]
        x = x @ state["3.weight"].T + state["3.bias"]
        by_step[int(label)] = x.mean(dim=0) if score == "mean" else x.max()
    steps = sorted(by_step)
    return {
        "steps": torch.tensor(steps),
        "scores": torch.stack([by_step[step] for step in steps]),
        "still attached to the graph": False,
    }


@ex.call
def _(answer, labels, score, seed):
    snapshots = Snapshots(seed, labels)
    result = answer(labels, snapshots.load, Draws(seed), SCORES[score])
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    attached = bool(isinstance(result[1], torch.Tensor) and result[1].requires_grad)
    return {"steps": result[0], "scores": result[1], "still attached to the graph": attached}


@ex.alternative
def one_after_the_other(labels, load, make_tokens, score):
    ordered = sorted(labels, key=int)
    tokens = make_tokens()
    scores = []
    with torch.no_grad():
        for label in ordered:
            model = load(label).eval()
            scores.append(score(model, tokens))
    return torch.tensor([int(label) for label in ordered]), torch.stack(scores)


@ex.alternative
def sorted_at_the_end(labels, load, make_tokens, score):
    tokens = make_tokens()
    found = {}
    for label in labels:
        model = load(label)
        model.eval()
        found[int(label)] = score(model, tokens).detach().clone()
    steps = torch.tensor(list(found)).sort().values
    return steps, torch.stack([found[int(step)] for step in steps])


ex.slip(
    "string_order",
    "The labels were sorted as text, where '1000' comes before '200'. The curve then runs back and forth in time: sort by "
    "int(label).",
    "sorted(labels, key=int)",
    "sorted(labels)",
)
ex.slip(
    "as_they_came",
    "The checkpoints are in the order in which they were given. Files come in any order; training has only one: sort by "
    "int(label).",
    "sorted(labels, key=int)",
    "list(labels)",
)
ex.slip(
    "latest_first",
    "The checkpoints run backwards, the last step first.",
    "sorted(labels, key=int)",
    "sorted(labels, key=int, reverse=True)",
)
ex.slip(
    "steps_and_scores_in_other_orders",
    "The steps are sorted, the scores are not: each score stands beside another checkpoint's step. Sort once, before the loop.",
    "ordered = sorted(labels, key=int)",
    "ordered = list(labels)",
    "torch.tensor([int(label) for label in ordered])",
    "torch.tensor(sorted(int(label) for label in ordered))",
)
ex.slip(
    "same_weights_every_time",
    "Every score was taken on the first checkpoint's weights. load(label) belongs inside the loop.",
    "    scores = []",
    "    scores = []\n    model = load(ordered[0]).eval()",
    "            model = load(label).eval()\n",
    "",
)
ex.slip(
    "loaded_all_before",
    "All checkpoints were loaded before any was scored. load() returns one and the same model with other weights in it, so "
    "every entry of your list was the last one loaded. Score each before you load the next.",
    "        for label in ordered:\n            model = load(label).eval()\n",
    "        models = [load(label).eval() for label in ordered]\n        for model in models:\n",
)
ex.slip(
    "new_tokens_each_time",
    "Each checkpoint was scored on other random tokens, so that part of every rise and fall is luck. Call make_tokens() once, "
    "before the loop.",
    "            scores.append(score(model, tokens))",
    "            scores.append(score(model, tokens))\n            tokens = make_tokens()",
)
ex.slip(
    "train_mode",
    "The model was scored in training mode. Dropout and batch statistics then change what it computes: call model.eval() after "
    "every load, which returns the model as training left it.",
    "load(label).eval()",
    "load(label)",
)
ex.slip(
    "keeps_the_graph",
    "The scores are right but still hold the graph for backward, so every checkpoint's activations stay in memory. Score under "
    "torch.no_grad() (or detach).",
    "torch.no_grad()",
    "torch.enable_grad()",
)
ex.slip(
    "counts_checkpoints",
    "The steps are 0, 1, 2, ...: the checkpoints' numbers in the list. Checkpoints are not evenly spaced; return what the labels "
    "say.",
    "[int(label) for label in ordered]",
    "list(range(len(ordered)))",
)
ex.slip(
    "averaged_away",
    "A score may have several entries, one per head for instance. All of a checkpoint's were averaged into one; keep them: "
    "[step ...].",
    "score(model, tokens)",
    "score(model, tokens).mean()",
)
ex.slip(
    "steps_last",
    "The steps became the last axis. Stack along the first one: scores[i] belongs to steps[i].",
    "torch.stack(scores)",
    "torch.stack(scores, dim=-1)",
)


# ---- 07.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "07.2",
    "phase_change_step",
    title="Where is the phase change?",
    objective="You can say when a curve rises fastest when its points are unevenly spaced and noisy.",
    minutes=20,
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


# ---- 07.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "07.3",
    "make_batch",
    title="Training data that asks for induction",
    objective="You can make training data in which the only rule that helps is the one you want learned.",
    minutes=25,
    difficulty=3,
    importance=5,
    seeds=2,
    source="Identity: with one period n, 'attend n - 1 back' is right at every repeat; with a random one, only 'attend to what followed this "
    "token before' is. Olsson et al. 2022, 'Key Concepts', for induction on repeated random tokens.",
    hints=[
        "Two loops: over the rows, and inside a row while at < n_ctx. Each turn writes one segment and its copy.",
        "n = int(torch.randint(min_len, max_len + 1, (), generator=generator)): randint leaves out its upper end.",
        "The last pair may not fit: new = torch.cat([segment, segment])[: n_ctx - at], then row[at : at + len(new)] = new.",
    ],
    why="A network learns the easiest rule that fits. If one length is used, the easiest is an offset, which positions alone give; it is learned "
    "sooner than induction and fails on every other length. Drawing each segment's length anew takes that rule away.",
)


@ex.inputs
def _(seed):
    return [
        {"batch": 30, "n_ctx": 61, "d_vocab": 40001, "min_len": 3, "max_len": 7, "seed": seed},
        {"batch": 30, "n_ctx": 40, "d_vocab": 11, "min_len": 4, "max_len": 12, "seed": seed + 50},
        {"batch": 30, "n_ctx": 16, "d_vocab": 997, "min_len": 9, "max_len": 13, "seed": seed + 100},
    ]


def described(batch):
    """The expected record: what all right batches share."""
    return {
        "shape": list(batch),
        "dtype": "torch.int64",
        "every row begins with BOS": True,
        "BOS inside a row": False,
        "filled to the end": True,
        "all tokens are between 1 and d_vocab - 1": True,
        "the tokens' smallest and largest": True,
        "every segment is followed by its copy": True,
        "the copy runs forwards": True,
        "a segment comes back once, then a new one follows": True,
        "lengths min_len and max_len both occur, none outside": True,
        "all lengths are about as frequent": True,
        "lengths differ within a row": True,
        "lengths differ between rows": True,
        "rows differ": True,
        "the same generator state gives the same batch": True,
        "another batch differs": True,
        "global random state left alone": True,
    }


@ex.oracle
def _(batch, n_ctx, **_):
    return described((batch, n_ctx))


@ex.call
def _(answer, batch, n_ctx, d_vocab, min_len, max_len, seed):
    def draw(generator):
        return answer(batch, n_ctx, d_vocab, generator, min_len, max_len)

    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(seed)
    first, second = draw(generator), draw(generator)
    untouched = bool(torch.equal(before, torch.get_rng_state()))
    return {
        "first": first,
        "second": second,
        "again": draw(torch.Generator().manual_seed(seed)),
        "untouched": untouched,
    }


def segments(row, min_len, max_len):
    """The lengths of a row's segments that fit whole with their copies, and whether all there is can be read so.

    Also whether a segment came back a third time right after its copy.
    """
    lengths, at, third = [], 1, False
    while at < len(row):
        rest = row[at:]
        n = next((n for n in range(2, len(rest) // 2 + 1) if rest[:n] == rest[n : 2 * n]), None)
        if n is None:
            # The last pair, cut: either its copy has begun, or it may still be inside a segment.
            cut = any(rest[: len(rest) - n] == rest[n:] for n in range(1, len(rest)))
            return lengths, cut or len(rest) <= max_len, third
        lengths.append(n)
        at += 2 * n
        third = third or (at + n <= len(row) and row[at : at + n] == rest[:n])
    return lengths, True, third


@ex.measure
def _(observed, batch, n_ctx, d_vocab, min_len, max_len, seed):
    first = observed["first"]
    if not isinstance(first, torch.Tensor) or first.ndim != 2 or first.dtype.is_floating_point:
        return first  # judged by its type
    record = {"shape": list(first.shape), "dtype": str(first.dtype)}
    if record["shape"] != [batch, n_ctx]:
        return record | {key: None for key in described((0, 0)) if key not in record}
    rest = first[:, 1:]
    real = rest[rest != BOS]
    record["every row begins with BOS"] = bool((first[:, 0] == BOS).all())
    empty_end = (first[:, -1] == BOS).float().mean().item() > 0.3
    record["BOS inside a row"] = bool((rest == BOS).any()) and not empty_end
    record["filled to the end"] = not empty_end
    record["all tokens are between 1 and d_vocab - 1"] = bool(((real >= 1) & (real < d_vocab)).all())
    extremes = (int(real.min()), int(real.max())) if len(real) else (0, 0)
    exact = d_vocab < 50  # with a small vocabulary each token occurs
    record["the tokens' smallest and largest"] = not exact or extremes == (1, d_vocab - 1)
    same = {"again": observed["again"], "second": observed["second"]}
    equal = {k: isinstance(v, torch.Tensor) and torch.equal(v, first) for k, v in same.items()}
    record["the same generator state gives the same batch"] = equal["again"]
    record["another batch differs"] = not equal["second"]
    record["global random state left alone"] = observed["untouched"]
    rows = first.tolist()
    record["rows differ"] = len({tuple(row[1:]) for row in rows}) > len(rows) // 2
    read = [segments(row, min_len, max_len) for row in rows]
    lengths = [found for found, _, _ in read]
    every = [n for found in lengths for n in found]
    share = {n: every.count(n) / max(1, len(every)) for n in set(every)}
    # In a small vocabulary chance makes short repeats, and in a short row no pair fits whole: not judged there.
    whole = d_vocab > 50 and n_ctx > 4 * max_len
    wanted = range(min_len, max_len + 1)
    backwards = sum(any(row[1 : 1 + n] == row[2 * n : n : -1] for n in range(2, max_len + 1)) for row in rows)
    judged = {
        "every segment is followed by its copy": all(ok for _, ok, _ in read),
        "the copy runs forwards": backwards < len(rows) / 4,
        "a segment comes back once, then a new one follows": not any(third for _, _, third in read),
        "lengths min_len and max_len both occur, none outside": bool(every)
        and (min(every), max(every)) == (min_len, max_len),
        "all lengths are about as frequent": all(share.get(n, 0) > 0.35 / len(wanted) for n in wanted),
        "lengths differ within a row": sum(len(set(found)) > 1 for found in lengths) > len(rows) / 2,
        "lengths differ between rows": len({tuple(found) for found in lengths}) > len(rows) / 2,
    }
    record |= {name: value if whole else True for name, value in judged.items()}
    if n_ctx < 2 * min_len:  # one cut pair per row: the copy's beginning tells the length
        offsets = [
            next((n for n in range(1, n_ctx - 1) if row[1 : n_ctx - n] == row[1 + n :]), 0) for row in rows
        ]
        record["lengths differ between rows"] = len(set(offsets)) > 2
    return {key: record[key] for key in described((0, 0))}


@ex.alternative
def pair_by_pair(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    tokens = torch.full((batch, n_ctx), BOS)
    for row in tokens:
        at = 1
        while at < n_ctx:
            n = int(torch.randint(min_len, max_len + 1, (), generator=generator))
            segment = torch.randint(1, d_vocab, (n,), generator=generator)
            new = torch.cat([segment, segment])[: n_ctx - at]
            row[at : at + len(new)] = new
            at += 2 * n
    return tokens


@ex.alternative
def by_lists(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    rows = []
    for _ in range(batch):
        row = [BOS]
        while len(row) < n_ctx:
            n = min_len + int(torch.rand((), generator=generator) * (max_len + 1 - min_len))
            row += 2 * torch.randint(1, d_vocab, (n,), generator=generator).tolist()
        rows.append(row[:n_ctx])
    return torch.tensor(rows)


@ex.alternative
def copies_by_index(batch, n_ctx, d_vocab, generator, min_len=4, max_len=20):
    fresh = torch.randint(1, d_vocab, (batch, n_ctx), generator=generator)
    lengths = torch.randint(min_len, max_len + 1, (batch, n_ctx), generator=generator)
    source = torch.arange(n_ctx).repeat(batch, 1)
    for b in range(batch):
        at = 1
        for n in lengths[b].tolist():
            source[b, at + n : at + 2 * n] -= n
            at += 2 * n
    tokens = fresh.gather(1, source)
    tokens[:, 0] = BOS
    return tokens


ex.slip(
    "one_fixed_length",
    "Every segment has the same length, so every copy stands the same number of positions back. A model then learns to attend that "
    "offset, from positions alone: faster than induction, and useless on any other length. Draw a length for each segment.",
    "int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "max_len",
)
ex.slip(
    "one_length_per_batch",
    "All rows of a batch have the same lengths in the same places. Each update then pulls towards one offset and the next towards "
    "another. Draw in the innermost loop, for each segment of each row.",
    "    for row in tokens:\n        at = 1",
    "    lengths = torch.randint(min_len, max_len + 1, (n_ctx,), generator=generator).tolist()\n"
    "    for row in tokens:\n        left = iter(lengths)\n        at = 1",
    "int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "next(left)",
)
ex.slip(
    "one_length_per_row",
    "Within a row all segments have the same length. After the first copy the row's offset is known, and looking it up is again "
    "easier than induction. Draw a new length for each segment.",
    "        at = 1",
    "        at = 1\n        n = int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "            n = int(torch.randint(min_len, max_len + 1, (), generator=generator))\n",
    "",
)
ex.slip(
    "longest_left_out",
    "The length max_len never occurs: torch.randint leaves out its upper end. Ask for max_len + 1.",
    "max_len + 1",
    "max_len",
)
ex.slip(
    "lengths_from_zero",
    "There are segments shorter than min_len. The lower end of torch.randint is its first argument.",
    "torch.randint(min_len, max_len + 1, ()",
    "torch.randint(1, max_len + 1, ()",
)
ex.slip(
    "two_lengths_only",
    "Only the two extreme lengths occur. With a short list of lengths a head per offset is enough; draw from all lengths between "
    "min_len and max_len.",
    "n = int(torch.randint(min_len, max_len + 1, (), generator=generator))",
    "n = (min_len, max_len)[int(torch.randint(2, (), generator=generator))]",
)
ex.slip(
    "no_BOS",
    "The rows do not begin with BOS (token 0). Heads that have nothing to look at need a place to rest on, and the models of this course "
    "always have it.",
    "at = 1",
    "at = 0",
)
ex.slip(
    "samples_BOS",
    "Token 0 turns up inside the rows: it is BOS and marks the beginning only. Draw from 1 on.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(0, d_vocab, (n,)",
)
ex.slip(
    "last_token_left_out",
    "Token d_vocab - 1 is never drawn. The upper end of torch.randint is left out already.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(1, d_vocab - 1, (n,)",
)
ex.slip(
    "token_too_large",
    "There is a token d_vocab, which the embedding has no row for. The largest token is d_vocab - 1.",
    "torch.randint(1, d_vocab, (n,)",
    "torch.randint(1, d_vocab + 1, (n,)",
)
ex.slip(
    "copy_drawn_anew",
    "There are no repeats: after a segment come new random tokens, so there is nothing to learn in this batch. Write the same segment "
    "twice, and let the next pair begin 2n places on (after n places it would overwrite the copy).",
    "torch.cat([segment, segment])",
    "torch.cat([segment, torch.randint(1, d_vocab, (n,), generator=generator)])",
)
ex.slip(
    "copy_reversed",
    "The copy runs backwards. Induction predicts what followed last time: keep the order.",
    "torch.cat([segment, segment])",
    "torch.cat([segment, segment.flip(0)])",
)
ex.slip(
    "one_segment_all_along",
    "One segment fills the whole row, over and over. Then the row has one period, found once and used to its end. Draw a new "
    "segment after each copy.",
    "torch.cat([segment, segment])[: n_ctx - at]",
    "segment.repeat(n_ctx)[: n_ctx - at]",
    "at += 2 * n",
    "at = n_ctx",
)
ex.slip(
    "one_pair_then_nothing",
    "Only the first pair was written; the rest of the row is padding. Go on until the row is full.",
    "at += 2 * n",
    "break",
)
ex.slip(
    "last_pair_dropped",
    "A pair that does not fit was left out, and the row ends in zeros, which are BOS. Cut the pair at n_ctx instead.",
    "            new = torch",
    "            if at + 2 * n > n_ctx:\n                break\n            new = torch",
)
ex.slip(
    "rows_all_alike",
    "All rows are one row. A batch should hold many different examples: draw for each row.",
    "return tokens",
    "return tokens[:1].expand(batch, -1)",
)
ex.slip(
    "one_row_too_long",
    "The rows have n_ctx + 1 tokens; the model has positions for n_ctx. BOS counts.",
    "torch.full((batch, n_ctx), BOS)",
    "torch.full((batch, n_ctx + 1), BOS)",
    "while at < n_ctx:",
    "n_ctx = tokens.shape[1]\n        while at < n_ctx:",
)
ex.slip(
    "generator_ignored",
    "The tokens were not drawn from the generator, so a run cannot be repeated. Pass generator=generator to every random call.",
    "torch.randint(1, d_vocab, (n,), generator=generator)",
    "torch.randint(1, d_vocab, (n,))",
)
ex.slip(
    "seed_inside",
    "Every call gives the same batch, because the generator is seeded inside. The model would see one batch for the whole of training "
    "and learn it by heart.",
    "    tokens = torch.full((batch, n_ctx), BOS)",
    "    generator = torch.Generator().manual_seed(0)\n    tokens = torch.full((batch, n_ctx), BOS)",
)
ex.slip(
    "float_tokens",
    "Tokens are indices: int64, not float. An embedding cannot be indexed with floats.",
    "return tokens",
    "return tokens.float()",
)


# ---- 07.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "07.4",
    "train_induction",
    title="Train it, and watch",
    objective="You can write a training loop that measures the model while it learns, and that trains the same with or without the measuring.",
    minutes=30,
    difficulty=3,
    importance=5,
    source="Loshchilov and Hutter 2019, algorithm 2 (AdamW); warm-up and clipping as in Vaswani et al. 2017, section 5.3, and Pascanu et al. 2013, "
    "section 3.2.",
    atol=2e-4,
    rtol=1e-3,
    may_change_inputs=True,
    seeds=1,
    hints=[
        "Make one optimizer before the loop: torch.optim.AdamW(model.parameters(), lr=..., betas=(0.9, 0.98), weight_decay=0.01).",
        "One update: set the rate in optimizer.param_groups, loss, zero_grad, backward, clip_grad_norm_, step. In this order.",
        "The rate of update number step (from 0) is learning_rate * min(1, (step + 1) / warmup). Score before update number step, and once "
        "more after the last one.",
    ],
    why="A score recorded at step t is that of the weights after exactly t updates: the untrained model is step 0, and the last entry is the model you "
    "keep. Clipping must see finished gradients and come before the step; the optimizer must live as long as the training, because its averages are its "
    "memory.",
)


class Recorded:
    """`make_batch(step)` of the check: a batch that depends on the step, with the steps it was asked for."""

    def __init__(self, seed):
        self.seed, self.asked = seed, []

    def __call__(self, step):
        self.asked.append(int(step))
        generator = torch.Generator().manual_seed(1000 * self.seed + int(step))
        tokens = torch.randint(1, 13, (5, 9), generator=generator)
        return torch.cat([torch.zeros(5, 1, dtype=torch.int64), tokens[:, :4], tokens[:, :4]], dim=1)


def probe(model):
    """A score that every weight has a say in."""
    tokens = torch.arange(27).reshape(3, 9) * 5 % 13
    return model(tokens)[:, :, ::4].square().mean().item()


@torch.no_grad()
def model_to_train(seed):
    """Its logits are large, so that the gradients' norm is above 1 and clipping matters."""
    model = small_model(seed)
    model.unembed.W_U *= 8
    return model


@ex.inputs
def _(seed):
    return [
        {"seed": seed, "steps": 7, "every": 3, "learning_rate": 0.03, "warmup": 4},
        {"seed": seed + 50, "steps": 4, "every": 2, "learning_rate": 0.02, "warmup": 2},
    ]


@ex.oracle
def _(seed, steps, every, learning_rate, warmup):
    model = model_to_train(seed)
    history = {"steps": [], "scores": []}

    def record(step, loss):
        if step % every == 0 or step == steps:
            history["steps"].append(step)
            history["scores"].append(probe(model))

    rate = library_train.warmup_hold_cosine(learning_rate, steps, hold=steps, warmup=warmup)
    library_train.train(model, Recorded(seed), steps, rate, 0.01, record, progress=False)
    return history | {"batches": list(range(steps)), "after": probe(model)}


@ex.call
def _(answer, seed, steps, every, learning_rate, warmup):
    model, batches = model_to_train(seed), Recorded(seed)
    result = answer(model, batches, steps, probe, every, learning_rate, warmup)
    if not isinstance(result, tuple) or len(result) != 2:
        return result
    return {"steps": result[0], "scores": result[1], "batches": batches.asked, "after": probe(model)}


@ex.alternative
def plain_loop(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    recorded, scores = [], []
    for step in range(steps):
        if step % every == 0:
            recorded.append(step)
            scores.append(score(model))
        optimizer.param_groups[0]["lr"] = learning_rate * min(1, (step + 1) / warmup)
        loss = model(make_batch(step), return_type="loss")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    recorded.append(steps)
    scores.append(score(model))
    return recorded, scores


@ex.alternative
def with_a_scheduler(model, make_batch, steps, score, every=25, learning_rate=2e-3, warmup=100):
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(1.0, (done + 1) / warmup))
    history = [(0, score(model))]
    for step in range(steps):
        model(make_batch(step), return_type="loss").backward()
        total = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for p in model.parameters():
            p.grad *= min(1.0, 1.0 / (total.item() + 1e-6))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if (step + 1) % every == 0 or step + 1 == steps:
            history.append((step + 1, score(model)))
    return [step for step, _ in history], [value for _, value in history]


STEP = "        optimizer.step()"
CLIP = "        torch.nn.utils.clip_grad_norm_(parameters, 1.0)\n"

ex.slip(
    "same_batch",
    "The same batch was used at every step. The model learns those rows by heart, and there is no need for induction: ask "
    "make_batch(step) for a new one each time.",
    "make_batch(step)",
    "make_batch(0)",
)
ex.slip(
    "batches_from_one",
    "The first batch asked for is number 1. Count from 0, so that a run of this seed is the same run for everybody.",
    "make_batch(step)",
    "make_batch(step + 1)",
)
ex.slip(
    "never_steps",
    "The weights never change: optimizer.step() is missing.",
    STEP,
    "        optimizer.zero_grad()",
)
ex.slip(
    "gradients_pile_up",
    "The gradients of all steps so far add up: optimizer.zero_grad() before each backward.",
    "        optimizer.zero_grad()\n",
    "",
)
ex.slip(
    "no_warmup",
    "The full learning rate from the first update on. Adam's averages are still empty then and its first steps are large: start at "
    "learning_rate / warmup.",
    "learning_rate * min(1, (step + 1) / warmup)",
    "learning_rate",
)
ex.slip(
    "first_rate_is_zero",
    "Update 0 has rate 0, and each later one the rate of the update before. Use (step + 1) / warmup.",
    "(step + 1) / warmup",
    "step / warmup",
)
ex.slip(
    "rate_keeps_growing",
    "After the warm-up the rate goes on growing. It should stay: min(1, (step + 1) / warmup).",
    "min(1, (step + 1) / warmup)",
    "((step + 1) / warmup)",
)
ex.slip(
    "no_clipping",
    "The gradients that the optimizer saw were not clipped. Around a phase change one bad batch can throw the weights far off: clip "
    "their norm to 1, after backward() and before optimizer.step().",
    CLIP,
    "",
)
ex.slip(
    "clipped_one_by_one",
    "Each weight's gradient was clipped by itself, which turns the direction of the step. Clip the norm of all gradients together.",
    "torch.nn.utils.clip_grad_norm_(parameters, 1.0)",
    "[torch.nn.utils.clip_grad_norm_([p], 1.0) for p in parameters]",
)
ex.slip(
    "clipped_by_value",
    "The gradients' entries were cut at 1, not their common norm scaled to 1: clip_grad_norm_, not clip_grad_value_.",
    "clip_grad_norm_",
    "clip_grad_value_",
)
ex.slip(
    "new_optimizer_each_step",
    "A new optimizer was made at every step, so Adam never has a past: its averages are one gradient, and each update is as large as the "
    "rate allows. Make it once, before the loop.",
    "        optimizer.zero_grad()",
    "        optimizer = torch.optim.AdamW(parameters, optimizer.param_groups[0]['lr'], betas=(0.9, 0.98), weight_decay=0.01)\n"
    "        optimizer.zero_grad()",
)
ex.slip(
    "plain_adam",
    "That is Adam, which puts the decay into the gradient, where it is divided away again. AdamW takes it off the weights.",
    "torch.optim.AdamW",
    "torch.optim.Adam",
)
ex.slip(
    "sgd",
    "That is plain gradient descent. With one rate for all weights these models take far longer; use AdamW.",
    "torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)",
    "torch.optim.SGD(parameters, lr=learning_rate)",
)
ex.slip(
    "default_betas",
    "The betas are AdamW's default, (0.9, 0.999). The second average then remembers a thousand steps and is slow to notice a phase change: "
    "(0.9, 0.98).",
    " betas=(0.9, 0.98),",
    "",
)
ex.slip(
    "first_layer_only",
    "Only some of the weights were given to the optimizer: those of the first block stay as they were. Hand it all of "
    "model.parameters().",
    "list(model.parameters())",
    "[p for name, p in model.named_parameters() if not name.startswith('blocks.0')]",
)
ex.slip(
    "climbs",
    "The loss goes up: the sign is turned round somewhere. backward() on the loss itself, and the optimizer goes down.",
    "loss.backward()",
    "(-loss).backward()",
)
ex.slip(
    "scored_after_the_update",
    "The score stands beside the wrong step: it was taken after update number step, when the weights have had step + 1 updates.",
    "        if step % every == 0:\n            recorded.append(step)\n            scores.append(score(model))\n",
    "",
    STEP,
    STEP
    + "\n        if step % every == 0:\n            recorded.append(step)\n            scores.append(score(model))",
)
ex.slip(
    "last_score_missing",
    "The finished model was not scored: add an entry for step == steps after the loop.",
    "    recorded.append(steps)\n    scores.append(score(model))\n",
    "",
)
ex.slip(
    "start_missing",
    "The untrained model, step 0, was not scored. Without it there is nothing to compare with.",
    "if step % every == 0:",
    "if step % every == 0 and step > 0:",
)
ex.slip(
    "scored_at_every_step",
    "Every step was scored. The measuring then costs more than the training: score when step % every == 0, and at the end.",
    "if step % every == 0:",
    "if True:",
)


ex.slip(
    "trains_a_copy",
    "The model that you were given was not trained: a copy of it was. Train the model itself.",
    "    parameters = list(model.parameters())",
    "    import copy\n\n    model = copy.deepcopy(model)\n    parameters = list(model.parameters())",
)


# ---- 07.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "07.5",
    "grow",
    title="A deeper model with the same function",
    objective="You can put a trained model into a bigger one so that nothing changes, and everything can.",
    minutes=20,
    difficulty=3,
    importance=3,
    source="Chen, Goodfellow and Shlens 2016, 'Net2Net', section 2.2 (function-preserving initialisation); here by the residual stream: "
    "x + 0 = x.",
    atol=1e-5,
    rtol=1e-5,
    may_change_inputs=True,
    hints=[
        "What does a layer have to write so that the residual stream passes through it unchanged? Which parameters decide what it writes?",
        "W_O, b_O, W_out and b_out of every layer become zero; then the small model's weights are copied over some of them.",
        "blocks.1.attn.W_Q goes to blocks.{layers[1]}.attn.W_Q; embed, pos_embed, ln_final and unembed keep their names. Under "
        "torch.no_grad(), with parameter.copy_().",
    ],
    why="A layer is x + f(x), so f = 0 leaves x alone to the last digit. Only what writes need be zero: queries, keys, values and W_in keep their random "
    "start, so there is a gradient for W_O at the first step and learning can begin (with everything zero it could not).",
)

SMALL_LAYERS = {"attn_only": True, "n_layers": 2}
BIG_LAYERS = {"attn_only": False, "n_layers": 4}


@ex.inputs
def _(seed):
    return [
        {"seed": seed, "layers": [0, 1], "extra": False},
        {"seed": seed + 50, "layers": [1, 3], "extra": False},
        {"seed": seed + 100, "layers": [0, 2], "extra": True},
    ]


def small_state(seed, extra):
    """A small model's parameters; with `extra` one more, that a bigger model has no place for."""
    model = small_model(seed, slot=1, **SMALL_LAYERS)
    state = {name: p.detach().clone() for name, p in model.named_parameters()}
    return state | ({"blocks.1.mlp.W_gate": torch.ones(10, 7)} if extra else {})


TOKENS = torch.arange(18).reshape(2, 9) * 7 % 13


@ex.oracle
def _(seed, layers, extra):
    if extra:
        return Raised(KeyError, mentions=["mlp.W_gate"])
    small = small_model(seed, slot=1, **SMALL_LAYERS)
    before = {
        name: p.detach().clone() for name, p in small_model(seed + 7, slot=2, **BIG_LAYERS).named_parameters()
    }
    with torch.no_grad():
        logits = small(TOKENS)
    free = [layer for layer in range(BIG_LAYERS["n_layers"]) if layer not in layers]
    keep = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")
    kept = {name: before[name] for name in before if name.endswith(("mlp.W_in", "mlp.b_in"))}
    kept |= {f"blocks.{i}.attn.{kind}": before[f"blocks.{i}.attn.{kind}"] for i in free for kind in keep}
    return {
        "logits": logits,
        "still random": kept,
        "gradients reach": True,
        "small unchanged": True,
        "shares memory": False,
    }


@ex.call
def _(answer, seed, layers, extra):
    big = small_model(seed + 7, slot=2, **BIG_LAYERS)
    state = small_state(seed, extra)
    outcome = attempt(answer, big, state, layers)
    if extra or isinstance(outcome, Raised):
        return outcome
    with torch.no_grad():
        logits = big(TOKENS)
    parameters = dict(big.named_parameters())
    free = [layer for layer in range(BIG_LAYERS["n_layers"]) if layer not in layers]
    keep = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")
    names = [name for name in parameters if name.endswith(("mlp.W_in", "mlp.b_in"))]
    names += [f"blocks.{i}.attn.{kind}" for i in free for kind in keep]
    kept = {name: parameters[name].detach().clone() for name in names}
    fresh = small_state(seed, extra)
    unchanged = all(torch.equal(state[name], fresh[name]) for name in fresh)
    shares = any(p.data_ptr() == value.data_ptr() for p in parameters.values() for value in state.values())
    wanted = [parameters[f"blocks.{free[0]}.attn.W_O"], parameters[f"blocks.{free[0]}.mlp.W_out"]]
    reach = all(p.requires_grad for p in parameters.values())
    if reach:
        gradients = torch.autograd.grad(big(TOKENS, return_type="loss"), wanted, allow_unused=True)
        reach = all(g is not None and bool(g.abs().max() > 0) for g in gradients)
    return {
        "logits": logits,
        "still random": kept,
        "gradients reach": reach,
        "small unchanged": unchanged,
        "shares memory": shares,
    }


@ex.alternative
@torch.no_grad()
def silent_then_copied(big, small, layers):
    parameters = dict(big.named_parameters())
    outputs = ("W_O", "b_O", "W_out", "b_out")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.split(".")[-1] in outputs:
                parameter.zero_()
        for name, value in small.items():
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                name = f"blocks.{layers[int(layer)]}.{rest}"
            if name not in parameters:
                raise KeyError(name)
            parameters[name].copy_(value)


@ex.alternative
def by_state_dict(big, small, layers):
    def place(name):
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(layers[int(parts[1])])
        return ".".join(parts)

    moved = {place(name): value.clone() for name, value in small.items()}
    state = big.state_dict()
    if missing := set(moved) - set(state):
        raise KeyError(f"no place for {missing}")
    silent = ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")
    state |= {name: torch.zeros_like(value) for name, value in state.items() if name.endswith(silent)}
    big.load_state_dict(state | moved)


ex.slip(
    "nothing_silenced",
    "The new layers were left as they are: they write random vectors into the stream from the first step on. Make their outputs zero.",
    "parameter.zero_()",
    "pass",
)
ex.slip(
    "biases_still_write",
    "W_O and W_out are zero but b_O and b_out are not: the new layers still add a constant.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "W_out")',
)
ex.slip(
    "mlps_still_write",
    "The MLPs still write. The small model has none, so all of the big one's must be silent, also in the layers that are filled.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "b_O")',
)
ex.slip(
    "attention_still_writes",
    "The heads of the fresh layers still write: W_O and b_O must be zero there, as W_out and b_out are.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_out", "b_out")',
)
ex.slip(
    "inputs_silenced_too",
    "The function is right, but what the new parts read with is zero as well. Then W_out and W_O get no gradient, nor do W_in and W_V: the new "
    "layers can never start to learn. Zero only what writes.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "b_O", "W_out", "b_out", "W_in", "b_in", "W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")',
)
ex.slip(
    "inputs_for_outputs",
    "What reads was set to zero, not what writes: b_O and b_out still reach the stream, and the MLP's activation of its bias too. Zero W_O, b_O, "
    "W_out, b_out.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_V", "b_V", "W_in", "b_in")',
)
ex.slip(
    "layers_ignored",
    "The small model's layers were put into layers 0, 1, ... whatever `layers` says: layer i belongs in layers[i].",
    "layers[int(layer)]",
    "int(layer)",
)
ex.slip(
    "layers_reversed",
    "The layers are in reverse order. The second reads what the first wrote; it must stand later.",
    "layers[int(layer)]",
    "layers[::-1][int(layer)]",
)
ex.slip(
    "silenced_last",
    "The outputs were set to zero after the copying, so that the trained heads are silent as well. First silence, then copy.",
    "            parameters[name].copy_(value)",
    "            parameters[name].copy_(value)\n            if name.split('.')[-1] in outputs:\n                parameters[name].zero_()",
)
ex.slip(
    "blocks_only",
    "Only the blocks were copied. Embedding, positions, final LayerNorm and unembedding belong to the function too.",
    "            if name not in parameters:",
    "            if not name.startswith('blocks.'):\n                continue\n            if name not in parameters:",
)
ex.slip(
    "norms_forgotten",
    "The gains and biases of LayerNorm were not copied. Each layer reads through its own; with another gain it reads something else.",
    "            if name not in parameters:",
    "            if '.ln' in name or name.startswith('ln_final'):\n                continue\n            if name not in parameters:",
)
ex.slip(
    "extra_weights_dropped",
    "A weight for which the bigger model has no place was silently dropped; the function is then another one, and nobody is told. Raise a "
    "KeyError that names it.",
    "                raise KeyError(name)",
    "                continue",
)
ex.slip(
    "wires_instead_of_copies",
    "The big model's parameters are the small one's tensors themselves: training the one then changes the other. Copy the values: "
    "parameter.copy_(value).",
    "parameters[name].copy_(value)",
    "parameters[name].data = value",
)
ex.slip(
    "frozen",
    "The grown model's parameters no longer take gradients. It is supposed to go on learning: leave requires_grad as it was.",
    "    parameters = dict(big.named_parameters())",
    "    parameters = dict(big.requires_grad_(False).named_parameters())",
)
