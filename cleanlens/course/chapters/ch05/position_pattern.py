"""Exercise 05.7: Where a head looks, from positions alone."""

import torch

from ...exercise import exercise
from .helpers import tiny_model, weights_of

ex = exercise(
    "05.7",
    "position_pattern",
    title="Where a head looks, from positions alone",
    objective="You can read a previous-token head off its weights: its attention pattern if there were no tokens, only "
    "positions.",
    minutes=15,
    difficulty=3,
    importance=4,
    version=3,
    source="The definition of attention (Vaswani et al. 2017, section 3.2.1) with W_pos in place of the residual stream; "
    'Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", uses the same circuit for its previous-token head.',
    atol=1e-4,
    hints=[
        "It is ordinary attention, with the rows of model.W_pos as the input: queries, keys, scale, causal mask, softmax.",
        "LayerNorm divides the input by ln_scale before the queries and before the keys are made.",
        "scores = (W_pos @ W_Q) @ (W_pos @ W_K).T / (ln_scale**2 * model.cfg.attn_scale); mask with torch.triu(..., 1).",
    ],
    why="Queries in rows, keys in columns; softmax over the keys of each row. ln_scale enters twice, once through the query "
    "and once through the key, and it sharpens the pattern: without it a sharp head looks blurred.",
)


@ex.inputs
def _(seed):
    nowhere = tiny_model(seed + 500)
    with torch.no_grad():
        nowhere.pos_embed.W_pos[2] = 0.0  # all its scores are exactly 0
    return [
        {"model": tiny_model(seed), "layer": 1, "head": 2, "ln_scale": 1.0},
        {"model": nowhere, "layer": 2, "head": 2, "ln_scale": 1.1},
        {"model": tiny_model(seed + 100), "layer": 2, "head": 1, "ln_scale": 0.8},
        {"model": tiny_model(seed + 200, n_ctx=6), "layer": 0, "head": 3, "ln_scale": 1.3},
        {
            "model": tiny_model(seed + 300),
            "layer": 1,
            "head": 0,
            "ln_scale": 0.04,
        },  # scores of a thousand
        {"model": tiny_model(seed + 400, n_ctx=1), "layer": 1, "head": 0, "ln_scale": 0.7},
    ]


@ex.call
def _(answer, model, layer, head, ln_scale):
    given = {} if ln_scale == 1.0 else {"ln_scale": ln_scale}  # 1.0 is the default
    return {"pattern": answer(model, layer, head, **given), "weights afterwards": weights_of(model)}


