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
    version=5,
    source="Identity: softmax over the remaining keys. Geva et al. (2023), Dissecting Recall of Factual Associations, "
    "section 4 (attention knockout).",
    hints=[
        "scores are seen before the softmax, [batch head query key]. Which value there becomes exactly 0 afterwards, whatever "
        "stands beside it?",
        "Clone, set [:, head, query, key] to -inf, return. The softmax makes the rest of the row sum to one by itself.",
        "If no key is left in that row of any prompt (torch.isinf(row).all(-1).any()), raise a ValueError: softmax of nothing is NaN.",
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
    # One prompt of which all keys but one are padding, and one without padding.
    padding = torch.ones(2, 1, 4, 6, dtype=torch.bool)
    padding[0], padding[:, :, :, 2] = False, False
    # Rows that others left without any key (padding looks at nothing): no business of this edge.
    empty = two_way.clone()
    empty[0, 1, 0] = empty[1, 0, 2] = -torch.inf
    # A query that sees one key only, and an edge to another one, which is masked already.
    single = two_way.clone()
    single[:, 0, 2, [0, 1, 3, 4, 5]] = -torch.inf
    high = two_way.clone()
    high[:, 1, 2, 3] = 5e3  # no penalty of a fixed size is enough
    edge = {"head": head, "query": query, "key": key}
    return [
        {"scores": causal.masked_fill(future, -torch.inf), **edge},
        {"scores": two_way, "head": 1, "query": 2, "key": 3},
        {"scores": (causal - 1e7).masked_fill(future, -torch.inf), **edge},
        {"scores": (causal - 1e12).masked_fill(future, -torch.inf), **edge},  # finite, so they are not masked
        {"scores": causal.masked_fill(future, -torch.inf), "head": head, "query": 0, "key": 0},
        {"scores": causal.masked_fill(future, -torch.inf), "head": 2, "query": 0, "key": 3},
        {"scores": two_way[:1, :1].float(), "head": 0, "query": 3, "key": 5},
        {"scores": two_way[:1].masked_fill(padding, -torch.inf), "head": 2, "query": 1, "key": 2},
        {"scores": two_way[:1].masked_fill(padding[1:], -torch.inf), "head": 1, "query": 1, "key": 2},
        # A position's edge to itself is one like any other: the rest of its row is left.
        {"scores": causal.masked_fill(future, -torch.inf), "head": head, "query": 3, "key": 3},
        {"scores": empty, "head": 1, "query": 2, "key": 4},
        {"scores": single, "head": 0, "query": 2, "key": 5},
        {"scores": high, "head": 1, "query": 2, "key": 3},
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
    rest, gradient = returned.clone(), observed["gradient"]
    rest[:, head, query, key] = 0.0
    if isinstance(gradient, torch.Tensor):  # what reaches the score that is gone is nobody's business
        gradient = gradient.clone()
        gradient[:, head, query, key] = 0.0
    seen = {"pattern": returned.softmax(-1).nan_to_num(), "all other scores": rest}
    return observed | {"returned": seen, "gradient": gradient}


@ex.oracle
def _(scores, head, query, key):
    visible = [[k for k in range(scores.shape[-1]) if row[k] > -torch.inf] for row in scores[:, head, query]]
    if [key] in visible:
        return Raised(ValueError)
    weights = scores.softmax(-1).nan_to_num()  # a row that was without any key has no weights
    pattern, kept = weights.clone(), torch.ones_like(scores)
    for row in range(len(scores)):
        others = [k for k in range(scores.shape[-1]) if k != key]
        pattern[row, head, query, others] = scores[row, head, query, others].softmax(-1).nan_to_num()
        pattern[row, head, query, key] = 0
        kept[row, head, query, key] = 0
    rest = scores.clone()
    rest[:, head, query, key] = 0.0
    return untouched(scores, {"pattern": pattern, "all other scores": rest}, kept)


@ex.alternative
def cloned_scores(scores, hook, head, query, key):
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    if torch.isinf(scores[:, head, query]).all(-1).any():
        raise ValueError(f"query {query} would have no key left")
    return scores


@ex.alternative
def through_a_mask(scores, hook, head, query, key):
    mask = torch.zeros(scores.shape[1:], dtype=torch.bool)
    mask[head, query, key] = True
    if (scores.masked_fill(mask, -torch.inf)[:, head, query] == -torch.inf).all(-1).any():
        raise ValueError("that is the only edge of this query")
    return scores.masked_fill(mask, torch.finfo(scores.dtype).min)


@ex.mistake(
    "This is a pattern with a zero in it. At hook_attn_scores the softmax is still to come; it would be taken twice. And a "
    "pattern with an entry set to zero no longer sums to one: set the score to -inf, and the softmax shares out the rest."
)
def zeroes_the_pattern(scores, hook, head, query, key):
    others = [k for k in range(scores.shape[-1]) if k != key]
    if torch.isinf(scores[:, head, query, others]).all(-1).any():
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
    "a_billion_for_infinity",
    "A number like -1e9 stands where -inf belongs. When the other scores of the row are lower still, the edge comes back, with all the "
    "attention. Use -torch.inf.",
    "= -torch.inf",
    "= -1e9",
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
    "layer. Raise a ValueError when no key is left (look at the row after the cut: before it, the edge itself is still there).",
    "    if torch.isinf(scores[:, head, query]).all(-1).any():\n"
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


ex.slip(
    "one_prompt_of_several",
    "Of these prompts one has no other key left at this query (the rest is padding), and nothing was raised: its row is all -inf. "
    "A ValueError is due when any prompt of the batch is left without a key, not only when all are.",
    ".all(-1).any()",
    ".all()",
)


@ex.mistake(
    "Only an edge of query 0 to itself was refused. Padding may hide the other keys of any query, and then its row is all -inf: ask "
    "whether a score above -inf is left in it."
)
def only_the_first_query(scores, hook, head, query, key):
    if query == key == 0:
        raise ValueError("no key left")
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    return scores


@ex.mistake(
    "Every edge from a position to itself was refused, also where the row has other keys left; and one that leaves none, but leads "
    "elsewhere, was not. Ask whether a score above -inf is left in the row."
)
def own_edge_refused(scores, hook, head, query, key):
    if query == key:
        raise ValueError("no key left")
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    return scores


@ex.mistake(
    "Every edge of query 0 was refused, also one to a later key, which is masked anyway: cutting it leaves query 0 its own key. Ask "
    "whether a score above -inf is left in the row."
)
def first_query_always_refused(scores, hook, head, query, key):
    if query == 0:
        raise ValueError("no key left")
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    if torch.isinf(scores[:, head, query]).all(-1).any():
        raise ValueError(f"query {query} would have no key left")
    return scores


@ex.mistake(
    "An edge was refused although a key is left: another row has none, of another query or head (padding that looks at nothing), and that "
    "is not this edge's doing. Look at scores[:, head, query] alone."
)
def any_row_of_nothing(scores, hook, head, query, key):
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    if torch.isinf(scores).all(-1).any():
        raise ValueError("a query has no key left")
    return scores


@ex.mistake(
    "An edge was refused because its query sees one key only, though that one stays: the edge leads to another key, which is masked anyway. "
    "Look at the row after the cut, and ask whether a score above -inf is left."
)
def one_visible_key_refused(scores, hook, head, query, key):
    if ((scores[:, head, query] > -torch.inf).sum(-1) <= 1).any():
        raise ValueError("no key left")
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    return scores


ex.slip(
    "first_prompt_only",
    "The edge was cut in the first prompt only; the hook works on the whole batch.",
    "scores[:, head, query, key] =",
    "scores[0, head, query, key] =",
)


ex.slip(
    "pattern_returned",
    "This is the right pattern, but at hook_attn_scores the softmax is still to come, and it would be taken twice. Return the scores.",
    "    return scores\n",
    "    return scores.softmax(-1)\n",
)


ex.slip(
    "another_exception",
    "An AssertionError was raised where a ValueError was asked for: whoever calls this catches ValueError (and `assert` is skipped "
    "when Python runs with -O).",
    "raise ValueError(",
    "raise AssertionError(",
)


ex.slip(
    "cuts_the_graph",
    "The values are right, but no gradient passes these scores any more: .detach() or no_grad() cuts the graph, clone() alone keeps it.",
    "scores = scores.clone()",
    "scores = scores.detach().clone()",
)


ex.equivalent(
    "any() looks at all axes, however many there are.",
    "all(-1).any( => all(-1, keepdim=True).any(",
)
