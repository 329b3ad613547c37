"""Batches: repeated random tokens, packed documents, and mixtures of the two.

Every batch is a function of its seed and step alone, so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

BOS = 0
MakeBatch = Callable[[int], Int[Tensor, "batch pos"]]


def repeated_tokens(
    batch: int, n_ctx: int, d_vocab: int, generator: torch.Generator, min_len: int = 4, max_len: int = 60
) -> Int[Tensor, "batch pos"]:
    """Rows of BOS and random tokens in which random segments come back: a segment, its copies, another one.

    Everything is drawn at random for each segment: its length (`min_len` to `max_len`), how many copies follow
    (one to four) and, in every second row, how long a gap of other tokens comes before each. Half of the rows
    begin with a few tokens that do not come back. All this is what makes a model learn induction ("find what
    followed the last time I saw this token"). With lengths from a short list, attending a fixed number of
    positions back predicts just as well, is learned instead, and fails on every other length.

    Every third row is a few short segments (two to four tokens), again and again in random order. Where long
    stretches come back, "where have I seen all these tokens lately?" finds the place as well, blurred: then models
    learned to look two or six tokens too far. In a shuffled row only the one token before tells.
    """

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    tokens = torch.randint(BOS + 1, d_vocab, (batch, n_ctx), generator=generator)
    tokens[:, 0] = BOS
    for i, row in enumerate(tokens):
        at = 1 + draw(0, 1) * draw(0, 20)
        if i % 3 == 2:
            short = [
                torch.randint(BOS + 1, d_vocab, (draw(2, 4),), generator=generator)
                for _ in range(draw(2, 10))
            ]
            while at < n_ctx:
                copy = short[draw(0, len(short) - 1)][: n_ctx - at]
                row[at : at + len(copy)] = copy
                at += len(copy)
        while at < n_ctx:
            segment = row[at : at + draw(min_len, max_len)].clone()
            at += len(segment)
            for _ in range(draw(1, 4)):
                at += draw(0, 12) if i % 2 else 0
                copy = segment[: max(0, n_ctx - at)]
                row[at : at + len(copy)] = copy
                at += len(segment)
    return tokens


def pack(documents: Iterable[str], tokenizer: Tokenizer, n_ctx: int) -> Int[Tensor, "row pos"]:
    """Documents laid end to end, a BOS before each, in rows of `n_ctx` that all begin with a new document."""
    rows: list[list[int]] = [[]]
    for encoding in tokenizer.encode_batch(list(documents)):
        if len(rows[-1]) >= n_ctx:
            rows.append([])
        rows[-1] += [BOS, *encoding.ids]
    return torch.tensor([row[:n_ctx] for row in rows if len(row) >= n_ctx])


def seeded(*numbers: int) -> torch.Generator:
    """A generator whose state depends on all the numbers, for example a run's seed and the step."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % 2**63
    return torch.Generator().manual_seed(state)


def repeats_only(batch: int, n_ctx: int, d_vocab: int, seed: int) -> MakeBatch:
    """Batches of nothing but repeated random tokens."""
    return lambda step: repeated_tokens(batch, n_ctx, d_vocab, seeded(seed, step))


def mixture(rows: Int[Tensor, "row pos"], share: float, batch: int, d_vocab: int, seed: int) -> MakeBatch:
    """Batches with `share` of their rows taken from `rows`, the others repeated random tokens."""
    n_packed = round(share * batch)

    def make(step: int) -> Int[Tensor, "batch pos"]:
        generator = seeded(seed, step)
        packed = rows[torch.randint(len(rows), (n_packed,), generator=generator)]
        repeats = repeated_tokens(batch - n_packed, rows.shape[1], d_vocab, generator)
        return torch.cat([packed, repeats])

    return make
