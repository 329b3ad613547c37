"""Exercise 06.4: What each head adds to the logit difference."""

import torch

from ...exercise import exercise
from .helpers import cached, record, tiny_model

ex = exercise(
    "06.4",
    "logit_directions",
    "head_attribution",
    title="What each head adds to the logit difference",
    objective="You can split the logit difference into one share per head.",
    minutes=20,
    version=4,
    difficulty=3,
    importance=5,
    source="Identity: logits = (sum of what was written) / scale @ W_U + b_U; Wang et al. 2022, section 3.1, Elhage et al. 2021, "
    '"Logit contributions".',
    atol=1e-4,
    hints=[
        "Columns of W_U are tokens: the direction is W_U[:, IO] - W_U[:, S], one per prompt.",
        "A head writes z @ W_O[layer, head] at the last position; divide by cache['ln_final.hook_scale'] at that position.",
        "Multiply with each prompt's own direction, sum over d_model, and average over the prompts last.",
    ],
    why="LayerNorm's scale is one number per position. Held at the value of this run, everything behind the stream is linear, so the "
    "shares of all components add up to the logit difference exactly.",
)


@torch.no_grad()
def as_loaded(model):
    """As from_pretrained leaves a model: nothing is written along the mean of the stream."""
    for block in model.blocks:
        block.attn.W_O -= block.attn.W_O.mean(-1, keepdim=True)
        block.attn.b_O -= block.attn.b_O.mean()
    return model


@torch.no_grad()
def write_little(model):
    for name, weight in model.named_parameters():
        if name.endswith(("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")):
            weight *= 1e-3
    return model


@ex.inputs
def _(seed):
    model = as_loaded(tiny_model(seed, normalization_type="LNPre", n_layers=3, n_heads=2))
    g = torch.Generator().manual_seed(500 + seed)
    tokens = torch.randint(0, 11, (4, 5), generator=g)
    answers = torch.stack([torch.randperm(10, generator=g)[:2] for _ in range(4)])
    directions = torch.randn(4, 10, generator=g)
    deep = as_loaded(tiny_model(seed, normalization_type="LNPre", n_layers=11, n_heads=1))
    short = write_little(as_loaded(tiny_model(seed, normalization_type="LNPre", n_layers=2, n_heads=3)))
    return [
        {"what": "directions", "model": model, "answers": answers},
        {"what": "directions", "model": model, "answers": torch.tensor([[0, 3 + seed % 7]])},
        {"what": "heads", "model": model, "tokens": tokens, "directions": directions},
        {"what": "heads", "model": deep, "tokens": tokens[:1, :1], "directions": directions[:1]},
        # so short a stream that the LayerNorm's epsilon counts
        {"what": "heads", "model": short, "tokens": tokens[:2], "directions": directions[:2]},
    ]


@ex.oracle
@torch.no_grad()
def _(what, model, answers=None, tokens=None, directions=None):
    if what == "directions":
        rows = [[row[io] - row[s] for row in model.W_U.tolist()] for io, s in answers.tolist()]
        return torch.tensor(rows)
    cache = cached(model, tokens)
    shares = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            for b in range(len(tokens)):
                written = cache["z", layer][b, -1, head] @ model.W_O[layer, head]
                scale = cache["ln_final.hook_scale"][b, -1, 0]
                shares[layer, head] += (written / scale) @ directions[b] / len(tokens)
    return record(model, shares, cache)


@ex.call
def _(answer, what, model, answers=None, tokens=None, directions=None):
    if what == "directions":
        return answer.logit_directions(model, answers)
    cache = cached(model, tokens)
    return record(model, answer.head_attribution(model, cache, directions), cache)


@ex.alternative(of="logit_directions")
def columns(model, answers):
    io, s = answers.unbind(1)
    return (model.W_U[:, io] - model.W_U[:, s]).T


