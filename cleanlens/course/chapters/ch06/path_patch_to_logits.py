"""Exercise 06.8: Path patching to the logits."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import ONE_OF_EACH, cached, each_head, head_delta, hooks_after_a_failure, path_inputs, record

ex = exercise(
    "06.8",
    "path_patch_to_logits",
    title="Path patching to the logits",
    objective="You can measure what a head tells the logits itself, with nothing passed on through other heads.",
    minutes=30,
    version=2,
    difficulty=4,
    importance=4,
    source="Wang et al. 2022, section 3.1 and the appendix on path patching; Goldowsky-Dill et al. 2023. Identity: with all heads held, "
    "the stream changes by (z_new - z) @ W_O[head], and only MLPs pass it on.",
    seeds=1,
    atol=1e-4,
    hints=[
        "Hook z in every layer with one function: start from cache[hook.name].clone(), which holds all heads at their values.",
        "In the sender's layer then write new_cache's values into the sender's place. In this order: freeze, then send.",
        "freeze_mlps: one more hook per layer, on hook_mlp_out, that returns the cached value.",
    ],
    why="Patching a head changes whatever later heads make of it. Holding those at their own values cuts all the roads through "
    "them: what is left is the head's direct effect (and, unless they are held too, what MLPs make of it).",
)


@ex.inputs
def _(seed):
    given, smallest = path_inputs(seed), path_inputs(seed, **ONE_OF_EACH)
    return [given | {"freeze_mlps": freeze} for freeze in (False, True)] + [smallest | {"freeze_mlps": True}]


@ex.oracle
@torch.no_grad()
def _(model, tokens, other, metric, freeze_mlps):
    cache, new_cache = cached(model, tokens), cached(model, other)

    def run(layer, head):
        resid = cache["resid_pre", 0]
        for number, block in enumerate(model.blocks):
            resid = resid + cache["attn_out", number]
            if number == layer:
                resid = resid + head_delta(model, cache, layer, head, new_cache["z", layer][:, :, head])
            resid = resid + (cache["mlp_out", number] if freeze_mlps else block.mlp(block.ln2(resid)))
        return metric(model.unembed(model.ln_final(resid)))

    return record(model, each_head(model, run), cache, new_cache) | {"hooks left when the metric fails": 0}


@ex.call
def _(answer, model, tokens, other, metric, freeze_mlps):
    cache, new_cache = cached(model, tokens), cached(model, other)
    with torch.no_grad():
        result = answer(model, tokens, cache, new_cache, metric, freeze_mlps)
        seen = record(model, result, cache, new_cache)
        left = hooks_after_a_failure(
            model, lambda fails: answer(model, tokens, cache, new_cache, fails, freeze_mlps)
        )
    return seen | {"hooks left when the metric fails": left}


@ex.alternative
def freeze_then_send(model, tokens, cache, new_cache, metric, freeze_mlps):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def send(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.layer() == layer:
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            hooks = [(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]
            if freeze_mlps:
                for i in range(model.cfg.n_layers):
                    hooks.append((get_act_name("mlp_out", i), lambda x, hook: cache[hook.name]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


@ex.alternative
def in_place_from_the_sender_on(model, tokens, cache, new_cache, metric, freeze_mlps):
    """Layers before the sender need no freezing: nothing has changed there."""
    rows = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def hold(x, hook):
                x[:] = cache[hook.name]

            def send(z, hook, head=head):
                z[:, :, head] = new_cache[hook.name][:, :, head]

            hooks = [(get_act_name("z", layer), send)]
            hooks += [(get_act_name("z", i), hold) for i in range(layer + 1, model.cfg.n_layers)]
            if freeze_mlps:
                hooks += [(get_act_name("mlp_out", i), hold) for i in range(layer, model.cfg.n_layers)]
            rows.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


ex.slip(
    "later_heads_not_frozen",
    "The other heads were not held: later ones see the change and pass it on. That is activation patching (06.6), not path patching. "
    "Hook z in every layer.",
    "for i in range(model.cfg.n_layers)]\n",
    "for i in [layer]]\n",
)


ex.slip(
    "sender_frozen_too",
    "Nothing changes: all heads get this run's values back, the sender too. Freeze first, then write the sender's.",
    "                z = cache[hook.name].clone()\n"
    "                if hook.layer() == layer:\n"
    "                    z[:, :, head] = new_cache[hook.name][:, :, head]\n"
    "                return z",
    "                z[:, :, head] = new_cache[hook.name][:, :, head]\n                return cache[hook.name]",
)


ex.slip(
    "frozen_to_the_other_run",
    "The other heads are held at the other run's values. They belong to `cache`, the run that is patched; only the sender's come from "
    "new_cache.",
    "cache[hook.name].clone()",
    "new_cache[hook.name].clone()",
)


ex.slip(
    "roles_of_the_runs_exchanged",
    "The runs are exchanged: all heads are held at new_cache and the sender at cache.",
    "                z = cache[hook.name].clone()",
    "                z = new_cache[hook.name].clone()",
    "= new_cache[hook.name][:, :, head]",
    "= cache[hook.name][:, :, head]",
)


ex.slip(
    "senders_accumulate",
    "Earlier senders still send: their values were written into the cache itself. Clone what you freeze.",
    "cache[hook.name].clone()",
    "cache[hook.name]",
)


ex.slip(
    "mlps_always_run",
    "freeze_mlps has no effect: the MLPs always pass the change on.",
    "if freeze_mlps:",
    "if False:",
)


ex.slip(
    "mlps_always_frozen",
    "The MLPs are held although freeze_mlps is False. Say which of the two you measure: with MLPs running, as Wang et al. do, the "
    "path to the logits goes through them too.",
    "if freeze_mlps:",
    "if True:",
)


ex.slip(
    "freeze_mlps_reversed",
    "freeze_mlps is turned around: MLPs are held when it is False.",
    "if freeze_mlps:",
    "if not freeze_mlps:",
)


ex.slip(
    "mlp_of_the_senders_layer_runs",
    "With freeze_mlps, the MLP of the sender's own layer was left running. It comes behind the heads of its layer: hold it too.",
    "lambda x, hook: cache[hook.name]",
    "lambda x, hook, layer=layer: None if hook.layer() == layer else cache[hook.name]",
)


ex.slip(
    "whole_layer_sends",
    "All heads of the sender's layer send. One head: [:, :, head].",
    "z[:, :, head] = new_cache[hook.name][:, :, head]",
    "z = new_cache[hook.name].clone()",
)


ex.slip(
    "senders_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


ex.slip(
    "only_the_senders_mlp_frozen",
    "With freeze_mlps, the MLP of the sender's layer was held and later ones were left running, which pass the change on. Hold all of them.",
    "                for i in range(model.cfg.n_layers):\n",
    "                for i in [layer]:\n",
)


ex.slip(
    "mlps_held_at_the_other_run",
    "With freeze_mlps, the MLPs were held at the other run's outputs. They belong to `cache`, as the heads that do not send do.",
    "lambda x, hook: cache[hook.name]",
    "lambda x, hook: new_cache[hook.name]",
)


ex.slip(
    "last_position_only",
    "The sender sends at the last position only. Its z is [batch, position, head, d_head]; put it in at all positions: [:, :, head]. A metric may "
    "read any of them.",
    "z[:, :, head] = new_cache[hook.name][:, :, head]",
    "z[:, -1, head] = new_cache[hook.name][:, -1, head]",
)


ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)

ex.equivalent(
    "The hook has done its work before the loop goes on.",
    "def send(z, hook, layer=layer, head=head): => def send(z, hook, head=head):",
    "layer, head=head) => layer)",
    "hook, head=head) => hook)",
)
