"""Exercise 03.5: The induction score."""

import torch

from ...exercise import exercise
from .helpers import random_pattern

ex = exercise(
    "03.5",
    "induction_score",
    title="The induction score",
    objective="You can measure with one number per head how much of an induction head it is.",
    minutes=15,
    difficulty=3,
    importance=5,
    version=2,
    source="Elhage et al. 2021, 'Induction Heads'; Olsson et al. 2022, 'Head activation evaluators' (prefix matching).",
    hints=[
        "Take BOS A B C A B C, with n = 3. The second B stands at 5. Where is the token that followed the first B?",
        "The copy is n back, what followed it is one to the right of that: n - 1 back. The diagonal -(n - 1) starts at "
        "query n - 1; the second half starts at query n + 1.",
        "pattern.diagonal(-(n - 1), dim1=-2, dim2=-1)[..., 2:].mean((0, 2)).",
    ],
    why="Token q of the second half stood at q - n before, and was followed by q - n + 1 = q - (n - 1). That diagonal has "
    "n + 2 entries, for queries n - 1 to 2n; the first two queries, n - 1 and n, are still in the first half, where nothing "
    "has been repeated.",
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
    pairs = [(q, k + 1) for q in range(len(tokens)) for k in range(q) if tokens[q] == tokens[k]]
    return torch.tensor(
        [
            sum(float(pattern[i, head, q, k]) for i in range(b) for q, k in pairs) / (b * len(pairs))
            for head in range(h)
        ]
    )


@ex.alternative
def diagonal_of_induction(pattern, n):
    cells = pattern.diagonal(-(n - 1), dim1=-2, dim2=-1)[..., 2:]
    return cells.mean((0, 2))


@ex.alternative
def indexed_by_row(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[:, :, q, q - n + 1].mean((0, 2))


@ex.alternative
def compared_with_a_picture(pattern, n):
    s = pattern.shape[-1]
    picture = torch.zeros(s, s)
    for q in range(n + 1, s):
        picture[q, q + 1 - n] = 1
    return torch.einsum("bhqk,qk->h", pattern, picture) / (len(pattern) * n)


ex.slip(
    "offset_n",
    "n back is the earlier copy of the token itself: this is the duplicate-token score. An induction head looks at what came "
    "after it, n - 1 back.",
    "-(n - 1), dim1=-2, dim2=-1)[..., 2:]",
    "-n, dim1=-2, dim2=-1)[..., 1:]",
)


ex.slip(
    "offset_n_from_query_n_plus_2",
    "The offset is n, which lands on the earlier copy itself, and with it the first row of the second half is lost. The token "
    "after the copy is n - 1 back.",
    "-(n - 1),",
    "-n,",
)


ex.slip(
    "offset_n_plus_1",
    "n + 1 back is the token before the earlier copy: one to the left of it. What came after it is one to the right: n - 1 back.",
    "-(n - 1), dim1=-2, dim2=-1)[..., 2:]",
    "-(n + 1), dim1=-2, dim2=-1)",
)


ex.slip(
    "sign_flipped",
    "All scores are 0: this reads above the diagonal, where the mask has put zeros, as a positive offset does, or queries and keys "
    "that are swapped. The query is the row; keys to the left of it have a negative offset.",
    "-(n - 1)",
    "n - 1",
)


ex.slip(
    "counted_without_bos",
    "This starts at query n, where the second half would begin if there were no BOS. With BOS at position 0 it begins at "
    "n + 1: one more entry of the diagonal is to be dropped.",
    "[..., 2:]",
    "[..., 1:]",
)


ex.slip(
    "two_rows_too_many",
    "The diagonal was taken whole. Its first two entries belong to queries n - 1 and n, still in the first half: they are "
    "not induction rows and pull the mean down.",
    "dim2=-1)[..., 2:]",
    "dim2=-1)",
)


ex.slip(
    "first_row_dropped",
    "One row too few: query n + 1, the first token of the second half, has an earlier copy too. (Its loss is left out "
    "because of what it is, not of what it looks at.)",
    "[..., 2:]",
    "[..., 2 + (n > 1) :]",
)


ex.slip(
    "last_row_dropped",
    "One row too few: query 2n, the last one, counts too. What followed its copy is the first token of the second half.",
    "[..., 2:]",
    "[..., 2 : n + 1 + (n == 1)]",
)


ex.slip(
    "heads_averaged",
    "The heads were averaged. The question is which head is an induction head: keep one number for each, shape [h].",
    "cells.mean((0, 2))",
    "cells.mean()",
)


ex.slip(
    "batch_kept",
    "The heads were averaged and the batch was kept: axis 0 is the batch, axis 1 the head.",
    "cells.mean((0, 2))",
    "cells.mean((1, 2))",
)


ex.slip(
    "max_over_batch",
    "This is the best sequence of the batch. The more prompts you try, the higher that gets, also for a head that does "
    "nothing: take the mean.",
    "cells.mean((0, 2))",
    "cells.mean(2).amax(0)",
)


ex.slip(
    "max_over_queries",
    "This is the best row of each sequence. One lucky row is not induction: take the mean over the rows.",
    "cells.mean((0, 2))",
    "cells.amax(2).mean(0)",
)


ex.slip(
    "sum_over_queries",
    "That is a sum over the queries: take the mean, so that a perfect induction head has 1 whatever n is.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0)",
)


ex.slip(
    "averaged_over_all_rows",
    "The sum was divided by the length of the prompt. Only the n rows of the second half can show induction: divide by n.",
    "cells.mean((0, 2))",
    "cells.sum(2).mean(0) / pattern.shape[-1]",
)


@ex.mistake(
    "This counts how often the largest weight falls on the right key. Attention of 0.3 can be the largest of many, and a "
    "head that splits evenly gets nothing: average the attention itself."
)
def counts_the_largest(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return (pattern[:, :, q].argmax(-1) == q - n + 1).float().mean((0, 2))


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


@ex.mistake(
    "This starts at query n, where the second half would begin if there were no BOS, and leaves out the last query. With BOS at "
    "position 0 the second half is n + 1 to 2n."
)
def rows_counted_without_bos(pattern, n):
    q = torch.arange(n, 2 * n)
    return pattern[:, :, q, q - n + 1].mean((0, 2))


@ex.mistake(
    "For the last query this goes back to key 1, as if the first half were a circle. The last token of the first half was followed by "
    "the first token of the second half, at n + 1."
)
def wraps_round(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return pattern[:, :, q, (q - n) % n + 1 if n > 1 else q * 0].mean((0, 2))


ex.slip(
    "diagonal_over_batch_and_head",
    "diagonal() without dim1 and dim2 runs through the first two axes, batch and head, and mixes different heads of different "
    "sequences. Queries and keys are the last two axes: dim1=-2, dim2=-1.",
    "pattern.diagonal(-(n - 1), dim1=-2, dim2=-1)[..., 2:]",
    "pattern.diagonal(-min(n - 1, len(pattern) - 1))",
)


ex.equivalent("The pattern is square: as many queries as keys.", "pattern.shape[-1] => pattern.shape[-2]")