@ex.alternative(of="logit_directions")
def library_directions(model, answers):
    towards = model.tokens_to_residual_directions(answers)
    return towards[:, 0] - towards[:, 1]


@ex.alternative(of="head_attribution")
def layer_by_layer(model, cache, directions):
    scale = cache["ln_final.hook_scale"][:, -1]
    shares = []
    for layer in range(model.cfg.n_layers):
        z = cache["z", layer][:, -1]
        written = torch.einsum("bhe,hed->bhd", z, model.W_O[layer]) / scale[:, None]
        shares.append(torch.einsum("bhd,bd->bh", written, directions).mean(0))
    return torch.stack(shares)


@ex.alternative(of="head_attribution")
def from_the_stack(model, cache, directions):
    stack = cache.stack_head_results(layer=-1, pos_slice=-1)
    stack = cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)
    shares = (stack * directions).sum(-1).mean(-1)
    return shares.reshape(model.cfg.n_layers, model.cfg.n_heads)


ex.slip(
    "epsilon_twice",
    "Epsilon went into the scale a second time, which shows where the stream is short. The cached scale holds it already: divide by it as "
    "it is.",
    "    shares = []",
    "    scale, shares = (scale.square() + model.cfg.eps).sqrt(), []",
    of="head_attribution",
)


ex.slip(
    "embedding_direction",
    "Those are rows of W_E, the directions in which tokens enter. What a logit reads are the columns of W_U; in this model the two "
    "are different matrices.",
    "(model.W_U[:, io] - model.W_U[:, s]).T",
    "model.W_E[io] - model.W_E[s]",
    of="logit_directions",
)


ex.slip(
    "rows_of_the_unembedding",
    "W_U was indexed by rows. It is [d_model, d_vocab]: a token is a column, W_U[:, token].",
    "(model.W_U[:, io] - model.W_U[:, s]).T",
    "model.W_U[io] - model.W_U[s]",
    of="logit_directions",
)


ex.slip(
    "direction_reversed",
    "The directions point from the right name to the wrong one: IO (answers[:, 0]) minus S.",
    "model.W_U[:, io] - model.W_U[:, s]",
    "model.W_U[:, s] - model.W_U[:, io]",
    of="logit_directions",
)


ex.slip(
    "directions_transposed",
    "The result is [d_model, batch]. One row per prompt is asked for.",
    "(model.W_U[:, io] - model.W_U[:, s]).T",
    "(model.W_U[:, io] - model.W_U[:, s])",
    of="logit_directions",
)


ex.slip(
    "directions_averaged",
    "The directions of all prompts were averaged into one. Prompts have other names: averaged, the directions cancel.",
    "(model.W_U[:, io] - model.W_U[:, s]).T",
    "(model.W_U[:, io] - model.W_U[:, s]).T.mean(0)",
    of="logit_directions",
)


ex.slip(
    "directions_normalised",
    "The directions were made unit vectors. Then the shares no longer add up to the logit difference: keep their length.",
    "(model.W_U[:, io] - model.W_U[:, s]).T",
    "torch.nn.functional.normalize((model.W_U[:, io] - model.W_U[:, s]).T, dim=-1)",
    of="logit_directions",
)


ex.slip(
    "all_positions",
    "All positions were added up. The answer is predicted at the last position, so only what is written there counts directly.",
    'scale = cache["ln_final.hook_scale"][:, -1]',
    'scale = cache["ln_final.hook_scale"]',
    'z = cache["z", layer][:, -1]',
    'z = cache["z", layer]',
    '"bhe,hed->bhd", z, model.W_O[layer]) / scale[:, None]',
    '"bshe,hed->bshd", z, model.W_O[layer]) / scale[..., None]',
    '"bhd,bd->bh"',
    '"bshd,bd->bh"',
    of="head_attribution",
)


ex.slip(
    "no_scale",
    "LayerNorm's scale is missing. The stream is divided by it before the unembedding: divide by cache['ln_final.hook_scale'].",
    " / scale[:, None]",
    "",
    of="head_attribution",
)