@ex.oracle
def _(model, layer, head, ln_scale):
    # The model itself, on tokens that are nothing but their positions: no embedding, no earlier heads, no biases.
    # (The weights are written anew for the next call, see tiny_model.)
    weights = weights_of(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".b_" in name or name.endswith(("W_E", "W_O")):
                weight.zero_()
        model.pos_embed.W_pos.div_(ln_scale)
        _, cache = model.run_with_cache(torch.zeros(1, model.cfg.n_ctx, dtype=torch.long))
    return {"pattern": cache["pattern", layer][0, head], "weights afterwards": weights}


@ex.alternative
def scores_then_softmax(model, layer, head, ln_scale=1.0):
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = q @ k.T / model.cfg.attn_scale
    future = torch.triu(torch.ones_like(scores), diagonal=1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)


@ex.alternative
def sandwiched_circuit(model, layer, head, ln_scale=1.0):
    scores = model.W_pos @ model.QK[layer, head].AB @ model.W_pos.T / ln_scale**2 / model.cfg.d_head**0.5
    scores = scores + torch.full_like(scores, -torch.inf).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


ex.slip(
    "no_scale",
    "The scores were not divided by model.cfg.attn_scale (the root of d_head), so the pattern is sharper than the model's.",
    "q @ k.T / model.cfg.attn_scale",
    "q @ k.T",
)


ex.slip(
    "divides_by_d_head",
    "The scores were divided by d_head. It is its root, model.cfg.attn_scale.",
    "/ model.cfg.attn_scale",
    "/ model.cfg.d_head",
)


ex.slip(
    "no_mask",
    "A position sees the positions after it. Set the scores above the diagonal to minus infinity before the softmax.",
    ".masked_fill(future, -torch.inf)",
    "",
)


ex.slip(
    "masked_after_softmax",
    "The pattern was masked after the softmax, so its rows do not add up to 1. Mask the scores, with minus infinity.",
    "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
    "scores.softmax(dim=-1).masked_fill(future, 0.0)",
)


ex.slip(
    "masked_with_zero",
    "Future scores were set to 0, and exp(0) = 1: the future still gets attention. Minus infinity gives it none.",
    "-torch.inf",
    "0.0",
)


ex.slip(
    "diagonal_masked",
    "The diagonal is masked too; a position may look at itself. Row 0 is left with nothing at all, hence the NaN. Use "
    "torch.triu(..., diagonal=1).",
    "diagonal=1",
    "diagonal=0",
)


ex.slip(
    "softmax_over_queries",
    "The softmax ran down the columns, over queries. Every query shares out its attention among keys: dim=-1 of "
    "[query, key].",
    "softmax(dim=-1)",
    "softmax(dim=0)",
)


ex.slip(
    "q_and_k_swapped",
    "Queries and keys are swapped: row i must hold q_i against every k_j. W_Q comes first, W_K transposed after it.",
    "q @ k.T",
    "k @ q.T",
)


ex.slip(
    "K_untransposed",
    "The keys were not transposed: q @ k.T gives [query, key], one dot product for each pair of positions.",
    "q @ k.T",
    "q @ k",
)


ex.slip(
    "ln_scale_ignored",
    "ln_scale has no effect. LayerNorm divides what the head reads by it; leave it out and the pattern is blurred or too "
    "sharp.",
    "model.W_pos / ln_scale",
    "model.W_pos",
)


ex.slip(
    "ln_scale_once",
    "The scores were divided by ln_scale once, as when only the queries or only the keys are. Both read the normalised stream: it "
    "enters squared.",
    "x = model.W_pos / ln_scale",
    "x = model.W_pos / ln_scale**0.5",
)


ex.slip(
    "multiplies_by_ln_scale",
    "The positions were multiplied by ln_scale. LayerNorm divides by it.",
    "model.W_pos / ln_scale",
    "model.W_pos * ln_scale",
)


ex.slip(
    "biases_added",
    "b_Q and b_K were added. They belong to the model's pattern (b_Q prefers some keys to others), but here only the circuit "
    "W_pos W_Q W_K^T W_pos^T is asked for, positions against positions.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[layer, head] + model.b_Q[layer, head], x @ model.W_K[layer, head] + model.b_K[layer, head]",
)


ex.slip(
    "wrong_head",
    "It gives head 0 whatever head is asked for.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[layer, 0], x @ model.W_K[layer, 0]",
)


ex.slip(
    "wrong_layer",
    "It gives layer 0 whatever layer is asked for.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[0, head], x @ model.W_K[0, head]",
)


ex.slip(
    "scores_returned",
    "Those are the scores before the softmax. A pattern has rows of non-negative numbers that add up to 1.",
    ".masked_fill(future, -torch.inf).softmax(dim=-1)",
    ".masked_fill(future, 0.0)",
)


ex.slip(
    "divides_W_pos_in_place",
    "The pattern is right, but model.W_pos itself was divided: the model is another one now. Work on a copy, W_pos / ln_scale.",
    "x = model.W_pos / ln_scale",
    "x = model.W_pos.data.div_(ln_scale)",
)


ex.slip(
    "overflows",
    "For large scores exp() overflows, and inf / inf is NaN. Subtract the row's maximum first, or use softmax, which does.",
    "    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)\n",
    "    weights = scores.masked_fill(future, -torch.inf).exp()\n    return weights / weights.sum(-1, keepdim=True)\n",
)


ex.equivalent(
    "Scores of one head on no batch have two axes: the second is the last.",
    "softmax(dim=-1) => softmax(dim=1)",
)
