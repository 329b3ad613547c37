"""Exercise 02.4: The residual stream as a sum."""

import torch

from ...exercise import exercise
from .helpers import tiny_cache, watched

ex = exercise(
    "02.4",
    "decompose_resid",
    title="The residual stream as a sum",
    objective="You can take the residual stream apart into everything that was written to it, with nothing left over.",
    minutes=15,
    difficulty=2,
    importance=5,
    source="Elhage et al. (2021), A Mathematical Framework for Transformer Circuits, 'Virtual Weights and the Residual "
    "Stream as a Communication Channel'. Identity: the components sum to the stream that enters the layer.",
    version=2,
    atol=1e-4,  # the stream of a model with weights of order 1 is long
    hints=[
        "Who writes to the stream before layer L reads it? The token embedding, the position embedding, and the attention "
        "and the MLP of every layer before L. Layer L itself only reads.",
        "cache['embed'], cache['pos_embed'], cache['attn_out', i] and cache['mlp_out', i], in the order in which they "
        "were written; models with cache.model.cfg.attn_only have no mlp_out.",
        "Build the list of labels and the list of tensors in the same loop over range(layer), then torch.stack.",
    ],
    why="Nothing in a transformer ever overwrites the residual stream; each part reads it and adds to it. So the stream "
    "at any point is exactly a sum with one term per part, and whatever reads it linearly can be accounted for term by "
    "term. Check such a decomposition by its sum, but remember that a sum does not see two terms swapped.",
)


@ex.inputs
def _(seed):
    full, attention = (lambda: tiny_cache(seed)), (lambda: tiny_cache(seed, attn_only=True, n_layers=2))
    return [
        {"cache": full(), "layer": 2},
        {"cache": full(), "layer": 0},
        {"cache": full(), "layer": 3},
        {"cache": attention(), "layer": 1},
        {"cache": attention(), "layer": 2},
        {"cache": tiny_cache(seed, shape=(1, 3)), "layer": 1},
        {"cache": tiny_cache(seed, shape=(1, 1), n_layers=12, n_heads=1), "layer": 12},
    ]


@ex.oracle
def _(cache, layer):
    # What a part wrote is the difference that it made to the stream.
    stream, model = cache.cache_dict, cache.model
    length = stream["hook_embed"].shape[1]
    positions = torch.stack([model.pos_embed.W_pos[i] for i in range(length)])
    terms = {"embed": stream["blocks.0.hook_resid_pre"] - positions}
    terms["pos_embed"] = positions.expand_as(terms["embed"])
    for i in range(layer):
        pre, post = stream[f"blocks.{i}.hook_resid_pre"], stream[f"blocks.{i}.hook_resid_post"]
        mid = post if model.cfg.attn_only else stream[f"blocks.{i}.hook_resid_mid"]
        terms[f"{i}_attn_out"] = mid - pre
        if not model.cfg.attn_only:
            terms[f"{i}_mlp_out"] = post - mid
    stack = torch.stack(list(terms.values()))
    return {"what it returns": (stack, list(terms)), "the cache afterwards": "as it was"}


@ex.call
def _(answer, cache, layer):
    return watched("what it returns", answer, cache, layer)


@ex.alternative
def a_loop_over_layers(cache, layer):
    names = [("embed", "embed"), ("pos_embed", "pos_embed")]
    for i in range(layer):
        names.append((f"{i}_attn_out", ("attn_out", i)))
        if not cache.model.cfg.attn_only:
            names.append((f"{i}_mlp_out", ("mlp_out", i)))
    labels = [label for label, _ in names]
    stack = torch.stack([cache[key] for _, key in names])
    return stack, labels


@ex.alternative
def by_hook_order(cache, layer):
    parts = ["hook_embed", "hook_pos_embed"]
    parts += [n for n in cache if n.endswith("_out") and int(n.split(".")[1]) < layer]
    labels = [p.replace("blocks.", "").replace(".", "_").replace("hook_", "") for p in parts]
    return torch.cat([cache[p][None] for p in parts]), labels


@ex.alternative
def with_the_bias_put_back(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        heads = torch.einsum("bshe,hed->bsd", cache["z", i], block.attn.W_O)
        stack.append(heads + block.attn.b_O)
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["post", i] @ block.mlp.W_out + block.mlp.b_out)
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


