"""Chapter 07, Training dynamics: scoring checkpoints, finding a phase change, and training a model to see one."""

from ...exercise import Chapter
from . import grow, make_batch, phase_change_step, score_checkpoints, train_induction

chapter = Chapter(
    "07",
    "training",
    "Training dynamics",
    [
        score_checkpoints.ex,
        phase_change_step.ex,
        make_batch.ex,
        train_induction.ex,
        grow.ex,
    ],
)
