"""Chapter 05, FactoredMatrix and circuits: reading what heads do from their weights, with no input at all."""

import math
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cleanlens

from ...activation_cache import ActivationCache
from ...config import HookedTransformerConfig
from ...hooked_transformer import HookedTransformer
from ..exercise import Chapter

chapter = Chapter("05", "circuits", "FactoredMatrix and circuits")


# ---- what the checks are made of --------------------------------------------------------------------


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator)


def low_rank(generator, ldim, mdim, rdim, leading=()):
    """Two random factors A [leading ldim mdim] and B [leading mdim rdim]."""
    return normal(generator, *leading, ldim, mdim), normal(generator, *leading, mdim, rdim)


@lru_cache(maxsize=16)
def built(seed, **settings):
    return HookedTransformer(HookedTransformerConfig(**settings))


def tiny_model(seed, **changes):
    """An attention-only model whose weights, biases included, are random and of order 1.

    Building the module takes longer than a check should: it is kept, and its weights are written anew every time.
    """
    sizes = dict(n_layers=3, d_model=10, n_ctx=7, d_head=3, n_heads=4, d_vocab=13)
    settings = dict(attn_only=True, normalization_type=None, device="cpu", init_weights=False)
    model = built(seed, **(sizes | settings | changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            width = 1 if name.rpartition(".")[2].startswith("b_") else weight.shape[-2]
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.5 / math.sqrt(width))
    return model


@contextmanager
def watched():
    """Keeps the number of elements of the largest tensor that was made, as `made.largest`."""

    class Watch(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple | list) else [out]:
                if isinstance(x, torch.Tensor):
                    self.largest = max(self.largest, x.untyped_storage().nbytes() // x.element_size())
            return out

    with Watch() as made:
        yield made


def as_product(result):
    """A FactoredMatrix (anybody's) as plain data: its product and the size of its hidden axis."""
    A, B = getattr(result, "A", None), getattr(result, "B", None)
    if isinstance(A, torch.Tensor) and isinstance(B, torch.Tensor):
        return {"kind": "FactoredMatrix", "hidden axis": int(A.shape[-1]), "product": A @ B}
    if isinstance(result, torch.Tensor):
        return {"kind": "tensor", "hidden axis": 0, "product": result}
    return result


def heads_of(model):
    return [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]


class GivenFactoredMatrix:
    """The class with the given code and right methods; its methods stand in for those still to be written."""

    def __init__(self, A, B):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self):
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self):
        return self.A.shape[-1]

    @property
    def AB(self):
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __matmul__(self, other):
        if isinstance(other, torch.Tensor):
            return type(self)(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.A.shape[-1] <= other.A.shape[-1]:
            return type(self)(self.A, middle @ other.B)
        return type(self)(self.A @ middle, other.B)

    def __rmatmul__(self, other):
        return type(self)(other @ self.A, self.B)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        n_leading = self.A.ndim - 2
        leading, inner = index[:n_leading], index[n_leading:]
        A, B = self.A[leading], self.B[leading]
        if len(inner) > 0:
            A = A[..., self.keep_axis(inner[0]), :]
        if len(inner) > 1:
            B = B[..., :, self.keep_axis(inner[1])]
        return type(self)(A, B)

    def svd(self):
        Q_A, R_A = torch.linalg.qr(self.A)
        Q_B, R_B = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(R_A @ R_B.mT, full_matrices=False)
        return Q_A @ U, S, Q_B @ Vh.mT

    def norm(self):
        return self.svd()[1].norm(dim=-1)

    @property
    def eigenvalues(self):
        return torch.linalg.eigvals(self.B @ self.A)


# ---- 05.1 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.1",
    "FactoredMatrix.__matmul__",
    "FactoredMatrix.__rmatmul__",
    "FactoredMatrix.__getitem__",
    title="Products and slices of a factored matrix",
    objective="You can multiply and index a low-rank matrix while it stays in two thin factors, also for a whole model "
    "of heads at once.",
    minutes=25,
    difficulty=3,
    importance=4,
    source="Associativity: (AB)X = A(BX), X(AB) = (XA)B; a row of AB is a row of A times B, a column is A times a column "
    "of B.",
    supply={"FactoredMatrix": GivenFactoredMatrix},
    atol=1e-4,
    hints=[
        "Only one of the two factors changes: B when something is multiplied from the right, A from the left.",
        "Two factored matrices: the middle, self.B @ other.A, is tiny. Give it to one side or the other, so that the "
        "hidden axis of the result is the smaller of the two.",
        "An index (l, h, rows, columns): the leading part indexes A and B alike; rows index A's axis -2, columns index "
        "B's axis -1; nothing indexes the hidden axis.",
    ],
    why="A B X has two groupings. (A B) X makes an n x n matrix first; A (B X) never makes anything wider than its "
    "factors. For GPT-2's full OV circuit that is 2.5 billion numbers (10 GB) against 6 million.",
)

# What is asked, and the same on the dense matrix. The dense one drops the axis of an int; F keeps rows and columns.
INDICES = {
    "F[2:5]": "F[2:5]",
    "F[2:5, 1:4]": "F[2:5, 1:4]",
    "F[:, 1:3]": "F[:, 1:3]",
    "F[3]": "F[3:4]",
    "F[:, -1]": "F[:, -1:]",
}
BATCHED_INDICES = {
    "F[1]": "F[1]",
    "F[1, 2:4]": "F[1, 2:4]",
    "F[2, 3, 1:6]": "F[2, 3, 1:6]",
    "F[1, 4, 3:6, 1:3]": "F[1, 4, 3:6, 1:3]",
    "F[:, 2, :, 4]": "F[:, 2, :, 4:5]",
}
DENSE = INDICES | BATCHED_INDICES | {"F @ X": "F @ X", "X @ F": "X @ F"}


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    square, thin, batch = low_rank(g, 6, 3, 6), low_rank(g, 7, 3, 6), low_rank(g, 7, 3, 6, (4, 5))
    products = [
        ("F @ X", square, normal(g, 6, 6)),
        ("X @ F", square, normal(g, 6, 6)),
        ("F @ X", thin, normal(g, 6, 8)),
        ("X @ F", thin, normal(g, 5, 7)),
        ("F @ X", low_rank(g, 6, 4, 6), low_rank(g, 6, 2, 6)),
        ("F @ X", low_rank(g, 7, 2, 6), low_rank(g, 6, 4, 9)),
        ("F @ X", batch, normal(g, 6, 8)),
        ("X @ F", batch, normal(g, 5, 7)),
        ("F @ X", batch, low_rank(g, 6, 2, 9, (5,))),
    ]
    calls = [{"expression": text, "A": F[0], "B": F[1], "X": X} for text, F, X in products]
    calls += [{"expression": text, "A": thin[0], "B": thin[1], "X": None} for text in INDICES]
    calls += [{"expression": text, "A": batch[0], "B": batch[1], "X": None} for text in BATCHED_INDICES]
    return calls


@ex.oracle
def _(expression, A, B, X):
    hidden = A.shape[-1]
    if isinstance(X, tuple):
        hidden = min(hidden, X[0].shape[-1])
        X = torch.einsum("...lm,...mr->...lr", *X)
    F = torch.einsum("...lm,...mr->...lr", A, B)
    product = eval(DENSE[expression], {"F": F, "X": X})
    return {"kind": "FactoredMatrix", "hidden axis": hidden, "product": product}


@ex.call
def _(answer, expression, A, B, X):
    F, X = answer(A, B), answer(*X) if isinstance(X, tuple) else X
    if expression not in DENSE:
        raise ValueError(expression)
    return as_product(eval(expression, {"F": F, "X": X}))


@ex.alternative(of="FactoredMatrix.__matmul__")
def smaller_hidden_axis(self, other):
    if isinstance(other, torch.Tensor):
        return type(self)(self.A, self.B @ other)
    middle = self.B @ other.A
    if self.A.shape[-1] <= other.A.shape[-1]:
        return type(self)(self.A, middle @ other.B)
    return type(self)(self.A @ middle, other.B)


@ex.alternative(of="FactoredMatrix.__matmul__")
def in_two_steps(self, other):
    if not hasattr(other, "A"):
        return type(self)(self.A, torch.einsum("...mr,...rn->...mn", self.B, other))
    from_left = self @ other.A  # a factored matrix again
    if other.A.shape[-1] < self.A.shape[-1]:
        return type(self)(from_left.A @ from_left.B, other.B)
    return type(self)(from_left.A, from_left.B @ other.B)


