"""Exercise 03.7: Build an induction circuit by hand."""

import math
import random
from collections import Counter

import torch

from ...exercise import exercise

ex = exercise(
    "03.7",
    "build_induction_model",
    title="Build an induction circuit by hand",
    objective="You can say what every weight of an induction circuit is for, because you have chosen each of them yourself.",
    minutes=60,
    difficulty=5,
    importance=5,
    source="Elhage et al. 2021, 'Induction Heads' (how induction heads work) and 'Three Kinds of Composition'.",
    hints=[
        "Give four things a place of their own in the residual stream: the position, the token, the token before, the answer. "
        "Which head reads which of them, and where does it write?",
        "Layer 0: the query at position i asks for i - 1, the key at j says j; the value is the token, written into the place "
        "of 'the token before'. Layer 1: the query is the token, the key is 'the token before', the value is the token, "
        "written into the answer's place.",
        "With pos, token, before, answer = torch.eye(d_model).split([n_ctx, d_vocab, d_vocab, d_vocab]), each is a matrix whose "
        "rows are directions: W_E = token, W_pos = pos, W_U = 20 * answer.T, W_V[0][:, :d_vocab] = token.T, W_O[0][:d_vocab] "
        "= before. A shift by one is torch.ones(n_ctx - 1).diag(-1). Scores are divided by the root of d_head, so multiply "
        "a query or key by about 30 times that root.",
    ],
    why="Every place in the residual stream has one writer and known readers: that is what keeps the four facts apart. The only "
    "link between the layers is that layer 1's keys read what layer 0 wrote: K-composition. Nothing depends on how far "
    "back the copy is, so it works at every length; a solution that counts positions in layer 1 does not.",
    seconds=20,
    version=3,
    seeds=1,  # the answer does not depend on the seed, only the prompts do
)


SHAPES = {
    "W_E": ("d_vocab", "d_model"),
    "W_pos": ("n_ctx", "d_model"),
    "W_Q": (2, "d_model", "d_head"),
    "W_K": (2, "d_model", "d_head"),
    "W_V": (2, "d_model", "d_head"),
    "W_O": (2, "d_head", "d_model"),
    "W_U": ("d_model", "d_vocab"),
}


PLACES = {  # how far back, for a token of the second repeat
    "itself": lambda n: 0,
    "the previous token": lambda n: 1,
    "the token after the earlier copy": lambda n: n - 1,
    "the earlier copy": lambda n: n,
    "the token before the earlier copy": lambda n: n + 1,
}


LATER = "not looked at yet"


def prompt(generator: torch.Generator, d_vocab: int, n: int, prefix: int) -> torch.Tensor:
    """BOS (0), `prefix` tokens, then n tokens twice; no other token occurs twice."""
    ids = 1 + torch.randperm(d_vocab - 1, generator=generator)[: prefix + n]
    return torch.cat([torch.zeros(1, dtype=torch.long), ids, ids[prefix:]])


def misfit(weights: dict, d_vocab: int, n_ctx: int) -> str | None:
    """What is wrong with the names and shapes of the weights, in words; None when they fit."""
    if missing := [name for name in SHAPES if name not in weights]:
        return f"{missing[0]} is missing"
    if extra := [name for name in weights if name not in SHAPES]:
        return f"there is no weight named {extra[0]!r}; the names are {', '.join(SHAPES)}"
    sizes = {"d_vocab": d_vocab, "n_ctx": n_ctx}
    for name, axes in SHAPES.items():
        got = list(weights[name].shape)
        if len(got) == len(axes):
            sizes |= {
                axis: size for axis, size in zip(axes, got) if axis not in sizes and isinstance(axis, str)
            }
        if got != [sizes.get(axis, axis) for axis in axes]:
            want = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else str(axis) for axis in axes)
            return f"{name} has shape {got}; expected [{want}]"
        if not torch.isfinite(weights[name]).all():
            return f"{name} holds numbers that are not finite"
    return None


