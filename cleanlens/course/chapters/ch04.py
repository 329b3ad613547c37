# mypy: ignore-errors
"""Chapter 04, Hooks and ablation: reading a running model, changing it, and what that proves."""

from functools import cache, partial

import torch
from torch import nn

from cleanlens.config import HookedTransformerConfig
from cleanlens.hook_points import HookPoint as LibraryHookPoint
from cleanlens.hooked_transformer import HookedTransformer

from ..exercise import Chapter
from ..plain import Raised, attempt

chapter = Chapter("04", "hooks", "Hooks and ablation")


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
    if isinstance(returned, torch.Tensor) and returned.requires_grad and returned.shape == leaf.shape:
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


# ---- 04.1 -------------------------------------------------------------------------------------------


class HookPoint(nn.Module):
    """The given half of the class."""

    def __init__(self, name=""):
        super().__init__()
        self.name = name
        self.hooks = {}
        self.attached = 0

    def remove_hook(self, number):
        self.hooks.pop(number, None)


class Tower(nn.Module):
    """Twelve hook points in a row, and three more of almost the same names inside."""

    def __init__(self, HookPoint, weights, inner=True):
        super().__init__()
        self.weights = weights
        self.blocks = nn.ModuleList(HookPoint(f"blocks.{i}") for i in range(12))
        self.inner = nn.Module()
        self.inner.blocks = nn.ModuleList(HookPoint(f"inner.blocks.{i}") for i in range(3))

    def forward(self, tokens):
        x = self.weights[tokens]
        for i, point in enumerate([*self.blocks, *self.inner.blocks]):
            x = point(torch.tanh(x.roll(1, dims=-1) + self.weights[i % len(self.weights)]))
        return x