@ex.alternative(of="FactoredMatrix.__rmatmul__")
def into_the_left_factor(self, other):
    return type(self)(other @ self.A, self.B)


@ex.alternative(of="FactoredMatrix.__rmatmul__")
def einsum_from_the_left(self, other):
    return type(self)(torch.einsum("...nl,...lm->...nm", other, self.A), self.B)


@ex.alternative(of="FactoredMatrix.__getitem__")
def leading_then_rows_then_columns(self, index):
    index = index if isinstance(index, tuple) else (index,)
    n_leading = self.A.ndim - 2
    leading, inner = index[:n_leading], index[n_leading:]
    A, B = self.A[leading], self.B[leading]
    if len(inner) > 0:
        A = A[..., self.keep_axis(inner[0]), :]
    if len(inner) > 1:
        B = B[..., :, self.keep_axis(inner[1])]
    return type(self)(A, B)


@ex.alternative(of="FactoredMatrix.__getitem__")
def filled_up_with_slices(self, index):
    index = index if isinstance(index, tuple) else (index,)
    *leading, rows, columns = index + (slice(None),) * (self.A.ndim - len(index))
    A = self.A[(*leading, self.keep_axis(rows), slice(None))]
    B = self.B[(*leading, slice(None), self.keep_axis(columns))]
    return type(self)(A, B)


ex.slip(
    "multiplies_out",
    "A and B were multiplied into one big matrix first, and that became a factor. The result is right but the hidden axis "
    "is now as wide as the matrix, which is what a FactoredMatrix is there to avoid: multiply other into B only.",
    "type(self)(self.A, self.B @ other)",
    "type(self)(self.A @ self.B, other)",
    of="FactoredMatrix.__matmul__",
)
ex.slip(
    "returns_the_product",
    "The whole product came back as one dense tensor. Return a FactoredMatrix: A stays as it is, B becomes B @ other.",
    "type(self)(self.A, self.B @ other)",
    "self.A @ self.B @ other",
    of="FactoredMatrix.__matmul__",
)
ex.slip(
    "keeps_its_own_hidden_axis",
    "For two factored matrices the result kept the left one's hidden axis also where the right one's is smaller. Fold the "
    "middle into the factor with the larger hidden axis; the rank cannot be more than the smaller of the two.",
    "self.A.shape[-1] <= other.A.shape[-1]",
    "True",
    of="FactoredMatrix.__matmul__",
)
ex.slip(
    "keeps_the_larger_hidden_axis",
    "For two factored matrices the result has the larger of the two hidden axes. Turn the comparison around: the smaller "
    "one is enough to hold the product.",
    "self.A.shape[-1] <= other.A.shape[-1]",
    "self.A.shape[-1] > other.A.shape[-1]",
    of="FactoredMatrix.__matmul__",
)


@ex.mistake(
    "For two factored matrices the order is reversed: F @ X came out as X @ F. The middle is self.B @ other.A, where the "
    "right factor of the left matrix meets the left factor of the right one.",
    of="FactoredMatrix.__matmul__",
)
def factored_product_reversed(self, other):
    if isinstance(other, torch.Tensor):
        return type(self)(self.A, self.B @ other)
    middle = other.B @ self.A
    if other.A.shape[-1] <= self.A.shape[-1]:
        return type(self)(other.A, middle @ self.B)
    return type(self)(other.A @ middle, self.B)


ex.slip(
    "left_product_reversed",
    "X @ F came out as F @ X. __rmatmul__ is called for `X @ self`: other stands on the left, so it goes into A.",
    "type(self)(other @ self.A, self.B)",
    "type(self)(self.A, self.B @ other)",
    of="FactoredMatrix.__rmatmul__",
)
ex.slip(
    "left_product_multiplies_out",
    "For X @ F the factors were multiplied out first: the hidden axis of the result is as wide as the matrix. Multiply "
    "other into A only, (X A) B.",
    "type(self)(other @ self.A, self.B)",
    "type(self)(other, self.A @ self.B)",
    of="FactoredMatrix.__rmatmul__",
)
ex.slip(
    "left_product_is_dense",
    "X @ F came back as one dense tensor. Return a FactoredMatrix: A becomes other @ A, B stays.",
    "type(self)(other @ self.A, self.B)",
    "other @ self.A @ self.B",
    of="FactoredMatrix.__rmatmul__",
)
ex.slip(
    "row_index_on_both_factors",
    "The row index was applied to the columns too: F[2:5] must keep all columns. Rows live in A alone, columns in B "
    "alone.",
    "    if len(inner) > 1:",
    "    if len(inner) == 1:\n        B = B[..., :, self.keep_axis(inner[0])]\n    if len(inner) > 1:",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "indexes_the_hidden_axis",
    "The column index cut the hidden axis: the sum over the hidden axis then has fewer terms and every entry is wrong. "
    "Columns of the product are the last axis of B.",
    "B = B[..., :, self.keep_axis(inner[1])]",
    "A, B = A[..., :, self.keep_axis(inner[1])], B[..., self.keep_axis(inner[1]), :]",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "columns_ignored",
    "The column index has no effect: F[rows, columns] came back with all columns. Apply it to the last axis of B.",
    "len(inner) > 1",
    "len(inner) > 2",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "rows_and_columns_swapped",
    "Rows and columns are swapped: F[rows, columns] names the rows (in A) first.",
    "n_leading:]",
    "n_leading:][::-1]",
    "    if len(inner) > 0:",
    "    inner = (slice(None), *inner) if len(inner) == 1 else inner\n    if len(inner) > 0:",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "leading_axes_forgotten",
    "With leading axes the first index was taken for a row. F[1] of a matrix of shape [4, 5, 7, 6] is the second of its "
    "four leading entries, in A and in B alike; rows come after all leading axes.",
    "n_leading = self.A.ndim - 2",
    "n_leading = 0",
    "A, B = self.A[leading], self.B[leading]",
    "A, B = self.A, self.B",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "leading_index_on_A_only",
    "The leading index was applied to A only. Both factors carry the leading axes: layer 1 of A belongs to layer 1 of B.",
    "self.A[leading], self.B[leading]",
    "self.A[leading], self.B",
    of="FactoredMatrix.__getitem__",
)
ex.slip(
    "int_drops_the_axis",
    "A single row came back without its row axis, so it is no matrix any more. Pass row and column through keep_axis, "
    "which turns 3 into 3:4.",
    "A[..., self.keep_axis(inner[0]), :]",
    "A[..., inner[0], :]",
    of="FactoredMatrix.__getitem__",
)


# ---- 05.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.2",
    "FactoredMatrix.svd",
    "FactoredMatrix.norm",
    title="Singular values from a small core",
    objective="You can decompose a huge matrix of small rank exactly, by rotating its factors until only a small core is "
    "left.",
    minutes=20,
    difficulty=4,
    importance=4,
    source="A = Q_A R_A and B^T = Q_B R_B give A B = Q_A (R_A R_B^T) Q_B^T; the Qs have orthonormal columns, so the core "
    "has all singular values (Golub & Van Loan, Matrix Computations, sections 2.4 and 5.2).",
    supply={"FactoredMatrix": GivenFactoredMatrix},
    atol=1e-3,
    rtol=1e-3,
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
    return [{"what": what, "A": A, "B": B} for what in ("svd", "norm") for A, B in (single, batch)]


@ex.oracle
def _(what, A, B):
    M = torch.einsum("...lm,...mr->...lr", A.double(), B.double())
    if what == "norm":
        return {"norm": (M**2).sum((-2, -1)).sqrt().float(), "as large as the product": False}
    k, leading = A.shape[-1], list(A.shape[:-2])
    squares = torch.linalg.eigvalsh(M @ M.mT).flip(-1)[..., :k]  # the squared singular values
    identity = torch.eye(k).expand(*leading, k, k)
    return {
        "shapes of U, S, V": [[*leading, 17, k], [*leading, k], [*leading, 19, k]],
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
    too_large = observed["largest"] >= A.shape[-2] * B.shape[-1]
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


# ---- 05.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.3",
    "FactoredMatrix.eigenvalues",
    title="Eigenvalues of a circuit",
    objective="You can get the nonzero eigenvalues of an n x n circuit from a matrix of the size of one head.",
    minutes=10,
    difficulty=3,
    importance=4,
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
            return [{"A": A[0], "B": B[0]}, {"A": A, "B": B}]


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


# ---- 05.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.4",
    "full_OV",
    title="What a head writes: the full OV circuit",
    objective="You can write down, from weights alone, how attending to any token changes the logit of any other.",
    minutes=10,
    difficulty=2,
    importance=5,
    source='Elhage et al. 2021, section "One-Layer Attention-Only Transformers", heading "Splitting Attention Head terms '
    'into Query-Key and Output-Value Circuits": W_E W_V W_O W_U in our row-vector convention.',
    atol=1e-4,
    hints=[
        "Follow one token from left to right: embedding, value, output, unembedding. Each step is one matrix on the "
        "right.",
        "model.W_V[layer, head] is [d_model, d_head], model.W_O[layer, head] is [d_head, d_model]. Their inner axis, "
        "d_head, is where to cut the product in two.",
        "cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)",
    ],
    why="Row s, column t is what attending to token s adds to the logit of token t. The rank is d_head, so both factors "
    "stay thin however large the vocabulary is.",
)


