"""Exercise 02.7: The logit lens."""

import math
from itertools import pairwise

import torch

from ...exercise import exercise
from .helpers import tiny_cache, watched

ex = exercise(
    "02.7",
    "logit_lens",
    title="The logit lens",
    objective="You can read the residual stream of every layer as if the model ended there.",
    minutes=15,
    difficulty=3,
    importance=4,
    atol=1e-4,
    version=2,
    source="nostalgebraist (2020), interpreting GPT: the logit lens. Identity: the last entry is the model's logits.",
    hints=[
        "There are n_layers + 1 states of the stream: what enters each layer, and what leaves the last.",
        "To end the model at a state means: its own final LayerNorm (with the mean and standard deviation of that state), "
        "then the unembedding with its bias.",
        "[cache['resid_pre', 0], *(cache['resid_post', i] for i in range(n_layers))]; then "
        "model.unembed(model.ln_final(state)) for each, and torch.stack.",
    ],
    why="Here the LayerNorm is recomputed at each state, while attribution held its scale fixed. The questions differ: "
    "attribution asks what a term adds to the logit that came out; the lens asks what the model would have said. An early "
    "stream is short, and divided by the final scale its logits would all be close together.",
)


@ex.inputs
def _(seed):
    short = tiny_cache(seed, shape=(2, 3))  # so short a stream that the LayerNorm's epsilon counts
    for name, x in short.items():
        if "resid" in name or name.endswith(("embed", "_out")):
            x *= 1e-3
    return [
        {"cache": tiny_cache(seed)},
        {"cache": short},
        {"cache": tiny_cache(seed, attn_only=True, n_layers=2)},
        {"cache": tiny_cache(seed, shape=(1, 2), n_layers=1)},
        {"cache": tiny_cache(seed, shape=(2, 1), n_layers=12, n_heads=1)},
    ]


