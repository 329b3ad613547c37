"""Exercise 03.1: Random tokens, twice."""

import random

import torch

from ...exercise import exercise

ex = exercise(
    "03.1",
    "repeated_tokens",
    exact_ints=True,
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