@ex.inputs
def _(seed):
    # With d_model = d_vocab a transposed W_U fits, as it does nowhere else; with other sizes it does not.
    return [
        {"model": tiny_model(seed, d_model=12, d_vocab=12), "layer": 1, "head": 2},
        {"model": tiny_model(seed + 100), "layer": 2, "head": 1},
        {"model": tiny_model(seed + 200), "layer": 0, "head": 3},
    ]


@ex.oracle
def _(model, layer, head):
    attn = model.blocks[layer].attn
    rows = []
    for token in range(model.cfg.d_vocab):  # one token at a time, through the model's own parts
        value = model.embed.W_E[token] @ attn.W_V[head]
        rows.append((value @ attn.W_O[head]) @ model.unembed.W_U)
    product = torch.stack(rows).detach()
    return {"kind": "FactoredMatrix", "hidden axis": model.cfg.d_head, "product": product}


@ex.call
def _(answer, model, layer, head):
    return as_product(answer(model, layer, head))


@ex.alternative
def two_factors(model, layer, head):
    left, right = model.W_V[layer, head], model.W_O[layer, head]
    return cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)


@ex.alternative
def by_the_factored_matrix(model, layer, head):
    return model.W_E @ model.OV[layer, head] @ model.W_U


ex.slip(
    "V_and_O_swapped",
    "W_O and W_V changed places (transposed, so that the shapes fit). A token's embedding meets W_V first: W_E W_V W_O W_U.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_O[layer, head].T, model.W_V[layer, head].T",
)
ex.slip(
    "W_U_transposed",
    "W_U was transposed. It is [d_model, d_vocab] as stored, so that W_O @ W_U fits as it is. (Where d_model and d_vocab "
    "are equal nothing complains.)",
    "right @ model.W_U",
    "right @ model.W_U.T",
)
ex.slip(
    "K_for_V",
    "W_K was used for W_V. The keys decide where a head looks; the values, W_V, are what it takes from there.",
    "model.W_V[layer, head]",
    "model.W_K[layer, head]",
)
ex.slip(
    "embedding_for_unembedding",
    "The last factor is W_E transposed. This model has an unembedding of its own, W_U.",
    "right @ model.W_U",
    "right @ model.W_E.T",
)
ex.slip(
    "rows_are_outputs",
    "The matrix is transposed: row s must be the token that is attended to, column t the token whose logit changes.",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "cleanlens.FactoredMatrix((right @ model.W_U).mT, (model.W_E @ left).mT)",
)
ex.slip(
    "ignores_the_head",
    "It gives head 0 whatever head is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[layer, 0], model.W_O[layer, 0]",
)
ex.slip(
    "ignores_the_layer",
    "It gives layer 0 whatever layer is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[0, head], model.W_O[0, head]",
)
ex.slip(
    "ignores_its_arguments",
    "It gives layer 0, head 0 whatever is asked for.",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[0, 0], model.W_O[0, 0]",
)
ex.slip(
    "layer_and_head_swapped",
    "Layer and head are swapped: stacked weights are indexed [layer, head].",
    "model.W_V[layer, head], model.W_O[layer, head]",
    "model.W_V[head % len(model.blocks), layer], model.W_O[head % len(model.blocks), layer]",
)
ex.slip(
    "residual_to_residual",
    "That is W_V W_O, from residual stream to residual stream. The full circuit goes from token to token: put W_E in front "
    "and W_U behind.",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "cleanlens.FactoredMatrix(left, right)",
)
ex.slip(
    "multiplied_out",
    "Right numbers, but not in two factors of inner size d_head: a dense d_vocab x d_vocab matrix of GPT-2 takes 10 GB. "
    "Return cleanlens.FactoredMatrix(W_E @ W_V, W_O @ W_U).",
    "cleanlens.FactoredMatrix(model.W_E @ left, right @ model.W_U)",
    "model.W_E @ left @ right @ model.W_U",
)


# ---- 05.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.5",
    "top1_acc",
    title="How often does a circuit copy?",
    objective="You can ask of a matrix too large for memory how many of its rows have their maximum on the diagonal.",
    minutes=10,
    difficulty=2,
    importance=3,
    source="The definition: the share of rows i with argmax_j M[i, j] = i. Rows are independent, so chunks of them give "
    "the same count.",
    hints=[
        "M[start : start + chunk_size] is a FactoredMatrix with few rows; its .AB is small enough to look at.",
        "The argmax of a row is a column number of the whole matrix: compare it with start, start + 1, ...",
        "Count hits over all chunks, the last and shorter one included, and divide once by the number of rows.",
    ],
    why="A count can be collected piece by piece; a mean of means cannot, because the last chunk is shorter. Memory is "
    "chunk_size x n instead of n x n.",
)


