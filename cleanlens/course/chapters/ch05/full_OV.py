"""Exercise 05.4: What a head writes: the full OV circuit."""

import torch

import cleanlens

from ...exercise import exercise
from .helpers import as_product, tiny_model

ex = exercise(
    "05.4",
    "full_OV",
    title="What a head writes: the full OV circuit",
    objective="You can write down, from weights alone, how attending to any token changes the logit of any other.",
    minutes=10,
    difficulty=2,
    importance=5,
    version=2,
    source='Elhage et al. 2021, section "One-Layer Attention-Only Transformers", heading "Splitting Attention Head terms '
    'into Query-Key and Output-Value Circuits": W_E W_V W_O W_U in our row-vector convention.',
    atol=1e-4,
    hints=[
        "Follow one token from left to right: embedding, value, output, unembedding. Each step is one matrix on the "
        "right.",
        "model.W_V[layer, head] is [d_model, d_head], model.W_O[layer, head] is [d_head, d_model]. Their inner axis, "
        "d_head, is where to cut the product in two.",
        "cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)",
    ],
    why="Row s, column t is what attending to token s adds to the logit of token t. The rank is d_head, so both factors "
    "stay thin however large the vocabulary is.",
)


@ex.inputs
def _(seed):
    # With d_model = d_vocab a transposed W_U fits, as it does nowhere else; with other sizes it does not.
    return [
        {"model": tiny_model(seed, d_model=12, d_vocab=12), "layer": 1, "head": 2},
        {"model": tiny_model(seed + 100), "layer": 2, "head": 1},
        {"model": tiny_model(seed + 200), "layer": 0, "head": 3},
    ]


@ex.oracle
def _(model, layer, head):
    attn = model.blocks[layer].attn
    rows = []
    for token in range(model.cfg.d_vocab):  # one token at a time, through the model's own parts
        value = model.embed.W_E[token] @ attn.W_V[head]
        rows.append((value @ attn.W_O[head]) @ model.unembed.W_U)
    product = torch.stack(rows).detach()
    return {"kind": "FactoredMatrix", "hidden axis": model.cfg.d_head, "product": product}


@ex.call
def _(answer, model, layer, head):
    return as_product(answer(model, layer, head))


@ex.alternative
def two_factors(model, layer, head):
    left, right = model.W_V[layer, head], model.W_O[layer, head]
    return cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)


@ex.alternative
def by_the_factored_matrix(model, layer, head):
    return model.W_E @ model.OV[layer, head] @ model.W_U


ex.slip(
    "V_and_O_swapped",
    "W_O and W_V changed places (transposed, so that the shapes fit). A token's embedding meets W_V first: W_E W_V W_O W_U.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_O[layer, head].T, model.W_V[layer, head].T",
)


ex.slip(
    "W_U_transposed",
    "W_U was transposed. It is [d_model, d_vocab] as stored, so that W_O @ W_U fits as it is. (Where d_model and d_vocab "
    "are equal nothing complains.)",
    "right @ model.W_U",
    "right @ model.W_U.T",
)


ex.slip(
    "K_for_V",
    "W_K was used for W_V. The keys decide where a head looks; the values, W_V, are what it takes from there.",
    "model.W_V[layer, head]",
    "model.W_K[layer, head]",
)


ex.slip(
    "embedding_for_unembedding",
    "The last factor is W_E transposed. This model has an unembedding of its own, W_U.",
    "right @ model.W_U",
    "right @ model.W_E.T",
)


ex.slip(
    "rows_are_outputs",
    "The matrix is transposed: row s must be the token that is attended to, column t the token whose logit changes.",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "cleanlens.FactoredMatrix((right @ model.W_U).mT, (model.W_E @ left).mT)",
)


ex.slip(
    "ignores_the_head",
    "It gives head 0 whatever head is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[layer, 0], model.W_O[layer, 0]",
)


ex.slip(
    "ignores_the_layer",
    "It gives layer 0 whatever layer is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[0, head], model.W_O[0, head]",
)


ex.slip(
    "ignores_its_arguments",
    "It gives layer 0, head 0 whatever is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[0, 0], model.W_O[0, 0]",
)


ex.slip(
    "layer_and_head_swapped",
    "Layer and head are swapped: stacked weights are indexed [layer, head].",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[head % len(model.blocks), layer], model.W_O[head % len(model.blocks), layer]",
)


ex.slip(
    "residual_to_residual",
    "That is W_V W_O, from residual stream to residual stream. The full circuit goes from token to token: put W_E in front "
    "and W_U behind.",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "cleanlens.FactoredMatrix(left, right)",
)


ex.slip(
    "multiplied_out",
    "Right numbers, but not in two factors of inner size d_head: a dense d_vocab x d_vocab matrix of GPT-2 takes 10 GB. "
    "Return cleanlens.FactoredMatrix(W_E @ W_V, W_O @ W_U).",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "model.W_E @ left @ right @ model.W_U",
)


ex.slip(
    "d_model_in_between",
    "The product is right, but the hidden axis is d_model wide. Cut it where it is narrowest, between W_V and W_O: d_head.",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "cleanlens.FactoredMatrix(model.W_E, left @ right @ model.W_U)",
)


ex.slip(
    "without_W_U",
    "The unembedding is missing: this ends in the residual stream. Logits need W_U behind W_O.",
    "right @ model.W_U)",
    "right)",
)


ex.slip(
    "without_W_E",
    "The embedding is missing: rows are directions of the residual stream, not tokens. Put W_E in front of W_V.",
    "model.W_E @ left",
    "left",
)


ex.slip(
    "Q_for_V",
    "W_Q was used for W_V. The queries decide where a head looks; the values, W_V, are what it takes from there.",
    "model.W_V[layer, head]",
    "model.W_Q[layer, head]",
)


@ex.mistake("This is the sum over all heads of the layer. One head was asked for.")
def whole_layer(model, layer, head):
    left = torch.cat(list(model.W_V[layer]), dim=1)
    right = torch.cat(list(model.W_O[layer]), dim=0)
    return cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)
