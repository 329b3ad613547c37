"""What the checks of chapter 06 share."""

from contextlib import suppress
from functools import lru_cache

import torch

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer


@lru_cache(maxsize=16)
def built(tag, **settings):
    return HookedTransformer(HookedTransformerConfig(**settings))


def tiny_model(seed, **changes):
    """A small GPT-2 with random weights, biases and gains. Building takes longest: built once, written anew."""
    sizes = dict(n_layers=2, n_heads=3, d_model=10, d_head=6, d_mlp=7, n_ctx=8, d_vocab=11)
    settings = dict(act_fn="gelu_new", normalization_type="LN", device="cpu", init_weights=False)
    model = built("", **(sizes | settings | changes))
    clear_hooks(model)
    model.requires_grad_(True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            kind = name.rpartition(".")[2]
            width = 1 if kind.startswith("b") else weight.shape[-2] if weight.ndim > 1 else 4
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.3 / width**0.5)
            if kind == "w":  # LayerNorm's gain
                weight += 1.5
    return model


def clear_hooks(model):
    """Takes away all hooks, torch's own among them."""
    model.reset_hooks(including_permanent=True)
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()


def hooks_on(model):
    """How many hooks a model has, torch's own among them."""
    own = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    return own + sum(len(hooks) for hooks in model.list_hooks().values())


def hooks_after_a_failure(model, run):
    """How many hooks are left when the metric raises an exception; `run` is given such a metric."""

    def fails(logits):
        raise ArithmeticError("this metric has no number for these logits")

    clear_hooks(model)
    with suppress(ArithmeticError):
        run(fails)
    return hooks_on(model)


def two_runs(seed, batch=4, n_pos=5, **changes):
    """A model, two batches of tokens, and a metric: logits -> one number, which reads every position."""
    model = tiny_model(seed, **changes)
    generator = torch.Generator().manual_seed(1000 + seed)
    clean = torch.randint(0, model.cfg.d_vocab, (batch, n_pos), generator=generator)
    shift = torch.randint(1, model.cfg.d_vocab, (batch, n_pos), generator=generator)
    corrupted = (clean + shift) % model.cfg.d_vocab  # another token at every position
    weights = torch.randn(batch, n_pos, model.cfg.d_vocab, generator=generator)

    def metric(logits):
        return (logits * weights).sum((1, 2)).mean()

    return model, clean, corrupted, metric


@torch.no_grad()
def cached(model, tokens):
    return model.run_with_cache(tokens)[1]


def record(model, result, *caches):
    """What came back, and what must be as before: hooks, and the activations that the answer was given."""
    return {
        "result": result,
        "hooks left on the model": hooks_on(model),
        "given activations afterwards": [{name: cache[name] for name in cache} for cache in caches],
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


ONE_OF_EACH = {"batch": 1, "n_pos": 1, "n_layers": 1, "n_heads": 1}


def resid_inputs(seed):
    made = [
        two_runs(seed),
        two_runs(seed, **ONE_OF_EACH),
        two_runs(seed, n_pos=3),
    ]  # as many positions as heads
    names = ("model", "clean", "corrupted_tokens", "metric")
    return [dict(zip(names, some)) for some in made]


def patching_call(answer, model, clean, corrupted_tokens, metric):
    cache = cached(model, clean)
    with torch.no_grad():
        result = answer(model, corrupted_tokens, cache, metric)
        seen = record(model, result, cache)
        left = hooks_after_a_failure(model, lambda fails: answer(model, corrupted_tokens, cache, fails))
    return seen | {"hooks left when the metric fails": left}


def path_inputs(seed, **changes):
    model, tokens, other, metric = two_runs(seed, **({"n_layers": 3, "n_heads": 2} | changes))
    return {"model": model, "tokens": tokens, "other": other, "metric": metric}
