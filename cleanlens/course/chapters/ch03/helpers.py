"""What the checks of chapter 03 share."""

import torch


def random_pattern(generator: torch.Generator, b: int, h: int, s: int) -> torch.Tensor:
    """Causal attention patterns `[b h s s]` of random scores, each row summing to 1."""
    scores = 2 * torch.randn(b, h, s, s, generator=generator)
    return scores.masked_fill(torch.ones(s, s).triu(1).bool(), -torch.inf).softmax(-1)
