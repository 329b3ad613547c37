"""Exercise 02.1: A cache out of hooks."""

import torch
from torch import nn

from cleanlens import HookedTransformer
from cleanlens.hook_points import HookedRootModule, HookPoint

from ...exercise import exercise
from ...plain import Raised, attempt
from .helpers import random_tokens, tiny_model

ex = exercise(
    "02.1",
    "run_with_cache",
    title="A cache out of hooks",
    objective="You can record any activation of a run with hooks, and leave the model as you found it.",
    minutes=20,
    difficulty=3,
    importance=4,
    source="The definition in chapter 02, section 1: the cache holds what each hook point passed on, as it was then.",
    hints=[
        "First decide which names are wanted; then attach one function to each of these hook points, run the model, "
        "and take exactly these functions away again. What happens when the run raises?",
        "A hook is called fn(activation, hook=point), and point.name is its name. Tensors are handed on by reference: "
        "two hook points often see the same tensor, and somebody else's hook may edit it in place.",
        "added = point.add_hook(save) gives you what point.discard(added) removes; put the discarding in a finally "
        "block. In save: cache[hook.name] = activation.detach().clone().",
    ],
    why="The whole of a cache is a dictionary and a function that writes into it. What makes it trustworthy is the rest: "
    "a copy, so that no later edit can change what was recorded; try/finally, so that a run that fails leaves no hook "
    "behind; and removing only what was added, because the other hooks are somebody's experiment.",
)


class Inner(nn.Module):
    """A part of `Toy`; its names end like those of the whole."""

    def __init__(self):
        super().__init__()
        self.hook_q_input = HookPoint()
        self.hook_q = HookPoint()

    def forward(self, x):
        return self.hook_q(self.hook_q_input(x * 3) + 1)