def scores_apart(A, B, chunk):
    """Whether the ways to get the accuracy wrong give numbers of their own on this matrix."""
    M = (A @ B).double()
    n, hit = len(M), (M.argmax(1) == torch.arange(len(M))).double()
    starts = range(0, n, chunk)
    local = sum((M[i : i + chunk].argmax(1) == torch.arange(len(M[i : i + chunk]))).sum() for i in starts)
    values = [
        hit.mean(),
        (M.argmax(0) == torch.arange(n)).double().mean(),
        (M.abs().argmax(1) == torch.arange(n)).double().mean(),
        (M.argmin(1) == torch.arange(n)).double().mean(),
        local / n,
        hit[: n // chunk * chunk].mean(),
        hit[: n // chunk * chunk].sum() / n,
        sum(hit[i : i + chunk].mean() for i in starts) / len(starts),
        hit.sum(),
        1 - hit.mean(),
    ]
    numbers = sorted(float(value) for value in values)
    gaps = all(b - a > 1e-3 for a, b in pairwise(numbers))
    top = M.topk(2, dim=1).values
    return gaps and bool((top[:, 0] - top[:, 1]).min() > 1e-3)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    while True:
        A = normal(g, 23, 4)
        B = A.T + 0.6 * normal(g, 4, 23)
        if scores_apart(A, B, 6):
            break
    C, D = low_rank(g, 9, 3, 9)
    return [{"A": A, "B": B, "chunk_size": 6}, {"A": C, "B": C.T + 0.2 * D, "chunk_size": 9}]


@ex.oracle
def _(A, B, chunk_size):
    M, hits = (A @ B).tolist(), 0
    for i, row in enumerate(M):
        hits += row[i] == max(row)
    return {"accuracy": hits / len(M), "whole matrix made": False}


@ex.call
def _(answer, A, B, chunk_size):
    with watched() as made:
        accuracy = answer(cleanlens.FactoredMatrix(A, B), chunk_size)
    return {"accuracy": accuracy, "largest": int(made.largest)}


@ex.measure
def _(observed, A, B, chunk_size):
    whole = chunk_size < len(A) and observed["largest"] >= A.shape[0] * B.shape[1]
    return {"accuracy": observed["accuracy"], "whole matrix made": whole}


@ex.alternative
def chunks_of_rows(M, chunk_size=1000):
    n, hits = M.shape[0], 0
    for start in range(0, n, chunk_size):
        rows = M[start : start + chunk_size].AB
        target = torch.arange(start, start + len(rows))
        hits += (rows.argmax(dim=1) == target).sum().item()
    return hits / n


@ex.alternative
def split_factor(M, chunk_size=1000):
    best = [(rows @ M.B).argmax(dim=-1) for rows in M.A.split(chunk_size)]
    return (torch.cat(best) == torch.arange(len(M.A))).float().mean().item()


@ex.alternative
def diagonal_against_maximum(M, chunk_size=1000):
    highest = torch.cat([(rows @ M.B).amax(dim=-1) for rows in M.A.split(chunk_size)])
    diagonal = (M.A * M.B.T).sum(dim=-1)
    return int((diagonal >= highest - 1e-5).sum()) / len(M.A)


ex.slip(
    "axis_0",
    "The maximum was taken down the columns. Row i is the token attended to; the question is which logit it raises most, "
    "along the row: dim=1.",
    "rows = M[start : start + chunk_size].AB",
    "rows = M.T[start : start + chunk_size].AB",
)
ex.slip(
    "chunk_local_index",
    "The row numbers start at 0 again in every chunk, so only the first chunk can hit. Row i of a chunk is row start + i of "
    "the matrix.",
    "torch.arange(start, start + len(rows))",
    "torch.arange(len(rows))",
)
ex.slip(
    "last_chunk_dropped",
    "The last, shorter chunk was left out, of the hits and of the number of rows. range(0, n, chunk_size) reaches it, and "
    "slices may run past the end.",
    "range(0, n, chunk_size)",
    "range(0, n - chunk_size + 1, chunk_size)",
    "hits / n",
    "hits / (n // chunk_size * chunk_size)",
)
ex.slip(
    "last_chunk_not_counted",
    "The rows of the last, shorter chunk count in the denominator, but their hits are missing. range(0, n, chunk_size) "
    "reaches them, and slices may run past the end.",
    "range(0, n, chunk_size)",
    "range(0, n - chunk_size + 1, chunk_size)",
)
ex.slip(
    "mean_of_chunk_means",
    "The chunks' accuracies were averaged. The last chunk is shorter, so its rows weigh too much: count hits and divide "
    "once.",
    "(rows.argmax(dim=1) == target).sum().item()",
    "(rows.argmax(dim=1) == target).float().mean().item()",
    "hits / n",
    "hits / len(range(0, n, chunk_size))",
)
ex.slip(
    "largest_magnitude",
    "The entry of largest absolute value was taken. A very negative logit is suppression, not copying.",
    "rows.argmax(dim=1)",
    "rows.abs().argmax(dim=1)",
)
ex.slip(
    "smallest",
    "That is how often the diagonal is the smallest entry of its row.",
    "rows.argmax(dim=1)",
    "rows.argmin(dim=1)",
)
ex.slip(
    "a_count",
    "That is the number of hits. Divide by the number of rows, and return a float.",
    "hits / n",
    "float(hits)",
)
ex.slip(
    "returns_a_tensor",
    "The number is right but still a tensor. Return a Python float: .item().",
    "hits / n",
    "torch.tensor(hits / n)",
)
ex.slip(
    "everything_materialised",
    "The accuracy is right, but the whole n x n matrix was made. With 50,257 tokens that is 10 GB: multiply out "
    "chunk_size rows at a time.",
    "M[start : start + chunk_size].AB",
    "M.AB[start : start + chunk_size]",
)


# ---- 05.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.6",
    "effective_OV",
    title="Several heads as one",
    objective="You can treat heads that attend alike as a single head, and say why its value and output weights are "
    "concatenated and not added.",
    minutes=15,
    difficulty=3,
    importance=3,
    source='Elhage et al. 2021, "Attention Heads are Independent and Additive": the layer\'s output is the sum over heads '
    "of W_V W_O; and sum_h V_h O_h = [V_1 V_2 ...] [O_1; O_2; ...] (block multiplication).",
    atol=1e-4,
    hints=[
        "If two heads attend to the same token, the residual stream gets the sum of what both write.",
        "A sum of products is one product of concatenated factors: which axis of W_V, which axis of W_O?",
        "torch.cat([model.W_V[l, h] for l, h in heads], dim=1) and torch.cat([model.W_O[l, h] for l, h in heads], dim=0)",
    ],
    why="Adding the W_V and the W_O separately would let head 1's values leave through head 2's output: the cross terms "
    "V_1 O_2 exist in no model. Side by side, each d_head slice of the hidden axis stays with its own head.",
)


@ex.inputs
def _(seed):
    return [
        {"model": tiny_model(seed), "heads": [(1, 0), (1, 3)]},
        {"model": tiny_model(seed + 100), "heads": [(2, 1), (0, 3), (1, 2)]},
    ]


@ex.oracle
def _(model, heads):
    total = torch.zeros(model.cfg.d_vocab, model.cfg.d_vocab)
    for layer, head in heads:
        attn = model.blocks[layer].attn
        total = total + model.W_E @ (attn.W_V[head] @ attn.W_O[head]) @ model.W_U
    hidden = len(heads) * model.cfg.d_head
    return {"kind": "FactoredMatrix", "hidden axis": hidden, "product": total.detach()}


@ex.call
def _(answer, model, heads):
    return as_product(answer(model, heads))


@ex.alternative
def concatenated(model, heads):
    W_V = torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)
    W_O = torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


@ex.alternative
def flattened(model, heads):
    layers, numbers = (list(axis) for axis in zip(*heads))
    W_V = model.W_V[layers, numbers].transpose(0, 1).flatten(1)  # h d e -> d (h e)
    W_O = model.W_O[layers, numbers].flatten(0, 1)  # h e d -> (h e) d
    return model.W_E @ cleanlens.FactoredMatrix(W_V, W_O) @ model.W_U


ex.slip(
    "cross_terms",
    "The W_V were added up, and the W_O too. (V1 + V2)(O1 + O2) contains V1 O2 and V2 O1: values of one head leaving "
    "through another, which no model does. Concatenate along d_head instead.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "sum(model.W_V[layer, head] for layer, head in heads)",
    "torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)",
    "sum(model.W_O[layer, head] for layer, head in heads)",
)
ex.slip(
    "average",
    "The heads' circuits were averaged. Every head adds its output to the residual stream: take the sum.",
    "W_O @ model.W_U",
    "W_O @ model.W_U / len(heads)",
)
ex.slip(
    "stacked_as_a_batch",
    "The heads were stacked along a new leading axis: that is a list of separate circuits. Concatenate along d_head, so "
    "that the product sums over heads too.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "torch.stack([model.W_V[layer, head] for layer, head in heads])",
    "torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)",
    "torch.stack([model.W_O[layer, head] for layer, head in heads])",
)
ex.slip(
    "concatenated_along_d_model",
    "The W_V were concatenated along d_model: they no longer fit to W_E. Both must grow along d_head: dim=1 of W_V "
    "[d_model, d_head], dim=0 of W_O [d_head, d_model].",
    "for layer, head in heads], dim=1)",
    "for layer, head in heads], dim=0)",
)
ex.slip(
    "interleaved",
    "Shapes fit, but the hidden axes are in different orders: in one factor all of head 1 comes first, in the other the "
    "heads alternate. So values of one head leave through another. Use the same order in both.",
    "torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)",
    "torch.stack([model.W_V[layer, head] for layer, head in heads], dim=-1).flatten(1)",
)
ex.slip(
    "all_heads_in_the_first_layer",
    "The layer of the first head was used for all of them. Every entry of heads is its own (layer, head).",
    "[model.W_V[layer, head] for",
    "[model.W_V[heads[0][0], head] for",
    "[model.W_O[layer, head] for",
    "[model.W_O[heads[0][0], head] for",
)
ex.slip(
    "first_head_only",
    "Only the first head is in it.",
    "W_V = torch.cat(",
    "heads = heads[:1]\n    W_V = torch.cat(",
)


@ex.mistake(
    "It returned a mean of the heads' copying accuracies. Two heads that copy 60% of the tokens each may copy 95% of them "
    "together: build the summed circuit first, then measure that."
)
def averaged_accuracies(model, heads):
    accuracy = 0.0
    for layer, head in heads:
        M = (model.W_E @ model.OV[layer, head] @ model.W_U).AB
        accuracy += (M.argmax(1) == torch.arange(len(M))).float().mean().item()
    return accuracy / len(heads)


@ex.mistake(
    "The sum is right but dense: the circuits were multiplied out and added up. Keep it factored; the inner axis is "
    "len(heads) * d_head."
)
def dense_sum(model, heads):
    return sum((model.W_E @ model.OV[layer, head] @ model.W_U).AB for layer, head in heads)


