"""Exercise 07.5: A deeper model with the same function."""

import torch

from ...exercise import exercise
from ...plain import Raised, attempt
from .helpers import small_model

ex = exercise(
    "07.5",
    "grow",
    title="A deeper model with the same function",
    objective="You can put a trained model into a bigger one so that nothing changes, and everything can.",
    minutes=20,
    version=5,
    difficulty=3,
    importance=3,
    source="Chen, Goodfellow and Shlens 2016, 'Net2Net', section 2.2 (function-preserving initialisation); here by the residual stream: "
    "x + 0 = x.",
    atol=1e-5,
    rtol=1e-5,
    may_change_inputs=True,
    hints=[
        "What does a layer have to write so that the residual stream passes through it unchanged? Which parameters decide what it writes?",
        "W_O, b_O, W_out and b_out of every layer become zero; then the small model's weights are copied over some of them.",
        "blocks.1.attn.W_Q goes to blocks.{layers[1]}.attn.W_Q; embed, pos_embed, ln_final and unembed keep their names. Under "
        "torch.no_grad(), with parameter.copy_().",
    ],
    why="A layer is x + f(x), so f = 0 leaves x alone to the last digit. Only what writes need be zero: queries, keys, values and W_in keep their random "
    "start, so there is a gradient for W_O at the first step and learning can begin (with everything zero it could not).",
)


def small_size(layers):
    return {"attn_only": True, "n_layers": len(layers)}


def big_model(seed, layers):
    return small_model(seed + 7, slot=2, attn_only=False, n_layers=max(4, layers[-1] + 1))


@ex.inputs
def _(seed):
    return [
        {"seed": seed, "layers": [0, 1], "extra": False},
        {"seed": seed + 50, "layers": [1, 3], "extra": False},
        {"seed": seed + 100, "layers": [0, 2], "extra": True},
        {"seed": seed + 150, "layers": [0, *range(2, 12)], "extra": False},  # layer numbers of two digits
        {"seed": seed + 200, "layers": [1, 11], "extra": False},  # 10, which is free, begins as 1 does
    ]


def small_state(seed, layers, extra):
    """A small model's parameters; with `extra` one more, that a bigger model has no place for."""
    model = small_model(seed, slot=1, **small_size(layers))
    state = {name: p.detach().clone() for name, p in model.named_parameters()}
    return state | ({"blocks.1.mlp.W_gate": torch.ones(10, 7)} if extra else {})


READ_BY_MLPS = ("mlp.W_in", "mlp.b_in", "ln2.w", "ln2.b")
FREE = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.b_Q", "attn.b_K", "attn.b_V", "ln1.w", "ln1.b")
TOKENS = torch.arange(18).reshape(2, 9) * 7 % 13


@ex.oracle
def _(seed, layers, extra):
    if extra:
        return Raised(KeyError, mentions=["mlp.W_gate"])
    small, big = small_model(seed, slot=1, **small_size(layers)), big_model(seed, layers)
    before = {name: p.detach().clone() for name, p in big.named_parameters()}
    with torch.no_grad():
        logits, cache = small.run_with_cache(TOKENS)
    # What is the same in every direction is centred away before the logits: only the stream shows it.
    stream = cache["resid_post", small.cfg.n_layers - 1]
    free = [layer for layer in range(big.cfg.n_layers) if layer not in layers]
    kept = {name: before[name] for name in before if name.endswith(READ_BY_MLPS)}
    kept |= {f"blocks.{i}.{part}": before[f"blocks.{i}.{part}"] for i in free for part in FREE}
    return {
        "logits": logits,
        "the residual stream at the end": stream,
        "still random": kept,
        "gradients reach": True,
        "small unchanged": True,
        "shares memory": False,
    }


