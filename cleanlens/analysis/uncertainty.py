"""How sure a mean is: bootstrap intervals and permutation tests, for values measured prompt by prompt.

Sweeps give one value per prompt with `reduce="none"` (`cleanlens.patching`); `estimate` turns the last axis, the
prompts, into a mean with an interval and a p-value, cell by cell.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    import pandas


@dataclass
class Estimate:
    """Means over prompts, with what they are worth. All have the same shape: one value per cell."""

    means: Float[Tensor, "*cells"]
    lows: Float[Tensor, "*cells"]
    highs: Float[Tensor, "*cells"]
    p_values: Float[Tensor, "*cells"]
    confidence: float
    n: int

    @property
    def mean(self) -> float:
        """Of a single cell."""
        return self.means.item()

    @property
    def low(self) -> float:
        return self.lows.item()

    @property
    def high(self) -> float:
        return self.highs.item()

    @cached_property
    def significant(self) -> Tensor:
        """Cells that differ from zero when as many tests are made as there are cells (Holm 1979).

        From the smallest p-value on, the k-th of m must be below (1 - confidence) / (m - k + 1).
        """
        flat = self.p_values.flatten()
        order = flat.argsort()
        limits = (1 - self.confidence) / torch.arange(len(flat), 0, -1, dtype=flat.dtype)
        passed = (flat[order] <= limits).cummin(0).values
        result = torch.zeros_like(passed)
        result[order] = passed
        return result.reshape(self.means.shape)

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per cell, indexed by its place."""
        import pandas

        places = [tuple(i.tolist()) for i in torch.ones_like(self.means).nonzero()]
        return pandas.DataFrame(
            {
                "place": places,
                "mean": self.means.flatten().tolist(),
                "low": self.lows.flatten().tolist(),
                "high": self.highs.flatten().tolist(),
                "p": self.p_values.flatten().tolist(),
            }
        )


def estimate(
    values: Float[Tensor, "*cells prompt"],
    confidence: float = 0.95,
    baseline: float = 0.0,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The mean over prompts of each cell, a bootstrap interval, and a p-value against `baseline`.

    The interval holds the middle `confidence` of the means of resampled prompts (Efron 1979; percentile method). The
    p-value is that of a sign-flip permutation test, two-sided: how often the mean would be as far from `baseline` if each
    prompt's difference were as likely negative as positive (Fisher 1935). The same prompts are drawn for all cells.

    Raises:
        ValueError: no prompts, or values that are not finite.
    """
    values = values.detach().cpu()
    values = values if values.is_floating_point() else values.float()
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"estimate: values of shape {list(values.shape)}; the last axis must hold at least one prompt"
        )
    if not values.isfinite().all():
        raise ValueError("estimate: some values are not finite, so they have no mean")
    n = values.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n, (resamples, n), generator=generator)
    counts = torch.zeros(resamples, n, dtype=values.dtype).scatter_add_(
        1, drawn, torch.ones_like(drawn, dtype=values.dtype)
    )
    means = values.mean(-1)
    resampled = values @ counts.T / n  # [*cells resample]
    edge = (1 - confidence) / 2
    lows, highs = torch.from_numpy(np.quantile(resampled.numpy(), [edge, 1 - edge], axis=-1)).to(values)
    signs = torch.randint(0, 2, (resamples, n), generator=generator).to(values.dtype) * 2 - 1
    flipped = ((values - baseline) @ signs.T / n).abs()
    seen = (flipped >= (means - baseline).abs()[..., None] * (1 - 1e-6)).sum(-1)
    return Estimate(means, lows, highs, (seen + 1) / (resamples + 1), confidence, n)
