"""Exercise 03.6: From a table of scores to a list of heads."""

import torch

from ...exercise import exercise

ex = exercise(
    "03.6",
    "top_heads",
    title="From a table of scores to a list of heads",
    objective="You can turn the largest entries of a layer × head table into (layer, head) names without mixing them up.",
    minutes=5,
    difficulty=1,
    importance=3,
    version=3,
    source="Row-major order: entry (l, h) of an [L, H] table is number l * H + h when it is flattened.",
    hints=[
        "Flatten, take the k largest, and turn each flat number back into a pair.",
        "Flat number i is layer i // n_heads, head i % n_heads: divide by the length of a row.",
        "scores.flatten().topk(k).indices.tolist(), then divmod(i, scores.shape[1]).",
    ],
    why="In row-major order a whole row (one layer) of n_heads entries comes before the next, so the row's length is what to "
    "divide by. With as many layers as heads the wrong divisor goes unnoticed, and then it names wrong heads in the next "
    "model.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for (n_layers, n_heads), k in (
        ((3, 5), 4),
        ((6, 2), 5),
        ((2, 7), 14),
        ((12, 3), 7),
        ((4, 1), 2),
        ((1, 3), 1),
        ((1, 1), 1),
    ):
        # distinct numbers on both sides of zero; the most negative one is the largest in size
        order = torch.randperm(n_layers * n_heads, generator=generator) - 0.6 * n_layers * n_heads
        cases.append({"scores": order.reshape(n_layers, n_heads) / 10, "k": k})
    ties = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.5003, 0.0, -1.0], [0.5001, 0.0, 0.5, 0.0]])
    cases.append({"scores": ties, "k": 4})  # which of three equal ones is left out is free
    cases.append({"scores": (ties - 1) * 1e12, "k": 12})  # far below what may stand for "taken"
    cases.append({"scores": ties[:, torch.randperm(4, generator=generator)], "k": 8})
    return cases


@ex.oracle
def _(scores, k):
    heads = [(layer, head) for layer in range(scores.shape[0]) for head in range(scores.shape[1])]
    chosen = []
    while len(chosen) < k:
        chosen.append(
            max((pair for pair in heads if pair not in chosen), key=lambda pair: float(scores[pair]))
        )
    return chosen


@ex.measure
def _(observed, scores, k):
    # Of heads with equal scores any may come first, so only what they score is compared.
    best = scores.flatten().sort(descending=True).values[:k].tolist()
    pairs = observed if isinstance(observed, list) else []
    proper = all(
        isinstance(p, tuple) and len(p) == 2 and all(type(i) is int and i >= 0 for i in p) for p in pairs
    )
    if proper and len(set(pairs)) == len(pairs) == k:
        inside = all(layer < scores.shape[0] and head < scores.shape[1] for layer, head in pairs)
        if inside and [float(scores[pair]) for pair in pairs] == best:
            return ex.expected({"scores": scores, "k": k})
    return observed


