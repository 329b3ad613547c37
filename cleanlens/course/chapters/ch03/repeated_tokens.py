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
    version=3,
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
    few = rng.randint(8, 10)
    return [
        {"d_vocab": few, "n": rng.randint(11, 14), "batch": 400, "bos": rng.randint(1, few - 3)},
        {"d_vocab": 30, "n": 8, "batch": 300, "bos": 0},
        {"d_vocab": 5000, "n": rng.randint(5, 7), "batch": 500, "bos": 4999},
        {"d_vocab": 40, "n": 6, "batch": 1, "bos": 7},
        {"d_vocab": 2, "n": 1, "batch": 3, "bos": 0},
    ]


FACTS = [
    "shape",
    "dtype",
    "position 0",
    "second half",
    "BOS after position 0",
    "rows",
    "ids other than BOS",
    "one place and another",
    "a second call",
]


@ex.oracle
def _(d_vocab, n, batch, bos):
    values = [
        str([batch, 1 + 2 * n]),
        "torch.int64",
        "BOS in every row",
        "the first half once more",
        "never",
        "different" if batch > 1 and d_vocab > 2 else "too few to tell",
        "all equally often" if batch > 10 else "too few drawn to tell",
        "drawn independently" if batch > 10 else "too few drawn to tell",
        "gives other tokens" if d_vocab > 2 else "has no choice",
    ]
    return dict(zip(FACTS, values))


@ex.call
def _(answer, d_vocab, n, batch, bos):
    return [answer(d_vocab, n, batch, bos), answer(d_vocab, n, batch, bos)]


@ex.measure
def _(observed, d_vocab, n, batch, bos):
    tokens, again = observed
    if not torch.is_tensor(tokens) or tokens.ndim != 2 or not torch.is_tensor(again):
        raise ValueError("it should be a tensor of token ids with two axes, batch and position")
    fits = list(tokens.shape) == [batch, 1 + 2 * n]
    first, second = tokens[:, 1 : n + 1], tokens[:, n + 1 :]
    many, same = batch > 10, tokens.shape == again.shape
    drawn = torch.cat([first, again[:, 1 : n + 1]]) if same else first
    values = [
        str(list(tokens.shape)),
        str(tokens.dtype),
        "BOS in every row" if (tokens[:, 0] == bos).all() else "not always BOS",
        "the first half once more"
        if fits and torch.equal(first, second)
        else "the first half reversed"
        if fits and n > 1 and torch.equal(first.flip(1), second)
        else "each token twice in a row"
        if fits and torch.equal(tokens[:, 1::2], tokens[:, 2::2])
        else "something else",
        "now and then" if (tokens[:, 1:] == bos).any() else "never",
        "too few to tell"
        if batch == 1 or d_vocab == 2
        else "all the same"
        if (tokens == tokens[:1]).all()
        else "different",
        _frequencies(drawn, d_vocab, bos) if many else "too few drawn to tell",
        _independence(drawn, d_vocab, bos) if many and fits else "too few drawn to tell",
        "has no choice"
        if d_vocab == 2
        else "gives the same tokens again"
        if torch.equal(tokens, again)
        else "gives other tokens",
    ]
    return dict(zip(FACTS, values))


