"""Exercise 01.6: Multi-head attention."""

import math
from types import SimpleNamespace

import torch
from einops import einsum

from ...exercise import exercise
from .helpers import NO_GRADIENT, GivenAttention, fill, numbers, out_of_reach, used_before

ex = exercise(
    "01.6",
    "Attention.forward",
    supply={"Attention": GivenAttention},
    title="Multi-head attention",
    objective="You can write attention so that each head's work stays visible, and you know what its biases do.",
    minutes=30,
    version=3,
    rtol=2e-4,
    atol=1e-4,
    difficulty=4,
    importance=5,
    source="Vaswani et al. (2017), section 3.2.2; Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, "
    "section 'Attention Heads are Independent and Additive'.",
    hints=[
        "q, k and v are three products of the same kind: einsum(x, self.W_Q, 'b s d, h d e -> b s h e') + self.b_Q.",
        "The pattern is exercise 01.5. Then each query takes the mean of the values, weighted by its row of the pattern: sum "
        "over the keys.",
        "z is 'b q h e'. The last step sums over heads and over e at once: einsum(z, self.W_O, 'b q h e, h e d -> b q d'), "
        "plus b_O a single time.",
    ],
    why="Each head adds a term of its own to the residual stream; stacking the z's and multiplying by one big W_O, as most code "
    "does, is the same sum. b_O belongs to the layer, so it is added once. b_K alone changes nothing: it gives all keys of a "
    "query the same extra score, and the softmax does not see that.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)

    def case(batch, length, h=3, d=5, e=2, size=0.8):
        weights = {f"W_{x}": size * randn(h, d, e) for x in "QKV"} | {f"b_{x}": randn(h, e) for x in "QKV"}
        return {"x": randn(batch, length, d), "weights": weights | {"W_O": randn(h, e, d), "b_O": randn(d)}}

    # and last: scores of some hundred, beyond what an exponential in float32 can hold
    return [case(2, 4), case(1, 3, h=2, d=7, e=6), case(3, 1), case(1, 1, h=1), case(2, 5, size=4.0)]


@ex.oracle
def _(x, weights):
    w = {name: value.double() for name, value in weights.items()}
    heads, _, e = w["W_Q"].shape
    out = torch.zeros(x.shape, dtype=torch.float64)
    for b, text in enumerate(x.double()):
        for i in range(len(text)):
            out[b, i] = w["b_O"]
            for h in range(heads):
                q = text[i] @ w["W_Q"][h] + w["b_Q"][h]
                seen = range(i + 1)
                keys = [text[j] @ w["W_K"][h] + w["b_K"][h] for j in seen]
                values = [text[j] @ w["W_V"][h] + w["b_V"][h] for j in seen]
                scores = [float(q @ key) / e**0.5 for key in keys]
                weight = [math.exp(score - max(scores)) for score in scores]
                z = sum(a * value for a, value in zip(weight, values)) / sum(weight)
                out[b, i] += z @ w["W_O"][h]
    return {"vectors": out.float(), NO_GRADIENT: "none"}


@ex.call
def _(answer, x, weights):
    h, d, e = weights["W_Q"].shape
    attention = fill(answer(SimpleNamespace(n_heads=h, d_model=d, d_head=e)), weights)
    vectors = used_before(attention, x)(x)
    return {"vectors": vectors, NO_GRADIENT: out_of_reach(attention, vectors)}


@ex.alternative
def heads_side_by_side(self, x):
    b, s, d = x.shape
    h, _, e = self.W_Q.shape
    q = x[:, None] @ self.W_Q + self.b_Q[:, None]
    k = x[:, None] @ self.W_K + self.b_K[:, None]
    v = x[:, None] @ self.W_V + self.b_V[:, None]
    scores = q @ k.transpose(-1, -2) / math.sqrt(e)
    scores = scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)
    z = scores.softmax(dim=-1) @ v
    side_by_side = z.transpose(1, 2).reshape(b, s, h * e)
    return side_by_side @ self.W_O.reshape(h * e, d) + self.b_O


@ex.alternative
def head_by_head(self, x):
    out = torch.zeros_like(x) + self.b_O
    hidden = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    for h in range(len(self.W_Q)):
        q, k, v = (
            x @ W[h] + b[h] for W, b in zip((self.W_Q, self.W_K, self.W_V), (self.b_Q, self.b_K, self.b_V))
        )
        scores = torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5
        scores[:, hidden] = -math.inf
        out = out + scores.softmax(-1) @ v @ self.W_O[h]
    return out


@ex.alternative
def einsum_all_the_way(self, x):
    q = einsum(x, self.W_Q, "b s d, h d e -> b s h e") + self.b_Q
    k = einsum(x, self.W_K, "b s d, h d e -> b s h e") + self.b_K
    v = einsum(x, self.W_V, "b s d, h d e -> b s h e") + self.b_V
    scores = einsum(q, k, "b q h e, b k h e -> b h q k") / math.sqrt(q.shape[-1])
    scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    pattern = weights / weights.sum(-1, keepdim=True)
    result = einsum(pattern, v, self.W_O, "b h q k, b k h e, h e d -> b q h d")
    return result.sum(dim=2) + self.b_O


ex.slip(
    "z_sums_over_queries",
    "z sums over the queries: the value of a key was handed out by its column of the pattern. Each query collects values by its "
    "row: sum over the keys.",
    "scores.softmax(dim=-1) @ v",
    "scores.softmax(dim=-1).transpose(-1, -2) @ v",
)


ex.slip(
    "b_O_once_per_head",
    "b_O was added once for every head. It belongs to the layer: add it once, after the sum over heads.",
    "+ self.b_O",
    "+ h * self.b_O",
)


