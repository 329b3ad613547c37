"""Exercise 04.3: Zero ablation."""

import torch

from ...exercise import exercise
from .helpers import as_a_hook, untouched

ex = exercise(
    "04.3",
    "zero_ablate",
    title="Zero ablation",
    objective="You can remove one head's output in a run, and nothing but that.",
    minutes=5,
    difficulty=1,
    importance=5,
    version=2,
    source="The definition in chapter 04, section 3; equal to setting the head's W_O to zero.",
    hints=[
        "z has the axes batch, position, head, d_head: which of them is the head?",
        "Work on z.clone(), and return it.",
    ],
    why="W_O is linear, so z = 0 means that the head writes nothing. The copy matters because the tensor that a hook is given "
    "may be in somebody's cache; and a hook that makes a copy must return it, or nothing happens.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, 5, 4, 6, generator=generator)
    first = int(torch.randint(0, 3, (), generator=generator))
    single = torch.randn(1, 1, 1, 5, generator=generator)
    return [
        {"z": z, "head": first},
        {"z": z.clone(), "head": (first + 1) % 3},
        {"z": z[:1, :1].double(), "head": 3},
        {"z": single, "head": 0},
    ]


@ex.call
def _(answer, z, head):
    return as_a_hook(answer, z, head=head)


@ex.oracle
def _(z, head):
    kept = torch.ones_like(z)
    for row in range(z.shape[0]):
        for position in range(z.shape[1]):
            for i in range(z.shape[3]):
                kept[row, position, head, i] = 0
    return untouched(z, z * kept, kept)


@ex.alternative
def cloned(z, hook, head):
    z = z.clone()
    z[:, :, head] = 0.0
    return z


@ex.alternative
def masked(z, hook, head):
    keep = torch.arange(z.shape[2]) != head
    return z * keep[:, None]


ex.slip(
    "zeroes_a_position",
    "z[:, head] is a position: the axes are batch, position, head, d_head. The head is the third: z[:, :, head].",
    "z[:, :, head]",
    "z[:, head]",
)


ex.slip(
    "zeroes_a_prompt",
    "z[head] is a whole entry of the batch: the axes are batch, position, head, d_head. The head is the third.",
    "z[:, :, head]",
    "z[head]",
)


ex.slip(
    "zeroes_a_coordinate",
    "z[..., head] is one coordinate of every head: the last axis is d_head. The head is the third axis: z[:, :, head].",
    "z[:, :, head]",
    "z[..., head]",
)


ex.slip(
    "all_heads",
    "Every head was set to zero: that is the ablation of the whole layer.",
    "z[:, :, head] = 0.0",
    "z[:] = 0.0",
)


ex.slip(
    "keeps_only_this_head",
    "It is the other way round: this head was kept and all the others were removed.",
    "    z = z.clone()\n    z[:, :, head] = 0.0\n    return z\n",
    "    out = torch.zeros_like(z)\n    out[:, :, head] = z[:, :, head]\n    return out\n",
)


ex.slip(
    "last_position_only",
    "The head was removed at the last position only; elsewhere it still writes, and later layers read it.",
    "z[:, :, head]",
    "z[:, -1, head]",
)


ex.slip(
    "edits_the_cache",
    "It is zero where it should be, but z itself was edited. Whoever holds this tensor (a cache of the clean run, say) now "
    "holds the ablated values under the clean name. Clone first.",
    "z.clone()",
    "z",
)


ex.slip(
    "in_place_returns_nothing",
    "z was edited in place and nothing returned. The model would obey, but the tensor may be in somebody's cache, which is "
    "now wrong as well. Clone, edit the copy, return it.",
    "    z = z.clone()\n    z[:, :, head] = 0.0\n    return z\n",
    "    z[:, :, head] = 0.0\n",
)


ex.slip(
    "copy_not_returned",
    "A copy was edited, and then not returned: the model never hears of it and runs as if there were no hook. Return the "
    "copy.",
    "    return z\n",
    "",
)


ex.slip(
    "cuts_the_graph",
    "The values are right, but the graph is cut, as .detach(), .data or no_grad() cut it: no gradient passes this layer any more. "
    "clone() alone keeps it.",
    "z.clone()",
    "z.detach().clone()",
)


ex.slip(
    "first_prompt_only",
    "The head was removed in the first prompt only; the hook works on the whole batch.",
    "z[:, :, head]",
    "z[0, :, head]",
)


@ex.mistake(
    "The head was cut out of the tensor, so there is one head less. W_O expects all of them: keep the shape, and set it to zero."
)
def head_cut_out(z, hook, head):
    return torch.cat([z[:, :, :head], z[:, :, head + 1 :]], dim=2)
