"""Published names of components that have another name here."""

from abc import ABCMeta

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cleanlens.components.alibi_attention import penalties, slopes
from cleanlens.components.attention import Attention
from cleanlens.components.choices import NORMS, mlp_for
from cleanlens.components.mlp import MLP
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint
from cleanlens.utils import ACTIVATIONS


class CanBeUsedAsMLP(nn.Module, metaclass=ABCMeta):
    """What every MLP is an instance of: it has an activation function, and `solu_ln` a norm behind it."""

    def __init__(self, cfg: HookedTransformerConfig | dict):
        super().__init__()
        self.cfg = HookedTransformerConfig.unwrap(cfg)
        if self.cfg.d_mlp is None:
            raise ValueError("config: d_mlp is missing; an MLP needs it")
        self.d_mlp = self.cfg.d_mlp

    def select_activation_function(self) -> None:
        """Set `act_fn`, and with `solu_ln` also `hook_mid` and `ln`."""
        self.act_fn = ActivationFunctionFactory.pick_activation_function(self.cfg)
        if self.cfg.is_layer_norm_activation():
            self.hook_mid = HookPoint()
            self.ln = NORMS[self.cfg.normalization_type](self.cfg, self.d_mlp)


CanBeUsedAsMLP.register(MLP)


class AbstractAttention(metaclass=ABCMeta):  # noqa: B024, nothing is missing in it: see `register` below
    """What every kind of attention is an instance of, and the parts of ALiBi."""

    @staticmethod
    def create_alibi_slope(
        n_ctx: int, device: torch.device | str | None = None
    ) -> Float[Tensor, "query key"]:
        """Minus the distance of query and key; 0 for keys that come later."""
        position = torch.arange(n_ctx, device=device)
        return (position - position[:, None]).clamp(max=0).float()

    @staticmethod
    def create_alibi_multipliers(
        n_heads: int, device: torch.device | str | None = None
    ) -> Float[Tensor, " head"]:
        """Each head's slope."""
        return slopes(n_heads).to(device)

    @staticmethod
    def create_alibi_bias(
        n_heads: int, n_ctx: int, device: torch.device | str | None = None
    ) -> Float[Tensor, "head query key"]:
        """What is added to the scores."""
        return penalties(n_ctx, n_ctx, n_heads).to(device)


AbstractAttention.register(Attention)


class ActivationFunctionFactory:
    """Chooses an activation function."""

    @staticmethod
    def pick_activation_function(cfg: HookedTransformerConfig):  # type: ignore[no-untyped-def]
        """The one that a config names."""
        if cfg.act_fn is None:
            raise ValueError(f"config: act_fn is missing; it must be one of {tuple(ACTIVATIONS)}")
        return ACTIVATIONS[cfg.act_fn]


class MLPFactory:
    """Chooses an MLP."""

    @staticmethod
    def create_mlp(cfg: HookedTransformerConfig | dict) -> MLP:
        """The one that a config asks for."""
        return mlp_for(HookedTransformerConfig.unwrap(cfg))