ex = chapter.exercise(
    "04.1",
    "HookPoint.forward",
    "HookPoint.add_hook",
    "run_with_hooks",
    supply={"HookPoint": HookPoint},
    title="A hook point, and a run with hooks",
    objective="You can open a model at a named place for one run, and be sure that it is closed again whatever happens.",
    minutes=25,
    difficulty=3,
    importance=5,
    source="The contract in chapter 04, section 1; the same as cleanlens.hook_points.HookPoint and run_with_hooks.",
    hints=[
        "forward: go through self.hooks.values() in order; each hook sees what the one before it left. Compare with None "
        "by `is None`: a tensor has no single truth value.",
        "add_hook: take a number that was never used (self.attached counts them), store the function under it, return the "
        "number.",
        "run_with_hooks: dict(model.named_modules()) finds a module by its exact name. Keep (point, number) of what you "
        "attach, and remove exactly these in a `finally:` block that covers the attaching as well as the run.",
    ],
    why="A hook that outlives its run changes every later measurement, silently. try/finally is the whole cure, and it "
    "must cover the attaching too, because the second name may be the misspelt one. Removing by number, not 'everything', "
    "is what lets somebody else's hooks live in the same model.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, generator=generator)
    weights = torch.randn(17, 5, generator=generator)
    tokens = torch.randint(0, 17, (2, 3), generator=generator)
    forward = ["forward: three hooks", "forward: a hook that returns None", "forward: no hooks"]
    adding = ["add_hook: order", "add_hook: remove one", "add_hook: numbers are not used twice"]
    running = [
        "run_with_hooks: blocks.1",
        "run_with_hooks: two hooks in one place",
        "run_with_hooks: a hook that raises",
        "run_with_hooks: an unknown name",
        "run_with_hooks: beside a hook of the user",
    ]
    calls = [{"what": what, "x": x.clone(), "weights": weights} for what in forward + adding]
    return calls + [{"what": what, "x": tokens.clone(), "weights": weights} for what in running]


# The hooks of the checks. `log` receives what a hook was told of its place.
def _double(x, hook, log):
    log.append(["double", getattr(hook, "name", "no name")])
    return x * 2


def _plus_one(x, hook, log):
    log.append(["plus one", getattr(hook, "name", "no name")])
    return x + 1


def _square(x, hook, log):
    log.append(["square", getattr(hook, "name", "no name")])
    return x * x


def _look(x, hook, log):
    log.append(["look", getattr(hook, "name", "no name"), float(x.sum())])


def _fail(x, hook, log):
    log.append(["fail", getattr(hook, "name", "no name")])
    raise RuntimeError("the hook failed")


SCENARIOS = {
    "run_with_hooks: blocks.1": [("blocks.1", _double)],
    "run_with_hooks: two hooks in one place": [
        ("blocks.4", _plus_one),
        ("blocks.7", _look),
        ("blocks.4", _square),
    ],
    "run_with_hooks: a hook that raises": [("blocks.0", _double), ("blocks.5", _fail)],
    "run_with_hooks: an unknown name": [("blocks.2", _double), ("blocks.99", _plus_one)],
    "run_with_hooks: beside a hook of the user": [("blocks.3", _double), ("blocks.8", _plus_one)],
}


@ex.call
def _(answer, what, x, weights):
    log = []
    double, plus_one, square, look = (partial(f, log=log) for f in (_double, _plus_one, _square, _look))
    part, _, scenario = what.partition(": ")
    if part == "run_with_hooks":
        model = Tower(answer.HookPoint, weights)
        if scenario == "beside a hook of the user":
            model.blocks[3].add_hook(square)
            model.blocks[9].add_hook(plus_one)
        hooks = [(name, partial(f, log=log)) for name, f in SCENARIOS[what]]
        first = attempt(answer.run_with_hooks, model, x, hooks)
        return {"returned": first, "a plain run afterwards": attempt(model, x), "hooks called": log}
    point = answer.HookPoint("here")
    if part == "forward":
        hooks = {"three hooks": [double, plus_one, square], "no hooks": []}.get(
            scenario, [look, double, look]
        )
        point.hooks = dict(enumerate(hooks))  # does not need the learner's add_hook
        return {"returned": point.forward(x), "hooks called": log}
    numbers = [point.add_hook(f) for f in (double, plus_one, square)]
    if scenario == "remove one":
        point.remove_hook(numbers[1])
    if scenario == "numbers are not used twice":
        point.remove_hook(numbers[2])
        numbers.append(point.add_hook(plus_one))
        point.remove_hook(numbers[2])  # a second time: nothing may happen
        point.remove_hook(numbers[0])
        numbers.append(point.add_hook(double))
    return {"returned": point.forward(x), "hooks called": log, "numbers": numbers}


@ex.measure
def _(observed, what, x, weights):
    # Any numbers will do, as long as no two are the same.
    if "numbers" in observed:
        numbers = observed.pop("numbers")
        observed["numbers returned"] = all(type(number) is int for number in numbers)
        observed["all different"] = len(set(numbers)) == len(numbers)
    return observed


@ex.oracle
def _(what, x, weights):
    part, _, scenario = what.partition(": ")
    if part == "forward":
        total = float(x.sum())
        return {
            "three hooks": {
                "returned": (x * 2 + 1) ** 2,
                "hooks called": [["double", "here"], ["plus one", "here"], ["square", "here"]],
            },
            "no hooks": {"returned": x, "hooks called": []},
            "a hook that returns None": {
                "returned": x * 2,
                "hooks called": [["look", "here", total], ["double", "here"], ["look", "here", 2 * total]],
            },
        }[scenario]
    if part == "add_hook":
        result, names = {
            "order": ((x * 2 + 1) ** 2, ["double", "plus one", "square"]),
            "remove one": ((x * 2) ** 2, ["double", "square"]),
            "numbers are not used twice": ((x + 1 + 1) * 2, ["plus one", "plus one", "double"]),
        }[scenario]
        log = [[name, "here"] for name in names]
        return {"returned": result, "hooks called": log, "numbers returned": True, "all different": True}

    def tower(edits, log):
        """The tower by hand: `edits` are (place, function) in the order in which they act."""
        y = weights[x]
        names = [f"blocks.{i}" for i in range(12)] + [f"inner.blocks.{i}" for i in range(3)]
        for i, name in enumerate(names):
            y = torch.tanh(y.roll(1, dims=-1) + weights[i % len(weights)])
            for place, edit in edits:
                if place == name:
                    new = edit(y, LibraryNamed(name), log)
                    y = y if new is None else new
        return y

    log: list = []
    own = []
    if scenario == "beside a hook of the user":
        own = [("blocks.3", _square), ("blocks.9", _plus_one)]
    if scenario == "a hook that raises":
        first = Raised(RuntimeError, mentions=["the hook failed"])
        log += [["double", "blocks.0"], ["fail", "blocks.5"]]
    elif scenario == "an unknown name":
        first = Raised(KeyError, mentions=["blocks.99"])
    else:
        first = tower(own + SCENARIOS[what], log)
    return {"returned": first, "a plain run afterwards": tower(own, log), "hooks called": log}


class LibraryNamed:
    """Something with a name."""

    def __init__(self, name):
        self.name = name


@ex.alternative(of="HookPoint.forward")
def chained(self, x):
    for hook in list(self.hooks.values()):
        result = hook(x, hook=self)
        if result is not None:
            x = result
    return x


@ex.alternative(of="HookPoint.forward")
def by_number(self, x):
    for number in sorted(self.hooks):
        result = self.hooks[number](x, hook=self)
        x = x if result is None else result
    return x


@ex.alternative(of="HookPoint.add_hook")
def counted(self, hook):
    number = self.attached
    self.hooks[number] = hook
    self.attached = number + 1
    return number


@ex.alternative(of="HookPoint.add_hook")
def counted_from_one(self, hook):
    self.attached += 1
    self.hooks[self.attached] = hook
    return self.attached


@ex.alternative(of="run_with_hooks")
def attached_then_removed(model, tokens, hooks):
    points = dict(model.named_modules())
    attached = []
    try:
        for name, hook in hooks:
            attached.append((points[name], points[name].add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


@ex.alternative(of="run_with_hooks")
def with_an_exit_stack(model, tokens, hooks):
    from contextlib import ExitStack

    points = {module.name: module for module in model.modules() if hasattr(module, "add_hook")}
    with ExitStack() as stack:
        for name, hook in hooks:
            number = points[name].add_hook(hook)
            stack.callback(points[name].remove_hook, number)
        return model(tokens)


ex.slip(
    "none_replaces_the_activation",
    "A hook that only looks returns None, and that None took the activation's place. When a hook returns None, keep what "
    "there was.",
    "        if result is not None:\n            x = result\n",
    "        x = result\n",
    of="HookPoint.forward",
)
ex.slip(
    "ignores_what_a_hook_returns",
    "The hooks are called, but what they return is dropped: they can look and not touch. Let x be the result.",
    "            x = result\n",
    "            pass\n",
    of="HookPoint.forward",
)
ex.slip(
    "truth_of_a_tensor",
    "`if result:` and `result or x` ask a whole tensor whether it is true, which has no answer (and a tensor with the "
    "single number 0 would count as 'nothing returned'). Ask `result is not None`.",
    "if result is not None:",
    "if result:",
    of="HookPoint.forward",
)


@ex.mistake(
    "Every hook was given the original activation, so the last one to return something wins. Each hook must see what the "
    "one before it left.",
    of="HookPoint.forward",
)
def not_chained(self, x):
    out = x
    for hook in self.hooks.values():
        result = hook(x, hook=self)
        if result is not None:
            out = result
    return out


ex.slip(
    "only_the_first_hook",
    "Only the first hook that returns something acts; those after it are never called. Go through all of them before you "
    "return.",
    "            x = result\n",
    "            return result\n",
    of="HookPoint.forward",
)
ex.slip(
    "last_attached_first",
    "The hooks run in the wrong order: the last one attached comes first. Doubling and adding one is not adding one and "
    "doubling; keep the order in which they were attached.",
    "list(self.hooks.values())",
    "list(self.hooks.values())[::-1]",
    of="HookPoint.forward",
)
ex.slip(
    "passes_the_name",
    "The hook received the point's name where it expects the hook point itself. One function is often attached in many "
    "places, and it reads hook.name (and more) to know where it is: pass hook=self.",
    "hook=self",
    "hook=self.name",
    of="HookPoint.forward",
)
ex.slip(
    "replaces_other_hooks",
    "Attaching a hook threw out those that were there. A point may hold any number: add to self.hooks.",
    "self.hooks[number] = hook",
    "self.hooks = {number: hook}",
    of="HookPoint.add_hook",
)
ex.slip(
    "number_from_the_length",
    "The number is how many hooks there are now. After one is removed the next gets a number that is still in use, and "
    "takes that hook's place without a word. Count how many were ever attached.",
    "number = self.attached",
    "number = len(self.hooks)",
    of="HookPoint.add_hook",
)
ex.slip(
    "number_used_again",
    "A number is used again once its hook is gone. Whoever still holds the old number will remove the new hook. Count how "
    "many were ever attached.",
    "number = self.attached",
    "number = max(self.hooks, default=-1) + 1",
    of="HookPoint.add_hook",
)
ex.slip(
    "count_not_raised",
    "self.attached never grows, so every hook gets the number 0 and takes the last one's place.",
    "    self.attached = number + 1\n",
    "",
    of="HookPoint.add_hook",
)
ex.slip(
    "returns_no_number",
    "The hook is attached, but its number is not returned. Without it nobody can remove this hook and leave the others.",
    "    return number\n",
    "",
    of="HookPoint.add_hook",
)


@ex.mistake(
    "Your hooks stay attached when the run raises: the model is changed from then on, and the next experiment measures "
    "something else. Put the removal into a `finally:` block.",
    of="run_with_hooks",
)
def leaks_after_an_exception(model, tokens, hooks):
    points = dict(model.named_modules())
    attached = []
    for name, hook in hooks:
        if name not in points:
            for point, number in attached:
                point.remove_hook(number)
        attached.append((points[name], points[name].add_hook(hook)))
    output = model(tokens)
    for point, number in attached:
        point.remove_hook(number)
    return output


@ex.mistake(
    "Nothing protects the model when something raises, be it a misspelt name or the run itself: hooks that were attached "
    "by then stay. Put attaching and running into `try:` and the removal into `finally:`.",
    of="run_with_hooks",
)
def no_protection_at_all(model, tokens, hooks):
    points = dict(model.named_modules())
    attached = []
    for name, hook in hooks:
        attached.append((points[name], points[name].add_hook(hook)))
    output = model(tokens)
    for point, number in attached:
        point.remove_hook(number)
    return output


ex.slip(
    "leaks_when_a_name_is_wrong",
    "When the second name is misspelt, the first hook has been attached already and stays. The `try:` must begin before "
    "the attaching.",
    "    try:\n        for name, hook in hooks:\n            attached.append((points[name], points[name].add_hook(hook)))\n",
    "    for name, hook in hooks:\n        attached.append((points[name], points[name].add_hook(hook)))\n    try:\n",
    of="run_with_hooks",
)
ex.slip(
    "never_removes",
    "The hooks are still attached after the run. Remove them.",
    "            point.remove_hook(number)\n",
    "            pass\n",
    of="run_with_hooks",
)
ex.slip(
    "removes_the_users_hooks",
    "After the run every hook is gone, also those that were there before. They belong to somebody: remove what you "
    "attached, by its number, and nothing else.",
    "        for point, number in attached:\n            point.remove_hook(number)\n",
    "        for module in model.modules():\n"
    '            if hasattr(module, "hooks"):\n'
    "                module.hooks.clear()\n",
    of="run_with_hooks",
)
ex.slip(
    "clears_the_points_it_used",
    "At the points that you used, every hook was removed, also one that was there before. Remove what you attached, by "
    "its number.",
    "            point.remove_hook(number)\n",
    "            point.hooks.clear()\n",
    of="run_with_hooks",
)


@ex.mistake(
    "The name was compared by its beginning: blocks.1 also found blocks.10 and blocks.11. Names must be equal.",
    of="run_with_hooks",
)
def beginning_of_a_name(model, tokens, hooks):
    attached = []
    try:
        for name, hook in hooks:
            found = [m for n, m in model.named_modules() if n.startswith(name)]
            if not found:
                raise KeyError(name)
            attached += [(point, point.add_hook(hook)) for point in found]
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


@ex.mistake(
    "The name was looked for inside other names (`name in n`): blocks.1 also found blocks.10, blocks.11 and "
    "inner.blocks.1. Names must be equal.",
    of="run_with_hooks",
)
def part_of_a_name(model, tokens, hooks):
    attached = []
    try:
        for name, hook in hooks:
            found = [m for n, m in model.named_modules() if name in n]
            if not found:
                raise KeyError(name)
            attached += [(point, point.add_hook(hook)) for point in found]
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


@ex.mistake(
    "The end of the name was enough: blocks.1 also found inner.blocks.1. Names must be equal.",
    of="run_with_hooks",
)
def end_of_a_name(model, tokens, hooks):
    attached = []
    try:
        for name, hook in hooks:
            found = [m for n, m in model.named_modules() if n.endswith(name)]
            if not found:
                raise KeyError(name)
            attached += [(point, point.add_hook(hook)) for point in found]
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


ex.slip(
    "unknown_names_ignored",
    "A name that no hook point has was passed over. The run then measures an unchanged model and says nothing, which looks "
    "exactly like 'this head does not matter'. Raise a KeyError with the name.",
    "            attached.append((points[name], points[name].add_hook(hook)))\n",
    "            if name in points:\n"
    "                attached.append((points[name], points[name].add_hook(hook)))\n",
    of="run_with_hooks",
)
ex.slip(
    "one_hook_per_name",
    "Of two hooks for the same name only the last was attached: dict(hooks) keeps one value for each key. Go through the "
    "list of pairs.",
    "for name, hook in hooks:",
    "for name, hook in dict(hooks).items():",
    of="run_with_hooks",
)
ex.slip(
    "swallows_the_exception",
    "The hooks are removed, but the exception is gone as well (a `return` in `finally:`, or an `except` that does not "
    "raise again). The caller must hear of it; `finally:` alone lets it through.",
    "    finally:\n",
    "    except Exception:\n        return None\n    finally:\n",
    of="run_with_hooks",
)
ex.slip(
    "result_not_returned",
    "The run was made and its result thrown away. Return what the model returns.",
    "return model(tokens)",
    "model(tokens)",
    of="run_with_hooks",
)


# ---- 04.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.2",
    "score_hook",
    title="A hook that reads",
    objective="You can measure every head over any number of batches while keeping none of their activations.",
    minutes=10,
    difficulty=2,
    importance=4,
    seeds=2,
    source="The definition in chapter 04, section 2: attention from each position to the one before it.",
    hints=[
        "hook.layer() says in which layer you are. pattern.diagonal(-1, -2, -1) is [b h q-1]: the attention of queries "
        "1, 2, ... to the position before them.",
        "Mean over the queries, sum over the batch, and add to the row in place: store[hook.layer()] += ... "
        "(`store = store + ...` only makes a new local variable).",
        "The pattern may carry a graph: .detach() it first. Return nothing.",
    ],
    why="Nothing is returned, so the run is untouched, and nothing is kept but l·h numbers: a thousand batches cost the memory "
    "of one. The layer comes from the hook point, not from a loop variable that has moved on by the time the model runs.",
)


@cache
def _reading_models(seed):
    """A causal model, and a two-way one that shows which side of the diagonal was taken. Answers never see them."""
    generator = torch.Generator().manual_seed(seed)
    return tiny_model(generator, 3, 2), tiny_model(generator, 3, 2, "bidirectional")


@ex.inputs
def _(seed):
    causal, two_way = _reading_models(seed)
    generator = torch.Generator().manual_seed(seed)
    batches = [torch.randint(0, 19, shape, generator=generator) for shape in [(2, 6), (3, 5)]]
    return [
        {"model": two_way, "layers": [1], "batches": batches[:1]},
        {"model": causal, "layers": [0, 1, 2], "batches": batches},
    ]


@ex.call
def _(answer, model, layers, batches):
    store = torch.zeros(3, 2)
    hooks = [(f"blocks.{layer}.attn.hook_pattern", partial(answer, store=store)) for layer in layers]
    logits = [model.run_with_hooks(tokens, fwd_hooks=hooks) for tokens in batches]
    return {"store": store, "store keeps the graph": store.requires_grad, "logits": logits}


@ex.oracle
def _(model, layers, batches):
    store = torch.zeros(3, 2)
    logits = []
    for tokens in batches:
        output, seen = model.run_with_cache(tokens)
        logits.append(output)
        for layer in layers:
            pattern = seen[f"blocks.{layer}.attn.hook_pattern"].detach()
            n_rows, n_heads, n, _ = pattern.shape
            for row in range(n_rows):
                for head in range(n_heads):
                    for query in range(1, n):
                        store[layer, head] += pattern[row, head, query, query - 1] / (n - 1)
    return {"store": store, "store keeps the graph": False, "logits": logits}


@ex.alternative
def by_diagonal(pattern, hook, store):
    pattern = pattern.detach()
    layer = hook.layer()
    scores = pattern.diagonal(-1, -2, -1).mean(-1).sum(0)
    store[layer] += scores


@ex.alternative
def by_indexing(pattern, hook, store):
    queries = torch.arange(1, pattern.shape[-1])
    with torch.no_grad():
        store[int(hook.name.split(".")[1])].add_(pattern[:, :, queries, queries - 1].mean(2).sum(0))


ex.slip(
    "returns_an_edited_pattern",
    "The hook returned a pattern of its own, and the model went on with that one: the logits changed. A hook that only "
    "reads returns nothing.",
    "    store[layer] += scores\n",
    "    store[layer] += scores\n    return pattern.tril(-1).triu(-1)\n",
)
ex.slip(
    "edits_the_pattern_in_place",
    "The pattern itself was edited, and the model went on with it: the logits changed although nothing was returned. "
    "Compute on a copy, or without in-place operations.",
    "    scores =",
    "    pattern.tril_(-1)\n    scores =",
)


@ex.mistake("The store is [layer, head]; you wrote to store[head, layer].")
def head_then_layer(pattern, hook, store):
    scores = pattern.detach().diagonal(-1, -2, -1).mean(-1).sum(0)
    for head in range(len(scores)):
        store[head, hook.layer()] += scores[head]


ex.slip(
    "overwritten_by_each_batch",
    "Each batch overwrites what the one before it stored. Add to the store: store[layer] += ...",
    "store[layer] += scores",
    "store[layer] = scores",
)
ex.slip(
    "always_the_last_layer",
    "Every layer's score went into the row of the last one. A variable of the loop that attached the hooks has its last "
    "value by the time the model runs; ask the hook point: hook.layer().",
    "layer = hook.layer()",
    "layer = len(store) - 1",
)
ex.slip(
    "always_the_first_layer",
    "Every layer's score went into row 0. Ask the hook point where it is: hook.layer().",
    "layer = hook.layer()",
    "layer = 0",
)
ex.slip(
    "every_row",
    "The score was added to every row of the store. Only row hook.layer() is this layer's.",
    "store[layer] +=",
    "store +=",
)
ex.slip(
    "store_is_rebound",
    "The store is still zero: `store = store + ...` makes a new tensor with a local name, and the caller's is not touched. "
    "Change it in place, for example with store[layer] += ...",
    "store[layer] += scores",
    "store = store.clone()\n    store[layer] += scores",
)
ex.slip(
    "mean_over_the_batch",
    "You took the mean over the batch. The sum was asked for: batches differ in size, and only sums add up to an average "
    "over all prompts.",
    ".sum(0)",
    ".mean(0)",
)
ex.slip(
    "sum_over_queries",
    "You took the sum over the queries: a longer prompt would score higher. Take their mean.",
    ".mean(-1)",
    ".sum(-1)",
)


@ex.mistake(
    "The sum was divided by the number of positions. The first position has none before it, so there are s - 1 terms."
)
def divides_by_all_queries(pattern, hook, store):
    shares = pattern.detach().diagonal(-1, -2, -1).sum(-1) / pattern.shape[-1]
    store[hook.layer()] += shares.sum(0)


ex.slip(
    "current_token",
    "That is the attention of each position to itself: the main diagonal. One below it is the position before.",
    ".diagonal(-1, ",
    ".diagonal(0, ",
)
ex.slip(
    "future_token",
    "The diagonal above the main one is the next position, which a causal head cannot see. The rows are queries: the "
    "position before is at offset -1.",
    ".diagonal(-1, ",
    ".diagonal(1, ",
)
ex.slip(
    "mean_over_heads",
    "All heads got the same number: their mean. Each head is scored by itself.",
    ".mean(-1).sum(0)",
    ".mean((-1, 1)).sum(0)",
)
ex.slip(
    "keeps_the_graph",
    "The numbers are right, but the store now belongs to the graph, and with it every activation of every batch stays in "
    "memory. Detach the pattern.",
    "pattern = pattern.detach()",
    "pattern = pattern",
)


# ---- 04.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.3",
    "zero_ablate",
    title="Zero ablation",
    objective="You can remove one head's output in a run, and nothing but that.",
    minutes=5,
    difficulty=1,
    importance=5,
    source="The definition in chapter 04, section 3; equal to setting the head's W_O to zero.",
    hints=[
        "z has the axes batch, position, head, d_head: which of them is the head?",
        "Work on z.clone(), and return it.",
    ],
    why="W_O is linear, so z = 0 means that the head writes nothing. The copy matters because the tensor that a hook is given "
    "may be in somebody's cache; and a hook that makes a copy must return it, or nothing happens.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, 5, 4, 6, generator=generator)
    first = int(torch.randint(0, 3, (), generator=generator))
    return [{"z": z, "head": first}, {"z": z.clone(), "head": (first + 1) % 3}]


@ex.call
def _(answer, z, head):
    return as_a_hook(answer, z, head=head)


@ex.oracle
def _(z, head):
    kept = torch.ones_like(z)
    for row in range(z.shape[0]):
        for position in range(z.shape[1]):
            for i in range(z.shape[3]):
                kept[row, position, head, i] = 0
    return untouched(z, z * kept, kept)


@ex.alternative
def cloned(z, hook, head):
    z = z.clone()
    z[:, :, head] = 0.0
    return z


@ex.alternative
def masked(z, hook, head):
    keep = torch.arange(z.shape[2]) != head
    return z * keep[:, None]


ex.slip(
    "zeroes_a_position",
    "z[:, head] is a position: the axes are batch, position, head, d_head. The head is the third: z[:, :, head].",
    "z[:, :, head]",
    "z[:, head]",
)
ex.slip(
    "zeroes_a_prompt",
    "z[head] is a whole entry of the batch: the axes are batch, position, head, d_head. The head is the third.",
    "z[:, :, head]",
    "z[head]",
)
ex.slip(
    "zeroes_a_coordinate",
    "z[..., head] is one coordinate of every head: the last axis is d_head. The head is the third axis: z[:, :, head].",
    "z[:, :, head]",
    "z[..., head]",
)
ex.slip(
    "all_heads",
    "Every head was set to zero: that is the ablation of the whole layer.",
    "z[:, :, head] = 0.0",
    "z[:] = 0.0",
)
ex.slip(
    "keeps_only_this_head",
    "It is the other way round: this head was kept and all the others were removed.",
    "    z = z.clone()\n    z[:, :, head] = 0.0\n    return z\n",
    "    out = torch.zeros_like(z)\n    out[:, :, head] = z[:, :, head]\n    return out\n",
)
ex.slip(
    "last_position_only",
    "The head was removed at the last position only; elsewhere it still writes, and later layers read it.",
    "z[:, :, head]",
    "z[:, -1, head]",
)
ex.slip(
    "edits_the_cache",
    "It is zero where it should be, but z itself was edited. Whoever holds this tensor (a cache of the clean run, say) now "
    "holds the ablated values under the clean name. Clone first.",
    "z.clone()",
    "z",
)
ex.slip(
    "in_place_returns_nothing",
    "z was edited in place and nothing returned. The model would obey, but the tensor may be in somebody's cache, which is "
    "now wrong as well. Clone, edit the copy, return it.",
    "    z = z.clone()\n    z[:, :, head] = 0.0\n    return z\n",
    "    z[:, :, head] = 0.0\n",
)
ex.slip(
    "copy_not_returned",
    "A copy was edited, and then not returned: the model never hears of it and runs as if there were no hook. Return the "
    "copy.",
    "    return z\n",
    "",
)
ex.slip(
    "cuts_the_graph",
    "The values are right, but .detach() cuts the graph: no gradient passes this layer any more. clone() alone keeps it.",
    "z.clone()",
    "z.detach().clone()",
)


# ---- 04.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.4",
    "mean_ablate",
    title="Mean ablation",
    objective="You can replace a head's output by what it writes on average, position by position, over other prompts.",
    minutes=15,
    difficulty=3,
    importance=4,
    source="Wang et al. (2022), Interpretability in the Wild, section 2 (mean ablation over a reference distribution).",
    hints=[
        "The mean has the shape [s d_head]: one vector for each position of this head.",
        "At each position only the reference prompts that are real there count: sum with the mask, divide by how many.",
        "real = mask[:, :, None]; mean = (reference[:, :, head] * real).sum(0) / real.sum(0)",
    ],
    why="Zero is a value like any other, and later layers may never have seen it. The mean over other prompts keeps what the "
    "head always writes and removes what it writes about this prompt, which is the part whose use is in question. A reference "
    "that holds the prompts themselves would put a share of that back.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 5, 3, 4, generator=generator)
    reference = torch.randn(6, 5, 3, 4, generator=generator) + 1.5
    lengths = torch.tensor([5, 3, 4, 2, 5, 3])[torch.randperm(6, generator=generator)]
    mask = torch.arange(5) < lengths[:, None]
    head = int(torch.randint(0, 3, (), generator=generator))
    return [
        {"z": z, "head": head, "reference": reference, "mask": torch.ones_like(mask)},
        {"z": z.clone(), "head": (head + 1) % 3, "reference": reference.clone(), "mask": mask},
    ]


@ex.call
def _(answer, z, head, reference, mask):
    return as_a_hook(answer, z, head=head, reference=reference, mask=mask)


@ex.oracle
def _(z, head, reference, mask):
    returned, kept = z.clone(), torch.ones_like(z)
    for position in range(z.shape[1]):
        real = [reference[n, position, head] for n in range(len(reference)) if bool(mask[n, position])]
        for row in range(len(z)):
            returned[row, position, head] = sum(real) / len(real)
            kept[row, position, head] = 0
    return untouched(z, returned, kept)


@ex.alternative
def masked_sum(z, hook, head, reference, mask):
    real = mask[:, :, None]
    mean = (reference[:, :, head] * real).sum(0) / real.sum(0)
    z = z.clone()
    z[:, :, head] = mean
    return z


@ex.alternative
def nan_for_padding(z, hook, head, reference, mask):
    mean = reference.masked_fill(~mask[:, :, None, None], float("nan")).nanmean(0)
    here = (torch.arange(z.shape[2]) == head)[:, None]
    return torch.where(here, mean, z)


@ex.mistake(
    "The mean runs over the heads as well: this head now writes what all heads write on average. Take reference[:, :, head] "
    "first."
)
def mean_over_heads(z, hook, head, reference, mask):
    real = mask[:, :, None, None]
    z = z.clone()
    z[:, :, head] = ((reference * real).sum(0) / real.sum(0)).mean(1)
    return z


ex.slip(
    "mean_over_d_head",
    "The mean runs over d_head too, so all coordinates of the head's output are the same number. Coordinates are directions, "
    "not samples.",
    "z[:, :, head] = mean",
    "z[:, :, head] = mean.mean(-1, keepdim=True)",
)
ex.slip(
    "averages_positions",
    "The mean runs over the positions too. What a head writes at position 3 is part of what it always does; keep one mean "
    "for each position.",
    "z[:, :, head] = mean",
    "z[:, :, head] = (reference[:, :, head] * real).sum((0, 1)) / real.sum()",
)
ex.slip(
    "counts_padding",
    "Padding is counted. Where a reference prompt has ended, its z means nothing: use the mask.",
    "real = mask[:, :, None]",
    "real = torch.ones_like(mask)[:, :, None]",
)
ex.slip(
    "divides_by_all_prompts",
    "Padding is left out of the sum but still counted in the division, which pulls the mean towards zero. Divide by the "
    "number of prompts that are real at that position.",
    "/ real.sum(0)",
    "/ len(reference)",
)
ex.slip(
    "mask_upside_down",
    "The mask is used upside down: the mean was taken over the padding. True stands for a real token.",
    "real = mask[:, :, None]",
    "real = ~mask[:, :, None] | mask.all()",
)
ex.slip(
    "sum_for_mean",
    "That is the sum over the reference prompts. Divide by how many are real at the position.",
    " / real.sum(0)",
    "",
)
ex.slip(
    "own_mean",
    "The mean was taken over z, the very prompts that are being ablated. It still holds a share of their answers; take it "
    "over the reference.",
    "mean = (reference[:, :, head] * real).sum(0) / real.sum(0)",
    "mean = z[:, :, head].mean(0)",
)


@ex.mistake(
    "The prompts that are being ablated were put into the reference. A share of each answer comes back that way; average "
    "over the reference alone."
)
def reference_contains_the_answer(z, hook, head, reference, mask):
    every = torch.cat([reference, z.detach()])[:, :, head]
    real = torch.cat([mask, torch.ones(z.shape[:2], dtype=torch.bool)])[:, :, None]
    z = z.clone()
    z[:, :, head] = (every * real).sum(0) / real.sum(0)
    return z


ex.slip(
    "all_heads_replaced",
    "Every head was given this head's mean. Replace z[:, :, head] only.",
    "z[:, :, head] = mean",
    "z[:] = mean[:, None]",
)


@ex.mistake(
    "Every head was replaced by its mean: that is the ablation of the whole layer. Only `head` was asked for."
)
def whole_layer(z, hook, head, reference, mask):
    real = mask[:, :, None, None]
    return z * 0 + (reference * real).sum(0) / real.sum(0)


ex.slip(
    "adds_the_mean",
    "The mean was added to what the head writes. It takes its place.",
    "z[:, :, head] = mean",
    "z[:, :, head] = z[:, :, head] + mean",
)
ex.slip(
    "subtracts_the_mean",
    "The mean was subtracted, which leaves just what should go: the head's message about this prompt. The mean takes the "
    "place of z.",
    "z[:, :, head] = mean",
    "z[:, :, head] = z[:, :, head] - mean",
)
ex.slip(
    "zero_ablation",
    "The head was set to zero. That is zero ablation; here its mean over the reference takes its place.",
    "z[:, :, head] = mean",
    "z[:, :, head] = 0.0",
)
ex.slip(
    "edits_z_in_place",
    "The values are right, but z itself was edited; it may be in somebody's cache. Clone first.",
    "z = z.clone()",
    "z = z",
)
ex.slip(
    "nothing_returned",
    "A copy was edited and not returned, so the model goes on with the old z. Return it.",
    "    return z\n",
    "",
)


# ---- 04.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.5",
    "ablation_scores",
    title="What every head is worth",
    objective="You can measure how much a model's loss depends on each of its heads, one intervention at a time.",
    minutes=20,
    difficulty=3,
    importance=5,
    seeds=2,
    source="Identity: ablating a head's z to zero is setting its W_O to zero (Elhage et al. 2021, 'Attention heads are "
    "independent and additive').",
    hints=[
        "Two loops, layers and heads; in the middle one run with one hook, and that hook gone before the next run.",
        "tokens is BOS and n tokens twice: n = (s - 1) // 2. Column i of the loss per token predicts token i + 1; the second "
        "repeat's tokens are n + 1 to 2n, and of these the first cannot be foreseen. So: columns n + 1 and later.",
        "A function defined in a loop looks up `head` when it runs, not when it was made. Bind it: partial(zero, head=head), "
        "or a default argument.",
    ],
    why="score = loss with the head removed minus loss of the whole model, so a positive number means that the head helps. One head "
    "at a time and a model that is whole again in between: otherwise the last entries are measured on a model in ruins.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    calls = []
    for n_layers, n_heads, n, users_hook in [(2, 3, 4, False), (3, 2, 3, True)]:
        model = tiny_model(generator, n_layers, n_heads)
        half = torch.randint(1, 19, (2, n), generator=generator)
        tokens = torch.cat([torch.zeros(2, 1, dtype=torch.long), half, half], dim=1)
        if users_hook:
            model.add_hook("blocks.0.hook_resid_pre", _halve)
        calls.append({"model": model, "tokens": tokens})
    return calls


def _halve(resid, hook):
    return resid / 2


@ex.call
def _(answer, model, tokens):
    return {"scores": answer(model, tokens), "hooks afterwards": hooks_on(model)}


@ex.oracle
def _(model, tokens):
    hooks, n = hooks_on(model), (tokens.shape[1] - 1) // 2

    def loss():
        log_probs = model(tokens).log_softmax(-1)
        terms = [-log_probs[b, i, tokens[b, i + 1]] for b in range(len(tokens)) for i in range(n + 1, 2 * n)]
        return sum(terms) / len(terms)

    with torch.no_grad():
        whole = loss()
        scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
        for layer, block in enumerate(model.blocks):
            for head in range(model.cfg.n_heads):
                weight = block.attn.W_O[head].clone()
                block.attn.W_O[head] = 0
                scores[layer, head] = loss() - whole
                block.attn.W_O[head] = weight
    return {"scores": scores, "hooks afterwards": hooks}


@ex.alternative
def one_run_per_head(model, tokens):
    n = (tokens.shape[1] - 1) // 2
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    def repeat_loss():
        loss = model(tokens, return_type="loss", loss_per_token=True)
        return loss[:, n + 1 :].mean()

    def zero(z, hook, head):
        z = z.clone()
        z[:, :, head] = 0.0
        return z

    with torch.no_grad():
        clean = repeat_loss()
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                hook = (f"blocks.{layer}.attn.hook_z", partial(zero, head=head))
                with model.hooks(fwd_hooks=[hook]):
                    scores[layer, head] = repeat_loss() - clean
    return scores


@ex.alternative
def through_the_weights(model, tokens):
    n = (tokens.shape[1] - 1) // 2

    @torch.no_grad()
    def second_repeat():
        return model(tokens, return_type="loss", loss_per_token=True)[:, n + 1 :].mean()

    clean, rows = second_repeat(), []
    for block in model.blocks:
        for head in range(model.cfg.n_heads):
            weight = block.attn.W_O.data[head].clone()
            block.attn.W_O.data[head] = 0.0
            rows.append(second_repeat() - clean)
            block.attn.W_O.data[head] = weight
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


@ex.alternative
def with_run_with_hooks(model, tokens):
    n = (tokens.shape[1] - 1) // 2
    per_token = {"return_type": "loss", "loss_per_token": True}
    clean = model(tokens, **per_token)[:, -(n - 1) :].mean()
    scores = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def keep_others(z, hook, head=head):
                return z * (torch.arange(z.shape[2]) != head)[:, None]

            hooks = [(f"blocks.{layer}.attn.hook_z", keep_others)]
            ablated = model.run_with_hooks(tokens, fwd_hooks=hooks, **per_token)[:, -(n - 1) :].mean()
            scores.append((ablated - clean).detach())
    return torch.stack(scores).view(model.cfg.n_layers, -1)


ex.slip(
    "sign",
    "The sign is turned round: a head that helps should have a positive score. Ablated loss minus clean loss.",
    "repeat_loss() - clean",
    "clean - repeat_loss()",
)
ex.slip(
    "baseline_while_hooked",
    "Everything is zero: both runs were the same. Either the clean loss was measured while the hook was on (measure it once, "
    "before any hook), or the hook changes nothing (it edits a copy and does not return it).",
    "repeat_loss() - clean",
    "repeat_loss() - repeat_loss()",
)
ex.slip(
    "no_baseline",
    "These are the losses of the ablated models. Subtract the loss of the whole model, so that 0 means 'makes no difference'.",
    "repeat_loss() - clean",
    "repeat_loss()",
)
ex.slip(
    "ratio",
    "That is the ratio of the losses. The difference was asked for: it is in nats and does not depend on how good the model is.",
    "repeat_loss() - clean",
    "repeat_loss() / clean",
)
ex.slip(
    "absolute_value",
    "The sign is lost. A head whose removal lowers the loss is worth knowing about: do not take the absolute value.",
    "repeat_loss() - clean",
    "(repeat_loss() - clean).abs()",
)


@ex.mistake(
    "In each layer every entry is that of the last head. The function looked up `head` when it ran, and by then the loop was "
    "over. Bind it when you make the function: partial(zero, head=head), or head=head as a default argument."
)
def late_binding(model, tokens):
    n = (tokens.shape[1] - 1) // 2

    def repeat_loss():
        with torch.no_grad():
            return model(tokens, return_type="loss", loss_per_token=True)[:, n + 1 :].mean()

    hooks = {}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hooks[layer, head] = lambda z, hook: z * (torch.arange(z.shape[2]) != head)[:, None]  # noqa: B023
    clean, scores = repeat_loss(), torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for (layer, at), hook in hooks.items():
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", hook)]):
            scores[layer, at] = repeat_loss() - clean
    return scores


ex.slip(
    "hooks_accumulate",
    "The hooks were never removed: each entry is measured with all heads before it gone as well, and the model is still "
    "ablated now. Use run_with_hooks or `with model.hooks(...)`, which take their hooks away again.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores",
    "                model.add_hook(*hook)\n                scores",
)
ex.slip(
    "hooks_accumulate_then_reset",
    "The hooks were removed only at the end: each entry is measured with all heads before it gone as well. Every hook must go "
    "before the next run (and reset_hooks() takes other people's hooks with it).",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores",
    "                model.add_hook(*hook)\n                scores",
    "    return scores\n",
    "    model.reset_hooks()\n    return scores\n",
)
ex.slip(
    "resets_everybodys_hooks",
    "model.reset_hooks() removed a hook that was there before you came. Use run_with_hooks or `with model.hooks(...)`: they "
    "remove exactly what they added.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n"
    "    model.reset_hooks()\n",
)
ex.slip(
    "last_hook_stays",
    "The scores are right, but the last hook is still attached: the model that you hand back lacks a head. Use run_with_hooks "
    "or `with model.hooks(...)`.",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n",
    "                with model.hooks(fwd_hooks=[hook]):\n                    scores[layer, head] = repeat_loss() - clean\n"
    "    model.add_hook(*hook)\n",
)
ex.slip(
    "first_half_included",
    "The loss was averaged over the whole sequence. On the first repeat there is nothing to copy from, so it dilutes what you "
    "want to see: take the second repeat only.",
    "loss[:, n + 1 :].mean()",
    "loss.mean()",
)
ex.slip(
    "unpredictable_token_included",
    "The first token of the second repeat is counted, which nothing foretells: who knows that the repeat begins there? Column i "
    "of the loss predicts token i + 1, so begin at column n + 1.",
    "n + 1 :",
    "n:",
)
ex.slip(
    "one_prediction_too_few",
    "The second token of the second repeat is left out, and it can be copied already. Column i of the loss predicts token i + 1, "
    "so begin at column n + 1.",
    "n + 1 :",
    "n + 2 :",
)
ex.slip(
    "first_half_only",
    "That is the loss on the first repeat. The second one begins at column n + 1.",
    "n + 1 :",
    ": n",
)
ex.slip(
    "whole_layer",
    "All heads of the layer were removed, so a row holds one number several times. Remove z[:, :, head] only.",
    "z[:, :, head] = 0.0",
    "z[:] = 0.0",
)
ex.slip(
    "ablates_a_position",
    "z[:, head] is a position, not a head: the axes are batch, position, head, d_head.",
    "z[:, :, head] = 0.0",
    "z[:, head] = 0.0",
)
ex.slip(
    "transposed",
    "The table is turned: the result is [layer, head].",
    "return scores",
    "return scores.T",
)


# ---- 04.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.6",
    "knock_out_edge",
    title="Knocking out one edge",
    objective="You can forbid one head to look from one position at one other, as if that position were masked.",
    minutes=10,
    difficulty=2,
    importance=3,
    source="Identity: softmax over the remaining keys. Geva et al. (2023), Dissecting Recall of Factual Associations, "
    "section 4 (attention knockout).",
    hints=[
        "scores are seen before the softmax, [batch head query key]. Which value there becomes exactly 0 afterwards, whatever "
        "stands beside it?",
        "Clone, set [:, head, query, key] to -inf, return. The softmax makes the rest of the row sum to one by itself.",
        "If no key is left in that row (torch.isinf(row).all()), raise a ValueError: softmax of nothing is NaN.",
    ],
    why="Before the softmax, the rest of the row shares out what the edge had, exactly as if the token had been masked from the "
    "start. Zeroing the pattern afterwards also weakens the head at that position: two interventions in one, and one cannot "
    "tell which of them had the effect.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    causal = torch.randn(2, 3, 5, 5, generator=generator, dtype=torch.float64)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    query = int(torch.randint(2, 5, (), generator=generator))
    key = int(torch.randint(1, query, (), generator=generator))
    head = int(torch.randint(0, 2, (), generator=generator))
    two_way = 2 * torch.randn(2, 3, 4, 6, generator=generator, dtype=torch.float64)
    edge = {"head": head, "query": query, "key": key}
    return [
        {"scores": causal.masked_fill(future, -torch.inf), **edge},
        {"scores": two_way, "head": 1, "query": 2, "key": 3},
        {"scores": (causal - 1e7).masked_fill(future, -torch.inf), **edge},
        {"scores": causal.masked_fill(future, -torch.inf), "head": head, "query": 0, "key": 0},
    ]


@ex.call
def _(answer, scores, head, query, key):
    return attempt(as_a_hook, answer, scores, head=head, query=query, key=key)


@ex.measure
def _(observed, scores, head, query, key):
    # -inf and the smallest float are both right: the edge itself is judged by what the softmax makes of it.
    returned = observed["returned"]
    if not isinstance(returned, torch.Tensor) or returned.shape != scores.shape:
        return observed
    rest = returned.clone()
    rest[:, head, query, key] = 0.0
    return observed | {"returned": {"pattern": returned.softmax(-1), "all other scores": rest}}


@ex.oracle
def _(scores, head, query, key):
    if query == 0 and key == 0:
        return Raised(ValueError)
    weights = scores.softmax(-1)
    pattern, kept = weights.clone(), torch.ones_like(scores)
    for row in range(len(scores)):
        others = [k for k in range(scores.shape[-1]) if k != key]
        total = sum(weights[row, head, query, k] for k in others)
        for k in others:
            pattern[row, head, query, k] = weights[row, head, query, k] / total
        pattern[row, head, query, key] = 0
        kept[row, head, query, key] = 0
    rest = scores.clone()
    rest[:, head, query, key] = 0.0
    return untouched(scores, {"pattern": pattern, "all other scores": rest}, kept)


@ex.alternative
def cloned_scores(scores, hook, head, query, key):
    scores = scores.clone()
    scores[:, head, query, key] = -torch.inf
    if torch.isinf(scores[:, head, query]).all():
        raise ValueError(f"query {query} would have no key left")
    return scores


@ex.alternative
def through_a_mask(scores, hook, head, query, key):
    mask = torch.zeros(scores.shape[1:], dtype=torch.bool)
    mask[head, query, key] = True
    if scores[0, head, query].isfinite().sum() <= 1:
        raise ValueError("that is the only edge of this query")
    return scores.masked_fill(mask, torch.finfo(scores.dtype).min)


@ex.mistake(
    "You returned a pattern with a zero in it. At hook_attn_scores the softmax is still to come; it would be taken twice. And a "
    "pattern with an entry set to zero no longer sums to one: set the score to -inf, and the softmax shares out the rest."
)
def zeroes_the_pattern(scores, hook, head, query, key):
    if query == 0:
        raise ValueError("no key left")
    pattern = scores.softmax(-1)
    pattern = pattern.clone()
    pattern[:, head, query, key] = 0
    return pattern


ex.slip(
    "score_of_zero",
    "A score of 0 is not 'no attention': the softmax takes exp(0) = 1 as its weight, which may even be more than before. -inf is "
    "what becomes 0.",
    "= -torch.inf",
    "= 0.0",
)
ex.slip(
    "a_number_for_minus_infinity",
    "A large negative number stands where -inf belongs. When the other scores of the row are lower still, the edge comes back, "
    "with nearly all the attention. Use -torch.inf.",
    "= -torch.inf",
    "= -1e5",
)
ex.slip(
    "transposed",
    "Query and key are swapped. The axes are batch, head, query, key: the row that looks comes first.",
    "scores[:, head, query, key] =",
    "scores[:, head, key, query] =",
)
ex.slip(
    "all_heads",
    "The edge was cut in every head of the layer. Only `head` was asked for.",
    "scores[:, head, query, key] =",
    "scores[:, :, query, key] =",
)
ex.slip(
    "batch_for_head",
    "scores[head, ...] is an entry of the batch. The axes are batch, head, query, key.",
    "scores[:, head, query, key] =",
    "scores[head, :, query, key] =",
)
ex.slip(
    "all_queries",
    "The key was hidden from every query. One edge was asked for: this query to this key.",
    "scores[:, head, query, key] =",
    "scores[:, head, query:, key] =",
)
ex.slip(
    "row_of_nothing",
    "Query 0 sees only itself: without that edge its row is all -inf, the softmax is NaN, and the NaN spreads to every later "
    "layer. Raise a ValueError when no key is left.",
    "    if torch.isinf(scores[:, head, query]).all():\n"
    '        raise ValueError(f"query {query} would have no key left")\n',
    "",
)
ex.slip(
    "edits_the_scores_in_place",
    "The result is right, but the scores themselves were edited; they may be in somebody's cache. Clone first.",
    "scores = scores.clone()",
    "scores = scores",
)
ex.slip(
    "nothing_returned",
    "The edited copy was not returned, so the model goes on with the old scores. Return it.",
    "    return scores\n",
    "",
)


# ---- 04.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "04.7",
    "gradient_hook",
    title="The gradient at a hook point",
    objective="You can ask of any activation in the model how the loss would change if it were nudged.",
    minutes=15,
    difficulty=3,
    importance=3,
    seeds=2,
    source="The chain rule: dL/dz = dL/d(attn_out) W_O^T and dL/dpattern[q, k] = dL/dz[q] . v[k].",
    hints=[
        "A backward hook is called fn(gradient, hook=point) while .backward() runs: after the forward pass. It must still be "
        "attached then, so run_with_hooks alone is over too soon.",
        "with model.hooks(bwd_hooks=[(name, save)]): both the forward pass and loss.backward() go inside.",
        ".backward() also fills param.grad of every parameter; model.zero_grad() empties them. torch.autograd.grad(loss, "
        "activation), with the activation caught by a forward hook, avoids that.",
    ],
    why="The gradient has the shape of the activation, batch axis included: one slope for each number. It is a linear forecast of "
    "what an intervention would do, and one backward pass gives it for every activation at once; chapter 06 builds on that.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    calls = []
    names = ["blocks.1.hook_resid_pre", "blocks.0.attn.hook_z", "blocks.0.attn.hook_pattern"]
    for i, name in enumerate(names):
        model = tiny_model(generator, n_layers=2, n_heads=3)
        if i == 2:
            model.add_hook("blocks.0.hook_resid_pre", _halve)
        calls.append(
            {"model": model, "tokens": torch.randint(0, 19, (3, 6), generator=generator), "name": name}
        )
    return calls


@ex.call
def _(answer, model, tokens, name):
    gradient = answer(model, tokens, name)
    with_grad = [name for name, weight in model.named_parameters() if weight.grad is not None]
    return {
        "gradient": gradient,
        "hooks afterwards": hooks_on(model),
        "parameters left with a .grad": len(with_grad),
    }


@ex.oracle
def _(model, tokens, name):
    hooks = hooks_on(model)
    layer = int(name.split(".")[1])
    _, seen = model.run_with_cache(tokens)
    # The slope at the residual stream, from a run that starts there: no hook takes part.
    start = layer if name.endswith("resid_pre") else layer + 1
    resid = seen["resid_pre", start].detach().clone().requires_grad_()
    loss = model(resid, start_at_layer=start, tokens=tokens, return_type="loss")
    (gradient,) = torch.autograd.grad(loss, resid)
    if not name.endswith("resid_pre"):  # z reaches the next residual through W_O alone, the pattern reaches z
        gradient = torch.einsum("bsd,hed->bshe", gradient, model.W_O[layer])
    if name.endswith("pattern"):
        gradient = torch.einsum("bqhe,bkhe->bhqk", gradient, seen["v", layer])
    return {"gradient": gradient, "hooks afterwards": hooks, "parameters left with a .grad": 0}


@ex.alternative
def forward_and_backward_inside(model, tokens, name):
    found = []

    def save(gradient, hook):
        found.append(gradient.detach().clone())

    with model.hooks(bwd_hooks=[(name, save)]):
        loss = model(tokens, return_type="loss")
        loss.backward()
    model.zero_grad()
    return found[0]


@ex.alternative
def through_autograd(model, tokens, name):
    caught = {}

    def catch(activation, hook):
        caught["x"] = activation.view_as(activation)
        return caught["x"]

    loss = model.run_with_hooks(tokens, return_type="loss", fwd_hooks=[(name, catch)])
    return torch.autograd.grad(loss, caught["x"])[0]


@ex.mistake(
    "That is the activation, not its gradient: a forward hook is given what passes through, a backward hook (bwd_hooks) the "
    "gradient."
)
def returns_the_activation(model, tokens, name):
    found = []
    model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: found.append(x.detach().clone()))])
    return found[0]


