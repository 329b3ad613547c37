"""Exercise 05.8: Which part of the query meets which part of the key?."""

import math
from functools import lru_cache

import torch

from cleanlens.activation_cache import ActivationCache

from ...exercise import exercise
from .helpers import normal, tiny_model

ex = exercise(
    "05.8",
    "split_qk",
    "decompose_scores",
    title="Which part of the query meets which part of the key?",
    objective="You can write every attention score as an exact sum over pairs of components: one of the query's, one of the "
    "key's.",
    minutes=25,
    difficulty=4,
    importance=4,
    version=4,
    source='Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", heading "Path Expansion of Attention '
    'Scores QK Circuit"; exact because queries and keys are linear in the normalised stream.',
    atol=1e-4,
    hints=[
        "The stream before this layer is a sum: embed, pos_embed, one term for each earlier head (z @ W_O), and the earlier "
        "b_O. With LayerNorm's scale held fixed, the query of a sum is the sum of the queries.",
        "Per component: subtract its mean over d_model, divide by the cached ln1 scale, multiply by W_Q. b_Q belongs to one "
        "row only, the last.",
        'decompose_scores: einsum("ise,jte->ijst", q, k) divided by the root of d_head. No mask, no softmax: scores add up, '
        "patterns do not.",
    ],
    why="The score is bilinear: (sum of q_i) . (sum of k_j) = sum over all pairs of q_i . k_j. So every entry of [i, j] says "
    "how much of the score comes from that path, and nothing is left over. Softmax would destroy the sum.",
)


