"""Exercise pre.1: One axis becomes two."""

import torch
from einops import rearrange

from ...exercise import exercise

ex = exercise(
    "pre.1",
    "split_heads",
    title="One axis becomes two",
    objective="You can split an axis, move the pieces, and know which number went where.",
    minutes=8,
    difficulty=1,
    importance=4,
    version=2,
    source="The definition: out[b, h, s, e] = x[b, s, h * d_head + e]. Vaswani et al. 2017, section 3.2.2 (heads).",
    hints=[
        "d_model is two axes in one: which head, and which of its numbers. Split it, then move the heads forward.",
        "In einops, (head d_head) in brackets is one axis; on the other side of the arrow they may stand anywhere.",
        'rearrange(x, "batch pos (head d_head) -> batch head pos d_head", head=n_heads).',
    ],
    why="Splitting an axis leaves the numbers where they lie: in (head d_head) the last name runs fastest, so a head is a run of "
    "neighbours. Exchanging two axes moves them, and reshape never does that. The pattern says both in one line.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [((2, 5, 12), 3), ((1, 4, 6), 2), ((3, 1, 8), 4), ((2, 3, 5), 1), ((2, 3, 4), 4), ((2, 2, 4), 2)]
    cases = [{"x": torch.randn(shape, generator=generator), "n_heads": n} for shape, n in shapes]
    turned = [
        torch.randn(2, 6, 3, generator=generator).mT,
        torch.randn(4, 3, 6, generator=generator).transpose(0, 1),
    ]
    return [*cases, *({"x": x, "n_heads": 2} for x in turned)]


@ex.oracle
def _(x, n_heads):
    b, s, d_model = x.shape
    d_head = d_model // n_heads
    out = torch.zeros(b, n_heads, s, d_head)
    for text in range(b):
        for pos in range(s):
            for i in range(d_model):
                out[text, i // d_head, pos, i % d_head] = x[text, pos, i]
    return out


@ex.alternative
def with_einops(x, n_heads):
    return rearrange(x, "b s (h e) -> b h s e", h=n_heads)


@ex.alternative
def split_and_transposed(x, n_heads):
    b, s, d_model = x.shape
    return x.reshape(b, s, n_heads, d_model // n_heads).transpose(1, 2)


@ex.alternative
def chunks_in_a_stack(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


ex.slip(
    "every_nth_number",
    "Neighbouring numbers went to different heads: head 0 got the numbers 0, n_heads, 2 * n_heads ... Of two names in brackets the last "
    "one runs fastest, so it is (head d_head): a head is a run of neighbours.",
    "(h e)",
    "(e h)",
)


ex.slip(
    "heads_behind_positions",
    "The axis is split, but the heads stand behind the positions: [batch pos head d_head]. The heads come before them.",
    "-> b h s e",
    "-> b s h e",
)


ex.slip(
    "d_head_for_n_heads",
    "There are d_head heads of n_heads numbers each: the two sizes are exchanged. n_heads is how many heads there are.",
    "h=n_heads",
    "e=n_heads",
)


ex.slip(
    "each_head_transposed",
    "Each head's own matrix is transposed: [batch head d_head pos]. The positions come before d_head.",
    "-> b h s e",
    "-> b h e s",
)


ex.slip(
    "heads_before_the_batch",
    "The heads stand in front of the batch: [head batch pos d_head]. The batch comes first.",
    "-> b h s e",
    "-> h b s e",
)


ex.slip(
    "heads_in_the_batch",
    "The heads were folded into the batch: one axis of batch * head. Both stay axes of their own.",
    "-> b h s e",
    "-> (b h) s e",
)


@ex.mistake(
    "The numbers were poured into the new shape in the order in which they lie: each head then holds pieces of other positions and of "
    "other heads. reshape and view can split an axis, never exchange two: split first, then transpose."
)
def poured(x, n_heads):
    b, s, d_model = x.shape
    return x.reshape(b, n_heads, s, d_model // n_heads)


@ex.mistake(
    "The numbers were poured into the new shape after positions and d_model had changed places. Split d_model into (head d_head) while "
    "it is the last axis, then exchange the positions with the heads."
)
def transposed_then_poured(x, n_heads):
    b, s, d_model = x.shape
    return x.transpose(1, 2).reshape(b, n_heads, s, d_model // n_heads)


@ex.mistake(
    "It is a tuple of heads. One tensor with an axis for them was asked for: torch.stack(heads, dim=1)."
)
def a_tuple(x, n_heads):
    return x.chunk(n_heads, dim=-1)


@ex.mistake(
    "The heads are behind each other, but along the positions: [batch head*pos d_head], as torch.cat makes of them. They need an axis "
    "of their own, which torch.stack makes."
)
def concatenated(x, n_heads):
    return torch.cat(x.chunk(n_heads, dim=-1), dim=1)
