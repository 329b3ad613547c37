"""Exercise 02.5: LayerNorm, component by component."""

import torch

from cleanlens import HookedTransformerConfig
from cleanlens.components.layer_norm import LayerNorm

from ...exercise import exercise
from .helpers import BATCH, POS

ex = exercise(
    "02.5",
    "apply_final_ln",
    title="LayerNorm, component by component",
    objective="You can pass the components of the stream through LayerNorm so that they still add up, and say what was "
    "held fixed for it.",
    minutes=15,
    difficulty=3,
    importance=5,
    version=3,
    source="Ba, Kiros and Hinton (2016), Layer Normalization, section 3. Identity: the components sum to the output of "
    "the LayerNorm on their sum, less its bias.",
    hints=[
        "With the scale given, what is left of LayerNorm (subtract the mean, divide by the scale, multiply by the gain) "
        "is linear in the stream. Do each of it to each component.",
        "The mean is over d_model, per component. scale is b s 1 and broadcasts over components and d_model. ln.w is the "
        "gain. ln.b is added once to the whole, so it belongs to no component.",
        "(stack - stack.mean(-1, keepdim=True)) / scale * ln.w",
    ],
    why="A function with f(x + y) = f(x) + f(y) is linear; LayerNorm is not, because everything it reads changes the "
    "standard deviation by which all is divided. But that is one number per position. Hold it at the value it had in the "
    "run and the rest is linear and exact for this run. What it hides: a component that makes the stream longer turns "
    "down everybody else, and that effect is in no component's account.",
)


def _layer_norm(seed, width):
    ln = LayerNorm(HookedTransformerConfig(n_layers=1, d_model=width, n_ctx=4, d_head=width, attn_only=True))
    generator = torch.Generator().manual_seed(500 + seed)
    with torch.no_grad():
        ln.w.copy_(0.5 + 1.5 * torch.rand(width, generator=generator))
        ln.b.copy_(torch.randn(width, generator=generator))
    return ln.requires_grad_(False)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)

    def case(*shape, size=1.0):  # component, batch, position, d_model
        stack = torch.randn(shape, generator=generator) * 2
        stack += torch.randn(shape[0], 1, 1, 1, generator=generator) * 3
        stack *= size
        ln = _layer_norm(seed, shape[-1])
        total = stack.sum(0)
        total = total - total.mean(-1, keepdim=True)
        return {"stack": stack, "scale": (total.square().mean(-1, keepdim=True) + ln.eps).sqrt(), "ln": ln}

    # As many components as positions or numbers: only so does a sum over the wrong axis give numbers at all.
    made = [case(4, BATCH, POS, 7), case(5, 1, 5, 8), case(1, 2, 1, 6), case(6, 3, 2, 6)]
    short = case(3, 2, 4, 7, size=1e-3)  # so short a stream that epsilon counts
    some = case(5, 2, 3, 7)
    return [*made, short, some | {"stack": some["stack"][:3]}]  # some components of the stream, not all


@ex.oracle
def _(stack, scale, ln):
    # Linear with the scale fixed: what the LayerNorm of the sum loses when one component is taken out.
    def linear_part(x):
        rows = [
            [
                (x[b, s] - sum(x[b, s].tolist()) / x.shape[-1]) / scale[b, s, 0].item() * ln.w
                for s in range(x.shape[1])
            ]
            for b in range(x.shape[0])
        ]
        return torch.stack([torch.stack(row) for row in rows])

    total = stack.double().sum(0)
    whole = linear_part(total)
    return torch.stack([whole - linear_part(total - component.double()) for component in stack]).float()


@ex.alternative
def in_one_line(stack, scale, ln):
    mean = stack.mean(dim=-1, keepdim=True)
    return (stack - mean) / scale * ln.w


@ex.alternative
def component_by_component(stack, scale, ln):
    normed = torch.empty_like(stack)
    for i, component in enumerate(stack):
        normed[i] = (component - component.mean(-1, keepdim=True)).div(scale).mul(ln.w)
    return normed


@ex.alternative
def by_a_centring_matrix(stack, scale, ln):
    d = stack.shape[-1]
    return stack @ ((torch.eye(d) - 1 / d) * ln.w) / scale


ex.slip(
    "scale_of_the_sum",
    "The components you were given were divided by the standard deviation of their own sum. When they are only some of the "
    "stream's components, the stream was longer. Divide by the scale that you are given: the one of the run.",
    "/ scale",
    "/ ((stack - mean).sum(0).square().mean(dim=-1, keepdim=True) + ln.eps).sqrt()",
)

ex.slip(
    "recomputed_per_component",
    "Every component was divided by a standard deviation of its own. Then all components come out equally long and their "
    "sum is not what the model computed. All share the scale that the whole stream had: the one you are given.",
    "/ scale",
    "/ ((stack - mean).square().mean(dim=-1, keepdim=True) + ln.eps).sqrt()",
)


@ex.mistake(
    "Every component went through the LayerNorm by itself, with a standard deviation of its own and the bias each time. "
    "That is not additive. Use the scale you are given, and no bias."
)
def calls_the_layer_norm(stack, scale, ln):
    return ln(stack)


