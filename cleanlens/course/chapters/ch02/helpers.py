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


def random_tokens(seed, d_vocab=SIZES["d_vocab"]):
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(0, d_vocab, (BATCH, POS), generator=generator)


@functools.cache
def _run(seed, changes):
    """A tiny model, its weights as they were made, and what one run of it left."""
    model = tiny_model(seed, **dict(changes))
    _, cache = model.run_with_cache(random_tokens(seed))
    return model, {name: x.clone() for name, x in model.state_dict().items()}, dict(cache.items())


def tiny_cache(seed, keep=lambda name: True, **changes):
    """The activations of one run of a tiny model: copies, so that nobody can spoil the next one's."""
    model, weights, activations = _run(seed, tuple(changes.items()))
    if model.list_hooks() or not all(torch.equal(x, weights[n]) for n, x in model.state_dict().items()):
        _run.cache_clear()  # an answer has changed the model
        return tiny_cache(seed, keep, **changes)
    return ActivationCache({name: x.clone() for name, x in activations.items() if keep(name)}, model)


def watched(key, answer, cache, *args):
    """What an answer makes of a cache, under `key`, and the entries that it changed on the way."""
    before = {name: x.clone() for name, x in cache.items()}
    result = answer(cache, *args)
    changed = [name for name, x in before.items() if not torch.equal(x, cache.cache_dict.get(name, x[:0]))]
    return {key: result, "changed in the cache": changed}