# ---- 05.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.7",
    "position_pattern",
    title="Where a head looks, from positions alone",
    objective="You can read a previous-token head off its weights: its attention pattern if there were no tokens, only "
    "positions.",
    minutes=15,
    difficulty=3,
    importance=4,
    source="The definition of attention (Vaswani et al. 2017, section 3.2.1) with W_pos in place of the residual stream; "
    'Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", uses the same circuit for its previous-token head.',
    atol=1e-4,
    hints=[
        "It is ordinary attention, with the rows of model.W_pos as the input: queries, keys, scale, causal mask, softmax.",
        "LayerNorm divides the input by ln_scale before the queries and before the keys are made.",
        "scores = (W_pos @ W_Q) @ (W_pos @ W_K).T / (ln_scale**2 * model.cfg.attn_scale); mask with torch.triu(..., 1).",
    ],
    why="Queries in rows, keys in columns; softmax over the keys of each row. ln_scale enters twice, once through the query "
    "and once through the key, and it sharpens the pattern: without it a sharp head looks blurred.",
)


@ex.inputs
def _(seed):
    return [
        {"model": tiny_model(seed), "layer": 1, "head": 2, "ln_scale": 1.0},
        {"model": tiny_model(seed + 100), "layer": 2, "head": 1, "ln_scale": 0.8},
        {"model": tiny_model(seed + 200, n_ctx=6), "layer": 0, "head": 3, "ln_scale": 1.3},
    ]


@ex.oracle
def _(model, layer, head, ln_scale):
    # The model itself, on tokens that are nothing but their positions: no embedding, no earlier heads, no biases.
    # (The weights are written anew for the next call, see tiny_model.)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".b_" in name or name.endswith(("W_E", "W_O")):
                weight.zero_()
        model.pos_embed.W_pos.div_(ln_scale)
        _, cache = model.run_with_cache(torch.zeros(1, model.cfg.n_ctx, dtype=torch.long))
    return cache["pattern", layer][0, head]


@ex.alternative
def scores_then_softmax(model, layer, head, ln_scale=1.0):
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = q @ k.T / model.cfg.attn_scale
    future = torch.triu(torch.ones_like(scores), diagonal=1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)


@ex.alternative
def sandwiched_circuit(model, layer, head, ln_scale=1.0):
    scores = model.W_pos @ model.QK[layer, head].AB @ model.W_pos.T / ln_scale**2 / model.cfg.d_head**0.5
    weights = torch.tril((scores - scores.amax(-1, keepdim=True)).exp())
    return weights / weights.sum(-1, keepdim=True)


ex.slip(
    "no_scale",
    "The scores were not divided by model.cfg.attn_scale (the root of d_head), so the pattern is sharper than the model's.",
    "q @ k.T / model.cfg.attn_scale",
    "q @ k.T",
)
ex.slip(
    "divides_by_d_head",
    "The scores were divided by d_head. It is its root, model.cfg.attn_scale.",
    "/ model.cfg.attn_scale",
    "/ model.cfg.d_head",
)
ex.slip(
    "no_mask",
    "A position sees the positions after it. Set the scores above the diagonal to minus infinity before the softmax.",
    ".masked_fill(future, -torch.inf)",
    "",
)
ex.slip(
    "masked_after_softmax",
    "The pattern was masked after the softmax, so its rows do not add up to 1. Mask the scores, with minus infinity.",
    "scores.masked_fill(future, -torch.inf).softmax(dim=-1)",
    "scores.softmax(dim=-1).masked_fill(future, 0.0)",
)
ex.slip(
    "masked_with_zero",
    "Future scores were set to 0, and exp(0) = 1: the future still gets attention. Minus infinity gives it none.",
    "-torch.inf",
    "0.0",
)
ex.slip(
    "diagonal_masked",
    "The diagonal is masked too; a position may look at itself. Row 0 is left with nothing at all, hence the NaN. Use "
    "torch.triu(..., diagonal=1).",
    "diagonal=1",
    "diagonal=0",
)
ex.slip(
    "softmax_over_queries",
    "The softmax ran down the columns, over queries. Every query shares out its attention among keys: dim=-1 of "
    "[query, key].",
    "softmax(dim=-1)",
    "softmax(dim=0)",
)
ex.slip(
    "q_and_k_swapped",
    "Queries and keys are swapped: row i must hold q_i against every k_j. W_Q comes first, W_K transposed after it.",
    "q @ k.T",
    "k @ q.T",
)
ex.slip(
    "K_untransposed",
    "The keys were not transposed: q @ k.T gives [query, key], one dot product for each pair of positions.",
    "q @ k.T",
    "q @ k",
)
ex.slip(
    "ln_scale_ignored",
    "ln_scale has no effect. LayerNorm divides what the head reads by it; leave it out and the pattern is blurred or too "
    "sharp.",
    "model.W_pos / ln_scale",
    "model.W_pos",
)
ex.slip(
    "ln_scale_once",
    "The scores were divided by ln_scale once. Query and key both read the normalised stream: it enters squared.",
    "x = model.W_pos / ln_scale",
    "x = model.W_pos / ln_scale**0.5",
)
ex.slip(
    "multiplies_by_ln_scale",
    "The positions were multiplied by ln_scale. LayerNorm divides by it.",
    "model.W_pos / ln_scale",
    "model.W_pos * ln_scale",
)
ex.slip(
    "biases_added",
    "b_Q and b_K were added. Here only the circuit W_pos W_Q W_K^T W_pos^T is asked for, positions against positions; a bias "
    "is the same at every position.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[layer, head] + model.b_Q[layer, head], x @ model.W_K[layer, head] + model.b_K[layer, head]",
)
ex.slip(
    "wrong_head",
    "It gives head 0 whatever head is asked for.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[layer, 0], x @ model.W_K[layer, 0]",
)
ex.slip(
    "wrong_layer",
    "It gives layer 0 whatever layer is asked for.",
    "x @ model.W_Q[layer, head], x @ model.W_K[layer, head]",
    "x @ model.W_Q[0, head], x @ model.W_K[0, head]",
)
ex.slip(
    "scores_returned",
    "Those are the scores before the softmax. A pattern has rows of non-negative numbers that add up to 1.",
    ".masked_fill(future, -torch.inf).softmax(dim=-1)",
    ".masked_fill(future, 0.0)",
)


# ---- 05.8 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.8",
    "split_qk",
    "decompose_scores",
    title="Which part of the query meets which part of the key?",
    objective="You can write every attention score as an exact sum over pairs of components: one of the query's, one of the "
    "key's.",
    minutes=25,
    difficulty=4,
    importance=4,
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


@lru_cache(maxsize=4)
def activations(model, seed):
    """All activations on a few random tokens, by name; computed once for each seed."""
    tokens = torch.randint(model.cfg.d_vocab, (1, 6), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.run_with_cache(tokens, remove_batch_dim=True, return_cache_object=False)[1]


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    calls = []
    for i, (layer, head) in enumerate([(1, 2), (2, 1)]):
        model = tiny_model(seed + 100 * i, normalization_type="LNPre")
        stored = activations(model, seed + 100 * i)
        cache = ActivationCache({name: x.clone() for name, x in stored.items()}, model, has_batch_dim=False)
        calls.append({"what": "split_qk", "model": model, "cache": cache, "layer": layer, "head": head})
    calls.append({"what": "decompose_scores", "q": normal(g, 5, 6, 3), "k": normal(g, 4, 6, 3)})
    calls.append({"what": "decompose_scores", "q": normal(g, 4, 5, 7), "k": normal(g, 4, 5, 7)})
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


# ---- 05.9 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.9",
    "k_composition_circuit",
    title="The induction circuit in one matrix",
    objective="You can read K-composition from weights: through the previous-token head, a key says which token came before.",
    minutes=15,
    difficulty=4,
    importance=5,
    source='Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", heading "How Induction Heads Work"; '
    "Olsson et al. 2022, In-context Learning and Induction Heads, section on the mechanism.",
    atol=1e-4,
    hints=[
        "The query is the current token's: W_E W_Q of the induction head. The key is made of what the earlier head wrote: "
        "W_E W_V W_O of the earlier head, then W_K of the induction head.",
        "Score = query . key, so the key's whole chain stands on the right, transposed: "
        "W_E W_Q (W_E W_V W_O W_K)^T.",
        "cleanlens.FactoredMatrix(W_E @ W_Q, (W_E @ W_V @ W_O @ W_K).T)",
    ],
    why="Row q is the token that asks; column k the token that stood before the key's position. A large diagonal means: look "
    "for the place that follows an earlier copy of myself. That is induction, from weights alone.",
)


