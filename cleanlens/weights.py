"""A model's weights by their mathematical names, all layers stacked."""

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cleanlens.factored_matrix import FactoredMatrix
from cleanlens.utils import composition_scores_of_later

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


class Weights:
    """The properties of a HookedTransformer that give its weights. Stacks are copies: to change a weight,
    change the component's own (`model.blocks[3].attn.W_Q`)."""

    def _stacked(self: "HookedTransformer", component: str, name: str) -> Tensor:
        if component == "mlp" and self.cfg.attn_only:
            raise ValueError(f"this model has no {name}: its blocks are attention only")
        return torch.stack([getattr(getattr(block, component), name) for block in self.blocks])

    @property
    def W_E(self: "HookedTransformer") -> Float[Tensor, "d_vocab d_model"]:
        """Token embedding."""
        return self.embed.W_E

    @property
    def W_pos(self: "HookedTransformer") -> Float[Tensor, "n_ctx d_model"]:
        """Position embedding.

        Raises:
            ValueError: the model has none: its positions are in the attention.
        """
        if not self.cfg.embeds_positions:
            raise ValueError(
                f"this model has no W_pos: its positions are in the attention ({self.cfg.positional_embedding_type})"
            )
        return self.pos_embed.W_pos

    @property
    def W_E_pos(self: "HookedTransformer") -> Float[Tensor, "d_vocab_and_n_ctx d_model"]:
        """Both embeddings, tokens first: everything that the first layer can read."""
        return torch.cat([self.W_E, self.W_pos])

    @property
    def W_U(self: "HookedTransformer") -> Float[Tensor, "d_model d_vocab_out"]:
        """Unembedding."""
        return self.unembed.W_U

    @property
    def b_U(self: "HookedTransformer") -> Float[Tensor, "d_vocab_out"]:
        """Unembedding bias."""
        return self.unembed.b_U

    @property
    def W_Q(self: "HookedTransformer") -> Float[Tensor, "layer head d_model d_head"]:
        """Query weights."""
        return self._stacked("attn", "W_Q")

    @property
    def W_K(self: "HookedTransformer") -> Float[Tensor, "layer head d_model d_head"]:
        """Key weights."""
        return self._stacked("attn", "W_K")

    @property
    def W_V(self: "HookedTransformer") -> Float[Tensor, "layer head d_model d_head"]:
        """Value weights."""
        return self._stacked("attn", "W_V")

    @property
    def W_O(self: "HookedTransformer") -> Float[Tensor, "layer head d_head d_model"]:
        """Output weights."""
        return self._stacked("attn", "W_O")

    @property
    def b_Q(self: "HookedTransformer") -> Float[Tensor, "layer head d_head"]:
        """Query biases."""
        return self._stacked("attn", "b_Q")

    @property
    def b_K(self: "HookedTransformer") -> Float[Tensor, "layer head d_head"]:
        """Key biases."""
        return self._stacked("attn", "b_K")

    @property
    def b_V(self: "HookedTransformer") -> Float[Tensor, "layer head d_head"]:
        """Value biases."""
        return self._stacked("attn", "b_V")

    @property
    def b_O(self: "HookedTransformer") -> Float[Tensor, "layer d_model"]:
        """Attention output biases."""
        return self._stacked("attn", "b_O")

    @property
    def W_in(self: "HookedTransformer") -> Float[Tensor, "layer d_model d_mlp"]:
        """MLP input weights."""
        return self._stacked("mlp", "W_in")

    @property
    def W_gate(self: "HookedTransformer") -> Float[Tensor, "layer d_model d_mlp"] | None:
        """The gates' weights; None where the MLPs have no gate."""
        return self._stacked("mlp", "W_gate") if self.cfg.gated_mlp else None

    @property
    def W_out(self: "HookedTransformer") -> Float[Tensor, "layer d_mlp d_model"]:
        """MLP output weights."""
        return self._stacked("mlp", "W_out")

    @property
    def b_in(self: "HookedTransformer") -> Float[Tensor, "layer d_mlp"]:
        """MLP input biases."""
        return self._stacked("mlp", "b_in")

    @property
    def b_out(self: "HookedTransformer") -> Float[Tensor, "layer d_model"]:
        """MLP output biases."""
        return self._stacked("mlp", "b_out")

    @property
    def QK(self: "HookedTransformer") -> FactoredMatrix:
        """Where each head looks: W_Q W_K^T, `[layer head d_model d_model]`."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-1, -2))

    @property
    def OV(self: "HookedTransformer") -> FactoredMatrix:
        """What each head writes for what it reads: W_V W_O, `[layer head d_model d_model]`."""
        return FactoredMatrix(self.W_V, self.W_O)

    def accumulated_bias(
        self: "HookedTransformer", layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, "d_model"]:
        """The sum of all output biases before `layer`; with `mlp_input` this layer's b_O too."""
        total = torch.zeros(self.cfg.d_model, dtype=self.cfg.dtype, device=self.cfg.device)
        for block in self.blocks[:layer]:
            total = total + block.attn.b_O
            if include_mlp_biases and not self.cfg.attn_only:
                total = total + block.mlp.b_out
        if mlp_input:
            if layer >= self.cfg.n_layers:
                raise ValueError(f"layer {layer} has no MLP: the model has {self.cfg.n_layers} layers")
            total = total + self.blocks[layer].attn.b_O
        return total

    def all_composition_scores(
        self: "HookedTransformer", mode: Literal["Q", "K", "V"]
    ) -> Float[Tensor, "layer head layer head"]:
        """How strongly each later head (last two axes) reads what each earlier one writes, by its Q, K or V.

        Zero where the second head is not in a later layer. See `utils.composition_scores`.
        """
        readers = {"Q": lambda: self.QK, "K": lambda: self.QK.T, "V": lambda: self.OV}
        if mode not in readers:
            raise ValueError(f"mode = {mode!r}; it must be 'Q', 'K' or 'V'")
        return composition_scores_of_later(self.OV, readers[mode]())

    def all_head_labels(self: "HookedTransformer") -> list[str]:
        """`L0H0`, `L0H1`, ..., in the order of the stacked weights."""
        return [f"L{i}H{h}" for i in range(self.cfg.n_layers) for h in range(self.cfg.n_heads)]

    @property
    def n_params_total(self: "HookedTransformer") -> int:
        """All parameters, embeddings and biases included."""
        return sum(parameter.numel() for parameter in self.parameters())
