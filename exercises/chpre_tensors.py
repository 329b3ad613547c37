# Write your answers here, or in the notebook of the chapter; then run `cleanlens check pre`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""The prerequisites: shapes, einsum, broadcasting, softmax and cross-entropy, indexing, matrices as maps."""

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


# exercise pre.1
def split_heads(
    x: Float[Tensor, "batch pos d_model"], n_heads: int
) -> Float[Tensor, "batch head pos d_head"]:
    """The heads of x, each with its own positions: head h holds the d_head numbers from h * d_head on.

    d_model is n_heads * d_head. x may be another tensor's transpose: its numbers need not lie in order in memory.
    """
    raise NotImplementedError("pre.1")


# exercise pre.2
def subtract_mean(
    x: Float[Tensor, "batch pos d"], is_real: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d"]:
    """x without the mean vector of its text: the mean over that text's real positions, those that are not padding.

    It is taken off at every position, also at the padding. Every text has a real position.
    """
    raise NotImplementedError("pre.2")


# exercise pre.3
def dot_products(
    q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch head query key"]:
    """The dot product of every query with every key of the same text and the same head."""
    raise NotImplementedError("pre.3")


# exercise pre.4
def softmax(scores: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """exp(x_i) / sum_j exp(x_j) along the last axis, right also where exp itself would overflow or be 0.

    Any axes may stand before it, or none. A score of -inf gives 0; no row is -inf throughout.
    """
    raise NotImplementedError("pre.4")


# exercise pre.5
def cross_entropy(
    logits: Float[Tensor, "batch pos d_vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    """How surprising each target is, in nats: -log of the probability that the softmax of its logits gives it.

    Finite for all finite logits.
    """
    raise NotImplementedError("pre.5")


# exercise pre.6
def take_positions(
    x: Float[Tensor, "batch pos d"], positions: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch n d"]:
    """From each text its own positions, in the order given: entry [b, i] is x[b, positions[b, i]].

    A position may be asked for more than once, and n may be 0.
    """
    raise NotImplementedError("pre.6")


# exercise pre.7
def project_out(x: Float[Tensor, "*batch d"], direction: Float[Tensor, " d"]) -> Float[Tensor, "*batch d"]:
    """x without its part along the direction: what is left is at right angles to it.

    Any axes may stand before d, or none. The direction's length may be anything but 0, and does not matter.
    """
    raise NotImplementedError("pre.7")


# exercise pre.8
def compose(
    first: Float[Tensor, "d_model d_mid"], second: Float[Tensor, "d_mid d_model"]
) -> tuple[Float[Tensor, "d_model d_model"], int]:
    """The one map W that does to a row vector what `first` and then `second` do, and its rank.

    x @ W is (x @ first) @ second. The rank is the number of singular values above 1e-4 times the largest; of a map that
    is 0 everywhere it is 0.
    """
    raise NotImplementedError("pre.8")
