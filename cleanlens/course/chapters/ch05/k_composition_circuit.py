"""Exercise 05.9: The induction circuit in one matrix."""

import torch

import cleanlens

from ...exercise import exercise
from .helpers import as_product, tiny_model

ex = exercise(
    "05.9",
    "k_composition_circuit",
    title="The induction circuit in one matrix",
    objective="You can read K-composition from weights: through the previous-token head, a key says which token came before.",
    minutes=15,
    difficulty=4,
    importance=5,
    version=2,
    source='Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", heading "How Induction Heads Work"; '
    "Olsson et al. 2022, In-context Learning and Induction Heads, section on the mechanism.",
    atol=1e-4,
    hints=[
        "The query is the current token's: W_E W_Q of the induction head. The key is made of what the earlier head wrote: "
        "W_E W_V W_O of the earlier head, then W_K of the induction head.",
        "Score = query . key, so the key's whole chain stands on the right, transposed: "
        "W_E W_Q (W_E W_V W_O W_K)^T.",
        "cleanlens.FactoredMatrix(W_E @ W_Q, (W_E @ W_V @ W_O @ W_K).T)",
    ],
    why="Row q is the token that asks; column k the token that stood before the key's position. A large diagonal means: look "
    "for the place that follows an earlier copy of myself. That is induction, from weights alone.",
)


@ex.inputs
def _(seed):
    return [
        {"model": tiny_model(seed), "prev": (0, 1), "ind": (2, 3)},
        {"model": tiny_model(seed + 100), "prev": (1, 3), "ind": (2, 2)},
        {"model": tiny_model(seed + 200), "prev": (0, 2), "ind": (1, 0)},
    ]


@ex.oracle
def _(model, prev, ind):
    W_E, early, late = model.W_E.detach(), model.blocks[prev[0]].attn, model.blocks[ind[0]].attn
    n = model.cfg.d_vocab
    scores = torch.zeros(n, n)
    for key_token in range(n):  # what the earlier head puts there when it has attended to key_token
        written = (W_E[key_token] @ early.W_V[prev[1]]) @ early.W_O[prev[1]]
        key = written @ late.W_K[ind[1]]
        for query_token in range(n):
            query = W_E[query_token] @ late.W_Q[ind[1]]
            scores[query_token, key_token] = (query * key).sum()
    return {"kind": "FactoredMatrix", "hidden axis": model.cfg.d_head, "product": scores.detach()}


@ex.call
def _(answer, model, prev, ind):
    return as_product(answer(model, prev, ind))


@ex.alternative
def query_against_key(model, prev, ind):
    W_E = model.W_E
    written = W_E @ model.W_V[prev] @ model.W_O[prev]
    query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]
    return cleanlens.FactoredMatrix(query, key.T)


@ex.alternative
def chain_of_circuits(model, prev, ind):
    (l0, h0), (l1, h1) = prev, ind
    return model.W_E @ model.QK[l1, h1] @ model.OV[l0, h0].T @ model.W_E.T


ex.slip(
    "Q_composition",
    "The earlier head was put on the query's side. That is Q-composition; an induction head asks with the plain token and "
    "finds it in the key.",
    "query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]",
    "query, key = written @ model.W_Q[ind], W_E @ model.W_K[ind]",
)


ex.slip(
    "both_sides_composed",
    "The earlier head is on both sides. The query of an induction head is the current token itself, straight from the "
    "embedding.",
    "query, key = W_E @ model.W_Q[ind]",
    "query, key = written @ model.W_Q[ind]",
)


ex.slip(
    "no_composition",
    "The earlier head is missing: token against token is how the later head would score the key's own token, not the one "
    "before it.",
    "written @ model.W_K[ind]",
    "W_E @ model.W_K[ind]",
)


ex.slip(
    "V_and_O_swapped",
    "W_V and W_O of the earlier head changed places (transposed, so that the shapes fit). It reads with W_V and writes with "
    "W_O.",
    "model.W_V[prev] @ model.W_O[prev]",
    "model.W_O[prev].T @ model.W_V[prev].T",
)


ex.slip(
    "Q_and_K_swapped",
    "W_Q and W_K of the later head are swapped: the query goes through W_Q, the key through W_K.",
    "query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]",
    "query, key = W_E @ model.W_K[ind], written @ model.W_Q[ind]",
)


ex.slip(
    "axes_swapped",
    "The matrix is transposed. Rows are queries: each query's best key is a maximum along its row. Transposed, the per-key "
    "maximum gets reported as the per-query one.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(key, query.T)",
)


ex.slip(
    "hard_coded_heads",
    "It gives the circuit of head 0 in layer 0 and head 0 in layer 1, whatever heads are asked for.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, (0, 0), (1, 0)\n",
)


ex.slip(
    "hard_coded_layers",
    "The heads are the ones that were asked for, but always in layers 0 and 1.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, (0, prev[1]), (1, ind[1])\n",
)


ex.slip(
    "heads_swapped",
    "prev and ind changed places: the earlier head's OV feeds the later head's QK.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, ind, prev\n",
)


ex.slip(
    "unembeds",
    "The key's side ends in W_U. Nothing is predicted here: both sides begin with the embedding, W_E.",
    "written = W_E @",
    "written = model.W_U.T @",
)


ex.slip(
    "scaled",
    "The scores were divided by attn_scale. The circuit itself, W_E W_Q W_K^T W_O^T W_V^T W_E^T, has no such factor.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(query / model.cfg.attn_scale, key.T)",
)


ex.slip(
    "multiplied_out",
    "Right numbers, but dense. Keep it in two factors with d_head between them: the query side and the key side.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "query @ key.T",
)


ex.slip(
    "d_model_in_between",
    "The product is right, but the hidden axis is d_model wide. Cut where it is narrowest: between W_Q and W_K, or between W_O and W_V, "
    "there are only d_head dimensions.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(query @ model.W_K[ind].T, written.T)",
)


ex.slip(
    "scaled_by_d_head",
    "The scores were divided by d_head. The circuit itself, W_E W_Q W_K^T W_O^T W_V^T W_E^T, has no such factor.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(query / model.cfg.d_head, key.T)",
)
