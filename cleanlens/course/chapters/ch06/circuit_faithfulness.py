"""Exercise 06.10: Is it the circuit?."""

import torch

from cleanlens.utils import get_act_name

from ...exercise import exercise
from .helpers import cached, hooks_after_a_failure, record, tiny_model, two_runs

ex = exercise(
    "06.10",
    "template_means",
    "circuit_faithfulness",
    title="Is it the circuit?",
    objective="You can run a model with nothing but a circuit, and say how much of the behaviour is left.",
    minutes=35,
    version=4,
    difficulty=4,
    importance=5,
    source="Wang et al. 2022, section 2 (mean ablation over ABC prompts, template by template) and section 4 (faithfulness).",
    atol=3e-6,
    rtol=1e-5,
    hints=[
        "template_means: for every template, rows = templates == t; every row of that template gets z[rows].mean(0).",
        "Keep a mask [b, s, h] per layer, False at first. For each role and head: mask[torch.arange(b), positions[role], head] = True, "
        "one position per prompt.",
        "The hook: torch.where(mask[..., None], z, means). Run it on the IOI tokens; the means come from the ABC tokens.",
    ],
    why="A mean over ABC prompts of the same template keeps all that the sentence says, except who is who. What the circuit alone "
    "brings back is therefore about that, and not about where the commas are.",
)


@ex.inputs
def _(seed):
    model, tokens, abc, _ = two_runs(seed, n_layers=2, n_heads=3)
    g = torch.Generator().manual_seed(2000 + seed)
    tokens, abc = (torch.randint(0, 11, (5, 6), generator=g) for _ in range(2))
    templates = torch.tensor([0, 3, 0, 3, 0])[torch.randperm(5, generator=g)]
    weights = torch.randn(5, 11, generator=g)

    def metric(logits):
        return 30 + (logits[:, -1] * weights).sum(-1).mean()  # never near 0

    positions = {
        "end": torch.full((5,), 5),
        "S2": torch.tensor([2, 4, 3, 2, 1])[torch.randperm(5, generator=g)],
    }
    z = torch.randn(5, 6, 3, 4, generator=g)
    deep = tiny_model(seed, n_layers=11, n_heads=1)
    return [
        {"what": "means", "z": z, "templates": templates},
        {
            "what": "means",
            "z": z.clone(),
            "templates": torch.tensor([2**24, 2**24, 2**24 + 1, -3, 2**24 + 1]),
        },
        {"what": "means", "z": z[:1, :1, :1].clone(), "templates": torch.tensor([5])},
        {
            "what": "circuit",
            "model": model,
            "tokens": tokens,
            "abc_tokens": abc,
            "templates": templates,
            "circuit": {"end": [(1, 0), (1, 2), (0, 1)], "S2": [(0, 2), (0, 1)]},
            "positions": positions,
            "metric": metric,
        },
        {
            "what": "circuit",
            "model": deep,
            "tokens": tokens[:2, :1],
            "abc_tokens": abc[:2, :1],
            "templates": torch.tensor([4, 9]),
            "circuit": {"S2": [], "end": [(10, 0)]},
            "positions": {"S2": torch.zeros(2, dtype=torch.int64), "end": torch.zeros(2, dtype=torch.int64)},
            # a metric of small numbers
            "metric": lambda logits: 1e-6 * (30 + (logits[:, -1] * weights[:2]).sum(-1).mean()),
        },
    ]


@ex.oracle
@torch.no_grad()
def _(
    what,
    templates,
    z=None,
    model=None,
    tokens=None,
    abc_tokens=None,
    circuit=None,
    positions=None,
    metric=None,
):
    def mean_of(z, b):
        same = [i for i in range(len(z)) if templates[i] == templates[b]]
        return sum(z[i] for i in same) / len(same)

    if what == "means":
        return torch.stack([mean_of(z, b) for b in range(len(z))])
    abc, resid = cached(model, abc_tokens), model(tokens, stop_at_layer=0)
    for layer, block in enumerate(model.blocks):
        z = z_of(block.attn, block.ln1(resid))
        for b in range(len(tokens)):
            means = mean_of(abc["z", layer], b)
            for s in range(tokens.shape[1]):
                for head in range(model.cfg.n_heads):
                    kept = any(
                        (layer, head) in heads and positions[role][b] == s for role, heads in circuit.items()
                    )
                    if not kept:
                        z[b, s, head] = means[s, head]
        resid = resid + torch.einsum("bshe,hed->bsd", z, block.attn.W_O) + block.attn.b_O
        resid = resid + block.mlp(block.ln2(resid))
    alone = metric(model.unembed(model.ln_final(resid)))
    return record(model, alone / metric(model(tokens))) | {"hooks left when the metric fails": 0}


