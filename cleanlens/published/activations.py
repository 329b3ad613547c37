"""Activation functions and caps that models outside of cleanlens's families use."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SOFTCAP_DISABLED = -1.0
"""The value of a soft cap that means: none."""


def softcap_enabled(cap: float | None) -> bool:
    """Whether this is the value of a cap: only positive ones are."""
    return cap is not None and cap > 0


def apply_softcap(x: Tensor, cap: float | None) -> Tensor:
    """cap * tanh(x / cap), which stays between -cap and cap (Gemma Team 2024, "Gemma 2", section 2); x without a cap."""
    return cap * torch.tanh(x / cap) if cap is not None and softcap_enabled(cap) else x


def xielu(
    x: Tensor,
    alpha_p: float | Tensor = 0.8,
    alpha_n: float | Tensor = 0.8,
    beta: float | Tensor = 0.5,
    eps: float = -1e-6,
) -> Tensor:
    """The integral of an expanded ELU (Huang & Schlag 2024): alpha_p x^2 + beta x where x is positive, elsewhere
    alpha_n (exp(min(x, eps)) - 1 - x) + beta x."""
    positive = alpha_p * x.square()
    negative = alpha_n * (torch.expm1(x.clamp(max=eps)) - x)
    return torch.where(x > 0, positive, negative) + beta * x


class XIELU(nn.Module):
    """`xielu` with trained parameters: alpha_p = softplus(self.alpha_p), alpha_n = beta + softplus(self.alpha_n)."""

    beta: Tensor

    def __init__(
        self,
        alpha_p_init: float = 0.8,
        alpha_n_init: float = 0.8,
        beta_init: float = 0.5,
        eps: float = -1e-6,
    ):
        super().__init__()
        self.alpha_p = nn.Parameter(_softplus_inverse(torch.tensor([alpha_p_init])))
        self.alpha_n = nn.Parameter(_softplus_inverse(torch.tensor([alpha_n_init - beta_init])))
        self.register_buffer("beta", torch.tensor(beta_init))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        alpha_p, alpha_n = F.softplus(self.alpha_p), self.beta + F.softplus(self.alpha_n)
        return xielu(x, alpha_p, alpha_n, self.beta, self.eps)


def _softplus_inverse(y: Tensor) -> Tensor:
    return torch.log(torch.expm1(y))
