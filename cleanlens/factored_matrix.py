"""A low-rank matrix kept as its two factors.

A head's OV and QK circuits are d_model x d_model matrices of rank d_head. Written as A @ B they take a
fraction of the memory, and norm, singular values and eigenvalues need small matrices only.
"""

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor


class FactoredMatrix:
    """The matrix A @ B, with A `[... ldim mdim]` and B `[... mdim rdim]`, never multiplied out unless asked.

    Leading axes are batch axes and broadcast against each other: a model's OV circuits are one
    FactoredMatrix with leading axes layer and head.

    Raises:
        ValueError: the inner axes differ, or the leading axes do not broadcast.
    """

    def __init__(self, A: Float[Tensor, "... ldim mdim"], B: Float[Tensor, "... mdim rdim"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(
                f"FactoredMatrix: A has shape {list(A.shape)} and B {list(B.shape)}; "
                "they must be [... ldim mdim] and [... mdim rdim]"
            )
        try:
            leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        except RuntimeError:
            raise ValueError(
                f"FactoredMatrix: the leading axes of A {list(A.shape)} and B {list(B.shape)} do not broadcast"
            ) from None
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])
        self.ldim, self.mdim, self.rdim = A.shape[-2], A.shape[-1], B.shape[-1]

    # ---------------------------------------------------------------- shape and views

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.rdim))

    @property
    def ndim(self) -> int:
        """The number of axes of the product."""
        return len(self.shape)

    @property
    def has_leading_dims(self) -> bool:
        """Whether this is more than one matrix."""
        return self.ndim > 2

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """(A, B)."""
        return self.A, self.B

    @property
    def AB(self) -> Float[Tensor, "*leading ldim rdim"]:
        """The product, multiplied out."""
        return self.A @ self.B

    @property
    def BA(self) -> Float[Tensor, "*leading mdim mdim"]:
        """The product in the other order, which has the same nonzero eigenvalues. Needs ldim == rdim."""
        self._check_square("BA")
        return self.B @ self.A

    def _check_square(self, what: str) -> None:
        if self.ldim != self.rdim:
            raise ValueError(f"FactoredMatrix.{what}: needs a square matrix; this one has shape {self.shape}")

    @property
    def T(self) -> "FactoredMatrix":
        """The transpose (A B)^T = B^T A^T; leading axes stay."""
        return FactoredMatrix(self.B.transpose(-1, -2), self.A.transpose(-1, -2))

    def transpose(self) -> "FactoredMatrix":
        """The same as `T`."""
        return self.T

    def unsqueeze(self, k: int) -> "FactoredMatrix":
        """A new leading axis of size 1 at place k."""
        if k < 0 or k > self.ndim - 2:
            raise ValueError(f"FactoredMatrix.unsqueeze: {k} is not a place among the leading axes of {self}")
        return FactoredMatrix(self.A.unsqueeze(k), self.B.unsqueeze(k))

    def __getitem__(self, index: Any) -> "FactoredMatrix":
        """Index as the product would be: leading axes first, then its rows (in A), then columns (in B).

        An int for a row or a column keeps that axis, with size 1, so that the result is a FactoredMatrix.
        """
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [i for i in index if not isinstance(i, Tensor)]:
            at = index.index(Ellipsis)
            named = sum(i is not None for i in index) - 1
            index = index[:at] + (slice(None),) * (self.ndim - named) + index[at + 1 :]
        n_axes = sum(i is not None for i in index)
        if n_axes > self.ndim:
            raise IndexError(f"FactoredMatrix: {n_axes} indices for {self.ndim} axes of {self}")
        leading, inner = index, ()
        if n_axes > self.ndim - 2:
            cut = len(index) - (n_axes - (self.ndim - 2))
            leading, inner = index[:cut], index[cut:]
        A, B = self.A[leading], self.B[leading]
        if len(inner) > 0:
            A = A[..., _keep_axis(inner[0]), :]
        if len(inner) > 1:
            B = B[..., :, _keep_axis(inner[1])]
        return FactoredMatrix(A, B)

    def get_corner(self, k: int = 3) -> Tensor:
        """The first k entries of the product along every axis."""
        return (self.A[..., :k, :] @ self.B[..., :, :k])[tuple(slice(k) for _ in range(self.ndim))]

    # ---------------------------------------------------------------- products

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix | Tensor":
        """(A B) @ other, with a matrix, another FactoredMatrix (the smaller inner axis wins) or a vector.

        Raises:
            ValueError: other's rows are not this matrix's columns.
        """
        if isinstance(other, FactoredMatrix):
            _check_inner(self.shape, other.shape)
            middle = self.B @ other.A  # [... mdim mdim']
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        _check_inner(self.shape, other.shape)
        if other.ndim < 2:
            return (self.A @ (self.B @ other)[..., None])[..., 0]
        return FactoredMatrix(self.A, self.B @ other)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix | Tensor":
        """other @ (A B)."""
        _check_inner(other.shape, self.shape)
        if other.ndim < 2:
            return ((other @ self.A)[..., None, :] @ self.B)[..., 0, :]
        return FactoredMatrix(other @ self.A, self.B)

    def __mul__(self, scalar: "int | float | Tensor") -> "FactoredMatrix":
        """Times a number."""
        if isinstance(scalar, Tensor) and scalar.numel() != 1:
            raise ValueError(
                f"FactoredMatrix: can be multiplied by one number, not by a tensor of shape {list(scalar.shape)}"
            )
        return FactoredMatrix(self.A * scalar, self.B)

    __rmul__ = __mul__

    # ---------------------------------------------------------------- algebra on small matrices

    def svd(
        self,
    ) -> tuple[
        Float[Tensor, "*leading ldim k"], Float[Tensor, "*leading k"], Float[Tensor, "*leading rdim k"]
    ]:
        """U, S, V with A B = U diag(S) V^T; k = min(ldim, mdim, rdim), singular values in falling order.

        From A = Q_A R_A and B^T = Q_B R_B the product is Q_A (R_A R_B^T) Q_B^T, so that only the small
        matrix in the middle is decomposed. The published name for V is `Vh`; both are `[rdim k]`.
        """
        Q_A, R_A = torch.linalg.qr(self.A)
        Q_B, R_B = torch.linalg.qr(self.B.transpose(-1, -2))
        U, S, Vh = torch.linalg.svd(R_A @ R_B.transpose(-1, -2), full_matrices=False)
        return Q_A @ U, S, Q_B @ Vh.transpose(-1, -2)

    @property
    def U(self) -> Float[Tensor, "*leading ldim k"]:
        """Left singular vectors, as columns."""
        return self.svd()[0]

    @property
    def S(self) -> Float[Tensor, "*leading k"]:
        """Singular values, in falling order."""
        return self.svd()[1]

    @property
    def V(self) -> Float[Tensor, "*leading rdim k"]:
        """Right singular vectors, as columns."""
        return self.svd()[2]

    @property
    def Vh(self) -> Float[Tensor, "*leading rdim k"]:
        """The same as `V`: the published name and shape."""
        return self.V

    @property
    def eigenvalues(self) -> Complex[Tensor, "*leading mdim"]:
        """The eigenvalues of A B that can differ from zero: those of the small matrix B A."""
        return torch.linalg.eigvals(self.BA)

    def norm(self) -> Float[Tensor, "*leading"]:
        """The Frobenius norm, ||R_A R_B^T|| in the notation of `svd`."""
        R_A = torch.linalg.qr(self.A, mode="r").R
        R_B = torch.linalg.qr(self.B.transpose(-1, -2), mode="r").R
        return (R_A @ R_B.transpose(-1, -2)).norm(dim=(-2, -1))

    def make_even(self) -> "FactoredMatrix":
        """The same product with the singular values shared: A = U sqrt(S), B = sqrt(S) V^T."""
        U, S, V = self.svd()
        root = S.sqrt()[..., None, :]
        return FactoredMatrix(U * root, (V * root).transpose(-1, -2))

    def collapse_l(self) -> Float[Tensor, "*leading k rdim"]:
        """diag(S) V^T: a smaller matrix with the same norm and the same products from the right."""
        _, S, V = self.svd()
        return S[..., None] * V.transpose(-1, -2)

    def collapse_r(self) -> Float[Tensor, "*leading ldim k"]:
        """U diag(S): the same from the left."""
        U, S, _ = self.svd()
        return U * S[..., None, :]

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"


def _keep_axis(index: Any) -> Any:
    """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:."""
    if isinstance(index, int):
        return slice(index, index + 1 or None)
    return index


def _check_inner(left: torch.Size, right: torch.Size) -> None:
    inner = right[-2] if len(right) > 1 else right[-1]
    if left[-1] != inner:
        raise ValueError(
            f"FactoredMatrix: cannot multiply shape {list(left)} by {list(right)}; {left[-1]} columns meet {inner} rows"
        )
