"""Exercise 04.2: A hook that reads."""

from functools import cache, partial

import torch

from ...exercise import exercise
from .helpers import tiny_model

ex = exercise(
    "04.2",
    "score_hook",
    title="A hook that reads",
    objective="You can measure every head over any number of batches while keeping none of their activations.",
    minutes=10,
    difficulty=2,
    importance=4,
    seeds=2,
    version=3,
    source="The definition in chapter 04, section 2: attention from each position to the one before it.",
    hints=[
        "hook.layer() says in which layer you are. pattern.diagonal(-1, -2, -1) is [b h q-1]: the attention of queries "
        "1, 2, ... to the position before them.",
        "Mean over the queries, sum over the batch, and add to the row in place: store[hook.layer()] += ... "
        "(`store = store + ...` only makes a new local variable).",
        "The pattern may carry a graph: .detach() it first. Return nothing.",
    ],
    why="Nothing is returned, so the run is untouched, and nothing is kept but l·h numbers: a thousand batches cost the memory "
    "of one. The layer comes from the hook point, not from a loop variable that has moved on by the time the model runs.",
)


@cache
def _reading_models(seed):
    """A causal model, a two-way one that shows which side of the diagonal was taken, and one of many layers with one head.

    Answers never see them.
    """
    generator = torch.Generator().manual_seed(seed)
    causal, two_way = tiny_model(generator, 3, 2), tiny_model(generator, 3, 2, "bidirectional")
    return causal, two_way, tiny_model(generator, 11, 1)


@ex.inputs
def _(seed):
    causal, two_way, deep = _reading_models(seed)
    generator = torch.Generator().manual_seed(seed)
    batches = [torch.randint(0, 19, shape, generator=generator) for shape in [(2, 6), (3, 5), (1, 2), (1, 7)]]
    return [
        {"model": two_way, "layers": [1], "batches": batches[:1]},
        {"model": causal, "layers": [0, 1, 2], "batches": batches},
        {"model": deep, "layers": [0, 10], "batches": batches[2:]},
    ]


@ex.call
def _(answer, model, layers, batches):
    store = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    hooks = [(f"blocks.{layer}.attn.hook_pattern", partial(answer, store=store)) for layer in layers]
    logits = [model.run_with_hooks(tokens, fwd_hooks=hooks) for tokens in batches]
    return {
        "store": store,
        "store keeps the graph": store.requires_grad,
        "logits": logits,
        "the gradient of the logits for W_Q": _gradient(model, layers, logits),
    }


def _gradient(model, layers, logits):
    """What reaches the queries of the first layer that was read: nothing, where the pattern was cut off from its graph."""
    W_Q = model.blocks[layers[0]].attn.W_Q
    return torch.autograd.grad(logits[0].square().sum(), W_Q, allow_unused=True, retain_graph=True)[0]


@ex.oracle
def _(model, layers, batches):
    store = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    logits = []
    for tokens in batches:
        output, seen = model.run_with_cache(tokens)
        logits.append(output)
        for layer in layers:
            pattern = seen[f"blocks.{layer}.attn.hook_pattern"].detach()
            n_rows, n_heads, n, _ = pattern.shape
            for row in range(n_rows):
                for head in range(n_heads):
                    for query in range(1, n):
                        store[layer, head] += pattern[row, head, query, query - 1] / (n - 1)
    return {
        "store": store,
        "store keeps the graph": False,
        "logits": logits,
        "the gradient of the logits for W_Q": _gradient(model, layers, logits),
    }


@ex.alternative
def by_diagonal(pattern, hook, store):
    pattern = pattern.detach()
    layer = hook.layer()
    scores = pattern.diagonal(-1, -2, -1).mean(-1).sum(0)
    store[layer] += scores


@ex.alternative
def by_indexing(pattern, hook, store):
    queries = torch.arange(1, pattern.shape[-1])
    with torch.no_grad():
        store[int(hook.name.split(".")[1])].add_(pattern[:, :, queries, queries - 1].mean(2).sum(0))


ex.slip(
    "detached_in_place",
    "The model's own pattern was cut off from its graph: .detach_() (with the underscore) changes the tensor that the model goes on "
    "with, and no gradient gets past it any more. .detach() makes another tensor of the same numbers and leaves this one.",
    "pattern = pattern.detach()",
    "pattern.detach_()",
)

ex.slip(
    "returns_an_edited_pattern",
    "The model went on with another pattern: the logits changed. Either the hook returned one of its own, or the pattern was edited in "
    "place (.detach() gives the same memory). A hook that only reads returns nothing and edits nothing.",
    "    store[layer] += scores\n",
    "    store[layer] += scores\n    return pattern.tril(-1).triu(-1)\n",
)


