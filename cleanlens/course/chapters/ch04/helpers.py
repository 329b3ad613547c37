"""What the checks of chapter 04 share."""

import torch
from torch import nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint as LibraryHookPoint
from cleanlens.hooked_transformer import HookedTransformer


def tiny_model(generator, n_layers, n_heads, attention_dir="causal"):
    """An attention-only model whose weights, biases and gains are all random and far from their defaults."""
    cfg = HookedTransformerConfig(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=7,
        d_head=5,
        n_ctx=13,
        d_vocab=19,
        attn_only=True,
        attention_dir=attention_dir,
        init_weights=False,
        device="cpu",
    )
    model = HookedTransformer(cfg)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.7)
            if name.endswith(".w"):  # LayerNorm's gain
                weight += 1.5
    return model


def hooks_on(model):
    """How many hooks each hook point has now."""
    return {name: len(hooks) for name, hooks in model.list_hooks().items()}


def state_of(model):
    """What an answer might leave changed in a model."""
    weights = list(model.parameters())
    return {
        "hooks afterwards": hooks_on(model),
        "weights afterwards": torch.cat([weight.detach().flatten() for weight in weights]),
        "in training mode afterwards": model.training,
        "frozen parameters": sum(not weight.requires_grad for weight in weights),
        "parameters left with a .grad": sum(weight.grad is not None for weight in weights),
    }


def as_a_hook(function, activation, **arguments):
    """Call `function(activation, hook=..., **arguments)` as a model would, and note all that it did.

    The activation is not a leaf of the graph, so that it may be edited in place as inside a model.
    """
    leaf = activation.clone().requires_grad_()
    activation = leaf * 1
    point = LibraryHookPoint()
    point.name = "blocks.0.attn.hook_here"
    returned = function(activation, hook=point, **arguments)
    gradient = None
    if isinstance(returned, torch.Tensor) and not returned.requires_grad:
        gradient = torch.zeros_like(leaf)  # nothing gets through
    elif isinstance(returned, torch.Tensor) and returned.shape == leaf.shape:
        probe = torch.arange(1.0, leaf.numel() + 1, dtype=leaf.dtype).reshape(leaf.shape) / leaf.numel()
        (gradient,) = torch.autograd.grad((returned * probe).sum(), leaf)
    return {"returned": returned, "activation afterwards": activation, "gradient": gradient}


def untouched(activation, returned, kept):
    """The record of a right hook; `kept` is 1 where the activation goes through it and 0 where it is replaced."""
    probe = torch.arange(1.0, activation.numel() + 1, dtype=activation.dtype).reshape(activation.shape)
    return {
        "returned": returned,
        "activation afterwards": activation,
        "gradient": probe / activation.numel() * kept,
    }


class HookPoint(nn.Module):
    """The given half of the class."""

    def __init__(self, name=""):
        super().__init__()
        self.name = name
        self.hooks = {}
        self.attached = 0

    def remove_hook(self, number):
        self.hooks.pop(number, None)


def _halve(resid, hook):
    return resid / 2
