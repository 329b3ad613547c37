# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 06`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 06, Indirect object identification: from a behaviour to the circuit that makes it.

Everywhere: a *metric* takes logits `[b, s, v]` and returns one number as a tensor. Activations are called
`get_act_name("z", layer)` and so on. The models have no hooks when you get them and must have none afterwards, also when the
metric raises an exception; caches stay as they were.
"""

import random
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cleanlens import ActivationCache, HookedTransformer
from cleanlens.utils import get_act_name

Metric = Callable[[Float[Tensor, "b s v"]], Float[Tensor, ""]]

TEMPLATE = "When {A} and {B} went to the park, {S} gave a ball to"


# exercise 06.1
def make_ioi(n: int, seed: int, names: list[str], tokenizer: Any) -> dict[str, list]:
    """`n` pairs of a clean and a corrupted prompt, and the answers that both are scored with.

    Everything is drawn from `seed`. Only names that `tokenizer.encode` turns into one token, with a space
    before them, are used; there are at least two. Every prompt is TEMPLATE with two different people A and B, drawn anew for
    each row (a pair may come again); in even rows B gives (ABBA), in odd rows A (BABA). In the corrupted prompt the other one gives.

    Returns:
        {"clean": [text], "corrupted": [text], "answers": [(" IO", " S")]}, IO being the one who does not give
        in the clean prompt and S the one who does.
    """
    raise NotImplementedError("06.1")


# exercise 06.2
def logit_diff(
    logits: Float[Tensor, "b s v"], answers: Int[Tensor, "b 2"], end: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """For each prompt: the logit of answers[:, 0] minus that of answers[:, 1], at its position `end`."""
    raise NotImplementedError("06.2")


# exercise 06.3
def normalised_metric(
    x: Float[Tensor, " b"], clean: Float[Tensor, " b"], corrupted: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """The mean of x on the scale where the mean of `corrupted` is 0 and that of `clean` is 1; these two means differ.

    A tensor without axes, through which x can be differentiated.
    """
    raise NotImplementedError("06.3")


# exercise 06.4
def logit_directions(model: HookedTransformer, answers: Int[Tensor, "b 2"]) -> Float[Tensor, "b d"]:
    """The direction in the residual stream that raises the logit difference of answers[:, 0] and answers[:, 1]."""
    raise NotImplementedError("06.4")


# exercise 06.4
def head_attribution(
    model: HookedTransformer, cache: ActivationCache, directions: Float[Tensor, "b d"]
) -> Float[Tensor, "l h"]:
    """What each head writes at the last position, through the final LayerNorm's scale, along each prompt's direction.

    Averaged over prompts; biases belong to no head. The model is one as `from_pretrained` leaves it: nothing
    is written along the mean of the stream, and the LayerNorm's gain and bias are folded away.
    """
    raise NotImplementedError("06.4")


# exercise 06.5
def patch_resid(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l s"]:
    """The metric of the corrupted run when resid_pre of one layer, at one position, is the clean run's."""
    raise NotImplementedError("06.5")


# exercise 06.6
def patch_heads(
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    """The metric of the corrupted run when one head's output (z, all positions) is the clean run's."""
    raise NotImplementedError("06.6")


# exercise 06.7
def patch_head_part(
    part: str,
    model: HookedTransformer,
    corrupted_tokens: Int[Tensor, "b s"],
    clean_cache: ActivationCache,
    metric: Metric,
) -> Float[Tensor, "l h"]:
    """The same for one part of each head, "q", "k", "v" or "pattern", at all positions."""
    raise NotImplementedError("06.7")


# exercise 06.8
def path_patch_to_logits(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    freeze_mlps: bool,
) -> Float[Tensor, "l h"]:
    """The metric on `tokens` when one head has the z of `new_cache` and all other heads are held at `cache`.

    Args:
        cache: all activations of the run on `tokens`.
        new_cache: those of the other run.
        freeze_mlps: hold the MLPs' outputs at `cache` too; otherwise they run, and pass the change on.
    """
    raise NotImplementedError("06.8")


# exercise 06.9
def path_patch_to_heads(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    cache: ActivationCache,
    new_cache: ActivationCache,
    metric: Metric,
    receivers: list[tuple[int, int]],
    part: str,
) -> Float[Tensor, "l h"]:
    """The metric on `tokens` when one head sends what it has in `new_cache` to the receivers' `part` only.

    Args:
        receivers: heads as (layer, head).
        part: "q", "k" or "v".

    Run 2: all heads held at `cache` but the sender (MLPs run); what then arrives at the receivers is kept.
    Run 3: on `tokens`, with nothing changed but that part of the receivers. A sender that cannot reach them changes nothing.
    """
    raise NotImplementedError("06.9")


# exercise 06.10
def template_means(z: Float[Tensor, "b s h e"], templates: Int[Tensor, " b"]) -> Float[Tensor, "b s h e"]:
    """In each prompt's row of a new tensor: the mean of z over all prompts of the same template. Templates are any integers."""
    raise NotImplementedError("06.10")


# exercise 06.10
def circuit_faithfulness(
    model: HookedTransformer,
    tokens: Int[Tensor, "b s"],
    abc_tokens: Int[Tensor, "b s"],
    templates: Int[Tensor, " b"],
    circuit: dict[str, list[tuple[int, int]]],
    positions: dict[str, Int[Tensor, " b"]],
    metric: Metric,
) -> Float[Tensor, ""]:
    """The metric of the circuit alone, as a share of the whole model's.

    Outside the circuit every head's z is its mean over the ABC prompts of the same template, position by
    position. MLPs run.

    Args:
        circuit: the heads (layer, head) of each role.
        positions: where the heads of each role are left alone, one position per prompt. A head may have several roles.
    """
    raise NotImplementedError("06.10")


# exercise 06.11
def attribution_patching(
    model: HookedTransformer,
    clean_tokens: Int[Tensor, "b s"],
    corrupted_tokens: Int[Tensor, "b s"],
    metric: Metric,
) -> Float[Tensor, "l h"]:
    """For each head, an estimate of how much the metric changes when its clean z is put into the corrupted run.

    The sum of (clean z - corrupted z) times the metric's gradient at the corrupted run. Works where gradients
    are switched off; the result is not part of a graph. Parameters may be frozen, but not all that come before a z.
    """
    raise NotImplementedError("06.11")
