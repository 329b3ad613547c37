"""Exercise pre.2: A mean that broadcasts back."""

import torch
from einops import einsum

from ...exercise import exercise

ex = exercise(
    "pre.2",
    "subtract_mean",
    title="A mean that broadcasts back",
    objective="You can average over one axis, leave padding out of it, and bring the result back into the shape that it came from.",
    minutes=12,
    difficulty=2,
    importance=5,
    version=2,
    source="The definition of a mean; PyTorch's rule of broadcasting: shapes are lined up from the right.",
    hints=[
        "Over which axis is the mean taken, and what is its shape? Which shape must it have to be subtracted from x?",
        "A mask of 0 and 1 with an axis for d, is_real[..., None], times x leaves the real positions; the mask's own sum says how "
        "many there are.",
        "weights = is_real[..., None].float(); (x * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True) is [batch 1 d].",
    ],
    why="keepdim leaves a place of size 1 where an axis was summed, so that the result lines up with what it came from. Without it [batch "
    "d] meets [batch pos d] from the right, batch under pos: an error if you are lucky, and if both have the same size, wrong "
    "numbers and no error.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    # As many texts as positions: where one is taken for the other, there is no error.
    for b, s, d in ((4, 4, 3), (1, 5, 2), (3, 3, 6), (2, 1, 4)):
        is_real = torch.rand(b, s, generator=generator) < 0.6
        is_real[0] = s < 5  # a text without padding
        is_real[-1, 0] = True
        is_real[torch.arange(b), torch.randint(s, (b,), generator=generator)] = True
        x = torch.randn(b, s, d, generator=generator) + 2 * torch.randn(b, 1, 1, generator=generator)
        x[~is_real] += 30  # padding is anything
        cases.append({"x": x, "is_real": is_real})
    x = torch.randint(-1, 2, (3, 5, 4), generator=generator).float()
    x[0, 2], x[1] = 0.0, 0.0  # real vectors of zeros, and a whole text
    is_real = torch.arange(5) < torch.tensor([[5], [3], [4]])
    return [*cases, {"x": x, "is_real": is_real}]


@ex.oracle
def _(x, is_real):
    out = torch.zeros_like(x)
    for b in range(len(x)):
        real = [s for s in range(x.shape[1]) if is_real[b, s]]
        for i in range(x.shape[2]):
            mean = sum(float(x[b, s, i]) for s in real) / len(real)
            for s in range(x.shape[1]):
                out[b, s, i] = float(x[b, s, i]) - mean
    return out


@ex.alternative
def masked(x, is_real):
    weights = is_real[..., None].float()
    mean = (x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
    return x - mean


@ex.alternative
def summed_by_einsum(x, is_real):
    total = einsum(x, is_real.float(), "b s d, b s -> b d")
    return x - (total / is_real.sum(1)[:, None])[:, None]


@ex.alternative
def text_by_text(x, is_real):
    return torch.stack([text - text[real].mean(0) for text, real in zip(x, is_real)])


ex.slip(
    "padding_counted",
    "Padding went into the mean. Only the real positions count.",
    "is_real[..., None].float()",
    "torch.ones_like(x)",
)


ex.slip(
    "divided_by_the_length",
    "The sum over the real positions was divided by the number of all positions. Divide by the number of real ones.",
    "/ weights.sum(dim=1, keepdim=True)",
    "/ x.shape[1]",
)


ex.slip(
    "zeros_not_counted",
    "Real numbers that are 0 were not counted: the sum was divided by how many numbers are not 0. It is is_real that says which positions "
    "count.",
    "weights.sum(dim=1, keepdim=True)",
    "(x * weights != 0).sum(dim=1, keepdim=True).clamp(min=1)",
)


ex.slip(
    "zero_vectors_not_counted",
    "Real positions at which all numbers are 0 were not counted. It is is_real that says which positions count.",
    "weights.sum(dim=1, keepdim=True)",
    "(x * weights).any(-1, keepdim=True).sum(dim=1, keepdim=True).clamp(min=1)",
)


ex.slip(
    "not_divided",
    "The sum of the real positions was subtracted. A mean is the sum divided by how many there are.",
    " / weights.sum(dim=1, keepdim=True)",
    "",
)


ex.slip(
    "broadcast_without_a_place",
    "The mean [batch d] was subtracted from [batch pos d] as it is. Shapes are lined up from the right, so text i's mean met position i. "
    "keepdim=True, or mean[:, None], leaves a place for the positions: [batch 1 d].",
    "(x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)",
    "(x * weights).sum(dim=1) / weights.sum(dim=1)",
)


ex.slip(
    "over_the_batch",
    "The mean runs over the texts (axis 0), position by position. The positions are axis 1.",
    "(x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)",
    "(x * weights).sum(dim=0, keepdim=True) / weights.sum(dim=0, keepdim=True)",
)


ex.slip(
    "one_mean_for_all_texts",
    "One mean was taken over the real positions of all texts together. Each text has its own.",
    "(x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)",
    "(x * weights).sum(dim=(0, 1), keepdim=True) / weights.sum(dim=(0, 1), keepdim=True)",
)


@ex.mistake(
    "The mean runs over the numbers of each vector (the last axis), as in LayerNorm. Here it runs over the positions, axis 1: a vector of "
    "d numbers per text."
)
def over_the_vector(x, is_real):
    return x - x.mean(dim=-1, keepdim=True)


ex.slip(
    "one_number_per_text",
    "One number per text was subtracted: the mean over positions and d together. The mean over the positions is a vector of d numbers.",
    "/ weights.sum(dim=1, keepdim=True)",
    "/ weights.sum(dim=1, keepdim=True)\n    mean = mean.mean(dim=-1, keepdim=True)",
)


ex.slip(
    "mean_of_the_padding",
    "That is the mean over the padding. is_real is True at the positions that count.",
    "is_real[..., None].float()",
    "(~is_real)[..., None].float()",
)


ex.slip(
    "padding_set_to_zero",
    "At the padding there are zeros. The mean is subtracted there as well; nothing else is changed.",
    "x - mean",
    "(x - mean) * weights",
)


ex.slip(
    "padding_left_alone",
    "Padding is as it was. The mean is subtracted at every position.",
    "x - mean",
    "x - mean * weights",
)


ex.slip("added", "The mean was added. It is taken off.", "x - mean", "x + mean")


ex.slip(
    "only_the_mean",
    "That is the mean itself. x without it was asked for.",
    "x - mean",
    "mean",
)


ex.slip(
    "changes_x",
    "The answer is right, but x itself was changed, as `-=` does. Whoever called you still needs it.",
    "return x - mean",
    "x -= mean\n    return x",
)


ex.equivalent("A mask times a float is a float, and a sum counts its True.", "None].float() => None]")
ex.equivalent("There are three axes: 1 and -2 are the same.", "(dim=1, keepdim => (dim=-2, keepdim")
ex.equivalent(
    "[1 d] broadcasts over the positions as [d] does.", ".mean(0) for => .mean(0, keepdim=True) for"
)