ex.slip(
    "epsilon_twice",
    "Epsilon went into the scale a second time, which shows where the stream is short. The scale that you are given holds it already: "
    "divide by it as it is.",
    "/ scale",
    "/ (scale.square() + ln.eps).sqrt()",
)


ex.slip(
    "epsilon_on_top",
    "Epsilon was added to the scale, which shows where the stream is short. It stands inside the root, and the scale that you are given "
    "holds it already.",
    "/ scale",
    "/ (scale + ln.eps)",
)


ex.slip(
    "scale_of_the_last_position",
    "All positions were divided by the last position's scale. Every position has its own standard deviation.",
    "/ scale",
    "/ scale[:, -1:]",
)


ex.slip(
    "scale_of_the_first_position",
    "All positions were divided by the first position's scale. Every position has its own standard deviation, and the "
    "first is the least like the others.",
    "/ scale",
    "/ scale[:, :1]",
)


ex.slip(
    "scale_of_the_first_row",
    "All rows of the batch were divided by the first row's scale.",
    "/ scale",
    "/ scale[:1]",
)


ex.slip(
    "one_scale_for_all",
    "The scales were averaged into one. Every position of every row has its own.",
    "/ scale",
    "/ scale.mean()",
)


ex.slip(
    "no_centring",
    "No mean was subtracted. LayerNorm reads only what differs from the mean over d_model; a component that adds "
    "the same number everywhere adds nothing at all.",
    "(stack - mean)",
    "stack",
)


ex.slip(
    "mean_over_components",
    "The mean was taken over the components (axis 0). LayerNorm's mean is over d_model, the last axis.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.mean(dim=0, keepdim=True)",
)


ex.slip(
    "mean_of_the_whole_stream",
    "From each component the mean of the whole stream was subtracted, so the sum loses it once per component. Each "
    "component loses its own mean; these add up to the stream's.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.sum(dim=0).mean(dim=-1, keepdim=True)",
)


ex.slip(
    "bias_per_component",
    "ln.b was added to every component, so the sum holds it once per component. It is added once to the whole and "
    "belongs to no component.",
    "/ scale * ln.w",
    "/ scale * ln.w + ln.b",
)


ex.slip(
    "bias_shared_out",
    "ln.b was shared out evenly. The sum comes out as LayerNorm's full output, but each component is credited with "
    "something that no component computed. Leave the bias out.",
    "/ scale * ln.w",
    "/ scale * ln.w + ln.b / len(stack)",
)


ex.slip(
    "no_gain",
    "The gain ln.w is missing. (Once it is folded into W_U it is 1 and may be left out; here it is not.)",
    " * ln.w",
    "",
)


ex.slip(
    "root_of_the_scale",
    "The root of the scale was taken. It is a standard deviation already (hook_scale), not a variance.",
    "/ scale",
    "/ scale.sqrt()",
)


ex.slip(
    "times_the_scale",
    "The components were multiplied by the scale instead of divided.",
    "/ scale",
    "* scale",
)


@ex.mistake(
    "It came out right, but the stack itself was centred, in place, and the caller still needs it. stack - mean makes a new "
    "tensor; stack -= mean writes into the old one."
)
def centres_in_place(stack, scale, ln):
    stack -= stack.mean(-1, keepdim=True)
    return stack / scale * ln.w


ex.slip(
    "mean_over_positions",
    "The mean was taken over the positions. LayerNorm looks at one position at a time: its mean is over d_model, the last "
    "axis.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.mean(dim=-2, keepdim=True)",
)


ex.slip(
    "mean_over_the_batch",
    "The mean was taken over the batch (axis 1 of the stack). LayerNorm's mean is over d_model, the last axis.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.mean(dim=1, keepdim=True)",
)


ex.slip(
    "one_mean_for_all",
    "One mean was taken over everything. Each component has its own at each position: over d_model, with keepdim=True.",
    "stack.mean(dim=-1, keepdim=True)",
    "stack.mean()",
)


ex.slip(
    "gain_before_centring",
    "The gain was applied before the mean was taken, so what is subtracted is the mean of the scaled numbers. LayerNorm centres "
    "first, then divides, then multiplies by the gain.",
    "    return (stack - mean) / scale * ln.w",
    "    stack = stack * ln.w\n    return (stack - stack.mean(dim=-1, keepdim=True)) / scale",
)


ex.slip(
    "divides_by_the_gain",
    "The components were divided by the gain. LayerNorm multiplies by it.",
    "* ln.w",
    "/ ln.w",
)


ex.slip(
    "bias_for_gain",
    "The components were multiplied by the bias ln.b. The gain is ln.w.",
    "* ln.w",
    "* ln.b",
)


ex.slip(
    "scale_squared",
    "The scale was squared. It is a standard deviation, and that is what one divides by.",
    "/ scale",
    "/ scale.square()",
)


ex.slip(
    "returns_the_sum",
    "The components were summed. Keep them apart: the result has the shape of the stack.",
    "    return (stack - mean) / scale * ln.w",
    "    return ((stack - mean) / scale * ln.w).sum(0)",
)


ex.slip(
    "axes_of_size_one_lost",
    "With one component, one sequence or one position the axes no longer fit: a squeeze() without an axis drops every axis of "
    "size 1.",
    "    return (stack - mean) / scale * ln.w",
    "    return ((stack - mean) / scale * ln.w).squeeze()",
)
