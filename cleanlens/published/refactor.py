"""A change of basis within each head, `refactor_factored_attn_matrices`."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cleanlens.factored_matrix import FactoredMatrix

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


def refactor_attention(model: "HookedTransformer") -> None:
    """Choose the axes of each head's small spaces by singular value decomposition.

    Only W_Q W_K^T and W_V W_O matter to the model; any invertible change of basis in between is free.
    Queries and keys share the singular values evenly, values carry them, and W_O becomes orthonormal.
    Biases take part as one more row of their weight.

    Raises:
        ValueError: between queries and keys stands a rotation, or heads share their keys and values.
    """
    if model.cfg.positional_embedding_type == "rotary" or model.cfg.n_key_value_heads is not None:
        raise ValueError(
            "refactor_factored_attn_matrices: this model rotates queries and keys by their position or shares keys and "
            "values among heads, so that their axes cannot be chosen freely; leave the option out"
        )
    for block in model.blocks:
        attn = block.attn
        q_and_k = FactoredMatrix(
            _with_bias(attn.W_Q, attn.b_Q), _with_bias(attn.W_K, attn.b_K).transpose(-1, -2)
        )
        U, S, V = _svd(q_and_k, attn.W_Q.shape[-1])
        _set_with_bias(attn.W_Q, attn.b_Q, U * S.sqrt()[..., None, :])
        _set_with_bias(attn.W_K, attn.b_K, V * S.sqrt()[..., None, :])
        U, S, V = _svd(FactoredMatrix(_with_bias(attn.W_V, attn.b_V), attn.W_O.double()), attn.W_V.shape[-1])
        _set_with_bias(attn.W_V, attn.b_V, U * S[..., None, :])
        attn.W_O.copy_(V.transpose(-1, -2))


def _with_bias(W: Tensor, b: Tensor) -> Tensor:
    return torch.cat([W.double(), b.double()[:, None, :]], dim=1)


def _set_with_bias(W: Tensor, b: Tensor, both: Tensor) -> None:
    W.copy_(both[:, :-1])
    b.copy_(both[:, -1])


def _svd(matrix: FactoredMatrix, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, V with `width` columns, each pair of vectors with the sign that makes U's largest entry positive."""
    U, S, V = matrix.svd()
    largest = U.abs().argmax(dim=-2, keepdim=True)
    sign = U.gather(-2, largest).sign()
    missing = width - S.shape[-1]
    return F.pad(U * sign, (0, missing)), F.pad(S, (0, missing)), F.pad(V * sign, (0, missing))