@ex.mistake(
    "That is gradient times activation, an estimate of what removing it would do. Here the gradient alone is asked for."
)
def times_the_activation(model, tokens, name):
    _, seen = model.run_with_cache(tokens)
    found = []
    with model.hooks(bwd_hooks=[(name, lambda g, hook: found.append(g.detach().clone()))]):
        model(tokens, return_type="loss").backward()
    model.zero_grad()
    return found[0] * seen[name].detach()


ex.slip(
    "sums_the_batch",
    "The batch axis was summed away. Every prompt has a gradient of its own, and they point in different directions.",
    "found.append(gradient.detach().clone())",
    "found.append(gradient.detach().sum(0))",
)
ex.slip(
    "averages_the_batch",
    "The batch axis was averaged away. Every prompt has a gradient of its own, and they point in different directions.",
    "found.append(gradient.detach().clone())",
    "found.append(gradient.detach().mean(0))",
)
ex.slip(
    "hook_left_behind",
    "The backward hook is still attached: it will go on storing in every later backward pass. Put forward and backward into "
    "`with model.hooks(bwd_hooks=...)`.",
    '    with model.hooks(bwd_hooks=[(name, save)]):\n        loss = model(tokens, return_type="loss")\n        loss.backward()\n',
    '    model.add_hook(name, save, dir="bwd")\n    loss = model(tokens, return_type="loss")\n    loss.backward()\n',
)
ex.slip(
    "resets_everybodys_hooks",
    "reset_hooks() removed a hook that was there before you came. `with model.hooks(...)` removes exactly what it added.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.reset_hooks()\n",
)
ex.slip(
    "leaves_parameter_gradients",
    "The gradient is right, but .backward() also left one in every parameter, and the next optimizer step would use it. Call "
    "model.zero_grad(), or use torch.autograd.grad.",
    "    model.zero_grad()\n",
    "",
)
ex.slip(
    "gradient_of_the_logits",
    'That is the gradient of the sum of the logits. The loss was asked for: return_type="loss".',
    'model(tokens, return_type="loss")',
    "model(tokens).sum()",
)
ex.slip(
    "sum_of_losses",
    "That is the gradient of the summed loss: larger by the number of predictions. Take the mean loss, "
    'model(tokens, return_type="loss").',
    'model(tokens, return_type="loss")',
    'model(tokens, return_type="loss", loss_per_token=True).sum()',
)
ex.slip(
    "wrong_sign",
    "The sign is turned round. The gradient points where the loss grows.",
    "return found[0]",
    "return -found[0]",
)


@ex.mistake(
    "No gradient was caught: run_with_hooks had taken the backward hook away before .backward() was called. Put both into "
    "`with model.hooks(bwd_hooks=...)`."
)
def hooks_gone_before_backward(model, tokens, name):
    import warnings

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = model.run_with_hooks(
            tokens, return_type="loss", bwd_hooks=[(name, lambda g, hook: found.append(g))]
        )
    loss.backward()
    model.zero_grad()
    return found[0] if found else None
