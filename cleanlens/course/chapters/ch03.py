# mypy: ignore-errors
"""Chapter 03, Induction heads: what kinds of attention heads there are, how to find them, how to build one."""

import math
import random
from collections import Counter

import torch

from ..exercise import Chapter

chapter = Chapter("03", "induction", "Induction heads")


def random_pattern(generator: torch.Generator, b: int, h: int, s: int) -> torch.Tensor:
    """Causal attention patterns `[b h s s]` of random scores, each row summing to 1."""
    scores = 2 * torch.randn(b, h, s, s, generator=generator)
    return scores.masked_fill(torch.ones(s, s).triu(1).bool(), -torch.inf).softmax(-1)


# ---- 03.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.1",
    "repeated_tokens",
    title="Random tokens, twice",
    objective="You can make prompts on which only copying from the context helps, so that what a head does with them "
    "shows what it is for.",
    minutes=10,
    difficulty=2,
    importance=5,
    source="Olsson et al. 2022, 'Head activation evaluators': random tokens, repeated, behind a start token.",
    hints=[
        "Three parts side by side: a column of BOS, the random half, and that very same half once more.",
        "To leave BOS out without favouring another id, draw from d_vocab - 1 numbers and move those at or above bos up "
        "by one.",
        "half = torch.randint(0, d_vocab - 1, (batch, n)); half += (half >= bos); then torch.cat along dim=1.",
    ],
    why="Every id but BOS is equally likely, whatever came before, so nothing learned from text helps on the first half: "
    "its loss is that of a guess. On the second half everything can be foreseen, but only by looking back. BOS stays "
    "out of the halves because models treat it as a marker: in the middle of a text it would start a new one.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    d_vocab = rng.randint(8, 10)
    return [
        {"d_vocab": d_vocab, "n": rng.randint(10, 14), "batch": 150, "bos": rng.randint(1, d_vocab - 2)},
        {"d_vocab": 5000, "n": rng.randint(5, 9), "batch": 3, "bos": 4999},
    ]


@ex.oracle
def _(d_vocab, n, batch, bos):
    return {
        "shape": str([batch, 1 + 2 * n]),
        "dtype": "torch.int64",
        "position 0": "BOS in every row",
        "second half": "the first half once more",
        "BOS after position 0": "never",
        "rows": "different",
        "ids other than BOS": "all equally often" if d_vocab < 20 else "too few drawn to tell",
        "a second call": "gives other tokens",
    }


@ex.call
def _(answer, d_vocab, n, batch, bos):
    return [answer(d_vocab, n, batch, bos), answer(d_vocab, n, batch, bos)]


@ex.measure
def _(observed, d_vocab, n, batch, bos):
    tokens, again = observed
    fits = list(tokens.shape) == [batch, 1 + 2 * n]
    first, second = tokens[:, 1 : n + 1], tokens[:, n + 1 :]
    few = d_vocab < 20
    counts = torch.tensor([int((first == i).sum()) for i in range(d_vocab) if few and i != bos] or [1.0])
    uneven = counts.max() > 1.4 * counts.float().mean()
    repeats = (
        "the first half once more"
        if fits and torch.equal(first, second)
        else "the first half reversed"
        if fits and torch.equal(first.flip(1), second)
        else "each token twice in a row"
        if fits and torch.equal(tokens[:, 1::2], tokens[:, 2::2])
        else "something else"
    )
    return {
        "shape": str(list(tokens.shape)),
        "dtype": str(tokens.dtype),
        "position 0": "BOS in every row" if (tokens[:, 0] == bos).all() else "not always BOS",
        "second half": repeats,
        "BOS after position 0": "now and then" if (tokens[:, 1:] == bos).any() else "never",
        "rows": "all the same" if (tokens == tokens[:1]).all() else "different",
        "ids other than BOS": "too few drawn to tell"
        if not few
        else "some never come"
        if (counts == 0).any()
        else "some come more often than others"
        if uneven
        else "all equally often",
        "a second call": "gives the same tokens again"
        if torch.equal(tokens, again)
        else "gives other tokens",
    }


@ex.alternative
def above_bos_up_by_one(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    start = torch.full((batch, 1), bos)
    return torch.cat([start, half, half], dim=1)


@ex.alternative
def row_by_row(d_vocab, n, batch, bos):
    ids = [i for i in range(d_vocab) if i != bos]
    rows = []
    for _ in range(batch):
        half = random.choices(ids, k=n)
        rows.append([bos, *half, *half])
    return torch.tensor(rows)


@ex.alternative
def written_in_place(d_vocab, n, batch, bos):
    tokens = torch.full((batch, 2 * n + 1), bos)
    ids = torch.tensor([i for i in range(d_vocab) if i != bos])
    tokens[:, 1 : n + 1] = ids[torch.randint(len(ids), (batch, n))]
    tokens[:, n + 1 :] = tokens[:, 1 : n + 1]
    return tokens


ex.slip(
    "no_bos",
    "BOS is missing. Models of this kind begin every text with it, and many heads rest on it when they have nothing to "
    "do; without it your scores measure another situation. Put one column of BOS in front.",
    "[start, half, half]",
    "[half, half]",
)
ex.slip(
    "two_bos",
    "There are two BOS, one before each half. The second one says that a new text begins, and the period is now n + 1. "
    "One BOS, in front of everything.",
    "[start, half, half]",
    "[start, half, start, half]",
)
ex.slip(
    "bos_at_the_end",
    "BOS is the last column. It marks the beginning of a text: position 0.",
    "[start, half, half]",
    "[half, half, start]",
)
ex.slip(
    "second_half_resampled",
    "The second half is drawn anew, so nothing repeats and there is nothing to copy. Draw one half and put it in twice.",
    "[start, half, half]",
    "[start, half, half[torch.randperm(batch)]]",
)
ex.slip(
    "second_half_reversed",
    "The second half runs backwards. What followed a token the first time must follow it the second time too.",
    "[start, half, half]",
    "[start, half, half.flip(1)]",
)


@ex.mistake(
    "Every token comes twice in a row (a a b b), which is repeat_interleave. The half as a whole must come twice "
    "(a b a b): torch.cat([half, half]) or half.repeat(1, 2)."
)
def tokens_doubled(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half.repeat_interleave(2, dim=1)], dim=1)