def z_of(attn, x):
    """What the heads gather from the (normalised) stream, by hand."""
    q, k, v = (
        torch.einsum("bsd,hde->bhse", x, W) + b[:, None]
        for W, b in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
    )
    future = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).clone()


@ex.call
def _(
    answer,
    what,
    templates,
    z=None,
    model=None,
    tokens=None,
    abc_tokens=None,
    circuit=None,
    positions=None,
    metric=None,
):
    if what == "means":
        return answer.template_means(z, templates)
    with torch.no_grad():
        given = (model, tokens, abc_tokens, templates, circuit, positions)
        seen = record(model, answer.circuit_faithfulness(*given, metric))
        left = hooks_after_a_failure(model, lambda fails: answer.circuit_faithfulness(*given, fails))
    return seen | {"hooks left when the metric fails": left}


@ex.alternative(of="template_means")
def template_by_template(z, templates):
    means = torch.zeros_like(z)
    for template in templates.unique():
        rows = templates == template
        means[rows] = z[rows].mean(dim=0)
    return means


@ex.alternative(of="template_means")
def averaging_matrix(z, templates):
    same = (templates[:, None] == templates[None]).to(z.dtype)
    return torch.einsum("bc,c...->b...", same / same.sum(1, keepdim=True), z)


@ex.alternative(of="circuit_faithfulness")
def mask_and_mean(model, tokens, abc_tokens, templates, circuit, positions, metric):
    def means_of(z):
        same = (templates[:, None] == templates).float()
        return torch.einsum("bc,cshe->bshe", same / same.sum(1, keepdim=True), z)

    _, abc = model.run_with_cache(abc_tokens)
    keep = torch.zeros(model.cfg.n_layers, *tokens.shape, model.cfg.n_heads, dtype=torch.bool)
    for role, heads in circuit.items():
        for layer, head in heads:
            keep[layer, torch.arange(len(tokens)), positions[role], head] = True

    def ablate(z, hook):
        return torch.where(keep[hook.layer()][..., None], z, means_of(abc[hook.name]))

    hooks = [(get_act_name("z", layer), ablate) for layer in range(model.cfg.n_layers)]
    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return alone / metric(model(tokens))


@ex.alternative(of="circuit_faithfulness")
def row_by_row(model, tokens, abc_tokens, templates, circuit, positions, metric):
    abc = model.run_with_cache(abc_tokens)[1]
    names = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]

    def ablate(z, hook):
        new = abc[hook.name].clone()
        for b in range(len(tokens)):
            new[b] = abc[hook.name][templates == templates[b]].mean(0)
            for role in circuit:
                for layer, head in circuit[role]:
                    if layer == hook.layer():
                        new[b, positions[role][b], head] = z[b, positions[role][b], head]
        return new

    full = metric(model(tokens))
    with model.hooks([(name, ablate) for name in names]):
        return metric(model(tokens)) / full


ex.slip(
    "across_templates",
    "One mean over all templates. Their words stand at other positions, so such a mean is of no sentence at all: average within each "
    "template.",
    "means[rows] = z[rows].mean(dim=0)",
    "means[rows] = z.mean(dim=0)",
    of="template_means",
)


ex.slip(
    "zero_rows_averaged_in",
    "Zero rows were averaged in: the sum over one template was divided by the number of all prompts. Divide by how many prompts "
    "the template has.",
    "z[rows].mean(dim=0)",
    "z[rows].sum(dim=0) / len(z)",
    of="template_means",
)


ex.slip(
    "summed_not_averaged",
    "The prompts of a template were summed, not averaged.",
    "z[rows].mean(dim=0)",
    "z[rows].sum(dim=0)",
    of="template_means",
)


