"""Exercise 06.3: A scale from 0 to 1."""

import torch

from ...exercise import exercise

ex = exercise(
    "06.3",
    "normalised_metric",
    title="A scale from 0 to 1",
    objective="You can put a patched logit difference on a scale where 0 is the corrupted run and 1 the clean one.",
    minutes=8,
    version=3,
    difficulty=1,
    importance=4,
    source="The linear map with f(corrupted) = 0 and f(clean) = 1, as in the patching demos and in Heimersheim & Nanda 2024, section 4.",
    hints=[
        "Average each over the prompts first; then (x - corrupted) / (clean - corrupted).",
        "Keep it a tensor: no .item(). Exercise 06.11 takes its gradient.",
    ],
    why="A ratio of means is a scale that all prompts share. A mean of ratios would let one prompt whose two runs hardly differ, a "
    "denominator near 0, drown all the others.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    x, clean, corrupted = torch.randn(5, generator=g), torch.rand(5, generator=g), torch.rand(5, generator=g)
    clean, corrupted = 4 * clean + 1.5, -3 * corrupted - 0.5
    one = slice(1)
    return [
        {"x": x, "clean": clean, "corrupted": corrupted},
        {"x": x + 9, "clean": clean, "corrupted": corrupted},  # above 1
        {"x": x - 9, "clean": clean, "corrupted": corrupted},  # below 0
        {"x": x, "clean": corrupted, "corrupted": clean},  # the clean run is the lower one
        {"x": 1e-6 * x, "clean": 1e-6 * clean, "corrupted": 1e-6 * corrupted},  # a metric of small numbers
        {"x": x[one], "clean": clean[one], "corrupted": corrupted[one]},
    ]


@ex.oracle
def _(x, clean, corrupted):
    n = len(x)
    total = sum(clean.tolist()) - sum(corrupted.tolist())
    value = (sum(x.tolist()) - sum(corrupted.tolist())) / total
    return {"value": torch.tensor(value), "gradient": torch.full((n,), 1 / total)}


@ex.call
def _(answer, x, clean, corrupted):
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        value = answer(leaf, clean, corrupted)
        gradient = None
        if isinstance(value, torch.Tensor) and value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return {"value": value, "gradient": gradient}


@ex.alternative
def ratio_of_means(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return (x.mean() - low) / (high - low)


@ex.alternative
def ratio_of_sums(x, clean, corrupted):
    return (x - corrupted).sum() / (clean - corrupted).sum()


ex.slip(
    "flipped",
    "0 and 1 are exchanged: the corrupted run must give 0, the clean one 1.",
    "(x.mean() - low) / (high - low)",
    "(x.mean() - high) / (low - high)",
)


ex.slip(
    "wrong_denominator",
    "Divided by the clean value alone. The clean run then does not come out at 1: divide by clean - corrupted.",
    "(high - low)",
    "high",
)


ex.slip(
    "zero_not_shifted",
    "The corrupted value was not subtracted above the line, so the corrupted run does not give 0.",
    "(x.mean() - low)",
    "x.mean()",
)


ex.slip(
    "guarded_denominator",
    "A small number was added to what is divided by, as if it might be 0, and where it is itself small that shows. It is never 0 here: the two means differ.",
    "(high - low)",
    "(high - low + 1e-6)",
)


ex.slip(
    "negative_denominator",
    "The denominator is corrupted - clean: the clean run gives -1.",
    "(high - low)",
    "(low - high)",
)


ex.slip(
    "a_float",
    "That is a Python number. Return a tensor: a number (what .item() and float() give) has no gradient, and patching by gradients needs one.",
    "return (x.mean() - low) / (high - low)",
    "return ((x.mean() - low) / (high - low)).item()",
)


ex.slip(
    "detached",
    "The value is right but cut off from x: nothing can be differentiated through it any more. .detach(), .data, .item() and torch.tensor(...) do that; so does torch.no_grad().",
    "x.mean()",
    "x.detach().mean()",
)


ex.slip(
    "one_per_prompt",
    "One value per prompt came back. Average over the prompts: one number for the batch.",
    "x.mean()",
    "x",
)


@ex.mistake(
    "The ratio was taken prompt by prompt and then averaged. A prompt whose clean and corrupted runs hardly differ then counts most. "
    "Average first, divide once."
)
def mean_of_ratios(x, clean, corrupted):
    return ((x - corrupted) / (clean - corrupted)).mean()


@ex.mistake(
    "The result was cut to the range 0..1. Values outside it mean something: below 0 is more corrupted than corrupted, above 1 "
    "better than clean."
)
def clipped(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return ((x.mean() - low) / (high - low)).clamp(0, 1)


ex.slip(
    "size_of_the_gap",
    "The denominator has lost its sign: when the clean run's mean is below the corrupted run's, the clean run comes out at -1. Keep clean - "
    "corrupted as it is.",
    "(high - low)",
    "(high - low).abs()",
)


ex.slip(
    "summed_over_prompts",
    "x was summed, the two runs were averaged: the number grows with the batch. Average all three.",
    "x.mean()",
    "x.sum()",
)


@ex.mistake("The result has one axis, [1], or more. One number is asked for: a tensor without axes.")
def kept_an_axis(x, clean, corrupted):
    low, high = corrupted.mean(0, keepdim=True), clean.mean(0, keepdim=True)
    return (x.mean(0, keepdim=True) - low) / (high - low)


ex.slip(
    "share_of_the_clean_value",
    "That is a share of the clean value: the corrupted run does not come out at 0. Subtract corrupted above and below the line.",
    "(x.mean() - low) / (high - low)",
    "x.mean() / high",
)


ex.equivalent(
    "The value is one number and has no axes.",
    "return (x.mean() - low) / (high - low) => return ((x.mean() - low) / (high - low)).squeeze()",
    "x - corrupted).sum() / (clean - corrupted).sum => (x - corrupted).sum() / (clean - corrupted).sum()).squeeze",
    "return (x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean()) => return ((x.mean() - corrupted.mean()) / (clean.mean() - corrupted.mean())).squeeze()",
)