ex.slip(
    "rows_identical",
    "All rows are the same prompt. A mean over the batch then averages nothing: draw (batch, n) tokens, not n tokens "
    "that are repeated batch times.",
    "half = half + (half >= bos)",
    "half = (half + (half >= bos))[:1].expand(batch, n)",
)
ex.slip(
    "samples_bos",
    "BOS turns up among the random tokens. To the model that is the start of a new text. Draw from the other ids only.",
    "half = torch.randint(0, d_vocab - 1, (batch, n))\n    half = half + (half >= bos)",
    "half = torch.randint(0, d_vocab, (batch, n))",
)
ex.slip(
    "bos_taken_for_0",
    "You left out id 0, but BOS has the id that is given as `bos` (50256 in GPT-2): it is still drawn, and 0 never is.",
    "half = torch.randint(0, d_vocab - 1, (batch, n))\n    half = half + (half >= bos)",
    "half = torch.randint(1, d_vocab, (batch, n))",
)
ex.slip(
    "neighbour_of_bos_twice_as_often",
    "BOS is replaced by a neighbouring id after drawing, so that id comes twice as often as the others. Draw from "
    "d_vocab - 1 numbers, then move those at or above bos up by one.",
    "half = torch.randint(0, d_vocab - 1, (batch, n))\n    half = half + (half >= bos)",
    "half = torch.randint(0, d_vocab, (batch, n))\n    half = half + (half == bos)",
)
ex.slip(
    "last_id_never_drawn",
    "Some ids are never drawn. The upper end of torch.randint is already excluded; did you subtract once too often?",
    "d_vocab - 1",
    "d_vocab - 2",
)
ex.slip(
    "same_tokens_every_call",
    "Every call gives the same tokens: a seed is set inside the function. Then ten batches are one batch, and all other "
    "random numbers of the program are reset too. Leave the seed to the caller.",
    "half = torch.randint(0, d_vocab - 1, (batch, n))",
    "torch.manual_seed(0)\n    half = torch.randint(0, d_vocab - 1, (batch, n))",
)
ex.slip(
    "float_tokens",
    "The tokens are floats, and a float cannot index an embedding: make them int64 (torch.long).",
    "dim=1)",
    "dim=1).float()",
)


@ex.mistake(
    "The half is drawn without replacement (a permutation), so its length cannot exceed the vocabulary's: here it came "
    "out shorter than n. Draw every token independently of the others, with torch.randint."
)
def without_replacement(d_vocab, n, batch, bos):
    rows = []
    for _ in range(batch):
        half = torch.randperm(d_vocab - 1)[:n]
        half = half + (half >= bos)
        rows.append(torch.cat([torch.tensor([bos]), half, half]))
    return torch.stack(rows)


# ---- 03.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.2",
    "loss_by_half",
    title="What the second half costs",
    objective="You can line up a per-token loss with the tokens it belongs to, and leave out the one that nobody could "
    "have predicted.",
    minutes=10,
    difficulty=2,
    importance=4,
    source="The identity loss[:, i] = -log p(tokens[:, i + 1]); Olsson et al. 2022, 'Key Concepts' (loss by token index).",
    hints=[
        "Write down for n = 3 which token each of the 2n columns predicts. Column 0 predicts token 1, the first of the "
        "half.",
        "Columns 0 to n - 1 belong to the first half. Column n predicts the first token of the second half: who could "
        "know that the half has ended?",
        "loss[:, :n].mean(dim=1) and loss[:, n + 1 :].mean(dim=1).",
    ],
    why="Column i is the price of token i + 1. The first repeated token comes as a surprise to any model, since the halves "
    "have no fixed length, so it belongs to neither half; with n = 5 it would put a fifth of log(d_vocab) on a model that "
    "copies perfectly.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for b, n in ((3, 5), (2, 8)):
        loss = torch.rand(b, 2 * n, generator=generator) * 2
        loss[:, :n] += 5
        loss[:, n] += 9  # the surprise
        cases.append({"loss": loss, "n": n})
    return cases


@ex.oracle
def _(loss, n):
    halves = []
    for positions in (
        range(1, n + 1),
        range(n + 2, 2 * n + 1),
    ):  # of the tokens; token p costs loss[:, p - 1]
        halves.append(torch.stack([sum(row[p - 1] for p in positions) / len(positions) for row in loss]))
    return tuple(halves)


@ex.alternative
def two_slices(loss, n):
    first, second = loss[:, :n], loss[:, n + 1 :]
    return first.mean(dim=1), second.mean(dim=1)


@ex.alternative
def aligned_with_tokens(loss, n):
    by_token = torch.cat([torch.zeros(len(loss), 1), loss], dim=1)  # nothing predicts BOS
    return by_token[:, 1 : n + 1].sum(1) / n, by_token[:, n + 2 :].sum(1) / (n - 1)


