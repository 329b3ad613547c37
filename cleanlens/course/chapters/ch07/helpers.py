"""What the checks of chapter 07 share."""

import math
from functools import lru_cache

import torch

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer


def small_config(attn_only=True, n_layers=2, n_ctx=9):
    return HookedTransformerConfig(
        n_layers=n_layers,
        d_model=10,
        n_ctx=n_ctx,
        d_head=3,
        n_heads=4,
        d_mlp=None if attn_only else 7,
        d_vocab=13,
        act_fn=None if attn_only else "gelu_new",
        attn_only=attn_only,
        normalization_type="LN",
        device="cpu",
        init_weights=False,
    )


@lru_cache(maxsize=16)
def built(slot, **settings):
    return HookedTransformer(small_config(**settings))


@torch.no_grad()
def small_model(seed, slot=0, **settings):
    """A model whose weights, biases and gains included, are random and of order 1; written anew every time."""
    model = built(slot, **settings)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        kind = name.rpartition(".")[2]
        scale = 1 / math.sqrt(weight.shape[-2]) if kind.startswith("W_") else 0.3
        weight.copy_(torch.randn(weight.shape, generator=generator) * scale + (kind == "w"))
        weight.grad, weight.requires_grad = None, True
    return model
