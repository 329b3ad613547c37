"""Exercise 06.11: Attribution patching."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import (
    cached,
    each_head,
    head_delta,
    hooks_after_a_failure,
    hooks_on,
    two_runs,
    with_changed_mid,
)

ex = exercise(
    "06.11",
    "attribution_patching",
    title="Attribution patching",
    objective="You can estimate all head patches at once, from two forward passes and one backward pass.",
    minutes=25,
    version=4,
    difficulty=4,
    importance=4,
    source="The first-order Taylor expansion of the metric at the corrupted run; Nanda 2023, Attribution patching; Syed et al. 2023, section 2. "
    "Checked with central differences in double precision.",
    atol=1e-4,
    hints=[
        "The estimate for one head: the sum over batch, positions and d_head of (z_clean - z_corrupted) * d metric / d z, with the "
        "gradient at the corrupted run.",
        "Clean run: run_with_cache under torch.no_grad(). Corrupted run: a hook that keeps each z; then torch.autograd.grad(metric, list of z).",
        "Gradients may be switched off around the call: wrap the corrupted run in `with torch.enable_grad():`.",
    ],
    may_leave_gradients=True,
    why="f(z + d) is about f(z) + d . f'(z). The gradient with respect to every head comes from one backward pass, so the cost does not "
    "grow with the number of heads; the price is that softmax and LayerNorm bend, and the estimate follows the tangent.",
)


@ex.inputs
def _(seed):
    names = ("model", "clean_tokens", "corrupted_tokens", "metric")
    deep = two_runs(seed, batch=1, n_pos=1, n_layers=11, n_heads=1)
    for part in (deep[0].embed, deep[0].pos_embed, deep[0].unembed):
        part.requires_grad_(False)  # partly frozen, and still so afterwards
    return [dict(zip(names, made)) for made in (two_runs(seed), deep)]


@ex.oracle
@torch.no_grad()
def _(model, clean_tokens, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean_tokens), cached(model, corrupted_tokens)
    model.double()
    step = 1e-4

    def run(layer, head):
        delta = head_delta(model, corrupted, layer, head, cache["z", layer][:, :, head])
        up, down = (
            with_changed_mid(model, corrupted, layer, sign * step * delta, metric) for sign in (1, -1)
        )
        return (up - down) / (2 * step)

    for kept in (cache, corrupted):
        kept.cache_dict.update({name: value.double() for name, value in kept.items()})
    result = each_head(model, run).float()
    model.float()
    return {
        "result": result,
        "with gradients switched on": result,
        "hooks left on the model": 0,
        "hooks left when the metric fails": 0,
        "still in a graph": False,
    }


@ex.call
def _(answer, model, clean_tokens, corrupted_tokens, metric):
    results = []
    for switched_on in (False, True):  # off as in the notebook
        with torch.set_grad_enabled(switched_on):
            results.append(answer(model, clean_tokens, corrupted_tokens, metric))
    result, again = results
    hooks = hooks_on(model)
    left = hooks_after_a_failure(model, lambda fails: answer(model, clean_tokens, corrupted_tokens, fails))
    graph = isinstance(again, torch.Tensor) and again.requires_grad
    return {
        "result": result,
        "with gradients switched on": again,
        "hooks left on the model": hooks,
        "hooks left when the metric fails": left,
        "still in a graph": graph,
    }


@ex.alternative
def gradient_times_difference(model, clean_tokens, corrupted_tokens, metric):
    names = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens, names_filter=names)
    kept = {}

    def keep(z, hook):
        kept[hook.name] = z

    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, keep) for name in names]))
        gradients = torch.autograd.grad(value, [kept[name] for name in names])
    rows = []
    for name, gradient in zip(names, gradients):
        difference = clean[name] - kept[name].detach()
        rows.append((difference * gradient).sum(dim=(0, 1, 3)))
    return torch.stack(rows)


@ex.alternative
def dials_at_zero(model, clean_tokens, corrupted_tokens, metric):
    """One dial per head, 0 corrupted and 1 clean; the derivative with respect to the dials at 0."""
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
        _, corrupted = model.run_with_cache(corrupted_tokens)
    with torch.enable_grad():
        dials = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, requires_grad=True)

        def turn(z, hook):
            return z + dials[hook.layer()][:, None] * (clean[hook.name] - corrupted[hook.name])

        hooks = [(get_act_name("z", layer), turn) for layer in range(model.cfg.n_layers)]
        metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)).backward()
    return dials.grad


ex.slip(
    "frozen_parameters_thawed",
    "The numbers are right, but parameters that were frozen require gradients now: the next step of training would move them. Leave "
    "requires_grad as it was.",
    "    kept = {}\n",
    "    kept = {}\n    model.requires_grad_(True)\n",
)


ex.slip(
    "gradient_at_the_clean_run",
    "The gradient was taken at the clean run. The estimate starts where the patch starts: at the corrupted run.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach() - corrupted[name]",
    "_, clean = model.run_with_cache(clean_tokens, names_filter=names)",
    "_, corrupted = model.run_with_cache(corrupted_tokens, names_filter=names)",
    "metric(model.run_with_hooks(corrupted_tokens,",
    "metric(model.run_with_hooks(clean_tokens,",
)


ex.slip(
    "estimate_sign",
    "The sign is turned around: clean minus corrupted, because the patch goes from the corrupted value to the clean one.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach() - clean[name]",
)


ex.slip(
    "gradient_times_activation",
    "The gradient was multiplied with the clean activation, not with the difference. That estimates something else: adding the clean "
    "value on top.",
    "clean[name] - kept[name].detach()",
    "clean[name]",
)


ex.slip(
    "gradient_times_corrupted",
    "The gradient was multiplied with the corrupted activation alone. Multiply with clean - corrupted.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach()",
)


ex.slip(
    "averaged_twice",
    "The batch was averaged once more. The metric's gradient already carries the 1/batch of its mean: sum over the batch.",
    ".sum(dim=(0, 1, 3))",
    ".sum(dim=(1, 3)).mean(0)",
)


ex.slip(
    "gradient_of_a_sum",
    "The metric was multiplied by the batch: the gradient of a sum over prompts, not of their mean. Differentiate the metric as it is.",
    "torch.autograd.grad(value,",
    "torch.autograd.grad(value * len(clean_tokens),",
)


ex.slip(
    "only_the_last_position",
    "Only the last position was summed. A head is patched at all positions.",
    "(difference * gradient).sum(dim=(0, 1, 3))",
    "(difference * gradient)[:, -1].sum(dim=(0, 2))",
)


ex.slip(
    "positions_averaged_out",
    "The positions were averaged. All of them are patched together, so their effects add up.",
    ".sum(dim=(0, 1, 3))",
    ".sum(dim=(0, 3)).mean(0)",
)


ex.slip(
    "absolute_values",
    "Absolute values were added up. Effects of both signs cancel in the patch: keep the signs.",
    "(difference * gradient).sum",
    "(difference * gradient).abs().sum",
)


ex.slip(
    "keeps_the_graph",
    "The numbers are right, but the result still hangs on a graph: some run's activations were not detached. A whole run's "
    "memory stays alive with it.",
    "- kept[name].detach()",
    "- kept[name]",
)


@ex.mistake(
    "The clean run was left in the graph and z was replaced by clean + (z - clean), or the like: the gradient runs through the clean run "
    "too. Run it under torch.no_grad(); it only supplies numbers."
)
def graph_through_the_clean_run(model, clean_tokens, corrupted_tokens, metric):
    names = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]

    def run(tokens):
        kept = {}

        def keep(z, hook):
            kept[hook.name] = z

        value = metric(model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names]))
        return value, [kept[name] for name in names]

    with torch.enable_grad():
        (clean_value, clean), (value, corrupted) = run(clean_tokens), run(corrupted_tokens)
        gradients = torch.autograd.grad(value - clean_value, [*clean, *corrupted])
    rows = []
    for i in range(len(names)):
        gradient = gradients[i] + gradients[i + len(names)]
        rows.append(((clean[i] - corrupted[i]).detach() * gradient).sum(dim=(0, 1, 3)))
    return torch.stack(rows)


@ex.mistake(
    "That is the exact change by patching, one run per head. Right, but not what is asked: estimate it from one gradient; the two "
    "differ wherever the model bends."
)
def exact_patching(model, clean_tokens, corrupted_tokens, metric):
    _, clean = model.run_with_cache(clean_tokens)
    base, rows = metric(model(corrupted_tokens)), []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(z, hook, head=head):
                z[:, :, head] = clean[hook.name][:, :, head]
                return z

            hooks = [(get_act_name("z", layer), patch)]
            rows.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)) - base)
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


ex.slip(
    "estimates_transposed",
    "The result is [head, layer]. Layers are rows.",
    "return torch.stack(rows)",
    "return torch.stack(rows).mT",
)


ex.slip(
    "cut_at_every_layer",
    "The gradient does not come through later heads: each z was cut off from what stands before it. A patched head also changes what later heads "
    "make of it, so the graph must be whole: keep z itself, without .detach().",
    "        kept[hook.name] = z\n",
    "        kept[hook.name] = z.detach().requires_grad_()\n        return kept[hook.name]\n",
)


ex.slip(
    "heads_and_positions_exchanged",
    "The sum runs over the heads and leaves the positions. z is [batch, position, head, d_head]: sum over axes 0, 1 and 3.",
    ".sum(dim=(0, 1, 3))",
    ".sum(dim=(0, 2, 3))",
)


ex.slip(
    "summed_before_multiplied",
    "Differences and gradients were summed over prompts and positions before they were multiplied. Each place has its own gradient: multiply "
    "first, sum last.",
    "(difference * gradient).sum(dim=(0, 1, 3))",
    "(difference.sum(dim=(0, 1)) * gradient.sum(dim=(0, 1))).sum(-1)",
)


ex.slip(
    "hooks_stay_on_the_model",
    "Hooks stay on the model, and the next run goes through them. Use run_with_hooks, which removes what it adds.",
    "value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, keep) for name in names]))",
    "for name in names:\n            model.add_hook(name, keep)\n        value = metric(model(corrupted_tokens))",
)


ex.slip(
    "hooks_stay_when_the_metric_fails",
    "The numbers are right, but when the metric raises an exception the hooks stay on the model. Take them off in a `finally`; run_with_hooks and "
    "`with model.hooks(...)` do.",
    "value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, keep) for name in names]))",
    "for name in names:\n            model.add_hook(name, keep)\n        value = metric(model(corrupted_tokens))\n        model.reset_hooks()",
)


ex.slip(
    "gradients_stay_switched_off",
    "Where gradients are switched off (torch.no_grad() around the call, as in the notebook) there is no graph to differentiate. Run the corrupted "
    "tokens under torch.enable_grad().",
    "    with torch.enable_grad():",
    "    if True:",
)


ex.equivalent(
    "A cache holds activations cut off from their graph, so gradients switched on while it is filled cost time only.",
    "with torch.no_grad(): _, clean = model.run_with_cache(clean_tokens, names_filter=names) => _, clean = model.run_with_cache(clean_tokens, names_filter=names)",
    "with torch.no_grad(): _, clean = model.run_with_cache(clean_tokens) _, corrupted = model.run_with_cache(corrupted_tokens) => _, clean = model.run_with_cache(clean_tokens) _, corrupted = model.run_with_cache(corrupted_tokens)",
)


ex.equivalent(
    "To keep more activations than are needed changes none of them.",
    ", names_filter=names => ",
)


ex.equivalent(
    "Every run writes anew all entries that are read.",
    "kept = {} => kept = globals().setdefault('_kept_kept', {})",
)


ex.equivalent(
    "Nobody else holds this z, and no gradient needs what it was.",
    "return z + dials[hook.layer()][:, None] * (clean[hook.name] - corrupted[hook.name]) => z += dials[hook.layer()][:, None] * (clean[hook.name] - corrupted[hook.name]) return z",
)
