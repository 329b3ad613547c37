"""What the checks of chapter 05 share."""

import math
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer


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


def weights_of(model):
    """All its weights in a row, to see whether an answer has changed them."""
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


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
