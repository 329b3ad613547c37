"""Exercise 06.6: Patching heads."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import cached, each_head, head_delta, patching_call, record, resid_inputs, with_changed_mid

ex = exercise(
    "06.6",
    "patch_heads",
    title="Patching heads",
    objective="You can find which heads carry the information.",
    minutes=15,
    version=2,
    difficulty=3,
    importance=5,
    source="Identity: attn_out = sum over heads of z @ W_O + b_O, so a head's patch adds (z_clean - z) @ W_O[head] to the stream.",
    atol=1e-4,
    hints=[
        "The activation is z, [batch, position, head, d_head]: what a head has gathered, before W_O mixes the heads.",
        "z[:, :, head] = clean_cache[hook.name][:, :, head], at all positions at once.",
    ],
    why="hook_z is the last place where heads are apart. Behind W_O their outputs are added up, and a patch there is a patch of the whole "
    "layer.",
)


ex.inputs(resid_inputs)


ex.call(patching_call)


@ex.oracle
@torch.no_grad()
def _(model, clean, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean), cached(model, corrupted_tokens)

    def run(layer, head):
        delta = head_delta(model, corrupted, layer, head, cache["z", layer][:, :, head])
        return with_changed_mid(model, corrupted, layer, delta, metric)

    return record(model, each_head(model, run), cache) | {"hooks left when the metric fails": 0}


@ex.alternative
def one_head_a_run(model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(z, hook, head=head):
                z[:, :, head] = clean_cache[hook.name][:, :, head]
                return z

            name = get_act_name("z", layer)
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def chosen_by_a_mask(model, corrupted_tokens, clean_cache, metric):
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            mask = torch.nn.functional.one_hot(torch.tensor(head), model.cfg.n_heads).bool()[:, None]
            hook = lambda z, hook, mask=mask: torch.where(mask, clean_cache[hook.name], z)  # noqa: E731
            row.append(
                metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(get_act_name("z", layer), hook)]))
            )
        rows.append(torch.stack(row))
    return torch.stack(rows)


ex.slip(
    "whole_layer",
    "All heads of the layer were patched together, so every head of a layer gets the same number. Patch one: z[:, :, head].",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:] = clean_cache[hook.name]",
)


ex.slip(
    "head_as_position",
    "z[:, head] is a position: z is [batch, position, head, d_head]. The head is the third axis, z[:, :, head].",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:, head] = clean_cache[hook.name][:, head]",
)


ex.slip(
    "attention_output",
    "The coordinate number `head` of attn_out was patched. Behind W_O the heads are added up and its last axis is d_model: use z.",
    'get_act_name("z", layer)',
    'get_act_name("attn_out", layer)',
)


ex.slip(
    "transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


ex.slip(
    "last_position_only",
    "Only the last position was patched. Heads that work at S2 or at the names are then invisible: all positions.",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:, -1, head] = clean_cache[hook.name][:, -1, head]",
)


ex.slip(
    "values_patched",
    "The values were patched, not the head's output. With the corrupted pattern they are gathered from the wrong places: take z.",
    'get_act_name("z", layer)',
    'get_act_name("v", layer)',
)


ex.slip(
    "ablated",
    "The head was set to zero. Patching puts in what it had in the clean run.",
    "= clean_cache[hook.name][:, :, head]",
    "= 0",
)


ex.slip(
    "patches_pile_up",
    "Earlier heads' patches are still in place, so each number belongs to a whole group of heads. Use run_with_hooks, which removes "
    "what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
)


ex.slip(
    "cache_overwritten",
    "The clean cache was written to. The next head then gets corrupted values; edit the activation that the hook is given.",
    "                z[:, :, head] = clean_cache[hook.name][:, :, head]\n                return z",
    "                clean = clean_cache[hook.name]\n"
    "                kept = clean[:, :, head].clone()\n"
    "                clean[:] = z\n"
    "                clean[:, :, head] = kept\n"
    "                return clean",
)


ex.slip(
    "hook_stays_when_the_metric_fails",
    "The numbers are right, but when the metric raises an exception a hook stays on the model, and every later run is patched. Take it off in a "
    "`finally`; run_with_hooks and `with model.hooks(...)` do.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])\n            result[layer, head] = metric(logits)",
    "model.add_hook(name, patch)\n            result[layer, head] = metric(model(corrupted_tokens))\n            model.reset_hooks()",
)


ex.slip(
    "up_to_this_head",
    "All heads up to `head` were patched, so each number belongs to a group of heads. Patch one: z[:, :, head].",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:, :, : head + 1] = clean_cache[hook.name][:, :, : head + 1]",
)


ex.slip(
    "first_prompts_z_for_all",
    "Every prompt got the first prompt's clean z. Each prompt has its own: clean_cache[hook.name][:, :, head].",
    "clean_cache[hook.name][:, :, head]",
    "clean_cache[hook.name][:1, :, head]",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch was patched.",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[0, :, head] = clean_cache[hook.name][0, :, head]",
)


ex.slip(
    "difference_from_corrupted",
    "The corrupted run's metric was subtracted. Return what the metric gives: it knows its own scale.",
    "= metric(logits)",
    "= metric(logits) - metric(model(corrupted_tokens))",
)


ex.slip(
    "mean_over_positions",
    "Every position got the mean of the clean z over the positions. Put in what the head had at that position.",
    "clean_cache[hook.name][:, :, head]",
    "clean_cache[hook.name][:, :, head].mean(1, keepdim=True)",
)


ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)

ex.equivalent(
    "The hook has done its work before the loop goes on.",
    "hook, head=head) => hook)",
    "hook, mask=mask: => hook:",
)
