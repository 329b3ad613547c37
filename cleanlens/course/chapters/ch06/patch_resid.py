"""Exercise 06.5: Patching the residual stream."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import cached, patching_call, record, resid_inputs

ex = exercise(
    "06.5",
    "patch_resid",
    title="Patching the residual stream",
    objective="You can find where, layer by layer and position by position, the information that decides stands.",
    minutes=25,
    version=2,
    difficulty=3,
    importance=5,
    source="Meng et al. 2022 (causal tracing), section 2; Heimersheim & Nanda 2024, section 2. Identity: a run continued from a patched stream.",
    atol=1e-4,
    hints=[
        "For each layer and position: one run on the corrupted tokens with one hook on get_act_name('resid_pre', layer).",
        "The hook: resid[:, pos] = clean_cache[hook.name][:, pos]; return resid. run_with_hooks removes it again.",
        "Bind the position when the hook is made: partial(hook, pos=pos), or a default argument.",
    ],
    why="One run per place, each with exactly one difference from the corrupted run. Whatever the metric gains can only have come "
    "through that place.",
)


ex.inputs(resid_inputs)


ex.call(patching_call)


@ex.oracle
@torch.no_grad()
def _(model, clean, corrupted_tokens, metric):
    cache, n_pos = cached(model, clean), corrupted_tokens.shape[1]
    result = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        for pos in range(n_pos):
            resid = model(corrupted_tokens, stop_at_layer=layer)
            resid = torch.cat([resid[:, :pos], cache["resid_pre", layer][:, [pos]], resid[:, pos + 1 :]], 1)
            for block in model.blocks[layer:]:
                resid = block(resid)
            result[layer, pos] = metric(model.unembed(model.ln_final(resid)))
    return record(model, result, cache) | {"hooks left when the metric fails": 0}


@ex.alternative
def one_hook_a_run(model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        for pos in range(corrupted_tokens.shape[1]):

            def patch(resid, hook, pos=pos):
                resid[:, pos] = clean_cache[hook.name][:, pos]
                return resid

            name = get_act_name("resid_pre", layer)
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


@ex.alternative
def not_in_place(model, corrupted_tokens, clean_cache, metric):
    n_pos, rows = corrupted_tokens.shape[1], []
    for layer in range(model.cfg.n_layers):
        clean = clean_cache["resid_pre", layer]
        for pos in range(n_pos):
            here = (torch.arange(n_pos) == pos)[:, None]
            patch = lambda x, hook, here=here, clean=clean: torch.where(here, clean, x)  # noqa: E731
            with model.hooks([(f"blocks.{layer}.hook_resid_pre", patch)]):
                rows.append(metric(model(corrupted_tokens)))
    return torch.stack(rows).reshape(model.cfg.n_layers, n_pos)


@ex.mistake(
    "That is noising: a clean run with one corrupted place. It asks what is necessary. Here the run is the corrupted one and one "
    "place is clean: what is enough to bring the behaviour back?"
)
def noising(model, corrupted_tokens, clean_cache, metric):
    _, corrupted = model.run_with_cache(corrupted_tokens)
    result = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        for pos in range(corrupted_tokens.shape[1]):

            def patch(resid, hook, pos=pos):
                resid = clean_cache[hook.name].clone()
                resid[:, pos] = corrupted[hook.name][:, pos]
                return resid

            name = get_act_name("resid_pre", layer)
            result[layer, pos] = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)]))
    return result


ex.slip(
    "every_position",
    "The whole layer was patched, at every position: then the rest of the run is simply the clean run. Patch one position: [:, pos].",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[:] = clean_cache[hook.name]",
)


ex.slip(
    "resid_post",
    "The patch went in behind the layer (resid_post), so the rows are one layer off and the input of layer 0 is never tested. (resid_mid would "
    "give the same as resid_post: an MLP works position by position.)",
    '"resid_pre"',
    '"resid_post"',
)


ex.slip(
    "cache_mutated",
    "The clean cache was written to: after the first patch its other positions are corrupted, and every later patch is wrong. Edit the "
    "activation that the hook is given, or a clone.",
    "                resid[:, pos] = clean_cache[hook.name][:, pos]\n                return resid",
    "                clean = clean_cache[hook.name]\n"
    "                kept = clean[:, pos].clone()\n"
    "                clean[:] = resid\n"
    "                clean[:, pos] = kept\n"
    "                return clean",
)


ex.slip(
    "late_binding",
    "All columns are the last position's. The hooks were made in a loop and run after it, when `pos` had its last value: bind it, "
    "def patch(resid, hook, pos=pos).",
    "    for layer in range(model.cfg.n_layers):",
    "    last = corrupted_tokens.shape[1] - 1\n    for layer in range(model.cfg.n_layers):",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[:, last] = clean_cache[hook.name][:, last]",
)


ex.slip(
    "hooks_accumulate",
    "Hooks of earlier patches were still there: each run has one more patch than the one before, and the model comes back with all "
    "of them. Use run_with_hooks, which removes what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
)


ex.slip(
    "cleaned_up_at_the_end",
    "The model is clean afterwards, but during the sweep hooks of earlier patches stayed on: each run has one more patch than the "
    "one before. Remove them after every run.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
    "    return result",
    "    model.reset_hooks()\n    return result",
)


ex.slip(
    "positions_and_layers_swapped",
    "The axes are swapped: layers are rows, positions are columns.",
    "    return result",
    "    return result.mT",
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch was patched.",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[0, pos] = clean_cache[hook.name][0, pos]",
)


ex.slip(
    "difference_from_corrupted",
    "The corrupted run's metric was subtracted. Return what the metric gives: it knows its own scale.",
    "= metric(logits)",
    "= metric(logits) - metric(model(corrupted_tokens))",
)


ex.slip(
    "hook_stays_when_the_metric_fails",
    "The numbers are right, but when the metric raises an exception a hook stays on the model, and every later run is patched. Take it off in a "
    "`finally`; run_with_hooks and `with model.hooks(...)` do.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])\n            result[layer, pos] = metric(logits)",
    "model.add_hook(name, patch)\n            result[layer, pos] = metric(model(corrupted_tokens))\n            model.reset_hooks()",
)


ex.slip(
    "up_to_this_position",
    "All positions up to `pos` were patched. One place in each run: [:, pos].",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[:, : pos + 1] = clean_cache[hook.name][:, : pos + 1]",
)


ex.slip(
    "axis_of_one_squeezed",
    "With one layer or one position the result has lost an axis: a squeeze() with no axis named takes away every axis of length 1. Return "
    "[layer, position] always.",
    "    return result",
    "    return result.squeeze()",
)


ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)

ex.equivalent(
    "The hook has done its work before the loop goes on.",
    "hook, pos=pos) => hook)",
    "here=here, clean => clean",
    ", clean=clean => ",
)
