# %% wrong 05.1: always keeps the right factor's hidden axis
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            return FactoredMatrix(self.A @ (self.B @ other.A), other.B)
        return FactoredMatrix(self.A, self.B @ other)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: takes the larger hidden axis
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        mid = self.B @ other.A
        if self.mdim > other.mdim:
            return FactoredMatrix(self.A, mid @ other.B)
        return FactoredMatrix(self.A @ mid, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: returns a plain tensor, not a factored matrix
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            other = other.AB
        return self.AB @ other

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: the other tensor is transposed
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other.mT)
        mid = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, mid @ other.B)
        return FactoredMatrix(self.A @ mid, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: rmatmul multiplies from the wrong side
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(self.A, self.B @ other)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: rmatmul transposes the other
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other.mT @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: changes self in place and returns it
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        self.A = other @ self.A
        return self

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: the whole index on both factors, rows of B are the hidden axis
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        return FactoredMatrix(self.A[index], self.B[index])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: column index ignored
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], index[n:]
        A, B = self.A[lead], self.B[lead]
        if rest:
            A = A[..., self.keep_axis(rest[0]), :]
        return FactoredMatrix(A, B)

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: an int row loses its axis
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], index[n:]
        A, B = self.A[lead], self.B[lead]
        if len(rest) > 0:
            A = A[..., rest[0], :]
        if len(rest) > 1:
            B = B[..., :, rest[1]]
        return FactoredMatrix(A, B)

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: keep_axis on leading ints too
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(self.keep_axis(i) for i in index)
        n = self.A.ndim - 2
        A, B = self.A[index[:n]], self.B[index[:n]]
        rest = index[n:]
        if len(rest) > 0:
            A = A[..., rest[0], :]
        if len(rest) > 1:
            B = B[..., :, rest[1]]
        return FactoredMatrix(A, B)

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: i:i+1 for ints, empty for -1
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead = index[:n]
        rest = [slice(i, i + 1) if isinstance(i, int) else i for i in index[n:]]
        rest += [slice(None)] * (2 - len(rest))
        return FactoredMatrix(self.A[lead][..., rest[0], :], self.B[lead][..., :, rest[1]])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: always takes the last two entries of the index as row and column, even of a short one
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        lead, rest = index[:-2], [self.keep_axis(i) for i in index[-2:]]
        rest += [slice(None)] * (2 - len(rest))
        return FactoredMatrix(self.A[lead][..., rest[0], :], self.B[lead][..., :, rest[1]])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: assumes two leading axes
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        lead, rest = index[:2], [self.keep_axis(i) for i in index[2:]]
        rest += [slice(None)] * (2 - len(rest))
        return FactoredMatrix(self.A[lead][..., rest[0], :], self.B[lead][..., :, rest[1]])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: multiplies out, l x r is made (and the shapes are not m)
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        u, s, vh = torch.linalg.svd(self.AB, full_matrices=False)
        m = self.mdim
        return u[..., :m], s[..., :m], vh.mT[..., :m]

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: returns V^T instead of V
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, (Qb @ vh.mT).mT

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: vh not transposed before it is turned by Qb
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: product of the factors' own singular values
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        ua, sa, _ = torch.linalg.svd(self.A, full_matrices=False)
        _, sb, vhb = torch.linalg.svd(self.B, full_matrices=False)
        return ua, sa * sb, vhb.mT

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: V from U and S by division, NaN or rubbish for matrices of lower rank
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        core = Ra @ Rb.mT
        values, vectors = torch.linalg.eigh(core @ core.mT)
        s = values.flip(-1).clamp(min=0).sqrt()
        u = vectors.flip(-1)
        v = core.mT @ u / s[..., None, :]
        return Qa @ u, s, Qb @ v

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: singular values rising (from eigh, not flipped)
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        core = Ra @ Rb.mT
        u, s, vh = torch.linalg.svd(core)
        return (Qa @ u).flip(-1), s.flip(-1), (Qb @ vh.mT).flip(-1)

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: .T turns all axes round, works without a batch only
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.T)
        u, s, vh = torch.linalg.svd(Ra @ Rb.T)
        return Qa @ u, s, Qb @ vh.T

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r").R
        Rb = torch.linalg.qr(self.B.mT, mode="r").R
        return (Ra @ Rb.mT).square().sum((-2, -1)).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: norm of the batch as a whole
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A).R
        Rb = torch.linalg.qr(self.B.mT).R
        return (Ra @ Rb.mT).norm()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: product of the norms
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        return self.A.norm(dim=(-2, -1)) * self.B.norm(dim=(-2, -1))

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: forgets the root
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        return ((self.A.mT @ self.A) * (self.B @ self.B.mT)).sum((-2, -1))

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: multiplies out
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        return torch.linalg.matrix_norm(self.A @ self.B)

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: spectral norm
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A).R
        Rb = torch.linalg.qr(self.B.mT).R
        return torch.linalg.matrix_norm(Ra @ Rb.mT, ord=2)

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: norm of each row of the core, not of the matrix
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A).R
        Rb = torch.linalg.qr(self.B.mT).R
        return (Ra @ Rb.mT).norm(dim=-1)

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.3: multiplies out and returns all l of them
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.A @ self.B)


# %% wrong 05.3: real parts only
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.B @ self.A).real


# %% wrong 05.3: for symmetric matrices only
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvalsh(self.B @ self.A).to(torch.complex64)


# %% wrong 05.3: the singular values
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.svdvals(self.B @ self.A).to(torch.complex64)


# %% wrong 05.3: transposed factors multiplied the wrong way
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.A.mT @ self.A @ self.B @ self.B.mT)


# %% wrong 05.3: returns the pair of eig
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eig(self.B @ self.A)


# %% wrong 05.3: absolute values, still called complex
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        e = torch.linalg.eigvals(self.B @ self.A)
        return e.abs().to(e.dtype)


# %% wrong 05.4: without the unembedding
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(model.W_E @ model.W_V[layer, head], model.W_O[layer, head])


# %% wrong 05.4: d_model between the factors
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(model.W_E, model.W_V[layer, head] @ model.W_O[layer, head] @ model.W_U)


# %% wrong 05.4: multiplied out
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return model.W_E @ model.W_V[layer, head] @ model.W_O[layer, head] @ model.W_U


# %% wrong 05.4: layer and head swapped
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(model.W_E @ model.W_V[head, layer], model.W_O[head, layer] @ model.W_U)


# %% wrong 05.4: transposed, rows are the outputs
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    A = (model.W_O[layer, head] @ model.W_U).mT
    B = (model.W_E @ model.W_V[layer, head]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.4: W_Q instead of W_V
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(model.W_E @ model.W_Q[layer, head], model.W_O[layer, head] @ model.W_U)


# %% wrong 05.4: all heads of the layer together
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    A = torch.cat([model.W_E @ W for W in model.W_V[layer]], dim=-1)
    B = torch.cat([W @ model.W_U for W in model.W_O[layer]], dim=0)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.5: drops the last incomplete chunk
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.shape[-1]
    hits = 0
    for i in range(n // chunk_size):
        rows = torch.arange(i * chunk_size, (i + 1) * chunk_size, device=M.A.device)
        hits += ((M.A[rows] @ M.B).argmax(-1) == rows).sum().item()
    return hits / n


# %% wrong 05.5: compares with the place in the chunk
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.shape[-1]
    hits = 0
    for i in range(0, n, chunk_size):
        block = M.A[i : i + chunk_size] @ M.B
        hits += (block.argmax(-1) == torch.arange(block.shape[0], device=block.device)).sum().item()
    return hits / n


# %% wrong 05.5: mean of the chunks' shares, the last chunk is shorter
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    shares = []
    for i in range(0, M.shape[0], chunk_size):
        block = M.A[i : i + chunk_size] @ M.B
        target = torch.arange(i, i + block.shape[0], device=block.device)
        shares.append((block.argmax(-1) == target).float().mean())
    return torch.stack(shares).mean().item()


# %% wrong 05.5: along columns
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.shape[0]
    hits = 0
    for i in range(0, n, chunk_size):
        block = M.A @ M.B[:, i : i + chunk_size]
        target = torch.arange(i, min(i + chunk_size, n), device=block.device)
        hits += (block.argmax(0) == target).sum().item()
    return hits / n


# %% wrong 05.5: everything multiplied out at once
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    full = M.A @ M.B
    return (full.argmax(-1) == torch.arange(full.shape[0], device=full.device)).float().mean().item()


# %% wrong 05.5: largest absolute value
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    hits = 0
    for i in range(0, M.shape[0], chunk_size):
        block = (M.A[i : i + chunk_size] @ M.B).abs()
        hits += (block.argmax(-1) == torch.arange(i, i + len(block), device=block.device)).sum().item()
    return hits / M.shape[0]


# %% wrong 05.5: returns the number of hits as a tensor
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    hits = torch.zeros((), dtype=torch.long)
    for i in range(0, M.shape[0], chunk_size):
        block = M.A[i : i + chunk_size] @ M.B
        hits += (block.argmax(-1) == torch.arange(i, i + len(block), device=block.device)).sum()
    return hits


# %% wrong 05.6: product of the sums: sums the factors
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = sum(model.W_E @ model.W_V[l, h] for l, h in heads)
    B = sum(model.W_O[l, h] @ model.W_U for l, h in heads)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: the mean of the heads
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = torch.cat([model.W_E @ model.W_V[l, h] for l, h in heads], dim=-1)
    B = torch.cat([model.W_O[l, h] @ model.W_U for l, h in heads], dim=0)
    return cleanlens.FactoredMatrix(A / len(heads), B)


# %% wrong 05.6: product of the heads' circuits
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    left = model.W_E
    for l, h in heads[:-1]:
        left = left @ model.W_V[l, h] @ model.W_O[l, h]
    l, h = heads[-1]
    return cleanlens.FactoredMatrix(left @ model.W_V[l, h], model.W_O[l, h] @ model.W_U)


# %% wrong 05.6: takes all heads from the first one's layer
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    layer = heads[0][0]
    A = torch.cat([model.W_E @ model.W_V[layer, h] for _, h in heads], dim=-1)
    B = torch.cat([model.W_O[layer, h] @ model.W_U for _, h in heads], dim=0)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: sum of W_V W_O, d_model between the factors
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    ov = sum(model.W_V[l, h] @ model.W_O[l, h] for l, h in heads)
    return cleanlens.FactoredMatrix(model.W_E @ ov, model.W_U)


# %% wrong 05.6: stack instead of cat, a batch of matrices
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = torch.stack([model.W_E @ model.W_V[l, h] for l, h in heads])
    B = torch.stack([model.W_O[l, h] @ model.W_U for l, h in heads])
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: sorted heads on one side only
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = torch.cat([model.W_E @ model.W_V[l, h] for l, h in sorted(heads)], dim=-1)
    B = torch.cat([model.W_O[l, h] @ model.W_U for l, h in heads], dim=0)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.7: divides by ln_scale once only
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    q = model.W_pos / ln_scale @ model.W_Q[layer, head]
    k = model.W_pos @ model.W_K[layer, head]
    scores = q @ k.mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1), float("-inf"))
    return scores.softmax(-1)


# %% wrong 05.7: no 1 / sqrt(d_head)
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1), float("-inf"))
    return scores.softmax(-1)


# %% wrong 05.7: the mask hides the diagonal as well, first row NaN
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(0), float("-inf"))
    return scores.softmax(-1)


# %% wrong 05.7: not causal
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT / model.cfg.d_head**0.5
    return scores.softmax(-1)