ex.slip(
    "one_row_per_template",
    "One row per template came back. Every prompt needs its template's mean in its own row: [batch, ...], so that it can take z's place.",
    "    return means",
    "    return torch.stack([means[templates == template][0] for template in templates.unique()])",
    of="template_means",
)


ex.slip(
    "positions_averaged",
    "Positions were averaged too. The mean of the comma and of the name is neither: dim=0 only.",
    "z[rows].mean(dim=0)",
    "z[rows].mean(dim=(0, 1), keepdim=True)",
    of="template_means",
)


ex.slip(
    "heads_averaged",
    "Heads were averaged too. Each head is replaced by its own mean: dim=0 only.",
    "z[rows].mean(dim=0)",
    "z[rows].mean(dim=(0, 2))[:, None]",
    of="template_means",
)


ex.slip(
    "union_of_positions",
    "mask[:, positions] keeps, in every prompt, the positions of ALL prompts. Pair them up: mask[torch.arange(batch), positions[role], "
    "head] keeps one position per prompt.",
    "keep[layer, torch.arange(len(tokens)), positions[role], head]",
    "keep[layer, :, positions[role], head]",
    of="circuit_faithfulness",
)


ex.slip(
    "inverted_mask",
    "The mask is inverted: the circuit was ablated and everything else kept.",
    "keep[hook.layer()][..., None], z, means_of(abc[hook.name])",
    "keep[hook.layer()][..., None], means_of(abc[hook.name]), z",
    of="circuit_faithfulness",
)


ex.slip(
    "means_across_templates",
    "The heads outside were replaced by one mean over all templates. Use the mean of each prompt's own template: template_means.",
    "(templates[:, None] == templates).float()",
    "torch.ones(len(z), len(z))",
    of="circuit_faithfulness",
)


ex.slip(
    "means_of_ioi",
    "The means were taken from the IOI prompts themselves. What all of them share, such as 'a name is repeated here', then survives in heads "
    "outside the circuit: take them from the ABC prompts.",
    "model.run_with_cache(abc_tokens)",
    "model.run_with_cache(tokens)",
    of="circuit_faithfulness",
)


ex.slip(
    "not_averaged",
    "Each head got what it has in one ABC prompt, not the mean over its template.",
    "means_of(abc[hook.name])",
    "abc[hook.name]",
    of="circuit_faithfulness",
)


ex.slip(
    "zero_ablated",
    "The heads outside were set to zero. Zero is no typical value: later layers expect the mean, and what you see is the damage.",
    "means_of(abc[hook.name])",
    "torch.zeros_like(z)",
    of="circuit_faithfulness",
)


ex.slip(
    "kept_at_all_positions",
    "The circuit's heads were kept at all positions. A head is in the circuit where its role is: keep it at positions[role] only.",
    "keep[layer, torch.arange(len(tokens)), positions[role], head]",
    "keep[layer, :, :, head]",
    of="circuit_faithfulness",
)


ex.slip(
    "first_prompts_positions",
    "The first prompt's positions were used for all prompts.",
    "positions[role], head] = True",
    "positions[role][0], head] = True",
    of="circuit_faithfulness",
)


ex.slip(
    "last_role_only",
    "Only the last role was kept: the mask was made anew for each role.",
    "            keep[layer, torch",
    "            keep[:] &= role == list(circuit)[-1]\n            keep[layer, torch",
    of="circuit_faithfulness",
)


ex.slip(
    "not_a_share",
    "That is the circuit's metric itself. Divide by the whole model's: what share is left?",
    "return alone / metric(model(tokens))",
    "return alone",
    of="circuit_faithfulness",
)


ex.slip(
    "upside_down",
    "The share is upside down: the circuit's metric over the model's, not the other way round.",
    "return alone / metric(model(tokens))",
    "return metric(model(tokens)) / alone",
    of="circuit_faithfulness",
)


ex.slip(
    "run_on_abc",
    "The run was made on the ABC prompts. They only give the means; the circuit is tried on the IOI prompts.",
    "model.run_with_hooks(tokens,",
    "model.run_with_hooks(abc_tokens,",
    of="circuit_faithfulness",
)


ex.slip(
    "written_into_z",
    "The means are right, but they were written into z itself. Whoever called you still needs it: fill a new tensor.",
    "means = torch.zeros_like(z)",
    "means = z",
    of="template_means",
)


