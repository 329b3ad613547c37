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
    for (n_layers, n_heads), k in (((3, 5), 4), ((6, 2), 5), ((2, 7), 14)):
        # distinct numbers on both sides of zero; the most negative one is the largest in size
        order = torch.randperm(n_layers * n_heads, generator=generator) - 0.6 * n_layers * n_heads
        cases.append({"scores": order.reshape(n_layers, n_heads) / 10, "k": k})
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
    "You divided by the number of layers. A row of the table is one layer and has n_heads entries, so the flat number is "
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
    "You ranked by size without sign. A score far below zero is not a top head here: take the values as they are.",
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
    "You took the top of one layer after the other. The k best heads of the whole model were asked for; they may all sit in "
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
