"""Exercise 04.4: Mean ablation."""

import torch

from ...exercise import exercise
from .helpers import as_a_hook, untouched

ex = exercise(
    "04.4",
    "mean_ablate",
    title="Mean ablation",
    objective="You can replace a head's output by what it writes on average, position by position, over other prompts.",
    minutes=15,
    difficulty=3,
    importance=4,
    version=3,
    source="Wang et al. (2022), Interpretability in the Wild, section 2 (mean ablation over a reference distribution).",
    hints=[
        "The mean has the shape [s d_head]: one vector for each position of this head.",
        "At each position only the reference prompts that are real there count: sum with the mask, divide by how many.",
        "real = mask[:, :, None]; mean = (reference[:, :, head] * real).sum(0) / real.sum(0)",
    ],
    why="Zero is a value like any other, and later layers may never have seen it. The mean over other prompts keeps what the "
    "head always writes and removes what it writes about this prompt, which is the part whose use is in question. A reference "
    "that holds the prompts themselves would put a share of that back.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 5, 3, 4, generator=generator)
    reference = torch.randn(6, 5, 3, 4, generator=generator) + 1.5
    lengths = torch.tensor([5, 3, 4, 2, 5, 3])[torch.randperm(6, generator=generator)]
    mask = torch.arange(5) < lengths[:, None]
    head = int(torch.randint(0, 3, (), generator=generator))
    one = torch.randn(1, 1, 1, 4, generator=generator)
    three = torch.randn(3, 1, 1, 4, generator=generator) + 1.5
    left = mask.flip(1)  # padding on the left
    silent = reference.clone()
    silent[:2, :, (head + 2) % 3] = 0.0  # real, and exactly 0
    first_ends = torch.tensor([[False], [True], [True]])
    return [
        {"z": z.clone(), "head": (head + 1) % 3, "reference": reference.clone(), "mask": mask},
        {"z": z, "head": head, "reference": reference, "mask": torch.ones_like(mask)},
        {
            "z": z[:1].clone(),
            "head": 2,
            "reference": reference[:1].clone(),
            "mask": torch.ones_like(mask[:1]),
        },
        {"z": one, "head": 0, "reference": three, "mask": first_ends},
        {"z": z.clone(), "head": (head + 2) % 3, "reference": silent, "mask": left},
    ]


@ex.call
def _(answer, z, head, reference, mask):
    return as_a_hook(answer, z, head=head, reference=reference, mask=mask)


@ex.oracle
def _(z, head, reference, mask):
    returned, kept = z.clone(), torch.ones_like(z)
    for position in range(z.shape[1]):
        real = [reference[n, position, head] for n in range(len(reference)) if bool(mask[n, position])]
        for row in range(len(z)):
            returned[row, position, head] = sum(real) / len(real)
            kept[row, position, head] = 0
    return untouched(z, returned, kept)


@ex.alternative
def masked_sum(z, hook, head, reference, mask):
    real = mask[:, :, None]
    mean = (reference[:, :, head] * real).sum(0) / real.sum(0)
    z = z.clone()
    z[:, :, head] = mean
    return z


@ex.alternative
def nan_for_padding(z, hook, head, reference, mask):
    mean = reference.masked_fill(~mask[:, :, None, None], float("nan")).nanmean(0)
    here = (torch.arange(z.shape[2]) == head)[:, None]
    return torch.where(here, mean, z)


@ex.mistake(
    "The mean runs over the heads as well: this head now writes what all heads write on average. Take reference[:, :, head] "
    "first."
)
def mean_over_heads(z, hook, head, reference, mask):
    real = mask[:, :, None, None]
    z = z.clone()
    z[:, :, head] = ((reference * real).sum(0) / real.sum(0)).mean(1)
    return z


ex.slip(
    "mean_over_d_head",
    "The mean runs over d_head too, so all coordinates of the head's output are the same number. Coordinates are directions, "
    "not samples.",
    "z[:, :, head] = mean",
    "z[:, :, head] = mean.mean(-1, keepdim=True)",
)


ex.slip(
    "averages_positions",
    "The mean runs over the positions too. What a head writes at position 3 is part of what it always does; keep one mean "
    "for each position.",
    "z[:, :, head] = mean",
    "z[:, :, head] = (reference[:, :, head] * real).sum((0, 1)) / real.sum()",
)


ex.slip(
    "counts_padding",
    "Padding is counted. Where a reference prompt has ended, its z means nothing: use the mask.",
    "real = mask[:, :, None]",
    "real = torch.ones_like(mask)[:, :, None]",
)


ex.slip(
    "divides_by_all_prompts",
    "Padding is left out of the sum but still counted in the division, which pulls the mean towards zero. Divide by the "
    "number of prompts that are real at that position.",
    "/ real.sum(0)",
    "/ len(reference)",
)


ex.slip(
    "mask_upside_down",
    "The mask is used upside down: the mean was taken over the padding. True stands for a real token.",
    "real = mask[:, :, None]",
    "real = ~mask[:, :, None] | mask.all()",
)


ex.slip(
    "sum_for_mean",
    "That is the sum over the reference prompts. Divide by how many are real at the position.",
    " / real.sum(0)",
    "",
)


ex.slip(
    "own_mean",
    "The mean was taken over z, the very prompts that are being ablated. It still holds a share of their answers; take it "
    "over the reference.",
    "mean = (reference[:, :, head] * real).sum(0) / real.sum(0)",
    "mean = z[:, :, head].mean(0)",
)


@ex.mistake(
    "The prompts that are being ablated were put into the reference. A share of each answer comes back that way; average "
    "over the reference alone."
)
def reference_contains_the_answer(z, hook, head, reference, mask):
    every = torch.cat([reference, z.detach()])[:, :, head]
    real = torch.cat([mask, torch.ones(z.shape[:2], dtype=torch.bool)])[:, :, None]
    z = z.clone()
    z[:, :, head] = (every * real).sum(0) / real.sum(0)
    return z


ex.slip(
    "all_heads_replaced",
    "Every head was given this head's mean. Replace z[:, :, head] only.",
    "z[:, :, head] = mean",
    "z[:] = mean[:, None]",
)


@ex.mistake(
    "Every head was replaced by its mean: that is the ablation of the whole layer. Only `head` was asked for."
)
def whole_layer(z, hook, head, reference, mask):
    real = mask[:, :, None, None]
    return z * 0 + (reference * real).sum(0) / real.sum(0)


ex.slip(
    "adds_the_mean",
    "The mean was added to what the head writes. It takes its place.",
    "z[:, :, head] = mean",
    "z[:, :, head] = z[:, :, head] + mean",
)


ex.slip(
    "subtracts_the_mean",
    "The mean was subtracted, which leaves just what should go: the head's message about this prompt. The mean takes the "
    "place of z.",
    "z[:, :, head] = mean",
    "z[:, :, head] = z[:, :, head] - mean",
)


ex.slip(
    "zero_ablation",
    "The head was set to zero. That is zero ablation; here its mean over the reference takes its place.",
    "z[:, :, head] = mean",
    "z[:, :, head] = 0.0",
)


ex.slip(
    "edits_z_in_place",
    "The values are right, but z itself was edited; it may be in somebody's cache. Clone first.",
    "z = z.clone()",
    "z = z",
)


ex.slip(
    "nothing_returned",
    "A copy was edited and not returned, so the model goes on with the old z. Return it.",
    "    return z\n",
    "",
)


@ex.mistake(
    "Only the reference prompts without any padding were averaged. A shorter one counts as well, at the positions where it is real."
)
def full_prompts_only(z, hook, head, reference, mask):
    full = mask.all(1)
    z = z.clone()
    z[:, :, head] = (reference[:, :, head] * full[:, None, None]).sum(0) / full.sum()
    return z


ex.slip(
    "divides_by_all_tokens",
    "The sum at each position was divided by the number of real tokens at all positions. Divide by how many prompts are real at that "
    "position.",
    "/ real.sum(0)",
    "/ real.sum()",
)


ex.slip(
    "cuts_the_graph",
    "The values are right, but the graph is cut, as .detach(), .data or no_grad() cut it: no gradient passes the other heads any more. "
    "clone() alone keeps it.",
    "z = z.clone()",
    "z = z.detach().clone()",
)


ex.slip(
    "padding_on_the_right",
    "The padding was taken to stand on the right: of each prompt as many tokens counted as it has, from the first on. It may stand on the "
    "left: the mask says where the real tokens are, not only how many.",
    "real = mask[:, :, None]",
    "real = (torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True))[:, :, None]",
    "/ real.sum(0)",
    "/ real.sum(0).clamp(min=1)",
)


ex.slip(
    "zeros_left_out",
    "Entries that are exactly 0 were left out of the mean, as if they were padding. A head may write 0 at a real token; only the mask tells "
    "what is padding.",
    "/ real.sum(0)",
    "/ (reference[:, :, head] * real != 0).sum(0).clamp(min=1)",
)


@ex.mistake(
    "The values are right, but `reference` was changed: its padding is zero now, and the next head would read that. Work on a copy."
)
def clears_the_padding(z, hook, head, reference, mask):
    reference[~mask] = 0.0
    z = z.clone()
    z[:, :, head] = reference[:, :, head].sum(0) / mask.sum(0)[:, None]
    return z


ex.equivalent(
    "The mean is spread over the batch when it is put in, whether or not it has an axis of length one for it.",
    ").sum(0) / real => ).sum(0, keepdim=True) / real",
    "real.sum(0) => real.sum(0, keepdim=True)",
)