@ex.inputs
def _(seed):
    return [
        {"model": tiny_model(seed), "prev": (0, 1), "ind": (2, 3)},
        {"model": tiny_model(seed + 100), "prev": (1, 3), "ind": (2, 2)},
        {"model": tiny_model(seed + 200), "prev": (0, 2), "ind": (1, 0)},
    ]


@ex.oracle
def _(model, prev, ind):
    W_E, early, late = model.W_E.detach(), model.blocks[prev[0]].attn, model.blocks[ind[0]].attn
    n = model.cfg.d_vocab
    scores = torch.zeros(n, n)
    for key_token in range(n):  # what the earlier head puts there when it has attended to key_token
        written = (W_E[key_token] @ early.W_V[prev[1]]) @ early.W_O[prev[1]]
        key = written @ late.W_K[ind[1]]
        for query_token in range(n):
            query = W_E[query_token] @ late.W_Q[ind[1]]
            scores[query_token, key_token] = (query * key).sum()
    return {"kind": "FactoredMatrix", "hidden axis": model.cfg.d_head, "product": scores.detach()}


@ex.call
def _(answer, model, prev, ind):
    return as_product(answer(model, prev, ind))


@ex.alternative
def query_against_key(model, prev, ind):
    W_E = model.W_E
    written = W_E @ model.W_V[prev] @ model.W_O[prev]
    query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]
    return cleanlens.FactoredMatrix(query, key.T)


@ex.alternative
def chain_of_circuits(model, prev, ind):
    (l0, h0), (l1, h1) = prev, ind
    return model.W_E @ model.QK[l1, h1] @ model.OV[l0, h0].T @ model.W_E.T


ex.slip(
    "Q_composition",
    "The earlier head was put on the query's side. That is Q-composition; an induction head asks with the plain token and "
    "finds it in the key.",
    "query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]",
    "query, key = written @ model.W_Q[ind], W_E @ model.W_K[ind]",
)
ex.slip(
    "both_sides_composed",
    "The earlier head is on both sides. The query of an induction head is the current token itself, straight from the "
    "embedding.",
    "query, key = W_E @ model.W_Q[ind]",
    "query, key = written @ model.W_Q[ind]",
)
ex.slip(
    "no_composition",
    "The earlier head is missing: token against token is how the later head would score the key's own token, not the one "
    "before it.",
    "written @ model.W_K[ind]",
    "W_E @ model.W_K[ind]",
)
ex.slip(
    "V_and_O_swapped",
    "W_V and W_O of the earlier head changed places (transposed, so that the shapes fit). It reads with W_V and writes with "
    "W_O.",
    "model.W_V[prev] @ model.W_O[prev]",
    "model.W_O[prev].T @ model.W_V[prev].T",
)
ex.slip(
    "Q_and_K_swapped",
    "W_Q and W_K of the later head are swapped: the query goes through W_Q, the key through W_K.",
    "query, key = W_E @ model.W_Q[ind], written @ model.W_K[ind]",
    "query, key = W_E @ model.W_K[ind], written @ model.W_Q[ind]",
)
ex.slip(
    "axes_swapped",
    "The matrix is transposed. Rows are queries: each query's best key is a maximum along its row. Transposed, the per-key "
    "maximum gets reported as the per-query one.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(key, query.T)",
)
ex.slip(
    "hard_coded_heads",
    "It gives the circuit of head 0 in layer 0 and head 0 in layer 1, whatever heads are asked for.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, (0, 0), (1, 0)\n",
)
ex.slip(
    "hard_coded_layers",
    "The heads are the ones that were asked for, but always in layers 0 and 1.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, (0, prev[1]), (1, ind[1])\n",
)
ex.slip(
    "heads_swapped",
    "prev and ind changed places: the earlier head's OV feeds the later head's QK.",
    "    W_E = model.W_E\n",
    "    W_E, prev, ind = model.W_E, ind, prev\n",
)
ex.slip(
    "unembeds",
    "The key's side ends in W_U. Nothing is predicted here: both sides begin with the embedding, W_E.",
    "written = W_E @",
    "written = model.W_U.T @",
)
ex.slip(
    "scaled",
    "The scores were divided by attn_scale. The circuit itself, W_E W_Q W_K^T W_O^T W_V^T W_E^T, has no such factor.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "cleanlens.FactoredMatrix(query / model.cfg.attn_scale, key.T)",
)
ex.slip(
    "multiplied_out",
    "Right numbers, but dense. Keep it in two factors with d_head between them: the query side and the key side.",
    "cleanlens.FactoredMatrix(query, key.T)",
    "query @ key.T",
)


# ---- 05.10 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.10",
    "composition_score",
    "k_composition_score",
    "random_baseline",
    title="Do two heads compose?",
    objective="You can measure from weights how much one head reads of what another writes, and compare it with what chance "
    "gives.",
    minutes=25,
    difficulty=3,
    importance=4,
    source='Elhage et al. 2021, section "Two-Layer Attention-Only Transformers", heading "Three Kinds of Composition": '
    "Frobenius norm of the product over the product of the norms. Baseline: for random directions its mean square is "
    "1/d_model.",
    atol=1e-4,
    hints=[
        "||AB|| / (||A|| ||B||), Frobenius norms: A.norm() is one. Think of the first factor's columns as what is written, of "
        "the second one's rows as what is read.",
        "K-composition: the earlier head's OV, then the later head's W_K. QK = W_Q W_K^T begins with the query, so the key's "
        "side comes first in its transpose.",
        "Baseline: a random pair is two products of Gaussian factors, [d_model, d_head] @ [d_head, d_model]; draw 4 factors "
        "for each of the n pairs from torch.Generator().manual_seed(seed).",
    ],
    why="A score alone says little: random matrices in d dimensions score about 1/sqrt(d). How far random pairs spread "
    "depends on their rank, so the baseline must have rank d_head as real heads have; full-rank matrices hardly spread at "
    "all, and against them every head would look special.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    calls = [
        {"what": "score", "A": low_rank(g, 8, 3, 10), "B": low_rank(g, 10, 2, 7)},
        {"what": "score", "A": low_rank(g, 9, 3, 9, (4,)), "B": low_rank(g, 9, 2, 9, (4,))},
        {"what": "k_score", "model": tiny_model(seed), "prev": (0, 1), "ind": (2, 3)},
        {"what": "k_score", "model": tiny_model(seed + 100), "prev": (1, 3), "ind": (2, 2)},
        {"what": "baseline", "d_model": 24, "d_head": 3, "n": 300, "seed": 5 + seed},
    ]
    return calls


@ex.oracle
def _(what, A=None, B=None, model=None, prev=None, ind=None, d_model=0, d_head=0, n=0, seed=0):
    if what == "baseline":
        return {
            "shape": [n],
            "mean square, times d_model": "about 1",
            "spread": "of pairs of rank d_head",
            "same seed, same scores": True,
            "other seed, other scores": True,
        }
    if what == "score":
        M, N = (torch.einsum("...lm,...mr->...lr", *F) for F in (A, B))
    else:
        early, late = model.blocks[prev[0]].attn, model.blocks[ind[0]].attn
        M = (early.W_V[prev[1]] @ early.W_O[prev[1]]).detach()
        N = (late.W_K[ind[1]] @ late.W_Q[ind[1]].T).detach()
    product = torch.einsum("...ab,...bc->...ac", M, N)
    size = {key: (X**2).sum((-2, -1)).sqrt() for key, X in (("M", M), ("N", N), ("MN", product))}
    return size["MN"] / size["M"] / size["N"]


@ex.call
def _(answer, what, A=None, B=None, model=None, prev=None, ind=None, d_model=0, d_head=0, n=0, seed=0):
    if what == "score":
        return answer.composition_score(cleanlens.FactoredMatrix(*A), cleanlens.FactoredMatrix(*B))
    if what == "k_score":
        return answer.k_composition_score(model, prev, ind)
    seeds = (seed, seed, seed + 1)
    return [answer.random_baseline(d_model, d_head, n, number) for number in seeds]


