"""Growing a bigger transformer out of a smaller one without changing what it computes.

A deep model with MLPs, trained from scratch on this corpus, takes far longer to form induction heads than two
layers of attention alone. So the six-layer GPT-2 starts from those two layers. They are placed among fresh
layers whose every output is zero: the new heads read the residual stream and write nothing, until training
finds something worth writing. (Function-preserving growth: Chen et al. 2015, "Net2Net".)
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

# Whatever writes to the residual stream: zero here means a layer that changes nothing.
_OUTPUTS = ("W_O", "b_O", "W_out", "b_out")


@torch.no_grad()
def grow(model: nn.Module, small: Mapping[str, Tensor], layers: Sequence[int]) -> None:
    """Make `model` compute the function of the attention-only model whose state dict is `small`.

    Args:
        model: the bigger model, already initialised; same `d_model`, heads, vocabulary and context.
        small: state dict of the smaller one. Its layer `i` becomes `model`'s attention in layer `layers[i]`.

    Raises:
        KeyError: when `small` has a weight that `model` has no place for.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if name.split(".")[-1] in _OUTPUTS:
            parameter.zero_()
    for name, value in small.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            name = f"blocks.{layers[int(layer)]}.{rest}"
        if name not in parameters:
            raise KeyError(f"the bigger model has no parameter {name!r}; it has {sorted(parameters)}.")
        parameters[name].copy_(value)