ex.slip(
    "templates_as_float32",
    "Two templates were taken for one: their numbers are large and near each other, and as float32 integers above 2**24 (16,777,216) fall "
    "together. Compare them as the integers that they are.",
    "templates.unique()",
    "templates.float().unique()",
    "templates == template",
    "templates.float() == template",
    of="template_means",
)


ex.slip(
    "only_templates_0_and_1",
    "Only the templates 0 and 1 have means. Templates may have any number: templates.unique() tells which there are.",
    "templates.unique()",
    "(0, 1)",
    of="template_means",
)


@ex.mistake(
    "Every second prompt was averaged, whatever `templates` says. Which prompts belong together is what it tells.",
    of="template_means",
)
def every_second_prompt(z, templates):
    means = z.clone()
    means[0::2], means[1::2] = z[0::2].mean(0), z[1::2].mean(0)
    return means


ex.slip(
    "whole_model_on_abc",
    "The whole model was measured on the ABC prompts. Circuit and model are compared on the same prompts: `tokens`.",
    "return alone / metric(model(tokens))",
    "return alone / metric(model(abc_tokens))",
    of="circuit_faithfulness",
)


ex.slip(
    "last_role_of_a_head",
    "A head that has two roles was kept at the positions of its last role only. It is left alone at those of each of its roles.",
    "            keep[layer, torch",
    "            keep[layer, :, :, head] = False\n            keep[layer, torch",
    of="circuit_faithfulness",
)


ex.slip(
    "last_head_of_a_layer",
    "Of a layer's heads in the circuit only the last was kept: what was kept before was written over. All of them.",
    "            keep[layer, torch",
    "            keep[layer] = False\n            keep[layer, torch",
    of="circuit_faithfulness",
)


ex.slip(
    "positions_averaged_in_the_circuit",
    "Outside the circuit every position got the mean over all positions. Average over the prompts of a template, position by position.",
    "/ same.sum(1, keepdim=True), z)",
    "/ same.sum(1, keepdim=True), z).mean(1, keepdim=True).expand_as(z)",
    of="circuit_faithfulness",
)


ex.slip(
    "hooks_stay_when_the_metric_fails",
    "The share is right, but when the metric raises an exception the hooks stay on the model, and every later run is ablated. Take them off in a "
    "`finally`; run_with_hooks and `with model.hooks(...)` do.",
    "    alone = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))",
    "    for hook in hooks:\n        model.add_hook(*hook)\n    alone = metric(model(tokens))\n    model.reset_hooks()",
    of="circuit_faithfulness",
)


ex.equivalent(
    "Every entry is written over.",
    ".zeros_like( => .ones_like(",
)


ex.equivalent(
    "A template that is met twice is averaged twice, to the same mean.",
    "templates.unique(): => templates:",
)


ex.equivalent(
    "A mean with an axis of length one is written into the rows as one without it is.",
    ".mean(dim=0) => .mean(dim=0, keepdim=True)",
    "rows].mean(0) => rows].mean(0, keepdim=True)",
    "[b]].mean(0) => [b]].mean(0, keepdim=True)",
)


ex.equivalent(
    "Truth values divided by counts are float32, as z is.",
    "(templates[:, None] == templates[None]).to(z.dtype) => templates[:, None] == templates[None]",
    "(templates[:, None] == templates).float() => templates[:, None] == templates",
)


ex.equivalent(
    "Rows of one template have the same count, so the matrix is symmetric, and its rows and columns add up to the same.",
    "einsum('bc,c. => einsum('cb,c.",
    "einsum('bc,cshe- => einsum('cb,cshe-",
    ", keepdim=True => ",
    ".sum(1, keepdim => .sum(0, keepdim",
    "keepdim=True), => keepdim=False),",
)


ex.equivalent(
    "A metric is one number and has no axes.",
    "alone / metric(model(tokens) => (alone / metric(model(tokens))).squeeze(",
    "metric(model(tokens)) / full => (metric(model(tokens)) / full).squeeze()",
    "metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens) => (metric(model.run_with_hooks(tokens, fwd_hooks=hooks)) / metric(model(tokens))).squeeze(",
)
