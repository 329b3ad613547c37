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
    atol=1e-4,  # scores of some hundred
    version=2,
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
    generator = torch.Generator().manual_seed(seed)
    made = [{"cache": tiny_cache(seed, _q_or_k), "layer": layer} for layer in (1, 0, 2)]
    far = tiny_cache(
        seed, _q_or_k
    )  # scores far beyond what exp can take, and a position whose scores are all 0
    far.cache_dict["blocks.1.attn.hook_q"] *= 60
    far.cache_dict["blocks.1.attn.hook_q"][0, 2] = 0
    # All that position 1 sees has scores of minus some hundred, far below a mask of -100.
    far.cache_dict["blocks.1.attn.hook_q"][1, 1] = 0
    far.cache_dict["blocks.1.attn.hook_q"][1, 1, :, 0] = -400
    far.cache_dict["blocks.1.attn.hook_k"][1, :2, :, 0] = 1 + torch.rand(2, 4, generator=generator)
    made.append({"cache": far, "layer": 1})
    made.append({"cache": tiny_cache(seed, _q_or_k, shape=(1, 4)), "layer": 2})
    made.append({"cache": tiny_cache(seed, _q_or_k, shape=(3, 1), n_heads=1), "layer": 0})
    return made


@ex.oracle
def _(cache, layer):
    q, k = cache.cache_dict[f"blocks.{layer}.attn.hook_q"], cache.cache_dict[f"blocks.{layer}.attn.hook_k"]
    batch, length, n_heads, d_head = q.shape
    pattern = torch.zeros(batch, n_heads, length, length)
    for b in range(batch):
        for h in range(n_heads):
            for i in range(length):
                dots = [sum((q[b, i, h].double() * k[b, j, h]).tolist()) for j in range(i + 1)]
                weights = [math.exp((dot - max(dots)) / math.sqrt(d_head)) for dot in dots]
                for j, weight in enumerate(weights):
                    pattern[b, h, i, j] = weight / sum(weights)
    return {"the pattern": pattern, "the cache afterwards": "as it was"}


@ex.call
def _(answer, cache, layer):
    return watched("the pattern", answer, cache, layer)


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


@ex.alternative
def by_exponentials(cache, layer):
    q, k = cache["q", layer], cache["k", layer]
    scores = (q[:, :, None] * k[:, None]).sum(-1).permute(0, 3, 1, 2) / q.shape[-1] ** 0.5
    scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


ex.slip(
    "no_scale",
    "The scores are not divided by the root of d_head. They are too large, and every row is too sure of itself.",
    " / d_head**0.5",
    "",
)


ex.slip(
    "root_of_d_model",
    "The scores are divided by the root of d_model. The dot product runs over d_head numbers, so its spread grows with "
    "d_head.",
    "d_head = q.shape[-1]",
    "d_head = cache.model.cfg.d_model",
)


ex.slip(
    "root_of_all_heads",
    "The scores are divided by the root of n_heads * d_head. Each head has a dot product of its own, over d_head numbers.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-1] * q.shape[-2]",
)


ex.slip(
    "root_of_n_heads",
    "The scores are divided by the root of the number of heads: axis -2 of q. d_head is the last axis.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[-2]",
)


ex.slip(
    "root_of_the_length",
    "The scores are divided by the root of the number of positions: axis 1 of q. d_head is the last axis.",
    "d_head = q.shape[-1]",
    "d_head = q.shape[1]",
)


ex.slip(
    "divided_by_d_head",
    "The scores are divided by d_head itself. A sum of d_head products of unit spread has a spread of the root of "
    "d_head; dividing by d_head flattens every pattern.",
    "d_head**0.5",
    "d_head",
)


ex.slip(
    "multiplied_by_the_root",
    "The scores are multiplied by the root of d_head instead of divided.",
    "/ d_head**0.5",
    "* d_head**0.5",
)


ex.slip(
    "no_mask",
    "Positions look at later ones: there is no causal mask.",
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
    "A position may look at itself; here that is masked, and the first position then has nothing at all to look at: "
    "a softmax of nothing but -inf is NaN. The mask begins one above the diagonal.",
    ".triu(1)",
    ".triu(0)",
)


ex.slip(
    "one_later_key_visible",
    "Every position sees one key too many, the one after it. The mask begins one above the diagonal.",
    ".triu(1)",
    ".triu(2)",
)


ex.slip(
    "zeros_for_minus_infinity",
    "Masked scores count as 0. That is not nothing: exp(0) = 1, more than many a visible key gets. Use -inf.",
    'float("-inf")',
    "0.0",
)


ex.slip(
    "small_number_for_minus_infinity",
    "Masked scores count as -100, or another number that is not low enough: here visible keys have scores below it, and the "
    "future is seen after all. -inf is below everything.",
    'float("-inf")',
    "-100.0",
)


ex.slip(
    "zero_scores_masked",
    "A score that is exactly 0 was taken for a masked one. Zero is a score like any other (a query of zeros sees all its keys "
    "alike): decide by the positions, not by the value.",
    "scores.masked_fill(future,",
    "scores.tril().masked_fill(scores.tril() == 0,",
)


ex.slip(
    "overflow",
    "The right formula, but large scores overflow: exp of anything above 88 is inf in float32, and inf / inf is NaN. softmax "
    "subtracts each row's maximum first, which changes nothing else.",
    "scores.softmax(dim=-1)",
    "scores.exp() / scores.exp().sum(-1, keepdim=True)",
)


ex.slip(
    "softmax_over_queries",
    "The softmax runs over the queries. Every query shares out one unit of attention among its keys: the last axis.",
    "softmax(dim=-1)",
    "softmax(dim=-2)",
)


ex.slip(
    "softmax_over_heads",
    "The softmax runs over the heads. Heads do not compete with each other; the keys of one query do.",
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
    "heads_last",
    "The heads are on the last axis. The order is batch, head, query, key.",
    "return scores.softmax(dim=-1)",
    "return scores.softmax(dim=-1).permute(0, 2, 3, 1)",
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
    "logarithms",
    "These are the logarithms of the pattern (log_softmax).",
    "scores.softmax(dim=-1)",
    "scores.log_softmax(dim=-1)",
)


ex.slip(
    "first_layer_only",
    "This is layer 0's pattern, whatever layer is asked for.",
    'q, k = cache["q", layer], cache["k", layer]',
    'q, k = cache["q", 0], cache["k", 0]',
)


@ex.mistake(
    "The pattern was looked up in the cache. Here it is to be computed from q and k: this cache holds nothing else."
)
def looks_it_up(cache, layer):
    return cache["pattern", layer]


ex.slip(
    "scales_the_cache",
    "The pattern is right, but the queries in the cache were divided in place, and the next one who reads them gets "
    "something else. q = q / root makes a new tensor; q /= root writes into the old one.",
    "    scores = torch",
    "    q /= d_head**0.5\n    scores = torch",
    " / d_head**0.5\n    future",
    "\n    future",
)


ex.equivalent(
    "A mask over batch and head as well holds the same for each of them.",
    ".shape[-2:], => .shape[:],",
    ".shape[-2:], => .shape[-3:],",
    "(scores[0, 0 => (scores[-1, 0",
    "[0, 0], dtype => [0, -1], dtype",
)

ex.equivalent(
    "The pattern is square: as many queries as keys.",
    "scores.shape[-1] => scores.shape[-2]",
)

ex.equivalent(
    "Any number far below every score will do, and torch.where takes it as a number or a tensor.",
    "torch.tensor(-1000000000.0) => -1000000000.0",
    "-1000000000. => -1000000001.",
    "-1000000000. => -999999999.",
)
