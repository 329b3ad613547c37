"""Exercise 05.2: Singular values from a small core."""

import torch

from ...exercise import exercise
from .helpers import GivenFactoredMatrix, low_rank, watched

ex = exercise(
    "05.2",
    "FactoredMatrix.svd",
    "FactoredMatrix.norm",
    title="Singular values from a small core",
    objective="You can decompose a huge matrix of small rank exactly, by rotating its factors until only a small core is "
    "left.",
    minutes=20,
    difficulty=4,
    importance=4,
    version=3,
    source="A = Q_A R_A and B^T = Q_B R_B give A B = Q_A (R_A R_B^T) Q_B^T; the Qs have orthonormal columns, so the core "
    "has all singular values (Golub & Van Loan, Matrix Computations, sections 2.4 and 5.2).",
    supply={"FactoredMatrix": GivenFactoredMatrix},
    atol=5e-5,
    hints=[
        "torch.linalg.qr(A) gives Q with orthonormal columns [l, m] and a small R [m, m]. Do the same with the transpose "
        "of B.",
        "Only the core R_A @ R_B^T, [m, m], needs torch.linalg.svd. Rotate its U by Q_A and its V by Q_B.",
        "torch.linalg.svd returns U, S, Vh with Vh = V^T. We return V, [r, k]: Q_B @ Vh.mT. The norm is sqrt(sum of S^2).",
    ],
    why="Multiplying by a matrix with orthonormal columns changes no length, so Q_A and Q_B carry no singular values: they "
    "all sit in the m x m core. The Frobenius norm is the length of the vector of singular values.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    single, batch = low_rank(g, 17, 3, 19), low_rank(g, 17, 3, 19, (2,))
    lines = low_rank(g, 6, 1, 8, (1, 2))
    A, B = low_rank(g, 15, 4, 13)
    lower = A[:, [0, 1, 0, 1]], B  # of rank 2
    exactly = A * torch.tensor([1.0, 1.0, 0.0, 0.0]), B.clone()  # with singular values that are exactly zero
    return [
        {"what": what, "A": A, "B": B}
        for what in ("svd", "norm")
        for A, B in (single, batch, lines, lower, exactly)
    ]


@ex.oracle
def _(what, A, B):
    M = torch.einsum("...lm,...mr->...lr", A.double(), B.double())
    if what == "norm":
        return {"norm": (M**2).sum((-2, -1)).sqrt().float(), "as large as the product": False}
    k, leading = A.shape[-1], list(A.shape[:-2])
    squares = torch.linalg.eigvalsh(M @ M.mT).flip(-1)[..., :k].clamp(min=0)  # the squared singular values
    identity = torch.eye(k).expand(*leading, k, k)
    return {
        "shapes of U, S, V": [[*leading, A.shape[-2], k], [*leading, k], [*leading, B.shape[-1], k]],
        "S": squares.sqrt().float(),
        "U diag(S) V^T": M.float(),
        "U^T U": identity,
        "V^T V": identity,
        "as large as the product": False,
    }


@ex.call
def _(answer, what, A, B):
    F = answer(A, B)
    with watched() as made:
        result = getattr(F, what)()
    return {"result": tuple(result) if what == "svd" else result, "largest": int(made.largest)}


@ex.measure
def _(observed, what, A, B):
    too_large = observed["largest"] >= A[..., 0].numel() * B.shape[-1]
    if what == "norm":
        return {"norm": observed["result"], "as large as the product": too_large}
    U, S, V = observed["result"]
    fits = U.shape[-1] == S.shape[-1] == V.shape[-1]
    return {  # singular vectors are free up to a sign, so what does not depend on it is compared
        "shapes of U, S, V": [list(U.shape), list(S.shape), list(V.shape)],
        "S": S,
        "U diag(S) V^T": (U * S[..., None, :]) @ V.mT if fits else None,
        "U^T U": U.mT @ U,
        "V^T V": V.mT @ V,
        "as large as the product": too_large,
    }


@ex.alternative(of="FactoredMatrix.svd")
def two_qrs(self):
    Q_A, R_A = torch.linalg.qr(self.A)
    Q_B, R_B = torch.linalg.qr(self.B.mT)
    U, S, Vh = torch.linalg.svd(R_A @ R_B.mT, full_matrices=False)
    return Q_A @ U, S, Q_B @ Vh.mT


@ex.alternative(of="FactoredMatrix.svd")
def three_svds(self):
    U_A, S_A, Vh_A = torch.linalg.svd(self.A, full_matrices=False)
    U_B, S_B, Vh_B = torch.linalg.svd(self.B, full_matrices=False)
    core = S_A[..., :, None] * (Vh_A @ U_B) * S_B[..., None, :]
    U, S, Vh = torch.linalg.svd(core)
    return U_A @ U, S, (Vh @ Vh_B).mT


@ex.alternative(of="FactoredMatrix.norm")
def length_of_the_singular_values(self):
    R_A, R_B = torch.linalg.qr(self.A).R, torch.linalg.qr(self.B.mT).R
    S = torch.linalg.svdvals(R_A @ R_B.mT)
    return (S**2).sum(dim=-1).sqrt()


@ex.alternative(of="FactoredMatrix.norm")
def trace_of_two_gram_matrices(self):
    gram_A, gram_B = self.A.mT @ self.A, self.B @ self.B.mT
    return (gram_A * gram_B.mT).sum(dim=(-2, -1)).sqrt()


@ex.alternative(of="FactoredMatrix.norm")
def norm_of_the_core(self):
    R_A, R_B = torch.linalg.qr(self.A).R, torch.linalg.qr(self.B.mT).R
    return (R_A @ R_B.mT).norm(dim=(-2, -1))


ex.slip(
    "Vh_for_V",
    "The third tensor is V transposed. Here V has the right singular vectors as columns, [r, k], as U has the left ones: "
    "transpose what torch.linalg.svd calls Vh.",
    "Q_B @ Vh.mT",
    "Vh @ Q_B.mT",
    of="FactoredMatrix.svd",
)


ex.slip(
    "Vh_not_transposed_in_the_core",
    "The shapes are right, but U diag(S) V^T is not A B: the core's Vh was not transposed before Q_B rotated it. "
    "V = Q_B @ Vh.mT.",
    "Q_B @ Vh.mT",
    "Q_B @ Vh",
    of="FactoredMatrix.svd",
)


ex.slip(
    "ascending",
    "The singular values are in rising order. Put the largest first, and U and V in the same order.",
    "return Q_A @ U, S, Q_B @ Vh.mT",
    "return (Q_A @ U).flip(-1), S.flip(-1), (Q_B @ Vh.mT).flip(-1)",
    of="FactoredMatrix.svd",
)


ex.slip(
    "core_not_rotated_back",
    "U and V are those of the core, [m, m]. Rotate them back to the big space: Q_A @ U and Q_B @ V.",
    "return Q_A @ U, S, Q_B @ Vh.mT",
    "return U, S, Vh.mT",
    of="FactoredMatrix.svd",
)


ex.slip(
    "core_without_transpose",
    "The core is R_A @ R_B^T: B^T = Q_B R_B means B = R_B^T Q_B^T. Without that transpose the singular values are those of "
    "another matrix.",
    "R_A @ R_B.mT",
    "R_A @ R_B",
    of="FactoredMatrix.svd",
)


@ex.mistake(
    "The singular values are padded with zeros (or dust of size 1e-7) up to the size of the big matrix. A product through "
    "m dimensions has at most m of them: k = m here. Decompose the small core and there is nothing to pad.",
    of="FactoredMatrix.svd",
)
def zero_padded(self):
    U, S, Vh = torch.linalg.svd(self.A @ self.B, full_matrices=False)
    S = torch.where(torch.arange(S.shape[-1]) < self.A.shape[-1], S, 0.0)
    return U, S, Vh.mT


@ex.mistake(
    "Right, but A and B were multiplied out, and a matrix of the full size was decomposed: for one GPT-2 head that is a "
    "50,257 x 50,257 SVD, days of work. Use the QR decompositions of A and of B^T; only the m x m core needs an SVD.",
    of="FactoredMatrix.svd",
)
def svd_of_the_full_product(self):
    k = self.A.shape[-1]
    U, S, Vh = torch.linalg.svd(self.A @ self.B, full_matrices=False)
    return U[..., :k], S[..., :k], Vh.mT[..., :k]


@ex.mistake(
    "The SVDs of A and of B were put side by side: U from A, V from B, the singular values multiplied. That holds only if "
    "A's right and B's left singular vectors coincide. What stands between them belongs to the core.",
    of="FactoredMatrix.svd",
)
def svds_of_the_factors(self):
    U, S_A, _ = torch.linalg.svd(self.A, full_matrices=False)
    _, S_B, Vh = torch.linalg.svd(self.B, full_matrices=False)
    return U, S_A * S_B, Vh.mT


@ex.mistake(
    "That is ||A|| ||B||, an upper bound. The norm of a product depends on how the factors are turned against each "
    "other, and that is what composition scores measure.",
    of="FactoredMatrix.norm",
)
def product_of_norms(self):
    return self.A.norm(dim=(-2, -1)) * self.B.norm(dim=(-2, -1))


ex.slip(
    "squared_norm",
    "That is the norm squared: the root is missing.",
    "(S**2).sum(dim=-1).sqrt()",
    "(S**2).sum(dim=-1)",
    of="FactoredMatrix.norm",
)


ex.slip(
    "spectral_norm",
    "That is the largest singular value, the spectral norm. The Frobenius norm takes all of them: sqrt(sum of S^2).",
    "(S**2).sum(dim=-1).sqrt()",
    "S[..., 0]",
    of="FactoredMatrix.norm",
)


ex.slip(
    "nuclear_norm",
    "That is the sum of the singular values, the nuclear norm. The Frobenius norm is their length as a vector: "
    "sqrt(sum of S^2).",
    "(S**2).sum(dim=-1).sqrt()",
    "S.sum(dim=-1)",
    of="FactoredMatrix.norm",
)


ex.slip(
    "one_norm_for_the_batch",
    "The leading axes were summed over too: a stack of matrices has one norm per matrix.",
    "(S**2).sum(dim=-1).sqrt()",
    "(S**2).sum().sqrt()",
    of="FactoredMatrix.norm",
)


@ex.mistake(
    "The norm is right, but the whole product was made to get it. sqrt(sum of S^2) of the small core gives the same from "
    "m x m matrices.",
    of="FactoredMatrix.norm",
)
def norm_of_the_full_product(self):
    return (self.A @ self.B).norm(dim=(-2, -1))


@ex.mistake(
    "U diag(S) V^T is A B, but V has no orthonormal columns where the rank is less than m: dividing U^T (A B) by the singular values "
    "divides by zero there, or by rounding. Take V from the decomposition of the core.",
    of="FactoredMatrix.svd",
)
def V_by_division(self):
    Q_A, R_A = torch.linalg.qr(self.A)
    R_B = torch.linalg.qr(self.B.mT).R
    U, S, _ = torch.linalg.svd(R_A @ R_B.mT, full_matrices=False)
    U = Q_A @ U
    return U, S, self.B.mT @ (self.A.mT @ U) / S[..., None, :]


ex.slip(
    "norms_of_rows",
    "These are norms of the core's rows, one for each; the norm of a matrix takes all its entries together: one number for each matrix.",
    "(S**2).sum(dim=-1).sqrt()",
    "(R_A @ R_B.mT).norm(dim=-1)",
    of="FactoredMatrix.norm",
)


ex.equivalent(
    "The core is square, since m is smaller than l and r: it has no more singular vectors than singular values.",
    ", full_matrices=False => ",
    "full_matrices=False) => full_matrices=True)",
)

ex.equivalent(
    "A Gram matrix is its own transpose.",
    "gram_B.mT). => gram_B).",
)
