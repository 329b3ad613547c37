"""Exercise pre.6: From each text its own positions."""

import torch
import torch.nn.functional as F

from ...exercise import exercise

ex = exercise(
    "pre.6",
    "take_positions",
    title="From each text its own positions",
    objective="You can pick another position from each row of a batch, without a loop and without mixing up rows.",
    minutes=10,
    difficulty=3,
    importance=4,
    source="The definition: out[b, i] = x[b, positions[b, i]]. PyTorch's rule: index tensors broadcast against each other.",
    hints=[
        "x[:, positions] uses all positions for every text. What has to stand in the place of the colon?",
        "Two index tensors are broadcast against each other and read in pairs: (which text, which position), each [batch n].",
        "rows = torch.arange(x.shape[0])[:, None] is [batch 1]; x[rows, positions].",
    ],
    why="A slice and an index tensor make all combinations; two index tensors make pairs. arange(batch)[:, None] says at every entry of "
    "positions which text it belongs to. gather says the same the other way: its index names one axis, and all others stay "
    "where they are.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    # As many positions as texts: where one is taken for the other, there is no error.
    for b, s, d, n in ((3, 5, 4, 3), (1, 6, 2, 4), (2, 4, 3, 1), (4, 6, 2, 4), (1, 3, 2, 0)):
        positions = torch.randint(s, (b, n), generator=generator)
        if n > 2:
            positions[0, :3] = torch.tensor([2, 0, 2])  # one of them twice, and not in order
            positions[-1, -1] = s - 1
        cases.append({"x": torch.randn(b, s, d, generator=generator), "positions": positions})
    return cases


@ex.oracle
def _(x, positions):
    b, n = positions.shape
    out = torch.zeros(b, n, x.shape[-1])
    for text in range(b):
        for i in range(n):
            out[text, i] = x[text, int(positions[text, i])]
    return out


@ex.alternative
def paired(x, positions):
    rows = torch.arange(x.shape[0])[:, None]
    return x[rows, positions]


@ex.alternative
def by_gather(x, positions):
    index = positions[..., None].expand(-1, -1, x.shape[-1])
    return x.gather(1, index)


@ex.alternative
def taken_along(x, positions):
    return torch.take_along_dim(x, positions[..., None], dim=1)


@ex.alternative
def one_hot(x, positions):
    return F.one_hot(positions, x.shape[1]).to(x.dtype) @ x


@ex.alternative
def text_by_text(x, positions):
    return torch.stack([text[own] for text, own in zip(x, positions)])


ex.slip(
    "all_combinations",
    "For every text the positions of all texts were taken: [batch batch n d], as x[:, positions] gives. Say beside each position which text "
    "it is of: x[rows, positions] with rows [batch 1].",
    "x[rows, positions]",
    "x[:, positions]",
)


ex.slip(
    "positions_of_the_first_text",
    "The first text's positions were taken from every text. Each text has its own.",
    "x[rows, positions]",
    "x[:, positions[0]]",
)


ex.slip(
    "all_from_the_first_text",
    "Everything was taken from the first text. Each row of positions belongs to the text of the same number.",
    "x[rows, positions]",
    "x[rows * 0, positions]",
)


ex.slip(
    "texts_along_the_wrong_axis",
    "Entry [i, j] came from text j; it should come from text i. arange(batch) lines up with the last axis of positions. Give it a place: "
    "arange(batch)[:, None].",
    "torch.arange(x.shape[0])[:, None]",
    "torch.arange(x.shape[0])",
)


ex.slip(
    "transposed",
    "The axes are the wrong way round: [n batch d]. The batch comes first.",
    "torch.arange(x.shape[0])[:, None]",
    "torch.arange(x.shape[0])",
    "x[rows, positions]",
    "x[rows, positions.T]",
)


ex.slip(
    "one_too_early",
    "Each is the vector one position earlier, and for position 0 the last one. Positions count from 0.",
    "x[rows, positions]",
    "x[rows, positions - 1]",
)


ex.slip(
    "from_the_end",
    "The positions were counted from the end.",
    "x[rows, positions]",
    "x[rows, -1 - positions]",
)


ex.slip(
    "in_order",
    "The right positions, but sorted. They come in the order in which they were asked for.",
    "x[rows, positions]",
    "x[rows, positions.sort(-1).values]",
)


@ex.mistake(
    "Of each vector there is only the first number: [batch n 1]. gather takes one number for each entry of its index, so the index needs all d "
    "of them: positions[..., None].expand(-1, -1, d)."
)
def first_number_only(x, positions):
    return x.gather(1, positions[..., None])


@ex.mistake(
    "Each position was taken once: a position that is asked for twice should come twice. A mask of positions loses how often and in which "
    "order they came; the rest is filled with zeros here."
)
def each_once(x, positions):
    out = torch.zeros(*positions.shape, x.shape[-1])
    for b, own in enumerate(positions):
        found = x[b, own.unique()]
        out[b, : len(found)] = found
    return out


ex.equivalent("There are three axes: 1 and -2 are the same.", "None], dim=1) => None], dim=-2)")