def _counts(drawn, d_vocab, bos):
    """How often each id but BOS was drawn; of a large vocabulary, how many fell into each tenth of it."""
    rank = (drawn - (drawn > bos).long()).long().clamp(0, d_vocab - 2)
    bins = min(d_vocab - 1, 30)
    return torch.bincount((rank * bins // (d_vocab - 1)).flatten(), minlength=bins).double()


def _uneven(counts):
    """Whether counts of equally likely things differ by more than chance does once in many million times."""
    mean = counts.mean()
    return float(((counts - mean) ** 2 / mean).sum()) > 5 * len(counts) + 50


def _frequencies(drawn, d_vocab, bos):
    counts = _counts(drawn, d_vocab, bos)
    if d_vocab <= 30 and (counts == 0).any():
        never = int((counts == 0).nonzero()[0])
        return f"{never + (never >= bos)} never comes"
    if not _uneven(counts):
        return "all equally often"
    far = ((counts - counts.mean()) / counts.mean().sqrt()).tolist()
    ids = {rank + (rank >= bos): z for rank, z in enumerate(far) if abs(z) > 6}
    if d_vocab > 30 or len(ids) > 3:
        return "some come more often than others"
    return ", ".join(f"{i} comes too {'often' if z > 0 else 'seldom'}" for i, z in ids.items()) or "uneven"


def _independence(drawn, d_vocab, bos):
    if any(_uneven(_counts(column, d_vocab, bos)) for column in drawn.T):
        return "some ids prefer some places"
    chance = 1 / (d_vocab - 1)
    pairs = {
        "two neighbours in a row": drawn[:, 1:] == drawn[:, :-1],
        "two places in a row": torch.stack(
            [drawn[:, i] == drawn[:, j] for i in range(drawn.shape[1]) for j in range(i)]
        ),
        "the same place in two rows": drawn[1:] == drawn[:-1],
        "places beside each other in two rows": torch.stack(
            [drawn[1:, 1:] == drawn[:-1, :-1], drawn[1:, :-1] == drawn[:-1, 1:]]
        ),
    } | {f"rows {i} apart": drawn[i:] == drawn[:-i] for i in range(2, len(drawn) // 2 + 1)}
    for name, equal in pairs.items():
        n, k = equal.numel(), int(equal.sum())
        if abs(k - n * chance) > 8 * (n * chance) ** 0.5 + 8:
            return f"{name} are equal too {'often' if k > n * chance else 'seldom'}"
    return "drawn independently"


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
    "0 is left out, but BOS has the id that is given as `bos` (50256 in GPT-2): it is still drawn, and 0 never is.",
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
    "The last id is never drawn. The upper end of torch.randint is excluded already: subtract 1 for BOS, and no more.",
    "d_vocab - 1",
    "d_vocab - 2",
)


ex.slip(
    "same_tokens_every_call",
    "Every call gives the same tokens, as when a seed is set inside the function. Then ten batches are one batch. Leave the "
    "seed to the caller.",
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


ex.slip(
    "greater_instead_of_at_least",
    "BOS is drawn, and the id after it never is: only ids above bos were moved up (>). bos itself has to move as well (>=).",
    "half >= bos",
    "half > bos",
)


ex.slip(
    "rounds_a_uniform_number",
    "The first and the last id come half as often as the others: that is what rounding a uniform number gives. torch.randint "
    "draws whole numbers with equal chances.",
    "torch.randint(0, d_vocab - 1, (batch, n))",
    "(torch.rand(batch, n) * (d_vocab - 2)).round().long()",
)


ex.slip(
    "remainder",
    "The low ids come more often than the others, as when a remainder (%) folds a larger range into a smaller one. Draw from the "
    "range itself.",
    "torch.randint(0, d_vocab - 1, (batch, n))",
    "torch.randint(0, d_vocab, (batch, n)) % (d_vocab - 1)",
)


ex.slip(
    "sorted_tokens",
    "The tokens of a half come in order: low ids first. Then much can be foreseen already in the first half. Leave them as they "
    "are drawn.",
    "torch.randint(0, d_vocab - 1, (batch, n))",
    "torch.randint(0, d_vocab - 1, (batch, n)).sort(1).values",
)


@ex.mistake(
    "A token never follows itself. The tokens should be independent: now and then two neighbours are equal, and a model that "
    "knows they never are has an advantage."
)
def no_neighbours_alike(d_vocab, n, batch, bos):
    half = torch.randint(0, d_vocab - 1, (batch, n))
    if d_vocab > 2:
        step = torch.randint(1, d_vocab - 1, (batch, n))
        half = (half[:, :1] + step.cumsum(1)) % (d_vocab - 1)
    half = half + (half >= bos)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


ex.slip(
    "int32_tokens",
    "The tokens are int32. Make them int64 (torch.long), the type of all token ids here.",
    "dim=1)",
    "dim=1).int()",
)


ex.slip(
    "batch_axis_lost",
    "With a batch of one the batch axis is missing: a squeeze() without an axis drops every axis of size 1.",
    "dim=1)",
    "dim=1).squeeze()",
)


ex.equivalent("There are two axes: 1 and -1 are the same.", "half], dim=1) => half], dim=-1)")