ex.slip(
    "first_repeat_included",
    "The second half includes its first token. Nothing in the context tells that the repetition begins there, so it costs "
    "as much as any random token and hides how well the rest is copied. Leave out column n.",
    "n + 1 :",
    "n:",
)
ex.slip(
    "first_repeat_in_first_half",
    "The first half has n + 1 columns: the last of them predicts the first token of the second half. It belongs to "
    "neither.",
    "loss[:, :n]",
    "loss[:, : n + 1]",
)
ex.slip(
    "bos_shift",
    "Everything is one column too late: you counted as for tokens. BOS is never predicted, so column 0 is the loss of "
    "token 1.",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss[:, 1 : n + 1], loss[:, n + 2 :]",
)
ex.slip(
    "first_half_cut",
    "The first half starts at column 1. Column 0 is the loss of token 1, which is the first random token already.",
    "loss[:, :n]",
    "loss[:, 1:n]",
)
ex.slip(
    "halves_swapped",
    "The halves are swapped: first the first one.",
    "first.mean(dim=1), second.mean(dim=1)",
    "second.mean(dim=1), first.mean(dim=1)",
)
ex.slip(
    "averaged_over_the_batch",
    "You averaged over the batch as well. One number per sequence was asked for: a mean that comes too early cannot be "
    "undone, and it hides the sequence on which the model fails.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(), second.mean()",
)
ex.slip(
    "averaged_over_the_wrong_axis",
    "You averaged over the batch and kept the positions. Axis 0 is the batch; the tokens of a half are on axis 1.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=0), second.mean(dim=0)",
)
ex.slip(
    "averaged_before_the_split",
    "The loss was averaged over all tokens before it was split, so both halves got the same number. Split first.",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss, loss",
)
ex.slip(
    "sum_for_mean",
    "These are sums. The halves have different numbers of terms, n and n - 1: compare means.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.sum(dim=1), second.sum(dim=1)",
)
ex.slip(
    "batch_split",
    "You cut along the batch: loss[:n] takes sequences. Positions are axis 1: loss[:, :n].",
    "loss[:, :n], loss[:, n + 1 :]",
    "loss[: n // 4], loss[n // 4 :]",
)
ex.slip(
    "perplexity",
    "That is exp(loss), the perplexity. The loss itself was asked for, in nats.",
    "first.mean(dim=1), second.mean(dim=1)",
    "first.mean(dim=1).exp(), second.mean(dim=1).exp()",
)


# ---- 03.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.3",
    "positional_scores",
    title="Heads that know where, not what",
    objective="You can read a head's habit off its attention pattern as one number: previous, current or first token.",
    minutes=15,
    difficulty=2,
    importance=5,
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
    "You summed over the queries. A score that grows with the length of the prompt cannot be compared: take the mean.",
    'prev.mean((0, 2)), "current": current.mean((0, 2)), "first": first.mean((0, 2))',
    'prev.sum(2).mean(0), "current": current.sum(2).mean(0), "first": first.sum(2).mean(0)',
)
ex.slip(
    "sum_over_everything",
    "You summed over the batch and the queries. A score is a mean, between 0 and 1.",
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
    "You averaged over heads and kept the batch: axis 0 is the batch, axis 1 the head. Average over 0 and 2.",
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


# ---- 03.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.4",
    "duplicate_score",
    title="Have I seen this token before?",
    objective="You can find the cells of a pattern that mean 'the same token, earlier', and average just those.",
    minutes=10,
    difficulty=2,
    importance=4,
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
    "You went back n - 1 places, which ends one after the copy, and one row that is not in the second half slipped in. "
    "Offset -n.",
    "-n,",
    "-(n - 1),",
)
ex.slip(
    "offset_n_plus_1",
    "You went back n + 1 places: that is the token before the earlier copy. BOS is in front of both, so it does not change "
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
    "You counted as if there were no BOS: your second half is n..2n-1, but with BOS in front it is n+1..2n. The first entry "
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
    "Queries and keys are swapped: you read how much the first half looks at the second, which the mask forbids. In "
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
    "You kept the batch and averaged the heads: axis 0 is the batch, axis 1 the head.",
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
    "You took each head's best row. One lucky row is not a habit: take the mean.",
    "cells.mean((0, 2))",
    "cells.amax(2).mean(0)",
)


# ---- 03.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.5",
    "induction_score",
    title="The induction score",
    objective="You can measure with one number per head how much of an induction head it is.",
    minutes=15,
    difficulty=3,
    importance=5,
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
    "n + 1 back is the token before the earlier copy. You went one to the left of the copy, not to the right: n - 1 back.",
    "-(n - 1), dim1=-2, dim2=-1)[..., 2:]",
    "-(n + 1), dim1=-2, dim2=-1)",
)
ex.slip(
    "sign_flipped",
    "The offset is positive, so you read above the diagonal, where the mask has put zeros. Keys to the left of the query "
    "have a negative offset.",
    "-(n - 1)",
    "n - 1",
)
ex.slip(
    "counted_without_bos",
    "You started at query n, where the second half would begin if there were no BOS. With BOS at position 0 it begins at "
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
    "[..., 3:]",
)
ex.slip(
    "last_row_dropped",
    "One row too few: query 2n, the last one, counts too. What followed its copy is the first token of the second half.",
    "[..., 2:]",
    "[..., 2:-1]",
)
ex.slip(
    "heads_averaged",
    "The heads were averaged. The question is which head is an induction head: keep one number for each, shape [h].",
    "cells.mean((0, 2))",
    "cells.mean()",
)
ex.slip(
    "batch_kept",
    "You averaged over the heads and kept the batch: axis 0 is the batch, axis 1 the head.",
    "cells.mean((0, 2))",
    "cells.mean((1, 2))",
)
ex.slip(
    "max_over_batch",
    "You took the best sequence of the batch. The more prompts you try, the higher that gets, also for a head that does "
    "nothing: take the mean.",
    "cells.mean((0, 2))",
    "cells.mean(2).amax(0)",
)
ex.slip(
    "max_over_queries",
    "You took the best row of each sequence. One lucky row is not induction: take the mean over the rows.",
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
    "You counted how often the largest weight falls on the right key. Attention of 0.3 can be the largest of many, and a "
    "head that splits evenly gets nothing: average the attention itself."
)
def counts_the_largest(pattern, n):
    q = torch.arange(n + 1, 2 * n + 1)
    return (pattern[:, :, q].argmax(-1) == q - n + 1).float().mean((0, 2))


