"""Singular directions of a model's weights, read as tokens (Millidge & Black 2022, "The Singular Value Decompositions
of Transformer Weight Matrices are Highly Interpretable")."""

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer

VECTOR_TYPES = ("OV", "w_in", "w_out")


class SVDInterpreter:
    """The directions in the residual stream that a head's OV circuit or an MLP uses most, as logits.

    Attributes:
        model, cfg: whose weights.
        params: its parameters by name.
    """

    def __init__(self, model: "HookedTransformer"):
        self.model, self.cfg = model, model.cfg
        self.params = dict(model.named_parameters())

    def get_singular_vectors(
        self,
        vector_type: Literal["OV", "w_in", "w_out"],
        layer_index: int,
        num_vectors: int = 10,
        head_index: int | None = None,
    ) -> Float[Tensor, "d_vocab 1 vector"]:
        """The logits that each of the first singular vectors would give by itself, the strongest first.

        The sign of a singular vector is not defined: of a direction and its opposite, either may come.

        Args:
            vector_type: "OV", what a head writes; "w_in", what an MLP reads (with its LayerNorm's gain, where that
                is not folded); "w_out", what it writes.
            head_index: for "OV".

        Raises:
            ValueError: another type, or no such layer, head or number of vectors.
        """
        if vector_type not in VECTOR_TYPES:
            raise ValueError(f"vector_type = {vector_type!r}; it must be one of {VECTOR_TYPES}")
        if not 0 <= layer_index < self.cfg.n_layers:
            raise ValueError(f"layer_index = {layer_index}; it must be from 0 to {self.cfg.n_layers - 1}")
        if vector_type == "OV" and (head_index is None or not 0 <= head_index < self.cfg.n_heads):
            raise ValueError(
                f"head_index = {head_index}; for 'OV' it must be from 0 to {self.cfg.n_heads - 1}"
            )
        block = self.model.blocks[layer_index]
        if vector_type == "OV":
            V = block.attn.OV[head_index].V
        elif vector_type == "w_in":
            V = torch.linalg.svd(block.mlp.W_in.T * getattr(block.ln2, "w", 1.0), full_matrices=False).Vh.T
        else:
            V = torch.linalg.svd(block.mlp.W_out, full_matrices=False).Vh.T
        if not 0 < num_vectors <= V.shape[1]:
            raise ValueError(f"num_vectors = {num_vectors}; it must be from 1 to {V.shape[1]}")
        return (self.model.W_U.T @ V[:, :num_vectors].to(self.model.W_U))[:, None]
