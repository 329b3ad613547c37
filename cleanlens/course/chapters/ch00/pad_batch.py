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
    version=2,
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
    ends_with_eos = [
        [BOS_ID, 5, BOS_ID],
        [BOS_ID, 7, 8, BOS_ID, BOS_ID],
        [BOS_ID],
    ]  # EOS is the same id again
    one = [[BOS_ID, rng.randint(1, 50), rng.randint(1, 50)]]
    return [
        {"seqs": rows, "side": side}
        for rows in (seqs, ends_with_eos, one, [[BOS_ID]] * 2)
        for side in ("right", "left")
    ]


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


ex.slip(
    "mask_always_on_the_left",
    "With side 'left' the tokens stand on the right, but the mask marks the first n positions. It should be True where the"
    " sequence's own tokens stand.",
    "mask[row, start : start + len(seq)]",
    "mask[row, : len(seq)]",
)


ex.slip(
    "width_of_the_first",
    "The width is that of the first sequence, and longer ones were cut. It is the length of the longest.",
    "width = max(len(seq) for seq in seqs)",
    "width = len(seqs[0])",
    "for row, seq in enumerate(seqs):",
    "for row, seq in enumerate(s[:width] for s in seqs):",
)


ex.slip(
    "one_column_too_many",
    "There is one column too many, padding in every row. The width is the longest length itself.",
    "width = max(len(seq) for seq in seqs)",
    "width = max(len(seq) for seq in seqs) + 1",
)


ex.slip(
    "batch_second",
    "The axes are (s, b): positions first. One row per sequence: (b, s). (pad_sequence does that unless it is given "
    "batch_first=True.)",
    "return tokens, mask",
    "return tokens.T, mask.T",
)


ex.slip(
    "mask_patched_at_position_0",
    "The mask is tokens != PAD with position 0 set to True. That is right for right padding without a real PAD in the text. With left "
    "padding BOS stands elsewhere, and a text may end with the same id as EOS. Build the mask from the lengths.",
    "return tokens, mask",
    "mask = tokens != PAD\n    mask[:, 0] = True\n    return tokens, mask",
)


ex.slip(
    "float_tokens",
    "The tokens are floats. Ids are indices: int64.",
    "torch.full((len(seqs), width), PAD)",
    "torch.full((len(seqs), width), float(PAD))",
)


ex.slip(
    "lists_for_tensors",
    "Lists came back. Make them tensors: int64 for the tokens, bool for the mask.",
    "return tokens, mask",
    "return tokens.tolist(), mask.tolist()",
)


ex.slip(
    "mask_first",
    "The mask came first. It is (tokens, mask).",
    "return tokens, mask",
    "return mask, tokens",
)


@ex.mistake(
    "With side 'left' the sequences themselves are reversed. Padding goes in front of them; their order stays. (Flipping a batch that "
    "was padded on the right needs rows that were flipped before.)"
)
def left_rows_reversed(seqs, side):
    tokens, mask = write_into_padding(seqs, "right")
    return (tokens.flip(1), mask.flip(1)) if side == "left" else (tokens, mask)


@ex.mistake(
    "With side 'left' BOS stayed in column 0 and the padding came behind it. The padding goes in front of the whole sequence, BOS "
    "included."
)
def bos_stays_in_front(seqs, side):
    tokens, mask = write_into_padding([seq[1:] for seq in seqs], side)
    return torch.cat([torch.zeros(len(seqs), 1).long(), tokens], 1), torch.cat(
        [torch.ones(len(seqs), 1).bool(), mask], 1
    )


@ex.mistake(
    "The result is right, but the lists that were passed in are longer than before: insert, append and += work in place. Make new "
    "lists."
)
def changes_its_lists(seqs, side):
    result = write_into_padding(seqs, side)
    width = max(len(seq) for seq in seqs)
    for seq in seqs:
        while len(seq) < width:
            seq.insert(0 if side == "left" else len(seq), PAD)
    return result


ex.equivalent("PAD is 0, which is pad_sequence's own default.", ", padding_value=PAD => ")
