"""Exercise 01.7: The MLP."""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from einops import einsum

from ...exercise import exercise
from .helpers import NO_GRADIENT, GivenMLP, fill, numbers, out_of_reach, used_before

ex = exercise(
    "01.7",
    "MLP.forward",
    supply={"MLP": GivenMLP},
    title="The MLP",
    objective="You can write the layer that works on each position by itself, with GPT-2's own nonlinearity.",
    minutes=10,
    version=3,
    atol=1e-4,
    difficulty=2,
    importance=4,
    source="Vaswani et al. (2017), section 3.3; Hendrycks and Gimpel (2016), Gaussian Error Linear Units, section 2.",
    hints=[
        "Two products with a nonlinearity between them: in, activate, out.",
        "GPT-2's GELU is the tanh formula of the docstring; in torch it is F.gelu(x, approximate='tanh'). Without that argument "
        "you get the erf version, which differs in the fourth digit.",
    ],
    why="The tanh formula was a fast stand-in for the Gaussian's distribution function; GPT-2 was trained with it, so it has become the "
    "definition. A difference of 0.0005 per neuron grows to a visible one over thousands of neurons and a dozen layers.",
)


@ex.inputs
def _(seed):
    randn = numbers(seed)
    weights = {"W_in": randn(5, 7), "b_in": randn(7), "W_out": randn(7, 5), "b_out": randn(5)}
    # and last: neurons at about +-50, where the exponentials in a tanh written out are infinite
    inputs = [randn(2, 3, 5), randn(1, 4, 5), randn(3, 1, 5), randn(1, 1, 5), 25 * randn(2, 3, 5)]
    return [{"x": x, "weights": weights} for x in inputs]


@ex.oracle
def _(x, weights):
    def gelu(n):
        return 0.5 * n * (1 + math.tanh(math.sqrt(2 / math.pi) * (n + 0.044715 * n**3)))

    W_in, b_in, W_out, b_out = (w.tolist() for w in weights.values())
    out = torch.zeros_like(x)
    for b, text in enumerate(x.tolist()):
        for s, vector in enumerate(text):
            neurons = [
                gelu(sum(n * row[m] for n, row in zip(vector, W_in)) + b_in[m]) for m in range(len(b_in))
            ]
            for d in range(len(b_out)):
                out[b, s, d] = sum(n * row[d] for n, row in zip(neurons, W_out)) + b_out[d]
    return {"vectors": out, NO_GRADIENT: "none"}


@ex.call
def _(answer, x, weights):
    d, m = weights["W_in"].shape
    mlp = fill(answer(SimpleNamespace(d_model=d, d_mlp=m)), weights)
    vectors = used_before(mlp, x)(x)
    return {"vectors": vectors, NO_GRADIENT: out_of_reach(mlp, vectors)}


@ex.alternative
def written_out(self, x):
    pre = x @ self.W_in + self.b_in
    inner = math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)
    post = 0.5 * pre * (1 + torch.tanh(inner))
    return post @ self.W_out + self.b_out


@ex.alternative
def with_functional(self, x):
    return F.linear(F.gelu(F.linear(x, self.W_in.T, self.b_in), approximate="tanh"), self.W_out.T, self.b_out)


@ex.alternative
def neuron_by_neuron(self, x):
    out = self.b_out.expand_as(x).clone()
    for m in range(len(self.b_in)):
        neuron = F.gelu(einsum(x, self.W_in[:, m], "b s d, d -> b s") + self.b_in[m], approximate="tanh")
        out += neuron[..., None] * self.W_out[m]
    return out


ex.slip(
    "relu",
    "The nonlinearity is ReLU (Vaswani et al. 2017). GPT-2 uses GELU in its tanh form.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.relu(pre)",
)


ex.slip(
    "erf_gelu",
    "This is the exact GELU, with erf. GPT-2 was trained with the tanh approximation: F.gelu(x, approximate='tanh'). They differ by "
    "up to 0.0005 per neuron.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.gelu(pre)",
)