@ex.measure
def _(observed, what, d_model=0, d_head=0, **_):
    if what != "baseline":
        return observed
    scores, again, other = (x.double() for x in observed)
    mean_square = float((scores**2).mean()) * d_model
    spread = float(scores.std(correction=0) / scores.mean())
    # Rank d_head: d_head^2 overlaps of one direction with another; the more of them, the less their sum spreads.
    kinds = [
        (0.001, "none: all scores are equal"),
        (0.12, "of pairs of full rank"),
        (0.45, "of pairs of rank d_head"),
    ]
    return {
        "shape": list(scores.shape),
        "mean square, times d_model": "about 1" if 0.75 < mean_square < 1.35 else "not about 1",
        "spread": next((name for limit, name in kinds if spread < limit), "wider than that"),
        "same seed, same scores": bool((scores == again).all()),
        "other seed, other scores": bool((scores != other).any()),
    }


@ex.alternative(of="composition_score")
def ratio_of_norms(A, B):
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="composition_score")
def of_dense_matrices(A, B):
    M, N = A.AB, B.AB
    return torch.linalg.matrix_norm(M @ N) / torch.linalg.matrix_norm(M) / torch.linalg.matrix_norm(N)


@ex.alternative(of="composition_score")
def unit_matrices(A, B):
    S = torch.linalg.svdvals((A.AB / A.AB.norm(dim=(-2, -1), keepdim=True)) @ B.AB)
    return S.norm(dim=-1) / B.norm()


@ex.alternative(of="k_composition_score")
def OV_then_QK_transposed(model, prev, ind):
    A = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    B = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="k_composition_score")
def the_other_way_up(model, prev, ind):
    QK, OV = model.QK[ind].AB, model.OV[prev].AB
    return (QK @ OV.T).norm() / QK.norm() / OV.norm()


