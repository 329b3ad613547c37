"""Singular directions of a model's weights, read as tokens (Millidge & Black 2022, "The Singular Value Decompositions of
Transformer Weight Matrices are Highly Interpretable").

A matrix W = U S V^T takes each input direction u_i to the output direction v_i, s_i times as long. Where a head or an MLP
writes into the residual stream, v_i says in which directions, strongest first, and v_i W_U for which tokens.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    import pandas

    from cleanlens.hooked_transformer import HookedTransformer

Weights = Literal["OV", "w_in", "w_out"]


@dataclass
class SingularDirections:
    """The strongest directions of a weight, with the logits that each would give by itself.

    The sign of a singular vector is not defined: `top` and `bottom` are the two ends of a direction, and either may be
    the one that the model uses.
    """

    strengths: Float[Tensor, " direction"]
    logits: Float[Tensor, "direction d_vocab"]
    name: str  # of the weight: "L5H1 OV"
    vocabulary: Any  # a function from an id to text

    def top(self, k: int = 5) -> list[list[str]]:
        """The k tokens with the largest logits of each direction."""
        return self._words(self.logits.topk(k).indices)

    def bottom(self, k: int = 5) -> list[list[str]]:
        """The k tokens with the smallest logits of each direction."""
        return self._words(self.logits.topk(k, largest=False).indices)

    def _words(self, ids: Tensor) -> list[list[str]]:
        return [[self.vocabulary(int(i)) for i in row] for row in ids]

    def to_pandas(self, k: int = 5) -> "pandas.DataFrame":
        """One row per direction: its strength, and the tokens at its two ends."""
        import pandas

        return pandas.DataFrame(
            {"strength": self.strengths.tolist(), "top": self.top(k), "bottom": self.bottom(k)}
        )

    def plot(self, k: int = 8, title: str | None = None) -> Any:
        """A map with a row per direction: its k largest logits, each with its token."""
        from cleanlens import plots

        best = self.logits.topk(k)
        figure = plots.heatmap(
            best.values,
            [str(i + 1) for i in range(k)],
            [f"{i} ({strength:.2f})" for i, strength in enumerate(self.strengths.tolist())],
            title or f"Singular directions of {self.name}, as tokens",
            "place in the order of logits",
            "direction (strength)",
            zero_centred=False,
            color_label="logit",
            square=False,  # words need width
            numbers=False,
        )
        figure.update_traces(text=self.top(k), texttemplate="%{text}")
        return figure


@torch.no_grad()
def singular_directions(
    model: "HookedTransformer", weights: Weights, layer: int, head: int | None = None, n: int = 10
) -> SingularDirections:
    """The first n singular directions of a head's OV circuit or an MLP's weights, on their side of the residual stream.

    Args:
        weights: "OV", what a head writes; "w_in", what an MLP reads (with its norm's gain, where that is not folded);
            "w_out", what it writes.
        head: for "OV".

    Raises:
        ValueError: other weights, no such layer, head or number of directions, or a model without an MLP.
    """
    cfg = model.cfg
    if weights not in ("OV", "w_in", "w_out"):
        raise ValueError(f"singular_directions: weights = {weights!r}; expected 'OV', 'w_in' or 'w_out'")
    if not 0 <= layer < cfg.n_layers:
        raise ValueError(f"singular_directions: layer = {layer}; there are 0 to {cfg.n_layers - 1}")
    if weights == "OV" and (head is None or not 0 <= head < cfg.n_heads):
        raise ValueError(f"singular_directions: head = {head}; for 'OV' there are 0 to {cfg.n_heads - 1}")
    block = model.blocks[layer]
    if weights != "OV" and not hasattr(block, "mlp"):
        raise ValueError(f"singular_directions: weights = {weights!r}, but the model has attention only")
    if weights == "OV":
        _, S, V = block.attn.OV[head].svd()
    else:
        W = block.mlp.W_out if weights == "w_out" else block.mlp.W_in.T * getattr(block.ln2, "w", 1.0)
        _, S, Vh = torch.linalg.svd(W, full_matrices=False)
        V = Vh.T
    if not 0 < n <= len(S):
        raise ValueError(f"singular_directions: n = {n}; the weight has {len(S)} directions")
    logits = V[:, :n].T.to(model.W_U) @ model.W_U
    name = f"L{layer}H{head} OV" if weights == "OV" else f"L{layer} {weights}"
    return SingularDirections(S[:n], logits, name, lambda i: model.to_single_str_token(i))
