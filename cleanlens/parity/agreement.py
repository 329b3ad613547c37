"""What a comparison found at one stage, and how much of it rounding explains."""

from dataclasses import dataclass

import torch

BOUNDS = {torch.float64: 1e-9, torch.float32: 5e-5}
# Backpropagation through 4 layers of float32 rounds more often than the forward pass: measured up to 4e-4 apart from
# transformers in float32, whose own gradients are up to 2e-4 from float64 (gpt2-demo).
GRADIENT_BOUNDS = {torch.float64: 1e-9, torch.float32: 5e-4}


@dataclass(frozen=True)
class Agreement:
    """One entry of the table.

    Attributes:
        stage: "embed", "0 attention", "0 MLP", "0 residual", ..., "logits", "loss", "gradients of ...".
        processing: a key of `PROCESSINGS`.
        dtype: of our model; the reference is in float64.
        error: the largest difference, in standard deviations of the reference.
    """

    stage: str
    processing: str
    dtype: torch.dtype
    error: float

    @property
    def bound(self) -> float:
        """The largest error that rounding explains."""
        return (GRADIENT_BOUNDS if self.stage.startswith("gradients") else BOUNDS)[self.dtype]

    @property
    def ok(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound
