"""Rotary positions: queries and keys are turned by an angle that grows with their position, so that a score depends
on the distance between the two alone (Su et al. 2021, "RoFormer", section 3.2)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cleanlens.components.attention import Attention
from cleanlens.components.rms_norm import RMSNorm
from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint


class RotaryAttention(Attention):
    """Attention whose queries and keys are rotated, the first `cfg.rotary_dim` entries of each.

    A pair of entries (a, b) at position p becomes (a cos - b sin, b cos + a sin) of the angle p * frequency, and each
    pair has a frequency of its own. Pairs are neighbours (`cfg.rotary_adjacent_pairs`, GPT-J) or an entry of the
    first half with its counterpart in the second (GPT-NeoX, Llama). With `cfg.use_qk_norm` each query and key is
    normalized before that (Qwen3).
    """

    def __init__(self, cfg: HookedTransformerConfig, layer_id: int = 0):
        super().__init__(cfg, layer_id)
        self.q_norm = RMSNorm(cfg, cfg.d_head) if cfg.use_qk_norm else nn.Identity()
        self.k_norm = RMSNorm(cfg, cfg.d_head) if cfg.use_qk_norm else nn.Identity()
        self.hook_rot_q = HookPoint()  # [batch pos head d_head]
        self.hook_rot_k = HookPoint()  # [batch pos head d_head]

    def scores(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head_of_keys d_head"],
        mask: Bool[Tensor, "..."],
    ) -> Float[Tensor, "batch head query key"]:
        # Positions are counted from the first token that is not padding: what the last query sees, counted.
        positions = mask[..., -1, :].cumsum(dim=-1).reshape(-1, k.shape[1]) - 1
        cos, sin = rotations(self.cfg, positions, q.dtype)
        n_queries = q.shape[1]
        q = rotated(self.q_norm(q), cos[:, -n_queries:], sin[:, -n_queries:], self.cfg.rotary_adjacent_pairs)
        k = rotated(self.k_norm(k), cos, sin, self.cfg.rotary_adjacent_pairs)
        return super().scores(self.hook_rot_q(q), self.hook_rot_k(k), mask)


def rotations(
    cfg: HookedTransformerConfig, positions: Int[Tensor, "batch pos"], dtype: torch.dtype
) -> tuple[Float[Tensor, "batch pos 1 pair"], Float[Tensor, "batch pos 1 pair"]]:
    """Cosine and sine of each position's angles; in float32 before the cast, as these models were trained."""
    angles = (positions.float()[..., None] * frequencies(cfg).to(positions.device))[:, :, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def frequencies(cfg: HookedTransformerConfig) -> Float[Tensor, " pair"]:
    """How fast each pair turns, in radians per position: rotary_base^(-2i / rotary_dim) for pair i.

    Llama 3.1 stretches the slow ones for its longer context (Grattafiori et al. 2024, section 3.2): a pair that turns
    less than `NTK_by_parts_low_freq_factor` times in the original context is slowed by `NTK_by_parts_factor`, one that
    turns more than `..._high_freq_factor` times is left alone, and those between are mixed.
    """
    assert cfg.rotary_dim is not None
    exponents = torch.arange(0, cfg.rotary_dim, 2).float() / cfg.rotary_dim
    plain = 1.0 / cfg.rotary_base**exponents / cfg.rotary_scaling_factor
    if not cfg.use_NTK_by_parts_rope:
        return plain
    low, high = cfg.NTK_by_parts_low_freq_factor, cfg.NTK_by_parts_high_freq_factor
    turns = cfg.NTK_original_ctx_len * plain / (2 * math.pi)
    share = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - share) * plain / cfg.NTK_by_parts_factor + share * plain


def rotated(
    x: Float[Tensor, "batch pos head d_head"],
    cos: Float[Tensor, "#batch pos 1 pair"],
    sin: Float[Tensor, "#batch pos 1 pair"],
    adjacent: bool,
) -> Float[Tensor, "batch pos head d_head"]:
    """Each pair turned by its angle; what lies beyond the pairs is left as it is."""
    n_pairs = cos.shape[-1]
    turning, rest = x[..., : 2 * n_pairs], x[..., 2 * n_pairs :]
    pairs = (n_pairs, 2) if adjacent else (2, n_pairs)
    a, b = turning.unflatten(-1, pairs).unbind(-1 if adjacent else -2)
    turned = torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1 if adjacent else -2)
    return torch.cat([turned.flatten(-2), rest], dim=-1)
