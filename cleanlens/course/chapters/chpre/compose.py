"""Exercise pre.8: Two maps are one, and how much goes through."""

import numpy as np
import torch

from ...exercise import exercise

ex = exercise(
    "pre.8",
    "compose",
    title="Two maps are one, and how much goes through",
    objective="You can multiply maps in the right order, and read from singular values through how many directions they pass.",
    minutes=12,
    difficulty=3,
    importance=5,
    source="Associativity, (x A) B = x (A B); the rank is the number of singular values that are not zero. Elhage et al. 2021, 'Attention "
    "Heads are Independent and Additive' (W_V W_O as one map).",
    hints=[
        "A row vector meets the matrix to its right: x @ first, and then @ second. Which product does both?",
        "torch.linalg.svdvals(W) are the singular values. Rounding leaves some at 1e-7 of the largest, where on paper there is 0.",
        "W = first @ second; values = torch.linalg.svdvals(W); int((values > 1e-4 * values.max()).sum()).",
    ],
    why="For row vectors maps are written in the order in which they act. The rank is at most d_mid, the narrowest place, but it can be less: "
    "what `first` writes, `second` may not read. Zero is a matter of scale, so singular values are compared with the largest one.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)

    def pair(d_model, d_mid, scale=1.0):
        shapes = ((d_model, d_mid), (d_mid, d_model))
        return [scale * torch.randn(shape, generator=generator) for shape in shapes]

    half_read = pair(5, 4)  # of what is written one direction is read, then none
    half_read[0][:, 2:], half_read[1][:1] = 0.0, 0.0
    not_read = pair(4, 3)
    not_read[0][:, 1:], not_read[1][:1] = 0.0, 0.0
    moves = [
        torch.tensor([[0.0], [3.0], [0.0]]),
        torch.tensor([[2.0, 0.0, 0.0]]),
    ]  # from direction 1 to direction 0
    repeated = pair(5, 3)  # `first` is of rank 3, `second` of rank 2
    repeated[1][2] = repeated[1][1]
    nearly = [torch.diag(torch.tensor([1e-3, 2.0, 5e-5])), torch.eye(3)]  # small, and too small to count
    cases = [
        pair(6, 2),
        pair(4, 7),
        half_read,
        not_read,
        pair(5, 2, 1e-3),
        pair(6, 3, 100.0),
        moves,
        repeated,
        nearly,
    ]
    return [{"first": first, "second": second} for first, second in [*cases, pair(1, 2), pair(3, 3)]]


@ex.oracle
def _(first, second):
    d_model, d_mid = first.shape
    W = np.zeros((d_model, d_model))
    for i in range(d_model):
        for j in range(d_model):
            W[i, j] = sum(float(first[i, k]) * float(second[k, j]) for k in range(d_mid))
    values = np.linalg.svd(W, compute_uv=False)
    return torch.tensor(W, dtype=torch.float32), sum(1 for value in values if value > 1e-4 * values[0])


@ex.alternative
def counted(first, second):
    W = first @ second
    values = torch.linalg.svdvals(W)
    rank = int((values > 1e-4 * values.max()).sum())
    return W, rank


@ex.alternative
def by_matrix_rank(first, second):
    W = torch.einsum("im,mo->io", first, second)
    return W, torch.linalg.matrix_rank(W, rtol=1e-4).item()


@ex.alternative
def rows_are_where_the_basis_goes(first, second):
    W = torch.stack([e @ first @ second for e in torch.eye(len(first))])
    squares = torch.linalg.eigvalsh(W.double() @ W.double().T)  # of the singular values, in ascending order
    return W, sum(value > 1e-8 * squares[-1].item() for value in squares.tolist())


ex.slip(
    "the_other_order",
    "That is the map that does `second` first. A row vector stands on the left, so maps are written in the order in which they act: first @ "
    "second.",
    "first @ second",
    "second @ first",
)


ex.slip(
    "for_column_vectors",
    "The map is transposed, as for column vectors (W @ x). Here x is a row: x @ first @ second.",
    "return W, rank",
    "return W.T, rank",
)


ex.slip(
    "narrowest_place",
    "The rank was read from the shapes: the smaller of d_model and d_mid. That is the largest it can be; second may not read all "
    "that first writes.",
    "int((values > 1e-4 * values.max()).sum())",
    "min(first.shape)",
)


ex.slip(
    "d_mid",
    "The rank is d_mid, read from the shapes. It may be less: d_model may be smaller, and second may not read all that first writes.",
    "int((values > 1e-4 * values.max()).sum())",
    "first.shape[1]",
)


ex.slip(
    "another_threshold",
    "The rank was counted with torch's own threshold (about 1e-7 times the largest singular value and the size), which is another one: "
    "a singular value at 3e-5 of the largest counts there, and not here. matrix_rank takes rtol=1e-4.",
    "int((values > 1e-4 * values.max()).sum())",
    "int(torch.linalg.matrix_rank(W))",
)


ex.slip(
    "smaller_of_two_ranks",
    "The rank is that of whichever map has the smaller one. That is the largest it can be; second may not read all that first writes.",
    "int((values > 1e-4 * values.max()).sum())",
    "min(int(torch.linalg.matrix_rank(part, rtol=1e-4)) for part in (first, second))",
)


ex.slip(
    "rank_of_the_first",
    "The rank is that of `first` alone. How much goes through both is the rank of the product.",
    "torch.linalg.svdvals(W)",
    "torch.linalg.svdvals(first)",
)


ex.slip(
    "rounding_counted",
    "Every singular value above 0 was counted, and rounding leaves some that are 0 on paper. Count those above 1e-4 times the largest.",
    "values > 1e-4 * values.max()",
    "values > 0",
)


ex.slip(
    "fixed_threshold",
    "The singular values were compared with 1e-4 itself. Large or small weights then change the rank: compare with 1e-4 times the largest one.",
    "1e-4 * values.max()",
    "1e-4",
)


@ex.mistake(
    "Eigenvalues were counted. A map from one direction to another has no eigenvalue but 0, and yet something goes through. Count singular "
    "values."
)
def eigenvalues(first, second):
    W = first @ second
    values = torch.linalg.eigvals(W).abs()
    return W, int((values > 1e-4 * values.max()).sum())


ex.slip(
    "rank_first",
    "The rank stands in front. Asked for is (W, rank).",
    "return W, rank",
    "return rank, W",
)


ex.slip(
    "rank_as_a_tensor",
    "The rank is a tensor with one number. It should be an int: .item() or int(...).",
    "int((values > 1e-4 * values.max()).sum())",
    "(values > 1e-4 * values.max()).sum()",
)


ex.slip(
    "only_the_map",
    "That is the map alone. Its rank was asked for as well: return W, rank.",
    "return W, rank",
    "return W",
)


ex.equivalent(
    "W times its transpose has the same eigenvalues on either side.",
    "eigvalsh(W.double() @ W.double().T) => eigvalsh(W.double().T @ W.double())",
)
