"""A low-rank matrix kept as its factors.

A head's OV and QK circuits are d_model x d_model matrices of rank d_head. Written as A @ B they take a
fraction of the memory, and norm, singular values and eigenvalues need small matrices only.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cleanlens.utils import InputError


class FactoredMatrix:
    """The matrix A @ B, with A `[... ldim mdim]` and B `[... mdim rdim]`, never multiplied out unless asked.

    Leading axes are batch axes and broadcast against each other: a model's OV circuits are one
    FactoredMatrix with leading axes layer and head.

    A and B may themselves be given as chains of matrices, and products stay chains: the full OV circuit
    W_E (W_V W_O) W_U of every head is four factors, never `[layer head d_vocab d_head]`.

    Attributes:
        lefts, rights: the chains whose products are A and B.

    Raises:
        ValueError: the inner axes differ, or the leading axes do not broadcast.
    """

    def __init__(self, A: Tensor | Sequence[Tensor], B: Tensor | Sequence[Tensor]):
        self.lefts: list[Any] = list(A) if isinstance(A, (list, tuple)) else [A]
        self.rights: list[Any] = list(B) if isinstance(B, (list, tuple)) else [B]
        chain = [*self.lefts, *self.rights]
        given = " and ".join(
            f"{name} {' @ '.join(str(list(part.shape)) for part in parts)}"
            for name, parts in (("A", self.lefts), ("B", self.rights))
        )
        if min(part.ndim for part in chain) < 2 or any(
            l.shape[-1] != r.shape[-2] for l, r in pairwise(chain)
        ):
            raise InputError(
                f"FactoredMatrix: the shapes are {given}; they must be [... ldim mdim] and [... mdim rdim]"
            )
        try:
            self.leading = torch.broadcast_shapes(*(part.shape[:-2] for part in chain))
        except RuntimeError:
            raise InputError(
                f"FactoredMatrix: shape mismatch: the leading axes of {given} do not broadcast"
            ) from None
        self.ldim, self.mdim, self.rdim = chain[0].shape[-2], self.lefts[-1].shape[-1], chain[-1].shape[-1]

    @cached_property
    def A(self) -> Float[Tensor, "*leading ldim mdim"]:
        """The left factor, multiplied out."""
        return _product(self.lefts).broadcast_to((*self.leading, self.ldim, self.mdim))

    @cached_property
    def B(self) -> Float[Tensor, "*leading mdim rdim"]:
        """The right factor, multiplied out."""
        return _product(self.rights).broadcast_to((*self.leading, self.mdim, self.rdim))

    # ---------------------------------------------------------------- shape and views

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.leading, self.ldim, self.rdim))

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
        return _product([*self.lefts, *self.rights]).broadcast_to(self.shape)

    @property
    def BA(self) -> Float[Tensor, "*leading mdim mdim"]:
        """The product in the other order, which has the same nonzero eigenvalues. Needs ldim == rdim."""
        self._check_square("BA")
        return _product([*self.rights, *self.lefts]).expand(*self.leading, self.mdim, self.mdim)

    def _check_square(self, what: str) -> None:
        if self.ldim != self.rdim:
            raise InputError(f"FactoredMatrix.{what}: needs a square matrix; this one has shape {self.shape}")

    @property
    def T(self) -> "FactoredMatrix":
        """The transpose (A B)^T = B^T A^T; leading axes stay."""
        return FactoredMatrix(
            [part.transpose(-1, -2) for part in reversed(self.rights)],
            [part.transpose(-1, -2) for part in reversed(self.lefts)],
        )

    def transpose(self) -> "FactoredMatrix":
        """The same as `T`."""
        return self.T

    def unsqueeze(self, k: int) -> "FactoredMatrix":
        """A new leading axis of size 1 at place k."""
        if k < 0 or k > self.ndim - 2:
            raise InputError(f"FactoredMatrix.unsqueeze: {k} is not a place among the leading axes of {self}")
        lefts, rights = self._with_leading()
        return FactoredMatrix([part.unsqueeze(k) for part in lefts], [part.unsqueeze(k) for part in rights])

    def _with_leading(self) -> tuple[list[Tensor], list[Tensor]]:
        """Both chains, every factor with all the leading axes (as views)."""
        lefts, rights = (
            [part.expand(*self.leading, *part.shape[-2:]) for part in chain]
            for chain in (self.lefts, self.rights)
        )
        return lefts, rights

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
        lefts, rights = ([part[leading] for part in chain] for chain in self._with_leading())
        if len(inner) > 0:
            lefts[0] = lefts[0][..., _keep_axis(inner[0]), :]
        if len(inner) > 1:
            rights[-1] = rights[-1][..., :, _keep_axis(inner[1])]
        return FactoredMatrix(lefts, rights)

    def get_corner(self, k: int = 3) -> Tensor:
        """The first k entries of the product along every axis."""
        return self[(*(slice(k) for _ in range(self.ndim)),)].AB

    # ---------------------------------------------------------------- products

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix | Tensor":
        """(A B) @ other, with a matrix, another FactoredMatrix or a vector. The smallest inner axis wins.

        Raises:
            InputError: other's rows are not this matrix's columns.
        """
        _check_inner(self.shape, other.shape)
        if isinstance(other, FactoredMatrix):
            if self.rdim < min(self.mdim, other.mdim):
                return FactoredMatrix([*self.lefts, *self.rights], [*other.lefts, *other.rights])
            middle = _product([*self.rights, *other.lefts])  # [... mdim mdim']
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.lefts, [middle, *other.rights])
            return FactoredMatrix([*self.lefts, middle], other.rights)
        if other.ndim < 2:
            product = _product([*self.lefts, *self.rights, other.unsqueeze(-1)])
            return product.squeeze(-1).broadcast_to(self.shape[:-1])
        if self.rdim < self.mdim:
            return FactoredMatrix([*self.lefts, *self.rights], other)
        return FactoredMatrix(self.lefts, [*self.rights, other])

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix | Tensor":
        """other @ (A B)."""
        _check_inner(other.shape, self.shape)
        if other.ndim < 2:
            product = _product([other.unsqueeze(0), *self.lefts, *self.rights])
            return product.squeeze(-2).broadcast_to((*self.leading, self.rdim))
        if self.ldim < self.mdim:
            return FactoredMatrix(other, [*self.lefts, *self.rights])
        return FactoredMatrix([other, *self.lefts], self.rights)

    def __mul__(self, scalar: "int | float | Tensor") -> "FactoredMatrix":
        """Times a number."""
        if isinstance(scalar, Tensor) and scalar.numel() != 1:
            raise InputError(
                f"FactoredMatrix: can be multiplied by one number, not by a tensor of shape {list(scalar.shape)}"
            )
        return FactoredMatrix([*self.lefts[:-1], self.lefts[-1] * scalar], self.rights)

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
        return self._svd

    @cached_property
    def _svd(self) -> tuple[Tensor, Tensor, Tensor]:
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
        return torch.linalg.eigvals(self.BA.to(torch.promote_types(self.BA.dtype, torch.float32)))

    def norm(self) -> Float[Tensor, "*leading"]:
        """The Frobenius norm, ||R_A R_B^T|| in the notation of `svd`."""
        R_A, R_B = self.cores()
        return (R_A @ R_B.transpose(-1, -2)).norm(dim=(-2, -1)).expand(self.leading)

    def cores(self) -> tuple[Float[Tensor, "*#leading k mdim"], Float[Tensor, "*#leading j mdim"]]:
        """R_A and R_B of `svd`: A = Q_A R_A and B^T = Q_B R_B with orthonormal columns in Q_A and Q_B.

        Every norm of A B is that of R_A R_B^T. A leading axis that a factor lacks is not added.
        """
        return _triangle(self.lefts), _triangle([part.transpose(-1, -2) for part in reversed(self.rights)])

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


def _product(chain: Sequence[Tensor]) -> Tensor:
    """The product of a chain, multiplying first where the result is smallest.

    In W_O (W_U W_E) W_V, for all heads at once, that is the one d_model x d_model matrix in the middle.
    """
    chain = list(chain)
    while len(chain) > 1:
        sizes = [
            torch.broadcast_shapes(l.shape[:-2], r.shape[:-2]).numel() * l.shape[-2] * r.shape[-1]
            for l, r in pairwise(chain)
        ]
        at = sizes.index(min(sizes))
        chain[at : at + 2] = [chain[at] @ chain[at + 1]]
    return chain[0]


def _triangle(chain: Sequence[Tensor]) -> Tensor:
    """R of the QR decomposition of a chain's product, taken factor by factor so that each stays small."""
    R = torch.linalg.qr(chain[0], mode="r").R
    for part in chain[1:]:
        R = torch.linalg.qr(R @ part, mode="r").R
    return R


def _keep_axis(index: Any) -> Any:
    """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:."""
    if isinstance(index, int):
        return slice(index, index + 1 or None)
    return index


def _check_inner(left: torch.Size, right: torch.Size) -> None:
    inner = right[-2] if len(right) > 1 else right[-1]
    if left[-1] != inner:
        raise InputError(
            f"FactoredMatrix: cannot multiply shape {list(left)} by {list(right)}; {left[-1]} columns meet {inner} rows"
        )