# %% wrong 05.7: softmax first, then the mask, so rows do not sum to one
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT / model.cfg.d_head**0.5
    return scores.softmax(-1).tril()


# %% wrong 05.7: softmax over the queries
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1), float("-inf"))
    return scores.softmax(0)


# %% wrong 05.7: triu keeps the future, and changes W_pos in place
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    with torch.no_grad():
        x = model.W_pos.data
        x /= ln_scale
    scores = (x @ model.W_Q[layer, head]) @ (x @ model.W_K[layer, head]).mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    keep = torch.ones(n, n, device=scores.device).triu().bool()
    return scores.masked_fill(~keep, float("-inf")).softmax(-1)


# %% wrong 05.7: key scores against query rows, [key query]
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    scores = (x @ model.W_K[layer, head]) @ (x @ model.W_Q[layer, head]).mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1), float("-inf"))
    return scores.softmax(-1)


# %% wrong 05.8: the bias row is not divided by the LayerNorm scale
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    x = torch.stack(parts)
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    bias = bias - bias.mean(-1, keepdim=True)
    q = torch.cat([x @ model.W_Q[layer, head], (bias @ model.W_Q[layer, head] + model.b_Q[layer, head])[None]])
    k = torch.cat([x @ model.W_K[layer, head], (bias @ model.W_K[layer, head] + model.b_K[layer, head])[None]])
    return q, k


# %% wrong 05.8: every component has its own LayerNorm scale
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_K[layer, head]
    return q, k


# %% wrong 05.8: b_Q in every row
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q = x @ model.W_Q[layer, head] + model.b_Q[layer, head]
    k = x @ model.W_K[layer, head] + model.b_K[layer, head]
    return q, k


# %% wrong 05.8: earlier layers' b_O forgotten, last row only b_Q, and the layer itself included
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer + 1):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    x = torch.stack(parts)
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    s = x.shape[1]
    q = torch.cat([x @ model.W_Q[layer, head], model.b_Q[layer, head].expand(1, s, -1)])
    k = torch.cat([x @ model.W_K[layer, head], model.b_K[layer, head].expand(1, s, -1)])
    return q, k


# %% wrong 05.8: heads in falling order, and head before layer
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for h in reversed(range(model.cfg.n_heads)):
        for l in range(layer):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_K[layer, head]
    return q, k


# %% wrong 05.8: b_Q with the keys too
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_Q[layer, head]
    return q, k


# %% wrong 05.8: the final LayerNorm's scale instead of the layer's own
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = (x - x.mean(-1, keepdim=True)) / cache["ln_final.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_K[layer, head]
    return q, k


# %% wrong 05.8: no division by sqrt(e)
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("ise,jte->ijst", q, k)


# %% wrong 05.8: divides by e
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1]


# %% wrong 05.8: [i j key query]
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijkq", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: only pairs of the same component (and only if i = j)
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    same = q @ k.mT / q.shape[-1] ** 0.5
    return torch.diag_embed(same.permute(1, 2, 0)).permute(2, 3, 0, 1)


# %% wrong 05.8: divides by the root of the number of positions
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[1] ** 0.5


