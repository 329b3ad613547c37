"""Exercise 02.8: Folding LayerNorm into its readers."""

import functools

import torch

from ...exercise import exercise
from .helpers import random_tokens, tiny_model

ex = exercise(
    "02.8",
    "fold_ln",
    title="Folding LayerNorm into its readers",
    objective="You can move the gain and bias of every LayerNorm into the weights that read it, and the model computes the "
    "same.",
    minutes=25,
    difficulty=4,
    importance=4,
    version=3,
    source="Identity: (n w + b_ln) W + b = n (w[:, None] W) + (b_ln W + b); the logits are compared in float64.",
    atol=1e-8,
    rtol=1e-9,
    hints=[
        "Who reads ln1? W_Q, W_K and W_V. Who reads ln2? W_in. Who reads ln_final? W_U. Each gets the gain on the axis that "
        "it shares with the LayerNorm: d_model.",
        "For a reader W of shape [..., d_model, out]: first b = b + b_ln @ W with the old W, then W = w[:, None] * W. "
        "Then the LayerNorm itself: its gain becomes 1, its bias 0.",
        "Copy first: new = {name: tensor.clone() for name, tensor in state.items()}. Models without MLP have no ln2. The "
        "names: blocks.0.ln1.w, blocks.0.ln1.b, blocks.0.attn.W_Q, blocks.0.attn.b_Q, blocks.0.mlp.W_in, ln_final.w, "
        "unembed.W_U, ...",
    ],
    why="A gain followed by a matrix is a matrix, and a bias followed by a matrix is a bias. After folding, what is between "
    "stream and logit is only centring, one scale, and W_U: a column of W_U is then really the direction in the stream "
    "that raises its token. The library does this on loading (fold_ln=True) and also removes the mean of W over d_model, "
    "which nobody reads.",
)


@ex.inputs
def _(seed):
    # Square at first: only so does a gain on the wrong axis give numbers at all.
    square = dict(n_layers=1, n_heads=2, d_head=7, d_model=7, d_mlp=7, d_vocab=7)
    many = dict(n_layers=12, n_heads=1, d_head=2, d_model=4, d_mlp=3)  # and text order is not that of numbers
    changes = [square, dict(n_layers=2), dict(n_layers=1, attn_only=True), many]
    states = [_state(seed, tuple(c.items())) for c in changes]
    return [{"state": {name: x.clone() for name, x in state.items()}} for state in states]


@functools.cache
def _state(seed, changes):
    return tiny_model(seed, torch.float64, **dict(changes)).state_dict()


@functools.cache
def _empty_model(sizes):
    return tiny_model(0, torch.float64, **dict(sizes))


def _model_of(state):
    """The tiny model that a state dict belongs to, sizes read off its shapes, filled with it."""
    n_heads, d_model, d_head = state["blocks.0.attn.W_Q"].shape
    n_layers = sum(name.endswith("attn.W_Q") for name in state)
    sizes = dict(n_layers=n_layers, n_heads=n_heads, d_head=d_head, d_model=d_model)
    sizes["d_vocab"] = state["embed.W_E"].shape[0]
    if "blocks.0.mlp.W_in" in state:
        sizes["d_mlp"] = state["blocks.0.mlp.W_in"].shape[1]
    model = _empty_model((*sizes.items(), ("attn_only", "d_mlp" not in sizes)))
    model.load_state_dict(state)
    return model


def _gains(name):
    return ".ln" in f".{name}" and name.endswith((".w", ".b"))


READERS = tuple(f"{kind}_{x}" for kind in ("W", "b") for x in ("Q", "K", "V", "in", "U"))
ENTRIES, NORMS, LOGITS = "the entries", "the LayerNorms", "the logits of the model with these weights"
OTHERS = "the entries that stay"


def _others(state):
    """What is neither a LayerNorm's nor a reader's."""
    return {name: x for name, x in state.items() if not _gains(name) and not name.endswith(READERS)}


@ex.oracle
def _(state):
    logits = _model_of(state)(random_tokens(3, d_vocab=7))
    reset = {name: torch.full_like(x, float(name.endswith("w"))) for name, x in state.items() if _gains(name)}
    return {ENTRIES: "all there", NORMS: reset, OTHERS: _others(state), LOGITS: logits}