ex.slip(
    "heads_averaged",
    "The heads were averaged. Their outputs are added up: each writes to the residual stream by itself.",
    "side_by_side @ self.W_O.reshape(h * e, d)",
    "side_by_side @ self.W_O.reshape(h * e, d) / h",
)


ex.slip(
    "axes_not_moved",
    "The heads were joined by a reshape while the head axis stood before the positions, so heads and positions are shuffled. "
    "Move the axes first: z.transpose(1, 2).reshape(b, s, h * e).",
    "z.transpose(1, 2).reshape",
    "z.reshape",
)


ex.slip(
    "heads_interleaved",
    "z lies head by head, but W_O was flattened the other way round (d_head before heads), so each head meets the rows of "
    "others.",
    "self.W_O.reshape(h * e, d)",
    "self.W_O.transpose(0, 1).reshape(h * e, d)",
)


ex.slip(
    "no_b_Q",
    "b_Q is missing.",
    " + self.b_Q[:, None]",
    "",
)


ex.slip(
    "no_b_V",
    "b_V is missing.",
    " + self.b_V[:, None]",
    "",
)


ex.slip(
    "no_b_O",
    "b_O is missing.",
    " + self.b_O",
    "",
)


ex.slip(
    "batches_mixed",
    "The result depends on the other texts of the batch: an einsum lost the batch axis of the keys and summed over it. Give q and "
    "k the same letter for it.",
    "q @ k.transpose(-1, -2)",
    "einsum(q, k, 'b h q e, other h k e -> b h q k')",
)


ex.slip(
    "keys_for_values",
    "The keys were averaged instead of the values.",
    "@ v",
    "@ k",
)


ex.slip(
    "no_mask",
    "The future is not masked: a position's output changes with the tokens after it.",
    "scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)",
    "scores",
)


ex.slip(
    "no_scale",
    "The scores were not divided by sqrt(d_head).",
    " / math.sqrt(e)",
    "",
)


ex.slip(
    "scaled_by_d_model",
    "The scores were divided by sqrt(d_model). Each is a dot product of d_head terms: sqrt(d_head).",
    "math.sqrt(e)",
    "math.sqrt(d)",
)


ex.slip(
    "softmax_over_queries",
    "The softmax runs over the queries; it belongs over the keys, the last axis of the scores.",
    "softmax(dim=-1)",
    "softmax(dim=-2)",
)


ex.slip(
    "first_head_only",
    "Only the first head's output is there.",
    "self.W_O.reshape(h * e, d)",
    "(self.W_O * (torch.arange(h) == 0)[:, None, None]).reshape(h * e, d)",
)


ex.slip(
    "adds_the_residual",
    "x was added to the result. That is the block's task (01.8): this is only what attention adds to the stream.",
    "+ self.b_O",
    "+ self.b_O + x",
)


ex.slip(
    "keys_from_W_Q",
    "The keys are made with W_Q. Keys have a matrix of their own, W_K.",
    "self.W_K",
    "self.W_Q",
)


ex.slip(
    "values_from_W_K",
    "The values are made with W_K. Values have a matrix of their own, W_V.",
    "self.W_V",
    "self.W_K",
)


ex.slip(
    "z_interleaved",
    "z was flattened with d_head before the heads, W_O the other way round, so each head meets the rows of others. Both must be in the "
    "order (h e).",
    "z.transpose(1, 2).reshape",
    "z.permute(0, 2, 3, 1).reshape",
)


ex.slip(
    "scores_reshaped",
    "The keys were reshaped to (e, s) instead of transposed, which cuts the same numbers into other vectors. Axes change places by "
    "transpose(-1, -2).",
    "k.transpose(-1, -2)",
    "k.reshape(b, h, e, s)",
)


ex.slip(
    "overflows",
    "It is right for small scores. The exponential of a score above 88 is infinite in float32, and infinity over infinity is NaN. "
    "Subtract each row's maximum first, or use softmax, which does.",
    "    scores = scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)\n",
    "    weights = scores.exp().tril()\n",
    "scores.softmax(dim=-1)",
    "(weights / weights.sum(-1, keepdim=True))",
)


ex.slip(
    "masked_after_the_softmax",
    "The mask came after the softmax, so the rows of the pattern no longer add up to 1. Put -inf into the scores before it.",
    "    scores = scores.masked_fill(torch.ones(s, s).triu(1).bool(), -math.inf)\n",
    "",
    "scores.softmax(dim=-1)",
    "scores.softmax(dim=-1).tril()",
)


ex.slip(
    "b_Q_for_b_K_and_b_V",
    "The biases of the queries were added to keys and values, too. Each has its own.",
    "self.b_K[:, None]",
    "self.b_Q[:, None]",
    "self.b_V[:, None]",
    "self.b_Q[:, None]",
)


ex.equivalent(
    "b_K adds the same number to all the scores of a query, which the softmax does not see: nothing depends on it.",
    ".W_K + self. => .W_K - self.",
    "e') + self.b_K => e') - self.b_K",
)
ex.equivalent(
    "All weights have as many heads.",
    "self.W_Q.shape => self.W_K.shape",
    "(self.W_Q)): => (self.W_K)):",
)
ex.equivalent(
    "The bias broadcasts when the first head is added, and there is always one.",
    "out = torch.zeros_like(x) + self.b_O => out = self.b_O",
)
ex.equivalent(
    "The triangle may have the axes of batch and heads as well, or one of them: it is the same in each.",
    ".shape[-2:], => .shape[:],",
    ".shape[-2:], => .shape[-3:],",
)
ex.equivalent("The result has four axes: axis 2 is the last but one.", "sum(dim=2) + => sum(dim=-2) +")
