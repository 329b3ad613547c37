"""Exercise pre.7: Taking a direction out."""

import torch

from ...exercise import exercise

ex = exercise(
    "pre.7",
    "project_out",
    title="Taking a direction out",
    objective="You can split a vector into its part along a direction and the rest, and keep the rest.",
    minutes=8,
    difficulty=2,
    importance=4,
    version=2,
    source="The identity x = (x . u) u + rest with rest . u = 0, for u of length 1.",
    hints=[
        "How far does x go along the direction? That is a dot product with a vector of length 1.",
        "unit = direction / direction.norm(); x @ unit is one number per vector. Which shape must it have to multiply unit?",
        "x - (x @ unit)[..., None] * unit.",
    ],
    why="x @ unit is a length, times unit it is a vector again: the part of x along the direction. The direction's own length must not "
    "matter, and it appears twice, in the dot product and in the vector that is subtracted: hence unit in both, or a division "
    "by the square of the length.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    for shape, length in (
        ((3, 5), 3.0),
        ((4,), 0.01),
        ((2, 3, 6), 100.0),
        ((3, 3), 0.5),
        ((1, 2), 2.0),
        ((2, 1), 3.0),
        ((3, 4), 1e-6),
        ((2, 4), 1e6),
    ):
        x = torch.randn(shape, generator=generator)
        direction = torch.randn(shape[-1], generator=generator) + 0.1
        cases.append({"x": x, "direction": length * direction / direction.norm()})
    x, direction = torch.randn(3, 4, generator=generator), torch.tensor([0.0, 0.0, -2.0, 0.0])
    x[1] = torch.tensor(
        [0.0, 0.0, 5.0, 0.0]
    )  # all of it lies along the direction; the next one at right angles
    x[2, 2] = 0.0
    return [*cases, {"x": x, "direction": direction}]


@ex.oracle
def _(x, direction):
    square = sum(u * u for u in direction.double().tolist())
    rows = []
    for row in x.reshape(-1, x.shape[-1]).double().tolist():
        share = sum(a * u for a, u in zip(row, direction.double().tolist())) / square
        rows.append([a - share * u for a, u in zip(row, direction.double().tolist())])
    return torch.tensor(rows).reshape(x.shape)


@ex.alternative
def along_a_unit(x, direction):
    unit = direction / direction.norm()
    along = x @ unit
    return x - along[..., None] * unit


@ex.alternative
def divided_by_the_square(x, direction):
    share = (x * direction).sum(-1, keepdim=True) / (direction**2).sum()
    return x - share * direction


@ex.alternative
def as_a_matrix(x, direction):
    projection = torch.outer(direction, direction) / (direction @ direction)
    return x @ (torch.eye(len(direction)) - projection)


ex.slip(
    "length_not_divided_out",
    "The direction was used with the length that it has. Divide it by its norm first.",
    "direction / direction.norm()",
    "direction",
)


ex.slip(
    "guarded_length",
    "A small number was added to what is divided by, as if it might be 0, and where it is itself small that shows. It is never 0 here: the direction has a length.",
    "direction / direction.norm()",
    "direction / (direction.norm() + 1e-8)",
)


ex.slip(
    "length_divided_out_once",
    "The length was divided out once, but it comes in twice: in the dot product and in the vector that is subtracted.",
    "along[..., None] * unit",
    "along[..., None] * direction",
)


ex.slip(
    "length_divided_out_three_times",
    "The length was divided out too often: of a direction that has length 1 already the dot product is not divided any more.",
    "x @ unit",
    "x @ unit / direction.norm()",
)


ex.slip(
    "the_part_itself",
    "That is the part along the direction. What is left without it was asked for.",
    "x - along[..., None] * unit",
    "along[..., None] * unit",
)


ex.slip(
    "mirrored",
    "The part along the direction was subtracted twice, which mirrors the vector. Once leaves 0 of it.",
    "x - along[..., None] * unit",
    "x - 2 * along[..., None] * unit",
)


ex.slip(
    "added",
    "The part along the direction was added, so there is twice of it. It is subtracted.",
    "x - along",
    "x + along",
)


ex.slip(
    "how_far",
    "That is how far each vector goes along the direction: one number each. Subtract that much of the direction.",
    "x - along[..., None] * unit",
    "along",
)


ex.slip(
    "subtracts_the_direction",
    "The same vector, the direction of length 1, was subtracted from every x. How much of it is in x is the dot product.",
    "along[..., None] * unit",
    "unit",
)


ex.slip(
    "cosine",
    "The cosine was taken for the dot product: x was brought to length 1 as well. How far x goes along the direction depends on its length.",
    "x @ unit",
    "torch.nn.functional.normalize(x, dim=-1) @ unit",
)


ex.slip(
    "sign_lost",
    "The part along the direction was taken without its sign, so where x points the other way it was doubled.",
    "along[..., None] * unit",
    "along.abs()[..., None] * unit",
)


ex.slip(
    "changes_x",
    "The answer is right, but x itself was changed, as `-=` does. Whoever called you still needs it.",
    "return x - along[..., None] * unit",
    "x -= along[..., None] * unit\n    return x",
)


ex.equivalent(
    "Tensors have no @ in place: `x @= ...` makes a new one.",
    "return x @ (torch.eye(len(direction)) - projection) => x @= torch.eye(len(direction)) - projection return x",
)
ex.equivalent("The outer product of a vector with itself is symmetric.", "projection) => projection).mT")
