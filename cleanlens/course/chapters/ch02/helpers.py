"""What the checks of chapter 02 share."""

import functools

import torch

from cleanlens import ActivationCache, HookedTransformer, HookedTransformerConfig

SIZES = dict(n_layers=3, n_heads=4, d_head=6, d_model=10, d_mlp=11, d_vocab=17, n_ctx=9)

BATCH, POS = 2, 5


def tiny_model(seed, dtype=torch.float32, attn_only=False, **changes):
    """A model with weights of order 1, biases that are not 0, gains away from 1, and every size another one."""
    sizes = SIZES | changes
    if attn_only:
        del sizes["d_mlp"]
    act_fn = None if attn_only else "gelu_new"
    cfg = HookedTransformerConfig(
        **sizes, act_fn=act_fn, attn_only=attn_only, init_weights=False, device="cpu", dtype=dtype
    )
    model = HookedTransformer(cfg)
    generator = torch.Generator().manual_seed(seed)
    spread = {"W_Q": 0.3, "W_K": 0.3, "W_V": 0.5, "W_O": 0.5, "W_in": 0.5, "W_out": 0.5}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            leaf = name.rpartition(".")[2]
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(0.5 + 1.5 * torch.sigmoid(noise) if leaf == "w" else noise * spread.get(leaf, 1.0))
    return model.requires_grad_(False)


def random_tokens(seed, d_vocab=SIZES["d_vocab"], shape=(BATCH, POS)):
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(0, d_vocab, shape, generator=generator)


@functools.cache
def _run(seed, shape, changes):
    """A tiny model, its weights as they were made, and what one run of it left."""
    model = tiny_model(seed, **dict(changes))
    _, cache = model.run_with_cache(random_tokens(seed, shape=shape))
    return model, _weights(model), dict(cache.items())


def _weights(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


def tiny_cache(seed, keep=lambda name: True, shape=(BATCH, POS), **changes):
    """The activations of one run of a tiny model: copies, so that nobody can spoil the next one's.

    `shape` is batch and position of its tokens.
    """
    model, weights, activations = _run(seed, shape, tuple(changes.items()))
    if model.list_hooks() or _differ(weights, model.state_dict()):
        _run.cache_clear()  # an answer has changed the model
        return tiny_cache(seed, keep, shape, **changes)
    model.requires_grad_(False).zero_grad()
    return ActivationCache({name: x.clone() for name, x in activations.items() if keep(name)}, model)


def _differ(before, after):
    """The first name whose tensor is missing or not the same any more."""
    return next((n for n, x in before.items() if n not in after or not torch.equal(x, after[n])), None)


def watched(what, answer, cache, *args):
    """What an answer makes of a cache, under the name `what`, and how it left the cache and its model."""
    activations = {name: x.clone() for name, x in cache.items()}
    weights, n_hooks = _weights(cache.model), len(cache.model.list_hooks())
    result = answer(cache, *args)
    left = "as it was"
    if name := _differ(activations, cache.cache_dict):
        left = f"with another {name}"
    elif new := [name for name in cache if name not in activations]:
        left = f"with a new entry {new[0]}"
    elif name := _differ(weights, cache.model.state_dict()):
        left = f"with another {name} in its model"
    elif len(cache.model.list_hooks()) != n_hooks:
        left = "with hooks on its model"
    return {what: result, "the cache afterwards": left}