@ex.alternative
def flat_topk(scores, k):
    flat = scores.flatten().topk(k).indices.tolist()
    return [(i // scores.shape[1], i % scores.shape[1]) for i in flat]


@ex.alternative
def sorted_pairs(scores, k):
    pairs = [(layer, head) for layer, row in enumerate(scores.tolist()) for head in range(len(row))]
    return sorted(pairs, key=lambda pair: scores[pair].item(), reverse=True)[:k]


@ex.alternative
def unraveled(scores, k):
    best = scores.flatten().argsort(descending=True)[:k]
    layers, heads = torch.unravel_index(best, scores.shape)
    return list(zip(layers.tolist(), heads.tolist()))


ex.slip(
    "divides_by_n_layers",
    "The flat numbers were divided by the number of layers. A row of the table is one layer and has n_heads entries, so the flat number is "
    "layer * n_heads + head: divide by n_heads.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "(i // scores.shape[0], i % scores.shape[0])",
)


ex.slip(
    "layer_and_head_swapped",
    "Each pair is (head, layer). L1H4 is layer 1, head 4: layer first.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "(i % scores.shape[1], i // scores.shape[1])",
)


ex.slip(
    "ascending",
    "These are the lowest scores. Sort in descending order.",
    "topk(k)",
    "topk(k, largest=False)",
)


ex.slip(
    "absolute_value",
    "The ranking is by size without sign. A score far below zero is not a top head here: take the values as they are.",
    "scores.flatten().topk",
    "scores.abs().flatten().topk",
)


ex.slip(
    "worst_first",
    "The right heads, but the best one comes last. The list should start with it.",
    "for i in flat]",
    "for i in flat[::-1]]",
)


ex.slip(
    "order_lost",
    "The right heads, in the order of the table. The best head should come first.",
    "for i in flat]",
    "for i in sorted(flat)]",
)


ex.slip(
    "flat_numbers",
    "These are positions in the flattened table. Turn each into its pair (layer, head): divmod(i, n_heads).",
    "[(i // scores.shape[1], i % scores.shape[1]) for i in flat]",
    "flat",
)


ex.slip(
    "tensors_in_the_pairs",
    "The pairs hold tensors. As names of heads they are to be printed, compared and put into sets: make them ints, with "
    ".tolist() or .item().",
    ".tolist()",
    "",
)


ex.slip(
    "lists_for_pairs",
    "Each head is a list. A pair that names something should be a tuple: it can then be a key of a dictionary and cannot be "
    "changed by accident.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "[i // scores.shape[1], i % scores.shape[1]]",
)


@ex.mistake(
    "This is the top of one layer after the other. The k best heads of the whole model were asked for; they may all sit in "
    "one layer."
)
def top_of_each_layer(scores, k):
    best = [(layer, int(row.argmax())) for layer, row in enumerate(scores)]
    return sorted(best, key=lambda pair: float(scores[pair]), reverse=True)[:k]


@ex.mistake(
    "The scores came along. Only the pairs (layer, head) were asked for, in the order of their scores."
)
def scores_included(scores, k):
    best = scores.flatten().topk(k)
    return [
        (i // scores.shape[1], i % scores.shape[1], value)
        for i, value in zip(best.indices.tolist(), best.values.tolist())
    ]


@ex.mistake(
    "Of heads with equal scores only one is there: a dictionary with the scores as keys holds each score once. Keep the heads apart by "
    "their places."
)
def dictionary_by_score(scores, k):
    by_score = {}
    for layer, row in enumerate(scores.tolist()):
        for head, value in enumerate(row):
            by_score[value] = (layer, head)
    return [by_score[value] for value in sorted(by_score, reverse=True)[:k]]


@ex.mistake(
    "Of heads with equal scores the first one came several times: heads were looked up by their score. Keep the places that topk or "
    "argsort gives (indices), not only the values."
)
def looked_up_by_value(scores, k):
    values = scores.flatten().topk(k).values
    return [tuple((scores == value).nonzero()[0].tolist()) for value in values]


ex.slip(
    "one_too_few",
    "There are k - 1 heads.",
    "topk(k)",
    "topk(k - 1)",
)


ex.slip(
    "positive_only",
    "Heads with scores below zero are left out, so there are fewer than k. Asked for are the k highest, whatever they are.",
    "for i in flat]",
    "for i in flat if scores.flatten()[i] > 0]",
)


ex.slip(
    "counted_from_one",
    "Layers and heads are counted from 1. The first of each is 0.",
    "(i // scores.shape[1], i % scores.shape[1])",
    "(i // scores.shape[1] + 1, i % scores.shape[1] + 1)",
)


ex.slip(
    "a_tensor",
    "The heads came as one tensor. Asked for is a list of pairs of ints.",
    "return [(i // scores.shape[1], i % scores.shape[1]) for i in flat]",
    "return torch.tensor([(i // scores.shape[1], i % scores.shape[1]) for i in flat])",
)


@ex.mistake(
    "These are the first k of a list that holds each layer's best heads, one layer after the other. Asked for are the k best of the "
    "whole table."
)
def layer_after_layer(scores, k):
    found = []
    for layer, row in enumerate(scores):
        found += [(layer, head) for head in row.topk(min(k, len(row))).indices.tolist()]
    return found[:k]


@ex.mistake(
    "The heads are right, but their scores were overwritten in the table that was given, and the caller still needs it. Work on "
    "scores.clone()."
)
def overwrites_the_scores(scores, k):
    found = []
    for _ in range(k):
        layer, head = divmod(int(scores.argmax()), scores.shape[1])
        found.append((layer, head))
        scores[layer, head] = -torch.inf
    return found


ex.equivalent(
    "Rows of a tensor have lengths, and its entries are compared, like those of a list.",
    "scores.tolist()) => scores)",
    "pair].item(), => pair],",
)
