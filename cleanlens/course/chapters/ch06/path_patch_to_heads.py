"""Exercise 06.9: Path patching to other heads."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import ONE_OF_EACH, cached, each_head, head_delta, hooks_after_a_failure, path_inputs, record

ex = exercise(
    "06.9",
    "path_patch_to_heads",
    title="Path patching to other heads",
    objective="You can find out which heads a head listens to, through its queries, keys or values.",
    minutes=35,
    version=3,
    difficulty=5,
    importance=4,
    source="Wang et al. 2022, section 3.1, figure on path patching: three runs. Checked against cleanlens.patching.path_patch, which has "
    "tests of its own.",
    seeds=1,
    atol=1e-4,
    hints=[
        "Run 1 is done already: cache and new_cache. Run 2: as in 06.8 (freeze all heads, send, MLPs run), and keep what arrives at the "
        "receivers: run_with_cache inside `with model.hooks(...)`.",
        "Run 3: a plain run on `tokens` where only the receivers' part is replaced by what run 2 kept: x[:, :, head] for each receiver.",
        "A sender in a receiver's layer, or later, cannot reach it: the three runs then give the plain run's metric by themselves.",
    ],
    why="Run 2 answers what the receivers would see if only this sender had changed; run 3 asks what that alone does to the output, with "
    "everything behind the receivers alive again.",
)


@ex.inputs
def _(seed):
    given = path_inputs(seed)
    return [
        given | {"receivers": [(2, 1)], "part": "q"},
        given | {"receivers": [(1, 0), (2, 1)], "part": "v"},  # another head in each layer
        # two in one layer, and as many positions as heads
        path_inputs(seed, n_pos=2) | {"receivers": [(1, 1), (1, 0)], "part": "k"},
        path_inputs(seed, **ONE_OF_EACH) | {"receivers": [(0, 0)], "part": "v"},  # nobody can reach it
    ]


def lone_reception(model, tokens, cache, new_cache, sender, receivers, part):
    """What arrives at the receivers when one head sends and all heads are held: {layer: part}, by hand."""
    layer, head = sender
    resid, arrived = cache["resid_pre", 0], {}
    for number, block in enumerate(model.blocks):
        weights, bias = getattr(block.attn, f"W_{part.upper()}"), getattr(block.attn, f"b_{part.upper()}")
        arrived[number] = torch.einsum("bsd,hde->bshe", block.ln1(resid), weights) + bias
        resid = resid + cache["attn_out", number]
        if number == layer:
            resid = resid + head_delta(model, cache, layer, head, new_cache["z", layer][:, :, head])
        resid = resid + block.mlp(block.ln2(resid))
    return arrived


@ex.oracle
@torch.no_grad()
def _(model, tokens, other, metric, receivers, part):
    cache, new_cache = cached(model, tokens), cached(model, other)
    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()

    def run(layer, head):
        arrived = lone_reception(model, tokens, cache, new_cache, (layer, head), receivers, part)
        resid = cache["resid_pre", 0]
        for number, block in enumerate(model.blocks):
            x, attn, out = block.ln1(resid), block.attn, block.attn.b_O
            for h in range(model.cfg.n_heads):
                q, k, v = (
                    x @ W[h] + b[h]
                    for W, b in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
                )
                if (number, h) in receivers:
                    value = arrived[number][:, :, h]
                    q, k, v = (value if name == part else old for name, old in zip("qkv", (q, k, v)))
                scores = (q @ k.mT / model.cfg.d_head**0.5).masked_fill(future, -torch.inf)
                out = out + scores.softmax(-1) @ v @ attn.W_O[h]
            resid = resid + out
            resid = resid + block.mlp(block.ln2(resid))
        return metric(model.unembed(model.ln_final(resid)))

    return record(model, each_head(model, run), cache, new_cache) | {"hooks left when the metric fails": 0}


@ex.call
def _(answer, model, tokens, other, metric, receivers, part):
    cache, new_cache = cached(model, tokens), cached(model, other)
    with torch.no_grad():
        result = answer(model, tokens, cache, new_cache, metric, receivers, part)
        seen = record(model, result, cache, new_cache)
        left = hooks_after_a_failure(
            model, lambda fails: answer(model, tokens, cache, new_cache, fails, receivers, part)
        )
    return seen | {"hooks left when the metric fails": left}


@ex.alternative
def three_runs(model, tokens, cache, new_cache, metric, receivers, part):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    names = {get_act_name(part, layer) for layer, _ in receivers}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def send(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.layer() == layer:
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            with model.hooks([(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]):
                _, arrived = model.run_with_cache(tokens, names_filter=list(names))

            def receive(x, hook, arrived=arrived):
                for to_layer, to_head in receivers:
                    if hook.layer() == to_layer:
                        x[:, :, to_head] = arrived[hook.name][:, :, to_head]
                return x

            logits = model.run_with_hooks(tokens, fwd_hooks=[(name, receive) for name in names])
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def only_senders_that_can_reach(model, tokens, cache, new_cache, metric, receivers, part):
    last = max(layer for layer, _ in receivers)
    result = torch.stack([metric(model(tokens))] * (model.cfg.n_layers * model.cfg.n_heads))
    result = result.reshape(model.cfg.n_layers, model.cfg.n_heads).clone()
    for layer in range(last):
        for head in range(model.cfg.n_heads):
            kept, hooks = {}, []

            def send(z, hook, head=head):
                z[:, :, head] = new_cache[hook.name][:, :, head]

            def hold(z, hook):
                z[:] = cache[hook.name]

            def keep(x, hook, kept=kept):
                kept[hook.name] = x.clone()

            for i in range(model.cfg.n_layers):
                hooks.append((get_act_name("z", i), send if i == layer else hold))
                hooks.append((get_act_name(part, i), keep))
            model.run_with_hooks(tokens, fwd_hooks=hooks)
            hooks = []
            for to_layer, to_head in receivers:

                def receive(x, hook, to_head=to_head, kept=kept):
                    x[:, :, to_head] = kept[hook.name][:, :, to_head]

                hooks.append((get_act_name(part, to_layer), receive))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


ex.slip(
    "receivers_from_the_other_run",
    "The receivers got what they had in the other run: then it does not matter who sends, and all entries are alike. They must get what "
    "arrives in run 2, where one head alone has changed.",
    "arrived[hook.name][:, :, to_head]",
    "new_cache[hook.name][:, :, to_head]",
)


ex.slip(
    "receivers_from_this_run",
    "Nothing changes. Either the receivers got back what they have anyway, from `cache`, or heads were held in run 3 too. Put in what run 2 "
    "recorded, and leave all else free.",
    "arrived[hook.name][:, :, to_head]",
    "cache[hook.name][:, :, to_head]",
)


ex.slip(
    "whole_receiver_layer",
    "All heads of the receivers' layer were patched. Only the receivers: x[:, :, head].",
    "x[:, :, to_head] = arrived[hook.name][:, :, to_head]",
    "x[:] = arrived[hook.name]",
)


ex.slip(
    "third_run_skipped",
    "The metric was taken of run 2, where all heads are held, the receivers too: that is path patching to the logits (06.8). A third run "
    "is needed, with the receivers' part put in and everything else free.",
    "logits = model.run_with_hooks(tokens, fwd_hooks=[(name, receive) for name in names])",
    "logits = model.run_with_hooks(tokens, fwd_hooks=[(get_act_name('z', i), send) for i in range(model.cfg.n_layers)])",
)


ex.slip(
    "third_run_sends_again",
    "The sender still sends in the third run: its effect goes everywhere, and senders at or after the last receiver, which cannot reach "
    "it, get an effect. In the third run only the receivers are patched.",
    "fwd_hooks=[(name, receive) for name in names])",
    "fwd_hooks=[(name, receive) for name in names] + [(get_act_name('z', layer), lambda z, hook, head=head: "
    "torch.cat([z[:, :, :head], new_cache[hook.name][:, :, head : head + 1], z[:, :, head + 1 :]], 2))])",
)


ex.slip(
    "other_heads_not_held",
    "In run 2 the heads between sender and receivers were not held: they pass the change on, and you measure all roads, not the direct "
    "one.",
    'with model.hooks([(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]):',
    'with model.hooks([(get_act_name("z", layer), lambda z, hook, head=head: torch.cat([z[:, :, :head], '
    "new_cache[hook.name][:, :, head : head + 1], z[:, :, head + 1 :]], 2))]):",
)


ex.slip(
    "queries_only",
    "The queries are patched, whatever part is asked for.",
    "    names = {",
    '    part = "q"\n    names = {',
)


ex.slip(
    "first_receiver_only",
    "Only the first receiver was patched. All of them, in one run.",
    "    names = {",
    "    receivers = receivers[:1]\n    names = {",
)


ex.slip(
    "held_at_the_other_run",
    "The heads that do not send are held at the other run's values. They keep those of `cache`.",
    "z = cache[hook.name].clone()",
    "z = new_cache[hook.name].clone()",
)


ex.slip(
    "paths_accumulate",
    "Earlier senders still send: their values were written into the cache. Clone what you freeze.",
    "z = cache[hook.name].clone()",
    "z = cache[hook.name]",
)


ex.slip(
    "mlps_frozen",
    "The MLPs between sender and receiver were held. Here they run, as with Wang et al.: a path may pass through MLPs.",
    "send) for i in range(model.cfg.n_layers)]):",
    "send) for i in range(model.cfg.n_layers)] + [(get_act_name('mlp_out', i), lambda x, hook: cache[hook.name]) "
    "for i in range(model.cfg.n_layers)]):",
)


ex.slip(
    "paths_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


ex.slip(
    "one_receiver_per_layer",
    "Of two receivers in one layer only the last was patched. All of them, in one run.",
    "for to_layer, to_head in receivers:",
    "for to_layer, to_head in dict(receivers).items():",
)


ex.slip(
    "too_late_senders_are_zero",
    "Senders that cannot reach a receiver got 0. Nothing changes for them, so the metric is the plain run's: that is their entry.",
    "= metric(logits)",
    "= metric(logits) if layer < max(at for at, _ in receivers) else 0",
)


ex.slip(
    "heads_as_positions",
    "The receivers' part was taken along the positions: x[:, head] is a position, x[:, :, head] a head.",
    "x[:, :, to_head] = arrived[hook.name][:, :, to_head]",
    "x[:, to_head % x.shape[1]] = arrived[hook.name][:, to_head % x.shape[1]]",
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
    ", arrived=arrived => ",
    "hook, kept=kept) => hook)",
    "to_head, kept=kept) => to_head)",
)

ex.equivalent(
    "What the last layer's heads gather comes after everything that a receiver can be given.",
    "cfg.n_layers)]) => cfg.n_layers - 1)])",
    "in layers]): => in list(layers)[:-1]]):",
)

ex.equivalent(
    "To keep more activations than are needed, or in another order, changes none of them; the library takes names as a set, too.",
    ", names_filter=list(names) => ",
    ", names_filter=names => ",
    "=list(names)) => =names)",
    "sorted({get_act_name(part, layer) for layer, _ in receivers}) => {get_act_name(part, layer) for layer, _ in receivers}",
    "receivers}) => receivers}, reverse=True)",
)

ex.equivalent(
    "A head in the last receiver's own layer reaches no receiver, so its entry is the metric as it was.",
    "range(last): => range(last + 1):",
)

ex.equivalent(
    "Nobody else holds this tensor, and it is not written to again.",
    "n_heads).clone() => n_heads)",
    "= x.clone() => = x",
)