@ex.measure
def _(observed, state):
    # Folding has several right forms (the mean of a reader over d_model is never read), so compare the logits.
    if not isinstance(observed, dict):
        raise ValueError("it should be a dictionary")
    if missing := [name for name in state if name not in observed]:
        return {ENTRIES: f"without {missing[0]}", NORMS: None, OTHERS: None, LOGITS: None}
    if new := [name for name in observed if name not in state]:
        text = f"with {new[0]!r}, which the model does not have"
        return {ENTRIES: text, NORMS: None, OTHERS: None, LOGITS: None}
    for name, x in state.items():
        if not torch.is_tensor(observed[name]) or observed[name].shape != x.shape:
            got = list(observed[name].shape) if torch.is_tensor(observed[name]) else "no tensor"
            text = f"{name} is {got}, it was {list(x.shape)}"
            return {ENTRIES: text, NORMS: None, OTHERS: None, LOGITS: None}
    norms = {name: x for name, x in observed.items() if _gains(name)}
    return {
        ENTRIES: "all there",
        NORMS: norms,
        OTHERS: _others(observed),
        LOGITS: _model_of(observed)(random_tokens(3, d_vocab=7)),
    }


@ex.alternative
def reader_by_reader(state):
    new = {name: tensor.clone() for name, tensor in state.items()}
    readers = {
        "ln1": [("attn.W_Q", "attn.b_Q"), ("attn.W_K", "attn.b_K"), ("attn.W_V", "attn.b_V")],
        "ln2": [("mlp.W_in", "mlp.b_in")],
    }

    def fold(ln, W_name, b_name):
        w, b, W = new[f"{ln}.w"], new[f"{ln}.b"], new[W_name]
        new[b_name] = new[b_name] + b @ W
        new[W_name] = w[:, None] * W

    def reset(ln):
        new[f"{ln}.w"] = torch.ones_like(new[f"{ln}.w"])
        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])

    n_layers = sum(name.endswith("ln1.w") for name in state)
    for layer in range(n_layers):
        block = f"blocks.{layer}."
        for ln, pairs in readers.items():
            if block + ln + ".w" in state:
                for W_name, b_name in pairs:
                    fold(block + ln, block + W_name, block + b_name)
                reset(block + ln)
    fold("ln_final", "unembed.W_U", "unembed.b_U")
    reset("ln_final")
    return new


@ex.alternative
def by_names_and_centred(state):
    new = dict(state)
    for name in state:
        place, _, leaf = name.rpartition(".")
        if leaf not in ("W_Q", "W_K", "W_V", "W_in", "W_U"):
            continue
        ln = {"attn": "ln1", "mlp": "ln2", "unembed": "ln_final"}[place.split(".")[-1]]
        ln = place.replace(place.split(".")[-1], ln)
        bias = name.replace("W_", "b_")
        new[bias] = state[bias] + torch.einsum("d,...de->...e", state[f"{ln}.b"], state[name])
        folded = torch.einsum("d,...de->...de", state[f"{ln}.w"], state[name])
        new[name] = folded - folded.mean(dim=-2, keepdim=True)
        new[f"{ln}.w"], new[f"{ln}.b"] = state[f"{ln}.w"] ** 0, state[f"{ln}.b"] * 0
    return new


ex.slip(
    "forgets_the_bias",
    "The LayerNorm's bias is lost: it was set to 0 without being carried on. Every reader's bias gets b_ln @ W.",
    "        new[b_name] = new[b_name] + b @ W\n",
    "",
)


ex.slip(
    "bias_through_the_scaled_weight",
    "The LayerNorm's bias went through the weight that already had the gain in it. The bias is added after the gain, so it "
    "passes through the old W: compute the new bias first.",
    "b @ W",
    "b @ (w[:, None] * W)",
)


ex.slip(
    "bias_replaced",
    "The reader's own bias is lost: b_ln @ W is added to it, it does not replace it.",
    "new[b_name] + b @ W",
    "b @ W",
)


ex.slip(
    "wrong_axis",
    "The gain was multiplied onto the output axis of the weight. It belongs to the axis that the weight reads, d_model: "
    "w[:, None] * W. (When both axes have the same size, nothing crashes.)",
    "w[:, None] * W",
    "w * W",
)


ex.slip(
    "bias_on_the_wrong_axis",
    "The bias was multiplied from the wrong side: W @ b_ln sums over the weight's output axis. It is b_ln @ W.",
    "b @ W",
    "W @ b",
)


ex.slip(
    "divides_by_the_gain",
    "The weights were divided by the gain. They take it over, so they are multiplied by it.",
    "w[:, None] * W",
    "W / w[:, None]",
)


ex.slip(
    "gain_not_reset",
    "The gain and bias are in the readers now, but the LayerNorm still applies them as well. Set its w to 1 and its b to 0.",
    '        new[f"{ln}.w"] = torch.ones_like(new[f"{ln}.w"])\n'
    '        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])',
    "        pass",
)


ex.slip(
    "gain_set_to_zero",
    "The LayerNorm's gain was set to 0: nothing passes any more. A gain that does nothing is 1.",
    "torch.ones_like(",
    "torch.zeros_like(",
)


