"""What the checks of chapter 06 share."""

from functools import lru_cache

import torch

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer


@lru_cache(maxsize=16)
def built(tag, **settings):
    return HookedTransformer(HookedTransformerConfig(**settings))


def tiny_model(seed, **changes):
    """A small GPT-2 with random weights, biases and gains. Building takes longest: built once, written anew."""
    sizes = dict(n_layers=2, n_heads=3, d_model=10, d_head=4, d_mlp=7, n_ctx=8, d_vocab=11)
    settings = dict(act_fn="gelu_new", normalization_type="LN", device="cpu", init_weights=False)
    model = built("", **(sizes | settings | changes))
    model.reset_hooks(including_permanent=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            kind = name.rpartition(".")[2]
            width = 1 if kind.startswith("b") else weight.shape[-2] if weight.ndim > 1 else 4
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.3 / width**0.5)
            if kind == "w":  # LayerNorm's gain
                weight += 1.5
    return model


def two_runs(seed, **changes):
    """A model, two batches of tokens, and a metric: logits -> one number."""
    model = tiny_model(seed, **changes)
    generator = torch.Generator().manual_seed(1000 + seed)
    batch = 2
    clean = torch.randint(0, model.cfg.d_vocab, (batch, 5), generator=generator)
    shift = torch.randint(1, model.cfg.d_vocab, (batch, 5), generator=generator)
    corrupted = (clean + shift) % model.cfg.d_vocab  # another token at every position
    weights = torch.randn(batch, model.cfg.d_vocab, generator=generator)

    def metric(logits):
        return (logits[:, -1] * weights).sum(-1).mean()

    return model, clean, corrupted, metric


@torch.no_grad()
def cached(model, tokens):
    return model.run_with_cache(tokens)[1]


def record(model, result, *caches):
    """What came back, and what must be as before: hooks, and the activations that the answer was given."""
    return {
        "result": result,
        "hooks left on the model": sum(len(hooks) for hooks in model.list_hooks().values()),
        "given activations afterwards": [
            {name: cache[name] for name in cache if name.endswith(("resid_pre", "hook_z", "hook_pattern"))}
            for cache in caches
        ],
    }


def head_delta(model, cache, layer, head, z):
    """What changes in the stream when one head has `z` instead of its own."""
    return (z - cache["z", layer][:, :, head]) @ model.W_O[layer, head]


@torch.no_grad()
def with_changed_mid(model, cache, layer, delta, metric):
    """The metric when `delta` is added behind the attention of a layer; the rest runs on, by hand."""
    block = model.blocks[layer]
    resid_mid = cache["resid_mid", layer] + delta
    resid = resid_mid + block.mlp(block.ln2(resid_mid))
    for block in model.blocks[layer + 1 :]:
        resid = block(resid)
    return metric(model.unembed(model.ln_final(resid)))


def each_head(model, run):
    shape = (model.cfg.n_layers, model.cfg.n_heads)
    return torch.stack([run(layer, head) for layer in range(shape[0]) for head in range(shape[1])]).reshape(
        shape
    )


def resid_inputs(seed):
    model, clean, corrupted, metric = two_runs(seed)
    return {"model": model, "clean": clean, "corrupted_tokens": corrupted, "metric": metric}


def patching_call(answer, model, clean, corrupted_tokens, metric):
    cache = cached(model, clean)
    with torch.no_grad():
        result = answer(model, corrupted_tokens, cache, metric)
    return record(model, result, cache)


def path_inputs(seed, **changes):
    model, tokens, other, metric = two_runs(seed, n_layers=3, n_heads=2, **changes)
    return {"model": model, "tokens": tokens, "other": other, "metric": metric}
