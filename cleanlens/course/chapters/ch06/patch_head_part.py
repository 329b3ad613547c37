"""Exercise 06.7: Query, key, value or pattern?."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import (
    ONE_OF_EACH,
    cached,
    each_head,
    head_delta,
    hooks_after_a_failure,
    record,
    two_runs,
    with_changed_mid,
)

ex = exercise(
    "06.7",
    "patch_head_part",
    title="Query, key, value or pattern?",
    objective="You can tell whether a head matters for where it looks or for what it moves.",
    minutes=20,
    version=3,
    difficulty=3,
    importance=4,
    source="Identity: z = softmax(q k^T / sqrt(d_head)) v, with one of the three taken from the clean run.",
    atol=1e-4,
    hints=[
        "q, k and v are [batch, position, head, d_head]; the pattern is [batch, head, query, key].",
        "Choose the index by the part: [:, head] for the pattern, [:, :, head] for the rest.",
    ],
    why="A head's output can change because it looks elsewhere (pattern, through query or key) or because something else stands where "
    "it looks (value). Patching the parts one by one tells which.",
)


@ex.inputs
def _(seed):
    names = ("model", "clean", "corrupted_tokens", "metric")
    given, smallest = (dict(zip(names, two_runs(seed, **sizes))) for sizes in ({}, ONE_OF_EACH))
    square = dict(zip(names, two_runs(seed, n_pos=3)))  # as many positions as heads
    calls = [{"part": part} | given for part in ("q", "k", "v", "pattern")]
    return [*calls, {"part": "v"} | smallest, {"part": "q"} | square]


@ex.oracle
@torch.no_grad()
def _(part, model, clean, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean), cached(model, corrupted_tokens)
    n_pos = corrupted_tokens.shape[1]
    future = torch.ones(n_pos, n_pos).triu(1).bool()

    def run(layer, head):
        own = {p: corrupted[p, layer][:, :, head] for p in "qkv"}
        if part in own:
            own[part] = cache[part, layer][:, :, head]
        scores = own["q"] @ own["k"].mT / model.cfg.d_head**0.5
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        if part == "pattern":
            pattern = cache["pattern", layer][:, head]
        delta = head_delta(model, corrupted, layer, head, pattern @ own["v"])
        return with_changed_mid(model, corrupted, layer, delta, metric)

    return record(model, each_head(model, run), cache) | {"hooks left when the metric fails": 0}


@ex.call
def _(answer, part, model, clean, corrupted_tokens, metric):
    cache = cached(model, clean)
    with torch.no_grad():
        result = answer(part, model, corrupted_tokens, cache, metric)
        seen = record(model, result, cache)
        left = hooks_after_a_failure(model, lambda fails: answer(part, model, corrupted_tokens, cache, fails))
    return seen | {"hooks left when the metric fails": left}


@ex.alternative
def index_by_part(part, model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(x, hook, head=head):
                index = (slice(None), head) if part == "pattern" else (slice(None), slice(None), head)
                x[index] = clean_cache[hook.name][index]
                return x

            hooks = [(get_act_name(part, layer), patch)]
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def scores_for_the_pattern(part, model, corrupted_tokens, clean_cache, metric):
    """Clean scores of a whole head give its clean pattern."""
    part = "attn_scores" if part == "pattern" else part
    head_axis = 1 if part == "attn_scores" else 2

    def patch(x, hook, head):
        x = x.clone()
        x.select(head_axis, head).copy_(clean_cache[hook.name].select(head_axis, head))
        return x

    rows = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hook = lambda x, hook, head=head: patch(x, hook, head)  # noqa: E731
            rows.append(
                metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(get_act_name(part, layer), hook)]))
            )
    return torch.stack(rows).reshape(model.cfg.n_layers, -1)


ex.slip(
    "pattern_indexed_like_z",
    "The pattern was indexed like z: pattern[:, :, head] is a query position of all heads. It is [batch, head, query, key]: [:, head].",
    '(slice(None), head) if part == "pattern" else (slice(None), slice(None), head)',
    "(slice(None), slice(None), head)",
)


ex.slip(
    "everything_indexed_like_the_pattern",
    "q, k and v were indexed like the pattern: q[:, head] is a position. They are [batch, position, head, d_head]: [:, :, head].",
    '(slice(None), head) if part == "pattern" else (slice(None), slice(None), head)',
    "(slice(None), head)",
)


ex.slip(
    "keys_and_values_together",
    "Keys and values were patched together. Then nobody can tell whether the head looks elsewhere or moves something else: one part "
    "at a time.",
    "hooks = [(get_act_name(part, layer), patch)]",
    'parts = ["k", "v"] if part in ("k", "v") else [part]\n            hooks = [(get_act_name(p, layer), patch) for p in parts]',
)


ex.slip(
    "probabilities_into_the_scores",
    "The clean pattern was put in place of the scores, before the softmax: probabilities are exponentiated once more, and masked "
    "places come back to life. Hook the pattern itself.",
    "clean_cache[hook.name][index]",
    'clean_cache[hook.name.replace("attn_scores", "pattern")][index]',
    "get_act_name(part, layer)",
    'get_act_name("attn_scores" if part == "pattern" else part, layer)',
)


ex.slip(
    "axis_guessed_by_its_size",
    "It is right, unless there are as many positions as heads: then q, k and v were patched at a position, as when the axis is chosen by its "
    "size. Choose it by `part`.",
    'part == "pattern" else',
    "x.shape[1] == model.cfg.n_heads else",
)


ex.slip(
    "part_ignored",
    "The queries are patched, whatever part is asked for.",
    "            def patch(",
    '            part = "q"\n\n            def patch(',
)


ex.slip(
    "output_patched",
    "z was patched: that is all parts at once. Patch the activation called `part`.",
    "            def patch(",
    '            part = "z"\n\n            def patch(',
)


ex.slip(
    "parts_pile_up",
    "Patches of earlier heads are still in place. Use run_with_hooks, which removes what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)",
    "model.add_hook(*hooks[0])\n            logits = model(corrupted_tokens)",
)


ex.slip(
    "all_heads_of_the_layer",
    "All heads of the layer were patched together.",
    "x[index] = clean_cache[hook.name][index]",
    "x[:] = clean_cache[hook.name]",
)


ex.slip(
    "parts_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


ex.slip(
    "last_position_only",
    "Only the last position (or, of the pattern, the last query) was patched. All positions: [:, :, head], and [:, head] of the pattern.",
    '(slice(None), head) if part == "pattern" else (slice(None), slice(None), head)',
    '(slice(None), head, -1) if part == "pattern" else (slice(None), -1, head)',
)


ex.slip(
    "queries_and_keys_exchanged",
    "The keys are patched when the queries are asked for, and the other way round.",
    "            def patch(",
    '            part = {"q": "k", "k": "q"}.get(part, part) if head == layer == 0 else part\n\n            def patch(',
)


ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch was patched.",
    "x[index] = clean_cache[hook.name][index]",
    "x[:1][index] = clean_cache[hook.name][:1][index]",
)


ex.slip(
    "cache_written_to",
    "The clean cache was written to: the head that is patched is clean there, all others are from the corrupted run, and the next head then gets "
    "corrupted values. Edit the activation that the hook is given.",
    "                x[index] = clean_cache[hook.name][index]\n                return x",
    "                kept = clean_cache[hook.name][index].clone()\n"
    "                clean_cache[hook.name][:] = x\n"
    "                clean_cache[hook.name][index] = kept\n"
    "                return clean_cache[hook.name].clone()",
)


ex.slip(
    "hook_stays_when_the_metric_fails",
    "The numbers are right, but when the metric raises an exception a hook stays on the model, and every later run is patched. Take it off in a "
    "`finally`; run_with_hooks and `with model.hooks(...)` do.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)\n            result[layer, head] = metric(logits)",
    "model.add_hook(*hooks[0])\n            result[layer, head] = metric(model(corrupted_tokens))\n            model.reset_hooks()",
)


ex.equivalent(
    "Every entry is written over.",
    "torch.zeros(model => torch.ones(model",
)

ex.equivalent(
    "The hook has done its work before the loop goes on.",
    "hook, head=head) => hook)",
    "hook, head=head: => hook:",
    ", place=place => ",
)

ex.equivalent(
    "The run is the answer's own, and its activations are in nobody's cache.",
    "x = x.clone() => pass",
    "= x.clone() => = x",
)
