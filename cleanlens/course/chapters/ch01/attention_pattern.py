"""Exercise 01.5: The attention pattern."""

import math

import torch
import torch.nn.functional as F

from ...exercise import exercise
from .helpers import numbers

ex = exercise(
    "01.5",
    "attention_pattern",
    title="The attention pattern",
    objective="You can compute where each head looks from its queries and keys, and say why the scores are scaled.",
    minutes=20,
    version=2,
    rtol=2e-4,
    difficulty=3,
    importance=5,
    source="Vaswani et al. (2017), section 3.2.1, equation 1 and footnote 4.",
    hints=[
        "Scores first: for every head, each query's dot product with each key. An einsum can say it: 'b q h e, b k h e -> "
        "b h q k'.",
        "Divide by the square root of e, the last axis of q. Mask. Only then the softmax, over the keys (the last axis).",
        "(scores / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf).softmax(dim=-1)",
    ],
    why="A dot product of e independent terms of variance 1 has variance e. Divided by sqrt(e) the scores keep a size of "
    "about 1 whatever e is, so that the softmax starts out soft and its gradient is not 0. The mask comes before the softmax, "
    "so that what is left adds up to 1.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    shapes = [(2, 5, 3, 6), (3, 4, 2, 5), (1, 3, 1, 3), (2, 1, 3, 6), (1, 1, 1, 2)]
    cases = [{"q": 1.5 * randn(*shape), "k": 1.5 * randn(*shape)} for shape in shapes]
    cases[0]["q"][0, 3] = 0.0  # a query whose scores are all exactly 0
    # scores of some hundred: beyond 88 the exponential of a float32 is infinite
    return [*cases, {"q": 11 * randn(2, 4, 3, 5), "k": 11 * randn(2, 4, 3, 5)}]


@ex.oracle
def _(q, k):
    b, s, h, e = q.shape
    pattern = torch.zeros(b, h, s, s)
    for row, head, i in ((r, n, p) for r in range(b) for n in range(h) for p in range(s)):
        scores = [
            sum(float(q[row, i, head, c]) * float(k[row, j, head, c]) for c in range(e)) / e**0.5
            for j in range(i + 1)
        ]
        weights = [math.exp(score - max(scores)) for score in scores]
        pattern[row, head, i, : i + 1] = torch.tensor(weights) / sum(weights)
    return pattern


@ex.alternative
def heads_in_front(q, k):
    q, k = q.transpose(1, 2), k.transpose(1, 2)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:]).triu(1).bool()
    scores = scores.masked_fill(future, -math.inf)
    return scores.softmax(dim=-1)


@ex.alternative
def exponentials(q, k):
    scores = torch.einsum("bqhe,bkhe->bhqk", q / q.shape[-1] ** 0.5, k)
    scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


@ex.alternative
def values_that_name_the_keys(q, k):
    # attention to values that are one-hot is the pattern itself
    identity = torch.eye(q.shape[1]).expand(q.shape[0], q.shape[2], -1, -1)
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), identity, is_causal=True)


ex.slip(
    "no_scale",
    "The scores were not divided by sqrt(d_head). The softmax gets too sharp, the more so the wider the heads.",
    " / math.sqrt(q.shape[-1])",
    "",
)


ex.slip(
    "sqrt_of_d_model",
    "The divisor is too large: it is the root of all heads' widths together (d_model). Each score is a dot product within one "
    "head, of d_head terms.",
    "math.sqrt(q.shape[-1])",
    "math.sqrt(q.shape[-1] * q.shape[1])",
)


ex.slip(
    "divided_by_d_head",
    "The scores were divided by d_head; it should be its square root.",
    "math.sqrt(q.shape[-1])",
    "q.shape[-1]",
)


ex.slip(
    "multiplied_by_the_root",
    "The scores were multiplied by sqrt(d_head) instead of divided by it.",
    "/ math.sqrt(q.shape[-1])",
    "* math.sqrt(q.shape[-1])",
)


ex.slip(
    "root_of_the_wrong_axis",
    "The divisor is the root of the number of positions, so the pattern changes with the length of the text. d_head is the "
    "last axis of q.",
    "math.sqrt(q.shape[-1])",
    "math.sqrt(q.shape[-2])",
)


ex.slip(
    "softmax_over_queries",
    "The softmax runs over the queries: the columns add up to 1. Each query shares its attention out among the keys: dim=-1.",
    "dim=-1",
    "dim=-2",
)


ex.slip(
    "softmax_over_heads",
    "The softmax runs over the heads. Heads do not compete; the keys do: dim=-1.",
    "dim=-1",
    "dim=1",
)


ex.slip(
    "queries_and_keys_swapped",
    "Queries and keys are swapped: row i holds the scores of key i. The query is the row, the one that looks.",
    "q @ k.transpose(-1, -2)",
    "k @ q.transpose(-1, -2)",
)


ex.slip(
    "no_mask",
    "The future is not masked: each position attends to tokens that it should predict.",
    "    scores = scores.masked_fill(future, -math.inf)\n",
    "",
)