ex.slip(
    "omits_pos_embed",
    "The position embedding is missing. It is added to the stream at the start like the token embedding, and the sum is "
    "short of it.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    'names = [("embed", "embed")]',
)


ex.slip(
    "omits_the_embeddings",
    "Both embeddings are missing. The stream does not begin at zero: the layers add to embed + pos_embed.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    "names = []",
    "stack = torch.stack([cache[key] for _, key in names])",
    'stack = torch.stack([cache[key] for _, key in names]) if names else cache["embed"][None][:0]',
)


ex.slip(
    "embeddings_in_one",
    "Token and position embedding came as one component, the sum. They are two different writers: keep them apart.",
    'names = [("embed", "embed"), ("pos_embed", "pos_embed")]',
    'names = [("embed", ("resid_pre", 0))]',
)


ex.slip(
    "includes_its_own_layer",
    "What layer `layer` writes is included, but the stream that enters the layer does not hold it yet: range(layer) ends "
    "before it.",
    "range(layer)",
    "range(min(layer + 1, cache.model.cfg.n_layers))",
)


ex.slip(
    "stops_a_layer_early",
    "The last layer before `layer` is missing: with range(layer) the loop runs up to layer - 1, included.",
    "range(layer)",
    "range(layer - 1)",
)


ex.slip(
    "ignores_the_layer",
    "All layers are always included. Only those before `layer` have written when it reads.",
    "range(layer)",
    "range(cache.model.cfg.n_layers)",
)


ex.slip(
    "no_mlps",
    "The MLPs are missing. They write to the stream too.",
    "if not cache.model.cfg.attn_only:",
    "if False:",
)


ex.slip(
    "mlp_before_attention",
    "The MLP of a layer comes before its attention. The order is that in which they write: attention first, and the MLP "
    "has read what it wrote.",
    '        names.append((f"{i}_attn_out", ("attn_out", i)))\n',
    "",
    '            names.append((f"{i}_mlp_out", ("mlp_out", i)))\n',
    '            names.append((f"{i}_mlp_out", ("mlp_out", i)))\n'
    '        names.append((f"{i}_attn_out", ("attn_out", i)))\n',
)


ex.slip(
    "all_attention_first",
    "All attention layers come first, then all MLPs. The order is that in which they write: layer by layer.",
    "labels = [label",
    'names.sort(key=lambda n: ("mlp" in n[0], "attn" in n[0]))\n    labels = [label',
)


ex.slip(
    "stream_for_writings",
    "These are states of the stream, not what was written to it: resid_post holds everything so far, so that a sum over "
    "them counts the embedding again in every layer. attn_out and mlp_out are the differences.",
    '("attn_out", i)',
    '("resid_pre", i)',
    '("mlp_out", i)',
    '("resid_post", i)',
)


ex.slip(
    "labels_swapped",
    "The tensors are right but two labels have changed places: a sum cannot see that, a reader of the figure is misled.",
    "    labels = [label for label, _ in names]\n",
    "    labels = [label for label, _ in names]\n    labels[:2] = labels[1::-1]\n",
)


ex.slip(
    "writings_swapped",
    "The attention's component stands under the MLP's label and the other way round. The sum is right all the same: "
    "that is why a decomposition is checked term by term.",
    '("attn_out", i)',
    '("attn_out" if cache.model.cfg.attn_only else "mlp_out", i)',
    '("mlp_out", i)',
    '("attn_out", i)',
)


ex.slip(
    "list_for_stack",
    "The components came as a list. Stack them into one tensor, components first: torch.stack(list).",
    "stack = torch.stack([cache[key] for _, key in names])",
    "stack = [cache[key] for _, key in names]",
)


ex.slip(
    "components_last",
    "The components are on the last axis. They come first: component, batch, position, d_model.",
    "for _, key in names])",
    "for _, key in names], dim=-1)",
)


@ex.mistake(
    "The biases are missing: the heads' results were summed, but attn_out also holds b_O (and mlp_out holds b_out). "
    "The components then do not add up to the stream."
)
def omits_the_biases(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        stack.append(cache["attn_out", i] - block.attn.b_O)
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["mlp_out", i] - block.mlp.b_out)
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