@ex.oracle
def _(cache):
    model, stream = cache.model, cache.cache_dict
    ln, W_U, b_U = model.ln_final, model.unembed.W_U.double(), model.unembed.b_U.double()
    states = [stream[f"blocks.{i}.hook_resid_pre"] for i in range(model.cfg.n_layers)]
    states.append(stream[f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"])
    batch, length, _ = states[0].shape
    logits = torch.zeros(len(states), batch, length, W_U.shape[1])
    for i, state in enumerate(states):
        for b in range(batch):
            for s in range(length):
                row = state[b, s].double()
                mean = sum(row.tolist()) / len(row)
                variance = sum((value - mean) ** 2 for value in row.tolist()) / len(row)
                normed = (row - mean) / math.sqrt(variance + ln.eps) * ln.w + ln.b
                logits[i, b, s] = sum(normed[d] * W_U[d] for d in range(len(row))) + b_U
    return {"the logits": logits, "the cache afterwards": "as it was"}


@ex.call
def _(answer, cache):
    return watched("the logits", answer, cache)


@ex.alternative
def stacked_then_read(cache):
    model, n_layers = cache.model, cache.model.cfg.n_layers
    states = [cache["resid_pre", i] for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]
    stack = torch.stack(states)
    normed = model.ln_final(stack)
    return normed @ model.W_U + model.b_U


@ex.alternative
def state_by_state(cache):
    model, states = cache.model, [cache["resid_pre", 0]]
    for i in range(model.cfg.n_layers):
        states.append(cache["resid_post", i])
    return torch.stack([model.unembed(model.ln_final(state)) for state in states])


@ex.alternative
def by_hand(cache):
    model = cache.model
    logits = []
    for x in cache.accumulated_resid():
        centred = x - x.mean(-1, keepdim=True)
        normed = centred / (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        logits.append((normed * model.ln_final.w + model.ln_final.b) @ model.W_U + model.b_U)
    return torch.stack(logits)


@ex.alternative
def streams_added_up(cache):
    model = cache.model
    stream = cache["embed"] + cache["pos_embed"]
    states = [stream]
    for i in range(model.cfg.n_layers):
        stream = stream + cache["attn_out", i]
        if not model.cfg.attn_only:
            stream = stream + cache["mlp_out", i]
        states.append(stream)
    return torch.stack([model.unembed(model.ln_final(state)) for state in states])


ex.slip(
    "no_layer_norm",
    "The LayerNorm is missing. The unembedding was trained on normalised vectors: without it the logits of long states "
    "are far too sure, and the mean over d_model leaks in.",
    "model.ln_final(stack)",
    "stack",
)


ex.slip(
    "layer_norm_twice",
    "The LayerNorm was applied twice. The second time it undoes the gain and bias of the first and applies them once more.",
    "model.ln_final(stack)",
    "model.ln_final(model.ln_final(stack))",
)


ex.slip(
    "final_scale_for_every_layer",
    "Every state was divided by the final state's standard deviation. That is right for attribution, where the terms must "
    "add up; the lens asks what the model would say if it ended here, so every state gets its own.",
    "model.ln_final(stack)",
    "(stack - stack.mean(-1, keepdim=True)) / cache['ln_final.hook_scale'] * model.ln_final.w + model.ln_final.b",
)


ex.slip(
    "no_gain_and_bias",
    "The states were normalised without the final LayerNorm's gain and bias. In this model they are not folded away.",
    "model.ln_final(stack)",
    "model.ln_final(stack).sub(model.ln_final.b).div(model.ln_final.w)",
)


ex.slip(
    "no_layer_norm_bias",
    "The final LayerNorm's bias is missing. Here nothing is being shared out among components: it is the model's own last "
    "step, bias included.",
    "model.ln_final(stack)",
    "model.ln_final(stack) - model.ln_final.b",
)


ex.slip(
    "no_unembedding_bias",
    "b_U is missing. The lens is the model's own last step, bias included; the last entry must equal the model's logits.",
    " + model.b_U",
    "",
)


ex.slip(
    "another_layer_norm",
    "ln1 of the first block was used for the final LayerNorm. Each has learned a gain and a bias for its own reader; the "
    "unembedding's reader is ln_final.",
    "model.ln_final(stack)",
    "model.blocks[0].ln1(stack)",
)


ex.slip(
    "off_by_one_layer",
    "The states are one layer late: entry 0 should be what enters layer 0, the embeddings alone, and yours is what leaves "
    "it. There are n_layers + 1 states.",
    'for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]',
    'for i in range(1, n_layers)] + [cache["resid_post", n_layers - 1]] * 2',
)


ex.slip(
    "embeddings_left_out",
    "The first state is missing: what enters layer 0, the embeddings alone.",
    "for i in range(n_layers)]",
    "for i in range(1, n_layers)]",
)


ex.slip(
    "last_state_left_out",
    "The last state is missing: what leaves the last layer. Its entry is the model's own logits.",
    ' + [cache["resid_post", n_layers - 1]]',
    "",
)


ex.slip(
    "probabilities",
    "These are probabilities (softmax). Asked for are logits.",
    "normed @ model.W_U + model.b_U",
    "(normed @ model.W_U + model.b_U).softmax(-1)",
)


ex.slip(
    "layers_last",
    "The layers are not on the first axis. The order is layer, batch, position, vocabulary.",
    "torch.stack(states)",
    "torch.stack(states, dim=2)",
)


ex.slip(
    "backwards",
    "The layers are in reverse order: the first entry should be the embeddings alone.",
    "torch.stack(states)",
    "torch.stack(states[::-1])",
)


@ex.mistake(
    "What was read is what each layer wrote, not the state of the stream: the lens looks at the sum of everything so far "
    "(resid_pre and resid_post)."
)
def reads_the_writings(cache):
    model, n_layers = cache.model, cache.model.cfg.n_layers
    states = [cache["resid_pre", i] for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]
    written = states[:1] + [b - a for a, b in pairwise(states)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in written])


ex.slip(
    "log_probabilities",
    "These are log-probabilities (log_softmax). Asked for are logits.",
    "normed @ model.W_U + model.b_U",
    "(normed @ model.W_U + model.b_U).log_softmax(-1)",
)


ex.slip(
    "no_positions_in_the_first_state",
    "The first state is the token embedding alone. What enters layer 0 is embed + pos_embed: cache['resid_pre', 0].",
    "states = [",
    "states = [cache['embed']] + [",
    "for i in range(n_layers)]",
    "for i in range(1, n_layers)]",
)


@ex.mistake(
    "Each state went through the LayerNorm of the layer that reads it next (ln1 of that block). The lens asks what the model would "
    "say if it ended here, and it ends with ln_final."
)
def next_layers_layer_norm(cache):
    model = cache.model
    logits = [model.unembed(block.ln1(cache["resid_pre", i])) for i, block in enumerate(model.blocks)]
    logits.append(model.unembed(model.ln_final(cache["resid_post", model.cfg.n_layers - 1])))
    return torch.stack(logits)


ex.slip(
    "last_position_only",
    "Only the last position is there. The lens reads every position.",
    "return normed @ model.W_U + model.b_U",
    "return (normed @ model.W_U + model.b_U)[:, :, -1]",
)


ex.slip(
    "layers_on_axis_1",
    "The layers are on axis 1, behind the batch. The order is layer, batch, position, vocabulary.",
    "torch.stack(states)",
    "torch.stack(states, dim=1)",
)


@ex.mistake(
    "There is a state in the middle of every layer as well (resid_mid). Asked for are n_layers + 1: what enters each layer, and "
    "what leaves the last."
)
def states_in_the_middle(cache):
    model, states = cache.model, []
    for i in range(model.cfg.n_layers):
        states.append(cache["resid_pre", i])
        if not model.cfg.attn_only:
            states.append(cache["resid_mid", i])
    states.append(cache["resid_post", model.cfg.n_layers - 1])
    return torch.stack([model.unembed(model.ln_final(state)) for state in states])


ex.slip(
    "middle_of_the_layers",
    "The states were taken in the middle of the layers, after attention and before the MLP (resid_mid). Asked for is what enters "
    "each layer, and what leaves the last.",
    'cache["resid_pre", i]',
    'cache["resid_pre" if i == 0 or model.cfg.attn_only else "resid_mid", i]',
)


ex.slip(
    "variance_for_scale",
    "The states were divided by their variance. LayerNorm divides by its root, the standard deviation.",
    "model.ln_final(stack)",
    "(stack - stack.mean(-1, keepdim=True)) / stack.var(-1, keepdim=True, unbiased=False) * model.ln_final.w + model.ln_final.b",
)


ex.slip(
    "unbiased_deviation",
    "The standard deviation was taken with d_model - 1 in the denominator, as torch's std and var do unless told otherwise. "
    "LayerNorm divides by d_model (unbiased=False).",
    "model.ln_final(stack)",
    "(stack - stack.mean(-1, keepdim=True)) / stack.std(-1, keepdim=True) * model.ln_final.w + model.ln_final.b",
)


ex.slip(
    "axes_of_size_one_lost",
    "With one sequence or one position an axis is missing: a squeeze() without an axis drops every axis of size 1.",
    "return normed @ model.W_U + model.b_U",
    "return (normed @ model.W_U + model.b_U).squeeze()",
)


ex.slip(
    "no_epsilon",
    "LayerNorm's epsilon is missing. It is added to the variance before the root is taken, and counts where a stream is short: "
    "model.ln_final does it.",
    "model.ln_final(stack)",
    "(stack - stack.mean(-1, keepdim=True)) / stack.std(-1, keepdim=True, unbiased=False) * model.ln_final.w + model.ln_final.b",
)