# %% wrong 05.8: masks the future and takes the softmax
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    scores = torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5
    s = scores.shape[-1]
    future = torch.ones(s, s, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


# %% wrong 05.9: rows and columns swapped
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_K[l1, h1]
    B = (model.W_E @ model.W_Q[l1, h1]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.9: prev feeds the queries (Q-composition)
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_Q[l1, h1]
    return cleanlens.FactoredMatrix(A, (model.W_E @ model.W_K[l1, h1]).mT)


# %% wrong 05.9: prev and ind confused
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    ind, prev = prev, ind
    A = model.W_E @ model.W_Q[ind[0], ind[1]]
    B = (model.W_E @ model.W_V[prev[0], prev[1]] @ model.W_O[prev[0], prev[1]] @ model.W_K[ind[0], ind[1]]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.9: forgets the OV circuit of prev
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    l1, h1 = ind
    return cleanlens.FactoredMatrix(model.W_E @ model.W_Q[l1, h1], (model.W_E @ model.W_K[l1, h1]).mT)


# %% wrong 05.9: scaled by sqrt(d_head)
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_Q[l1, h1] / model.cfg.d_head**0.5
    B = (model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_K[l1, h1]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.9: W_U at the key end
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_Q[l1, h1]
    B = (model.W_U.mT @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_K[l1, h1]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.9: d_model between the factors
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_Q[l1, h1] @ model.W_K[l1, h1].mT
    B = (model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.10: B A instead of A B
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (B @ A).norm() / (A.norm() * B.norm())


# %% wrong 05.10: one number for the whole batch
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm().norm() / (A.norm().norm() * B.norm().norm())


# %% wrong 05.10: divides by the second norm's product only once: ||AB|| / ||A|| * ||B||
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / A.norm() * B.norm()


# %% wrong 05.10: spectral norms
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    top = lambda M: torch.linalg.matrix_norm(M.A @ M.B, ord=2)
    return top(A @ B) / (top(A) * top(B))


# %% wrong 05.10: squared norms
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() ** 2 / (A.norm() ** 2 * B.norm() ** 2)


# %% wrong 05.10: returns a float, and only without a batch
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return ((A @ B).norm() / (A.norm() * B.norm())).item()


# %% wrong 05.10: reads with the QK circuit the wrong way round (that is Q-composition)
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_V[prev[0], prev[1]], model.W_O[prev[0], prev[1]])
    B = cleanlens.FactoredMatrix(model.W_Q[ind[0], ind[1]], model.W_K[ind[0], ind[1]].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: composes with the values of ind (V-composition)
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_V[prev[0], prev[1]], model.W_O[prev[0], prev[1]])
    B = cleanlens.FactoredMatrix(model.W_V[ind[0], ind[1]], model.W_O[ind[0], ind[1]])
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: ind writes and prev reads
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_V[ind[0], ind[1]], model.W_O[ind[0], ind[1]])
    B = cleanlens.FactoredMatrix(model.W_K[prev[0], prev[1]], model.W_Q[prev[0], prev[1]].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: uses the full circuits with W_E and W_U
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_E @ model.W_V[prev[0], prev[1]], model.W_O[prev[0], prev[1]])
    B = cleanlens.FactoredMatrix(model.W_K[ind[0], ind[1]], model.W_Q[ind[0], ind[1]].mT @ model.W_E.mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: returns one score for all heads of the layer
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_V[prev[0]], model.W_O[prev[0]])
    B = cleanlens.FactoredMatrix(model.W_K[ind[0]], model.W_Q[ind[0]].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: uniform instead of Gaussian factors
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.rand(*shape, generator=g)
    A = cleanlens.FactoredMatrix(make(n, d_model, d_head), make(n, d_head, d_model))
    B = cleanlens.FactoredMatrix(make(n, d_model, d_head), make(n, d_head, d_model))
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: the seed is not used
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    scores = []
    for _ in range(n):
        A = cleanlens.FactoredMatrix(torch.randn(d_model, d_head), torch.randn(d_head, d_model))
        B = cleanlens.FactoredMatrix(torch.randn(d_model, d_head), torch.randn(d_head, d_model))
        scores.append((A @ B).norm() / (A.norm() * B.norm()))
    return torch.stack(scores)


# %% wrong 05.10: both matrices from the same draw (seeded again in between)
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    def draw():
        g = torch.Generator().manual_seed(seed)
        left = torch.randn(n, d_model, d_head, generator=g)
        return cleanlens.FactoredMatrix(left, torch.randn(n, d_head, d_model, generator=g))

    A, B = draw(), draw()
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: seeds inside the loop, all n scores are equal
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    scores = []
    for _ in range(n):
        g = torch.Generator().manual_seed(seed)
        A = cleanlens.FactoredMatrix(torch.randn(d_model, d_head, generator=g), torch.randn(d_head, d_model, generator=g))
        B = cleanlens.FactoredMatrix(torch.randn(d_model, d_head, generator=g), torch.randn(d_head, d_model, generator=g))
        scores.append((A @ B).norm() / (A.norm() * B.norm()))
    return torch.stack(scores)


# %% wrong 05.10: full-rank Gaussian matrices, no d_head in between
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(n, d_model, d_model, generator=g)
    B = torch.randn(n, d_model, d_model, generator=g)
    return torch.linalg.matrix_norm(A @ B) / (torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(B))


# %% wrong 05.10: one factor used as the other's transpose, not independent
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(n, d_model, d_head, generator=g)
    b = torch.randn(n, d_model, d_head, generator=g)
    A, B = cleanlens.FactoredMatrix(a, a.mT), cleanlens.FactoredMatrix(b, b.mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% wrong 05.10: the mean of the scores
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    f = [torch.randn(n, d_model, d_head, generator=g) for _ in range(4)]
    A, B = cleanlens.FactoredMatrix(f[0], f[1].mT), cleanlens.FactoredMatrix(f[2], f[3].mT)
    return ((A @ B).norm() / (A.norm() * B.norm())).mean()


# %% wrong 05.11: complex result
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(-1) / eigenvalues.abs().sum(-1)


# %% wrong 05.11: over all matrices together
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum().real / eigenvalues.abs().sum()


# %% wrong 05.11: absolute values of the real parts only
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    re = eigenvalues.real
    return re.sum(-1) / re.abs().sum(-1)


# %% wrong 05.11: share of eigenvalues with positive real part
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return (eigenvalues.real > 0).float().mean(-1)


# %% wrong 05.11: absolute value of the sum, from 0 to 1
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(-1).abs() / eigenvalues.abs().sum(-1)


# %% wrong 05.11: mean over sum
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.mean(-1).real / eigenvalues.abs().sum(-1)


# %% wrong 05.11: only the OV circuit in the residual stream
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    e = torch.linalg.eigvals(model.W_O @ model.W_V)
    return e.sum(-1).real / e.abs().sum(-1)


# %% wrong 05.11: makes d_vocab x d_vocab
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    out = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for l in range(model.cfg.n_layers):
        for h in range(model.cfg.n_heads):
            full = model.W_E @ model.W_V[l, h] @ model.W_O[l, h] @ model.W_U
            e = torch.linalg.eigvals(full)
            out[l, h] = e.sum().real / e.abs().sum()
    return out


# %% wrong 05.11: heads as rows
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    M = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    e = torch.linalg.eigvals(M.B @ M.A)
    return (e.sum(-1).real / e.abs().sum(-1)).mT


# %% wrong 05.11: QK circuit
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    A, B = model.W_E @ model.W_Q, model.W_K.mT @ model.W_E.mT
    e = torch.linalg.eigvals(B @ A)
    return e.sum(-1).real / e.abs().sum(-1)


# %% wrong 05.11: singular values, never negative
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    s = torch.linalg.svdvals(model.W_O @ model.W_U @ model.W_E @ model.W_V)
    return s.sum(-1) / s.abs().sum(-1)


# %% wrong 05.11: first layer only
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    e = torch.linalg.eigvals((model.W_O[0] @ model.W_U) @ (model.W_E @ model.W_V[0]))
    return (e.sum(-1).real / e.abs().sum(-1)).expand(model.cfg.n_layers, -1)


# %% right 05.1: short, tensors first
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if not isinstance(other, FactoredMatrix):
            return FactoredMatrix(self.A, self.B @ other)
        if other.mdim < self.mdim:
            return FactoredMatrix(self.A @ (self.B @ other.A), other.B)
        return FactoredMatrix(self.A, (self.B @ other.A) @ other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(torch.matmul(other, self.A), self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: index padded with full slices
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, torch.Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        index = index + (slice(None),) * (n + 2 - len(index))
        lead, row, col = index[:n], self.keep_axis(index[n]), self.keep_axis(index[n + 1])
        A = self.A[(*lead, slice(None), slice(None))][..., row, :]
        B = self.B[(*lead, slice(None), slice(None))][..., :, col]
        return FactoredMatrix(A, B)

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: one operator by the other
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            if self.mdim >= other.mdim:
                return FactoredMatrix(self.A @ (self.B @ other.A), other.B)
            return (self @ other.A) @ other.B
        return FactoredMatrix(self.A, torch.matmul(self.B, other))

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        A = torch.einsum("...ij,...jk->...ik", other, self.A)
        return FactoredMatrix(A, self.B)

    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n = self.A.ndim - 2
        lead, rest = index[:n], [self.keep_axis(i) for i in index[n:]]
        rows = rest[0] if rest else slice(None)
        cols = rest[1] if len(rest) > 1 else slice(None)
        A = self.A[lead]
        B = self.B[lead]
        return FactoredMatrix(A[..., rows, :], B[..., cols])

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: QR
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        return self.svd()[1].square().sum(-1).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: three SVDs
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        ua, sa, vha = torch.linalg.svd(self.A, full_matrices=False)
        ub, sb, vhb = torch.linalg.svd(self.B, full_matrices=False)
        middle = (sa[..., :, None] * vha) @ (ub * sb[..., None, :])
        u, s, vh = torch.linalg.svd(middle)
        return ua @ u, s, vhb.mT @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        _, sa, vha = torch.linalg.svd(self.A, full_matrices=False)
        return torch.linalg.matrix_norm(sa[..., :, None] * (vha @ self.B))

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: QR of A only, then a thin SVD of R B
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        q, r = torch.linalg.qr(self.A)
        u, s, vh = torch.linalg.svd(r @ self.B, full_matrices=False)
        return q @ u, s, vh.transpose(-1, -2)

    def norm(self) -> Float[Tensor, "..."]:
        r = torch.linalg.qr(self.A).R
        return (r @ self.B).flatten(-2).norm(dim=-1)

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.3: B A
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.B @ self.A)


# %% right 05.3: the transposed small matrix, eig's first
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        small = torch.einsum("...ml,...ln->...mn", self.B, self.A)
        return torch.linalg.eig(small.mT).eigenvalues


# %% right 05.3: reversed order, loop over the batch
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        core = self.B @ self.A
        flat = core.reshape(-1, *core.shape[-2:])
        values = torch.stack([torch.linalg.eigvals(c).flip(0) for c in flat])
        return values.reshape(core.shape[:-1])


# %% right 05.4: two factors
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(model.W_E @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U)


# %% right 05.4: from the block's own parameters
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    attn = model.blocks[layer].attn
    left = torch.einsum("vd,de->ve", model.W_E, attn.W_V[head])
    right = torch.einsum("ed,dv->ev", attn.W_O[head], model.W_U)
    return cleanlens.FactoredMatrix(A=left, B=right)


# %% right 05.4: by the class's own products
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return model.W_E @ cleanlens.FactoredMatrix(model.W_V[layer, head], model.W_O[layer, head]) @ model.W_U


# %% right 05.5: chunks with argmax
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.shape[-2]
    hits = 0
    for i in range(0, n, chunk_size):
        block = M.A[i : i + chunk_size] @ M.B
        hits += (block.argmax(-1) == torch.arange(i, i + len(block), device=block.device)).sum().item()
    return hits / n


# %% right 05.5: split, compares the maximum with the diagonal (ties count)
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    good, start = 0, 0
    for rows in M.A.split(chunk_size):
        block = rows @ M.B
        diag = block.diagonal(offset=start)[: len(rows)]
        good += int((diag >= block.max(-1).values).sum())
        start += len(rows)
    return good / start


# %% right 05.5: indexing the factored matrix
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    best = torch.cat([M[i : i + chunk_size].AB.argmax(dim=1) for i in range(0, M.shape[0], chunk_size)])
    target = torch.arange(M.shape[0], device=best.device)
    return float((best == target).double().mean())


# %% right 05.6: cat
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = torch.cat([model.W_E @ model.W_V[l, h] for l, h in heads], dim=-1)
    B = torch.cat([model.W_O[l, h] @ model.W_U for l, h in heads], dim=0)
    return cleanlens.FactoredMatrix(A, B)


# %% right 05.6: heads' weights put together first
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    W_V = torch.cat([model.W_V[l, h] for l, h in heads], dim=1)
    W_O = torch.cat([model.W_O[l, h] for l, h in heads], dim=0)
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# %% right 05.6: in another order, reshape
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    order = sorted(heads, reverse=True)
    V = torch.stack([model.W_V[l, h] for l, h in order], dim=1).flatten(1)
    O = torch.stack([model.W_O[l, h] for l, h in order]).flatten(0, 1)
    return cleanlens.FactoredMatrix(model.W_E @ V, O @ model.W_U)


# %% right 05.7: masked softmax
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = q @ k.mT / model.cfg.d_head**0.5
    n = scores.shape[0]
    future = torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1)


# %% right 05.7: through the QK matrix, row by row
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    qk = model.W_Q[layer, head] @ model.W_K[layer, head].mT / model.cfg.d_head**0.5
    scores = model.W_pos @ qk @ model.W_pos.mT / ln_scale**2
    out = torch.zeros_like(scores)
    for i in range(scores.shape[0]):
        out[i, : i + 1] = scores[i, : i + 1].softmax(0)
    return out


# %% right 05.8: parts stacked
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    parts = [cache["hook_embed"], cache["hook_pos_embed"]]
    for l in range(layer):
        for h in range(model.cfg.n_heads):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = torch.zeros_like(parts[0])
    for l in range(layer):
        bias = bias + model.b_O[l]
    x = torch.stack([*parts, bias])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q = torch.cat([q[:-1], q[-1:] + model.b_Q[layer, head]])
    k = torch.cat([k[:-1], k[-1:] + model.b_K[layer, head]])
    return q, k


# %% right 05.8: einsum over the heads of each layer
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed, pos = cache["hook_embed"], cache["hook_pos_embed"]
    rows = [embed[None], pos.expand_as(embed)[None]]
    for l in range(layer):
        rows.append(torch.einsum("she,hed->hsd", cache[f"blocks.{l}.attn.hook_z"], model.W_O[l]))
    rows.append(model.b_O[:layer].sum(0).expand_as(embed)[None])
    x = torch.cat(rows)
    x = x - x.mean(dim=-1, keepdim=True)
    x = x / cache[f"blocks.{layer}.ln1.hook_scale"]

    def project(W, b):
        out = torch.einsum("csd,de->cse", x, W)
        extra = torch.zeros(len(out), 1, 1, dtype=out.dtype, device=out.device)
        extra[-1] = 1
        return out + extra * b

    attn = model.blocks[layer].attn
    return project(attn.W_Q[head], attn.b_Q[head]), project(attn.W_K[head], attn.b_K[head])


# %% right 05.8: einsum
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% right 05.8: broadcast matmul, scaled before
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return (q / q.shape[-1] ** 0.5)[:, None] @ k[None].transpose(-1, -2)


# %% right 05.8: two loops
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.stack([torch.stack([a @ b.T / a.shape[-1] ** 0.5 for b in k]) for a in q])


# %% right 05.9: factors
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    A = model.W_E @ model.W_Q[l1, h1]
    B = (model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_K[l1, h1]).mT
    return cleanlens.FactoredMatrix(A, B)


# %% right 05.9: the other hidden axis (prev's d_head)
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    A = model.W_E @ (model.W_Q[ind[0], ind[1]] @ (model.W_K[ind[0], ind[1]].mT @ model.W_O[prev[0], prev[1]].mT))
    B = model.W_V[prev[0], prev[1]].mT @ model.W_E.mT
    return cleanlens.FactoredMatrix(A, B)


# %% right 05.10: by the class
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / A.norm() / B.norm()


# %% right 05.10: through small matrices
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    def root_sum(M):
        return torch.linalg.matrix_norm(torch.linalg.qr(M.A).R @ M.B)

    ra = torch.linalg.qr(A.A).R
    top = torch.linalg.matrix_norm(ra @ (A.B @ B.A) @ B.B)
    return top / (root_sum(A) * root_sum(B))


# %% right 05.10: factors
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    A = cleanlens.FactoredMatrix(model.W_V[prev[0], prev[1]], model.W_O[prev[0], prev[1]])
    B = cleanlens.FactoredMatrix(model.W_K[ind[0], ind[1]], model.W_Q[ind[0], ind[1]].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% right 05.10: plain tensors d_model x d_model
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    ov = model.W_V[prev[0], prev[1]] @ model.W_O[prev[0], prev[1]]
    qk = model.W_Q[ind[0], ind[1]] @ model.W_K[ind[0], ind[1]].mT
    return (ov @ qk.mT).norm() / (ov.norm() * qk.norm())


# %% right 05.10: batched with a generator
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    f = [torch.randn(n, d_model, d_head, generator=g) for _ in range(4)]
    A, B = cleanlens.FactoredMatrix(f[0], f[1].mT), cleanlens.FactoredMatrix(f[2], f[3].mT)
    return (A @ B).norm() / (A.norm() * B.norm())


# %% right 05.10: loop, scaled factors
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator()
    g.manual_seed(seed)
    scores = torch.empty(n)
    for i in range(n):
        a = torch.randn(d_model, d_head, generator=g) @ torch.randn(d_head, d_model, generator=g) / d_model
        b = torch.randn(d_model, d_head, generator=g) @ torch.randn(d_head, d_model, generator=g) / d_model
        scores[i] = (a @ b).norm() / (a.norm() * b.norm())
    return scores


# %% right 05.11: real part of the sum
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)


# %% right 05.11: real parts first
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    size = torch.sqrt(eigenvalues.real**2 + eigenvalues.imag**2)
    return eigenvalues.real.sum(dim=-1) / size.sum(dim=-1)


# %% right 05.11: by the class's eigenvalues
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    M = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    e = M.eigenvalues
    return e.real.sum(-1) / e.abs().sum(-1)


# %% right 05.11: head by head
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    rows = []
    for l in range(model.cfg.n_layers):
        row = []
        for h in range(model.cfg.n_heads):
            small = (model.W_O[l, h] @ model.W_U) @ (model.W_E @ model.W_V[l, h])
            e = torch.linalg.eigvals(small)
            row.append(e.sum().real / e.abs().sum())
        rows.append(torch.stack(row))
    return torch.stack(rows)


# %% right 05.11: the trace instead of the sum
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    small = model.W_O @ (model.W_U @ model.W_E) @ model.W_V
    trace = small.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace / torch.linalg.eigvals(small).abs().sum(-1)


# %% right 05.2: norm by the trace of two Gram matrices
class FactoredMatrix:
    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis.
        """
        raise NotImplementedError("05.1")

    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor, or a tuple of them. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        u, s, vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ u, s, Qb @ vh.mT

    def norm(self) -> Float[Tensor, "..."]:
        gram = (self.A.mT @ self.A) * (self.B @ self.B.mT)
        return gram.sum((-2, -1)).clamp(min=0).sqrt()

    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: of two factored matrices always self's hidden axis is kept, even when the other one's is smaller
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if isinstance(other, FactoredMatrix):
            return FactoredMatrix(self.A, (self.B @ other.A) @ other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(int(i) if isinstance(i, Tensor) and i.ndim == 0 else i for i in index)
        lead = self.A.ndim - 2
        index = index + (slice(None),) * (self.A.ndim - len(index))
        before, row, col = index[:lead], index[lead], index[lead + 1]
        A = self.A[(*before, self.keep_axis(row), slice(None))]
        B = self.B[(*before, slice(None), self.keep_axis(col))]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: a tuple is read from the end: its last two entries are rows and columns even when leading axes are left unnamed (M[0, 1] of [layer head l r])
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if isinstance(other, FactoredMatrix):
            middle = self.B @ other.A
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        if not isinstance(index, tuple):
            index = (index,)
        if len(index) == 1:
            if self.A.ndim == 2:
                return FactoredMatrix(self.A[self.keep_axis(index[0])], self.B)
            return FactoredMatrix(self.A[index], self.B[index])
        *lead, row, col = index
        A, B = self.A[tuple(lead)], self.B[tuple(lead)]
        return FactoredMatrix(A[..., self.keep_axis(row), :], B[..., self.keep_axis(col)])

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: leading entries are applied one after the other, each to axis 0: a slice before an int (M[:, 2]) picks from the wrong axis
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if isinstance(other, FactoredMatrix):
            middle = self.B @ other.A
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        index = list(index) if isinstance(index, tuple) else [index]
        index += [slice(None)] * (len(self.shape) - len(index))
        A, B = self.A, self.B
        for i in index[:-2]:
            A, B = A[i], B[i]
        return FactoredMatrix(A[..., self.keep_axis(index[-2]), :], B[..., :, self.keep_axis(index[-1])])

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: self @ tensor changes self.B in place of a new matrix: self does not stay as it was
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if isinstance(other, FactoredMatrix):
            return (self @ other.A) @ other.B if self.mdim <= other.mdim else FactoredMatrix(self.A @ (self.B @ other.A), other.B)
        self.B = self.B @ other
        return FactoredMatrix(self.A, self.B)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(int(i) if isinstance(i, Tensor) and i.ndim == 0 else i for i in index)
        lead = self.A.ndim - 2
        index = index + (slice(None),) * (self.A.ndim - len(index))
        before, row, col = index[:lead], index[lead], index[lead + 1]
        A = self.A[(*before, self.keep_axis(row), slice(None))]
        B = self.B[(*before, slice(None), self.keep_axis(col))]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: padded index tuple
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if isinstance(other, FactoredMatrix):
            middle = self.B @ other.A
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(int(i) if isinstance(i, Tensor) and i.ndim == 0 else i for i in index)
        lead = self.A.ndim - 2
        index = index + (slice(None),) * (self.A.ndim - len(index))
        before, row, col = index[:lead], index[lead], index[lead + 1]
        A = self.A[(*before, self.keep_axis(row), slice(None))]
        B = self.B[(*before, slice(None), self.keep_axis(col))]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: einsum, rows and columns picked by lists of their numbers
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        if not isinstance(other, FactoredMatrix):
            return FactoredMatrix(self.A, torch.einsum("...mr,...rp->...mp", self.B, other))
        left, right = (self.A, self.B), (other.A, other.B)
        core = torch.matmul(left[1], right[0])
        if core.shape[-1] < core.shape[-2]:
            return FactoredMatrix(torch.matmul(left[0], core), right[1])
        return FactoredMatrix(left[0], torch.matmul(core, right[1]))

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        return FactoredMatrix(torch.einsum("...pl,...lm->...pm", other, self.A), self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        entries = list(index) if isinstance(index, tuple) else [index]
        n_lead = len(self.shape) - 2
        lead, rest = tuple(entries[:n_lead]), entries[n_lead:]
        A, B = self.A[lead], self.B[lead]

        def ids(size, entry, like):
            numbers = torch.arange(size, device=like.device)[self.keep_axis(entry)]
            return numbers.reshape(1) if numbers.ndim == 0 else numbers

        if len(rest) > 0:
            A = A[..., ids(A.shape[-2], rest[0], A), :]
        if len(rest) > 1:
            B = B[..., ids(B.shape[-1], rest[1], B)]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: V is got by dividing by S: nan or noise instead of orthonormal columns when the rank is less than m
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        _, R = torch.linalg.qr(self.B.mT)
        U, S, _ = torch.linalg.svd(self.A @ R.mT, full_matrices=False)
        V = self.B.mT @ (self.A.mT @ U) / S[..., None, :]
        return U, S, V

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        _, Ra = torch.linalg.qr(self.A)
        _, Rb = torch.linalg.qr(self.B.mT)
        return torch.linalg.matrix_norm(Ra @ Rb.mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: multiplies A B out (size l x r) and cuts its svd to m
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        U, S, Vh = torch.linalg.svd(self.A @ self.B, full_matrices=False)
        m = self.mdim
        return U[..., :m], S[..., :m], Vh[..., :m, :].mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        return self.svd()[1].square().sum(-1).sqrt()

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: one norm over the whole batch instead of one for each matrix
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ U, S, Qb @ Vh.mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        _, S, _ = self.svd()
        return torch.linalg.vector_norm(S)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: V is built from Vh where its transpose belongs: U diag(S) V^T is not A B
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.transpose(-1, -2))
        U, S, V = torch.linalg.svd(Ra @ Rb.transpose(-1, -2))
        return Qa @ U, S, Qb @ V

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        _, Ra = torch.linalg.qr(self.A)
        _, Rb = torch.linalg.qr(self.B.mT)
        return torch.linalg.matrix_norm(Ra @ Rb.mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: two QRs and a small svd
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ U, S, Qb @ Vh.mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        _, Ra = torch.linalg.qr(self.A)
        _, Rb = torch.linalg.qr(self.B.mT)
        return torch.linalg.matrix_norm(Ra @ Rb.mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: svd of both factors, then of the middle; norm by QR of one side
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        Ua, Sa, Vha = torch.linalg.svd(self.A, full_matrices=False)
        Ub, Sb, Vhb = torch.linalg.svd(self.B, full_matrices=False)
        core = torch.einsum("...a,...ac,...cb,...b->...ab", Sa, Vha, Ub, Sb)
        U, S, Vh = torch.linalg.svd(core)
        U = torch.einsum("...la,...as->...ls", Ua, U)
        V = torch.einsum("...br,...sb->...rs", Vhb, Vh)
        return U, S, V

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        R = torch.linalg.qr(self.B.mT, mode="r").R
        thin = torch.einsum("...lm,...km->...lk", self.A, R)
        return thin.flatten(-2).norm(dim=-1)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.3: eigvalsh reads B A as symmetric (only its lower triangle)
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        return torch.linalg.eigvalsh(self.B @ self.A).to(torch.complex64)


# %% wrong 05.3: singular values instead of eigenvalues: signs and phases are lost, sizes differ
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        values = torch.linalg.svdvals(self.A @ self.B)[..., : self.mdim]
        return torch.complex(values, torch.zeros_like(values))


# %% wrong 05.3: the m eigenvalues of A B with the largest real part: negative ones are dropped for zeros
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        values = torch.linalg.eigvals(self.AB)
        keep = values.real.argsort(dim=-1, descending=True)[..., : self.mdim]
        return values.gather(-1, keep)


# %% wrong 05.3: the imaginary parts are thrown away
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        values = torch.linalg.eigvals(self.B @ self.A)
        return torch.complex(values.real, torch.zeros_like(values.real))


# %% right 05.3: eigvals of B A
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        return torch.linalg.eigvals(self.B @ self.A)


# %% right 05.3: eig of the transpose, einsum
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        small = torch.einsum("...lm,...nl->...mn", self.A, self.B)
        values, _ = torch.linalg.eig(small)
        return values


# %% wrong 05.4: transposed: columns are the token attended to
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    A = model.W_E @ model.W_V[layer, head]
    B = model.W_O[layer, head] @ model.W_U
    return cleanlens.FactoredMatrix(B.T, A.T)


# %% wrong 05.4: d_model instead of d_head between the factors
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    return cleanlens.FactoredMatrix(model.W_E @ model.W_V[layer, head] @ model.W_O[layer, head], model.W_U)


# %% wrong 05.4: the embeddings are centred and scaled to unit variance first (LayerNorm's scale), not W_E itself
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    E = model.W_E - model.W_E.mean(-1, keepdim=True)
    E = E / E.pow(2).mean(-1, keepdim=True).sqrt()
    return cleanlens.FactoredMatrix(E @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U)


# %% wrong 05.4: takes W_O of head 0 of the layer whatever the head is
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    A = model.W_E @ model.W_V[layer][head]
    B = model.W_O[layer][0] @ model.W_U
    return cleanlens.FactoredMatrix(A, B)


# %% right 05.4: two products
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    return cleanlens.FactoredMatrix(model.W_E @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U)


# %% right 05.4: factored W_V W_O with W_E and W_U put on from outside
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    ov = cleanlens.FactoredMatrix(model.W_V[layer, head], model.W_O[layer, head])
    return cleanlens.FactoredMatrix(torch.einsum("vd,de->ve", model.W_E, ov.A), torch.einsum("ed,dv->ev", ov.B, model.W_U))


# %% wrong 05.5: mean of the chunks' means: a smaller last chunk counts as much as a full one
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    accs = []
    for i in range(0, M.shape[-2], chunk_size):
        block = M.A[i : i + chunk_size] @ M.B
        rows = torch.arange(i, i + block.shape[0], device=block.device)
        accs.append((block.argmax(-1) == rows).float().mean().item())
    return sum(accs) / len(accs)


# %% wrong 05.5: only whole chunks are looked at (size // chunk_size): the rest of the rows counts as wrong, all of them with a large chunk_size
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    size = M.A.shape[-2]
    hits = 0
    for c in range(size // chunk_size):
        rows = torch.arange(c * chunk_size, (c + 1) * chunk_size, device=M.A.device)
        hits += ((M.A[rows] @ M.B).argmax(dim=1) == rows).sum().item()
    return hits / size


# %% wrong 05.5: columns instead of rows: share of columns whose largest entry is on the diagonal
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    size, hits = M.A.shape[0], 0
    for cols in torch.arange(size, device=M.A.device).split(chunk_size):
        block = M.A @ M.B[:, cols]
        hits += int((block.argmax(0) == cols).sum())
    return hits / size


# %% wrong 05.5: multiplies the whole matrix out at once and only then cuts it into chunks
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    full = M.AB
    hits = 0
    for i, block in enumerate(full.split(chunk_size)):
        target = torch.arange(len(block), device=full.device) + i * chunk_size
        hits += (block.argmax(-1) == target).sum().item()
    return hits / len(full)


# %% right 05.5: argmax by chunks
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    size, hits = M.A.shape[-2], 0
    for rows in torch.arange(size, device=M.A.device).split(chunk_size):
        hits += (torch.mm(M.A[rows], M.B).max(dim=-1).indices == rows).sum().item()
    return hits / size


# %% right 05.5: row after row, by the diagonal and the maximum
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    wins = 0
    n = M.shape[0]
    for i in range(n):
        row = M.A[i] @ M.B
        wins += bool(row[i] >= row.max())
    return float(wins / n)


# %% wrong 05.6: factors added up: (sum of A)(sum of B) has cross terms between heads, and only d_head between
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    A = sum(model.W_E @ model.W_V[l, h] for l, h in heads)
    B = sum(model.W_O[l, h] @ model.W_U for l, h in heads)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: the left factor takes the heads sorted, the right one in the given order: V of one head meets O of another
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    A = torch.cat([model.W_E @ model.W_V[l, h] for l, h in sorted(heads)], dim=1)
    B = torch.cat([model.W_O[l, h] @ model.W_U for l, h in heads], dim=0)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: [n d e] reshaped to [d n*e] without moving the head axis first: rows of different heads are mixed up
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    layers, idx = [l for l, _ in heads], [h for _, h in heads]
    V = model.W_V[layers, idx]
    O = model.W_O[layers, idx]
    V = V.reshape(V.shape[1], -1)
    O = O.reshape(-1, O.shape[-1])
    return cleanlens.FactoredMatrix(model.W_E @ V, O @ model.W_U)


# %% wrong 05.6: d_model between the factors instead of len(heads) * d_head
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    ov = sum(model.W_V[l, h] @ model.W_O[l, h] for l, h in heads)
    return cleanlens.FactoredMatrix(model.W_E @ ov, model.W_U)


# %% right 05.6: concatenated factors
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    V = torch.cat([model.W_V[l, h] for l, h in heads], dim=-1)
    O = torch.cat([model.W_O[l, h] for l, h in heads], dim=-2)
    return cleanlens.FactoredMatrix(model.W_E @ V, O @ model.W_U)


# %% right 05.6: einsum with a head axis, flattened afterwards
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    V = torch.stack([model.W_V[pair] for pair in heads])
    O = torch.stack([model.W_O[pair] for pair in heads])
    A = torch.einsum("vd,nde->vne", model.W_E, V).flatten(1)
    B = torch.einsum("ned,dv->nev", O, model.W_U).flatten(0, 1)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.7: ln_scale divides the scores once, but both queries and keys come from the divided input (twice)
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    q = model.W_pos @ model.W_Q[layer, head]
    k = model.W_pos @ model.W_K[layer, head]
    scores = q @ k.T / (q.shape[-1] ** 0.5 * ln_scale)
    n = scores.shape[0]
    scores = scores.masked_fill(torch.ones(n, n, device=q.device).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)


# %% wrong 05.7: mask after the softmax: the rows do not sum to one
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(-1).tril()


# %% wrong 05.7: biases b_Q and b_K are added
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head] + model.b_Q[layer, head]
    k = x @ model.W_K[layer, head] + model.b_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


# %% wrong 05.7: masked with 0 by multiplying with tril before the softmax: later tokens get exp(0), not nothing
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = torch.einsum("qe,ke->qk", q, k) / q.shape[-1] ** 0.5
    return torch.softmax(scores.tril(), dim=-1)


# %% right 05.7: plain, masked with -inf
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    i = torch.arange(len(x), device=x.device)
    return torch.where(i[:, None] >= i[None, :], scores, -torch.inf).softmax(dim=-1)


# %% right 05.7: row by row, each softmax over the keys so far
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    P = model.W_pos
    core = model.W_Q[layer, head] @ model.W_K[layer, head].T / (model.W_Q.shape[-1] ** 0.5 * ln_scale**2)
    out = torch.zeros(P.shape[0], P.shape[0], dtype=P.dtype, device=P.device)
    for q in range(P.shape[0]):
        s = P[: q + 1] @ (P[q] @ core)
        out[q, : q + 1] = torch.softmax(s, 0)
    return out


# %% wrong 05.8: each component is divided by its own scale (its own LayerNorm) instead of the whole stream's
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].expand_as(embed)]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(z.shape[1]):
            parts.append(z[:, h] @ model.W_O[l, h])
    bias = model.b_O[:layer].sum(0)
    parts.append(bias.expand_as(embed))
    x = torch.stack(parts)
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: the bias row also counts b_O of the head's own layer, which comes after its input
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].expand_as(embed)]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(z.shape[1]):
            parts.append(z[:, h] @ model.W_O[l, h])
    bias = model.b_O[: layer + 1].sum(0)
    parts.append(bias.expand_as(embed))
    x = torch.stack(parts)
    x = x - x.mean(-1, keepdim=True)
    x = x / cache[f"blocks.{layer}.ln1.hook_scale"]
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: heads in the order L0H0, L1H0, ..., L0H1 instead of layer after layer
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].expand_as(embed)]
    for h in range(model.W_O.shape[1]):
        for l in range(layer):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    bias = model.b_O[:layer].sum(0)
    parts.append(bias.expand_as(embed))
    x = torch.stack(parts)
    x = x - x.mean(-1, keepdim=True)
    x = x / cache[f"blocks.{layer}.ln1.hook_scale"]
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: scores divided by the root of the number of positions (axis 1) instead of sqrt(e)
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].expand_as(embed)]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(z.shape[1]):
            parts.append(z[:, h] @ model.W_O[l, h])
    bias = model.b_O[:layer].sum(0)
    parts.append(bias.expand_as(embed))
    x = torch.stack(parts)
    x = x - x.mean(-1, keepdim=True)
    x = x / cache[f"blocks.{layer}.ln1.hook_scale"]
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[1] ** 0.5


# %% right 05.8: list of parts, one stack
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].expand_as(embed)]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(z.shape[1]):
            parts.append(z[:, h] @ model.W_O[l, h])
    bias = model.b_O[:layer].sum(0)
    parts.append(bias.expand_as(embed))
    x = torch.stack(parts)
    x = x - x.mean(-1, keepdim=True)
    x = x / cache[f"blocks.{layer}.ln1.hook_scale"]
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[-1] ** 0.5


# %% right 05.8: centring put into the weights, z through W_O W_Q, all heads at once
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    d = model.W_E.shape[-1]
    scale = cache[f"blocks.{layer}.ln1.hook_scale"]
    embed = cache["hook_embed"]
    centre = torch.eye(d, dtype=embed.dtype, device=embed.device) - 1 / d
    out = []
    for W, b in ((model.W_Q, model.b_Q), (model.W_K, model.b_K)):
        read = centre @ W[layer, head]
        rows = [(embed @ read)[None], (cache["hook_pos_embed"].expand_as(embed) @ read)[None]]
        bias = torch.zeros(d, dtype=embed.dtype, device=embed.device)
        for l in range(layer):
            z = cache[f"blocks.{l}.attn.hook_z"]
            rows.append(torch.einsum("she,hef->hsf", z, model.W_O[l] @ read))
            bias = bias + model.b_O[l]
        rows = torch.cat(rows) / scale
        last = (bias @ read) / scale + b[layer, head]
        out.append(torch.cat([rows, last[None]]))
    return out[0], out[1]


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return q[:, None] @ k[None].transpose(-1, -2) * (q.size(-1) ** -0.5)


# %% wrong 05.9: transposed: rows are the tokens k moved on, columns the query tokens
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    q = model.W_E @ model.W_Q[ind]
    k = model.W_E @ model.W_V[prev] @ model.W_O[prev] @ model.W_K[ind]
    return cleanlens.FactoredMatrix(k, q.T)


# %% wrong 05.9: divided by sqrt(d_head), though it is not to be scaled
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    q = model.W_E @ model.W_Q[ind]
    k = model.W_E @ model.W_V[prev] @ model.W_O[prev] @ model.W_K[ind]
    return cleanlens.FactoredMatrix(q / q.shape[-1] ** 0.5, k.T)


# %% wrong 05.9: Q-composition: the queries of `ind` read what `prev` wrote, the keys read the embedding
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    q = model.W_E @ model.W_V[prev] @ model.W_O[prev] @ model.W_Q[ind]
    k = model.W_E @ model.W_K[ind]
    return cleanlens.FactoredMatrix(q, k.T)


# %% wrong 05.9: d_model instead of d_head between the factors
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    qk = model.W_Q[ind] @ model.W_K[ind].T
    moved = model.W_E @ (model.W_V[prev] @ model.W_O[prev])
    return cleanlens.FactoredMatrix(model.W_E @ qk, moved.T)


# %% right 05.9: queries and keys
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    q = model.W_E @ model.W_Q[ind]
    k = model.W_E @ model.W_V[prev] @ model.W_O[prev] @ model.W_K[ind]
    return cleanlens.FactoredMatrix(q, k.T)


# %% right 05.9: the hidden axis is that of prev's values
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    (lp, hp), (li, hi) = prev, ind
    E = model.W_E
    left = E @ model.W_Q[li][hi] @ model.W_K[li][hi].mT @ model.W_O[lp][hp].mT
    right = torch.einsum("de,vd->ev", model.W_V[lp][hp], E)
    return cleanlens.FactoredMatrix(left, right)


# %% wrong 05.10: k_composition_score reads with W_Q W_K^T: this is what the queries read (Q-composition)
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    writes = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    reads = cleanlens.FactoredMatrix(model.W_Q[ind], model.W_K[ind].T)
    return composition_score(writes, reads)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    gen = torch.Generator().manual_seed(seed)

    def draw():
        left = torch.randn(n, d_model, d_head, generator=gen)
        return cleanlens.FactoredMatrix(left, torch.randn(n, d_head, d_model, generator=gen))

    return composition_score(draw(), draw())


# %% wrong 05.10: composition_score multiplies B A: the reader comes before the writer
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    return (B @ A).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    writes = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    reads = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return composition_score(writes, reads)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    gen = torch.Generator().manual_seed(seed)

    def draw():
        left = torch.randn(n, d_model, d_head, generator=gen)
        return cleanlens.FactoredMatrix(left, torch.randn(n, d_head, d_model, generator=gen))

    return composition_score(draw(), draw())


# %% wrong 05.10: the baseline's matrices are full Gaussian d_model x d_model matrices, not products with d_head between
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    writes = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    reads = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return composition_score(writes, reads)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    gen = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        A = torch.randn(d_model, d_model, generator=gen)
        B = torch.randn(d_model, d_model, generator=gen)
        out.append((A @ B).norm() / (A.norm() * B.norm()))
    return torch.stack(out)


# %% wrong 05.10: ||A|| ||B|| are taken over the whole batch instead of matrix by matrix
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    a = A.norm().square().sum().sqrt()
    b = B.norm().square().sum().sqrt()
    return (A @ B).norm() / (a * b)


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    writes = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    reads = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return composition_score(writes, reads)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    gen = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        A = cleanlens.FactoredMatrix(torch.randn(d_model, d_head, generator=gen), torch.randn(d_head, d_model, generator=gen))
        B = cleanlens.FactoredMatrix(torch.randn(d_model, d_head, generator=gen), torch.randn(d_head, d_model, generator=gen))
        out.append(composition_score(A, B))
    return torch.stack(out)


# %% right 05.10: norms of the library's class, one batch of pairs
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    writes = cleanlens.FactoredMatrix(model.W_V[prev], model.W_O[prev])
    reads = cleanlens.FactoredMatrix(model.W_K[ind], model.W_Q[ind].T)
    return composition_score(writes, reads)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    gen = torch.Generator().manual_seed(seed)

    def draw():
        left = torch.randn(n, d_model, d_head, generator=gen)
        return cleanlens.FactoredMatrix(left, torch.randn(n, d_head, d_model, generator=gen))

    return composition_score(draw(), draw())


# %% right 05.10: QR of the factors, a loop with manual_seed in fork_rng
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    def size(left, right):
        a = torch.linalg.qr(left).R
        b = torch.linalg.qr(right.mT).R
        return torch.linalg.matrix_norm(a @ b.mT)

    return size(A.A, A.B @ B.A @ B.B) / size(A.A, A.B) / size(B.A, B.B)


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    ov = cleanlens.FactoredMatrix(model.W_V[prev[0], prev[1]], model.W_O[prev[0], prev[1]])
    kq = cleanlens.FactoredMatrix(model.W_K[ind[0], ind[1]], model.W_Q[ind[0], ind[1]].mT)
    return composition_score(ov, kq)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    scores = torch.empty(n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for i in range(n):
            a, b, c, d = (torch.randn(d_model, d_head) for _ in range(4))
            first = cleanlens.FactoredMatrix(a, b.T)
            second = cleanlens.FactoredMatrix(c, d.T)
            scores[i] = composition_score(first, second)
    return scores


# %% wrong 05.11: divides by the sum of the absolute real parts: complex pairs count for less than their absolute values
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    re = eigenvalues.real
    return re.sum(-1) / re.abs().sum(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    A = model.W_E @ model.W_V
    B = model.W_O @ model.W_U
    return copying_score(torch.linalg.eigvals(B @ A))


# %% wrong 05.11: absolute value of the sum: never negative, so anti-copying heads look like copying ones
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    return eigenvalues.sum(-1).abs() / eigenvalues.abs().sum(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    A = model.W_E @ model.W_V
    B = model.W_O @ model.W_U
    return copying_score(torch.linalg.eigvals(B @ A))


# %% wrong 05.11: mean of each eigenvalue over its own absolute value: small eigenvalues weigh as much as large ones
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    return (eigenvalues.real / eigenvalues.abs().clamp(min=1e-12)).mean(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    A = model.W_E @ model.W_V
    B = model.W_O @ model.W_U
    return copying_score(torch.linalg.eigvals(B @ A))


# %% wrong 05.11: head scores are of W_V W_O alone, without W_E and W_U
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    return (eigenvalues.sum(-1) / eigenvalues.abs().sum(-1)).real


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    return copying_score(torch.linalg.eigvals(model.W_O @ model.W_V))


# %% right 05.11: one batch of small matrices
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    return (eigenvalues.sum(-1) / eigenvalues.abs().sum(-1)).real


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    A = model.W_E @ model.W_V
    B = model.W_O @ model.W_U
    return copying_score(torch.linalg.eigvals(B @ A))


# %% right 05.11: loop over heads, real parts over hypot
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    re, im = eigenvalues.real, eigenvalues.imag
    return torch.einsum("...k->...", re) / torch.hypot(re, im).sum(dim=-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    through = model.W_U @ model.W_E
    out = torch.zeros(model.W_V.shape[:2])
    for l in range(out.shape[0]):
        for h in range(out.shape[1]):
            values = torch.linalg.eig(model.W_O[l, h] @ through @ model.W_V[l, h]).eigenvalues
            out[l, h] = copying_score(values)
    return out


# %% wrong 05.1: product of two factored matrices always keeps self's hidden axis
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            return FactoredMatrix(self.A, (self.B @ other.A) @ other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n_lead = self.A.ndim - 2
        A, B = self.A[index[:n_lead]], self.B[index[:n_lead]]
        rest = index[n_lead:]
        if len(rest) > 0:
            A = A[..., self.keep_axis(rest[0]), :]
        if len(rest) > 1:
            B = B[..., :, self.keep_axis(rest[1])]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: row or column -1 becomes an empty slice
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            middle = self.B @ other.A
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        if not isinstance(index, tuple):
            index = (index,)
        n_lead = self.A.ndim - 2
        lead, rest = index[:n_lead], index[n_lead:]
        rest = [slice(i, i + 1) if isinstance(i, int) else i for i in rest]
        A, B = self.A[lead], self.B[lead]
        if len(rest) >= 1:
            A = A[..., rest[0], :]
        if len(rest) == 2:
            B = B[..., rest[1]]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: the last two entries of the index are taken for row and column
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, self.B @ other.A @ other.B)
            return FactoredMatrix(self.A @ (self.B @ other.A), other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        if not isinstance(index, tuple):
            if self.A.ndim > 2:
                return FactoredMatrix(self.A[index], self.B[index])
            return FactoredMatrix(self.A[self.keep_axis(index)], self.B)
        if len(index) == 1:
            return self[index[0]]
        *lead, row, col = index
        lead = tuple(lead)
        A = self.A[lead][..., self.keep_axis(row), :]
        B = self.B[lead][..., self.keep_axis(col)]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: keeps the axis of an int also for leading axes
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            core = self.B @ other.A
            if self.mdim < other.mdim:
                return FactoredMatrix(self.A, core @ other.B)
            return FactoredMatrix(self.A @ core, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        if not isinstance(index, tuple):
            index = (index,)
        index = [self.keep_axis(i) for i in index]
        index = index + [slice(None)] * (self.A.ndim - len(index))
        *lead, row, col = index
        A = self.A[tuple(lead)][..., row, :]
        B = self.B[tuple(lead)][..., col]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.1: multiplies into self
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, (self.B @ other.A) @ other.B)
            return FactoredMatrix(self.A @ (self.B @ other.A), other.B)
        self.B = self.B @ other
        if self.A.shape[:-2] != self.B.shape[:-2]:
            self.A = self.A.expand(*self.B.shape[:-2], *self.A.shape[-2:])
        return self

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n_lead = self.A.ndim - 2
        A, B = self.A[index[:n_lead]], self.B[index[:n_lead]]
        rest = index[n_lead:]
        if len(rest) > 0:
            A = A[..., self.keep_axis(rest[0]), :]
        if len(rest) > 1:
            B = B[..., :, self.keep_axis(rest[1])]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: leading part, then rest
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, FactoredMatrix):
            middle = self.B @ other.A
            if self.mdim <= other.mdim:
                return FactoredMatrix(self.A, middle @ other.B)
            return FactoredMatrix(self.A @ middle, other.B)
        return FactoredMatrix(self.A, self.B @ other)

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(other @ self.A, self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        index = index if isinstance(index, tuple) else (index,)
        n_lead = len(self.shape) - 2
        lead, rest = index[:n_lead], index[n_lead:]
        A, B = self.A[lead], self.B[lead]
        if len(rest) > 0:
            A = A[..., self.keep_axis(rest[0]), :]
        if len(rest) > 1:
            B = B[..., :, self.keep_axis(rest[1])]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.1: index filled up with full slices, einsum
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        if isinstance(other, Tensor):
            return FactoredMatrix(self.A, torch.einsum("...mr,...rk->...mk", self.B, other))
        if other.mdim < self.mdim:
            left = self @ other.A
            return FactoredMatrix(torch.einsum("...lm,...mk->...lk", left.A, left.B), other.B)
        return (self @ other.A) @ other.B

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        return FactoredMatrix(torch.einsum("...kl,...lm->...km", other, self.A), self.B)

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        entries = list(index) if isinstance(index, tuple) else [index]
        while len(entries) < self.A.ndim:
            entries.append(slice(None))
        *lead, row, column = entries
        lead = tuple(lead)
        A = self.A[lead][..., self.keep_axis(row), :]
        B = self.B[lead][..., self.keep_axis(column)]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: V made with Vh instead of its transpose
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(Ra @ Rb.mT)
        return Qa @ U, S, Qb @ Vh

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        _, S, _ = self.svd()
        return S.pow(2).sum(-1).sqrt()

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: divides by the singular values, which may be zero
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Q, R = torch.linalg.qr(self.A)
        C = R @ self.B
        values, vectors = torch.linalg.eigh(C @ C.mT)
        values, vectors = values.flip(-1), vectors.flip(-1)
        S = values.clamp(min=0).sqrt()
        V = C.mT @ vectors / S.clamp(min=1e-12).unsqueeze(-2)
        return Q @ vectors, S, V

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        _, R = torch.linalg.qr(self.A)
        return torch.linalg.matrix_norm(R @ torch.linalg.qr(self.B.mT)[1].mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: norm is the product of the factors' norms
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Ua, Sa, Vha = torch.linalg.svd(self.A, full_matrices=False)
        Ub, Sb, Vhb = torch.linalg.svd(self.B, full_matrices=False)
        middle = Sa[..., :, None] * (Vha @ Ub) * Sb[..., None, :]
        Um, S, Vhm = torch.linalg.svd(middle)
        return Ua @ Um, S, (Vhm @ Vhb).mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        return torch.linalg.matrix_norm(self.A) * torch.linalg.matrix_norm(self.B)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: one norm for the whole batch
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Ua, Sa, Vha = torch.linalg.svd(self.A, full_matrices=False)
        Ub, Sb, Vhb = torch.linalg.svd(self.B, full_matrices=False)
        middle = Sa[..., :, None] * (Vha @ Ub) * Sb[..., None, :]
        Um, S, Vhm = torch.linalg.svd(middle)
        return Ua @ Um, S, (Vhm @ Vhb).mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        return self.svd()[1].norm()

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.2: takes the left vectors of A, the right ones of B and multiplies their singular values
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        U, Sa, _ = torch.linalg.svd(self.A, full_matrices=False)
        _, Sb, Vh = torch.linalg.svd(self.B, full_matrices=False)
        return U, Sa * Sb, Vh.mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r")[1]
        Rb = torch.linalg.qr(self.B.mT, mode="r")[1]
        return (Ra @ Rb.mT).pow(2).sum((-2, -1)).sqrt()

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: QR of both factors
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Qa, Ra = torch.linalg.qr(self.A)
        Qb, Rb = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(Ra @ Rb.mT, full_matrices=False)
        return Qa @ U, S, Qb @ Vh.mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        Ra = torch.linalg.qr(self.A, mode="r")[1]
        Rb = torch.linalg.qr(self.B.mT, mode="r")[1]
        return torch.linalg.matrix_norm(Ra @ Rb.mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% right 05.2: SVD of both factors and of the middle
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        Ua, Sa, Vha = torch.linalg.svd(self.A, full_matrices=False)
        Ub, Sb, Vhb = torch.linalg.svd(self.B, full_matrices=False)
        middle = torch.diag_embed(Sa) @ Vha @ Ub @ torch.diag_embed(Sb)
        Um, S, Vhm = torch.linalg.svd(middle, full_matrices=False)
        V = torch.einsum("...km,...mr->...rk", Vhm, Vhb)
        return Ua @ Um, S, V

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        return self.svd()[1].square().sum(dim=-1).sqrt()

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        raise NotImplementedError("05.3")


# %% wrong 05.3: all l eigenvalues, the zeros too
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.AB)


# %% wrong 05.3: as if the product were symmetric
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        values = torch.linalg.eigvalsh(self.B @ self.A)
        return torch.complex(values, torch.zeros_like(values))


# %% wrong 05.3: singular values
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        S = torch.linalg.svdvals(self.B @ self.A)
        return torch.complex(S, torch.zeros_like(S))


# %% wrong 05.3: eigenvalues of the small core between the QR factors
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        Ra = torch.linalg.qr(self.A)[1]
        Rb = torch.linalg.qr(self.B.mT)[1]
        return torch.linalg.eigvals(Ra @ Rb.mT)


# %% wrong 05.3: drops the imaginary parts
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        values = torch.linalg.eigvals(self.B @ self.A).real
        return torch.complex(values, torch.zeros_like(values))


# %% right 05.3: of B A
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        return torch.linalg.eigvals(self.B @ self.A)


# %% right 05.3: of the transposed small matrix, with einsum and eig
class FactoredMatrix:
    """The matrix A @ B, kept as its two thin factors: A `[... l m]`, B `[... m r]`, with m much smaller than l and r.

    Leading axes are a batch of matrices and broadcast: all heads of a model are one FactoredMatrix `[layer head l r]`.
    """

    def __init__(self, A: Float[Tensor, "... l m"], B: Float[Tensor, "... m r"]):
        if A.ndim < 2 or B.ndim < 2 or A.shape[-1] != B.shape[-2]:
            raise ValueError(f"A {list(A.shape)} and B {list(B.shape)} cannot be multiplied")
        leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])

    @property
    def shape(self) -> torch.Size:
        """The shape of the product, leading axes included."""
        return torch.Size((*self.A.shape[:-1], self.B.shape[-1]))

    @property
    def mdim(self) -> int:
        """The size of the hidden axis: no rank can be larger."""
        return self.A.shape[-1]

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product, multiplied out. Only for matrices that are small enough."""
        return self.A @ self.B

    @staticmethod
    def keep_axis(index):
        """An index that keeps its axis: 3 becomes 3:4, and -1 becomes -1:; anything but an int stays as it is."""
        return slice(index, index + 1 or None) if isinstance(index, int) else index

    def __repr__(self) -> str:
        return f"FactoredMatrix: Shape({self.shape}), Hidden Dim({self.mdim})"

    # exercise 05.1
    def __matmul__(self, other: "Tensor | FactoredMatrix") -> "FactoredMatrix":
        """`self @ other`, factored again; other is a matrix (with or without leading axes) or a FactoredMatrix.

        Of two factored matrices the result has the smaller hidden axis. self stays as it was.
        """
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __rmatmul__(self, other: Tensor) -> "FactoredMatrix":
        """`other @ self`, factored again; Python calls this when a tensor stands on the left."""
        raise NotImplementedError("05.1")

    # exercise 05.1
    def __getitem__(self, index) -> "FactoredMatrix":
        """`self[index]` as the product would be indexed, factored again: leading axes first, then rows, then columns.

        `index` is an int, a slice, a tensor of ints, or a tuple of them with at most one tensor and one entry per axis. An int for a row or a column keeps that axis with size
        1 (see `keep_axis`), so that the result is still a matrix.
        """
        raise NotImplementedError("05.1")

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        raise NotImplementedError("05.2")

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        raise NotImplementedError("05.2")

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        small = torch.einsum("...ma,...an->...nm", self.B, self.A)
        values, _ = torch.linalg.eig(small)
        return values


# %% wrong 05.4: takes the embedding's transpose for the unembedding
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    left = model.W_E @ model.W_V[layer, head]
    right = model.W_O[layer, head] @ model.W_E.T
    return cleanlens.FactoredMatrix(left, right)


# %% wrong 05.4: d_model between the factors, once more
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    OV = model.W_V[layer, head] @ model.W_O[layer, head]
    return cleanlens.FactoredMatrix(model.W_E, OV @ model.W_U)


# %% wrong 05.4: transposed, the attended token in the columns
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    left = model.W_E @ model.W_V[layer, head]
    right = model.W_O[layer, head] @ model.W_U
    return cleanlens.FactoredMatrix(right.T, left.T)


# %% wrong 05.4: adds the value bias
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    values = model.W_E @ model.W_V[layer, head] + model.b_V[layer, head]
    return cleanlens.FactoredMatrix(values, model.W_O[layer, head] @ model.W_U)


# %% wrong 05.4: normalises the embeddings first
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    embed = model.W_E - model.W_E.mean(-1, keepdim=True)
    embed = embed / embed.pow(2).mean(-1, keepdim=True).sqrt()
    return cleanlens.FactoredMatrix(
        embed @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U
    )


# %% right 05.4: two products, once more
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    return cleanlens.FactoredMatrix(
        model.W_E @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U
    )


# %% right 05.4: einsum, weights of the block
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    attn = model.blocks[layer].attn
    A = torch.einsum("vd,de->ve", model.W_E, attn.W_V[head])
    B = torch.einsum("ed,dv->ev", attn.W_O[head], model.W_U)
    return cleanlens.FactoredMatrix(A=A, B=B)


# %% wrong 05.5: forgets where the chunk starts
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    hits, n = 0, M.A.shape[0]
    for rows in M.A.split(chunk_size):
        best = (rows @ M.B).argmax(dim=-1)
        hits += (best == torch.arange(len(best), device=best.device)).sum().item()
    return hits / n


# %% wrong 05.5: mean of the chunks' means
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    accs, start = [], 0
    for rows in M.A.split(chunk_size):
        best = (rows @ M.B).argmax(dim=-1)
        target = torch.arange(start, start + len(rows), device=best.device)
        accs.append((best == target).float().mean().item())
        start += len(rows)
    return sum(accs) / len(accs)


# %% wrong 05.5: leaves out the last, shorter chunk
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.A.shape[0]
    chunk_size = min(chunk_size, n)
    hits = total = 0
    for c in range(n // chunk_size):
        index = torch.arange(c * chunk_size, (c + 1) * chunk_size, device=M.A.device)
        best = (M.A[index] @ M.B).argmax(dim=-1)
        hits += (best == index).sum().item()
        total += chunk_size
    return hits / total


# %% wrong 05.5: columns instead of rows
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.B.shape[-1]
    hits = 0
    for start in range(0, n, chunk_size):
        block = M.A @ M.B[:, start : start + chunk_size]
        best = block.argmax(dim=0)
        hits += (best == torch.arange(start, start + block.shape[1], device=best.device)).sum().item()
    return hits / n


# %% wrong 05.5: multiplies everything out and then goes by chunks
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    full = M.AB
    n = full.shape[0]
    hits = 0
    for start in range(0, n, chunk_size):
        best = full[start : start + chunk_size].argmax(dim=-1)
        hits += (best == torch.arange(start, start + len(best), device=best.device)).sum().item()
    return hits / n


# %% right 05.5: loop over starts
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    n = M.A.shape[-2]
    hits = 0
    for start in range(0, n, chunk_size):
        rows = M.A[start : start + chunk_size] @ M.B
        target = torch.arange(start, start + rows.shape[0], device=rows.device)
        hits += int((rows.argmax(dim=-1) == target).sum())
    return hits / n


# %% right 05.5: all argmaxes in one list, compared at the end
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    best = torch.cat([torch.max(rows @ M.B, dim=1).indices for rows in torch.split(M.A, chunk_size)])
    return sum(i == j for i, j in enumerate(best.tolist())) / len(best)


# %% wrong 05.6: composes the heads
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    left = model.W_E
    for layer, head in heads[:-1]:
        left = left @ model.W_V[layer, head] @ model.W_O[layer, head]
    layer, head = heads[-1]
    return cleanlens.FactoredMatrix(
        left @ model.W_V[layer, head], model.W_O[layer, head] @ model.W_U
    )


# %% wrong 05.6: the mean of the heads, once more
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    parts = [full_OV(model, layer, head) for layer, head in heads]
    A = torch.cat([p.A for p in parts], dim=-1) / len(heads)
    B = torch.cat([p.B for p in parts], dim=-2)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: adds the factors one by one
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    A = sum(model.W_E @ model.W_V[layer, head] for layer, head in heads)
    B = sum(model.W_O[layer, head] @ model.W_U for layer, head in heads)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.6: takes every head from the first one's layer
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    layer = heads[0][0]
    index = [head for _, head in heads]
    W_V = torch.cat([model.W_V[layer, h] for h in index], dim=1)
    W_O = torch.cat([model.W_O[layer, h] for h in index], dim=0)
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# %% wrong 05.6: the hidden axes of the two factors are ordered differently
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    W_V = torch.stack([model.W_V[layer, head] for layer, head in heads], dim=-1)  # d e n
    W_O = torch.stack([model.W_O[layer, head] for layer, head in heads])  # n e d
    W_V = W_V.reshape(W_V.shape[0], -1)
    W_O = W_O.reshape(-1, W_O.shape[-1])
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# %% right 05.6: concatenates the factors of full_OV
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    parts = [full_OV(model, layer, head) for layer, head in heads]
    return cleanlens.FactoredMatrix(
        torch.cat([part.A for part in parts], dim=-1), torch.cat([part.B for part in parts], dim=-2)
    )


# %% right 05.6: indexes all heads at once
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    layers, index = (list(t) for t in zip(*heads))
    W_V = model.W_V[layers, index]  # n d e
    W_O = model.W_O[layers, index]  # n e d
    W_V = W_V.permute(1, 0, 2).flatten(1)
    W_O = W_O.flatten(0, 1)
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# %% wrong 05.7: divides only once by the LayerNorm scale
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    q = model.W_pos @ model.W_Q[layer, head]
    k = model.W_pos @ model.W_K[layer, head]
    scores = q @ k.T / (q.shape[-1] ** 0.5 * ln_scale)
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, float("-inf")).softmax(dim=-1)


# %% wrong 05.7: softmax over the queries, once more
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, float("-inf")).softmax(dim=0)


# %% wrong 05.7: masks the scores with zeros
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    return torch.tril(scores).softmax(dim=-1)


# %% wrong 05.7: masks after the softmax, so that rows do not add up to one
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    pattern = (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1)
    return pattern.tril()


# %% wrong 05.7: with the biases
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head] + model.b_Q[layer, head]
    k = x @ model.W_K[layer, head] + model.b_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, float("-inf")).softmax(dim=-1)


# %% right 05.7: masked softmax, once more
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    x = model.W_pos / ln_scale
    q = x @ model.W_Q[layer, head]
    k = x @ model.W_K[layer, head]
    scores = q @ k.T / q.shape[-1] ** 0.5
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(mask, float("-inf")).softmax(dim=-1)


# %% right 05.7: row by row
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    QK = model.W_Q[layer, head] @ model.W_K[layer, head].T / model.W_Q.shape[-1] ** 0.5
    scores = torch.einsum("qd,de,ke->qk", model.W_pos, QK, model.W_pos) / ln_scale**2
    pattern = torch.zeros_like(scores)
    for i in range(scores.shape[0]):
        pattern[i, : i + 1] = torch.softmax(scores[i, : i + 1], dim=0)
    return pattern


# %% wrong 05.8: forgets the head's own b_Q and b_K
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"]]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(model.cfg.n_heads):
            parts.append(z[:, h] @ model.W_O[l, h])
    parts.append(model.b_O[:layer].sum(0).expand_as(embed))
    x = torch.stack([p.reshape(embed.shape) for p in parts])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    return x @ model.W_Q[layer, head], x @ model.W_K[layer, head]


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: each component by its own LayerNorm scale
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"]]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        parts += [z[:, h] @ model.W_O[l, h] for h in range(model.cfg.n_heads)]
    parts.append(model.b_O[:layer].sum(0).expand_as(embed))
    x = torch.stack([p.reshape(embed.shape) for p in parts])
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: heads in the order L0H0, L1H0, ...
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"]]
    for h in range(model.cfg.n_heads):
        for l in range(layer):
            parts.append(cache[f"blocks.{l}.attn.hook_z"][:, h] @ model.W_O[l, h])
    parts.append(model.b_O[:layer].sum(0).expand_as(embed))
    x = torch.stack([p.reshape(embed.shape) for p in parts])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% wrong 05.8: scores come out as key by query
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"]]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        parts += [z[:, h] @ model.W_O[l, h] for h in range(model.cfg.n_heads)]
    parts.append(model.b_O[:layer].sum(0).expand_as(embed))
    x = torch.stack([p.reshape(embed.shape) for p in parts])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return k[None] @ q[:, None].mT / q.shape[-1] ** 0.5


# %% wrong 05.8: counts this layer's b_O among the earlier ones
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"]]
    bias = torch.zeros_like(embed)
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        parts += [z[:, h] @ model.W_O[l, h] for h in range(model.cfg.n_heads)]
    for l in range(layer + 1):
        bias = bias + model.b_O[l]
    parts.append(bias)
    x = torch.stack([p.reshape(embed.shape) for p in parts])
    x = (x - x.mean(-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] = q[-1] + model.b_Q[layer, head]
    k[-1] = k[-1] + model.b_K[layer, head]
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% right 05.8: list of parts, einsum
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    embed = cache["hook_embed"]
    parts = [embed, cache["hook_pos_embed"].reshape(embed.shape)]
    for l in range(layer):
        z = cache[f"blocks.{l}.attn.hook_z"]
        for h in range(model.cfg.n_heads):
            parts.append(z[:, h] @ model.W_O[l, h])
    parts.append(model.b_O[:layer].sum(dim=0).expand_as(embed))
    x = torch.stack(parts)
    x = (x - x.mean(dim=-1, keepdim=True)) / cache[f"blocks.{layer}.ln1.hook_scale"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q = torch.cat([q[:-1], q[-1:] + model.b_Q[layer, head]])
    k = torch.cat([k[:-1], k[-1:] + model.b_K[layer, head]])
    return q, k


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return torch.einsum("iqe,jke->ijqk", q, k) / q.shape[-1] ** 0.5


# %% right 05.8: heads of a layer at once, broadcast product
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    scale = cache[f"blocks.{layer}.ln1.hook_scale"]
    embed = cache["hook_embed"]
    blocks = [embed[None], cache["hook_pos_embed"].reshape(1, *embed.shape)]
    bias = torch.zeros_like(embed)[None]
    for l in range(layer):
        blocks.append(torch.einsum("she,hed->hsd", cache[f"blocks.{l}.attn.hook_z"], model.W_O[l]))
        bias = bias + model.b_O[l]
    x = torch.cat([*blocks, bias], dim=0)
    x = (x - x.mean(-1, keepdim=True)) / scale

    def project(W, b):
        add = torch.zeros(len(x), 1, len(b), dtype=b.dtype, device=b.device)
        add[-1, 0] = b
        return torch.einsum("csd,de->cse", x, W) + add

    return (
        project(model.W_Q[layer, head], model.b_Q[layer, head]),
        project(model.W_K[layer, head], model.b_K[layer, head]),
    )


def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    return q.unsqueeze(1) @ k.unsqueeze(0).transpose(-1, -2) / q.shape[-1] ** 0.5


# %% wrong 05.9: rows are the keys' tokens
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    queries = model.W_E @ model.W_Q[ind[0], ind[1]]
    keys = model.W_E @ model.W_V[prev[0], prev[1]] @ model.W_O[prev[0], prev[1]] @ model.W_K[ind[0], ind[1]]
    return cleanlens.FactoredMatrix(keys, queries.T)


# %% wrong 05.9: scaled by sqrt(d_head), once more
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    queries = model.W_E @ model.W_Q[ind[0], ind[1]]
    moved = model.W_E @ model.W_V[prev[0], prev[1]] @ model.W_O[prev[0], prev[1]]
    keys = moved @ model.W_K[ind[0], ind[1]]
    return cleanlens.FactoredMatrix(queries / queries.shape[-1] ** 0.5, keys.T)


# %% wrong 05.9: composes with the queries instead of the keys
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    queries = model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0] @ model.W_Q[l1, h1]
    keys = model.W_E @ model.W_K[l1, h1]
    return cleanlens.FactoredMatrix(queries, keys.T)


# %% wrong 05.9: adds the direct path to the keys
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    stream = model.W_E + model.W_E @ model.W_V[l0, h0] @ model.W_O[l0, h0]
    return cleanlens.FactoredMatrix(model.W_E @ model.W_Q[l1, h1], (stream @ model.W_K[l1, h1]).T)


# %% wrong 05.9: d_model between the factors, once more
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    QK = model.W_Q[l1, h1] @ model.W_K[l1, h1].T
    OV = model.W_V[l0, h0] @ model.W_O[l0, h0]
    return cleanlens.FactoredMatrix(model.W_E @ QK @ OV.T, model.W_E.T)


# %% right 05.9: queries and keys, once more
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    (l0, h0), (l1, h1) = prev, ind
    queries = model.W_E @ model.W_Q[l1, h1]
    keys = (model.W_E @ model.W_V[l0, h0]) @ (model.W_O[l0, h0] @ model.W_K[l1, h1])
    return cleanlens.FactoredMatrix(queries, keys.T)


# %% right 05.9: einsum from the right
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    W_V, W_O = model.W_V[prev[0]][prev[1]], model.W_O[prev[0]][prev[1]]
    W_Q, W_K = model.W_Q[ind[0]][ind[1]], model.W_K[ind[0]][ind[1]]
    read = torch.einsum("de,ef,fk->dk", W_V, W_O, W_K)
    A = torch.einsum("vd,de->ve", model.W_E, W_Q)
    B = torch.einsum("dk,vd->kv", read, model.W_E)
    return cleanlens.FactoredMatrix(A, B)


# %% wrong 05.10: what the queries read
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    QK = cleanlens.FactoredMatrix(model.W_Q[l1, h1], model.W_K[l1, h1].T)
    return composition_score(OV, QK)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    A = cleanlens.FactoredMatrix(
        torch.randn(n, d_model, d_head, generator=g), torch.randn(n, d_head, d_model, generator=g)
    )
    B = cleanlens.FactoredMatrix(
        torch.randn(n, d_model, d_head, generator=g), torch.randn(n, d_head, d_model, generator=g)
    )
    return composition_score(A, B)


# %% wrong 05.10: multiplies in the other order
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (B @ A).norm() / A.norm() / B.norm()


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    KQ = cleanlens.FactoredMatrix(model.W_K[l1, h1], model.W_Q[l1, h1].T)
    return composition_score(OV, KQ)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    torch.manual_seed(seed)
    A = cleanlens.FactoredMatrix(torch.randn(n, d_model, d_head), torch.randn(n, d_head, d_model))
    B = cleanlens.FactoredMatrix(torch.randn(n, d_model, d_head), torch.randn(n, d_head, d_model))
    return composition_score(A, B)


# %% wrong 05.10: one score for the whole batch
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A.AB @ B.AB).norm() / (A.AB.norm() * B.AB.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    KQ = cleanlens.FactoredMatrix(model.W_K[l1, h1], model.W_Q[l1, h1].T)
    return composition_score(OV, KQ)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    scores = []
    for _ in range(n):
        a, b, c, d = (torch.randn(d_model, d_head, generator=g) for _ in range(4))
        scores.append(composition_score(cleanlens.FactoredMatrix(a, b.T), cleanlens.FactoredMatrix(c, d.T)))
    return torch.stack(scores)


# %% wrong 05.10: seeds anew for every factor, so that the two matrices are the same
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    KQ = cleanlens.FactoredMatrix(model.W_K[l1, h1], model.W_Q[l1, h1].T)
    return composition_score(OV, KQ)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    def draw():
        g = torch.Generator().manual_seed(seed)
        left = torch.randn(n, d_model, d_head, generator=g)
        right = torch.randn(n, d_head, d_model, generator=g)
        return cleanlens.FactoredMatrix(left, right)

    return composition_score(draw(), draw())


# %% wrong 05.10: uniform factors instead of Gaussian ones
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    KQ = cleanlens.FactoredMatrix(model.W_K[l1, h1], model.W_Q[l1, h1].T)
    return composition_score(OV, KQ)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    A = cleanlens.FactoredMatrix(
        torch.rand(n, d_model, d_head, generator=g), torch.rand(n, d_head, d_model, generator=g)
    )
    B = cleanlens.FactoredMatrix(
        torch.rand(n, d_model, d_head, generator=g), torch.rand(n, d_head, d_model, generator=g)
    )
    return composition_score(A, B)


# %% right 05.10: factored, all pairs as a batch
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    return (A @ B).norm() / (A.norm() * B.norm())


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    (l0, h0), (l1, h1) = prev, ind
    OV = cleanlens.FactoredMatrix(model.W_V[l0, h0], model.W_O[l0, h0])
    KQ = cleanlens.FactoredMatrix(model.W_K[l1, h1], model.W_Q[l1, h1].T)
    return composition_score(OV, KQ)


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator().manual_seed(seed)
    A, B = (
        cleanlens.FactoredMatrix(
            torch.randn(n, d_model, d_head, generator=g), torch.randn(n, d_head, d_model, generator=g)
        )
        for _ in range(2)
    )
    return composition_score(A, B)


# %% right 05.10: multiplied out, pair by pair
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    def size(matrix):
        return matrix.square().sum(dim=(-2, -1)).sqrt()

    a, b = A.A @ A.B, B.A @ B.B
    return size(a @ b) / (size(a) * size(b))


def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    writer, reader = model.blocks[prev[0]].attn, model.blocks[ind[0]].attn
    return composition_score(
        cleanlens.FactoredMatrix(writer.W_V[prev[1]], writer.W_O[prev[1]]),
        cleanlens.FactoredMatrix(reader.W_K[ind[1]], reader.W_Q[ind[1]].T),
    )


def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    g = torch.Generator()
    g.manual_seed(seed)
    scores = torch.empty(n)
    for i in range(n):
        a, b, c, d = torch.randn(4, d_model, d_head, generator=g)
        scores[i] = composition_score(cleanlens.FactoredMatrix(a, b.T), cleanlens.FactoredMatrix(c, d.T))
    return scores


# %% wrong 05.11: absolute values of the real parts only, once more
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.real.sum(-1) / eigenvalues.real.abs().sum(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    OV = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    return copying_score(OV.eigenvalues)


# %% wrong 05.11: absolute value of the sum, so never negative
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(-1).abs() / eigenvalues.abs().sum(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    OV = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    return copying_score(OV.eigenvalues)


# %% wrong 05.11: the score stays complex
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(dim=-1) / eigenvalues.abs().sum(dim=-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    OV = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    return copying_score(OV.eigenvalues)


# %% wrong 05.11: OV without embedding and unembedding
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    return copying_score(cleanlens.FactoredMatrix(model.W_V, model.W_O).eigenvalues)


# %% wrong 05.11: one score for all matrices together
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum().real / eigenvalues.abs().sum()


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    return torch.stack(
        [
            torch.stack(
                [copying_score(full_OV(model, l, h).eigenvalues) for h in range(model.cfg.n_heads)]
            )
            for l in range(model.cfg.n_layers)
        ]
    )


# %% right 05.11: all heads in one factored matrix
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    return eigenvalues.sum(dim=-1).real / eigenvalues.abs().sum(dim=-1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    OV = cleanlens.FactoredMatrix(model.W_E @ model.W_V, model.W_O @ model.W_U)
    return copying_score(OV.eigenvalues)


# %% right 05.11: head by head, small matrices
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    magnitude = (eigenvalues.real**2 + eigenvalues.imag**2).sqrt()
    return torch.sum(eigenvalues.real, -1) / torch.sum(magnitude, -1)


def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    UE = model.W_U @ model.W_E
    rows = []
    for l in range(model.cfg.n_layers):
        small = [model.W_O[l, h] @ UE @ model.W_V[l, h] for h in range(model.cfg.n_heads)]
        rows.append(torch.stack([copying_score(torch.linalg.eigvals(m)) for m in small]))
    return torch.stack(rows)
