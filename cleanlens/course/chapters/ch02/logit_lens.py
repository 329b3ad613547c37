"""Exercise 02.7: The logit lens."""

import math
from itertools import pairwise

import torch

from ...exercise import exercise
from .helpers import BATCH, POS, tiny_cache, watched

ex = exercise(
    "02.7",
    "logit_lens",
    title="The logit lens",
    objective="You can read the residual stream of every layer as if the model ended there.",
    minutes=15,
    difficulty=3,
    importance=4,
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


def _stream(name):
    return name.rpartition(".")[2] in (
        "hook_resid_pre",
        "hook_resid_mid",
        "hook_resid_post",
        "hook_scale",
    ) or (name.startswith("ln_final"))


@ex.inputs
def _(seed):
    return [
        {"cache": tiny_cache(seed, _stream)},
        {"cache": tiny_cache(seed, _stream, attn_only=True, n_layers=2)},
    ]


@ex.oracle
def _(cache):
    model, stream = cache.model, cache.cache_dict
    ln, W_U, b_U = model.ln_final, model.unembed.W_U.double(), model.unembed.b_U.double()
    states = [stream[f"blocks.{i}.hook_resid_pre"] for i in range(model.cfg.n_layers)]
    states.append(stream[f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"])
    logits = torch.zeros(len(states), BATCH, POS, W_U.shape[1])
    for i, state in enumerate(states):
        for b in range(BATCH):
            for s in range(POS):
                row = state[b, s].double()
                mean = sum(row.tolist()) / len(row)
                variance = sum((value - mean) ** 2 for value in row.tolist()) / len(row)
                normed = (row - mean) / math.sqrt(variance + ln.eps) * ln.w + ln.b
                logits[i, b, s] = sum(normed[d] * W_U[d] for d in range(len(row))) + b_U
    return {"logits": logits, "changed in the cache": []}


@ex.call
def _(answer, cache):
    return watched("logits", answer, cache)


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
    "These are probabilities; asked for are logits.",
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
    "You read what each part wrote, not the state of the stream: the lens looks at the sum of everything so far "
    "(resid_pre and resid_post)."
)
def reads_the_writings(cache):
    model, n_layers = cache.model, cache.model.cfg.n_layers
    states = [cache["resid_pre", i] for i in range(n_layers)] + [cache["resid_post", n_layers - 1]]
    written = states[:1] + [b - a for a, b in pairwise(states)]
    return torch.stack([model.unembed(model.ln_final(x)) for x in written])
