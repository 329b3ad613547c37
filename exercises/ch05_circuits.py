# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 05`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 05, FactoredMatrix and circuits: what heads do, read from their weights.

Rows are vectors here: a token's embedding is a row of W_E, and each weight multiplies from the right. The library's own
class is written `cleanlens.FactoredMatrix`, since this file builds one of the same name.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

import cleanlens
from cleanlens import ActivationCache, HookedTransformer


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
        raise NotImplementedError("05.3")


# exercise 05.4
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    raise NotImplementedError("05.4")


# exercise 05.5
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    raise NotImplementedError("05.5")


# exercise 05.6
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    raise NotImplementedError("05.6")


# exercise 05.7
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    raise NotImplementedError("05.7")


# exercise 05.8
def split_qk(
    model: HookedTransformer, cache: ActivationCache, layer: int, head: int
) -> tuple[Float[Tensor, "c s e"], Float[Tensor, "c s e"]]:
    """A head's queries and keys as sums over the components of its input.

    The rows of both: embed, pos_embed, the output z W_O of each head of the earlier layers (L0H0, L0H1, ...), and last
    the biases: b_O of the earlier layers, together with the head's own b_Q (or b_K). Each is centred and divided by the
    LayerNorm scale that the whole stream had, so that the rows add up to the model's own q and k.

    For an attention-only model with folded LayerNorm, as `from_pretrained` gives; the cache has no batch axis.
    """
    raise NotImplementedError("05.8")


# exercise 05.8
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    raise NotImplementedError("05.8")


# exercise 05.9
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    raise NotImplementedError("05.9")


# exercise 05.10
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    raise NotImplementedError("05.10")


# exercise 05.10
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    raise NotImplementedError("05.10")


# exercise 05.10
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    raise NotImplementedError("05.10")


# exercise 05.11
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    raise NotImplementedError("05.11")


# exercise 05.11
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    raise NotImplementedError("05.11")