@ex.call
def _(answer, seed, layers, extra):
    big = big_model(seed, layers)
    state = small_state(seed, layers, extra)
    outcome = attempt(answer, big, state, layers)
    if extra or isinstance(outcome, Raised):
        return outcome
    with torch.no_grad():
        logits, cache = big.run_with_cache(TOKENS)
    stream = cache["resid_post", big.cfg.n_layers - 1]
    parameters = dict(big.named_parameters())
    free = [layer for layer in range(big.cfg.n_layers) if layer not in layers]
    names = [name for name in parameters if name.endswith(READ_BY_MLPS)]
    names += [f"blocks.{i}.{part}" for i in free for part in FREE]
    kept = {name: parameters[name].detach().clone() for name in names}
    fresh = small_state(seed, layers, extra)
    unchanged = all(torch.equal(state[name], fresh[name]) for name in fresh)
    shares = any(p.data_ptr() == value.data_ptr() for p in parameters.values() for value in state.values())
    wanted = [parameters[f"blocks.{free[0]}.attn.W_O"], parameters[f"blocks.{free[0]}.mlp.W_out"]]
    reach = all(p.requires_grad for p in parameters.values())
    if reach:
        gradients = torch.autograd.grad(big(TOKENS, return_type="loss"), wanted, allow_unused=True)
        reach = all(g is not None and bool(g.abs().max() > 0) for g in gradients)
    return {
        "logits": logits,
        "the residual stream at the end": stream,
        "still random": kept,
        "gradients reach": reach,
        "small unchanged": unchanged,
        "shares memory": shares,
    }


@ex.alternative
@torch.no_grad()
def silent_then_copied(big, small, layers):
    parameters = dict(big.named_parameters())
    outputs = ("W_O", "b_O", "W_out", "b_out")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.split(".")[-1] in outputs:
                parameter.zero_()
        for name, value in small.items():
            if name.startswith("blocks."):
                _, layer, rest = name.split(".", 2)
                name = f"blocks.{layers[int(layer)]}.{rest}"
            if name not in parameters:
                raise KeyError(name)
            parameters[name].copy_(value)


@ex.alternative
def by_state_dict(big, small, layers):
    def place(name):
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(layers[int(parts[1])])
        return ".".join(parts)

    moved = {place(name): value.clone() for name, value in small.items()}
    state = big.state_dict()
    if missing := set(moved) - set(state):
        raise KeyError(f"no place for {missing}")
    silent = ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")
    state |= {name: torch.zeros_like(value) for name, value in state.items() if name.endswith(silent)}
    big.load_state_dict(state | moved)


ex.slip(
    "nothing_silenced",
    "The new layers were left as they are: they write random vectors into the stream from the first step on. Make their outputs zero.",
    "parameter.zero_()",
    "pass",
)


ex.slip(
    "biases_still_write",
    "W_O and W_out are zero but b_O and b_out are not: the new layers still add a constant.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "W_out")',
)


ex.slip(
    "mlps_still_write",
    "The MLPs still write. The small model has none, so all of the big one's must be silent, also in the layers that are filled.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "b_O")',
)


ex.slip(
    "attention_still_writes",
    "The heads of the fresh layers still write: W_O and b_O must be zero there, as W_out and b_out are.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_out", "b_out")',
)


@ex.mistake(
    "Attention still writes in layers whose number begins like that of a used one, as 10 begins with 1. A name belongs to layer 1 when it begins "
    "with 'blocks.1.', with the dot behind; or compare the whole number, name.split('.')[1]."
)
@torch.no_grad()
def number_without_its_dot(big, small, layers):
    parameters = dict(big.named_parameters())
    used = tuple(f"blocks.{layer}" for layer in layers)
    for name, parameter in parameters.items():
        if name.endswith(("W_out", "b_out")) or (name.endswith(("W_O", "b_O")) and not name.startswith(used)):
            parameter.zero_()
    for name, value in small.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            name = f"blocks.{layers[int(layer)]}.{rest}"
        if name not in parameters:
            raise KeyError(name)
        parameters[name].copy_(value)


ex.slip(
    "inputs_silenced_too",
    "The function is right, but what the new parts read with is zero as well. Then W_out and W_O get no gradient, nor do W_in and W_V: the new "
    "layers can never start to learn. Zero only what writes.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_O", "b_O", "W_out", "b_out", "W_in", "b_in", "W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V")',
)


ex.slip(
    "inputs_for_outputs",
    "What reads was set to zero, not what writes: b_O and b_out still reach the stream, and the MLP's activation of its bias too. Zero W_O, b_O, "
    "W_out, b_out.",
    '("W_O", "b_O", "W_out", "b_out")',
    '("W_V", "b_V", "W_in", "b_in")',
)


