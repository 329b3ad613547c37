"""Exercise pre.4: A softmax that does not break."""

import math

import torch

from ...exercise import exercise

ex = exercise(
    "pre.4",
    "softmax",
    title="A softmax that does not break",
    objective="You can turn scores into weights that sum to 1, also where exp of a score is too large for a float.",
    minutes=10,
    difficulty=2,
    importance=5,
    version=2,
    source="The identity softmax(x) = softmax(x - c) for any number c, and that exp(89) is infinite in float32.",
    hints=[
        "What is exp(100) in float32? And exp(-1000), if it is the largest of its row?",
        "The weights stay the same when one number is subtracted from all scores of a row. Which number makes the largest one exp(0)?",
        "shifted = scores - scores.amax(-1, keepdim=True); then exp, divided by its sum along -1, with keepdim.",
    ],
    why="exp(x_i - c) / sum exp(x_j - c) does not depend on c: exp(-c) stands above and below. With the row's own maximum as c the "
    "largest term is exp(0) = 1, so nothing overflows and the sum is never 0. -inf stays -inf and becomes 0: that is how a mask works.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    masked = 3 * randn(3, 6)
    masked[torch.rand(3, 6, generator=generator) < 0.4] = -math.inf
    masked[torch.arange(3), torch.randint(6, (3,), generator=generator)] = 1.0
    levels = randn(3, 5) + torch.tensor([[-300.0], [0.0], [300.0]])
    # Scores below all that might stand in for -inf.
    low = [
        [-3e4, -math.inf, -3e4 - 64, -4e4],
        [-math.inf, -2e9, -3e9, -2e30],
        [-2e38, -math.inf, -1e38, -math.inf],
    ]
    cases = [
        randn(2, 3, 5),
        50 * randn(4),
        masked,
        levels,
        100 * randn(1, 2, 3, 4),
        randn(3, 1),
        torch.tensor(low),
    ]
    return [{"scores": scores} for scores in [*cases, torch.tensor([[95.0, 95.0], [-95.0, -95.0]])]]


@ex.oracle
def _(scores):
    rows = []
    for row in scores.reshape(-1, scores.shape[-1]).double().tolist():
        # each weight is 1 over a sum of ratios
        rows.append(
            [
                0.0
                if x == -math.inf
                else 1 / sum(math.exp(min(y - x, 700.0)) if y > -math.inf else 0.0 for y in row)
                for x in row
            ]
        )
    return torch.tensor(rows).reshape(scores.shape)


@ex.alternative
def shifted_by_the_largest(scores):
    shifted = scores - scores.amax(dim=-1, keepdim=True)
    weights = shifted.exp()
    return weights / weights.sum(dim=-1, keepdim=True)


@ex.alternative
def by_logsumexp(scores):
    return torch.exp(scores - scores.logsumexp(-1, keepdim=True))


@ex.alternative
def torchs_own(scores):
    return torch.softmax(scores, dim=-1)


ex.slip(
    "overflows",
    "exp was taken of the scores as they are. From 89 on it is infinite, and where all are far below zero every exp is 0: then it "
    "is inf / inf or 0 / 0. Subtract each row's largest score first; the weights stay the same.",
    "scores - scores.amax(dim=-1, keepdim=True)",
    "scores",
)


ex.slip(
    "nan_replaced",
    "exp was taken of the scores as they are, and what came out as nan was replaced by 0: such rows no longer sum to 1. Subtract each row's "
    "largest score first; then there is no nan.",
    "scores - scores.amax(dim=-1, keepdim=True)",
    "scores",
    "return weights / weights.sum(dim=-1, keepdim=True)",
    "return (weights / weights.sum(dim=-1, keepdim=True)).nan_to_num(0.0)",
)


ex.slip(
    "one_maximum_for_all_rows",
    "The largest score of the whole tensor was subtracted. In a row far below it every exp is 0, and 0 / 0 is nan: subtract each row's own "
    "maximum.",
    "scores.amax(dim=-1, keepdim=True)",
    "scores.max()",
)


ex.slip(
    "along_the_first_axis",
    "The weights sum to 1 along the first axis. They should along the last: dim=-1.",
    "scores.amax(dim=-1, keepdim=True)",
    "scores.amax(dim=0, keepdim=True)",
    "weights.sum(dim=-1, keepdim=True)",
    "weights.sum(dim=0, keepdim=True)",
)


ex.slip(
    "summed_over_everything",
    "All weights of the tensor together sum to 1. Each row is a distribution of its own.",
    "weights.sum(dim=-1, keepdim=True)",
    "weights.sum()",
)


ex.slip(
    "not_divided",
    "The exponentials were not divided by their sum, so they do not sum to 1.",
    " / weights.sum(dim=-1, keepdim=True)",
    "",
)


ex.slip(
    "base_two",
    "The weights are powers of 2. The softmax takes powers of e: exp.",
    "shifted.exp()",
    "2.0**shifted",
)


ex.slip(
    "length_one",
    "The squares of the weights sum to 1, as when they are divided by their norm. The weights themselves should.",
    "weights.sum(dim=-1, keepdim=True)",
    "weights.norm(dim=-1, keepdim=True)",
)


ex.slip(
    "logarithms",
    "These are logarithms of the weights (log_softmax). The weights were asked for.",
    "return weights / weights.sum(dim=-1, keepdim=True)",
    "return shifted - weights.sum(dim=-1, keepdim=True).log()",
)


ex.slip(
    "scores_cut_off",
    "Scores beyond 80 were cut off, so that 85 and 100 count the same, and all that is far below counts alike. Subtract the row's largest "
    "score instead: that changes no weight.",
    "scores - scores.amax(dim=-1, keepdim=True)",
    "scores.clamp(-80, 80)",
)


ex.slip(
    "minus_ten_thousand_for_inf",
    "A score of -inf was replaced by a number like -1e4. Where the real scores lie lower, the masked ones get all the weight. Leave "
    "it: exp(-inf) is 0, and -inf less the row's largest score is -inf.",
    "scores - scores.amax(dim=-1, keepdim=True)",
    "scores.masked_fill(scores == -math.inf, -1e4)\n    shifted = shifted - shifted.amax(dim=-1, keepdim=True)",
)


ex.slip(
    "minus_a_billion_for_inf",
    "A score of -inf was replaced by a number like -1e9. Where the real scores lie lower, the masked ones get all the weight. Leave "
    "it: exp(-inf) is 0, and -inf less the row's largest score is -inf.",
    "scores - scores.amax(dim=-1, keepdim=True)",
    "scores.masked_fill(scores == -math.inf, -1e9)\n    shifted = shifted - shifted.amax(dim=-1, keepdim=True)",
)


ex.slip(
    "all_on_the_largest",
    "All the weight is on the largest score. The softmax gives the others some, too.",
    "shifted.exp()",
    "(shifted == 0).float()",
)


@ex.mistake(
    "The scores were divided by their sum, without exp. Scores may be negative; exp makes weights of them."
)
def without_exp(scores):
    return scores / scores.sum(dim=-1, keepdim=True)