ex.slip(
    "bias_not_reset",
    "The LayerNorm's bias was left in place, so it counts twice: in the readers' biases and as itself. Set it to 0.",
    '        new[f"{ln}.b"] = torch.zeros_like(new[f"{ln}.b"])\n',
    "",
)


ex.slip(
    "only_Q_folded",
    "ln1 was folded into the queries only. Keys and values read it as well.",
    ', ("attn.W_K", "attn.b_K"), ("attn.W_V", "attn.b_V")]',
    "]",
)


ex.slip(
    "values_not_folded",
    "ln1 was folded into queries and keys. The values read it as well.",
    ', ("attn.W_V", "attn.b_V")]',
    "]",
)


ex.slip(
    "mlp_not_folded",
    "ln2 and the MLP were left as they were. W_in reads ln2's output: fold it too.",
    '            if block + ln + ".w" in state:',
    '            if block + ln + ".w" in state and ln == "ln1":',
)


ex.slip(
    "final_not_folded",
    "ln_final was left as it was. Its reader is the unembedding: fold it into W_U and b_U.",
    '    fold("ln_final", "unembed.W_U", "unembed.b_U")\n    reset("ln_final")\n',
    "",
)


ex.slip(
    "first_layer_only",
    "Only layer 0 was folded. Every block has LayerNorms of its own.",
    "range(n_layers)",
    "range(1)",
)


ex.slip(
    "keys_not_folded",
    "ln1 was folded into queries and values. The keys read it as well.",
    '("attn.W_K", "attn.b_K"), ',
    "",
)


ex.slip(
    "queries_not_folded",
    "ln1 was folded into keys and values. The queries read it as well.",
    '("attn.W_Q", "attn.b_Q"), ',
    "",
)


ex.slip(
    "attention_not_folded",
    "ln1 and the attention were left as they were. W_Q, W_K and W_V read ln1's output: fold it into all three.",
    '            if block + ln + ".w" in state:',
    '            if block + ln + ".w" in state and ln == "ln2":',
)


ex.slip(
    "attention_bias_not_folded",
    "ln1's bias is lost: it was set to 0, but b_Q, b_K and b_V did not get it. (Those of the MLP and the unembedding did.) Each "
    "gets b_ln @ W on top of its own.",
    "        new[b_name] = new[b_name] + b @ W",
    '        new[b_name] = new[b_name] + (0 if "attn" in W_name else b @ W)',
)


ex.slip(
    "mlp_bias_not_folded",
    "ln2's bias is lost: it was set to 0, but b_in did not get it. (The attention and the unembedding did.) b_in gets "
    "b_ln @ W_in on top of its own.",
    "        new[b_name] = new[b_name] + b @ W",
    '        new[b_name] = new[b_name] + (0 if "mlp" in W_name else b @ W)',
)


ex.slip(
    "unembedding_bias_not_folded",
    "ln_final's bias is lost: it was set to 0, but b_U did not get it. b_U gets b_ln @ W_U on top of its own.",
    "        new[b_name] = new[b_name] + b @ W",
    '        new[b_name] = new[b_name] + (0 if "unembed" in W_name else b @ W)',
)


ex.slip(
    "attention_bias_replaced",
    "b_Q, b_K and b_V are lost: b_ln @ W is added to each, it does not replace it. (b_in and b_U are right.)",
    "        new[b_name] = new[b_name] + b @ W",
    '        new[b_name] = (0 if "attn" in W_name else new[b_name]) + b @ W',
)


ex.slip(
    "attention_bias_through_the_scaled_weight",
    "ln1's bias went through W_Q, W_K and W_V that already had the gain in them. (The MLP and the unembedding are right.) The "
    "bias is added after the gain, so it passes through the old weights: compute the new biases first.",
    "b @ W",
    'b @ (w[:, None] * W if "attn" in W_name else W)',
)


ex.slip(
    "mlp_gain_on_the_wrong_axis",
    "ln2's gain is on the wrong axis of W_in, the neurons'. It belongs to the axis that W_in reads, d_model: w[:, None] * W.",
    "w[:, None] * W",
    '(w * W if "mlp" in W_name and len(w) == W.shape[1] else w[:, None] * W)',
)


ex.slip(
    "gain_added",
    "The gain was added to the weights. It is a factor.",
    "w[:, None] * W",
    "w[:, None] + W",
)


ex.slip(
    "gain_not_folded",
    "The gain is lost: it was set to 1 without being carried on. Every reader's weight is multiplied by it.",
    "w[:, None] * W",
    "W",
)


ex.slip(
    "gain_kept_bias_reset",
    "The gain is in the readers, but the LayerNorm still has it as well, so it counts twice. Set its w to 1.",
    '        new[f"{ln}.w"] = torch.ones_like(new[f"{ln}.w"])\n',
    "",
)


