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
    return [{"cache": tiny_cache(seed, _attention), "layer": layer} for layer in (2, 0)]


@ex.oracle
def _(cache, layer):
    attn, z = cache.model.blocks[layer].attn, cache.cache_dict[f"blocks.{layer}.attn.hook_z"]
    batch, length, n_heads, _ = z.shape
    result = torch.zeros(batch, length, n_heads, attn.W_O.shape[-1])
    for b in range(batch):
        for s in range(length):
            for h in range(n_heads):
                result[b, s, h] = sum(z[b, s, h, e] * attn.W_O[h, e] for e in range(z.shape[-1]))
    return {"results": result, "changed in the cache": []}


@ex.call
def _(answer, cache, layer):
    return watched("results", answer, cache, layer)


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
    "sums_over_d_model_too_early",
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
    "last_layer_weights",
    "z is of the right layer but W_O is the last layer's.",
    "cache.model.blocks[layer]",
    "cache.model.blocks[0 if layer else -1]",
)
