"""Exercise 03.3: Heads that know where, not what."""

import torch

from ...exercise import exercise
from .helpers import random_pattern

ex = exercise(
    "03.3",
    "positional_scores",
    title="Heads that know where, not what",
    objective="You can read a head's habit off its attention pattern as one number: previous, current or first token.",
    minutes=15,
    difficulty=2,
    importance=5,
    version=2,
    source="Olsson et al. 2022, 'Head activation evaluators' (the previous token score); an attention row sums to 1.",
    hints=[
        "In a table with queries as rows and keys as columns, where are the cells (q, q), (q, q - 1) and (q, 0)?",
        "tensor.diagonal(offset, dim1=-2, dim2=-1) takes a diagonal of the last two axes; a negative offset lies below "
        "the main one. The diagonal becomes the last axis.",
        "Query 0 sees only itself: leave its row out of all three. Then average over the batch and the queries, dims "
        "(0, 2).",
    ],
    why="Each kind is a line through the pattern: the diagonal, the diagonal below it, the first column. Query 0 can look "
    "at nothing but position 0, which is at once itself and the first token, so its row says nothing about the head.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        {"pattern": random_pattern(generator, 2, 4, 6)},
        {"pattern": random_pattern(generator, 3, 2, 9)},
        {"pattern": random_pattern(generator, 1, 3, 4)},
        {"pattern": random_pattern(generator, 3, 1, 2)},
    ]


@ex.oracle
def _(pattern):
    b, h, s, _ = pattern.shape

    def average(key):
        return torch.tensor(
            [
                sum(float(pattern[i, head, q, key(q)]) for i in range(b) for q in range(1, s)) / (b * (s - 1))
                for head in range(h)
            ]
        )

    return {"prev": average(lambda q: q - 1), "current": average(lambda q: q), "first": average(lambda q: 0)}


@ex.alternative
def diagonals(pattern):
    prev = pattern.diagonal(-1, dim1=-2, dim2=-1)
    current = pattern.diagonal(0, dim1=-2, dim2=-1)[..., 1:]
    first = pattern[..., 1:, 0]
    return {"prev": prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))}


@ex.alternative
def by_index(pattern):
    q = torch.arange(1, pattern.shape[-1])
    keys = {"prev": q - 1, "current": q, "first": q * 0}
    return {name: pattern[:, :, q, key].mean(dim=(0, 2)) for name, key in keys.items()}


@ex.alternative
def by_mask(pattern):
    s = pattern.shape[-1]
    rows = torch.arange(s)[:, None]
    keys = torch.arange(s)[None, :]
    masks = {
        "prev": keys == rows - 1,
        "current": (keys == rows) & (rows > 0),
        "first": (keys == 0) & (rows > 0),
    }
    return {name: (pattern * mask).sum((-2, -1)).mean(0) / int(mask.sum()) for name, mask in masks.items()}


ex.slip(
    "offset_plus_one",
    "prev is read one above the diagonal: that is where query q would look at q + 1, which the mask forbids, so it is "
    "always 0. Keys to the left have a negative offset.",
    "pattern.diagonal(-1,",
    "pattern.diagonal(1,",
)


ex.slip(
    "two_back",
    "prev looks two tokens back. The previous token of q is q - 1: offset -1.",
    "pattern.diagonal(-1,",
    "pattern.diagonal(-2,",
)


ex.slip(
    "diagonal_over_batch_and_head",
    "diagonal() without dim1 and dim2 runs through the first two axes, batch and head, and mixes different heads of "
    "different sequences. Queries and keys are the last two axes: dim1=-2, dim2=-1.",
    "pattern.diagonal(-1, dim1=-2, dim2=-1)",
    "pattern.diagonal(-1)",
    "pattern.diagonal(0, dim1=-2, dim2=-1)[..., 1:]",
    "pattern.diagonal(0)",
)


ex.slip(
    "row_0_in_first",
    "Row 0 inflates `first`. Query 0 can only look at position 0, so its attention there is 1 for every head and says "
    "nothing. Average over the queries from 1 on.",
    "pattern[..., 1:, 0]",
    "pattern[..., 0]",
)


ex.slip(
    "row_0_in_current",
    "Row 0 inflates `current`. Query 0 can only look at itself, with weight 1 in every head. Average over the queries "
    "from 1 on.",
    "dim2=-1)[..., 1:]",
    "dim2=-1)",
)


ex.slip(
    "row_0_in_both",
    "Row 0 inflates `current` and `first`: query 0 has nowhere to look but position 0, itself and the first at once. "
    "Leave that row out of all three.",
    "dim2=-1)[..., 1:]",
    "dim2=-1)",
    "pattern[..., 1:, 0]",
    "pattern[..., 0]",
)


ex.slip(
    "sum_over_queries",
    "These are sums over the queries. A score that grows with the length of the prompt cannot be compared: take the mean.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.sum(2).mean(0), "current": current.sum(2).mean(0), "first": first.sum(2).mean(0)',
)


ex.slip(
    "sum_over_everything",
    "These are sums over the batch and the queries. A score is a mean, between 0 and 1.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.sum((0, 2)), "current": current.sum((0, 2)), "first": first.sum((0, 2))',
)


ex.slip(
    "divided_by_all_rows",
    "The sum over the rows from 1 on was divided by all s rows. There are s - 1 of them, since row 0 is left out.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.sum(2).mean(0) / pattern.shape[-1], "current": current.sum(2).mean(0) / pattern.shape[-1], '
    '"first": first.sum(2).mean(0) / pattern.shape[-1]',
)


ex.slip(
    "heads_averaged",
    "The heads were averaged too. The question is which head does what: keep their axis, so that each score has shape "
    "[h].",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.mean(), "current": current.mean(), "first": first.mean()',
)


