"""Singular directions of a model's weights, read as tokens (Millidge & Black 2022, "The Singular Value Decompositions
of Transformer Weight Matrices are Highly Interpretable")."""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from cleanlens.analysis.singular import Weights, singular_directions

if TYPE_CHECKING:
    from cleanlens.hooked_transformer import HookedTransformer


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
        vector_type: Weights,
        layer_index: int,
        num_vectors: int = 10,
        head_index: int | None = None,
    ) -> Float[Tensor, "d_vocab 1 vector"]:
        """The logits that each of the first singular vectors would give by itself, the strongest first.

        The sign of a singular vector is not defined: of a direction and its opposite, either may come.

        Args:
            vector_type, layer_index, head_index, num_vectors: as in `cleanlens.analysis.singular_directions`, which also
                gives strengths and tokens.

        Raises:
            ValueError: another type, or no such layer, head or number of vectors.
        """
        found = singular_directions(self.model, vector_type, layer_index, head_index, num_vectors)
        return found.logits.T[:, None]