ex.slip(
    "layers_ignored",
    "The small model's layers were put into layers 0, 1, ... whatever `layers` says: layer i belongs in layers[i].",
    "layers[int(layer)]",
    "int(layer)",
)


ex.slip(
    "layers_reversed",
    "The layers are in reverse order. The second reads what the first wrote; it must stand later.",
    "layers[int(layer)]",
    "layers[::-1][int(layer)]",
)


ex.slip(
    "silenced_last",
    "The outputs were set to zero after the copying, so that the trained heads are silent as well. First silence, then copy.",
    "            parameters[name].copy_(value)",
    "            parameters[name].copy_(value)\n            if name.split('.')[-1] in outputs:\n                parameters[name].zero_()",
)


ex.slip(
    "blocks_only",
    "Only the blocks were copied. Embedding, positions, final LayerNorm and unembedding belong to the function too.",
    "            if name not in parameters:",
    "            if not name.startswith('blocks.'):\n                continue\n            if name not in parameters:",
)


ex.slip(
    "norms_forgotten",
    "The gains and biases of LayerNorm were not copied. Each layer reads through its own; with another gain it reads something else.",
    "            if name not in parameters:",
    "            if '.ln' in name or name.startswith('ln_final'):\n                continue\n            if name not in parameters:",
)


ex.slip(
    "extra_weights_dropped",
    "A weight for which the bigger model has no place was silently dropped; the function is then another one, and nobody is told. Raise a "
    "KeyError that names it.",
    "                raise KeyError(name)",
    "                continue",
)


ex.slip(
    "wires_instead_of_copies",
    "The big model's parameters are the small one's tensors themselves: training the one then changes the other. Copy the values: "
    "parameter.copy_(value).",
    "parameters[name].copy_(value)",
    "parameters[name].data = value",
)


ex.slip(
    "frozen",
    "The grown model's parameters no longer take gradients. It is supposed to go on learning: leave requires_grad as it was.",
    "    parameters = dict(big.named_parameters())",
    "    parameters = dict(big.requires_grad_(False).named_parameters())",
)


ex.slip(
    "one_digit_of_the_layer",
    "Of the layer's number only the first digit was read: from layer 10 on the weights go to other layers. Split the name at its dots.",
    "layers[int(layer)]",
    "layers[int(layer[0])]",
)


ex.slip(
    "first_layer_only",
    "Only the first of the small model's layers was copied. All of them: layer i goes to layers[i].",
    "            if name not in parameters:",
    "            if name.startswith('blocks.') and layer != '0':\n                continue\n            if name not in parameters:",
)


ex.slip(
    "readers_drawn_anew",
    "The function is right, but the new parts read with other weights than they had: the bigger model was initialised again. Leave what reads from "
    "the stream as it is.",
    "    with torch.no_grad():",
    "    with torch.no_grad():\n        for p in parameters.values():\n            p.normal_()\n    with torch.no_grad():",
)


ex.slip(
    "another_exception",
    "A weight without a place raised a ValueError. A KeyError that names the weight is asked for.",
    "raise KeyError(name)",
    "raise ValueError(name)",
)


ex.slip(
    "names_no_weight",
    "The KeyError does not say which weight has no place. Put its name into the message.",
    "raise KeyError(name)",
    'raise KeyError("a weight has no place")',
)


ex.equivalent(
    "The first and the last parameter are the embedding's and the unembedding's, and write nothing in a layer.",
    "parameters.items() => list(parameters.items())[1:]",
    "parameters.items() => list(parameters.items())[:-1]",
    "state.items() => list(state.items())[1:]",
    "state.items() => list(state.items())[:-1]",
)


ex.equivalent(
    "Looking a name up that is not there raises a KeyError that names it.",
    "if name not in parameters: raise KeyError(name) => pass",
    "raise KeyError(name) => pass",
    "if name not in parameters: raise KeyError(f'the bigger model has no parameter {name!r}') => pass",
    "raise KeyError(f'the bigger model has no parameter {name!r}') => pass",
)


ex.equivalent(
    "Loading a state copies its values.",
    "value.clone() => value",
)