ex.slip(
    "batch_kept",
    "The heads were averaged and the batch was kept: axis 0 is the batch, axis 1 the head. Average over 0 and 2.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.mean((1, 2)), "current": current.mean((1, 2)), "first": first.mean((1, 2))',
)


ex.slip(
    "transposed",
    "Queries and keys are swapped: `first` reads row 0 (where the first token looks) for column 0 (who looks at the first "
    "token), and `prev` reads above the diagonal. In [b h q k] the query is the row.",
    "pattern.diagonal(-1,",
    "pattern.diagonal(1,",
    "pattern[..., 1:, 0]",
    "pattern[..., 0, 1:]",
)


ex.slip(
    "first_is_row_0",
    "`first` reads row 0: where the first token looks. It should be column 0: how much the later tokens look at the first.",
    "pattern[..., 1:, 0]",
    "pattern[..., 0, 1:]",
)


ex.slip(
    "first_is_last_column",
    "`first` reads the last column. The first token is key 0.",
    "pattern[..., 1:, 0]",
    "pattern[..., 1:, -1]",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch counts. Average over all of them, axis 0.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev[0].mean(1), "current": current[0].mean(1), "first": first[0].mean(1)',
)


ex.slip(
    "batch_not_averaged",
    "The batch is still there: shape [b, h]. Average over it as well, so that each head has one number.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.mean(2), "current": current.mean(2), "first": first.mean(2)',
)


ex.slip(
    "prev_divided_by_all_rows",
    "prev's sum was divided by all s rows. It has s - 1 terms: the diagonal below the main one is one shorter.",
    '"prev": prev.mean((0, 2))',
    '"prev": prev.sum(2).mean(0) / pattern.shape[-1]',
)


ex.slip(
    "last_row_left_out_of_current",
    "current leaves out the last query and counts query 0. It is the other way round: query 0 is left out, at the start of the "
    "diagonal.",
    "dim2=-1)[..., 1:]",
    "dim2=-1)[..., :-1]",
)


ex.slip(
    "query_1_left_out_of_prev",
    "prev leaves out query 1. The diagonal below the main one starts with query 1 already: nothing is to be cut off.",
    "pattern.diagonal(-1, dim1=-2, dim2=-1)",
    "pattern.diagonal(-1, dim1=-2, dim2=-1)[..., (pattern.shape[-1] > 2) :]",
)


ex.slip(
    "query_1_left_out_of_first",
    "first leaves out query 1, whose previous token is the first one. Both count: average over all queries from 1 on.",
    "pattern[..., 1:, 0]",
    "pattern[..., 1 + (pattern.shape[-1] > 2) :, 0]",
)


ex.slip(
    "query_1_left_out_of_prev_and_first",
    "prev and first leave out query 1, whose previous token is the first one. It counts for both: average over all queries from 1 "
    "on.",
    "pattern.diagonal(-1, dim1=-2, dim2=-1)",
    "pattern.diagonal(-1, dim1=-2, dim2=-1)[..., (pattern.shape[-1] > 2) :]",
    "pattern[..., 1:, 0]",
    "pattern[..., 1 + (pattern.shape[-1] > 2) :, 0]",
)


ex.slip(
    "prev_and_current_swapped",
    "prev and current have changed places.",
    '"prev": prev.mean((0, 2)), "current": current.mean((0, 2))',
    '"prev": current.mean((0, 2)), "current": prev.mean((0, 2))',
)


ex.slip(
    "largest_over_the_queries",
    "These are each head's best rows. One lucky row is not a habit: take the mean over the queries.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.amax(2).mean(0), "current": current.amax(2).mean(0), "first": first.amax(2).mean(0)',
)


ex.slip(
    "axes_of_size_one_lost",
    "With one head its axis is missing: a squeeze() without an axis drops every axis of size 1.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.mean((0, 2)).squeeze(), "current": current.mean((0, 2)).squeeze(), "first": first.mean((0, 2)).squeeze()',
)


@ex.mistake(
    "prev and current come from diagonal() without dim1 and dim2, which runs through the first two axes, batch and head, and mixes "
    "different heads of different sequences. Queries and keys are the last two axes: dim1=-2, dim2=-1."
)
def default_axes_of_diagonal(pattern):
    return {
        "prev": pattern.diagonal(-1).mean((0, 1)),
        "current": pattern.diagonal()[1:].mean((0, 1)),
        "first": pattern[..., 1:, 0].mean((0, -1)),
    }


ex.slip(
    "a_tuple",
    "The three scores came as a tuple. Asked for is a dictionary with the keys 'prev', 'current' and 'first'.",
    'return {"prev": prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))}',
    "return prev.mean((0, 2)), current.mean((0, 2)), first.mean((0, 2))",
)


@ex.mistake(
    "The scores are right, but query 0 was set to zero in the pattern that was given, and the caller still needs it. Leave the row "
    "out when reading, or work on a clone."
)
def zeroes_query_0(pattern):
    s = pattern.shape[-1]
    pattern[:, :, 0] = 0
    current = pattern.diagonal(0, dim1=-2, dim2=-1)
    return {
        "prev": pattern.diagonal(-1, dim1=-2, dim2=-1).sum(-1).mean(0) / (s - 1),
        "current": current.sum(-1).mean(0) / (s - 1),
        "first": pattern[..., 0].sum(-1).mean(0) / (s - 1),
    }


ex.equivalent(
    "The pattern is square: as many queries as keys.",
    "pattern.shape[-1]) => pattern.shape[-2])",
    "pattern.shape[-1] => pattern.shape[-2]",
)

ex.equivalent(
    "A number does where the same number, once for each query or as an int, would.",
    "first': q * 0} => first': 0}",
    "int(mask.sum() => mask.sum(",
)
