"""Exercise 02.3: What each head writes."""

import torch

from ...exercise import exercise
from .helpers import tiny_cache, watched

ex = exercise(
    "02.3",
    "head_results",
    title="What each head writes",
    objective="You can split the output of an attention layer into one vector per head.",
    minutes=10,
    difficulty=2,
    importance=4,
    version=2,
    source="Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, 'Attention Heads are Independent "
    "and Additive'. Identity: the sum over heads plus b_O is attn_out.",
    hints=[
        "cache['z', layer] is batch, position, head, d_head; cache.model.blocks[layer].attn.W_O is head, d_head, "
        "d_model. Which axis is summed, and which is kept?",
        "Every head has its own W_O, so head is on both sides and stays: 'b s h e, h e d -> b s h d'. b_O is added once "
        "per layer by nobody in particular, so it is in no head's result.",
    ],
    why="In the usual picture the heads' outputs are concatenated and multiplied by one large matrix. Cut that matrix "
    "into its rows per head and the product becomes a sum of products: each head writes to the residual stream on its "
    "own. The bias b_O belongs to the layer; sharing it out among heads would give each of them a voice it has not.",
)


def _attention(name):
    return name.rpartition(".")[2] in ("hook_v", "hook_pattern", "hook_z", "hook_attn_out")


@ex.inputs
def _(seed):
    made = [{"cache": tiny_cache(seed, _attention), "layer": layer} for layer in (2, 0, 1)]
    made.append({"cache": tiny_cache(seed, _attention, shape=(1, 3)), "layer": 1})
    made.append({"cache": tiny_cache(seed, _attention, shape=(3, 1), n_heads=1), "layer": 2})
    return made


@ex.oracle
def _(cache, layer):
    attn, z = cache.model.blocks[layer].attn, cache.cache_dict[f"blocks.{layer}.attn.hook_z"]
    batch, length, n_heads, _ = z.shape
    result = torch.zeros(batch, length, n_heads, attn.W_O.shape[-1])
    for b in range(batch):
        for s in range(length):
            for h in range(n_heads):
                result[b, s, h] = sum(z[b, s, h, e] * attn.W_O[h, e] for e in range(z.shape[-1]))
    return {"the results": result, "the cache afterwards": "as it was"}


@ex.call
def _(answer, cache, layer):
    return watched("the results", answer, cache, layer)


@ex.alternative
def one_einsum(cache, layer):
    attn = cache.model.blocks[layer].attn
    z, W_O = cache["z", layer], attn.W_O
    results = torch.einsum("bshe,hed->bshd", z, W_O)
    return results


@ex.alternative
def head_by_head(cache, layer):
    z, W_O = cache["z", layer], cache.model.W_O[layer]
    return torch.stack([z[:, :, h] @ W_O[h] for h in range(z.shape[2])], dim=2)


@ex.alternative
def batched_product(cache, layer):
    z, W_O = cache["z", layer], cache.model.W_O[layer]
    return (z[..., None, :] @ W_O)[..., 0, :]


ex.slip(
    "sums_the_heads",
    "The heads were summed: that is attn_out without its bias. Keep the axis of heads.",
    "->bshd",
    "->bsd",
)


ex.slip(
    "sum_for_every_head",
    "The axis of heads is there but every head has the sum of all heads. Head must be summed nowhere: it stands in both "
    "inputs and in the output.",
    "    return results",
    "    return results.sum(2, keepdim=True).repeat(1, 1, len(W_O), 1)",
)


ex.slip(
    "adds_the_bias_per_head",
    "b_O was added to every head, so the sum over heads holds it n_heads times. It is added once per layer and belongs "
    "to no head.",
    "return results",
    "return results + attn.b_O",
)


ex.slip(
    "shares_the_bias_out",
    "b_O was shared out: each head got an equal part. The sum is right, but what you call the head's output now holds "
    "something that no head computed. Leave the bias out; it is a component of its own.",
    "return results",
    "return results + attn.b_O / len(W_O)",
)


ex.slip(
    "values_for_z",
    "The values v were taken for z. v is what each position would send; z is what arrives, the values weighted by the "
    "attention pattern.",
    'cache["z", layer]',
    'cache["v", layer]',
)


ex.slip(
    "positions_scrambled",
    "The shape is right but heads and positions are mixed: the product came out as batch, head, position, d_model and "
    "was reshaped. reshape keeps the order of the numbers and only cuts them anew; to swap axes use transpose, permute "
    "or einsum's output order.",
    "->bshd",
    "->bhsd",
    "return results",
    "return results.reshape(*z.shape[:3], -1)",
)


ex.slip(
    "axes_swapped",
    "Heads come before positions. The order is batch, position, head, d_model, as for z.",
    "->bshd",
    "->bhsd",
)


ex.slip(
    "heads_paired_wrongly",
    "Every head was multiplied by another head's W_O. The axis of heads in z and the one in W_O are the same axis.",
    "z, W_O)",
    "z, W_O.flip(0))",
)


ex.slip(
    "averages_the_heads",
    "Each head was divided by the number of heads. Heads add up; they are not averaged.",
    "return results",
    "return results / len(W_O)",
)


ex.slip(
    "weights_of_another_layer",
    "z is of the layer that was asked for, but W_O is always the last layer's.",
    "cache.model.blocks[layer]",
    "cache.model.blocks[-1]",
)


ex.slip(
    "weights_of_the_first_layer",
    "z is of the layer that was asked for, but W_O is always layer 0's.",
    "cache.model.blocks[layer]",
    "cache.model.blocks[0]",
)


ex.slip(
    "z_of_the_first_layer",
    "W_O is of the layer that was asked for, but z is always layer 0's.",
    'cache["z", layer]',
    'cache["z", 0]',
)


ex.slip(
    "first_heads_weights_for_all",
    "Every head was sent through head 0's W_O. Each head has a W_O of its own: W_O[h].",
    "z, W_O)",
    "z, W_O[:1].expand_as(W_O))",
)


ex.slip(
    "every_z_through_every_head",
    "The axis of heads is there, but each head's W_O was applied to the sum of all heads' z. Head must be summed nowhere: one "
    "letter for it, in both inputs and in the output.",
    '"bshe,hed->bshd", z, W_O)',
    '"bsge,hed->bshd", z, W_O)',
)


@ex.mistake(
    "The shape is right but heads and positions are mixed: z was reshaped from batch, position, head to batch, head, position. "
    "reshape keeps the order of the numbers and only cuts them anew; to swap axes use transpose, permute or einsum."
)
def z_reshaped(cache, layer):
    z = cache["z", layer]
    b, s, h, e = z.shape
    return (z.reshape(b, h, s, e) @ cache.model.W_O[layer]).reshape(b, s, h, -1)


ex.slip(
    "axes_of_size_one_lost",
    "With one sequence, one position or one head the axes no longer fit: a squeeze() without an axis drops every axis of size "
    "1. Say which: squeeze(-2), or index it away.",
    "return results",
    "return results.squeeze()",
)


ex.slip(
    "summed_and_biased",
    "That is attn_out itself, heads summed and bias added. Keep the axis of heads, and leave the bias out.",
    "return results",
    "return results.sum(2) + attn.b_O",
)


ex.equivalent("The result has four axes: axis 2 and axis -2 are the same.", "2])], dim=2) => 2])], dim=-2)")

ex.equivalent(
    "That axis has one entry: the row that was put in for the product.", ")[..., 0, :] => )[..., -1, :]"
)