@ex.mistake(
    "The bias b_O is missing from the attention's component: the sum of the heads' results is attn_out only together "
    "with it."
)
def omits_the_attention_bias(cache, layer):
    stack, labels = [cache["embed"], cache["pos_embed"]], ["embed", "pos_embed"]
    for i, block in enumerate(cache.model.blocks[:layer]):
        stack.append(torch.einsum("bshe,hed->bsd", cache["z", i], block.attn.W_O))
        labels.append(f"{i}_attn_out")
        if not cache.model.cfg.attn_only:
            stack.append(cache["mlp_out", i])
            labels.append(f"{i}_mlp_out")
    return torch.stack(stack), labels


ex.slip(
    "expects_mlps_everywhere",
    "It looks for MLPs in a model that has none. Ask cache.model.cfg.attn_only, or look whether the name is in the cache.",
    "if not cache.model.cfg.attn_only:",
    "if True:",
)


@ex.mistake(
    "These are running sums: each entry holds everything up to it. The stream is their last one; its parts are what each "
    "added."
)
def running_sums(cache, layer):
    names = [("embed", "embed"), ("pos_embed", "pos_embed")]
    for i in range(layer):
        names.append((f"{i}_attn_out", ("attn_out", i)))
        if not cache.model.cfg.attn_only:
            names.append((f"{i}_mlp_out", ("mlp_out", i)))
    return torch.stack([cache[key] for _, key in names]).cumsum(0), [label for label, _ in names]


@ex.mistake(
    "There is one entry per layer, the state of the stream after it (resid_post). Asked for is what each part added to the "
    "stream: attn_out and mlp_out, one by one."
)
def a_state_for_each_layer(cache, layer):
    states = [cache["resid_post", i] for i in range(layer)]
    labels = ["embed", "pos_embed", *(f"{i}_resid_post" for i in range(layer))]
    return torch.stack([cache["embed"], cache["pos_embed"], *states]), labels


ex.slip(
    "components_on_axis_1",
    "The components are on axis 1, behind the batch. They come first: component, batch, position, d_model.",
    "for _, key in names])",
    "for _, key in names], dim=1)",
)


ex.slip(
    "part_before_layer_in_the_labels",
    "The tensors are right, but the labels read 'attn_out_0'. The layer comes first: '0_attn_out'.",
    'f"{i}_attn_out"',
    'f"attn_out_{i}"',
    'f"{i}_mlp_out"',
    'f"mlp_out_{i}"',
)


ex.slip(
    "hook_names_for_labels",
    "The tensors are right, but the labels are the full names of the hook points. Asked for are '0_attn_out', '0_mlp_out', ...",
    'f"{i}_attn_out"',
    'f"blocks.{i}.hook_attn_out"',
    'f"{i}_mlp_out"',
    'f"blocks.{i}.hook_mlp_out"',
)


ex.slip(
    "layers_counted_from_one",
    "The tensors are right, but the labels count the layers from 1. The first layer is layer 0.",
    'f"{i}_attn_out"',
    'f"{i + 1}_attn_out"',
    'f"{i}_mlp_out"',
    'f"{i + 1}_mlp_out"',
)


ex.slip(
    "one_layer_too_many",
    "What layer `layer` writes was asked for too, and with layer = n_layers there is no such layer: range(layer) ends before "
    "it.",
    "range(layer)",
    "range(layer + 1)",
)


ex.slip(
    "axes_of_size_one_lost",
    "With one sequence or one position the axes no longer fit: a squeeze() without an axis drops every axis of size 1.",
    "return stack, labels",
    "return stack.squeeze(), labels",
)


@ex.mistake(
    "With more than ten layers their order is that of text, '10' before '2'. Count the layers as numbers: range(layer)."
)
def layers_in_text_order(cache, layer):
    order = ["embed", "pos_embed"]
    for i in sorted(range(layer), key=str):
        order += [f"{i}_attn_out"] if cache.model.cfg.attn_only else [f"{i}_attn_out", f"{i}_mlp_out"]
    keys = [
        n if "_" not in n or n == "pos_embed" else (n.split("_", 1)[1], int(n.split("_")[0])) for n in order
    ]
    return torch.stack([cache[key] for key in keys]), order


ex.equivalent(
    "The first and the last name of a cache are no output of a layer.",
    "in cache if => in list(cache)[1:] if",
    "in cache if => in list(cache)[:-1] if",
)
