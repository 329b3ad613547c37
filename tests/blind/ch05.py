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
