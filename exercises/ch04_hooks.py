# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 04`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 04, Hooks and ablation: reading a running model, changing it, and what that proves.

A hook is called `hook(activation, hook=hook_point)`. What it returns replaces the activation; None keeps it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens import HookedTransformer


class HookPoint(nn.Module):
    """An identity that calls the functions attached to it.

    Attributes:
        name: its path in the model that it is part of, such as "blocks.1".
        hooks: the functions attached to it, by number, in the order in which they were attached.
        attached: how many were ever attached.
    """

    def __init__(self, name: str = ""):
        super().__init__()
        self.name = name
        self.hooks: dict[int, Callable] = {}
        self.attached = 0

    # exercise 04.1
    def forward(self, x: Tensor) -> Tensor:
        """Call every hook in order as `hook(x, hook=self)`.

        What a hook returns is what the next one gets, and in the end what is returned here; a hook that
        returns None leaves x as it was. Gradients pass through.
        """
        raise NotImplementedError("04.1")

    # exercise 04.1
    def add_hook(self, hook: Callable) -> int:
        """Attach `hook` behind those already there; return its number, which no other hook has or had."""
        raise NotImplementedError("04.1")

    def remove_hook(self, number: int) -> None:
        """Remove the hook with this number; nothing happens when it is gone already."""
        self.hooks.pop(number, None)


# exercise 04.1
def run_with_hooks(model: nn.Module, tokens: Int[Tensor, "b s"], hooks: list[tuple[str, Callable]]) -> Any:
    """One run of the model with `hooks` attached, (name, function) pairs; returns what the model returns.

    A name is a module's exact path, a key of `dict(model.named_modules())`; KeyError for any other. Afterwards,
    and also after an exception or Ctrl-C, which goes on to the caller, exactly these hooks are gone again and all others are
    still there.
    """
    raise NotImplementedError("04.1")


# exercise 04.2
def score_hook(pattern: Float[Tensor, "b h q k"], hook: Any, store: Float[Tensor, "l h"]) -> None:
    """Add every head's attention to the previous token to its place in `store`, and change nothing else.

    For one prompt it is the mean, over the queries from position 1 on, of the attention to the position before;
    the prompts of a batch are summed up, so that the caller may divide by their number after all batches.
    `hook.layer()` is the layer. The store keeps no graph. Returns nothing. (Prompts have two tokens or more.)
    """
    raise NotImplementedError("04.2")


# exercise 04.3
def zero_ablate(z: Float[Tensor, "b s h e"], hook: Any, head: int) -> Float[Tensor, "b s h e"]:
    """z with this head's part set to zero. z itself is not changed; gradients pass through the other heads.

    All numbers in z are finite.
    """
    raise NotImplementedError("04.3")


# exercise 04.4
def mean_ablate(
    z: Float[Tensor, "b s h e"],
    hook: Any,
    head: int,
    reference: Float[Tensor, "n s h e"],
    mask: Bool[Tensor, "n s"],
) -> Float[Tensor, "b s h e"]:
    """z with this head's part replaced by its mean over the reference prompts, at each position by itself.

    `reference` holds the layer's z on n other prompts; `mask` is True where their tokens are real and False where
    they are padding, which does not count. (Some prompt is real at every position, and all numbers are finite.) z itself is not
    changed; gradients pass through the other heads.
    """
    raise NotImplementedError("04.4")


# exercise 04.5
def ablation_scores(model: HookedTransformer, tokens: Int[Tensor, "b s"]) -> Float[Tensor, "l h"]:
    """How much the loss rises, in nats, when one head's z is set to zero: for every head by itself.

    `tokens` are BOS and n random tokens twice, s = 1 + 2n. The loss is the mean over the second repeat without its
    first token, which nothing foretells (n is 2 or more). Positive: the head helps. The model is left as it was found, weights
    included, with the hooks it had and no others.
    """
    raise NotImplementedError("04.5")


# exercise 04.6
def knock_out_edge(
    scores: Float[Tensor, "b h q k"], hook: Any, head: int, query: int, key: int
) -> Float[Tensor, "b h q k"]:
    """The attention scores (before the softmax) such that `head` cannot look from `query` at `key`.

    After the softmax that entry is 0 and the rest of its row sums to one. `scores` itself is not changed; gradients pass through
    the others. What is masked already (a later token, padding) has the score -inf. Raises ValueError when that query would have
    no key left in some prompt of the batch.
    """
    raise NotImplementedError("04.6")


# exercise 04.7
def gradient_hook(model: HookedTransformer, tokens: Int[Tensor, "b s"], name: str) -> Float[Tensor, "b ..."]:
    """The gradient of the model's mean loss on `tokens` with respect to the activation at the hook point `name`.

    It has the activation's shape. Parameters may be frozen, but not all that come before that point. The model is left as it was
    found: no hook more or less, its mode and `requires_grad` as they were, and no `.grad` in its parameters (it comes without).
    """
    raise NotImplementedError("04.7")
