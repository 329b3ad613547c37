"""Exercise pre.3: Every query with every key."""

import einops
import torch

from ...exercise import exercise

ex = exercise(
    "pre.3",
    "dot_products",
    title="Every query with every key",
    objective="You can write a batched product of many axes as one einsum, and say what each letter does.",
    minutes=10,
    difficulty=2,
    importance=5,
    source="The definition: out[b, h, q, k] = sum over e of q[b, q, h, e] * k[b, k, h, e].",
    hints=[
        "Which axes do the two have in common, and which of those are summed?",
        "The same name in both inputs: these indices go together. Not behind the arrow: summed.",
        'einsum(q, k, "batch query head d_head, batch key head d_head -> batch head query key").',
    ],
    why="batch and head stand everywhere: for each of them it is a product of its own. query and key stand in one input each: every one "
    "meets every other. d_head stands in both inputs and not behind the arrow: it is multiplied and summed, a dot product.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for b, s, h, e, t in (
        (2, 5, 3, 4, 6),
        (1, 4, 2, 3, 4),
        (3, 1, 1, 2, 5),
        (2, 3, 4, 1, 2),
        (3, 3, 3, 3, 3),
    ):
        cases.append(
            {
                "q": torch.randn(b, s, h, e, generator=generator),
                "k": torch.randn(b, t, h, e, generator=generator),
            }
        )
    return cases


@ex.oracle
def _(q, k):
    b, s, h, e = q.shape
    out = torch.zeros(b, h, s, k.shape[1])
    for text in range(b):
        for head in range(h):
            for i in range(s):
                for j in range(k.shape[1]):
                    out[text, head, i, j] = sum(
                        float(q[text, i, head, n]) * float(k[text, j, head, n]) for n in range(e)
                    )
    return out


@ex.alternative
def by_letters(q, k):
    return torch.einsum("bqhe,bkhe->bhqk", q, k)


@ex.alternative
def by_words(q, k):
    return einops.einsum(q, k, "batch query head d_head, batch key head d_head -> batch head query key")


@ex.alternative
def matrices(q, k):
    return q.transpose(1, 2) @ k.permute(0, 2, 3, 1)


@ex.alternative
def broadcast(q, k):
    return (q[:, :, None] * k[:, None]).sum(-1).permute(0, 3, 1, 2)


ex.slip(
    "query_and_key_exchanged",
    "Queries and keys are exchanged: [batch head key query]. A row is a query.",
    "->bhqk",
    "->bhkq",
)


ex.slip(
    "heads_last",
    "The numbers are right, but the heads are the last axis. They come right after the batch.",
    "->bhqk",
    "->bqkh",
)


ex.slip(
    "heads_between",
    "The numbers are right, but the heads stand between queries and keys. They come right after the batch.",
    "->bhqk",
    "->bqhk",
)


ex.slip(
    "keys_of_all_texts",
    "Each query met the sum of all texts' keys. A name that stands in one input only, and not behind the arrow, is summed on its own: the "
    "batch needs the same name in both.",
    "bkhe",
    "ckhe",
)


ex.slip(
    "keys_of_all_heads",
    "Each query met the sum of all heads' keys. A name that stands in one input only, and not behind the arrow, is summed on its own: the "
    "head needs the same name in both.",
    "bkhe",
    "bkge",
)


ex.slip(
    "product_of_sums",
    "Each vector was summed on its own, and the two sums multiplied. For a sum of products d_head needs the same name in both inputs.",
    "bkhe",
    "bkhf",
)


ex.slip(
    "heads_added_up",
    "The heads were added up: [batch query key]. What is not behind the arrow is summed.",
    "->bhqk",
    "->bqk",
)


ex.slip(
    "not_summed",
    "d_head is still there: the products were not summed. Leave it out behind the arrow.",
    "->bhqk",
    "->bhqke",
)


ex.slip(
    "divided_by_the_root",
    "The dot products were divided by the root of d_head. Attention does that next, but it was not asked for here.",
    '->bhqk", q, k)',
    '->bhqk", q, k) / q.shape[-1] ** 0.5',
)


@ex.mistake(
    "These are cosines: the vectors were brought to length 1 first. A dot product takes them as they are."
)
def cosines(q, k):
    q, k = (x / x.norm(dim=-1, keepdim=True) for x in (q, k))
    return torch.einsum("bqhe,bkhe->bhqk", q, k)


@ex.mistake(
    "Positions and heads were not exchanged but poured into each other, as q.view(batch, head, query, d_head) does: a head then holds "
    "pieces of the others. transpose(1, 2) exchanges two axes."
)
def poured(q, k):
    b, s, h, e = q.shape
    return q.reshape(b, h, s, e) @ k.reshape(b, h, k.shape[1], e).mT
