"""The prerequisites: shapes, einsum, broadcasting, softmax and cross-entropy, indexing, matrices as maps."""

from ...exercise import Chapter
from . import (
    compose,
    cross_entropy,
    dot_products,
    project_out,
    softmax,
    split_heads,
    subtract_mean,
    take_positions,
)

chapter = Chapter(
    "pre",
    "tensors",
    "Prerequisites",
    [
        split_heads.ex,
        subtract_mean.ex,
        dot_products.ex,
        softmax.ex,
        cross_entropy.ex,
        take_positions.ex,
        project_out.ex,
        compose.ex,
    ],
)