ex.slip(
    "sigmoid_gelu",
    "This is the other approximation, x * sigmoid(1.702 x). GPT-2 uses the one with tanh.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre * torch.sigmoid(1.702 * pre)",
)


ex.slip(
    "silu",
    "The nonlinearity is SiLU, x * sigmoid(x). GPT-2 uses GELU in its tanh form.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "F.silu(pre)",
)


ex.slip(
    "no_nonlinearity",
    "There is no nonlinearity: two matrices in a row are one matrix.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
)


ex.slip(
    "no_cube",
    "In the formula the cubic term is missing or has another power: pre + 0.044715 * pre**3.",
    "pre**3",
    "pre**2",
)


ex.slip(
    "no_half",
    "The factor 0.5 is missing.",
    "0.5 * pre",
    "pre",
)


ex.slip(
    "no_root_in_the_formula",
    "The root is missing: the factor is sqrt(2/pi).",
    "math.sqrt(2 / math.pi)",
    "(2 / math.pi)",
)


ex.slip(
    "activation_after_W_out",
    "The nonlinearity comes after W_out. It belongs between the two products, on the m neurons.",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
    "post @ self.W_out + self.b_out",
    "F.gelu(post @ self.W_out + self.b_out, approximate='tanh')",
)


ex.slip(
    "activation_on_the_input",
    "The nonlinearity was applied to the input. It belongs on the neurons, after W_in and b_in.",
    "x @ self.W_in",
    "F.gelu(x, approximate='tanh') @ self.W_in",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "pre",
)


ex.slip(
    "b_in_after_the_activation",
    "b_in was added after the nonlinearity. It shifts the point at which a neuron begins to fire: add it before.",
    "x @ self.W_in + self.b_in",
    "x @ self.W_in",
    "post @ self.W_out",
    "(post + self.b_in) @ self.W_out",
)


ex.slip(
    "no_b_in",
    "b_in is missing.",
    " + self.b_in",
    "",
)


ex.slip(
    "no_b_out",
    "b_out is missing.",
    " + self.b_out",
    "",
)


ex.slip(
    "adds_the_residual",
    "x was added to the result. That is the block's task (01.8): this is only what the MLP adds to the stream.",
    "+ self.b_out",
    "+ self.b_out + x",
)


ex.slip(
    "root_of_2_over_pi",
    "In the formula the root was taken of the 2 alone. The factor is sqrt(2/pi) = 0.798, not sqrt(2)/pi = 0.450.",
    "math.sqrt(2 / math.pi)",
    "math.sqrt(2) / math.pi",
)


ex.slip(
    "cube_not_scaled",
    "In the formula 0.044715 is missing: pre + 0.044715 * pre**3.",
    "0.044715 * pre**3",
    "pre**3",
)


ex.slip(
    "cube_left_out",
    "In the formula the cubic term is missing: pre + 0.044715 * pre**3.",
    "(pre + 0.044715 * pre**3)",
    "pre",
)


ex.slip(
    "tanh_only",
    "The nonlinearity is tanh itself. GELU lets x through in part: 0.5 * x * (1 + tanh(...)).",
    "0.5 * pre * (1 + torch.tanh(inner))",
    "torch.tanh(pre)",
)


ex.slip(
    "tanh_by_exponentials",
    "It is right for small numbers. A tanh written out as (e^2x - 1) / (e^2x + 1) is infinity over infinity for large ones: NaN. "
    "torch.tanh is safe.",
    "torch.tanh(inner)",
    "((2 * inner).exp() - 1) / ((2 * inner).exp() + 1)",
)


ex.slip(
    "activated_twice",
    "The nonlinearity was applied twice: on the neurons and again after W_out.",
    "post @ self.W_out + self.b_out",
    "F.gelu(post @ self.W_out + self.b_out, approximate='tanh')",
)
