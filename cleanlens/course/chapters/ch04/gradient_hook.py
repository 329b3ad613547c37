"""Exercise 04.7: The gradient at a hook point."""

import torch

from ...exercise import exercise
from .helpers import _halve, state_of, tiny_model

ex = exercise(
    "04.7",
    "gradient_hook",
    title="The gradient at a hook point",
    objective="You can ask of any activation in the model how the loss would change if it were nudged.",
    minutes=15,
    difficulty=3,
    importance=3,
    seeds=2,
    version=4,
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
    names = [
        "blocks.1.hook_resid_pre",
        "blocks.0.attn.hook_z",
        "blocks.0.attn.hook_pattern",
        "blocks.0.attn.hook_z",
    ]
    for i, name in enumerate(names):
        model = tiny_model(generator, n_layers=2, n_heads=3)
        if i == 2:
            model.add_hook("blocks.0.hook_resid_pre", _halve)
        if i == 1:  # partly frozen, as when only the blocks are trained
            for part in (model.embed, model.unembed):
                part.requires_grad_(False)
        shape = (1, 2) if i == 3 else (3, 6)
        calls.append(
            {"model": model, "tokens": torch.randint(0, 19, shape, generator=generator), "name": name}
        )
    return calls


@ex.call
def _(answer, model, tokens, name):
    return {"gradient": answer(model, tokens, name)} | state_of(model)


@ex.oracle
def _(model, tokens, name):
    state = state_of(model)
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
    return {"gradient": gradient} | state


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
    "A hook is still attached: a backward hook goes on storing in every later backward pass. Put forward and backward into "
    "`with model.hooks(bwd_hooks=...)`.",
    '    with model.hooks(bwd_hooks=[(name, save)]):\n        loss = model(tokens, return_type="loss")\n        loss.backward()\n',
    '    model.add_hook(name, save, dir="bwd")\n    loss = model(tokens, return_type="loss")\n    loss.backward()\n',
)


ex.slip(
    "resets_everybodys_hooks",
    "A hook that was there before is gone, as reset_hooks() takes them all. `with model.hooks(...)` removes exactly what it added.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.reset_hooks()\n",
)


ex.slip(
    "leaves_parameter_gradients",
    "The gradient is right, but every parameter is left with a .grad, from .backward() or as zeros: the next optimizer step would use "
    "it. model.zero_grad() sets them to None (with set_to_none=False to zeros); torch.autograd.grad leaves none.",
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
    "No gradient came back, as when run_with_hooks has taken the backward hook away before .backward() is called. Put both into "
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


ex.slip(
    "axes_of_size_one_lost",
    "With one prompt its axis is missing: a squeeze() without an axis drops every axis of size 1.",
    "return found[0]",
    "return found[0].squeeze()",
)


ex.slip(
    "parameters_left_frozen",
    "The gradient is right, but the model's parameters do not require gradients any more: it could not be trained now. Leave "
    "requires_grad as it was.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.requires_grad_(False)\n",
)


ex.slip(
    "frozen_parameters_thawed",
    "The gradient is right, but parameters that were frozen require gradients now: the next step of training would move them. Leave "
    "requires_grad as it was; the activation's own gradient does not need it.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.requires_grad_(True)\n",
)


ex.slip(
    "left_in_eval_mode",
    "The gradient is right, but the model is in eval mode now and was in training mode before. Leave the mode as it was.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.eval()\n",
)


ex.slip(
    "left_in_training_mode",
    "The gradient is right, but the model is in training mode now and was in eval mode before. Leave the mode as it was.",
    "    model.zero_grad()\n",
    "    model.zero_grad()\n    model.train()\n",
)


ex.slip(
    "not_shifted",
    "That is the gradient of a loss that compares column i with token i; it predicts token i + 1. The model's own loss is right: "
    'return_type="loss".',
    'loss = model(tokens, return_type="loss")',
    "loss = -model(tokens).log_softmax(-1).gather(-1, tokens[..., None]).mean()",
)


ex.equivalent(
    "A backward pass without create_graph hands on gradients that carry no graph, and this one is nobody else's afterwards.",
    "detach().clone()) => detach())",
    ".detach().clone => .clone",
)

ex.equivalent(
    "There is one gradient: the first is the last.",
    "return found[0] => return found[-1]",
    "caught['x'])[0] => caught['x'])[-1]",
)

ex.equivalent(
    "Each run puts its own activation in the place of the last one's.",
    "caught = {} => caught = globals().setdefault('_kept_caught', {})",
)

ex.equivalent(
    "What the hook is given and returns is what the rest of the model reads, so its gradient is the same.",
    ".view_as(activation) => ",
)
