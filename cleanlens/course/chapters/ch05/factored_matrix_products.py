"""Exercise 05.1: Products and slices of a factored matrix."""

import torch

from ...exercise import exercise
from .helpers import GivenFactoredMatrix, as_product, low_rank, normal

ex = exercise(
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
    version=2,
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
    "F[-1]": "F[-1:]",
    "F[-2, -1]": "F[-2:-1, -1:]",
    "F[torch.tensor([4, 0, 4])]": "F[[4, 0, 4]]",
    "F[1:, torch.tensor([2, 0])]": "F[1:, [2, 0]]",
}


BATCHED_INDICES = {
    "F[1]": "F[1]",
    "F[1, 2:4]": "F[1, 2:4]",
    "F[2, 3, 1:6]": "F[2, 3, 1:6]",
    "F[1, 4, 3:6, 1:3]": "F[1, 4, 3:6, 1:3]",
    "F[:, 2, :, 4]": "F[:, 2, :, 4:5]",
    "F[-1, 1:3, -1, -1]": "F[-1, 1:3, -1:, -1:]",
    "F[torch.tensor([3, 1])]": "F[[3, 1]]",
}


ONE_AXIS_INDICES = {"F[2]": "F[2]", "F[0, 3]": "F[0, 3:4]", "F[1:, :, 2]": "F[1:, :, 2:3]"}


DENSE = INDICES | BATCHED_INDICES | ONE_AXIS_INDICES | {"F @ X": "F @ X", "X @ F": "X @ F"}


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
        ("F @ X", batch, normal(g, 5, 6, 8)),
        ("X @ F", batch, normal(g, 4, 1, 5, 7)),
        ("F @ X", low_rank(g, 1, 3, 6, (1,)), normal(g, 6, 1)),
        ("X @ F", low_rank(g, 7, 1, 1), normal(g, 1, 7)),
        ("F @ X", low_rank(g, 7, 3, 6), low_rank(g, 6, 1, 1)),
    ]
    calls = [{"expression": text, "A": F[0], "B": F[1], "X": X} for text, F, X in products]
    calls += [{"expression": text, "A": thin[0], "B": thin[1], "X": None} for text in INDICES]
    calls += [{"expression": text, "A": batch[0], "B": batch[1], "X": None} for text in BATCHED_INDICES]
    stack = low_rank(g, 5, 2, 4, (3,))
    calls += [{"expression": text, "A": stack[0], "B": stack[1], "X": None} for text in ONE_AXIS_INDICES]
    return calls


@ex.oracle
def _(expression, A, B, X):
    hidden = A.shape[-1]
    if isinstance(X, tuple):
        hidden = min(hidden, X[0].shape[-1])
        X = torch.einsum("...lm,...mr->...lr", *X)
    F = torch.einsum("...lm,...mr->...lr", A, B)
    product = eval(DENSE[expression], {"F": F, "X": X})
    return {"kind": "FactoredMatrix", "hidden axis": hidden, "product": product, "F afterwards": F}


@ex.call
def _(answer, expression, A, B, X):
    F, X = answer(A, B), answer(*X) if isinstance(X, tuple) else X
    if expression not in DENSE:
        raise ValueError(expression)
    result = as_product(eval(expression, {"F": F, "X": X, "torch": torch}))
    return result | {"F afterwards": F.A @ F.B} if isinstance(result, dict) else result


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


ex.slip(
    "changes_itself",
    "The product is right, but F itself became the product: whoever uses F again has another matrix. Make a new FactoredMatrix.",
    "        return type(self)(self.A, self.B @ other)\n",
    "        self.B = self.B @ other\n        return self\n",
    of="FactoredMatrix.__matmul__",
)


ex.slip(
    "last_row_or_column_is_empty",
    "For the index -1 nothing is left: -1 became the slice -1:0, which is empty. keep_axis makes -1: of it.",
    "A[..., self.keep_axis(inner[0]), :]",
    "A[..., slice(inner[0], inner[0] + 1) if isinstance(inner[0], int) else inner[0], :]",
    "B[..., :, self.keep_axis(inner[1])]",
    "B[..., :, slice(inner[1], inner[1] + 1) if isinstance(inner[1], int) else inner[1]]",
    of="FactoredMatrix.__getitem__",
)


ex.slip(
    "leading_axis_kept",
    "An int for a leading axis kept that axis, with size 1. It should take one entry and drop the axis, as indexing the product would; "
    "only a row and a column keep theirs.",
    "self.A[leading], self.B[leading]",
    "(X[tuple(self.keep_axis(i) for i in leading)] for X in (self.A, self.B))",
    of="FactoredMatrix.__getitem__",
)


ex.slip(
    "two_leading_axes_assumed",
    "The index cut both factors, as when it is given to both as a whole, or when two leading axes are assumed: a FactoredMatrix may have one, none, or more. All axes but the last two are leading: "
    "self.A.ndim - 2 of them.",
    "self.A.ndim - 2",
    "2",
    of="FactoredMatrix.__getitem__",
)


ex.slip(
    "other_transposed",
    "F @ X came out as F @ X^T.",
    "self.B @ other)",
    "self.B @ other.mT)",
    of="FactoredMatrix.__matmul__",
)


ex.slip(
    "left_other_transposed",
    "X @ F came out as X^T @ F.",
    "other @ self.A",
    "other.mT @ self.A",
    of="FactoredMatrix.__rmatmul__",
)


ex.equivalent(
    "With two hidden axes of one size, either may be kept.",
    "1] <= other.A => 1] < other.A",
    "-1] < self.A. => -1] <= self.A.",
    "mdim <= other. => mdim < other.",
)