ex.slip(
    "final_not_reset",
    "ln_final was folded, and then not reset: its gain and bias count twice. Set its w to 1 and its b to 0, too.",
    '    reset("ln_final")\n',
    "",
)


ex.slip(
    "last_layer_not_folded",
    "The last layer was left as it was. Every block has LayerNorms of its own.",
    "range(n_layers)",
    "range(max(1, n_layers - 1))",
)


ex.slip(
    "one_digit_of_the_layer",
    "With more than ten layers some are left as they were: only one digit of the layer's number was read (name[7]). "
    "name.split('.')[1] is the whole number.",
    "range(n_layers)",
    "range(min(n_layers, 10))",
)


ex.slip(
    "expects_ln2_everywhere",
    "It looks for ln2 in a model that has none: attention-only models have no MLP. Ask whether the name is in the state.",
    '            if block + ln + ".w" in state:',
    "            if True:",
)


@ex.mistake(
    "Only the entries that changed came back. The whole state of the model is asked for, so that it can be loaded: start from a "
    "copy of all of it."
)
def only_what_changed(state):
    readers = (
        "attn.W",
        "attn.b_Q",
        "attn.b_K",
        "attn.b_V",
        "mlp.W_in",
        "mlp.b_in",
        "unembed",
        ".ln",
        "ln_final",
    )
    return {name: x.clone() for name, x in state.items() if any(part in name for part in readers)}


ex.slip(
    "changes_the_original",
    "The result is right, but the state that was given has changed too, and with it the model it came from. Work on a copy of "
    "the dictionary.",
    "{name: tensor.clone() for name, tensor in state.items()}",
    "state",
)


ex.slip(
    "shares_the_tensors",
    "The dictionary was copied but its tensors were not: an edit in place (*= or .mul_) reaches through the copy into the "
    "model's own weights. Clone them, or assign new tensors.",
    "{name: tensor.clone() for name, tensor in state.items()}",
    "dict(state)",
    "new[W_name] = w[:, None] * W",
    "new[W_name] *= w[:, None]",
)


ex.slip(
    "loses_precision",
    "The folding was done in float32. The weights came in float64 and should stay that precise: the logits agree to seven "
    "digits only.",
    "tensor.clone() for",
    "tensor.float() for",
)


@ex.mistake(
    "The LayerNorms are folded and the logits the same, but the value biases were moved on, through W_O into b_O. That is a step of its "
    "own; here b_O stays as it is, and b_V is its own and b_ln @ W_V."
)
def value_biases_moved_on(state):
    new = reader_by_reader(state)
    for name in [name for name in new if name.endswith("b_V")]:
        W_O, b_O = name.replace("b_V", "W_O"), name.replace("b_V", "b_O")
        new[b_O] = new[b_O] + torch.einsum("he,hed->d", new[name], new[W_O])
        new[name] = torch.zeros_like(new[name])
    return new


@ex.mistake(
    "The LayerNorms are folded and the logits the same, but what writes to the stream was centred too: W_E, W_pos, W_O, W_out and their "
    "biases lost their mean over d_model. That is a step of its own; here these entries stay."
)
def writers_centred(state):
    new = reader_by_reader(state)
    for name, x in new.items():
        if name.endswith(("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")):
            new[name] = x - x.mean(dim=-1, keepdim=True)
    return new


@ex.mistake(
    "The LayerNorms' entries were dropped. Here the same model must be able to load the result: keep them, with w = 1 and "
    "b = 0. (The library changes the component to one without gain and bias instead.)"
)
def drops_the_layer_norms(state):
    return {name: x.clone() for name, x in state.items() if ".ln" not in "." + name}


ex.equivalent(
    "Nothing is changed in place afterwards, and the stub lets tensors that stay the same be shared.",
    "tensor.clone() => tensor",
)

ex.equivalent(
    "A table of names, which nobody changes, may be made once for all calls.", "{'ln1': ... => globals()..."
)

ex.equivalent(
    "The first entry of a state (W_E) and the last (b_U) are neither a LayerNorm's nor a weight that reads one.",
    "name in state)) => name in list(state)[1:]))",
    "name in state)) => name in list(state)[:-1]))",
    "name in state: => name in list(state)[1:]:",
    "name in state: => name in list(state)[:-1]:",
    "in state if => in list(state)[1:] if",
    "in state if => in list(state)[:-1] if",
)

ex.equivalent(
    "A layer that the state does not have is passed over: its names are looked for first.",
    "range(n_layers): => range(n_layers + 1):",
)

ex.equivalent(
    "What is read has mean 0 over d_model, so a constant on that axis of a reader, whatever it is, is never read.",
    "folded - folded => folded + folded",
    "new[name] = folded - folded.mean(dim=-2, keepdim=True) => new[name] = folded",
    "folded.mean(dim => folded.sum(dim",
)
