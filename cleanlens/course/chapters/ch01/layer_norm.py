"""Exercise 01.1: Layer normalization."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from ...exercise import exercise
from .helpers import NO_GRADIENT, GivenLayerNorm, fill, numbers, out_of_reach, used_before

ex = exercise(
    "01.1",
    "LayerNorm.forward",
    supply={"LayerNorm": GivenLayerNorm},
    title="Layer normalization",
    objective="You can bring every vector to mean 0 and variance 1, and you know what eps is for.",
    minutes=15,
    version=3,
    atol=5e-5,
    difficulty=2,
    importance=4,
    source="Ba, Kiros and Hinton (2016), Layer Normalization, section 3, equations 3 and 4.",
    hints=[
        "Each position's vector is normalized by itself: all statistics are over the last axis, with keepdim=True.",
        "The variance is the mean of the squared deviations: divide by d, not by d - 1. torch.var does the latter "
        "unless you pass unbiased=False.",
        "(x - mean) / torch.sqrt(var + self.eps) * self.w + self.b, without changing x itself.",
    ],
    why="eps belongs inside the root, beside the variance: a vector with no variance at all is then divided by "
    "sqrt(eps), not by 0. Population variance is the definition (Ba et al., equation 3); with d = 768 the other one "
    "is off by a factor of 0.9993, small enough to be overlooked and large enough to spoil an exact comparison.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    shape = {"w": 1.5 + randn(5), "b": randn(5)}
    return [
        {"x": 3 * randn(2, 3, 5) + 2, **shape, "eps": 1e-5},
        {"x": 3e-3 * randn(2, 3, 5) + 0.02, **shape, "eps": 1e-5},  # the variance is about eps
        {"x": randn(2, 3, 1).expand(2, 3, 5).contiguous(), **shape, "eps": 1e-3},  # no variance at all
        {"x": 0.1 * randn(2, 3, 5), **shape, "eps": 1e-2},
        {"x": 1.5 * randn(4, 2, 5) + 150, **shape, "eps": 1e-5},  # a mean far above the spread
        {"x": 100 * randn(1, 3, 5), **shape, "eps": 1e-5},
        {"x": randn(2, 1, 5), **shape, "eps": 1e-5},
        {"x": randn(1, 1, 5), **shape, "eps": 1e-5},
    ]


@ex.oracle
def _(x, w, b, eps):
    y = torch.zeros_like(x)
    for row, position in ((r, p) for r in range(x.shape[0]) for p in range(x.shape[1])):
        vector = x[row, position].double().tolist()
        mean = sum(vector) / len(vector)
        variance = sum((number - mean) ** 2 for number in vector) / len(vector)
        for i, number in enumerate(vector):
            y[row, position, i] = (number - mean) / math.sqrt(variance + eps) * float(w[i]) + float(b[i])
    return {"vectors": y, NO_GRADIENT: "none"}


@ex.call
def _(answer, x, w, b, eps):
    norm = fill(answer(SimpleNamespace(d_model=len(w), eps=eps)), {"w": w, "b": b})
    vectors = used_before(norm, x)(x)
    return {"vectors": vectors, NO_GRADIENT: out_of_reach(norm, vectors)}


@ex.alternative
def with_var(self, x):
    mean = x.mean(dim=-1, keepdim=True)
    var = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + self.eps) * self.w + self.b


@ex.alternative
def torch_itself(self, x):
    return F.layer_norm(x, x.shape[-1:], self.w, self.b, self.eps)


@ex.alternative
def by_second_moment(self, x):
    x64 = x.double()
    mean = x64.mean(-1, keepdim=True)
    variance = (x64**2).mean(-1, keepdim=True) - mean**2
    return ((x64 - mean) * (variance + self.eps).rsqrt()).to(x.dtype) * self.w + self.b


ex.slip(
    "bessel",
    "The variance was divided by d - 1 (Bessel's correction, torch.var's default). LayerNorm divides by d: pass "
    "unbiased=False. With a large d the difference is tiny, and Hugging Face's logits are never quite met.",
    "unbiased=False",
    "unbiased=True",
)


ex.slip(
    "eps_outside_the_root",
    "eps was added after the root. It belongs inside: sqrt(var + eps). On ordinary vectors nobody notices; on a "
    "vector with little variance the two differ by a factor of several.",
    "torch.sqrt(var + self.eps)",
    "(torch.sqrt(var) + self.eps)",
)


ex.slip(
    "no_eps",
    "eps is missing. A vector whose numbers are all equal has variance 0, and you divide 0 by 0.",
    "var + self.eps",
    "var",
)


ex.slip(
    "eps_of_its_own",
    "The result is that of eps = 1e-5, whatever self.eps is (torch's layer_norm has this default, too). Use self.eps: a model "
    "comes with its own.",
    "self.eps",
    "1e-5",
)


ex.slip(
    "no_root",
    "You divided by the variance. The standard deviation is its square root.",
    "torch.sqrt(var + self.eps)",
    "(var + self.eps)",
)


ex.slip(
    "over_positions",
    "The mean and variance run over the positions. Each position's vector is normalized by itself, over its last "
    "axis; otherwise an early position would know about later ones.",
    "x.mean(dim=-1,",
    "x.mean(dim=1,",
    "x.var(dim=-1,",
    "x.var(dim=1,",
)


ex.slip(
    "over_the_batch",
    "The mean and variance run over the batch: that is batch normalization. Here a text must not depend on which other "
    "texts are in its batch; use the last axis.",
    "x.mean(dim=-1,",
    "x.mean(dim=0,",
    "x.var(dim=-1,",
    "x.var(dim=0,",
)


ex.slip(
    "over_the_whole_text",
    "One mean and one variance were taken for a whole text. Each position has its own: only the last axis.",
    "x.mean(dim=-1,",
    "x.mean(dim=(1, 2),",
    "x.var(dim=-1,",
    "x.var(dim=(1, 2),",
)


ex.slip(
    "not_centred",
    "The mean was not subtracted, in the variance either: that is RMSNorm (Zhang and Sennrich 2019), which Llama uses. "
    "GPT-2's LayerNorm centres first.",
    "x.var(dim=-1, keepdim=True, unbiased=False)",
    "x.square().mean(dim=-1, keepdim=True)",
    "(x - mean)",
    "x",
)


ex.slip(
    "numerator_not_centred",
    "The variance is right, but the vector it divides was not centred: subtract the mean there too.",
    "(x - mean)",
    "x",
)


ex.slip(
    "no_gain",
    "The gain self.w is missing.",
    " * self.w",
    "",
)


ex.slip(
    "no_bias",
    "The bias self.b is missing.",
    " + self.b",
    "",
)


ex.slip(
    "gain_and_bias_in_the_wrong_order",
    "The bias was added first and then multiplied by the gain. It is normalized * w + b.",
    "(x - mean) / torch.sqrt(var + self.eps) * self.w + self.b",
    "((x - mean) / torch.sqrt(var + self.eps) + self.b) * self.w",
)


@ex.mistake(
    "The answer is right, but x itself was changed. In a block, x is the residual stream, which the next line still "
    "needs: write x = x - mean, not x -= mean."
)
def in_place(self, x):
    x -= x.mean(dim=-1, keepdim=True)
    var = x.square().mean(dim=-1, keepdim=True)
    return x / torch.sqrt(var + self.eps) * self.w + self.b


ex.slip(
    "bias_subtracted",
    "The bias self.b was subtracted instead of added.",
    " + self.b",
    " - self.b",
)


ex.slip(
    "no_gradient",
    "The numbers are right, but no gradient can reach w and b (.data, .detach() and no_grad cut it off), so they would never learn.",
    "* self.w + self.b",
    "* self.w.data + self.b.data",
)


@ex.mistake(
    "It is right except where the mean is large beside the spread. There the mean of the squares less the square of the mean is the "
    "difference of two large, nearly equal numbers, and float32 has no digits left for it. Subtract the mean first, then square."
)
def one_pass_variance(self, x):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.square().mean(dim=-1, keepdim=True) - mean.square()
    return (x - mean) / torch.sqrt(variance.clamp(min=0) + self.eps) * self.w + self.b


@ex.mistake(
    "Each vector was divided by its length. The standard deviation is the length over sqrt(d): every number of the result is too "
    "small by that factor."
)
def length_for_deviation(self, x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.square().sum(dim=-1, keepdim=True) + self.eps).sqrt() * self.w + self.b


@ex.mistake(
    "The mean absolute deviation was taken for the standard deviation: square the deviations, average, and take the root."
)
def absolute_deviation(self, x):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.abs().mean(dim=-1, keepdim=True) + self.eps) * self.w + self.b
