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
        if isinstance(other, Tensor):
            return FactoredMatrix(self.A, self.B @ other)
        middle = self.B @ other.A
        if self.mdim <= other.mdim:
            return FactoredMatrix(self.A, middle @ other.B)
        return FactoredMatrix(self.A @ middle, other.B)

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
        n_leading = self.A.ndim - 2
        leading, inner = index[:n_leading], index[n_leading:]
        A, B = self.A[leading], self.B[leading]
        if len(inner) > 0:
            A = A[..., self.keep_axis(inner[0]), :]
        if len(inner) > 1:
            B = B[..., :, self.keep_axis(inner[1])]
        return FactoredMatrix(A, B)

    # exercise 05.2
    def svd(self) -> tuple[Float[Tensor, "... l m"], Float[Tensor, "... m"], Float[Tensor, "... r m"]]:
        """U, S, V with A B = U diag(S) V^T: singular values falling, singular vectors in the columns of U and of V.

        For m smaller than l and r. The columns are orthonormal also when the rank is less than m. Nothing of size l x r is made.
        """
        Q_A, R_A = torch.linalg.qr(self.A)
        Q_B, R_B = torch.linalg.qr(self.B.mT)
        U, S, Vh = torch.linalg.svd(R_A @ R_B.mT)
        return Q_A @ U, S, Q_B @ Vh.mT

    # exercise 05.2
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm of A B, one for each matrix of the batch. Nothing of size l x r is made."""
        R_A, R_B = torch.linalg.qr(self.A).R, torch.linalg.qr(self.B.mT).R
        return torch.linalg.matrix_norm(R_A @ R_B.mT)

    # exercise 05.3
    @property
    def eigenvalues(self) -> Complex[Tensor, "... m"]:
        """The m eigenvalues of A B (square) that can differ from zero, in any order, complex."""
        return torch.linalg.eigvals(self.B @ self.A)


# exercise 05.4
def full_OV(model: HookedTransformer, layer: int, head: int) -> cleanlens.FactoredMatrix:
    """The head's full OV circuit W_E W_V W_O W_U, `[d_vocab d_vocab]`, in factors with d_head between them.

    Row s: what attending to token s adds to every token's logit (up to LayerNorm's scale).
    """
    W_V, W_O = model.W_V[layer, head], model.W_O[layer, head]
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# exercise 05.5
def top1_acc(M: cleanlens.FactoredMatrix, chunk_size: int = 1000) -> float:
    """The share of rows of a square matrix whose largest entry is on the diagonal.

    At most `chunk_size` rows are multiplied out at a time; it may be more than there are. (Ties may count either way.)
    """
    n, hits = M.shape[0], 0
    for start in range(0, n, chunk_size):
        rows = M[start : start + chunk_size].AB
        target = torch.arange(start, start + len(rows), device=rows.device)
        hits += (rows.argmax(dim=1) == target).sum().item()
    return hits / n


# exercise 05.6
def effective_OV(model: HookedTransformer, heads: list[tuple[int, int]]) -> cleanlens.FactoredMatrix:
    """The full OV circuit of heads `(layer, head)`, one or more and none twice, that attend to the same place: the sum of theirs.

    `[d_vocab d_vocab]`, in factors with len(heads) * d_head between them.
    """
    W_V = torch.cat([model.W_V[layer, head] for layer, head in heads], dim=1)  # [d_model, heads * d_head]
    W_O = torch.cat([model.W_O[layer, head] for layer, head in heads], dim=0)  # [heads * d_head, d_model]
    return cleanlens.FactoredMatrix(model.W_E @ W_V, W_O @ model.W_U)


# exercise 05.7
def position_pattern(
    model: HookedTransformer, layer: int, head: int, ln_scale: float = 1.0
) -> Float[Tensor, "n n"]:
    """The head's attention pattern if its input were the position embeddings alone, `[query key]`, all n_ctx positions.

    `ln_scale` is what LayerNorm divides the input by; W_pos is taken as it stands, not centred again. Biases are left out, though
    in the model they may matter. Causal, as the model is.
    """
    x = model.W_pos / ln_scale
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    scores = q @ k.T / model.cfg.attn_scale
    future = torch.triu(torch.ones_like(scores), diagonal=1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(dim=-1)


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
    rows = [cache["embed"], cache["pos_embed"]]
    for earlier in range(layer):
        for h in range(model.cfg.n_heads):
            rows.append(cache["z", earlier][:, h] @ model.W_O[earlier, h])
    rows.append(model.b_O[:layer].sum(dim=0).expand_as(rows[0]))
    x = torch.stack(rows)
    x = (x - x.mean(dim=-1, keepdim=True)) / cache["scale", layer, "ln1"]
    q, k = x @ model.W_Q[layer, head], x @ model.W_K[layer, head]
    q[-1] += model.b_Q[layer, head]
    k[-1] += model.b_K[layer, head]
    return q, k


# exercise 05.8
def decompose_scores(q: Float[Tensor, "i s e"], k: Float[Tensor, "j s e"]) -> Float[Tensor, "i j s s"]:
    """What each pair of a query component i and a key component j adds to the attention scores, `[i j query key]`.

    Before mask and softmax, divided by sqrt(e) as the scores are.
    """
    return torch.einsum("ise,jte->ijst", q, k) / q.shape[-1] ** 0.5


# exercise 05.9
def k_composition_circuit(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> cleanlens.FactoredMatrix:
    """How much token q (rows) wants to attend to a position that follows token k (columns), `[d_vocab d_vocab]`.

    `prev` is the (layer, head) that moved token k one position on, `ind` the later (layer, head) whose keys read it.
    Not scaled; in factors with d_head between them.
    """
    written = model.W_E @ model.W_V[prev] @ model.W_O[prev]
    return cleanlens.FactoredMatrix(model.W_E @ model.W_Q[ind], (written @ model.W_K[ind]).T)


# exercise 05.10
def composition_score(A: cleanlens.FactoredMatrix, B: cleanlens.FactoredMatrix) -> Float[Tensor, "..."]:
    """||A B|| / (||A|| ||B||) in Frobenius norms, one for each matrix of the batch: A writes, B reads. (Neither is zero.)"""
    return (A @ B).norm() / (A.norm() * B.norm())


# exercise 05.10
def k_composition_score(
    model: HookedTransformer, prev: tuple[int, int], ind: tuple[int, int]
) -> Float[Tensor, ""]:
    """The composition score of what head `prev` writes and what the keys of head `ind` read; both are (layer, head)."""
    return composition_score(model.OV[prev], model.QK[ind].T)


# exercise 05.10
def random_baseline(d_model: int, d_head: int, n: int, seed: int = 0) -> Float[Tensor, "n"]:
    """The composition scores of n pairs of random matrices, each a product of two independent Gaussian factors with
    d_head between them, all drawn with torch. The same seed gives the same scores."""
    generator = torch.Generator().manual_seed(seed)
    a, b, c, d = torch.randn(4, n, d_model, d_head, generator=generator)
    return composition_score(cleanlens.FactoredMatrix(a, b.mT), cleanlens.FactoredMatrix(c, d.mT))


# exercise 05.11
def copying_score(eigenvalues: Complex[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """The sum of the eigenvalues over the sum of their absolute values, for each matrix: from -1 to 1. (Not all are zero.)"""
    return eigenvalues.sum(dim=-1).real / eigenvalues.abs().sum(dim=-1)


# exercise 05.11
def head_copying_scores(model: HookedTransformer) -> Float[Tensor, "layer head"]:
    """The copying score of every head's full OV circuit W_E W_V W_O W_U. Nothing of size d_vocab x d_vocab is made."""
    small = (
        model.W_O @ (model.W_U @ model.W_E) @ model.W_V
    )  # [layer, head, d_head, d_head]: B A for A B = full OV
    return copying_score(torch.linalg.eigvals(small))
