"""Exercise 04.1: A hook point, and a run with hooks."""

from functools import partial

import torch
from torch import nn

from ...exercise import exercise
from ...plain import Raised, attempt, raised
from .helpers import HookPoint


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


ex = exercise(
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
    version=3,
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
    forward = [
        "forward: three hooks",
        "forward: a hook that returns None",
        "forward: no hooks",
        "forward: twelve hooks",
    ]
    adding = [
        "add_hook: order",
        "add_hook: remove one",
        "add_hook: numbers are not used twice",
        "add_hook: one function twice",
    ]
    running = [
        "run_with_hooks: blocks.1",
        "run_with_hooks: two hooks in one place",
        "run_with_hooks: a hook that raises",
        "run_with_hooks: an unknown name",
        "run_with_hooks: beside a hook of the user",
        "run_with_hooks: beside the same function, attached by the user",
        "run_with_hooks: a hook that attaches a hook",
        "run_with_hooks: interrupted",
    ]
    calls = [{"what": what, "x": x.clone(), "weights": weights} for what in forward + adding]
    calls.append({"what": "forward: one number, zero", "x": torch.zeros(1), "weights": weights})
    calls += [{"what": what, "x": tokens.clone(), "weights": weights} for what in running]
    return [*calls, {"what": "run_with_hooks: no hooks", "x": tokens[:1, :1].clone(), "weights": weights}]


# The hooks of the checks. `log` receives what a hook was told of its place.
def _double(x, *, hook, log):
    log.append(["double", getattr(hook, "name", "no name")])
    return x * 2


def _plus_one(x, *, hook, log):
    log.append(["plus one", getattr(hook, "name", "no name")])
    return x + 1


def _square(x, *, hook, log):
    log.append(["square", getattr(hook, "name", "no name")])
    return x * x


def _minus_itself(x, *, hook, log):
    log.append(["minus itself", getattr(hook, "name", "no name")])
    return x - x


def _look(x, *, hook, log):
    log.append(["look", getattr(hook, "name", "no name"), float(x.detach().sum())])


def _fail(x, *, hook, log):
    log.append(["fail", getattr(hook, "name", "no name")])
    raise RuntimeError("the hook failed")


def _stop(x, *, hook, log):
    log.append(["stop", getattr(hook, "name", "no name")])
    raise KeyboardInterrupt


def _attach(x, *, hook, log):
    """The hook that attaches another, further on; the call step attaches the other one."""
    log.append(["attach", getattr(hook, "name", "no name")])


TWELVE = [
    _double,
    _plus_one,
    _square,
    _plus_one,
    _double,
    _look,
    _plus_one,
    _double,
    _plus_one,
    _double,
    _plus_one,
    _look,
]


SCENARIOS = {
    "run_with_hooks: blocks.1": [("blocks.1", _double)],
    "run_with_hooks: two hooks in one place": [
        ("blocks.4", _plus_one),
        ("blocks.7", _look),
        ("blocks.4", _square),
        ("inner.blocks.2", _double),
    ],
    "run_with_hooks: a hook that raises": [("blocks.0", _double), ("blocks.5", _fail)],
    "run_with_hooks: an unknown name": [("blocks.2", _double), ("blocks.99", _plus_one)],
    "run_with_hooks: beside a hook of the user": [("blocks.3", _double), ("blocks.8", _plus_one)],
    "run_with_hooks: beside the same function, attached by the user": [("blocks.3", _plus_one)],
    "run_with_hooks: a hook that attaches a hook": [("blocks.0", _attach), ("blocks.5", _plus_one)],
    "run_with_hooks: interrupted": [("blocks.0", _double), ("blocks.5", _stop)],
    "run_with_hooks: no hooks": [],
}


def _attempt(function, *args):
    """As `attempt`, also of a run that is interrupted."""
    try:
        return attempt(function, *args)
    except KeyboardInterrupt as error:
        return raised(error)


@ex.call
def _(answer, what, x, weights):
    log = []
    double, plus_one, square, look = (partial(f, log=log) for f in (_double, _plus_one, _square, _look))
    part, _, scenario = what.partition(": ")
    if part == "run_with_hooks":
        model = Tower(answer.HookPoint, weights)
        ours = {f: partial(f, log=log) for f in (_double, _plus_one, _square, _look, _fail, _stop, _attach)}
        if scenario == "beside a hook of the user":
            model.blocks[3].add_hook(square)
            model.blocks[9].add_hook(plus_one)
        if scenario == "beside the same function, attached by the user":
            model.blocks[3].add_hook(ours[_plus_one])
        if scenario == "a hook that attaches a hook":

            def attach(x, *, hook):
                _attach(x, hook=hook, log=log)
                model.blocks[5].add_hook(double)

            ours[_attach] = attach
        hooks = [(name, ours[f]) for name, f in SCENARIOS[what]]
        first = _attempt(answer.run_with_hooks, model, x, hooks)
        return {"returned": first, "a plain run afterwards": _attempt(model, x), "hooks called": log}
    point = answer.HookPoint("here")
    if part == "forward":
        hooks = {"three hooks": [double, plus_one, square], "no hooks": []}.get(
            scenario, [look, double, look]
        )
        if scenario == "twelve hooks":
            hooks = [partial(f, log=log) for f in TWELVE]
        if scenario == "one number, zero":
            hooks = [plus_one, partial(_minus_itself, log=log)]
        point.hooks = dict(enumerate(hooks))  # does not need the learner's add_hook
        leaf = x.clone().requires_grad_()
        returned = point.forward(leaf * 1)
        through = isinstance(returned, torch.Tensor) and returned.requires_grad
        return {"returned": returned, "hooks called": log, "gradients pass through": through}
    numbers = [point.add_hook(f) for f in (double, plus_one, square)]
    if scenario == "one function twice":
        numbers.append(point.add_hook(double))
        point.remove_hook(numbers[0])
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
        total, log = float(x.sum()), []
        if scenario == "twelve hooks":
            for edit in TWELVE:
                new = edit(x, hook=LibraryNamed("here"), log=log)
                x = x if new is None else new
            return {"returned": x, "hooks called": log, "gradients pass through": True}
        found = {
            "three hooks": {
                "returned": (x * 2 + 1) ** 2,
                "hooks called": [["double", "here"], ["plus one", "here"], ["square", "here"]],
            },
            "no hooks": {"returned": x, "hooks called": []},
            "a hook that returns None": {
                "returned": x * 2,
                "hooks called": [["look", "here", total], ["double", "here"], ["look", "here", 2 * total]],
            },
            "one number, zero": {
                "returned": x * 0,
                "hooks called": [["plus one", "here"], ["minus itself", "here"]],
            },
        }[scenario]
        return found | {"gradients pass through": True}
    if part == "add_hook":
        result, names = {
            "order": ((x * 2 + 1) ** 2, ["double", "plus one", "square"]),
            "remove one": ((x * 2) ** 2, ["double", "square"]),
            "one function twice": ((x + 1) ** 2 * 2, ["plus one", "square", "double"]),
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
                    new = edit(y, hook=LibraryNamed(name), log=log)
                    y = y if new is None else new
        return y

    log: list = []
    own = []
    if scenario == "beside a hook of the user":
        own = [("blocks.3", _square), ("blocks.9", _plus_one)]
    if scenario == "beside the same function, attached by the user":
        own = [("blocks.3", _plus_one)]
    if scenario == "a hook that raises":
        first = Raised(RuntimeError, mentions=["the hook failed"])
        log += [["double", "blocks.0"], ["fail", "blocks.5"]]
    elif scenario == "an unknown name":
        first = Raised(KeyError, mentions=["blocks.99"])
    elif scenario == "interrupted":
        first = Raised(KeyboardInterrupt)
        log += [["double", "blocks.0"], ["stop", "blocks.5"]]
    elif scenario == "a hook that attaches a hook":
        own = [("blocks.5", _double)]
        first = tower(SCENARIOS[what] + own, log)
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
    "It fails, or goes wrong, as when a whole tensor is asked whether it is true (`if result:`, `result or x`), which has no "
    "answer; and a tensor with the single number 0 would count as 'nothing returned'. Ask `result is not None`.",
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
    "These are the numbers one gets from how many hooks there are now. After one is removed the next gets a number that is still in "
    "use, and takes that hook's place without a word. Count how many were ever attached.",
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
    "The hooks stay attached when the run raises: the model is changed from then on, and the next experiment measures "
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
    "At the points that were used, every hook was removed, also one that was there before. Remove what you attached, by "
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


ex.slip(
    "cuts_the_graph",
    "The values are right, but no gradient passes this point any more, as after .detach() or under no_grad(). With no hooks the point "
    "must do nothing at all, for the backward pass too.",
    "    return x\n",
    "    return x.detach()\n",
    of="HookPoint.forward",
)


ex.slip(
    "number_as_text",
    "From ten hooks on the order is wrong: as texts, '10' comes before '2'. Keep the order in which they were attached.",
    "list(self.hooks.values())",
    "[self.hooks[number] for number in sorted(self.hooks, key=str)]",
    of="HookPoint.forward",
)


ex.slip(
    "hook_passed_by_position",
    "A hook is called with the point by keyword, hook(x, hook=self): its second parameter may stand elsewhere, and here passing it by "
    "position fails.",
    "hook(x, hook=self)",
    "hook(x, self)",
    of="HookPoint.forward",
)


@ex.mistake(
    "One function attached twice got the same number twice, as id(hook) gives it: removing one then removes both, or the second takes "
    "the first one's place. Count how many were ever attached.",
    of="HookPoint.add_hook",
)
def number_of_the_function(self, hook):
    self.hooks[id(hook)] = hook
    return id(hook)


ex.slip(
    "newest_first",
    "The new hook was put in front of those already there. Attach it behind them.",
    "    self.hooks[number] = hook\n",
    "    self.hooks = {number: hook, **self.hooks}\n",
    of="HookPoint.add_hook",
)


ex.slip(
    "returns_another_number",
    "The number that is returned is not the one under which the hook is stored, so remove_hook removes another one, or none.",
    "    return number\n",
    "    return number + 1\n",
    of="HookPoint.add_hook",
)


@ex.mistake(
    "A hook of the user's is gone after the run: it is the same function as one of yours, and every attachment of that function was "
    "removed. Remove by the number that add_hook returned.",
    of="run_with_hooks",
)
def removes_by_function(model, tokens, hooks):
    points = dict(model.named_modules())
    for name, _ in hooks:
        points[name]
    try:
        for name, hook in hooks:
            points[name].add_hook(hook)
        return model(tokens)
    finally:
        for name, hook in hooks:
            for number in [n for n, f in points[name].hooks.items() if f is hook]:
                points[name].remove_hook(number)


@ex.mistake(
    "A hook that somebody attached during the run is gone afterwards, as when the points' hooks are put back as they were before it. "
    "Remove exactly what you attached, by its number.",
    of="run_with_hooks",
)
def restores_a_snapshot(model, tokens, hooks):
    points = dict(model.named_modules())
    before = [(points[name], dict(points[name].hooks)) for name, _ in hooks]
    try:
        for name, hook in hooks:
            points[name].add_hook(hook)
        return model(tokens)
    finally:
        for point, old in before:
            point.hooks = old


ex.slip(
    "only_the_last_is_removed",
    "Of several hooks only the last one was removed.",
    "        for point, number in attached:\n",
    "        for point, number in attached[-1:]:\n",
    of="run_with_hooks",
)


@ex.mistake(
    "After Ctrl-C the hooks are still attached: `except Exception` does not catch a KeyboardInterrupt. `finally:` runs whatever happens.",
    of="run_with_hooks",
)
def stays_after_an_interrupt(model, tokens, hooks):
    points = dict(model.named_modules())
    attached = []
    try:
        for name, hook in hooks:
            attached.append((points[name], points[name].add_hook(hook)))
        output = model(tokens)
    except Exception:
        for point, number in attached:
            point.remove_hook(number)
        raise
    for point, number in attached:
        point.remove_hook(number)
    return output


@ex.mistake(
    "For a name that is no module's an AttributeError was raised, as get_submodule does. A KeyError was asked for, as a dictionary of the "
    "modules raises it.",
    of="run_with_hooks",
)
def attribute_error(model, tokens, hooks):
    attached = []
    try:
        for name, hook in hooks:
            point = model.get_submodule(name)
            attached.append((point, point.add_hook(hook)))
        return model(tokens)
    finally:
        for point, number in attached:
            point.remove_hook(number)


ex.equivalent(
    "The stub leaves open what happens when a hook attaches or removes another at its own point while that point is running.",
    "list(self.hooks.values() => self.hooks.values(",
)

ex.equivalent(
    "A dict keeps the order in which its entries came, and numbers are given out in ascending order.",
    "sorted(self.hooks) => self.hooks",
)

ex.equivalent(
    "Any numbers will do, as long as no two are the same: they may go up by two, or down.",
    "= number + 1 => = number - 1",
    "= number + 1 => = number + 2",
    "attached += => attached -=",
    "attached += 1 => attached += 2",
)

ex.equivalent(
    "What earlier runs attached is gone already, and no number is given twice: to remove it once more does nothing.",
    "attached = [] => attached = globals().setdefault('_kept_attached', [])",
)

ex.equivalent(
    "The first of a model's modules is the model itself, and it is no hook point.",
    "model.modules() => list(model.modules())[1:]",
)
