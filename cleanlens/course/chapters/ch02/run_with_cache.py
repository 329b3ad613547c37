"""Exercise 02.1: A cache out of hooks."""

import torch
from torch import nn

from cleanlens import HookedTransformer
from cleanlens.hook_points import HookedRootModule, HookPoint

from ...exercise import exercise
from ...plain import Raised, attempt, raised
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
    version=2,
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
    """A model of six hook points, of which two see the same tensor; a token of 99 stops its run as Ctrl-C does."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.hook_q = HookPoint()
        self.hook_query = HookPoint()
        self.inner = Inner()
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.setup()

    def forward(self, tokens):
        if (tokens == 99).any():
            self.hook_q(self.table)
            raise KeyboardInterrupt
        x = self.hook_query(self.hook_q(self.table[tokens]) / 2) * 2
        x = self.hook_pre(self.inner(x) - 2)
        x = self.hook_post(x)
        return x * 2

    def run_with_cache(self, *_, **__):
        raise TypeError("model.run_with_cache is what this exercise builds: use the hook points themselves")


def _halve(x, hook):
    x.mul_(-0.5)


def _raise(x, hook):
    return x + 3


def _any_q(name):
    return name.endswith("hook_q")


def _all(name):
    return True


def _none(name):
    return False


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(7, 3, generator=generator)
    tokens = torch.randint(0, 7, (2, 4), generator=generator)
    too_large, stopped = tokens.clone(), tokens.clone()
    too_large[1, 2], stopped[0, 1] = 50, 99
    edits = [("hook_post", _halve), ("hook_post", _raise)]  # somebody's own hooks, whose order matters
    made = [
        (Toy(table), tokens, _all, []),
        (Toy(table), tokens, "hook_q", []),
        (Toy(table), tokens[:1, :1], _all, []),
        (Toy(table), tokens, "inner.hook_q", edits),
        (Toy(table), tokens[:1, :1], _none, []),
        (Toy(table), tokens, _all, edits),
        (Toy(table), too_large, _all, [("hook_pre", _halve)]),  # the run fails
        (Toy(table), stopped, _all, [("hook_pre", _halve)]),  # the run is interrupted
        (tiny_model(seed, attn_only=True, n_layers=2), random_tokens(seed), _any_q, []),
    ]
    return [dict(zip(("model", "tokens", "names_filter", "hooks"), case)) for case in made]


RETURNED, AGAIN, LEFT = "what it returns", "what a second call returns", "the hooks of the model afterwards"


@ex.oracle
def _(model, tokens, names_filter, hooks):
    first, second = (_expected(model, t, names_filter, hooks) for t in (tokens, tokens.flip(0)))
    return {LEFT: "as before", RETURNED: first, AGAIN: second}


def _expected(model, tokens, names_filter, hooks):
    if isinstance(model, HookedTransformer):
        return model(tokens), _plain_queries(model, tokens)
    if tokens.max() >= len(model.table):
        return Raised(KeyboardInterrupt if 99 in tokens else IndexError)
    seen = {}
    seen["hook_q"] = torch.stack([torch.stack([model.table[t] for t in row]) for row in tokens.tolist()])
    seen["hook_query"] = seen["hook_q"] / 2
    seen["inner.hook_q_input"] = 3 * seen["hook_q"]
    seen["inner.hook_q"] = 3 * seen["hook_q"] + 1
    seen["hook_pre"] = 3 * seen["hook_q"] - 1
    seen["hook_post"] = -0.5 * seen["hook_pre"] + 3 if hooks else seen["hook_pre"]
    output = 2 * seen["hook_post"]
    wanted = {name: x for name, x in seen.items() if names_filter == name or names_filter is _all}
    return output, wanted


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
def _(answer, model, tokens, names_filter, hooks):
    for name, function in hooks:
        model.add_hook(name, function)
    before = model.list_hooks()
    first, second = (_outcome(answer, model, t, names_filter) for t in (tokens, tokens.flip(0)))
    left = _hooks_afterwards(before, model.list_hooks())
    return {LEFT: left, RETURNED: first, AGAIN: second}


def _outcome(answer, *args):
    try:
        return attempt(answer, *args)
    except KeyboardInterrupt as stop:
        return raised(stop)


def _hooks_afterwards(before, after):
    for name in [*before, *after]:
        old, new = ([id(hook) for hook in hooks.get(name, [])] for hooks in (before, after))
        if missing := len(set(old) - set(new)):
            return f"{missing} less on {name}"
        if more := len(set(new) - set(old)):
            return f"{more} more on {name}"
        if old != new:
            return f"in another order on {name}"
    return "as before"


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
    "A later edit in place reached what was stored: the entry before the edit now holds the value after it. Two hook points "
    "often hand on one and the same tensor. Store a copy, and make it in the hook: detach().clone(). (detach alone still shares "
    "the memory, and after the run it is too late.)",
    "activation.detach().clone()",
    "activation.detach()",
)


ex.slip(
    "stores_before_the_edit",
    "The cache holds what came in before somebody's hook edited it: a value that the rest of the model never saw. A hook "
    "that is attached after the others (not with prepend=True) sees what is passed on.",
    "point.add_hook(save)",
    "point.add_hook(save, prepend=True)",
)


ex.slip(
    "hooks_stay_after_an_exception",
    "The run failed, and the new hooks stayed on the model: its next run will fill a cache that nobody holds. A finally "
    "block is run in either case.",
    "    try:\n",
    "    if True:\n",
    "    finally:\n",
    "    if True:\n",
)


@ex.mistake(
    "The hooks are taken off when the run raises an Exception, but they stay when it is stopped by Ctrl-C: "
    "KeyboardInterrupt is no Exception. A finally block is run whatever happens."
)
def cleans_up_after_exceptions_only(model, tokens, names_filter):
    cache, added = {}, []

    def save(activation, hook):
        cache[hook.name] = activation.detach().clone()

    def remove():
        for point, hook in added:
            point.discard(hook)

    for name, point in model.hook_dict.items():
        if name == names_filter if isinstance(names_filter, str) else names_filter(name):
            added.append((point, point.add_hook(save)))
    try:
        logits = model(tokens)
    except Exception:
        remove()
        raise
    remove()
    return logits, cache


ex.slip(
    "hooks_stay",
    "The new hooks are still on the model after a run that went well. Every later run goes on writing to this cache.",
    "            point.discard(hook)",
    "            pass",
)


ex.slip(
    "only_the_last_hook_removed",
    "One hook was taken off, the last; the others are still on the model. Keep every (point, handle) in a list and "
    "discard them all.",
    "            point.discard(hook)",
    "            pass\n        if added:\n            point.discard(hook)",
)


ex.slip(
    "removes_others_hooks",
    "Hooks that were on the model before the call are gone. They are somebody's experiment: take off only what was added, "
    "not everything (reset_hooks does that).",
    "        for point, hook in added:\n            point.discard(hook)",
    "        model.reset_hooks()",
)


ex.slip(
    "clears_its_hook_points",
    "On the wanted hook points all hooks are gone, also those that were there before the call. point.remove_hooks() takes "
    "everything off; point.discard(handle) takes off the one that point.add_hook returned.",
    "            point.discard(hook)",
    "            point.remove_hooks()",
)


ex.slip(
    "swallows_the_error",
    "The run raised, and the call did not: it came back with what there was. Whoever calls must hear of the error, so clean "
    "up and let it pass (finally does both; except swallows it unless it raises again).",
    "        logits = model(tokens)\n",
    "        logits = model(tokens)\n    except Exception:\n        logits = None\n",
)


ex.slip(
    "loose_filter",
    "The name was matched by its ending: 'hook_q' also let 'inner.hook_q' in. A name given as text is a whole name: "
    "compare with ==. Who wants a pattern gives a function.",
    "name == names_filter",
    "name.endswith(names_filter)",
)


ex.slip(
    "filter_matches_a_beginning",
    "The name was matched by its beginning: 'hook_q' also let 'hook_query' in (as 'blocks.1' would let 'blocks.10' in). A "
    "name given as text is a whole name: compare with ==.",
    "name == names_filter",
    "name.startswith(names_filter)",
)


ex.slip(
    "filter_matches_a_part",
    "The name was matched anywhere inside the others: 'hook_q' is also a part of 'inner.hook_q' and of "
    "'inner.hook_q_input' (as 'blocks.1' is of 'blocks.10'). A name given as text is a whole name: compare with ==.",
    "name == names_filter",
    "names_filter in name",
)


ex.slip(
    "name_sought_in_the_filter",
    "With text as names_filter, every name that is a part of it was stored: `in` between two texts asks whether one is "
    "inside the other, and 'hook_q' is inside 'inner.hook_q'. Compare with ==.",
    "name == names_filter",
    "name in names_filter",
)


ex.slip(
    "function_filter_ignored",
    "With a function as names_filter nothing was stored. Text and function are two cases: isinstance(names_filter, str) "
    "tells them apart, and the function is asked about each name.",
    "names_filter(name)\n\n",
    "False\n\n",
)


ex.slip(
    "ignores_the_filter",
    "Everything was stored, whatever names_filter says. On a real model that is gigabytes.",
    "            if wanted(name):",
    "            if True:",
)


ex.slip(
    "filter_negated",
    "What was stored is exactly what was not wanted.",
    "            if wanted(name):",
    "            if not wanted(name):",
)


ex.slip(
    "cache_first",
    "The two results are in the wrong order: first what the model returned, then the cache.",
    "return logits, cache",
    "return cache, logits",
)


ex.slip(
    "cache_kept_between_calls",
    "The dictionary of an earlier call came back, with this call's activations put into it: what somebody still holds "
    "changes under their hands. Each call needs a dictionary of its own.",
    "cache, added = {}, []",
    "cache, added = model.__dict__.setdefault('kept', {}), []",
)


@ex.mistake(
    "Only one entry came out, under the last name. A function made in a loop looks its variables up when it is called, "
    "and by then the loop is over. Use hook.name, which the hook is given, or bind the name as a default argument."
)
def late_binding(model, tokens, names_filter):
    cache, added = {}, []
    last = None
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
    "Only one entry came out, under the name that the loop over all hook points ended with, wanted or not. A function made "
    "in a loop looks its variables up when it is called, and by then the loop is over. Use hook.name, or bind the name as "
    "a default argument."
)
def late_binding_of_the_loop(model, tokens, names_filter):
    cache, added = {}, []
    try:
        for name, point in model.hook_dict.items():
            if name == names_filter if isinstance(names_filter, str) else names_filter(name):
                save = lambda x, hook: cache.update({name: x.clone()})  # noqa: B023, E731
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


ex.equivalent(
    "The stub lets a copy keep its graph of gradients.",
    ".detach().clone => .clone",
)
