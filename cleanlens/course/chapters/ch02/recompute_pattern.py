"""Exercise 02.2: From queries and keys to the pattern."""

import math

import torch

from ...exercise import exercise
from .helpers import tiny_cache, watched

ex = exercise(
    "02.2",
    "recompute_pattern",
    title="From queries and keys to the pattern",
    objective="You can compute an attention pattern again from cached activations, and so check that you know what "
    "each of them is.",
    minutes=10,
    difficulty=2,
    importance=3,
    source="Vaswani et al. (2017), Attention Is All You Need, section 3.2.1, with the causal mask of section 3.2.3.",
    hints=[
        "cache['q', layer] and cache['k', layer] have the axes batch, position, head, d_head. The pattern has batch, "
        "head, query, key.",
        "Scores are dot products over d_head divided by the root of d_head; keys after the query get -inf before the "
        "softmax; the softmax runs over the keys.",
        "einsum(q, k, 'b q h e, b k h e -> b h q k') / q.shape[-1] ** 0.5; then masked_fill with "
        "torch.triu(torch.ones(s, s, dtype=torch.bool), 1), then softmax(-1).",
    ],
    why="Recomputing one cached activation from others is the cheapest test of one's understanding: names, axes, "
    "scaling and masking all have to be right at once for the numbers to agree.",
)


def _q_or_k(name):
    return name.endswith(("hook_q", "hook_k"))


@ex.inputs
def _(seed):
    return [{"cache": tiny_cache(seed, _q_or_k), "layer": layer} for layer in (1, 0, 2)]


@ex.oracle
def _(cache, layer):
    q, k = cache.cache_dict[f"blocks.{layer}.attn.hook_q"], cache.cache_dict[f"blocks.{layer}.attn.hook_k"]
    batch, length, n_heads, d_head = q.shape
    pattern = torch.zeros(batch, n_heads, length, length)
    for b in range(batch):
        for h in range(n_heads):
            for i in range(length):
                dots = [sum((q[b, i, h] * k[b, j, h]).double().tolist()) for j in range(i + 1)]
                weights = [math.exp((dot - max(dots)) / math.sqrt(d_head)) for dot in dots]
                for j, weight in enumerate(weights):
                    pattern[b, h, i, j] = weight / sum(weights)
    return {"pattern": pattern, "changed in the cache": []}


@ex.call
def _(answer, cache, layer):
    return watched("pattern", answer, cache, layer)


@ex.alternative
def einsum_then_mask(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    d_head = q.shape[-1]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / d_head**0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    scores = scores.masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1)


@ex.alternative
def matmul_then_where(cache, layer):
    q, k = (cache[name, layer].transpose(1, 2) for name in "qk")
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    s = scores.shape[-1]
    allowed = torch.tril(torch.ones(s, s)) == 1
    return torch.where(allowed, scores, torch.tensor(-1e9)).softmax(-1)


ex.slip(
    "no_scale",
    "The scores were not divided by the root of d_head. They are too large, and every row is too sure of itself.",
    " / d_head**0.5",
    "",
)


ex.slip(
    "root_of_d_model",
    "The scores were divided by the root of d_model. The dot product runs over d_head numbers, so its spread grows with "
    "d_head.",
    "d_head = q.shape[-1]",
    "d_head = cache.model.cfg.d_model",
)


ex.slip(
    "root_of_all_heads",
    "The scores were divided by the root of n_heads * d_head. Each head has a dot product of its own, over d_head "
    "numbers.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-1] * q.shape[-2]",
)


ex.slip(
    "root_of_n_heads",
    "The scores were divided by the root of the number of heads: axis -2 of q. d_head is the last axis.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-2]",
)


ex.slip(
    "divided_by_d_head",
    "The scores were divided by d_head itself. A sum of d_head products of unit spread has a spread of the root of "
    "d_head; dividing by d_head flattens every pattern.",
    "d_head**0.5",
    "d_head",
)


ex.slip(
    "multiplied_by_the_root",
    "The scores were multiplied by the root of d_head instead of divided.",
    "/ d_head**0.5",
    "* d_head**0.5",
)


ex.slip(
    "no_mask",
    "Positions look at later ones: the causal mask is missing.",
    '    scores = scores.masked_fill(future, float("-inf"))\n',
    "",
)


ex.slip(
    "mask_flipped",
    "The mask hides the past and shows the future. A query at i may see the keys up to i.",
    ".triu(1)",
    ".tril(-1)",
)


ex.slip(
    "diagonal_masked",
    "A position may look at itself; your mask forbids it, and the first position then has nothing at all to look at: "
    "a softmax of nothing but -inf is NaN. The mask begins one above the diagonal.",
    ".triu(1)",
    ".triu(0)",
)


ex.slip(
    "zeros_for_minus_infinity",
    "Masked scores were set to 0. That is not nothing: exp(0) = 1, more than many a visible key gets. Use -inf.",
    'float("-inf")',
    "0.0",
)


ex.slip(
    "softmax_over_queries",
    "The softmax ran over the queries. Every query shares out one unit of attention among its keys: the last axis.",
    "softmax(dim=-1)",
    "softmax(dim=-2)",
)


ex.slip(
    "softmax_over_heads",
    "The softmax ran over the heads. Heads do not compete with each other; the keys of one query do.",
    "softmax(dim=-1)",
    "softmax(dim=1)",
)


ex.slip(
    "queries_and_keys_swapped",
    "Queries and keys have changed places: row i holds what key i makes of all queries.",
    'bqhe,bkhe->bhqk", q, k',
    'bqhe,bkhe->bhqk", k, q',
)


ex.slip(
    "masked_after_softmax",
    "The mask came after the softmax, so the rows no longer sum to 1: what the future got is lost. Mask the scores with "
    "-inf before the softmax.",
    'scores = scores.masked_fill(future, float("-inf"))\n    return scores.softmax(dim=-1)',
    "return scores.softmax(dim=-1).masked_fill(future, 0.0)",
)


ex.slip(
    "returns_the_scores",
    "These are the scores, before the softmax.",
    "return scores.softmax(dim=-1)",
    "return scores",
)


ex.slip(
    "first_layer_only",
    "It takes layer 0 whatever layer is asked for.",
    'q, k = cache["q", layer], cache["k", layer]',
    'q, k = cache["q", 0], cache["k", 0]',
)


ex.slip(
    "scales_the_cache",
    "The pattern is right, but the division was done in place and changed the queries in the cache. The next one who "
    "reads them gets something else.",
    "    scores = torch",
    "    q /= d_head**0.5\n    scores = torch",
    " / d_head**0.5\n    future",
    "\n    future",
)
