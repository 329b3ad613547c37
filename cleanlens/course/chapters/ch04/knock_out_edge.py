"""Exercise 04.6: Knocking out one edge."""

import torch

from ...exercise import exercise
from ...plain import Raised, attempt
from .helpers import as_a_hook, untouched

ex = exercise(
    "04.6",
    "knock_out_edge",
    title="Knocking out one edge",
    objective="You can forbid one head to look from one position at one other, as if that position were masked.",
    minutes=10,
    difficulty=2,
    importance=3,
    source="Identity: softmax over the remaining keys. Geva et al. (2023), Dissecting Recall of Factual Associations, "
    "section 4 (attention knockout).",
    hints=[
        "scores are seen before the softmax, [batch head query key]. Which value there becomes exactly 0 afterwards, whatever "
        "stands beside it?",
        "Clone, set [:, head, query, key] to -inf, return. The softmax makes the rest of the row sum to one by itself.",
        "If no key is left in that row (torch.isinf(row).all()), raise a ValueError: softmax of nothing is NaN.",
    ],
    why="Before the softmax, the rest of the row shares out what the edge had, exactly as if the token had been masked from the "
    "start. Zeroing the pattern afterwards also weakens the head at that position: two interventions in one, and one cannot "
    "tell which of them had the effect.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    causal = torch.randn(2, 3, 5, 5, generator=generator, dtype=torch.float64)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    query = int(torch.randint(2, 5, (), generator=generator))
    key = int(torch.randint(1, query, (), generator=generator))
    head = int(torch.randint(0, 2, (), generator=generator))
    two_way = 2 * torch.randn(2, 3, 4, 6, generator=generator, dtype=torch.float64)
    edge = {"head": head, "query": query, "key": key}
    return [
        {"scores": causal.masked_fill(future, -torch.inf), **edge},
        {"scores": two_way, "head": 1, "query": 2, "key": 3},
        {"scores": (causal - 1e7).masked_fill(future, -torch.inf), **edge},
        {"scores": causal.masked_fill(future, -torch.inf), "head": head, "query": 0, "key": 0},
    ]


@ex.call
def _(answer, scores, head, query, key):
    return attempt(as_a_hook, answer, scores, head=head, query=query, key=key)


@ex.measure
def _(observed, scores, head, query, key):
    # -inf and the smallest float are both right: the edge itself is judged by what the softmax makes of it.
    returned = observed["returned"]
    if not isinstance(returned, torch.Tensor) or returned.shape != scores.shape:
        return observed
    rest = returned.clone()
    rest[:, head, query, key] = 0.0
    return observed | {"returned": {"pattern": returned.softmax(-1), "all other scores": rest}}


@ex.oracle
def _(scores, head, query, key):
    if query == 0 and key == 0:
        return Raised(ValueError)
    weights = scores.softmax(-1)
    pattern, kept = weights.clone(), torch.ones_like(scores)
    for row in range(len(scores)):
        others = [k for k in range(scores.shape[-1]) if k != key]
        total = sum(weights[row, head, query, k] for k in others)
        for k in others:
            pattern[row, head, query, k] = weights[row, head, query, k] / total
        pattern[row, head, query, key] = 0
        kept[row, head, query, key] = 0
    rest = scores.clone()
    rest[:, head, query, key] = 0.0
    return untouched(scores, {"pattern": pattern, "all other scores": rest}, kept)


@ex.alternative
def cloned_scores(scores, hook, head, query, key):
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    if torch.isinf(scores[:, head, query]).all():
        raise ValueError(f"query {query} would have no key left")
    return scores


@ex.alternative
def through_a_mask(scores, hook, head, query, key):
    mask = torch.zeros(scores.shape[1:], dtype=torch.bool)
    mask[head, query, key] = True
    if scores[0, head, query].isfinite().sum() <= 1:
        raise ValueError("that is the only edge of this query")
    return scores.masked_fill(mask, torch.finfo(scores.dtype).min)


@ex.mistake(
    "You returned a pattern with a zero in it. At hook_attn_scores the softmax is still to come; it would be taken twice. And a "
    "pattern with an entry set to zero no longer sums to one: set the score to -inf, and the softmax shares out the rest."
)
def zeroes_the_pattern(scores, hook, head, query, key):
    if query == 0:
        raise ValueError("no key left")
    pattern = scores.softmax(-1)
    pattern = pattern.clone()
    pattern[:, head, query, key] = 0
    return pattern


ex.slip(
    "score_of_zero",
    "A score of 0 is not 'no attention': the softmax takes exp(0) = 1 as its weight, which may even be more than before. -inf is "
    "what becomes 0.",
    "= -torch.inf",
    "= 0.0",
)


ex.slip(
    "a_number_for_minus_infinity",
    "A large negative number stands where -inf belongs. When the other scores of the row are lower still, the edge comes back, "
    "with nearly all the attention. Use -torch.inf.",
    "= -torch.inf",
    "= -1e5",
)


ex.slip(
    "transposed",
    "Query and key are swapped. The axes are batch, head, query, key: the row that looks comes first.",
    "scores[:, head, query, key] =",
    "scores[:, head, key, query] =",
)


ex.slip(
    "all_heads",
    "The edge was cut in every head of the layer. Only `head` was asked for.",
    "scores[:, head, query, key] =",
    "scores[:, :, query, key] =",
)


ex.slip(
    "batch_for_head",
    "scores[head, ...] is an entry of the batch. The axes are batch, head, query, key.",
    "scores[:, head, query, key] =",
    "scores[head, :, query, key] =",
)


ex.slip(
    "all_queries",
    "The key was hidden from every query. One edge was asked for: this query to this key.",
    "scores[:, head, query, key] =",
    "scores[:, head, query:, key] =",
)


ex.slip(
    "row_of_nothing",
    "Query 0 sees only itself: without that edge its row is all -inf, the softmax is NaN, and the NaN spreads to every later "
    "layer. Raise a ValueError when no key is left.",
    "    if torch.isinf(scores[:, head, query]).all():\n"
    '        raise ValueError(f"query {query} would have no key left")\n',
    "",
)


ex.slip(
    "edits_the_scores_in_place",
    "The result is right, but the scores themselves were edited; they may be in somebody's cache. Clone first.",
    "scores = scores.clone()",
    "scores = scores",
)


ex.slip(
    "nothing_returned",
    "The edited copy was not returned, so the model goes on with the old scores. Return it.",
    "    return scores\n",
    "",
)
