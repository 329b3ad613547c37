"""Chapter 04, Hooks and ablation: reading a running model, changing it, and what that proves."""

from ...exercise import Chapter
from . import ablation_scores, gradient_hook, hook_point, knock_out_edge, mean_ablate, score_hook, zero_ablate

chapter = Chapter(
    "04",
    "hooks",
    "Hooks and ablation",
    [
        hook_point.ex,
        score_hook.ex,
        zero_ablate.ex,
        mean_ablate.ex,
        ablation_scores.ex,
        knock_out_edge.ex,
        gradient_hook.ex,
    ],
)