# ---- 03.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.6",
    "top_heads",
    title="From a table of scores to a list of heads",
    objective="You can turn the largest entries of a layer × head table into (layer, head) names without mixing them up.",
    minutes=5,
    difficulty=1,
    importance=3,
    source="Row-major order: entry (l, h) of an [L, H] table is number l * H + h when it is flattened.",
    hints=[
        "Flatten, take the k largest, and turn each flat number back into a pair.",
        "Flat number i is layer i // n_heads, head i % n_heads: divide by the length of a row.",
        "scores.flatten().topk(k).indices.tolist(), then divmod(i, scores.shape[1]).",
    ],
    why="In row-major order a whole row (one layer) of n_heads entries comes before the next, so the row's length is what to "
    "divide by. With as many layers as heads the wrong divisor goes unnoticed, and then it names wrong heads in the next "
    "model.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for (n_layers, n_heads), k in (((3, 5), 4), ((6, 2), 5), ((2, 7), 14)):
        # distinct numbers on both sides of zero; the most negative one is the largest in size
        order = torch.randperm(n_layers * n_heads, generator=generator) - 0.6 * n_layers * n_heads
        cases.append({"scores": order.reshape(n_layers, n_heads) / 10, "k": k})
    return cases


@ex.oracle
def _(scores, k):
    heads = [(layer, head) for layer in range(scores.shape[0]) for head in range(scores.shape[1])]
    chosen = []
    while len(chosen) < k:
        chosen.append(
            max((pair for pair in heads if pair not in chosen), key=lambda pair: float(scores[pair]))
        )
    return chosen


