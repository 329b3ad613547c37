"""Exercise 03.4: Have I seen this token before?."""

import torch

from ...exercise import exercise
from .helpers import random_pattern

ex = exercise(
    "03.4",
    "duplicate_score",
    title="Have I seen this token before?",
    objective="You can find the cells of a pattern that mean 'the same token, earlier', and average just those.",
    minutes=10,
    difficulty=2,
    importance=4,
    version=2,
    source="The layout BOS + half + half: token n + j equals token j. Wang et al. 2022, section 3 (duplicate token heads).",
    hints=[
        "BOS is at 0, the halves at 1..n and n+1..2n. Which key holds the same token as query n + 3?",
        "It is n positions back: the diagonal with offset -n. Its first entry is query n, key 0: BOS.",
        "pattern.diagonal(-n, dim1=-2, dim2=-1)[..., 1:], averaged over batch and queries.",
    ],
    why="The diagonal -n starts at query n, the last token of the first half, against BOS: not a pair of equal tokens. "
    "Dropping that one entry leaves exactly the n rows of the second half.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        {"pattern": random_pattern(generator, 2, 4, 11), "n": 5},
        {"pattern": random_pattern(generator, 4, 3, 15), "n": 7},
        {"pattern": random_pattern(generator, 1, 2, 7), "n": 3},
        {"pattern": random_pattern(generator, 3, 1, 3), "n": 1},
    ]


@ex.oracle
def _(pattern, n):
    b, h = pattern.shape[:2]
    tokens = ["BOS", *range(n), *range(n)]
    pairs = [(q, k) for q in range(len(tokens)) for k in range(q) if tokens[q] == tokens[k]]
    return torch.tensor(
        [
            sum(float(pattern[i, head, q, k]) for i in range(b) for q, k in pairs) / (b * len(pairs))
            for head in range(h)
        ]
    )


@ex.alternative
def diagonal(pattern, n):
    cells = pattern.diagonal(-n, dim1=-2, dim2=-1)[..., 1:]
    return cells.mean((0, 2))


@ex.alternative
def block(pattern, n):
    second_to_first = pattern[:, :, n + 1 :, 1 : n + 1]
    return (second_to_first * torch.eye(n)).sum((-2, -1)).mean(0) / n


@ex.alternative
def indexed(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern.mean(0)[:, q, q - n].mean(-1)


ex.slip(
    "offset_n_minus_1",
    "n - 1 back is the token after the earlier copy: this is the induction score. The copy itself is n back.",
    "pattern.diagonal(-n, dim1=-2, dim2=-1)[..., 1:]",
    "pattern.diagonal(-(n - 1), dim1=-2, dim2=-1)[..., 2:]",
)


ex.slip(
    "offset_n_minus_1_from_row_n",
    "This goes back n - 1 places, which ends one after the copy, and one row that is not in the second half slipped in. "
    "Offset -n.",
    "-n,",
    "-(n - 1),",
)


ex.slip(
    "offset_n_plus_1",
    "n + 1 places back stands the token before the earlier copy. BOS is in front of both, so it does not change "
    "their distance, which is n.",
    "pattern.diagonal(-n, dim1=-2, dim2=-1)[..., 1:]",
    "pattern.diagonal(-n - 1, dim1=-2, dim2=-1)",
)


ex.slip(
    "bos_row_counted",
    "One row too many: the diagonal starts at query n, which is the last token of the first half, and key 0, BOS. They "
    "are not equal tokens. Drop the first entry.",
    "dim2=-1)[..., 1:]",
    "dim2=-1)",
)


ex.slip(
    "bos_ignored",
    "This counts as if there were no BOS: the second half would be n..2n-1, but with BOS in front it is n+1..2n. The first entry "
    "of the diagonal is BOS's, the last one is real.",
    "[..., 1:]",
    "[..., :-1]",
)


ex.slip(
    "first_half_rows_counted",
    "The sum is right but divided by all 2n rows. The tokens of the first half have no earlier copy, so no head could score "
    "more than a half: average over the n rows of the second half.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0) / (2 * n)",
)


ex.slip(
    "divided_by_length",
    "The sum is right but divided by the length of the whole prompt. Only n rows are in it: divide by n.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0) / pattern.shape[-1]",
)


ex.slip(
    "transposed",
    "This reads above the diagonal: how much the first half looks at the second, which the mask forbids. In "
    "[b h q k] the query is the row, so the offset is negative.",
    "-n,",
    "n,",
)


ex.slip(
    "heads_averaged",
    "The heads were averaged too: one number per head was asked for, shape [h].",
    "cells.mean((0, 2))",
    "cells.mean()",
)


ex.slip(
    "batch_kept",
    "The batch was kept and the heads were averaged: axis 0 is the batch, axis 1 the head.",
    "cells.mean((0, 2))",
    "cells.mean((1, 2))",
)


ex.slip(
    "sum_over_queries",
    "That is the sum over the queries; take their mean, so that 1 means 'always'.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0)",
)


ex.slip(
    "max_over_queries",
    "These are each head's best rows. One lucky row is not a habit: take the mean.",
    "cells.mean((0, 2))",
    "cells.amax(2).mean(0)",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch counts. Average over all of them, axis 0.",
    "cells.mean((0, 2))",
    "cells[0].mean(1)",
)


ex.slip(
    "batch_not_averaged",
    "The batch is still there: shape [b, h]. Average over it as well, so that each head has one number.",
    "cells.mean((0, 2))",
    "cells.mean(2)",
)


ex.slip(
    "divided_by_n_minus_1",
    "The sum was divided by n - 1. There are n queries in the second half, and all of them count.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0) / max(n - 1, 0.5)",
)


ex.slip(
    "divided_by_n_plus_1",
    "The sum was divided by n + 1. There are n queries in the second half.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0) / (n + 1)",
)


ex.slip(
    "axes_of_size_one_lost",
    "With one head its axis is missing: a squeeze() without an axis drops every axis of size 1.",
    "cells.mean((0, 2))",
    "cells.mean((0, 2)).squeeze()",
)


@ex.mistake(
    "This is the attention of the second half to all of the first half, averaged over keys as well. Each query has one key that "
    "counts: a diagonal, not a block."
)
def whole_block(pattern, n):
    return pattern[:, :, n + 1 :, 1 : n + 1].mean((0, 2, 3))


@ex.mistake(
    "This is how much attention the second half pays to the first half in all: the keys were summed. Each query has one key that "
    "counts: a diagonal, not a block."
)
def block_summed(pattern, n):
    return pattern[:, :, n + 1 :, 1 : n + 1].sum(-1).mean((0, 2))


ex.slip(
    "last_row_dropped",
    "One row too few: query 2n, the last one, has an earlier copy too. The diagonal -n ends with it.",
    "[..., 1:]",
    "[..., 1 : n + (n == 1)]",
)


ex.slip(
    "first_row_dropped",
    "One row too few: query n + 1, the first token of the second half, has an earlier copy too. Only the diagonal's first entry, "
    "query n, is to be dropped.",
    "[..., 1:]",
    "[..., 1 + (n > 1) :]",
)


ex.slip(
    "diagonal_over_batch_and_head",
    "diagonal() without dim1 and dim2 runs through the first two axes, batch and head, and mixes different heads of different "
    "sequences. Queries and keys are the last two axes: dim1=-2, dim2=-1.",
    "pattern.diagonal(-n, dim1=-2, dim2=-1)[..., 1:]",
    "pattern.diagonal(-min(n, len(pattern) - 1))",
)
