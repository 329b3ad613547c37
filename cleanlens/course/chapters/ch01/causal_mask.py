"""Exercise 01.4: The causal mask."""

import math

import torch

from ...exercise import exercise
from .helpers import numbers

ex = exercise(
    "01.4",
    "causal_mask",
    title="The causal mask",
    objective="You can hide the future from every query, also when the queries are only the last of the positions.",
    minutes=15,
    version=3,
    difficulty=2,
    importance=4,
    source="Vaswani et al. (2017), section 3.2.3 (masking out all illegal connections, set to -infinity).",
    hints=[
        "Write down a row: which keys may query i see? Its own position and everything before it.",
        "A softmax gives 0 exactly where the score is -inf, so fill, don't multiply: scores.masked_fill(hidden, -math.inf).",
        "With n_keys - n_queries positions before the queries, query i stands at n_keys - n_queries + i; hidden is key > query. "
        "torch.triu(ones, diagonal=1 + n_keys - n_queries) draws the same triangle.",
    ],
    why="A score of 0 is not 'no attention': it is e^0 = 1 in the softmax. And only -inf works for scores of any size. The "
    "offset n_keys - n_queries is 0 in training; it counts when a model generates with its keys cached, one query at a "
    "time.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    cases = [60 * randn(2, 3, *shape) for shape in ((5, 5), (2, 6), (1, 4), (7, 7))]
    cases[0][0, 0, 3, 1] = cases[1][1, 2, 0, 0] = 0.0  # a score like any other
    cases += [60 * randn(1, 1, 1, 1), 60 * randn(1, 2, 3, 3), torch.zeros(2, 1, 4, 4)]
    return [{"scores": scores} for scores in cases]


@ex.call
def _(answer, scores):
    masked = answer(scores)
    shared = isinstance(masked, torch.Tensor) and masked.data_ptr() == scores.data_ptr()
    return {"masked": masked, "it is a copy": not shared}


@ex.oracle
def _(scores):
    out = scores.clone()
    n_queries, n_keys = scores.shape[2:]
    for query in range(n_queries):
        for key in range(n_keys):
            if key > n_keys - n_queries + query:
                out[:, :, query, key] = -math.inf
    return {"masked": out, "it is a copy": True}


@ex.measure
def _(observed, scores):
    # -1e9 or the smallest float serve a softmax as well as -inf does; -100 does not.
    masked = observed["masked"]
    if isinstance(masked, torch.Tensor):
        masked = torch.where(masked <= -9e8, -math.inf, masked)
    return observed | {"masked": masked}


@ex.alternative
def compare_positions(scores):
    n_queries, n_keys = scores.shape[-2:]
    query = torch.arange(n_keys - n_queries, n_keys)[:, None]
    key = torch.arange(n_keys)[None, :]
    return scores.masked_fill(key > query, -math.inf)


@ex.alternative
def add_a_triangle(scores):
    n_queries, n_keys = scores.shape[-2:]
    return scores + torch.full((n_keys, n_keys), -math.inf).triu(1)[-n_queries:]


@ex.alternative
def where_and_the_smallest_float(scores):
    n_queries, n_keys = scores.shape[-2:]
    seen = torch.tril(torch.ones(n_queries, n_keys), n_keys - n_queries).bool()
    return torch.where(seen, scores, torch.finfo(scores.dtype).min)


ex.slip(
    "triangle_flipped",
    "The triangle is upside down: each query sees only what comes after it. Hidden is where key > query (tril gives the "
    "part that is seen, triu with diagonal=1 the part that is hidden).",
    "key > query",
    "key <= query",
)


ex.slip(
    "transposed",
    "The past is hidden and the future seen: query and key changed places. Queries are the rows (axis -2), keys the "
    "columns (axis -1).",
    "key > query",
    "key < query",
)


ex.slip(
    "diagonal_masked",
    "The diagonal is masked too. A token may look at itself, and the first one can look at nothing else: its row is all -inf, "
    "and the softmax of that is NaN.",
    "key > query",
    "key >= query",
)


ex.slip(
    "sees_one_ahead",
    "Every query sees one position too far: the very token it has to predict.",
    "key > query",
    "key > query + 1",
)


ex.slip(
    "queries_are_the_first",
    "It is right for a square. But with fewer queries than keys you took them for the first positions; they are the last. "
    "Shift the triangle by n_keys - n_queries.",
    "torch.arange(n_keys - n_queries, n_keys)",
    "torch.arange(n_queries)",
)


ex.slip(
    "multiplied_by_0",
    "The future got the score 0. In a softmax that is e^0 = 1, often more than the past gets. Fill it with -inf.",
    "scores.masked_fill(key > query, -math.inf)",
    "scores * (key <= query)",
)


ex.slip(
    "zero_times_infinity",
    "There are NaNs: 0 * (-inf) is not 0. Fill where the mask is true (masked_fill, torch.where) instead of multiplying.",
    "scores.masked_fill(key > query, -math.inf)",
    "scores + (key > query) * -math.inf",
)


ex.slip(
    "plus_infinity",
    "The future was filled with +inf. The softmax needs -inf there: e^(-inf) = 0.",
    "-math.inf",
    "math.inf",
)


ex.slip(
    "finite_and_too_small",
    "The future got the score -100. Some of these scores are of that size themselves, so it is not hidden: use -inf.",
    "-math.inf",
    "-100.0",
)


ex.slip(
    "mask_instead_of_scores",
    "The mask came back. What is asked for are the scores, with -inf where it is true.",
    "scores.masked_fill(key > query, -math.inf)",
    "key > query",
)


@ex.mistake(
    "The mask has the size of the whole context, 1024 x 1024. The text is shorter: make it from scores.shape, or cut it."
)
def of_the_size_of_n_ctx(scores):
    return scores.masked_fill(torch.ones(1024, 1024).triu(1).bool(), -math.inf)


@ex.mistake(
    "The result is right, but the scores that were passed in were changed: masked_fill_ and indexed assignment work in "
    "place. Use masked_fill, without the underscore, or a clone."
)
def changes_its_input(scores):
    n_queries, n_keys = scores.shape[-2:]
    return scores.masked_fill_(torch.ones(n_queries, n_keys).triu(1 + n_keys - n_queries).bool(), -math.inf)


ex.slip(
    "low_but_finite",
    "The future got -1e5. That hides it from these scores, but nothing keeps a model's scores above it: the stub asks for -inf (or -1e9 "
    "and lower).",
    "-math.inf",
    "-1e5",
)


ex.slip(
    "minus_ten_thousand",
    "The future got -1e4, which a model's scores can reach: the stub asks for -inf (or -1e9 and lower).",
    "-math.inf",
    "-1e4",
)


ex.slip(
    "past_hidden_too",
    "Everything but the query's own position is hidden. It sees itself and all that came before it.",
    "key > query",
    "key != query",
)


@ex.mistake(
    "A score that is exactly 0 became -inf: the places to hide were found by looking for zeros. Find them by position, key > query."
)
def zeros_are_hidden(scores):
    seen = scores.tril(scores.shape[-1] - scores.shape[-2])
    return seen.masked_fill(seen == 0, -math.inf)


@ex.mistake("The softmax is done already. What is asked for are the scores; the softmax comes in 01.5.")
def softmax_done(scores):
    return compare_positions(scores).softmax(dim=-1)


ex.slip(
    "square_mask",
    "The mask is a square, as many queries as keys. With fewer queries it does not fit: its rows are the last ones of that square.",
    "torch.arange(n_keys - n_queries, n_keys)",
    "torch.arange(n_keys)",
)

ex.slip(
    "not_always_a_copy",
    "Where nothing is to be masked, the scores themselves came back, not a copy. Whoever edits the result then edits the scores as "
    "well, and only sometimes: give back a copy in every case.",
    "    query = torch.arange(n_keys - n_queries, n_keys)[:, None]\n",
    "    if n_queries == 1:\n        return scores\n    query = torch.arange(n_keys - n_queries, n_keys)[:, None]\n",
)