ex.slip(
    "edits_the_pattern_in_place",
    "The pattern itself was edited, and the model went on with it: the logits changed although nothing was returned. "
    "Compute on a copy, or without in-place operations.",
    "    scores =",
    "    pattern.tril_(-1)\n    scores =",
)


@ex.mistake("The scores stand at store[head, layer]. The store is [layer, head].")
def head_then_layer(pattern, hook, store):
    scores = pattern.detach().diagonal(-1, -2, -1).mean(-1).sum(0)
    for head in range(len(scores)):
        store[head, hook.layer()] += scores[head]


ex.slip(
    "overwritten_by_each_batch",
    "Each batch overwrites what the one before it stored. Add to the store: store[layer] += ...",
    "store[layer] += scores",
    "store[layer] = scores",
)


ex.slip(
    "always_the_last_layer",
    "Every layer's score went into the row of the last one. A variable of the loop that attached the hooks has its last "
    "value by the time the model runs; ask the hook point: hook.layer().",
    "layer = hook.layer()",
    "layer = len(store) - 1",
)


ex.slip(
    "always_the_first_layer",
    "Every layer's score went into row 0. Ask the hook point where it is: hook.layer().",
    "layer = hook.layer()",
    "layer = 0",
)


ex.slip(
    "every_row",
    "The score was added to every row of the store. Only row hook.layer() is this layer's.",
    "store[layer] +=",
    "store +=",
)


ex.slip(
    "store_is_rebound",
    "The store is still zero, as when `store = store + ...` makes a new tensor with a local name: the caller's is not touched. "
    "Change it in place, for example with store[layer] += ...",
    "store[layer] += scores",
    "store = store.clone()\n    store[layer] += scores",
)


ex.slip(
    "mean_over_the_batch",
    "This is the mean over the batch. The sum was asked for: batches differ in size, and only sums add up to an average "
    "over all prompts.",
    ".sum(0)",
    ".mean(0)",
)


ex.slip(
    "sum_over_queries",
    "This is the sum over the queries: a longer prompt would score higher. Take their mean.",
    ".mean(-1)",
    ".sum(-1)",
)


@ex.mistake(
    "The sum was divided by the number of positions. The first position has none before it, so there are s - 1 terms."
)
def divides_by_all_queries(pattern, hook, store):
    shares = pattern.detach().diagonal(-1, -2, -1).sum(-1) / pattern.shape[-1]
    store[hook.layer()] += shares.sum(0)


ex.slip(
    "current_token",
    "That is the attention of each position to itself: the main diagonal. One below it is the position before.",
    ".diagonal(-1, ",
    ".diagonal(0, ",
)


ex.slip(
    "future_token",
    "The diagonal above the main one is the next position, which a causal head cannot see. The rows are queries: the "
    "position before is at offset -1.",
    ".diagonal(-1, ",
    ".diagonal(1, ",
)


ex.slip(
    "mean_over_heads",
    "All heads got the same number: their mean. Each head is scored by itself.",
    ".mean(-1).sum(0)",
    ".mean((-1, 1)).sum(0)",
)


ex.slip(
    "keeps_the_graph",
    "The numbers are right, but the store now belongs to the graph, and with it every activation of every batch stays in "
    "memory. What is added to it must have no graph: detach the pattern.",
    "pattern = pattern.detach()",
    "pattern = pattern",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of each batch was counted. Add up all of them.",
    ".sum(0)",
    "[0]",
)


ex.slip(
    "last_query_left_out",
    "The last query is left out. All of them count from position 1 on: s - 1 terms.",
    ".mean(-1)",
    "[..., : max(pattern.shape[-1] - 2, 1)].mean(-1)",
)


@ex.mistake(
    "That is the attention to position 0, the first token, from every later query. The token before query q is at q - 1: a diagonal, not a "
    "column."
)
def first_key(pattern, hook, store):
    store[hook.layer()] += pattern.detach()[:, :, 1:, 0].mean(-1).sum(0)


ex.slip(
    "axes_of_size_one_lost",
    "With one prompt the numbers are wrong: a squeeze() without an axis drops the batch when its size is 1 (and one head likewise), and "
    "the sum then runs over something else.",
    ".mean(-1).sum(0)",
    ".mean(-1).squeeze().sum(0)",
)


ex.equivalent(
    "A pattern is square: there are as many queries as keys.",
    "pattern.shape[-1]) => pattern.shape[-2])",
)
