"""Exercise 00.5: Padding."""

import random

import torch

from ...exercise import exercise
from .helpers import BOS_ID, PAD

ex = exercise(
    "00.5",
    "pad_batch",
    title="Padding",
    objective="You can put sequences of different lengths into one tensor and keep track of which tokens are real, even "
    "when the padding id is also the id of a real token.",
    minutes=10,
    difficulty=2,
    importance=4,
    source="The definition in chapter 00, section 5: the mask comes from the lengths, never from the ids.",
    hints=[
        "Make both tensors full of padding first: tokens all PAD, mask all False. Then write each sequence in.",
        "The mask cannot be computed from the tokens: PAD is also BOS, and every sequence begins with a real BOS.",
        "With n = len(seq): the slice is [:n] for side 'right' and [width - n:] for side 'left'.",
    ],
    why="GPT-2 has one special token for beginning, end and padding. A mask made with tokens != PAD hides the real BOS "
    "as well, and every attention head that rests there changes: a bug that looks like a slightly worse model.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    lengths = rng.sample(range(2, 8), 4)
    seqs = [[BOS_ID, *(rng.randint(1, 50) for _ in range(n - 1))] for n in lengths]
    return [{"seqs": seqs, "side": "right"}, {"seqs": seqs, "side": "left"}]


@ex.oracle
def _(seqs, side):
    width = max(len(seq) for seq in seqs)
    tokens, mask = [], []
    for seq in seqs:
        gap = width - len(seq)
        left, right = (gap, 0) if side == "left" else (0, gap)
        tokens.append([PAD] * left + seq + [PAD] * right)
        mask.append([False] * left + [True] * len(seq) + [False] * right)
    return torch.tensor(tokens), torch.tensor(mask)


@ex.alternative
def write_into_padding(seqs, side):
    width = max(len(seq) for seq in seqs)
    tokens = torch.full((len(seqs), width), PAD)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for row, seq in enumerate(seqs):
        start = 0 if side == "right" else width - len(seq)
        tokens[row, start : start + len(seq)] = torch.tensor(seq)
        mask[row, start : start + len(seq)] = True
    return tokens, mask


@ex.alternative
def mask_from_lengths(seqs, side):
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(seq if side == "right" else seq[::-1]) for seq in seqs]
    tokens = pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(seq) for seq in seqs])
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    return (tokens, mask) if side == "right" else (tokens.flip(1), mask.flip(1))


ex.slip(
    "masks_the_real_bos",
    "The mask is tokens != PAD. PAD is the same id as BOS, so the real BOS of every sequence is hidden too. Build the "
    "mask from the lengths.",
    "return tokens, mask",
    "return tokens, tokens != PAD",
)


ex.slip(
    "wrong_side",
    "The padding is on the other side. side names the side where the padding goes.",
    'side == "right"',
    'side == "left"',
)


ex.slip(
    "ignores_the_side",
    "The padding is on the right whatever side says.",
    '0 if side == "right" else width - len(seq)',
    "0",
)


ex.slip(
    "truncates",
    "The sequences were cut to the length of the shortest. Padding makes the short ones longer: the width is the "
    "longest length.",
    "width = max(len(seq) for seq in seqs)",
    "width = min(len(seq) for seq in seqs)",
    "for row, seq in enumerate(seqs):",
    "for row, seq in enumerate(s[:width] for s in seqs):",
)


ex.slip(
    "inverted_mask",
    "The mask is upside down: True stands for a real token, False for padding.",
    "return tokens, mask",
    "return tokens, ~mask",
)


ex.slip(
    "mask_of_ints",
    "The mask holds 0 and 1 as integers. As an index, an integer mask picks rows 0 and 1 instead of filtering: make it "
    "a bool tensor.",
    "dtype=torch.bool",
    "dtype=torch.long",
)