class Toy(HookedRootModule):
    """A model of five hook points, of which two see the same tensor."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.hook_q = HookPoint()
        self.inner = Inner()
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.setup()

    def forward(self, tokens):
        x = self.hook_q(self.table[tokens])
        x = self.hook_pre(self.inner(x) - 2)
        x = self.hook_post(x)
        return x * 2

    def run_with_cache(self, *_, **__):
        raise TypeError("model.run_with_cache is what this exercise builds: use the hook points themselves")


def _halve(x, hook):
    x.mul_(-0.5)


def _any_q(name):
    return name.endswith("hook_q")


def _all(name):
    return True


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(7, 3, generator=generator)
    tokens = torch.randint(0, 7, (2, 4), generator=generator)
    too_large = tokens.clone()
    too_large[1, 2] = 50
    made = [
        (Toy(table), tokens, _all, None),
        (Toy(table), tokens, "hook_q", None),
        (Toy(table), tokens, _all, "hook_post"),  # somebody's own hook edits this one in place
        (Toy(table), too_large, _all, "hook_pre"),  # the run fails
        (tiny_model(seed, attn_only=True, n_layers=2), random_tokens(seed), _any_q, None),
    ]
    return [dict(zip(("model", "tokens", "names_filter", "edited"), case)) for case in made]


@ex.oracle
def _(model, tokens, names_filter, edited):
    left = {edited: 1} if edited else {}
    if isinstance(model, HookedTransformer):
        normed = _plain_queries(model, tokens)
        return {"result": (model(tokens), normed), "hooks afterwards": left}
    if tokens.max() >= len(model.table):
        return {"result": Raised(IndexError), "hooks afterwards": left}
    seen = {}
    seen["hook_q"] = torch.stack([torch.stack([model.table[t] for t in row]) for row in tokens.tolist()])
    seen["inner.hook_q_input"] = 3 * seen["hook_q"]
    seen["inner.hook_q"] = 3 * seen["hook_q"] + 1
    seen["hook_pre"] = 3 * seen["hook_q"] - 1
    seen["hook_post"] = seen["hook_pre"] * (-0.5 if edited == "hook_post" else 1)
    output = 2 * seen["hook_post"]
    wanted = {name: x for name, x in seen.items() if names_filter == name or names_filter is _all}
    return {"result": (output, wanted), "hooks afterwards": left}


def _plain_queries(model, tokens):
    """The queries of every layer, from the residual stream that enters it (runs of the first layers only)."""
    queries = {}
    for layer, block in enumerate(model.blocks):
        x = model(tokens, stop_at_layer=layer)
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + model.cfg.eps).sqrt() * block.ln1.w + block.ln1.b
        heads = [x @ W + b for W, b in zip(block.attn.W_Q, block.attn.b_Q)]
        queries[f"blocks.{layer}.attn.hook_q"] = torch.stack(heads, dim=2)
    return queries


@ex.call
def _(answer, model, tokens, names_filter, edited):
    if edited:
        model.add_hook(edited, _halve)
    result = attempt(answer, model, tokens, names_filter)
    left = {name: len(hooks) for name, hooks in model.list_hooks().items()}
    return {"result": result, "hooks afterwards": left}


@ex.alternative
def one_hook_for_all(model, tokens, names_filter):
    cache, added = {}, []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    def wanted(name):
        return name == names_filter if isinstance(names_filter, str) else names_filter(name)

    try:
        for name, point in model.hook_dict.items():
            if wanted(name):
                added.append((point, point.add_hook(save)))
        logits = model(tokens)
    finally:
        for point, hook in added:
            point.discard(hook)
    return logits, cache


@ex.alternative
def through_the_context(model, tokens, names_filter):
    cache = {}
    pairs = [(names_filter, lambda x, hook: cache.update({hook.name: x.clone()}))]
    with model.hooks(fwd_hooks=pairs):
        return model(tokens), cache


@ex.alternative
def through_run_with_hooks(model, tokens, names_filter):
    cache = {}
    names = [names_filter] if isinstance(names_filter, str) else filter(names_filter, model.hook_dict)

    def saver(name):
        def save(x, hook):
            cache[name] = x.detach().clone()
            return x

        return save

    logits = model.run_with_hooks(tokens, fwd_hooks=[(name, saver(name)) for name in names])
    return logits, cache


ex.slip(
    "stores_references",
    "What was stored is the tensor itself, and a later edit in place changed it: the entry before the edit now holds "
    "the value after it. Two hook points often hand on one and the same tensor. Store a copy (detach().clone(); "
    "detach alone still shares the memory).",
    "activation.detach().clone()",
    "activation.detach()",
)


ex.slip(
    "stores_before_the_edit",
    "Your hook ran before the hook that was already there, so the cache holds a value that the rest of the model never "
    "saw. Attach it after the others: the cache shows what was passed on.",
    "point.add_hook(save)",
    "point.add_hook(save, prepend=True)",
)


ex.slip(
    "hooks_stay_after_an_exception",
    "The run failed, and your hooks stayed on the model: its next run will fill a cache that nobody holds. Remove them "
    "in a finally block.",
    "    try:\n",
    "    if True:\n",
    "    finally:\n",
    "    if True:\n",
)


ex.slip(
    "hooks_stay",
    "Your hooks are still on the model after a run that went well. Every later run would go on writing to this cache.",
    "            point.discard(hook)",
    "            pass",
)


ex.slip(
    "removes_others_hooks",
    "Hooks that were on the model before the call are gone. They are somebody's experiment: remove only what you added, "
    "not everything (reset_hooks does that).",
    "        for point, hook in added:\n            point.discard(hook)",
    "        model.reset_hooks()",
)


ex.slip(
    "loose_filter",
    "The name was matched by its ending, so 'hook_q' also let 'inner.hook_q' in. A name given as text is a whole name: "
    "compare with ==. Who wants a pattern gives a function.",
    "name == names_filter",
    "name.endswith(names_filter)",
)


ex.slip(
    "filter_matches_a_part",
    "The name was matched anywhere inside the others: 'hook_q' is also a part of 'inner.hook_q' and of "
    "'inner.hook_q_input' (as 'blocks.1' is of 'blocks.10'). A name given as text is a whole name: compare with ==.",
    "name == names_filter",
    "names_filter in name",
)


ex.slip(
    "ignores_the_filter",
    "Everything was stored, whatever names_filter says. On a real model that is gigabytes.",
    "            if wanted(name):",
    "            if True:",
)


ex.slip(
    "cache_first",
    "The two results are in the wrong order: first what the model returned, then the cache.",
    "return logits, cache",
    "return cache, logits",
)


@ex.mistake(
    "Only one entry came out, under the last name. A function made in a loop looks its variables up when it is called, "
    "and by then the loop is over. Use hook.name, which the hook is given, or bind the name as a default argument."
)
def late_binding(model, tokens, names_filter):
    cache, added = {}, []
    try:
        for name, point in model.hook_dict.items():
            if name == names_filter if isinstance(names_filter, str) else names_filter(name):
                last = name
                save = lambda x, hook: cache.update({last: x.clone()})  # noqa: B023, E731
                added.append((point, point.add_hook(save)))
        return model(tokens), cache
    finally:
        for point, hook in added:
            point.discard(hook)


@ex.mistake(
    "That is the library's own run_with_cache. It will be yours to use from now on; here, build it once yourself from "
    "model.hook_dict and the hook points' add_hook and discard."
)
def calls_the_library(model, tokens, names_filter):
    return model.run_with_cache(tokens, names_filter=names_filter)