ex.slip(
    "divides_the_cache",
    "The shares are right, but the cache is not as it was: z was divided in place (as /= does), and a slice such as [:, -1] shares its memory "
    "with the cache. Write z = z / scale.",
    '        z = cache["z", layer][:, -1]\n',
    '        z = cache["z", layer][:, -1]\n        z /= scale[:, :, None]\n',
    " / scale[:, None]",
    "",
    of="head_attribution",
)


ex.slip(
    "another_positions_scale",
    "The scale of position 0 was used. Each position has its own; take that of the last one.",
    '["ln_final.hook_scale"][:, -1]',
    '["ln_final.hook_scale"][:, 0]',
    of="head_attribution",
)


ex.slip(
    "the_layers_own_scale",
    "The scale is that of the layer's ln1, which divides what the layer reads. What is written meets the final LayerNorm.",
    "        z = cache",
    '        scale = cache["scale", layer, "ln1"][:, -1]\n        z = cache',
    of="head_attribution",
)


ex.slip(
    "flat",
    "Layers and heads were collapsed into one axis. Return [layer, head].",
    "torch.stack(shares)",
    "torch.cat(shares)",
    of="head_attribution",
)


ex.slip(
    "summed_over_prompts",
    "The prompts were summed. Take the mean, so that the number does not grow with the batch.",
    ".mean(0)",
    ".sum(0)",
    of="head_attribution",
)


ex.slip(
    "product_of_means",
    "Outputs and directions were averaged before they were multiplied. Each prompt has its own two names: multiply first, average "
    "last.",
    '"bhd,bd->bh", written, directions).mean(0)',
    '"hd,d->h", written.mean(0), directions.mean(0))',
    of="head_attribution",
)


ex.slip(
    "b_O_shared_out",
    "b_O was shared out among the heads. It belongs to no head: it is the same whatever the heads do. Leave it to a term of its own.",
    "/ scale[:, None]",
    "/ scale[:, None] + model.b_O[layer] / model.cfg.n_heads / scale[:, None]",
    of="head_attribution",
)


ex.slip(
    "values_for_z",
    "The value at the last position was used instead of z. z is what the head gathered from all positions, weighted by its pattern.",
    'cache["z", layer]',
    'cache["v", layer]',
    of="head_attribution",
)


ex.slip(
    "axes_swapped",
    "The axes are swapped: layers are rows, heads are columns.",
    "return torch.stack(shares)",
    "return torch.stack(shares).T",
    of="head_attribution",
)


ex.slip(
    "directions_added",
    "The two columns were added. What raises both logits alike does not change their difference: subtract.",
    "model.W_U[:, io] - model.W_U[:, s]",
    "model.W_U[:, io] + model.W_U[:, s]",
    of="logit_directions",
)


ex.slip(
    "only_the_right_names_direction",
    "That is the direction of answers[:, 0] alone. It also raises the logit of answers[:, 1] where the two columns are alike: subtract that "
    "column.",
    " - model.W_U[:, s]",
    "",
    of="logit_directions",
)


ex.slip(
    "multiplied_by_the_scale",
    "The output was multiplied by LayerNorm's scale. The stream is divided by it.",
    " / scale[:, None]",
    " * scale[:, None]",
    of="head_attribution",
)


ex.slip(
    "one_share_per_prompt",
    "The result has an axis for the prompts. Average over them: [layer, head].",
    ".mean(0)",
    "",
    of="head_attribution",
)


ex.equivalent(
    "The library takes the last layer when none is named.",
    "(layer=-1, pos_slice => (pos_slice",
    "layer=-1, pos_slice => pos_slice",
)

ex.equivalent(
    "The reshape that follows takes away an axis of length one.",
    "-1).mean(-1) => -1).mean(-1, keepdim=True)",
)
