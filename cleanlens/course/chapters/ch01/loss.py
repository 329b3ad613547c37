"""Exercise 01.10: The loss."""

import math

import torch
import torch.nn.functional as F

from ...exercise import exercise
from .helpers import numbers, tokens_of

ex = exercise(
    "01.10",
    "loss",
    title="The loss",
    objective="You can say how surprised the model was by each next token, in nats, without losing precision.",
    minutes=15,
    version=2,
    difficulty=2,
    importance=5,
    source="Radford et al. (2018), section 3.1, equation 1; Shannon (1948), A Mathematical Theory of Communication, section 6.",
    hints=[
        "The logits at position i are about token i + 1. So the last position has no target, and the first token is nobody's target.",
        "logits[:, :-1] meets tokens[:, 1:]. gather picks one log-probability per position; it wants an index with as many axes as "
        "the tensor it picks from.",
        "Use log_softmax, which never takes the logarithm of 0; then -log_probs.gather(-1, targets[..., None])[..., 0].",
    ],
    why="log(softmax(x)) and log_softmax(x) are the same on paper; in float32 the first gives -inf as soon as a logit lies 104 below the "
    "largest, and one -inf makes the whole mean useless. log_softmax subtracts the log of the sum instead, x - logsumexp(x); and "
    "logsumexp takes out the maximum first, because e^x itself is infinite from x = 89 on.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    tokens = tokens_of(seed, 3, 8, below=6)
    sure_and_wrong = randn(3, 8, 6)
    for row in range(3):
        sure_and_wrong[row, 2, tokens[row, 3]] = -150.0
    tokens[0, 3] = tokens[2, 5] = 0  # a token like any other
    cases = [(2 * randn(3, 8, 6), tokens), (sure_and_wrong, tokens)]
    # a batch of one, one prediction, none at all; then logits beyond 88, whose exponential is infinite in float32
    cases += [
        (2 * randn(*shape, 6), tokens_of(seed + 1, *shape, below=6))
        for shape in ((1, 5), (4, 2), (1, 2), (3, 1))
    ]
    cases += [(randn(3, 8, 6) + 150, tokens), (randn(3, 8, 6) - 150, tokens), (80 * randn(3, 8, 6), tokens)]
    return [{"logits": logits, "tokens": tokens} for logits, tokens in cases]


@ex.oracle
def _(logits, tokens):
    b, s, _ = logits.shape
    out = torch.zeros(b, s - 1)
    for row in range(b):
        for i in range(s - 1):
            scores = logits[row, i].double().tolist()
            largest = max(scores)
            log_sum = largest + math.log(sum(math.exp(score - largest) for score in scores))
            out[row, i] = log_sum - scores[int(tokens[row, i + 1])]
    return out


@ex.alternative
def gathered(logits, tokens):
    log_probs = logits.log_softmax(dim=-1)
    predictions = log_probs[:, :-1]
    targets = tokens[:, 1:]
    picked = predictions.gather(-1, targets[..., None])
    return -picked.squeeze(-1)


@ex.alternative
def torch_cross_entropy(logits, tokens):
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")


@ex.alternative
def logsumexp_less_the_target(logits, tokens):
    rows, columns = torch.meshgrid(
        torch.arange(len(tokens)), torch.arange(tokens.shape[1] - 1), indexing="ij"
    )
    return logits.logsumexp(-1)[:, :-1] - logits[rows, columns, tokens[:, 1:]]


@ex.alternative
def log_softmax_twice_is_harmless(logits, tokens):
    # log-probabilities are logits too, with a logsumexp of 0
    return F.nll_loss(logits[:, :-1].log_softmax(-1).log_softmax(-1).mT, tokens[:, 1:], reduction="none")


ex.slip(
    "no_shift",
    "Nothing was shifted: the logits at each position were compared with the token that stands there, which the model has just read. They "
    "are about the next one.",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)


ex.slip(
    "shift_reversed",
    "The shift goes the wrong way: each prediction was compared with the token before it. logits[:, :-1] belongs with tokens[:, 1:].",
    "log_probs[:, :-1]",
    "log_probs[:, 1:]",
    "tokens[:, 1:]",
    "tokens[:, :-1]",
)


ex.slip(
    "two_ahead",
    "Each prediction was compared with the token after the next.",
    "log_probs[:, :-1]",
    "log_probs[:, :-2]",
    "tokens[:, 1:]",
    "tokens[:, 2:]",
)


ex.slip(
    "softmax_twice",
    "The softmax was done twice: cross_entropy and log_softmax want logits, not probabilities. (Only log_softmax of log-probabilities "
    "changes nothing.)",
    "logits.log_softmax(dim=-1)",
    "logits.softmax(dim=-1).log_softmax(dim=-1)",
)


ex.slip(
    "log_of_softmax",
    "log(softmax(x)) became -inf where a probability is too small for float32. log_softmax computes the same without taking the log of 0.",
    "logits.log_softmax(dim=-1)",
    "logits.softmax(dim=-1).log()",
)


ex.slip(
    "no_softmax",
    "The target's logit was taken as it is. Logits have no scale until the softmax compares them with the others.",
    "logits.log_softmax(dim=-1)",
    "logits",
)


ex.slip(
    "softmax_over_positions",
    "The softmax runs over the positions. The tokens of the vocabulary compete with each other: dim=-1.",
    "log_softmax(dim=-1)",
    "log_softmax(dim=1)",
)


ex.slip(
    "gather_on_the_wrong_axis",
    "gather picked along the positions: the target's id was used as a position. It is an index into the vocabulary, the last axis.",
    "predictions.gather(-1, targets[..., None])",
    "predictions.gather(1, targets[..., None])",
)


ex.slip(
    "sign",
    "The sign is missing: the loss is minus the log-probability, so that less surprise is less loss.",
    "-picked.squeeze(-1)",
    "picked.squeeze(-1)",
)


ex.slip(
    "probability_for_log",
    "This is minus the probability; the loss is minus its logarithm.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1).exp()",
)


ex.slip(
    "in_bits",
    "The loss is in bits (log to the base 2). It is asked for in nats, the natural logarithm.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1) / math.log(2)",
)


ex.slip(
    "averaged",
    "The losses were averaged. Here every prediction keeps its own: chapter 03 finds induction in their differences.",
    "-picked.squeeze(-1)",
    "-picked.mean()",
)


ex.slip(
    "extra_axis",
    "The axis that gather needed is still there. Drop it: [..., 0] or squeeze(-1).",
    ".squeeze(-1)",
    "",
)


@ex.mistake(
    "All rows were flattened into one long text before the shift, so the last token of one text predicts the first of the next. Shift first, "
    "then flatten, if at all."
)
def across_rows(logits, tokens):
    return F.cross_entropy(logits.flatten(0, 1)[:-1], tokens.flatten()[1:], reduction="none")


@ex.mistake(
    "The numbers are right but stand in one long row. Give them the shape of the predictions, (b, s - 1)."
)
def left_flat(logits, tokens):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")


ex.slip(
    "exponential_overflows",
    "It is right for small logits. From 89 on e^x is infinite in float32, and far below 0 it is 0 and its logarithm -inf. log_softmax and "
    "logsumexp take out the maximum first.",
    "logits.log_softmax(dim=-1)",
    "logits - logits.exp().sum(dim=-1, keepdim=True).log()",
)


ex.slip(
    "token_0_left_out",
    "The loss of predicting token 0 is 0, as if it were padding (ignore_index=0 does that). Here it is a token like any other.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1) * (targets != 0)",
)


ex.slip(
    "all_axes_squeezed",
    "A batch of one, or a text with one prediction, lost an axis: a bare squeeze() drops every axis of size 1. Say which: squeeze(-1).",
    "picked.squeeze(-1)",
    "picked.squeeze()",
)


ex.slip(
    "summed_over_the_text",
    "The losses of each text were added up. Here every prediction keeps its own.",
    "-picked.squeeze(-1)",
    "-picked.squeeze(-1).sum(dim=-1)",
)


ex.slip(
    "a_target_for_the_last",
    "The last position was given a target as well, the text's own first token. Nothing follows it: (b, s - 1).",
    "predictions = log_probs[:, :-1]",
    "predictions = log_probs",
    "targets = tokens[:, 1:]",
    "targets = tokens.roll(-1, dims=1)",
)


ex.slip(
    "smallest_allowed",
    "Where a token is very unlikely the loss stops growing: the probability was kept above some smallest value before the logarithm. "
    "log_softmax needs no such help and is exact.",
    "logits.log_softmax(dim=-1)",
    "logits.softmax(dim=-1).clamp(min=1e-9).log()",
)


ex.equivalent(
    "gather reads as many positions as the index has, and that has s - 1.",
    "log_probs[:, :-1] => log_probs[:, :]",
    ", :-1].log_softmax => , :].log_softmax",
)
ex.equivalent("'ij' is what meshgrid does without it (with a warning).", ", indexing='ij' => ")
ex.equivalent(
    "Log-probabilities are logits whose logsumexp is 0: once or twice is the same.", "log_softmax(-1). => "
)
ex.equivalent("That axis has the size 1: its last is its first.", "None])[..., 0] => None])[..., -1]")
