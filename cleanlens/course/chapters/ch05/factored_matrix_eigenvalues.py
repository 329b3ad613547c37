"""Exercise 05.3: Eigenvalues of a circuit."""

from itertools import pairwise

import numpy as np
import torch

from ...exercise import exercise
from .helpers import GivenFactoredMatrix, low_rank, watched

ex = exercise(
    "05.3",
    "FactoredMatrix.eigenvalues",
    title="Eigenvalues of a circuit",
    objective="You can get the nonzero eigenvalues of an n x n circuit from a matrix of the size of one head.",
    minutes=10,
    difficulty=3,
    importance=4,
    version=2,
    source="AB and BA have the same nonzero eigenvalues: if ABx = λx then BA(Bx) = λ(Bx). Elhage et al. 2021, section "
    '"Copying / primitive in-context learning" and its heading "Detecting copying behavior".',
    supply={"FactoredMatrix": GivenFactoredMatrix},
    atol=1e-3,
    rtol=1e-3,
    hints=[
        "If A B x = λ x, multiply both sides by B from the left. Which matrix has the eigenvector B x?",
        "torch.linalg.eigvals of an m x m matrix; it is not symmetric, so the eigenvalues are complex.",
    ],
    why="B A is m x m and has every eigenvalue of A B that is not zero. The matrix is not symmetric: it rotates as well as "
    "stretches, and a rotation shows as a pair of complex eigenvalues.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    while True:  # eigenvalues that can be put in an order: real parts well apart, at least one complex pair
        A, B = low_rank(g, 13, 4, 13, (2,))
        values = torch.linalg.eigvals((B @ A).double())
        real = [sorted({round(x, 8) for x in row}) for row in values.real.tolist()]
        apart = all(b - a > 0.1 for row in real for a, b in pairwise(row))
        if apart and all((values.imag.abs() > 0.1).sum(-1) == 2) and values.real.min() < -0.5:
            break
    symmetric = torch.linalg.qr(low_rank(g, 9, 3, 3)[0]).Q * torch.tensor(
        [3.0, 2.0, 1.0]
    )  # all eigenvalues real
    line = low_rank(g, 6, 1, 6, (1,))
    return [
        {"A": A[0], "B": B[0]},
        {"A": A, "B": B},
        {"A": symmetric, "B": symmetric.mT.contiguous()},
        {"A": line[0], "B": line[1]},
    ]


def in_order(values):
    """Complex numbers in the order of their real, then their imaginary parts; pairs share their real part."""
    z = values.detach().numpy()
    order = np.lexsort((z.imag.round(2), z.real.round(2)))
    return torch.from_numpy(np.take_along_axis(z, order, -1))


@ex.oracle
def _(A, B):
    M = torch.einsum("...lm,...mr->...lr", A.double(), B.double())
    values = torch.linalg.eigvals(M)  # of the full matrix: n - m of them are zero
    order = values.abs().argsort(dim=-1, descending=True)[..., : A.shape[-1]]
    return {
        "in order": in_order(values.gather(-1, order)).to(torch.complex64),
        "as large as the product": False,
    }


@ex.call
def _(answer, A, B):
    F = answer(A, B)
    with watched() as made:
        values = F.eigenvalues
    return {"values": values, "largest": int(made.largest)}


@ex.measure
def _(observed, A, B):
    too_large = observed["largest"] >= A.shape[-2] * B.shape[-1]
    return {"in order": in_order(observed["values"]), "as large as the product": too_large}


@ex.alternative
def of_BA(self):
    return torch.linalg.eigvals(self.B @ self.A)


@ex.alternative
def of_its_transpose(self):
    return torch.linalg.eig(self.A.mT @ self.B.mT).eigenvalues


@ex.alternative
def of_the_triangular_core(self):
    Q, R = torch.linalg.qr(self.A)
    return torch.linalg.eigvals(R @ self.B @ Q)


ex.slip(
    "symmetric_solver",
    "eigvalsh is for symmetric matrices; it reads one triangle of yours and believes the other. B A is not symmetric: use "
    "torch.linalg.eigvals, and expect complex numbers.",
    "eigvals(",
    "eigvalsh(",
)


ex.slip(
    "real_parts",
    "The imaginary parts were dropped. An eigenvalue of 0.1 + 2i is a rotation, not something small.",
    "torch.linalg.eigvals(self.B @ self.A)",
    "torch.linalg.eigvals(self.B @ self.A).real",
)


ex.slip(
    "absolute_values",
    "These are absolute values. The sign is what tells copying (positive) from its opposite (negative).",
    "torch.linalg.eigvals(self.B @ self.A)",
    "torch.linalg.eigvals(self.B @ self.A).abs()",
)


ex.slip(
    "full_size",
    "These are the eigenvalues of the full n x n product: all but m of them are zero up to rounding, and it takes n^3 "
    "steps. The m x m matrix B A has all the others.",
    "self.B @ self.A",
    "self.A @ self.B",
)


ex.slip(
    "singular_values",
    "These are singular values: never negative, and about how much a vector is stretched, not about whether it comes "
    "back as itself. Use torch.linalg.eigvals.",
    "torch.linalg.eigvals(self.B @ self.A)",
    "torch.linalg.svdvals(self.B @ self.A)",
)


@ex.mistake(
    "The values are right, but the full n x n product was made and decomposed to get them. The m x m matrix B A has the "
    "same nonzero eigenvalues."
)
def full_size_cut_down(self):
    values = torch.linalg.eigvals(self.A @ self.B)
    order = values.abs().argsort(dim=-1, descending=True)[..., : self.A.shape[-1]]
    return values.gather(-1, order)


ex.slip(
    "pair_of_eig",
    "torch.linalg.eig returns two things, eigenvalues and eigenvectors. Only the eigenvalues are asked for.",
    "torch.linalg.eigvals(self.B @ self.A)",
    "torch.linalg.eig(self.B @ self.A)",
)


ex.slip(
    "absolute_values_as_complex",
    "These are absolute values: all real and none negative, although the dtype is complex. The sign is what tells copying (positive) from "
    "its opposite (negative), and the angle what is a rotation.",
    "torch.linalg.eigvals(self.B @ self.A)",
    "torch.linalg.eigvals(self.B @ self.A).abs().to(torch.complex64)",
)