def attend(weights: dict, layer: int, query_in: torch.Tensor, key_in: torch.Tensor, mask: bool = True):
    """The pattern of a layer's only head, whose queries and keys may read different streams."""
    q, k = query_in @ weights["W_Q"][layer], key_in @ weights["W_K"][layer]
    scores = q @ k.T / math.sqrt(weights["W_Q"].shape[-1])
    if mask:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
    return scores.softmax(-1)


def write(weights: dict, layer: int, pattern: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What a layer's only head adds to the residual stream x."""
    return pattern @ (x @ weights["W_V"][layer]) @ weights["W_O"][layer]


class Run(dict):
    """What the model computes on one prompt, and what it would compute with a wire cut; made when first asked for."""

    def __missing__(self, name: str) -> torch.Tensor:
        self[name] = VIEWS[name](self["weights"], self)
        return self[name]


VIEWS = {
    "embedding": lambda w, run: w["W_E"][run["tokens"]] + w["W_pos"][: len(run["tokens"])],
    "layer 0": lambda w, run: attend(w, 0, run["embedding"], run["embedding"]),
    "before the mask": lambda w, run: attend(w, 0, run["embedding"], run["embedding"], mask=False),
    "middle": lambda w, run: run["embedding"] + write(w, 0, run["layer 0"], run["embedding"]),
    "layer 1": lambda w, run: attend(w, 1, run["middle"], run["middle"]),
    "without keys": lambda w, run: attend(w, 1, run["middle"], run["embedding"]),
    "without queries": lambda w, run: attend(w, 1, run["embedding"], run["middle"]),
    "without both": lambda w, run: attend(w, 1, run["embedding"], run["embedding"]),
    "logits": lambda w, run: (run["middle"] + write(w, 1, run["layer 1"], run["middle"])) @ w["W_U"],
    "logits without layer 1": lambda w, run: run["middle"] @ w["W_U"],
    "layer 1's weights": lambda w, run: attend(w, 1, run["embedding"], run["embedding"]),
}


def run_by_hand(weights: dict, tokens: torch.Tensor) -> Run:
    """The two-layer attention-only model of these weights, without LayerNorm or biases, on one prompt."""
    return Run(weights=weights, tokens=tokens)


def second_half(n: int, prefix: int) -> torch.Tensor:
    return torch.arange(1 + prefix + n, 1 + prefix + 2 * n)


def attention_at(runs: list, which: str, distance) -> torch.Tensor:
    """The attention of each prompt's second half to the token `distance(n)` back: its mean, prompt by prompt."""
    means = []
    for _, n, prefix, run in runs:
        q = second_half(n, prefix)
        means.append(run[which][q, q - distance(n)].mean())
    return torch.stack(means)


def uniform(runs: list, which: str) -> bool:
    """Whether every token of the second half looks at all that it sees alike."""
    for _, n, prefix, run in runs:
        for q in second_half(n, prefix).tolist():
            row = run[which][q, : q + 1]
            if float(row.max() - row.min()) > 1e-3:
                return False
    return True


def sharpness(shares: torch.Tensor) -> str:
    """In words, how much of the attention of each query goes to its place."""
    if shares.mean() > 0.9:
        return "sharp"
    high = int((shares > 0.9).sum())
    if high and (shares < 0.5).any():
        return f"sharp at {high} of {len(shares)} queries, spread out at others"
    return "spread out"


def looks_at(runs: list, which: str) -> str:
    """In words, where a head looks from the second half."""
    if uniform(runs, which):
        return "everything alike"
    shares = {name: float(attention_at(runs, which, distance).mean()) for name, distance in PLACES.items()}
    if strong := [name for name, share in shares.items() if share >= 0.3]:
        return " and ".join(strong)
    usual = []
    for _, n, prefix, run in runs:
        if n >= 18:
            q = second_half(n, prefix)
            [(distance, count)] = Counter((q - run[which][q].argmax(-1)).tolist()).most_common(1)
            usual.append(distance if count > n / 3 else None)
    if len(set(usual)) == 1 and usual[0] is not None and usual[0] > 1:
        return "a fixed distance back"
    # a weak preference counts when it is the same in every prompt
    preferred = set()
    for entry in runs:
        if entry[1] > 2:  # two places are one in shorter ones
            here = {name: float(attention_at([entry], which, place)) for name, place in PLACES.items()}
            preferred.add(max(here, key=here.__getitem__))
    return preferred.pop() if len(preferred) == 1 else "no place in particular"


def moved_by(runs: list, part: str) -> float:
    """The share of layer 1's attention that moves when its `part` ("keys", "queries") cannot read layer 0's output."""
    moved = []
    for _, n, prefix, run in runs:
        change = (run["layer 1"] - run[f"without {part}"])[second_half(n, prefix)]
        moved.append(float(change.abs().sum(-1).mean()) / 2)
    return max(moved)


def prediction(runs: list, which: str) -> str:
    """In words, which token has the highest logit in the second half."""
    counts, total = Counter(), 0
    for tokens, n, prefix, run in runs:
        for q in second_half(n, prefix)[:-1].tolist():
            logits = run[which][q]
            best = int(logits.argmax()) if float(logits.max() - logits.min()) > 1e-6 else None
            counts["the next token"] += best == tokens[q + 1]
            counts["the current token"] += best == tokens[q]
            counts["the token before it"] += best == tokens[q - 1]
            counts["nothing: all logits are equal"] += best is None
            total += 1
    name, count = counts.most_common(1)[0]
    return name if count > 0.95 * total else "now this, now that"


@ex.inputs
def _(seed):
    return [
        {"d_vocab": 48, "n_ctx": 80, "seed": seed},
        {"d_vocab": 90, "n_ctx": 72, "seed": seed + 1000},
        {"d_vocab": 9, "n_ctx": 17, "seed": seed + 2000},
        {"d_vocab": 4, "n_ctx": 7, "seed": seed + 3000},  # so short that every position counts
    ]


@ex.call
def _(answer, d_vocab, n_ctx, seed):
    return answer(d_vocab, n_ctx)


@ex.oracle
def _(d_vocab, n_ctx, seed):
    return {
        "the weights": "fit together",
        "layer 0 looks at": "the previous token",
        "layer 0's attention": "sharp",
        "layer 1 looks at": "the token after the earlier copy",
        "layer 1's attention": "sharp",
        "layer 1 uses what layer 0 wrote": "in its keys",
        "the model predicts": "the next token",
        "loss on the second half": "below 0.1",
    }


@ex.measure
def _(observed, d_vocab, n_ctx, seed):
    """What a right model does, fact by fact, up to the first that is not so; then what helps to say why."""
    if not isinstance(observed, dict):
        raise ValueError("it should be a dictionary of tensors")
    if other := [name for name, value in observed.items() if not torch.is_tensor(value)]:
        raise ValueError(f"it should be a dictionary of tensors, and {other[0]} is none")
    weights = dict(observed)
    found = dict.fromkeys(
        [
            "the weights",
            "layer 0 looks at",
            "layer 0's attention",
            "layer 1 looks at",
            "layer 1's attention",
            "layer 1 uses what layer 0 wrote",
            "the model predicts",
            "loss on the second half",
        ],
        LATER,
    )
    found["the weights"] = misfit(weights, d_vocab, n_ctx) or "fit together"
    if found["the weights"] != "fit together":
        return found
    weights = {name: value.double() for name, value in weights.items()}
    generator, rng = torch.Generator().manual_seed(seed), random.Random(seed)
    # the answer does not know these
    lengths = [rng.randint(5, 8), rng.randint(9, 13), *rng.sample(range(18, 34), 4)]
    prefixes = [0, 3, 0, 0, 4, 2]
    longest = min((n_ctx - 1) // 2, d_vocab - 1)  # and one that fills the context, or uses up the vocabulary
    lengths, prefixes = [*lengths, longest], [*prefixes, 0]
    if d_vocab < 30:
        lengths, prefixes = [2, 5, longest - 2, longest], [1, 3, 2, 0]
    if d_vocab < 6:
        lengths, prefixes = [longest], [0]
    runs = []
    for n, prefix in zip(lengths, prefixes):
        tokens = prompt(generator, d_vocab, n, prefix)
        runs.append((tokens, n, prefix, run_by_hand(weights, tokens)))

    found["layer 0 looks at"] = looks_at(runs, "layer 0")
    if found["layer 0 looks at"] in ("everything alike", "no place in particular"):
        ahead = [run["before the mask"].diagonal(1).mean() for *_, run in runs]
        if min(ahead) > 0.3:
            found["layer 0 looks at"] += " (without the mask: at the next token)"
        elif looks_at(runs, "layer 1's weights") == "the previous token":
            found["layer 0 looks at"] += " (with layer 1's weights: at the previous token)"
    if found["layer 0 looks at"] != "the previous token":
        return found
    worst = min((run["layer 0"].diagonal(-1) for *_, run in runs), key=lambda shares: shares.mean())
    found["layer 0's attention"] = sharpness(worst)
    if found["layer 0's attention"] != "sharp":
        return found

    found["layer 1 looks at"] = looks_at(runs, "layer 1")
    if found["layer 1 looks at"] in ("a fixed distance back", "everything alike", "no place in particular"):
        return found
    right_place = found["layer 1 looks at"] == "the token after the earlier copy"
    if right_place:
        place = PLACES["the token after the earlier copy"]
        rows = [
            run["layer 1"][q, q - place(n)] for _, n, prefix, run in runs for q in [second_half(n, prefix)]
        ]
        found["layer 1's attention"] = sharpness(min(rows, key=lambda shares: shares.mean()))
        if found["layer 1's attention"] != "sharp":
            return found
    used = [part for part in ("keys", "queries") if moved_by(runs, part) > 0.1]
    found["layer 1 uses what layer 0 wrote"] = (
        f"in its {' and '.join(used)}" if used else "neither in its keys nor its queries"
    )
    if not right_place or used != ["keys"]:
        if used:
            alone = looks_at(runs, "without both")
            found["layer 1 uses what layer 0 wrote"] += f" (without it, it looks at {alone})"
        else:
            found["the model predicts"] = prediction(runs, "logits")
        return found

    found["the model predicts"] = prediction(runs, "logits")
    if found["the model predicts"] != "the next token":
        found["the model predicts"] += f" (without layer 1: {prediction(runs, 'logits without layer 1')})"
        said = max(float((run["logits"] - run["logits without layer 1"]).abs().max()) for *_, run in runs)
        if said < 1e-6:
            found["the model predicts"] += "; what layer 1 writes never reaches the logits"
        return found
    losses = []
    for tokens, n, prefix, run in runs:
        q = second_half(n, prefix)[:-1]
        losses.append(-run["logits"].log_softmax(-1)[q, tokens[q + 1]].mean())
    found["loss on the second half"] = "below 0.1" if max(losses) < 0.1 else "0.1 or more"
    return found


@ex.alternative
def four_places(d_vocab, n_ctx):
    d_model, d_head = n_ctx + 3 * d_vocab, max(n_ctx, d_vocab)
    pos, token, before, answer = torch.eye(d_model).split([n_ctx, d_vocab, d_vocab, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    # layer 0
    W_Q[0, :, :n_ctx] = sharp * pos.T @ torch.ones(n_ctx - 1).diag(-1)
    W_K[0, :, :n_ctx] = pos.T
    W_V[0, :, :d_vocab] = token.T
    W_O[0, :d_vocab] = before
    # layer 1
    W_Q[1, :, :d_vocab] = token.T * sharp
    W_K[1, :, :d_vocab] = before.T
    W_V[1, :, :d_vocab] = token.T + 0
    W_O[1, :d_vocab] = answer
    W_U = 20 * answer.T
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": W_U}


@ex.alternative
def rotated_in_float64(d_vocab, n_ctx):
    """Any orthonormal directions will do; and biases are not needed, nor equal scales."""
    d_model, d_head = n_ctx + 3 * d_vocab + 5, n_ctx + d_vocab
    generator = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, dtype=torch.float64, generator=generator))
    pos, token, before, answer, _ = basis.split([n_ctx, d_vocab, d_vocab, d_vocab, 5])
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head, dtype=torch.float64)
    W_O = torch.zeros(2, d_head, d_model, dtype=torch.float64)
    W_Q[0, :, :n_ctx], W_K[0, :, 1:n_ctx] = 40 * pos.T, 20 * pos[: n_ctx - 1].T
    W_V[0, :, :d_vocab], W_O[0, :d_vocab] = 2 * token.T, before
    W_Q[1, :, :d_vocab], W_K[1, :, :d_vocab] = 30 * token.T, 20 * before.T
    W_V[1, :, :d_vocab], W_O[1, :d_vocab] = token.T, 3 * answer
    # the answer is read in its own place, and a little of the token's: the direct path may be there, if it is weak
    W_U = 10 * answer.T + token.T
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": W_U}


@ex.alternative
def clock_positions(d_vocab, n_ctx):
    """A position as a point on a circle (two numbers); the previous one is a small turn away."""
    d_model, d_head = 2 + 2 * d_vocab, d_vocab
    angle = torch.arange(n_ctx) * math.pi / n_ctx
    place = torch.eye(d_model)
    token, before = place[2 : 2 + d_vocab], place[2 + d_vocab :]
    W_pos = torch.zeros(n_ctx, d_model)
    W_pos[:, 0], W_pos[:, 1] = angle.cos(), angle.sin()
    turn = torch.tensor(math.pi / n_ctx)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    W_Q[0, :2, :2] = 4e5 * torch.stack(
        [torch.stack([turn.cos(), -turn.sin()]), torch.stack([turn.sin(), turn.cos()])]
    )
    W_K[0, :2, :2] = torch.eye(2)
    W_V[0], W_O[0] = token.T, before
    W_Q[1], W_K[1] = 300 * token.T, before.T
    W_V[1], W_O[1] = (
        token.T,
        3 * token,
    )  # back into the token's place, three times as strong as the token itself
    return {"W_E": token, "W_pos": W_pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": 10 * token.T}


ex.slip(
    "layer_0_looks_at_itself",
    "Layer 0 looks at its own position, so every token is told what it already knows. The query at position i must match the "
    "key of position i - 1: shift by one, as torch.ones(n_ctx - 1).diag(-1) does.",
    "torch.ones(n_ctx - 1).diag(-1)",
    "torch.eye(n_ctx)",
)


ex.slip(
    "shift_reversed",
    "Layer 0's queries ask for position i + 1. The mask hides it, all that is left has the same score, and the head averages "
    "everything it sees. Turn the shift round: row i needs its 1 in column i - 1.",
    ".diag(-1)",
    ".diag(1)",
)


ex.slip(
    "no_positions",
    "Layer 0 looks everywhere equally: its scores are all the same. 'The token before me' is a matter of position: "
    "W_pos must write where it stands, and layer 0's Q and K must read that.",
    '"W_pos": pos',
    '"W_pos": 0 * pos',
)


ex.slip(
    "layer_0_not_sharp",
    "Layer 0 prefers the previous token, but much of its attention goes elsewhere: the scores (after division by the "
    "root of d_head) differ by too little. A lead of 10 or more over all others makes the softmax sharp.",
    "sharp * pos.T @",
    "pos.T @",
)


ex.slip(
    "layer_1_not_sharp",
    "Layer 1 looks at the right token, but much of its attention is elsewhere: one match has to outweigh all the "
    "other keys together, by a score of 10 or more. Either its queries and keys are too small, or tokens share "
    "directions and match each other in part; then a larger factor does not help.",
    "token.T * sharp",
    "token.T",
)


ex.slip(
    "overwrites_embedding",
    "Layer 0 writes the previous token into the place where the embedding holds the token itself. From then on nobody can tell "
    "'I am B' from 'after me came B': layer 1 matches tokens with themselves. Give the previous token directions of its own, "
    "and let layer 1's keys read those.",
    "W_O[0, :d_vocab] = before",
    "W_O[0, :d_vocab] = token",
    "= before.T",
    "= token.T",
)


ex.slip(
    "v_composition",
    "This is V- instead of K-composition: layer 1 matches token with token, finds the earlier copy (and itself), and fetches "
    "from there what layer 0 wrote, the token before. You get the past, not the future. What layer 0 wrote belongs into layer "
    "1's keys: 'the one before me was A' is the sign by which an A finds its successor.",
    "= before.T",
    "= token.T",
    "token.T + 0",
    "before.T",
)


ex.slip(
    "no_composition",
    "Layer 1 does not use layer 0 at all: it matches token with token, finds itself and its copy, and predicts the current "
    "token. Its keys should read 'the token before', which layer 0 wrote.",
    "= before.T",
    "= token.T",
)


ex.slip(
    "keys_read_an_empty_place",
    "Layer 1 looks at everything alike: all its scores are equal. Its keys (or its queries) read directions in which "
    "nothing is written: follow 'the token before' from W_O of layer 0 to W_K of layer 1, and the token from W_E to "
    "W_Q.",
    "W_O[0, :d_vocab] = before",
    "W_O[0, :d_vocab] = 0 * before",
)


ex.slip(
    "q_composition",
    "Layer 1's queries read what layer 0 wrote, and its keys read the token: so a token looks for copies of its predecessor. The "
    "other way round: the query is the current token, the key is the token before.",
    "= before.T",
    "= token.T",
    "token.T * sharp",
    "before.T * sharp",
)


ex.slip(
    "previous_matched_with_previous",
    "Both the queries and the keys of layer 1 read 'the token before', so it finds the places with the same predecessor, which "
    "are itself and its own copy. The query should be the current token.",
    "token.T * sharp",
    "before.T * sharp",
)


ex.slip(
    "copies_the_wrong_place",
    "Layer 1 looks at the right token and then fetches the wrong thing: its values read 'the token before', which there is the "
    "current token. The values must read the token itself.",
    "token.T + 0",
    "before.T",
)


ex.slip(
    "direct_path_wins",
    "Layer 1 finds the next token, but W_U also reads the current token from its place, and that vote is the stronger "
    "one. Let layer 1 write into a place that only W_U reads, or write more strongly than the embedding does.",
    "W_O[1, :d_vocab] = answer\n    W_U = 20 * answer.T",
    "W_O[1, :d_vocab] = 0.9 * token\n    W_U = 20 * token.T",
)


ex.slip(
    "votes_tie",
    "Layer 1 finds the next token, but W_U also reads the current token from its place, and the two votes are equally strong: now one "
    "wins, now the other. Let layer 1 write into a place that only W_U reads, or write more strongly than the embedding does.",
    "W_O[1, :d_vocab] = answer\n    W_U = 20 * answer.T",
    "W_O[1, :d_vocab] = token\n    W_U = 20 * token.T",
    "token.T * sharp",
    "token.T * sharp * 2",
)


ex.slip(
    "unembedding_reads_the_embedding",
    "W_U reads the token's own place (as a tied unembedding does) and nothing else: the model repeats the current token, and what "
    "layer 1 writes never reaches the logits. W_U should read where layer 1 writes.",
    "20 * answer.T",
    "20 * token.T",
)


ex.slip(
    "layers_swapped",
    "The layers have changed places: layer 1's weights look at the previous token, and layer 0 looks at everything alike, since "
    "nobody has written before it what it reads. The previous-token head comes first.",
    'return {"W_E"',
    'W_Q, W_K, W_V, W_O = W_Q.flip(0), W_K.flip(0), W_V.flip(0), W_O.flip(0)\n    return {"W_E"',
)


ex.slip(
    "previous_token_in_one_half_only",
    "Layer 0 finds the previous token at some positions only, and spreads its attention at the others. The shift must hold for every "
    "position of the context, up to n_ctx - 1.",
    "torch.ones(n_ctx - 1).diag(-1)",
    "(torch.arange(n_ctx - 1) < n_ctx // 2 - 1).float().diag(-1)",
)


ex.slip(
    "one_position_short",
    "Layer 0 finds the previous token everywhere but at the last position of the context, n_ctx - 1, where it spreads its attention: the shift "
    "is one short. In a short context this one query counts. Every position from 1 to n_ctx - 1 needs its predecessor.",
    "torch.ones(n_ctx - 1).diag(-1)",
    "(torch.arange(n_ctx - 1) < n_ctx - 2).float().diag(-1)",
)


ex.slip(
    "predicts_nothing",
    "All logits are equal. Layer 1's attention is right, but what it writes does not reach the output: layer 1's W_O "
    "must write where W_U reads.",
    "W_U = 20 * answer.T",
    "W_U = 0 * answer.T",
)


ex.slip(
    "unembeds_the_token_before",
    "W_U reads the place where layer 0 has written the token before. It should read where layer 1 writes.",
    "20 * answer.T",
    "20 * before.T",
)


ex.slip(
    "unsure_logits",
    "The right token has the highest logit, but by so little that the loss is still high: softmax over d_vocab logits needs a "
    "lead of several nats. Make W_U (or layer 1's W_O) larger.",
    "20 * answer.T",
    "answer.T",
)


ex.slip(
    "one_length_only",
    "Layer 1 looks a fixed distance back. It works for one length of the repeat and fails on every other: that is counting, not "
    "induction. Let its queries and keys compare tokens, not positions.",
    "W_Q[1, :, :d_vocab] = token.T * sharp",
    "W_Q[1, :, :n_ctx] = sharp * pos.T @ torch.ones(n_ctx, n_ctx).tril(-12).triu(-12)",
    "W_K[1, :, :d_vocab] = before.T",
    "W_K[1, :, :n_ctx] = pos.T",
)


@ex.mistake(
    "Layer 0 looks for the earlier copy of the current token. From there a model can do induction too, by handing the copy's "
    "position to layer 1's queries (Q-composition, 'pointer arithmetic'). Here the other route was asked for, the one "
    "small models learn: layer 0 looks at the previous token, and layer 1's keys read what it wrote (K-composition)."
)
def pointer_arithmetic(d_vocab, n_ctx):
    d_model, d_head = 2 * n_ctx + 2 * d_vocab, n_ctx + d_vocab
    pos, token, pointer, answer = torch.eye(d_model).split([n_ctx, d_vocab, n_ctx, d_vocab])
    sharp = 30 * math.sqrt(d_head)
    W_Q, W_K, W_V = torch.zeros(3, 2, d_model, d_head)
    W_O = torch.zeros(2, d_head, d_model)
    W_Q[0] = sharp * torch.cat([token.T, -2 * pos.T], dim=1)  # the same token, but not myself
    W_K[0] = torch.cat([token.T, pos.T], dim=1)
    W_V[0, :, :n_ctx], W_O[0, :n_ctx] = pos.T, pointer
    W_Q[1, :, :n_ctx] = sharp * pointer.T @ torch.ones(n_ctx - 1).diag(1)
    W_K[1, :, :n_ctx] = pos.T
    W_V[1, :, :d_vocab], W_O[1, :d_vocab] = token.T, answer
    return {"W_E": token, "W_pos": pos, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O, "W_U": 20 * answer.T}


ex.slip(
    "w_o_transposed",
    "W_O has the shape of W_V. It goes the other way, out of the head: [2, d_head, d_model]; transpose its last two axes.",
    '"W_O": W_O',
    '"W_O": W_O.transpose(1, 2)',
)


ex.slip(
    "w_u_transposed",
    "W_U has the shape of W_E. It turns a residual vector into one logit per token: [d_model, d_vocab], so transpose it.",
    "W_U = 20 * answer.T",
    "W_U = 20 * answer",
)


ex.equivalent(
    "Any orthonormal basis will do.",
    ".manual_seed(3) => ",
    "manual_seed(3) => manual_seed(4)",
    "manual_seed(3) => manual_seed(2)",
    ", generator=generator => ",
)


ex.equivalent(
    "The dtype of the weights is free, and float32 is exact enough for such leads.",
    "basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, dtype=torch.float64, generator=generator)) => basis, _ = torch.linalg.qr(torch.randn(d_model, d_model, generator=generator))",
    "torch.float64, => torch.float32,",
    ", dtype=torch.float64 => ",
    "torch.float64) => torch.float32)",
)


ex.equivalent(
    "What stands in directions that nobody else writes or reads, or the same in all of them, moves no score and no order of the logits.",
    "torch.zeros(3 => torch.ones(3",
    "torch.zeros(2 => torch.ones(2",
    "torch.zeros(n_ctx => torch.ones(n_ctx",
)


ex.equivalent(
    "How far a match or a logit leads is free, as long as it is far enough.",
    "sharp = 30 * math => sharp = 31 * math",
    "sharp = 30 * math => sharp = 29 * math",
    "math.sqrt(d_head) => d_head",
    "W_U = 20 * answer => W_U = 21 * answer",
    "W_U = 20 * answer => W_U = 19 * answer",
    "= (40 * pos => = (41 * pos",
    "= (40 * pos => = (39 * pos",
    ".T, 20 * pos => .T, 21 * pos",
    ".T, 20 * pos => .T, 19 * pos",
    "(2 * token. => (token.",
    "= (2 * token => = (3 * token",
    "= (2 * token => = (1 * token",
    "= (30 * token => = (31 * token",
    "= (30 * token => = (29 * token",
    ".T, 20 * before => .T, 21 * before",
    ".T, 20 * before => .T, 19 * before",
    ", 3 * answer) => , answer)",
    ".T, 3 * answer => .T, 4 * answer",
    ".T, 3 * answer => .T, 2 * answer",
    "W_U = 10 * answer => W_U = 11 * answer",
    "W_U = 10 * answer => W_U = 9 * answer",
    "= 400000.0 => = 400001.0",
    "= 400000.0 => = 399999.0",
    "= (300 * token => = (301 * token",
    "= (300 * token => = (299 * token",
    ".T, 3 * token => .T, 4 * token",
    ".T, 3 * token => .T, 2 * token",
    "W_U': 10 * token => W_U': 11 * token",
    "W_U': 10 * token => W_U': 9 * token",
)


ex.equivalent(
    "For a small angle the sine is the angle: the nearest position still leads by far.",
    "-turn.sin()]) => -turn])",
    "[turn.sin(), => [turn,",
)


ex.equivalent("Nothing is added.", "token.T + 0 => token.T - 0", "token.T + 0 => token.T")

ex.equivalent(
    "The same number in every entry of W_V adds the same to the logit of every token, and the softmax does not see it.",
    "token.T + 0 => token.T + 1",
    "token.T + 0 => token.T + -1",
)

ex.equivalent(
    "Layer 1 may write to the token's place as well, or not: its vote in the answer's place wins.",
    "answer.T + token.T => answer.T - token.T",
    ".T + token.T => .T",
)
