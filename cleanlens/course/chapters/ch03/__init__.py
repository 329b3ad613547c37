"""Chapter 03, Induction heads: what kinds of attention heads there are, how to find them, how to build one."""

from ...exercise import Chapter
from . import (
    build_induction_model,
    duplicate_score,
    induction_score,
    loss_by_half,
    positional_scores,
    repeated_tokens,
    top_heads,
)

chapter = Chapter(
    "03",
    "induction",
    "Induction heads",
    [
        repeated_tokens.ex,
        loss_by_half.ex,
        positional_scores.ex,
        duplicate_score.ex,
        induction_score.ex,
        top_heads.ex,
        build_induction_model.ex,
    ],
)
