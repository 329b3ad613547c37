"""Exercise 05.6: Several heads as one."""

import torch

import cleanlens

from ...exercise import exercise
from .helpers import as_product, tiny_model

ex = exercise(
    "05.6",
    "effective_OV",
    title="Several heads as one",
    objective="You can treat heads that attend alike as a single head, and say why its value and output weights are "
    "concatenated and not added.",
    minutes=15,
    difficulty=3,
    importance=3,
    version=2,
    source='Elhage et al. 2021, "Attention Heads are Independent and Additive": the layer\'s output is the sum over heads '
    "of W_V W_O; and sum_h V_h O_h = [V_1 V_2 ...] [O_1; O_2; ...] (block multiplication).",
    atol=1e-4,
    hints=[
        "If two heads attend to the same token, the residual stream gets the sum of what both write.",
        "A sum of products is one product of concatenated factors: which axis of W_V, which axis of W_O?",
        "torch.cat([model.W_V[l, h] for l, h in heads], dim=1) and torch.cat([model.W_O[l, h] for l, h in heads], dim=0)",
    ],
    why="Adding the W_V and the W_O separately would let head 1's values leave through head 2's output: the cross terms "
    "V_1 O_2 exist in no model. Side by side, each d_head slice of the hidden axis stays with its own head.",
)


@ex.inputs
def _(seed):
    return [
        {"model": tiny_model(seed), "heads": [(1, 0), (1, 3)]},
        {"model": tiny_model(seed + 100), "heads": [(2, 1), (0, 3), (1, 2)]},
        {"model": tiny_model(seed + 200), "heads": [(1, 2)]},
    ]


@ex.oracle
def _(model, heads):
    total = torch.zeros(model.cfg.d_vocab, model.cfg.d_vocab)
    for layer, head in heads:
        attn = model.blocks[layer].attn
        total = total + model.W_E @ (attn.W_V[head] @ attn.W_O[head]) @ model.W_U
    hidden = len(heads) * model.cfg.d_head
    return {"kind": "FactoredMatrix", "hidden axis": hidden, "product": total.detach()}


@ex.call
def _(answer, model, heads):
    return as_product(answer(model, heads))


@ex.alternative
def concatenated(model, heads):
    W_V = torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)
    W_O = torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


@ex.alternative
def flattened(model, heads):
    layers, numbers = (list(axis) for axis in zip(*heads))
    W_V = model.W_V[layers, numbers].transpose(0, 1).flatten(1)  # h d e -> d (h e)
    W_O = model.W_O[layers, numbers].flatten(0, 1)  # h e d -> (h e) d
    return model.W_E @ cleanlens.FactoredMatrix(W_V, W_O) @ model.W_U


ex.slip(
    "cross_terms",
    "The W_V were added up, and the W_O too. (V1 + V2)(O1 + O2) contains V1 O2 and V2 O1: values of one head leaving "
    "through another, which no model does. Concatenate along d_head instead.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "sum(model.W_V[layer, head] for layer, head in heads)",
    "torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)",
    "sum(model.W_O[layer, head] for layer, head in heads)",
)


ex.slip(
    "average",
    "The heads' circuits were averaged. Every head adds its output to the residual stream: take the sum.",
    "W_O @ model.W_U",
    "W_O @ model.W_U / len(heads)",
)


ex.slip(
    "stacked_as_a_batch",
    "The heads were stacked along a new leading axis: that is a list of separate circuits. Concatenate along d_head, so "
    "that the product sums over heads too.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "torch.stack([model.W_V[layer, head] for layer, head in heads])",
    "torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)",
    "torch.stack([model.W_O[layer, head] for layer, head in heads])",
)


ex.slip(
    "concatenated_along_d_model",
    "The W_V were concatenated along d_model: they no longer fit to W_E. Both must grow along d_head: dim=1 of W_V "
    "[d_model, d_head], dim=0 of W_O [d_head, d_model].",
    "for layer, head in heads], dim=1)",
    "for layer, head in heads], dim=0)",
)


ex.slip(
    "interleaved",
    "Shapes fit, but the hidden axes are in different orders: in one factor all of head 1 comes first, in the other the "
    "heads alternate. So values of one head leave through another. Use the same order in both.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "torch.stack([model.W_V[layer, head] for layer, head in heads], dim=-1).flatten(1)",
)


ex.slip(
    "all_heads_in_the_first_layer",
    "The layer of the first head was used for all of them. Every entry of heads is its own (layer, head).",
    "[model.W_V[layer, head] for",
    "[model.W_V[heads[0][0], head] for",
    "[model.W_O[layer, head] for",
    "[model.W_O[heads[0][0], head] for",
)


ex.slip(
    "first_head_only",
    "Only the first head is in it.",
    "W_V = torch.cat(",
    "heads = heads[:1]\n    W_V = torch.cat(",
)


@ex.mistake(
    "That is a mean of the heads' copying accuracies. Two heads that copy 60% of the tokens each may copy 95% of them "
    "together: build the summed circuit first, then measure that."
)
def averaged_accuracies(model, heads):
    accuracy = 0.0
    for layer, head in heads:
        M = (model.W_E @ model.OV[layer, head] @ model.W_U).AB
        accuracy += (M.argmax(1) == torch.arange(len(M))).float().mean().item()
    return accuracy / len(heads)


@ex.mistake(
    "The sum is right but dense: the circuits were multiplied out and added up. Keep it factored; the inner axis is "
    "len(heads) * d_head."
)
def dense_sum(model, heads):
    return sum((model.W_E @ model.OV[layer, head] @ model.W_U).AB for layer, head in heads)


@ex.mistake(
    "The sum is right, but the hidden axis is d_model wide: the heads' W_V W_O were multiplied out and added up. Concatenate instead; the "
    "hidden axis is then len(heads) * d_head."
)
def d_model_in_between(model, heads):
    OV = sum(model.W_V[layer, head] @ model.W_O[layer, head] for layer, head in heads)
    return cleanlens.FactoredMatrix(model.W_E @ OV, model.W_U)


ex.slip(
    "different_orders",
    "The heads are in different orders in the two factors, so values of one head leave through another. Use the same order in both.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "torch.cat([model.W_V[layer, head] for layer, head in sorted(heads)], dim=1)",
)


@ex.mistake(
    "The heads were put one behind the other: what the first writes, the next one reads. Heads that attend to the same place work side by "
    "side, and the stream gets the sum."
)
def one_behind_the_other(model, heads):
    left = model.W_E
    for layer, head in heads[:-1]:
        left = left @ model.W_V[layer, head] @ model.W_O[layer, head]
    layer, head = heads[-1]
    return cleanlens.FactoredMatrix(left @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U)


ex.slip(
    "without_W_E_and_W_U",
    "This goes from residual stream to residual stream. Put W_E in front and W_U behind, for a circuit from token to token.",
    "cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)",
    "cleanlens.FactoredMatrix(W_V, W_O)",
)


ex.equivalent(
    "The weights of one head have two axes: the second is the last, and the first is what torch.cat takes by itself.",
    "heads], dim=1) => heads], dim=-1)",
    "heads], dim=0) => heads])",
    "heads], dim=0) => heads], dim=-2)",
)

ex.equivalent(
    "Torch takes several indices for one axis as a tuple, too.",
    "(list(axis) => (axis",
)