@lru_cache(maxsize=8)
def activations(model, seed, n):
    """All activations on a few random tokens, by name; computed once for each seed."""
    tokens = torch.randint(model.cfg.d_vocab, (1, n), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.run_with_cache(tokens, remove_batch_dim=True, return_cache_object=False)[1]


@torch.no_grad()
def write_little(model):
    for name, weight in model.named_parameters():
        if name.endswith(("W_E", "W_pos", "W_O", "b_O")):
            weight *= 1e-3


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    calls = []
    for i, (layer, head, n) in enumerate([(1, 2, 6), (2, 1, 6), (0, 3, 6), (1, 0, 1), (2, 0, 4)]):
        model = tiny_model(seed + 100 * i, normalization_type="LNPre")
        if i == 4:  # so short a stream that the LayerNorm's epsilon counts
            write_little(model)
        stored = activations(model, seed + 100 * i, n)
        cache = ActivationCache({name: x.clone() for name, x in stored.items()}, model, has_batch_dim=False)
        calls.append({"what": "split_qk", "model": model, "cache": cache, "layer": layer, "head": head})
    calls.append({"what": "decompose_scores", "q": normal(g, 5, 6, 3), "k": normal(g, 4, 6, 3)})
    calls.append({"what": "decompose_scores", "q": normal(g, 4, 5, 7), "k": normal(g, 4, 5, 7)})
    calls.append({"what": "decompose_scores", "q": normal(g, 1, 1, 3), "k": normal(g, 1, 1, 3)})
    return calls


@ex.oracle
def _(what, q=None, k=None, model=None, cache=None, layer=0, head=0):
    if what == "decompose_scores":
        scores = torch.zeros(len(q), len(k), q.shape[1], k.shape[1])
        for i in range(len(q)):
            for j in range(len(k)):
                for s in range(q.shape[1]):
                    for t in range(k.shape[1]):
                        scores[i, j, s, t] = (q[i, s] * k[j, t]).sum() / math.sqrt(q.shape[-1])
        return scores
    stream = {"embed": cache["embed"], "pos_embed": cache["pos_embed"]}
    for earlier in range(layer):
        for h in range(model.cfg.n_heads):
            stream[f"L{earlier}H{h}"] = cache["z", earlier][:, h] @ model.blocks[earlier].attn.W_O[h]
    written = sum(stream.values())
    stream["bias"] = (
        cache["resid_pre", layer] - written
    )  # whatever else is there: the biases of earlier layers
    attn, scale = model.blocks[layer].attn, cache[f"blocks.{layer}.ln1.hook_scale"]
    found = []
    for W, b, whole in ((attn.W_Q, attn.b_Q, "q"), (attn.W_K, attn.b_K, "k")):
        rows = [((x - x.mean(-1, keepdim=True)) / scale) @ W[head] for x in stream.values()]
        rows[-1] = rows[-1] + b[head]
        torch.testing.assert_close(
            sum(rows), cache[whole, layer][:, head], atol=1e-3, rtol=1e-3
        )  # the identity
        found.append(torch.stack(rows).detach())
    return tuple(found)


@ex.call
def _(answer, what, q=None, k=None, model=None, cache=None, layer=0, head=0):
    if what == "decompose_scores":
        return answer.decompose_scores(q, k)
    return answer.split_qk(model, cache, layer, head)


@ex.alternative(of="split_qk")
def row_by_row(model, cache, layer, head):
    rows = [cache["embed"], cache["pos_embed"]]
    for earlier in range(layer):
        for h in range(model.cfg.n_heads):
            rows.append(cache["z", earlier][:, h] @ model.W_O[earlier, h])
    bias = model.b_O[:layer].sum(dim=0)
    rows.append(bias.expand_as(rows[0]))
    x = torch.stack(rows)
    x = x - x.mean(dim=-1, keepdim=True)
    x = x / cache["scale", layer, "ln1"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_K[layer, head]
    return q, k


@ex.alternative(of="split_qk")
def all_heads_at_once(model, cache, layer, head):
    parts = [cache["embed"][None], cache["pos_embed"][None]]
    for earlier in range(layer):
        parts.append(torch.einsum("she,hed->hsd", cache["z", earlier], model.W_O[earlier]))
    parts.append(model.accumulated_bias(layer).expand(1, *cache["embed"].shape))
    x = cache.apply_ln_to_stack(torch.cat(parts), layer=layer)
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    last = (torch.arange(len(x)) == len(x) - 1)[:, None, None]
    return q + last * model.b_Q[layer, head], k + last * model.b_K[layer, head]


@ex.alternative(of="decompose_scores")
def one_einsum(q, k):
    scores = torch.einsum("ise,jte->ijst", q, k)
    return scores / q.shape[-1] ** 0.5


@ex.alternative(of="decompose_scores")
def broadcast_matmul(q, k):
    return (q[:, None] @ k[None].mT) / math.sqrt(k.shape[-1])


ex.slip(
    "bias_in_every_row",
    "b_Q and b_K were added to every component, so the sum of the rows holds them many times over. They are one more part of "
    "the sum: add them to the last row only.",
    "q[-1] += model.b_Q[layer, head]\n    k[-1] += model.b_K[layer, head]",
    "q = q + model.b_Q[layer, head]\n    k = k + model.b_K[layer, head]",
    of="split_qk",
)


ex.slip(
    "bias_forgotten",
    "b_Q and b_K are missing: the rows do not add up to the model's own query and key. Add them to the last row.",
    "    q[-1] += model.b_Q[layer, head]\n    k[-1] += model.b_K[layer, head]\n",
    "",
    of="split_qk",
)


ex.slip(
    "pos_embed_missing",
    "The position embedding is missing. It is a part of the stream like any other, and for a previous-token head the one that "
    "matters.",
    '[cache["embed"], cache["pos_embed"]]',
    '[cache["embed"]]',
    of="split_qk",
)


ex.slip(
    "embeddings_in_one_row",
    "Token and position embedding are in one row together. They are two components: the point is to tell them apart.",
    '[cache["embed"], cache["pos_embed"]]',
    '[cache["embed"] + cache["pos_embed"]]',
    of="split_qk",
)


ex.slip(
    "no_layernorm_scale",
    "The components were not divided by LayerNorm's scale. Take the scale of the whole stream from the cache, "
    'cache["scale", layer, "ln1"].',
    '    x = x / cache["scale", layer, "ln1"]\n',
    "",
    of="split_qk",
)


ex.slip(
    "own_layernorm",
    "Every component was normalised by its own standard deviation. Then they do not add up any more: the scale is that of the "
    "whole stream, from the cache.",
    'cache["scale", layer, "ln1"]',
    "(x.var(dim=-1, keepdim=True, unbiased=False) + model.cfg.eps).sqrt()",
    of="split_qk",
)


ex.slip(
    "epsilon_twice",
    "Epsilon went into the scale a second time, which shows where the stream is short. The cached scale holds it already: divide by it "
    "as it is.",
    'cache["scale", layer, "ln1"]',
    '(cache["scale", layer, "ln1"] ** 2 + model.cfg.eps).sqrt()',
    of="split_qk",
)


ex.slip(
    "first_layernorm",
    "LayerNorm's scale is that of layer 0. The stream has grown since: take the scale of the layer that reads.",
    'cache["scale", layer, "ln1"]',
    'cache["scale", 0, "ln1"]',
    of="split_qk",
)


ex.slip(
    "not_centred",
    "LayerNorm also subtracts the mean over d_model, from each component as from the whole; here it was left in.",
    "    x = x - x.mean(dim=-1, keepdim=True)\n",
    "",
    of="split_qk",
)


ex.slip(
    "includes_its_own_layer",
    "The heads of this very layer are among the components. They write after it has read: stop before layer.",
    "in range(layer):",
    "in range(layer + 1):",
    of="split_qk",
)


ex.slip(
    "earlier_biases_forgotten",
    "The output biases b_O of the earlier layers are missing from the last row, and with them a part of the stream.",
    "model.b_O[:layer].sum(dim=0)",
    "0 * model.b_O[:layer].sum(dim=0)",
    of="split_qk",
)


ex.slip(
    "split_q_and_k_swapped",
    "The two results are swapped: queries first, then keys.",
    "return q, k",
    "return k, q",
    of="split_qk",
)


ex.slip(
    "no_scale",
    "The scores were not divided by the root of d_head.",
    "scores / q.shape[-1] ** 0.5",
    "scores",
    of="decompose_scores",
)


ex.slip(
    "divides_by_d_head",
    "The scores were divided by d_head. It is its root.",
    "q.shape[-1] ** 0.5",
    "q.shape[-1]",
    of="decompose_scores",
)


ex.slip(
    "softmax_per_component",
    "A softmax was applied to each pair of components. The softmax of a sum is not the sum of softmaxes: only the scores before "
    "it can be decomposed.",
    "scores / q.shape[-1] ** 0.5",
    "(scores / q.shape[-1] ** 0.5).softmax(dim=-1)",
    of="decompose_scores",
)


ex.slip(
    "masked",
    "The future was masked in every pair of components. Minus infinity cannot be shared out among them, and a sum with it in it "
    "says nothing: leave the mask to the reader of the sum.",
    "scores / q.shape[-1] ** 0.5",
    "(scores / q.shape[-1] ** 0.5).masked_fill(torch.ones(q.shape[1], k.shape[1]).triu(1).bool(), -torch.inf)",
    of="decompose_scores",
)


ex.slip(
    "i_and_j_swapped",
    "The component axes are swapped: the first is the query's component, the second the key's.",
    "ise,jte->ijst",
    "ise,jte->jist",
    of="decompose_scores",
)


ex.slip(
    "positions_swapped",
    "The position axes are swapped: query positions come before key positions.",
    "ise,jte->ijst",
    "ise,jte->ijts",
    of="decompose_scores",
)


ex.slip(
    "same_component_only",
    "Only the pairs with i = j were computed. Every query component meets every key component; induction lives in the "
    "off-diagonal: embed against the previous-token head.",
    "scores / q.shape[-1] ** 0.5",
    "scores / q.shape[-1] ** 0.5 * torch.eye(len(q), len(k))[:, :, None, None]",
    of="decompose_scores",
)


ex.slip(
    "bias_row_not_scaled",
    "The row of the biases was not divided by LayerNorm's scale. b_O is a part of the stream as the others are; only b_Q and b_K come "
    "after the division.",
    '    x = x / cache["scale", layer, "ln1"]\n',
    '    x = torch.cat([x[:-1] / cache["scale", layer, "ln1"], x[-1:]])\n',
    of="split_qk",
)


ex.slip(
    "b_Q_for_the_keys",
    "b_Q was added to the keys as well. They have a bias of their own, b_K.",
    "k[-1] += model.b_K[layer, head]",
    "k[-1] += model.b_Q[layer, head]",
    of="split_qk",
)


ex.slip(
    "heads_before_layers",
    "The rows of the earlier heads are in another order. Layer by layer, and in each the heads in order: L0H0, L0H1, ..., L1H0.",
    "    for earlier in range(layer):\n        for h in range(model.cfg.n_heads):\n",
    "    for h in range(model.cfg.n_heads):\n        for earlier in range(layer):\n",
    of="split_qk",
)


ex.slip(
    "divides_by_the_positions",
    "The scores were divided by the root of the number of positions. It is the root of d_head, the last axis.",
    "q.shape[-1] ** 0.5",
    "q.shape[1] ** 0.5",
    of="decompose_scores",
)


ex.equivalent(
    "b_O has the axes layer and d_model, and its sum is spread over the positions in any case.",
    "sum(dim=0) => sum(dim=0, keepdim=True)",
    "sum(dim=0) => sum(dim=-2)",
)

ex.equivalent(
    "Every row has the same shape.",
    "expand_as(rows[0])) => expand_as(rows[1]))",
    "expand_as(rows[0])) => expand_as(rows[-1]))",
)