@ex.alternative(of="random_baseline")
def pairs_of_rank_d_head(d_model, d_head, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(4, n, d_model, d_head, generator=generator)
    A = cleanlens.FactoredMatrix(left[0], left[1].mT)
    B = cleanlens.FactoredMatrix(left[2], left[3].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


@ex.alternative(of="random_baseline")
def one_pair_at_a_time(d_model, d_head, n, seed=0):
    torch.manual_seed(seed)
    scores = []
    for _ in range(n):
        A = torch.randn(d_model, d_head) @ torch.randn(d_head, d_model)
        B = torch.rand(d_model, d_head).sub(0.5) @ torch.rand(d_head, d_model).sub(0.5)
        scores.append((A @ B).norm() / A.norm() / B.norm())
    return torch.stack(scores)


ex.slip(
    "squared",
    "That is the square of the score. Norms, not squared norms.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return ((A @ B).norm() / (A.norm() * B.norm())) ** 2",
    of="composition_score",
)
ex.slip(
    "unnormalised",
    "The norms of A and B were not divided out. Large weights then look like composition.",
    "(A @ B).norm() / (A.norm() * B.norm())",
    "(A @ B).norm()",
    of="composition_score",
)
ex.slip(
    "normalised_by_one",
    "Only the norm of A was divided out. Both matter: ||AB|| / (||A|| ||B||).",
    "(A.norm() * B.norm())",
    "A.norm()",
    of="composition_score",
)
ex.slip(
    "divided_and_multiplied",
    "It divides by ||A|| and then multiplies by ||B||: in Python a / b * c is (a / b) * c. Put parentheses around the product.",
    "(A @ B).norm() / (A.norm() * B.norm())",
    "(A @ B).norm() / A.norm() * B.norm()",
    of="composition_score",
)


@ex.mistake(
    "Those are spectral norms, the largest singular values. The score of Elhage et al. takes Frobenius norms, so that every "
    "direction counts.",
    of="composition_score",
)
def spectral_norm(A, B):
    return torch.linalg.svdvals(A.AB @ B.AB)[..., 0] / (
        torch.linalg.svdvals(A.AB)[..., 0] * torch.linalg.svdvals(B.AB)[..., 0]
    )


@ex.mistake(
    "Those are nuclear norms, sums of singular values. Take Frobenius norms: the root of the sum of squares.",
    of="composition_score",
)
def nuclear_norm(A, B):
    return torch.linalg.svdvals(A.AB @ B.AB).sum(-1) / (
        torch.linalg.svdvals(A.AB).sum(-1) * torch.linalg.svdvals(B.AB).sum(-1)
    )


@ex.mistake(
    "The norms of the four factors were multiplied. Dividing by ||W_V|| ||W_O|| instead of ||W_V W_O|| depends on how the "
    "product was cut in two, which means nothing.",
    of="composition_score",
)
def norms_of_the_factors(A, B):
    bottom = 1.0
    for X in (A.A, A.B, B.A, B.B):
        bottom = bottom * X.norm(dim=(-2, -1))
    return (A @ B).norm() / bottom


@ex.mistake(
    "All matrices were put under one norm: leading axes are a batch, and each pair has its own score.",
    of="composition_score",
)
def one_score_for_the_batch(A, B):
    return (A.AB @ B.AB).norm() / (A.AB.norm() * B.AB.norm())


ex.slip(
    "QK_untransposed",
    "QK was not transposed. W_Q W_K^T starts on the query's side, so what you have is Q-composition. For K-composition the "
    "written direction meets W_K first: W_K W_Q^T.",
    "cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)",
    "cleanlens.FactoredMatrix(model.W_Q[ind], model.W_K[ind].T)",
    of="k_composition_score",
)
ex.slip(
    "V_composition",
    "The later head's OV was used. That is V-composition; K-composition asks what its keys read: W_K W_Q^T.",
    "cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)",
    "cleanlens.FactoredMatrix(model.W_V[ind], model.W_O[ind])",
    of="k_composition_score",
)
ex.slip(
    "OV_transposed",
    "The earlier head's OV is transposed: it reads with W_V and writes with W_O, and what it writes is what the key reads.",
    "cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])",
    "cleanlens.FactoredMatrix(model.W_O[prev].T, model.W_V[prev].T)",
    of="k_composition_score",
)
ex.slip(
    "reads_before_it_is_written",
    "The product is in the wrong order: the later head's QK came first. What is written stands on the left, what reads it on the "
    "right.",
    "(A @ B).norm()",
    "(B @ A).norm()",
    of="k_composition_score",
)
ex.slip(
    "head_ignored",
    "Head 0 of the two layers was compared, whatever heads are asked for.",
    "    A = cleanlens.FactoredMatrix(",
    "    prev, ind = (prev[0], 0), (ind[0], 0)\n    A = cleanlens.FactoredMatrix(",
    of="k_composition_score",
)


@ex.mistake(
    "The random matrices have full rank. The average comes out right, about 1/sqrt(d_model), but not the spread: it is far too "
    "narrow, so that any pair of real heads would look special. Make rank d_head: [d_model, d_head] @ [d_head, d_model].",
    of="random_baseline",
)
def full_rank_baseline(d_model, d_head, n, seed=0):
    A, B = torch.randn(2, n, d_model, d_model, generator=torch.Generator().manual_seed(seed))
    return (A @ B).norm(dim=(-2, -1)) / (A.norm(dim=(-2, -1)) * B.norm(dim=(-2, -1)))


ex.slip(
    "one_pair_repeated",
    "All n scores are equal: one pair was drawn and used n times. Draw a new pair for each.",
    "torch.randn(4, n, d_model, d_head, generator=generator)",
    "torch.randn(4, 1, d_model, d_head, generator=generator).expand(4, n, d_model, d_head)",
    of="random_baseline",
)
ex.slip(
    "shared_factor",
    "A's right factor is B's left factor transposed: what A writes is just what B reads, so every pair composes perfectly. "
    "Chance means that the four factors are drawn independently.",
    "cleanlens.FactoredMatrix(left[2], left[3].mT)",
    "cleanlens.FactoredMatrix(left[1], left[3].mT)",
    of="random_baseline",
)
ex.slip(
    "seed_ignored",
    "The seed has no effect: another seed gives the same scores.",
    "manual_seed(seed)",
    "manual_seed(0)",
    of="random_baseline",
)
ex.slip(
    "not_repeatable",
    "The same seed gives other scores the second time. Draw from torch.Generator().manual_seed(seed).",
    "torch.randn(4, n, d_model, d_head, generator=generator)",
    "torch.randn(4, n, d_model, d_head)",
    of="random_baseline",
)
ex.slip(
    "baseline_mean_only",
    "That is the mean of the scores. Return all n of them: the spread is what tells chance from composition.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return ((A @ B).norm() / (A.norm() * B.norm())).mean()",
    of="random_baseline",
)
ex.slip(
    "baseline_unnormalised",
    "The norms of the random matrices were not divided out; a baseline must be the same kind of number as the score.",
    "return (A @ B).norm() / (A.norm() * B.norm())",
    "return (A @ B).norm()",
    of="random_baseline",
)


# ---- 05.11 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "05.11",
    "copying_score",
    "head_copying_scores",
    title="Copying in the complex plane",
    objective="You can sum up a head's OV circuit in one number between -1 and 1: does it raise the logit of what it attends "
    "to?",
    minutes=20,
    difficulty=3,
    importance=4,
    source='Elhage et al. 2021, section "One-Layer Attention-Only Transformers", heading "Detecting Copying Behavior": '
    "the sum of the eigenvalues over the sum of their absolute values.",
    atol=1e-4,
    rtol=1e-3,
    hints=[
        "Add first, divide once: the sum of all eigenvalues over the sum of all their absolute values, along the last axis.",
        "Imaginary parts cancel in the sum (they come in pairs), so .real loses nothing. For real eigenvalues only the sign "
        "decides.",
        "For a head: the eigenvalues of full_OV, through the small matrix (W_O W_U)(W_E W_V), [d_head, d_head].",
    ],
    why="The sum of the eigenvalues is the trace: the total a token adds to its own logit. Dividing by the sum of sizes makes "
    "it a share: 1 when every eigenvalue is positive, -1 when all are negative, near 0 for rotations and random matrices.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    A, B = normal(g, 3, 5, 5), normal(g, 4, 6, 6)
    some, more = torch.linalg.eigvals(A + 0.8 * torch.eye(5)), torch.linalg.eigvals(B - 0.7 * torch.eye(6))
    with_zeros = torch.cat([more, torch.zeros(4, 3, dtype=more.dtype)], dim=-1).reshape(2, 2, 9)
    return [
        {"what": "score", "eigenvalues": some},
        {"what": "score", "eigenvalues": with_zeros},
        {"what": "score", "eigenvalues": some[0]},
        {"what": "heads", "model": tiny_model(seed, d_vocab=41)},
    ]


@ex.oracle
def _(what, eigenvalues=None, model=None):
    if what == "score":
        flat = eigenvalues.reshape(-1, eigenvalues.shape[-1]).tolist()
        scores = [sum(z.real for z in row) / sum(abs(z) for z in row) for row in flat]
        return torch.tensor(scores).reshape(eigenvalues.shape[:-1])
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    W_E, W_U = model.W_E.double(), model.W_U.double()
    for layer, head in heads_of(model):
        attn = model.blocks[layer].attn
        M = W_E @ attn.W_V[head].double() @ attn.W_O[head].double() @ W_U  # n x n; most eigenvalues are zero
        scores[layer, head] = torch.trace(M) / torch.linalg.eigvals(M).abs().sum()  # the sum is the trace
    return {"scores": scores.detach(), "as large as vocabulary x vocabulary": False}


@ex.call
def _(answer, what, eigenvalues=None, model=None):
    if what == "score":
        return answer.copying_score(eigenvalues)
    with watched() as made:
        scores = answer.head_copying_scores(model)
    return {"scores": scores, "largest": int(made.largest)}


@ex.measure
def _(observed, what, eigenvalues=None, model=None):
    if what == "score":
        return observed
    too_large = (
        observed["largest"] >= model.cfg.d_vocab**2
    )  # the thin factors of all heads together are smaller
    return {"scores": observed["scores"], "as large as vocabulary x vocabulary": too_large}


@ex.alternative(of="copying_score")
def sum_over_sum(eigenvalues):
    total = eigenvalues.sum(dim=-1).real
    return total / eigenvalues.abs().sum(dim=-1)


@ex.alternative(of="copying_score")
def real_parts_first(eigenvalues):
    return torch.view_as_real(eigenvalues)[..., 0].sum(-1) / (
        eigenvalues * eigenvalues.conj()
    ).real.sqrt().sum(-1)


@ex.alternative(of="head_copying_scores")
def all_at_once(model):
    full = model.W_E @ model.OV @ model.W_U
    values = full.eigenvalues
    return values.sum(dim=-1).real / values.abs().sum(dim=-1)


@ex.alternative(of="head_copying_scores")
def head_by_head(model):
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    middle = model.W_U @ model.W_E
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            small = model.W_O[layer, head] @ middle @ model.W_V[layer, head]
            scores[layer, head] = torch.trace(small) / torch.linalg.eigvals(small).abs().sum()
    return scores


ex.slip(
    "sizes_of_real_parts",
    "The denominator adds up |real part|. An eigenvalue of 0.1 + 2i has size 2: take the absolute value of the complex number.",
    "eigenvalues.abs().sum(dim=-1)",
    "eigenvalues.real.abs().sum(dim=-1)",
    of="copying_score",
)
ex.slip(
    "absolute_sum",
    "The sign is gone: the absolute value of the sum was taken. A head that suppresses what it attends to must come out "
    "negative.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum(dim=-1).abs()",
    of="copying_score",
)
ex.slip(
    "real_part_of_sizes",
    "That is always 1: the real part of |λ| is |λ|. Take the real part of the sum of the λ themselves.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.abs().sum(dim=-1).real",
    of="copying_score",
)
ex.slip(
    "still_complex",
    "The result is still complex. The imaginary parts cancel; return .real.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum(dim=-1)",
    of="copying_score",
)
ex.slip(
    "not_normalised",
    "The sum was not divided by the sum of the sizes, so large weights look like copying.",
    "total / eigenvalues.abs().sum(dim=-1)",
    "total",
    of="copying_score",
)
ex.slip(
    "one_score_for_all",
    "The leading axes were summed over too. Every matrix has a score of its own: dim=-1.",
    "eigenvalues.sum(dim=-1).real",
    "eigenvalues.sum().real",
    "eigenvalues.abs().sum(dim=-1)",
    "eigenvalues.abs().sum()",
    of="copying_score",
)


@ex.mistake(
    "The ratio λ/|λ| was averaged over the eigenvalues. Then a tiny eigenvalue counts as much as the largest, and a zero one is "
    "0/0. Sum first, divide once.",
    of="copying_score",
)
def mean_of_ratios(eigenvalues):
    return (eigenvalues / eigenvalues.abs()).real.mean(dim=-1)


@ex.mistake(
    "That is the share of eigenvalues with a positive real part; their sizes do not count in it.",
    of="copying_score",
)
def share_of_positive(eigenvalues):
    return (eigenvalues.real > 0).float().mean(dim=-1)


ex.slip(
    "residual_circuit",
    "Those are the eigenvalues of W_V W_O, from residual stream to residual stream. Copying is about tokens: W_E in front, W_U "
    "behind. A head whose output W_U does not read copies nothing.",
    "model.W_E @ model.OV @ model.W_U",
    "model.OV",
    of="head_copying_scores",
)
ex.slip(
    "embedding_for_unembedding",
    "W_E was used on both sides. The output side is W_U; this model's two are different matrices.",
    "@ model.W_U",
    "@ model.W_E.T",
    of="head_copying_scores",
)
ex.slip(
    "full_size",
    "The scores are right, but from d_vocab x d_vocab matrices. For GPT-2 that is 50,257 eigenvalues for each of 144 heads, all "
    "but 64 of them zero: use (W_O W_U)(W_E W_V), which is d_head x d_head.",
    "values = full.eigenvalues",
    "values = torch.linalg.eigvals(full.AB)",
    of="head_copying_scores",
)
ex.slip(
    "layer_and_head_swapped",
    "The axes are swapped: layers are rows, heads are columns.",
    "return values.sum(dim=-1).real / values.abs().sum(dim=-1)",
    "return (values.sum(dim=-1).real / values.abs().sum(dim=-1)).T",
    of="head_copying_scores",
)
ex.slip(
    "first_layer_only",
    "Every row is layer 0 again.",
    "return values.sum(dim=-1).real / values.abs().sum(dim=-1)",
    "return (values.sum(dim=-1).real / values.abs().sum(dim=-1))[:1].expand(len(model.blocks), -1)",
    of="head_copying_scores",
)


@ex.mistake(
    "Those come from singular values, which are never negative. Copying is about eigenvalues: does a token come back as itself, "
    "and with which sign?",
    of="head_copying_scores",
)
def singular_values(model):
    full = model.W_E @ model.OV @ model.W_U
    diagonal = (full.A * full.B.mT).sum((-2, -1))
    return diagonal / full.S.sum(-1)