@ex.alternative
def flat_topk(scores, k):
    flat = scores.flatten().topk(k).indices.tolist()
    return [(i // scores.shape[1], i % scores.shape[1]) for i in flat]


@ex.alternative
def sorted_pairs(scores, k):
    pairs = [(layer, head) for layer, row in enumerate(scores.tolist()) for head in range(len(row))]
    return sorted(pairs, key=lambda pair: scores[pair].item(), reverse=True)[:k]


@ex.alternative
def unraveled(scores, k):
    best = scores.flatten().argsort(descending=True)[:k]
    layers, heads = torch.unravel_index(best, scores.shape)
    return list(zip(layers.tolist(), heads.tolist()))


ex.slip(
    "divides_by_n_layers",
    "You divided by the number of layers. A row of the table is one layer and has n_heads entries, so the flat number is "
    "layer * n_heads + head: divide by n_heads.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "(i // scores.shape[0], i % scores.shape[0])",
)
ex.slip(
    "layer_and_head_swapped",
    "Each pair is (head, layer). L1H4 is layer 1, head 4: layer first.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "(i % scores.shape[1], i // scores.shape[1])",
)
ex.slip(
    "ascending",
    "These are the lowest scores. Sort in descending order.",
    "topk(k)",
    "topk(k, largest=False)",
)
ex.slip(
    "absolute_value",
    "You ranked by size without sign. A score far below zero is not a top head here: take the values as they are.",
    "scores.flatten().topk",
    "scores.abs().flatten().topk",
)
ex.slip(
    "worst_first",
    "The right heads, but the best one comes last. The list should start with it.",
    "for i in flat]",
    "for i in flat[::-1]]",
)
ex.slip(
    "order_lost",
    "The right heads, in the order of the table. The best head should come first.",
    "for i in flat]",
    "for i in sorted(flat)]",
)
ex.slip(
    "flat_numbers",
    "These are positions in the flattened table. Turn each into its pair (layer, head): divmod(i, n_heads).",
    "[(i // scores.shape[1], i % scores.shape[1]) for i in flat]",
    "flat",
)
ex.slip(
    "tensors_in_the_pairs",
    "The pairs hold tensors. As names of heads they are to be printed, compared and put into sets: make them ints, with "
    ".tolist() or .item().",
    ".tolist()",
    "",
)
ex.slip(
    "lists_for_pairs",
    "Each head is a list. A pair that names something should be a tuple: it can then be a key of a dictionary and cannot be "
    "changed by accident.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "[i // scores.shape[1], i % scores.shape[1]]",
)


@ex.mistake(
    "You took the top of one layer after the other. The k best heads of the whole model were asked for; they may all sit in "
    "one layer."
)
def top_of_each_layer(scores, k):
    best = [(layer, int(row.argmax())) for layer, row in enumerate(scores)]
    return sorted(best, key=lambda pair: float(scores[pair]), reverse=True)[:k]


@ex.mistake(
    "The scores came along. Only the pairs (layer, head) were asked for, in the order of their scores."
)
def scores_included(scores, k):
    best = scores.flatten().topk(k)
    return [
        (i // scores.shape[1], i % scores.shape[1], value)
        for i, value in zip(best.indices.tolist(), best.values.tolist())
    ]


# ---- 03.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "03.7",
    "build_induction_model",
    title="Build an induction circuit by hand",
    objective="You can say what every weight of an induction circuit is for, because you have chosen each of them yourself.",
    minutes=60,
    difficulty=5,
    importance=5,
    source="Elhage et al. 2021, 'Induction Heads' (how induction heads work) and 'Three Kinds of Composition'.",
    hints=[
        "Give four things a place of their own in the residual stream: the position, the token, the token before, the answer. "
        "Which head reads which of them, and where does it write?",
        "Layer 0: the query at position i asks for i - 1, the key at j says j; the value is the token, written into the place "
        "of 'the token before'. Layer 1: the query is the token, the key is 'the token before', the value is the token, "
        "written into the answer's place.",
        "With pos, token, before, answer = torch.eye(d_model).split([n_ctx, d_vocab, d_vocab, d_vocab]), each is a matrix whose "
        "rows are directions: W_E = token, W_pos = pos, W_U = 20 * answer.T, W_V[0][:, :d_vocab] = token.T, W_O[0][:d_vocab] "
        "= before. A shift by one is torch.ones(n_ctx - 1).diag(-1). Scores are divided by the root of d_head, so multiply "
        "a query or key by about 30 times that root.",
    ],
    why="Every place in the residual stream has one writer and known readers: that is what keeps the four facts apart. The only "
    "link between the layers is that layer 1's keys read what layer 0 wrote: K-composition. Nothing depends on how far "
    "back the copy is, so it works at every length; a solution that counts positions in layer 1 does not.",
    seconds=20,
    seeds=1,  # the answer does not depend on the seed, only the prompts do
)

SHAPES = {
    "W_E": ("d_vocab", "d_model"),
    "W_pos": ("n_ctx", "d_model"),
    "W_Q": (2, "d_model", "d_head"),
    "W_K": (2, "d_model", "d_head"),
    "W_V": (2, "d_model", "d_head"),
    "W_O": (2, "d_head", "d_model"),
    "W_U": ("d_model", "d_vocab"),
}
PLACES = {  # how far back, for a token of the second repeat
    "itself": lambda n: 0,
    "the previous token": lambda n: 1,
    "the token after the earlier copy": lambda n: n - 1,
    "the earlier copy": lambda n: n,
    "the token before the earlier copy": lambda n: n + 1,
}
LATER = "not looked at yet"


def prompt(generator: torch.Generator, d_vocab: int, n: int, prefix: int) -> torch.Tensor:
    """BOS (0), `prefix` tokens, then n tokens twice; no other token occurs twice."""
    ids = 1 + torch.randperm(d_vocab - 1, generator=generator)[: prefix + n]
    return torch.cat([torch.zeros(1, dtype=torch.long), ids, ids[prefix:]])


def misfit(weights: dict, d_vocab: int, n_ctx: int) -> str | None:
    """What is wrong with the names and shapes of the weights, in words; None when they fit."""
    if missing := [name for name in SHAPES if name not in weights]:
        return f"{missing[0]} is missing"
    if extra := [name for name in weights if name not in SHAPES]:
        return f"there is no weight named {extra[0]!r}; the names are {', '.join(SHAPES)}"
    sizes = {"d_vocab": d_vocab, "n_ctx": n_ctx}
    for name, axes in SHAPES.items():
        got = list(weights[name].shape)
        if len(got) == len(axes):
            sizes |= {
                axis: size for axis, size in zip(axes, got) if axis not in sizes and isinstance(axis, str)
            }
        if got != [sizes.get(axis, axis) for axis in axes]:
            want = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else str(axis) for axis in axes)
            return f"{name} has shape {got}; expected [{want}]"
        if not torch.isfinite(weights[name]).all():
            return f"{name} holds numbers that are not finite"
    return None


def attend(weights: dict, layer: int, query_in: torch.Tensor, key_in: torch.Tensor, mask: bool = True):
    """The pattern of a layer's only head, whose queries and keys may read different streams."""
    q, k = query_in @ weights["W_Q"][layer], key_in @ weights["W_K"][layer]
    scores = q @ k.T / math.sqrt(weights["W_Q"].shape[-1])
    if mask:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)


def write(weights: dict, layer: int, pattern: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What a layer's only head adds to the residual stream x."""
    return pattern @ (x @ weights["W_V"][layer]) @ weights["W_O"][layer]


class Run(dict):
    """What the model computes on one prompt, and what it would compute with a wire cut; made when first asked for."""

    def __missing__(self, name: str) -> torch.Tensor:
        self[name] = VIEWS[name](self["weights"], self)
        return self[name]


VIEWS = {
    "embedding": lambda w, run: w["W_E"][run["tokens"]] + w["W_pos"][: len(run["tokens"])],
    "layer 0": lambda w, run: attend(w, 0, run["embedding"], run["embedding"]),
    "before the mask": lambda w, run: attend(w, 0, run["embedding"], run["embedding"], mask=False),
    "middle": lambda w, run: run["embedding"] + write(w, 0, run["layer 0"], run["embedding"]),
    "layer 1": lambda w, run: attend(w, 1, run["middle"], run["middle"]),
    "without keys": lambda w, run: attend(w, 1, run["middle"], run["embedding"]),
    "without queries": lambda w, run: attend(w, 1, run["embedding"], run["middle"]),
    "without both": lambda w, run: attend(w, 1, run["embedding"], run["embedding"]),
    "logits": lambda w, run: (run["middle"] + write(w, 1, run["layer 1"], run["middle"])) @ w["W_U"],
    "logits without layer 1": lambda w, run: run["middle"] @ w["W_U"],
}


def run_by_hand(weights: dict, tokens: torch.Tensor) -> Run:
    """The two-layer attention-only model of these weights, without LayerNorm or biases, on one prompt."""
    return Run(weights=weights, tokens=tokens)


def second_half(n: int, prefix: int) -> torch.Tensor:
    return torch.arange(1 + prefix + n, 1 + prefix + 2 * n)


def attention_at(runs: list, which: str, distance) -> torch.Tensor:
    """The attention of each prompt's second half to the token `distance(n)` back: its mean, prompt by prompt."""
    means = []
    for _, n, prefix, run in runs:
        q = second_half(n, prefix)
        means.append(run[which][q, q - distance(n)].mean())
    return torch.stack(means)


def looks_at(runs: list, which: str) -> str:
    """In words, where a head looks from the second half."""
    shares = {name: float(attention_at(runs, which, distance).mean()) for name, distance in PLACES.items()}
    if strong := [name for name, share in shares.items() if share >= 0.3]:
        return " and ".join(strong)
    usual = []
    for _, n, prefix, run in runs:
        if n >= 18:
            q = second_half(n, prefix)
            [(distance, count)] = Counter((q - run[which][q].argmax(-1)).tolist()).most_common(1)
            usual.append(distance if count > n / 3 else None)
    best = max(shares, key=lambda name: shares[name])
    if len(set(usual)) == 1 and usual[0] is not None and usual[0] > 1:
        return "a fixed distance back"
    if max(shares.values()) - min(shares.values()) > 1e-6:
        return best
    return "no place in particular"


def moved_by(runs: list, part: str) -> float:
    """The share of layer 1's attention that moves when its `part` ("keys", "queries") cannot read layer 0's output."""
    moved = []
    for _, n, prefix, run in runs:
        change = (run["layer 1"] - run[f"without {part}"])[second_half(n, prefix)]
        moved.append(float(change.abs().sum(-1).mean()) / 2)
    return max(moved)


def prediction(runs: list, which: str) -> str:
    """In words, which token has the highest logit in the second half."""
    counts, total = Counter(), 0
    for tokens, n, prefix, run in runs:
        for q in second_half(n, prefix)[:-1].tolist():
            logits = run[which][q]
            best = int(logits.argmax()) if float(logits.max() - logits.min()) > 1e-6 else None
            counts["the next token"] += best == tokens[q + 1]
            counts["the current token"] += best == tokens[q]
            counts["the token before it"] += best == tokens[q - 1]
            counts["nothing: all logits are equal"] += best is None
            total += 1
    name, count = counts.most_common(1)[0]
    return name if count > 0.95 * total else "now this, now that"


@ex.inputs
def _(seed):
    return [
        {"d_vocab": 48, "n_ctx": 80, "seed": seed},
        {"d_vocab": 90, "n_ctx": 72, "seed": seed + 1000},
    ]


@ex.call
def _(answer, d_vocab, n_ctx, seed):
    return answer(d_vocab, n_ctx)


@ex.oracle
def _(d_vocab, n_ctx, seed):
    return {
        "the weights": "fit together",
        "layer 0 looks at": "the previous token",
        "layer 0's attention": "sharp",
        "layer 1 looks at": "the token after the earlier copy",
        "layer 1's attention": "sharp",
        "layer 1 uses what layer 0 wrote": "in its keys",
        "the model predicts": "the next token",
        "loss on the second half": "below 0.1",
    }


@ex.measure
def _(observed, d_vocab, n_ctx, seed):
    """What a right model does, fact by fact, up to the first that is not so; then what helps to say why."""
    if not isinstance(observed, dict) or not all(torch.is_tensor(value) for value in observed.values()):
        raise ValueError("it should be a dict of tensors")
    weights = dict(observed)
    found = dict.fromkeys(
        [
            "the weights",
            "layer 0 looks at",
            "layer 0's attention",
            "layer 1 looks at",
            "layer 1's attention",
            "layer 1 uses what layer 0 wrote",
            "the model predicts",
            "loss on the second half",
        ],
        LATER,
    )
    found["the weights"] = misfit(weights, d_vocab, n_ctx) or "fit together"
    if found["the weights"] != "fit together":
        return found
    weights = {name: value.double() for name, value in weights.items()}
    generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
    # the answer does not know these
    lengths = [rng.randint(5, 8), rng.randint(9, 13), *rng.sample(range(18, 34), 4)]
    prefixes = [0, 3, 0, 0, 4, 2]
    runs = []
    for n, prefix in zip(lengths, prefixes):
        tokens = prompt(generator, d_vocab, n, prefix)
        runs.append((tokens, n, prefix, run_by_hand(weights, tokens)))

    found["layer 0 looks at"] = looks_at(runs, "layer 0")
    if found["layer 0 looks at"] == "no place in particular":
        ahead = [run["before the mask"].diagonal(1).mean() for *_, run in runs]
        if min(ahead) > 0.3:
            found["layer 0 looks at"] += " (without the mask: at the next token)"
    if found["layer 0 looks at"] != "the previous token":
        return found
    found["layer 0's attention"] = (
        "sharp" if min(run["layer 0"].diagonal(-1).mean() for *_, run in runs) > 0.9 else "spread out"
    )
    if found["layer 0's attention"] != "sharp":
        return found

    found["layer 1 looks at"] = looks_at(runs, "layer 1")
    if found["layer 1 looks at"] in ("a fixed distance back", "no place in particular"):
        return found
    right_place = found["layer 1 looks at"] == "the token after the earlier copy"
    if right_place:
        there = attention_at(runs, "layer 1", PLACES["the token after the earlier copy"])
        found["layer 1's attention"] = "sharp" if there.min() > 0.9 else "spread out"
        if found["layer 1's attention"] != "sharp":
            return found
    used = [part for part in ("keys", "queries") if moved_by(runs, part) > 0.1]
    found["layer 1 uses what layer 0 wrote"] = (
        f"in its {' and '.join(used)}" if used else "neither in its keys nor its queries"
    )
    if not right_place or used != ["keys"]:
        if used:
            alone = looks_at(runs, "without both")
            found["layer 1 uses what layer 0 wrote"] += f" (without it, it looks at {alone})"
        else:
            found["the model predicts"] = prediction(runs, "logits")
        return found

    found["the model predicts"] = prediction(runs, "logits")
    if found["the model predicts"] != "the next token":
        found["the model predicts"] += f" (without layer 1: {prediction(runs, 'logits without layer 1')})"
        return found
    losses = []
    for tokens, n, prefix, run in runs:
        q = second_half(n, prefix)[:-1]
        losses.append(-run["logits"].log_softmax(-1)[q, tokens[q + 1]].mean())
    found["loss on the second half"] = "below 0.1" if max(losses) < 0.1 else "0.1 or more"
    return found


@ex.alternative
def four_places(d_vocab, n_ctx):
    d_model, d_head = n_ctx + 3 * d_vocab, max(n_ctx, d_vocab)
    pos, token, before, answer = torch.eye(d_model).split([n_ctx, d_vocab, d_vocab, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    # layer 0
    W_Q[0, :, :n_ctx] = sharp * pos.T @ torch.ones(n_ctx - 1).diag(-1)
    W_K[0, :, :n_ctx] = pos.T
    W_V[0, :, :d_vocab] = token.T
    W_O[0, :d_vocab] = before
    # layer 1
    W_Q[1, :, :d_vocab] = token.T * sharp
    W_K[1, :, :d_vocab] = before.T
    W_V[1, :, :d_vocab] = token.T + 0
    W_O[1, :d_vocab] = answer
    W_U = 20 * answer.T
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": W_U}


@ex.alternative
def rotated_in_float64(d_vocab, n_ctx):
    """Any orthonormal directions will do; and biases are not needed, nor equal scales."""
    d_model, d_head = n_ctx + 3 * d_vocab + 5, n_ctx + d_vocab
    generator = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, dtype=torch.float64, generator=generator))
    pos, token, before, answer, _ = basis.split([n_ctx, d_vocab, d_vocab, d_vocab, 5])
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head, dtype=torch.float64)
    W_O = torch.zeros(2, d_head, d_model, dtype=torch.float64)
    W_Q[0, :, :n_ctx], W_K[0, :, 1:n_ctx] = 40 * pos.T, 20 * pos[: n_ctx - 1].T
    W_V[0, :, :d_vocab], W_O[0, :d_vocab] = 2 * token.T, before
    W_Q[1, :, :d_vocab], W_K[1, :, :d_vocab] = 30 * token.T, 20 * before.T
    W_V[1, :, :d_vocab], W_O[1, :d_vocab] = token.T, 3 * answer
    # the answer is read in its own place, and a little of the token's: the direct path may be there, if it is weak
    W_U = 10 * answer.T + token.T
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": W_U}


@ex.alternative
def clock_positions(d_vocab, n_ctx):
    """A position as a point on a circle (two numbers); the previous one is a small turn away."""
    d_model, d_head = 2 + 2 * d_vocab, d_vocab
    angle = torch.arange(n_ctx) * math.pi / n_ctx
    place = torch.eye(d_model)
    token, before = place[2 : 2 + d_vocab], place[2 + d_vocab :]
    W_pos = torch.zeros(n_ctx, d_model)
    W_pos[:, 0], W_pos[:, 1] = angle.cos(), angle.sin()
    turn = torch.tensor(math.pi / n_ctx)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    W_Q[0, :2, :2] = 4e5 * torch.stack(
        [torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])]
    )
    W_K[0, :2, :2] = torch.eye(2)
    W_V[0], W_O[0] = token.T, before
    W_Q[1], W_K[1] = 300 * token.T, before.T
    W_V[1], W_O[1] = (
        token.T,
        3 * token,
    )  # back into the token's place, three times as strong as the token itself
    return {"W_E": token, "W_pos": W_pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": 10 * token.T}


ex.slip(
    "layer_0_looks_at_itself",
    "Layer 0 looks at its own position, so every token is told what it already knows. The query at position i must match the "
    "key of position i - 1: shift by one, as torch.ones(n_ctx - 1).diag(-1) does.",
    "torch.ones(n_ctx - 1).diag(-1)",
    "torch.eye(n_ctx)",
)
ex.slip(
    "shift_reversed",
    "Layer 0's queries ask for position i + 1. The mask hides it, all that is left has the same score, and the head averages "
    "everything it sees. Turn the shift round: row i needs its 1 in column i - 1.",
    ".diag(-1)",
    ".diag(1)",
)
ex.slip(
    "no_positions",
    "Layer 0 looks everywhere equally: its scores are all the same. 'The token before me' is a matter of position, so Q and K "
    "must read what W_pos writes.",
    '"W_pos": pos',
    '"W_pos": 0 * pos',
)
ex.slip(
    "layer_0_not_sharp",
    "Layer 0 prefers the previous token, but only a little: the softmax spreads its attention over the whole context, because "
    "the scores (after division by the root of d_head) differ by too little. A difference of 10 or more makes it sharp.",
    "sharp * pos.T @",
    "pos.T @",
)
ex.slip(
    "layer_1_not_sharp",
    "Layer 1 looks at the right token more than at any other, but most of its attention is elsewhere: one match has to "
    "outweigh all the other keys together. Multiply its queries or keys until a match scores 10 or more above the rest.",
    "token.T * sharp",
    "token.T",
)
ex.slip(
    "overwrites_embedding",
    "Layer 0 writes the previous token into the place where the embedding holds the token itself. From then on nobody can tell "
    "'I am B' from 'after me came B': layer 1 matches tokens with themselves. Give the previous token directions of its own, "
    "and let layer 1's keys read those.",
    "W_O[0, :d_vocab] = before",
    "W_O[0, :d_vocab] = token",
    "= before.T",
    "= token.T",
)
ex.slip(
    "v_composition",
    "This is V- instead of K-composition: layer 1 matches token with token, finds the earlier copy (and itself), and fetches "
    "from there what layer 0 wrote, the token before. You get the past, not the future. What layer 0 wrote belongs into layer "
    "1's keys: 'the one before me was A' is the sign by which an A finds its successor.",
    "= before.T",
    "= token.T",
    "token.T + 0",
    "before.T",
)
ex.slip(
    "no_composition",
    "Layer 1 does not use layer 0 at all: it matches token with token, finds itself and its copy, and predicts the current "
    "token. Its keys should read 'the token before', which layer 0 wrote.",
    "= before.T",
    "= token.T",
)
ex.slip(
    "keys_read_an_empty_place",
    "All of layer 1's scores are equal. Its keys (or its queries) read directions in which nothing is written: follow 'the token "
    "before' from W_O of layer 0 to W_K of layer 1, and the token from W_E to W_Q.",
    "W_O[0, :d_vocab] = before",
    "W_O[0, :d_vocab] = 0 * before",
)
ex.slip(
    "q_composition",
    "Layer 1's queries read what layer 0 wrote, and its keys read the token: so a token looks for copies of its predecessor. The "
    "other way round: the query is the current token, the key is the token before.",
    "= before.T",
    "= token.T",
    "token.T * sharp",
    "before.T * sharp",
)
ex.slip(
    "previous_matched_with_previous",
    "Both the queries and the keys of layer 1 read 'the token before', so it finds the places with the same predecessor, which "
    "are itself and its own copy. The query should be the current token.",
    "token.T * sharp",
    "before.T * sharp",
)
ex.slip(
    "copies_the_wrong_place",
    "Layer 1 looks at the right token and then fetches the wrong thing: its values read 'the token before', which there is the "
    "current token. The values must read the token itself.",
    "token.T + 0",
    "before.T",
)
ex.slip(
    "direct_path_wins",
    "Layer 1 finds the next token, but W_U also reads the current token from its place, and the two votes are equally strong. "
    "Let layer 1 write into a place that only W_U reads, or write more strongly than the embedding does.",
    "W_O[1, :d_vocab] = answer\n    W_U = 20 * answer.T",
    "W_O[1, :d_vocab] = 0.9 * token\n    W_U = 20 * token.T",
)
ex.slip(
    "predicts_nothing",
    "All logits are equal. Layer 1's attention is right, but what it writes does not reach the output: W_O must write where W_U "
    "reads.",
    "W_U = 20 * answer.T",
    "W_U = 0 * answer.T",
)
ex.slip(
    "unembeds_the_token_before",
    "W_U reads the place where layer 0 has written the token before. It should read where layer 1 writes.",
    "20 * answer.T",
    "20 * before.T",
)
ex.slip(
    "unsure_logits",
    "The right token has the highest logit, but by so little that the loss is still high: softmax over d_vocab logits needs a "
    "lead of several nats. Make W_U (or layer 1's W_O) larger.",
    "20 * answer.T",
    "answer.T",
)


ex.slip(
    "one_length_only",
    "Layer 1 looks a fixed distance back. It works for one length of the repeat and fails on every other: that is counting, not "
    "induction. Let its queries and keys compare tokens, not positions.",
    "W_Q[1, :, :d_vocab] = token.T * sharp",
    "W_Q[1, :, :n_ctx] = sharp * pos.T @ torch.ones(n_ctx - 12).diag(-12)",
    "W_K[1, :, :d_vocab] = before.T",
    "W_K[1, :, :n_ctx] = pos.T",
)


@ex.mistake(
    "Layer 0 looks for the earlier copy of the current token. From there a model can do induction too, by handing the copy's "
    "position to layer 1's queries (Q-composition, 'pointer arithmetic'). Here the other route was asked for, the one "
    "small models learn: layer 0 looks at the previous token, and layer 1's keys read what it wrote (K-composition)."
)
def pointer_arithmetic(d_vocab, n_ctx):
    d_model, d_head = 2 * n_ctx + 2 * d_vocab, n_ctx + d_vocab
    pos, token, pointer, answer = torch.eye(d_model).split([n_ctx, d_vocab, n_ctx, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    W_Q[0] = sharp * torch.cat([token.T, -2 * pos.T], dim=1)  # the same token, but not myself
    W_K[0] = torch.cat([token.T, pos.T], dim=1)
    W_V[0, :, :n_ctx], W_O[0, :n_ctx] = pos.T, pointer
    W_Q[1, :, :n_ctx] = sharp * pointer.T @ torch.ones(n_ctx - 1).diag(1)
    W_K[1, :, :n_ctx] = pos.T
    W_V[1, :, :d_vocab], W_O[1, :d_vocab] = token.T, answer
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": 20 * answer.T}


ex.slip(
    "w_o_transposed",
    "W_O has the shape of W_V. It goes the other way, out of the head: [2, d_head, d_model]; transpose its last two axes.",
    '"W_O": W_O',
    '"W_O": W_O.transpose(1, 2)',
)
ex.slip(
    "w_u_transposed",
    "W_U has the shape of W_E. It turns a residual vector into one logit per token: [d_model, d_vocab], so transpose it.",
    "W_U = 20 * answer.T",
    "W_U = 20 * answer",
)