ex.slip(
    "masked_after_the_softmax",
    "The mask came after the softmax, so the rows no longer add up to 1: the future has taken its share and was thrown away. Put "
    "-inf into the scores before the softmax.",
    "    scores = scores.masked_fill(future, -math.inf)\n",
    "",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1).masked_fill(future, 0.0)",
)


ex.slip(
    "zeros_for_minus_infinity",
    "The future got the score 0, and e^0 = 1: it still receives attention. Fill it with -inf.",
    "-math.inf",
    "0.0",
)


ex.slip(
    "scaled_after_the_softmax",
    "The softmax came first and the division after it, so the rows add up to 1/sqrt(d_head). Scale the scores.",
    " / math.sqrt(q.shape[-1])",
    "",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1) / math.sqrt(q.shape[-1])",
)


ex.slip(
    "scores_for_pattern",
    "These are the masked scores; the softmax is missing.",
    "scores.softmax(dim=-1)",
    "scores",
)


ex.slip(
    "heads_not_moved",
    "The axes are (b, q, h, k) or the like. The pattern is one square per head: (b, h, q, k).",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1).transpose(1, 2)",
)


@ex.mistake(
    "Heads and positions were mixed up: the products are between the heads of one position. Bring the head axis in front of the "
    "positions first, or name the axes in an einsum."
)
def heads_attend_to_heads(q, k):
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf).softmax(dim=-1)


@ex.mistake(
    "It is right for small scores. The exponential of a score above 88 is infinite in float32, and infinity over infinity is NaN; a row "
    "of very low scores becomes 0 / 0. Subtract each row's maximum first, or use softmax, which does."
)
def exponential_overflows(q, k):
    weights = torch.einsum("bqhe,bkhe->bhqk", q / q.shape[-1] ** 0.5, k).exp().tril()
    return weights / weights.sum(-1, keepdim=True)


@ex.mistake(
    "Where a row's scores are large, the row is wrong or NaN: the maximum was taken over everything (or over the future as well), so "
    "the row's own exponentials all became 0. Subtract the maximum of what each query sees."
)
def one_maximum_for_all(q, k):
    scores = torch.einsum("bqhe,bkhe->bhqk", q / q.shape[-1] ** 0.5, k)
    weights = (scores - scores.max()).exp().tril()
    return weights / weights.sum(-1, keepdim=True)


ex.slip(
    "reshaped_for_transposed",
    "Positions and heads are shuffled: (b, s, h, e) was reshaped to (b, h, s, e), which cuts the same numbers into other vectors. Axes "
    "change places by transpose(1, 2).",
    "q, k = q.transpose(1, 2), k.transpose(1, 2)",
    "q, k = (x.reshape(x.shape[0], x.shape[2], x.shape[1], x.shape[3]) for x in (q, k))",
)


ex.slip(
    "root_of_the_heads",
    "The divisor is the root of the number of heads. It is that of d_head, the last axis of q: the number of terms in a dot product.",
    "math.sqrt(q.shape[-1])",
    "math.sqrt(q.shape[1])",
)


ex.slip(
    "half_of_d_head",
    "The scores were divided by half of d_head. It should be the square root (the same for d_head = 4 only).",
    "math.sqrt(q.shape[-1])",
    "(q.shape[-1] / 2)",
)


ex.slip(
    "always_the_root_of_64",
    "The scores were divided by 8 whatever d_head is. 8 is the root of GPT-2's 64; take that of q's last axis.",
    "math.sqrt(q.shape[-1])",
    "8",
)


ex.slip(
    "diagonal_masked",
    "The diagonal is masked as well, so the first query sees nothing and its row is NaN. A token may look at itself.",
    ".triu(1)",
    ".triu(0)",
)


ex.slip(
    "past_masked",
    "The past is hidden and the future seen: the triangle is the wrong one. Hidden is where key > query.",
    ".triu(1)",
    ".tril(-1)",
)


@ex.mistake(
    "The numbers are right, but q was changed: /= and *= work in place. The caller's queries belong to the caller; write q = q / ..."
)
def scales_q_in_place(q, k):
    q /= math.sqrt(q.shape[-1])
    return (
        q.transpose(1, 2) @ k.transpose(1, 2).mT + torch.full((q.shape[1],) * 2, -math.inf).triu(1)
    ).softmax(-1)


@ex.mistake(
    "The rows do not add up to 1: they are 0 where the score is exactly 0, or such scores became -inf. A score of 0 is a score like any "
    "other; find the future by position."
)
def zero_scores_are_hidden(q, k):
    scores = (q.transpose(1, 2) @ k.transpose(1, 2).mT / math.sqrt(q.shape[-1])).tril()
    return scores.masked_fill(scores == 0, -math.inf).softmax(dim=-1).nan_to_num(0.0)


ex.equivalent(
    "The triangle may have the axes of batch and heads as well, or one of them: it is the same in each.",
    ".shape[-2:]) => .shape[:])",
    ".shape[-2:]). => .shape[-3:]).",
    ".shape[-2:], => .shape[:],",
    ".shape[-2:], => .shape[-3:],",
)
ex.equivalent(
    "scaled_dot_product_attention broadcasts the values over batch and heads.",
    ".expand(q.shape[0], q.shape[2], -1, -1) => ",
)
