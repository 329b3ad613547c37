"""The diagrams of the course, each a function that draws one.

The same colours mean the same everywhere: blue the residual stream and a clean run, purple what decides where to look
(QK), orange what is moved (OV), green an MLP, red the other run and what is subtracted.

    python -m cleanlens.plots.diagrams FOLDER      writes them all as SVG files
"""

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .drawing import Box, Drawing


def diagram(name: str) -> Drawing:
    """A diagram of the course by its name, one of `DIAGRAMS`. Raises KeyError for another name."""
    if name not in DIAGRAMS:
        [closest] = difflib.get_close_matches(name, DIAGRAMS, 1, 0)
        raise KeyError(
            f"no diagram named {name!r}; the closest is {closest!r}. There are {', '.join(DIAGRAMS)}."
        )
    return DIAGRAMS[name]()


def residual_stream() -> Drawing:
    """Who reads the residual stream, and who writes to it."""
    d = Drawing(
        "The residual stream",
        "From bottom to top: the token and position embeddings are added and begin the stream. In each block attention "
        "reads the stream and adds its output, then the MLP reads the new stream and adds its output. At the end the "
        "final LayerNorm and W_U read it and give logits. Nothing is overwritten: the stream is a sum.",
        520,
        600,
    )
    x = 200
    tokens = d.box(x - 60, 556, 120, 32, "tokens", bare=True)
    embed = d.box(x - 95, 500, 190, 36, "W_E[token] + W_pos[i]", "plain")
    d.arrow(tokens.top, embed.bottom)
    d.box(12, 168, 496, 300, faint=True)
    d.text(496, 186, "one block, repeated `n_layers` times", "end", small=True, soft=True)
    attn_sum, mlp_sum = d.circle(x, 346, "+", "stream"), d.circle(x, 218, "+", "stream")
    unembed = d.box(x - 95, 66, 190, 56, "LayerNorm, then W_U", "plain")
    for start, end in ((embed, attn_sum), (attn_sum, mlp_sum), (mlp_sum, unembed)):
        d.arrow(start.top, end.bottom, kind="stream", width=5)
    d.arrow(unembed.top, (x, 38))
    d.text(x, 22, "logits [pos d_vocab]")
    for y, name in ((448, "`resid_pre`"), (304, "`resid_mid`"), (146, "`resid_post`")):
        d.text(x - 14, y, name, "end", small=True)
    heads, mlp = d.box(340, 374, 124, 50, "attention\nheads", "ov"), d.box(340, 236, 124, 42, "MLP", "mlp")
    for shift in (6, 12):  # more heads behind the first
        left, top, right = heads.x + shift, heads.y - shift, heads.x + heads.width + shift
        d.line(
            (left, top + 6),
            (left, top),
            (right, top),
            (right, top + heads.height),
            (right - 6, top + heads.height),
            kind="ov",
        )
    for place, total, low, high in ((heads, attn_sum, 446, 362), (mlp, mlp_sum, 296, 236)):
        middle = place.top[0]
        d.arrow((x, low), (middle, low), place.bottom)
        d.arrow((middle, high), (middle, total.middle[1]), total.right)
        d.text(x + 70, low - 10, "reads (LayerNorm)", small=True, soft=True)
        d.text(x + 70, total.middle[1] - 10, "writes", small=True, soft=True)
    d.text(
        312,
        518,
        "the stream at the end is\nthe embeddings and all\nthat was added to them",
        "start",
        small=True,
    )
    return d


def qk_ov() -> Drawing:
    """One head as two circuits: QK says from where, OV says what."""
    d = Drawing(
        "A head is two circuits",
        "Left the source position, right the destination. QK circuit: the destination's query, made by W_Q, meets the "
        "source's key, made by W_K; their product, divided by the square root of d_head and passed through softmax, is "
        "how much the destination attends to the source. OV circuit: the source's value, made by W_V, times that "
        "weight, goes through W_O and is added to the destination's stream.",
        520,
        470,
    )
    left, right = 50, 470
    d.arrow((left, 425), (left, 30), kind="stream", width=5)
    d.arrow((right, 425), (right, 30), kind="stream", width=5)
    d.text(left - 30, 450, "stream at the source s", "start", small=True)
    d.text(right + 30, 450, "stream at the destination t", "end", small=True)
    d.text(260, 416, "QK circuit W_Q W_K^T: where to look", bold=True)
    w_k, w_q = d.box(105, 350, 76, 36, "W_K", "qk"), d.box(339, 350, 76, 36, "W_Q", "qk")
    d.arrow((left, 368), w_k.left, kind="qk")
    d.arrow((right, 368), w_q.right, kind="qk")
    score = d.box(175, 262, 170, 54, "q_t · k_s / √d_head\nsoftmax over s", "qk")
    d.arrow(w_k.top, (143, 289), score.left, kind="qk")
    d.arrow(w_q.top, (377, 289), score.right, kind="qk")
    d.text(120, 330, "k_s", small=True)
    d.text(400, 330, "q_t", small=True)
    w_v = d.box(105, 152, 76, 36, "W_V", "ov")
    times = d.circle(260, 170, "×", "ov")
    w_o = d.box(339, 152, 76, 36, "W_O", "ov")
    d.arrow((left, 170), w_v.left, kind="ov")
    d.arrow(w_v.right, times.left, kind="ov")
    d.arrow(score.top, times.bottom, kind="qk")
    d.text(270, 222, "pattern A_ts: how much", "start", small=True)
    d.arrow(times.right, w_o.left, kind="ov")
    d.text(214, 156, "v_s", small=True)
    d.text(305, 156, "z_t", small=True)
    add = d.circle(right, 90, "+", "stream")
    d.arrow(w_o.top, (377, 90), add.left, kind="ov")
    d.text(235, 120, "OV circuit W_V W_O: what is moved", bold=True)
    d.text(260, 56, "z_t is the sum over all sources s; `result` = z_t W_O", small=True, soft=True)
    return d


def folded_layer_norm() -> Drawing:
    """LayerNorm's gain and bias move into the weights that read it."""
    d = Drawing(
        "LayerNorm, folded",
        "Above, as trained: the stream is centred and scaled to length one per dimension, then multiplied by the gain, "
        "the bias is added, and a weight W with bias b reads it. Below, folded: centring and scaling stay; the gain goes "
        "into W' = diag(gain) W and the bias into b' = bias W + b. Both give the same output.",
        520,
        330,
    )

    def row(y: float, words: str, steps: list[tuple[str, float, str]]) -> list[Box]:
        d.text(14, y - 26, words, "start", bold=True)
        places, x = [], 58.0
        d.text(14, y + 26, "x", "start")
        for text, width, kind in steps:
            places.append(d.box(x, y, width, 52, text, kind))
            d.arrow((x - 24 if len(places) == 1 else x - 20, y + 26), (x, y + 26))
            x += width + 20
        d.arrow((x - 20, y + 26), (x + 4, y + 26))
        return places

    *_, gain, read = row(
        52,
        "as trained",
        [("centre\nand scale", 96, "plain"), ("⊙ γ + β", 96, "ov"), ("W, b", 96, "mlp")],
    )
    *_, folded = row(
        196, "folded", [("centre\nand scale", 96, "plain"), ("W' = diag(γ) W\nb' = β W + b", 212, "mlp")]
    )
    for place in (gain, read):
        d.arrow(place.bottom, (place.bottom[0], folded.y), kind="ov" if place is gain else "mlp", dashed=True)
    d.text(
        14,
        292,
        "Readers: `ln1` is read by W_Q, W_K, W_V; `ln2` by W_in; `ln_final` by W_U.\n"
        "Centring and scaling cannot be folded: they depend on x.",
        "start",
        small=True,
    )
    return d


def cache() -> Drawing:
    """A run, and the dictionary of all that passed its hook points."""
    d = Drawing(
        "run_with_cache",
        "Left the model as a column: embed, blocks, unembed, with a hook point at every activation. Right the cache, a "
        "dictionary: each hook point's name maps to the tensor that passed it, with its axes. Short names such as "
        "cache['pattern', 0] mean the same entries.",
        520,
        440,
    )
    d.text(86, 20, "the run", bold=True)
    d.text(345, 20, "the cache", bold=True)
    d.box(186, 36, 322, 334, faint=True)
    d.arrow((86, 390), (86, 46), kind="stream", width=5)
    d.text(86, 412, "tokens\n[batch pos]", small=True)
    entries = [
        ("`ln_final.hook_normalized`", "[batch pos d_model]", "plain", 62),
        ("`blocks.0.hook_resid_post`", "[batch pos d_model]", "stream", 112),
        ("`blocks.0.mlp.hook_post`", "[batch pos d_mlp]", "mlp", 162),
        ("`blocks.0.attn.hook_z`", "[batch pos head d_head]", "ov", 212),
        ("`blocks.0.attn.hook_pattern`", "[batch head query key]", "qk", 262),
        ("`hook_embed`", "[batch pos d_model]", "stream", 332),
    ]
    d.box(20, 140, 132, 152, faint=True)
    d.text(26, 154, "block 0", "start", small=True, soft=True)
    for name, axes, kind, y in entries:
        point = d.circle(86, y, "", kind, 8)
        d.arrow(point.right, (196, y), kind=kind, dashed=True)
        d.text(204, y - 8, name, "start")
        d.text(204, y + 10, axes, "start", small=True, soft=True)
    d.text(
        345,
        398,
        "`cache['pattern', 0]` is the short way to\n`cache['blocks.0.attn.hook_pattern']`",
        small=True,
    )
    return d


def hook_point() -> Drawing:
    """What happens at a hook point: look, or replace."""
    d = Drawing(
        "A hook point",
        "An activation f(x) comes in from the left and goes on to g at the right through a named identity. A hook "
        "attached to it is called with the activation and the hook point. If it returns None, the activation goes on "
        "as it was: reading. If it returns a tensor, that tensor goes on in its place: replacing.",
        520,
        330,
    )
    f, g = d.box(14, 40, 70, 48, "f"), d.box(436, 40, 70, 48, "g")
    point = d.box(180, 34, 160, 60, "HookPoint\n`blocks.0.hook_z`", "stream")
    d.text(260, 18, "an identity with a name", small=True, soft=True)
    d.arrow(f.right, point.left, kind="stream", width=3)
    d.arrow(point.right, g.left, kind="stream", width=3)
    d.text(131, 50, "a = f(x)", small=True)
    d.text(388, 50, "a, or a'", small=True)
    d.box(140, 150, 240, 44, "`hook(activation, hook)`", "ov")
    d.arrow((220, 94), (220, 150), kind="ov")
    d.arrow((300, 150), (300, 94), kind="ov")
    d.text(212, 122, "a", "end", small=True)
    d.text(308, 122, "what it returns", "start", small=True)
    none = d.box(14, 232, 238, 84, "returns `None`: a goes on\n\nto read, to store, to measure", "plain")
    new = d.box(268, 232, 238, 84, "returns a tensor: it goes on\n\nto ablate, to patch, to steer", "other")
    d.line((200, 194), none.top)
    d.line((320, 194), new.top)
    return d


def induction() -> Drawing:
    """Two heads that find what came after the last time."""
    d = Drawing(
        "Induction by K-composition",
        "The text reads A B … A, and the model should say B. In layer 0 the previous-token head copies A, the token "
        "before B, into the stream at B. In layer 1 the induction head's query at the second A says: I am A. The key at "
        "B, which reads what the first head wrote, says: before me stands A. They match, the head attends to B, and its "
        "OV circuit copies B to where the next token is predicted.",
        520,
        430,
    )
    columns = {"A": 70, "B": 190, "…": 310, "A ": 430}
    for name, x in columns.items():
        d.box(x - 26, 384, 52, 34, name.strip(), "plain", bare=name == "…")
        if name != "…":
            d.arrow((x, 384), (x, 24 if name == "A " else 70), kind="stream", width=5)
    d.text(430, 12, "predicts B", small=True, bold=True)
    a, b, last = columns["A"], columns["B"], columns["A "]
    head0 = d.box(a + 18, 286, 84, 46, "previous\ntoken", "ov")
    d.arrow((a, 309), head0.left, kind="ov")
    d.arrow(head0.right, (b - 3, 309), kind="ov", width=2.5)
    d.text(b + 12, 309, "writes into the stream:\n“before me stands A”", "start", small=True)
    key = d.box(b + 26, 200, 60, 36, "W_K", "qk")
    query = d.box(last - 86, 200, 60, 36, "W_Q", "qk")
    d.arrow((b + 3, 218), key.left, kind="qk", width=2.5)
    d.arrow((last - 3, 218), query.right, kind="qk", width=2.5)
    match = d.box(b + 76, 140, 88, 34, "a match", "qk")
    d.arrow(key.top, (key.top[0], 157), match.left, kind="qk")
    d.arrow(query.top, (query.top[0], 157), match.right, kind="qk")
    d.text(b + 12, 252, "“before me: A”", "start", small=True)
    d.text(last - 12, 252, "“I am A”", "end", small=True)
    ov = d.box(b + 60, 70, 120, 36, "W_V W_O", "ov")
    d.arrow((b + 3, 88), ov.left, kind="ov", width=2.5)
    d.arrow(ov.right, (last - 3, 88), kind="ov", width=2.5)
    d.arrow(match.top, ov.bottom, kind="qk")
    d.text((b + last) / 2, 52, "copies B", small=True)
    d.text(a + 14, 157, "layer 1:\ninduction\nhead", "start", small=True, bold=True)
    d.text(a + 18, 272, "layer 0:", "start", small=True, bold=True)
    return d


def denoising_and_noising() -> Drawing:
    """The two directions of activation patching, and what each one shows."""
    d = Drawing(
        "Denoising and noising",
        "Two ways to patch. Denoising: run the corrupted prompt and put one activation of the clean run in. If the "
        "answer comes back, that activation is enough. Noising: run the clean prompt and put one activation of the "
        "corrupted run in. If the answer is lost, that activation is needed.",
        520,
        470,
    )

    def panel(y: float, title: str, given: str, taken: str, words: tuple[str, str, str], asks: str) -> None:
        d.text(14, y, title, "start", bold=True)
        source, place = y + 48, y + 132
        for row, kind, word in ((source, taken, words[0]), (place, given, words[1])):
            d.text(14, row, word, "start", small=True)
            d.arrow((112, row), (392, row), kind=kind, width=3)
            for x in (160, 230, 300):
                patched = row == place and x == 230
                d.circle(x, row, "", taken if patched else kind, 13)
        d.arrow((230, source + 13), (230, place - 13), kind=taken, width=2.5)
        d.text(240, (source + place) / 2, "this one activation", "start", small=True)
        d.text(400, source, words[2].split("|")[0], "start", small=True)
        d.text(400, place, words[2].split("|")[1], "start", small=True)
        d.text(14, place + 40, asks, "start", small=True, soft=True)

    panel(
        20,
        "Denoising: is it enough?",
        "other",
        "stream",
        ("clean run\n(cached)", "corrupted run\n(patched)", "right answer|does the answer\ncome back?"),
        "recovered = (patched − corrupted) / (clean − corrupted): 0 nothing, 1 all of it",
    )
    d.line((14, 234), (506, 234), width=0.8)
    panel(
        262,
        "Noising: is it needed?",
        "stream",
        "other",
        ("corrupted run\n(cached)", "clean run\n(patched)", "wrong answer|is the answer\nlost?"),
        "lost = 1 − recovered. Where parts can stand in for each other, the two disagree.",
    )
    return d


def path_patching() -> Drawing:
    """Three runs that ask whether one head speaks to another itself."""
    d = Drawing(
        "Path patching in three runs",
        "Does a sender speak to a receiver directly? Run 1: both prompts, everything cached. Run 2: the first prompt "
        "again with every head held at its cached value but the sender, which gives what it gave on the other prompt; "
        "what arrives at the receiver is recorded. Run 3: the first prompt, free, only the receiver's input replaced by "
        "the record. The change of the answer is what this path carries.",
        520,
        575,
    )

    def run(
        y: float, title: str, kinds: tuple[str, str, str], held: bool = False, x_title: float = 14
    ) -> list[Box]:
        d.text(x_title, y, title, "start", bold=True)
        places, row, x = [], y + 56, 64
        d.line((20, row), (x, row), kind="stream" if kinds[1] == "stream" else "other", width=3)
        for kind, word in zip(kinds, ("sender", "other heads", "receiver")):
            locked = held and word == "other heads"
            places.append(
                d.box(x, row - 22, 106, 44, word + ("\n(held)" if locked else ""), kind, faint=locked)
            )
            d.arrow((x - 20, row), (x, row), width=2)
            x += 126
        d.arrow((x - 20, row), (x + 14, row), width=2)
        d.text(x + 18, row, "logits", "start", small=True)
        return places

    clean, other = "stream", "other"
    run(18, "1  the run on `tokens`, cached", (clean, clean, clean))
    flipped, *_ = run(130, "…and the run on the other tokens, cached", (other, other, other))
    sender, _, heard = run(
        272,
        "2  `tokens`, all heads held but the sender;\nwhat reaches the receiver is recorded",
        (other, clean, other),
        True,
        132,
    )
    *_, receiver = run(
        414, "3  `tokens`, free; only the receiver's\ninput is the record", (clean, clean, other)
    )
    d.arrow(flipped.bottom, sender.top, kind=other, width=2.5, dashed=True)
    d.arrow(heard.bottom, receiver.top, kind=other, width=2.5, dashed=True)
    d.text(
        14,
        536,
        "The answer changes by what this one path carries.\nIf the receiver is the logits themselves, run 2 is all.\n"
        "MLPs in between: running, as Wang et al. have them, or held. Say which.",
        "start",
        small=True,
        soft=True,
    )
    return d


def factored_matrix() -> Drawing:
    """A product that is never multiplied out."""
    d = Drawing(
        "FactoredMatrix",
        "A tall A of shape d_model by d_head times a wide B of shape d_head by d_model stands for the large square AB of "
        "shape d_model by d_model, which is never computed. A product with a vector goes through the narrow middle. "
        "Eigenvalues and singular values come from small matrices of size d_head by d_head, such as BA.",
        520,
        435,
    )
    d.box(14, 50, 34, 140, "A", "ov")
    d.text(62, 120, "·", bold=True)
    d.box(76, 103, 140, 34, "B", "qk")
    d.text(236, 120, "=")
    d.box(258, 50, 140, 140, "A B\nnever computed", faint=True)
    d.text(31, 34, "`d_head`", small=True)
    d.text(146, 88, "`d_model`", small=True)
    d.text(328, 34, "`d_model`", small=True)
    d.text(408, 120, "`d_model`\nrank at most\n`d_head`", "start", small=True)
    d.box(14, 268, 140, 34, "B", "qk")
    d.text(168, 285, "·", bold=True)
    d.box(182, 215, 34, 140, "A", "ov")
    d.text(236, 285, "=")
    d.box(258, 268, 34, 34, "B A", "other")
    d.text(302, 285, "`d_head` × `d_head`, with all the\neigenvalues of A B but zeros", "start", small=True)
    rows = [
        ("x (A B) = (x A) B", "two thin products, not a large one"),
        ("(A B)(C D) = A (B C) D", "B C is small: give it to either side"),
    ]
    for i, (formula, why) in enumerate(rows):
        d.text(14, 386 + 26 * i, formula, "start", bold=True)
        d.text(230, 386 + 26 * i, why, "start", small=True, soft=True)
    return d


# Role -> at which position it stands, how high, and what it does (Wang et al. 2022, figure 2).
IOI_ROLES = {
    "previous token": "tells S1+1 that S1 stands before it",
    "duplicate token": "at S2: this name was here before, at S1",
    "induction": "at S2: the token after S1 knows it too",
    "S-inhibition": "at END: do not look at S",
    "name mover": "at END: copies the name it looks at",
    "negative name mover": "at END: writes against the answer",
    "backup name mover": "at END: steps in when name movers are out",
}
# Where roles stand on the drawing: rows from the top, and the left edge of each box.
IOI_ROWS = (
    {"backup name mover": 10, "negative name mover": 180, "name mover": 350},
    {"S-inhibition": 350},
    {"induction": 200},
    {"previous token": 58, "duplicate token": 230},
)
IOI_COLUMNS = {"IO": 40, "S1": 125, "S1+1": 205, "S2": 320, "END": 450}
IOI_KINDS: dict[str, str] = {
    "previous token": "ov",
    "duplicate token": "ov",
    "induction": "ov",
    "S-inhibition": "qk",
    "name mover": "mlp",
    "negative name mover": "other",
    "backup name mover": "mlp",
}
# The heads of GPT-2 small, layer.head as in the paper's figure 2 and section 3.
IOI_GPT2_SMALL = {
    "previous token": ["L2H2", "L4H11"],
    "duplicate token": ["L0H1", "L0H10", "L3H0"],
    "induction": ["L5H5", "L5H8", "L5H9", "L6H9"],
    "S-inhibition": ["L7H3", "L7H9", "L8H6", "L8H10"],
    "name mover": ["L9H6", "L9H9", "L10H0"],
    "negative name mover": ["L10H7", "L11H10"],
    "backup name mover": ["L9H0", "L9H7", "L10H1", "L10H2", "L10H6", "L10H10", "L11H2", "L11H9"],
}


def ioi(roles: Mapping[str, Iterable[str]] | None = None) -> Drawing:
    """The circuit for indirect object identification (Wang et al. 2022, figure 2), with the heads that play its roles.

    Args:
        roles: heads by role, such as `{"name mover": ["L9H9"]}`; roles are those of `IOI_ROLES`. The three main
            roles (duplicate token, S-inhibition, name mover) are drawn in any case, and dashed where no head has
            one. None: all roles of the paper, without heads.

    Raises:
        ValueError: a role that the paper does not have.
    """
    found: dict[str, list[str] | None] = dict.fromkeys(IOI_ROLES)
    if roles is not None:
        found = {role: list(heads) for role, heads in roles.items()}
    if unknown := [role for role in found if role not in IOI_ROLES]:
        raise ValueError(f"ioi: no role named {unknown[0]!r}; the roles are {', '.join(IOI_ROLES)}")
    for role in ("duplicate token", "S-inhibition", "name mover"):
        found.setdefault(role, [])
    who = "; ".join(f"{role} heads{_spoken(heads)}: {IOI_ROLES[role]}" for role, heads in found.items())
    d = Drawing(
        "The circuit for indirect object identification",
        f"When Mary and John went to the park, John gave a ball to Mary. {who}.",
        520,
        0,
    )
    places: dict[str, Box] = {}
    floor = 70.0  # rows of boxes from the top down, each as high as its longest list of heads
    for row in IOI_ROWS:
        shown = {role: x for role, x in row.items() if role in found}
        heights = {role: 50 + 16 * len(_rows(found[role])) for role in shown}
        floor += max(heights.values(), default=-44)
        for role, x in shown.items():
            places[role] = _role(d, x, floor - heights[role], heights[role], role, found[role])
        floor += 44
    tokens = {}
    for (name, x), word in zip(IOI_COLUMNS.items(), ("Mary", "John", "went", "John", "to")):
        tokens[name] = d.box(x - 30, floor, 60, 30, word)
        d.text(x, floor + 44, name, small=True, soft=True)
    d.text(263, floor + 15, "…")
    d.text(388, floor + 15, "…")
    d.height = int(floor + 60)
    logits = d.box(360, 10, 150, 30, "logits: Mary", bare=True)

    movers, inhibition, duplicate = places["name mover"], places["S-inhibition"], places["duplicate token"]
    lane = movers.y + movers.height + 14
    d.arrow(
        tokens["IO"].top,
        (tokens["IO"].top[0], lane),
        (movers.x + 20, lane),
        (movers.x + 20, movers.bottom[1]),
        kind="ov",
        width=2.5,
    )
    d.text(tokens["IO"].top[0] + 8, lane + 12, "the name is copied from here", "start", small=True, soft=True)
    d.arrow(inhibition.top, (inhibition.top[0], movers.bottom[1]), kind="qk", width=2.5)
    d.text(inhibition.top[0] + 8, lane + 12, "queries", "start", small=True, soft=True)
    d.arrow(movers.top, (movers.top[0], logits.bottom[1]), kind="mlp", width=2.5)
    d.arrow(tokens["END"].top, (tokens["END"].top[0], inhibition.bottom[1]), kind="stream")
    d.arrow(tokens["S2"].top, (tokens["S2"].top[0], duplicate.bottom[1]), kind="stream")
    s1 = tokens["S1"].top[0]
    d.arrow(
        (s1 + 12, floor),
        (s1 + 12, floor - 16),
        (duplicate.x + 24, floor - 16),
        (duplicate.x + 24, duplicate.bottom[1]),
        kind="ov",
    )
    if previous := places.get("previous token"):
        d.arrow((s1 - 12, floor), (s1 - 12, previous.bottom[1]), kind="ov")
        d.arrow(
            tokens["S1+1"].top,
            (tokens["S1+1"].top[0], floor - 30),
            (previous.x + 130, floor - 30),
            (previous.x + 130, previous.bottom[1]),
            kind="stream",
        )
    turn = inhibition.bottom[1] + 18
    d.arrow(
        (duplicate.right[0] - 12, duplicate.y),
        (duplicate.right[0] - 12, turn),
        (inhibition.x + 40, turn),
        (inhibition.x + 40, inhibition.bottom[1]),
        kind="ov",
    )
    if inducting := places.get("induction"):
        d.line(inducting.top, (inducting.top[0], turn), (inhibition.x + 40, turn), kind="ov")
        if previous := places.get("previous token"):
            d.arrow(previous.top, (previous.top[0], inducting.left[1]), inducting.left, kind="ov")
    if against := places.get("negative name mover"):
        d.arrow(against.top, (against.top[0], 32), (360, 32), kind="other", dashed=True)
    if backup := places.get("backup name mover"):
        d.arrow(backup.top, (backup.top[0], 18), (360, 18), kind="mlp", dashed=True)
    return d


def _role(d: Drawing, x: float, y: float, height: float, role: str, heads: list[str] | None) -> Box:
    """A box with a role's name and the heads that play it."""
    place = d.box(x, y, 160, height, "", IOI_KINDS[role], faint=heads == [])
    d.text(
        x + 80,
        y + 24,
        role.replace(" ", "\n", 1) + ("s" if "mover" in role else "\nheads" if " " not in role else " heads"),
    )
    rows = _rows(heads)
    d.text(x + 80, y + 44 + 8 * len(rows), "\n".join(rows), small=True)
    return place


def _rows(heads: list[str] | None, width: int = 3) -> list[str]:
    """Heads as lines of text; None are no lines, and an empty list says so."""
    if heads is None:
        return []
    return [" ".join(heads[i : i + width]) for i in range(0, len(heads), width)] or ["none found"]


def _spoken(heads: list[str] | None) -> str:
    return "" if heads is None else f" ({', '.join(heads) or 'none found'})"


DIAGRAMS: dict[str, Callable[[], Drawing]] = {
    "residual_stream": residual_stream,
    "qk_ov": qk_ov,
    "folded_layer_norm": folded_layer_norm,
    "cache": cache,
    "hook_point": hook_point,
    "induction": induction,
    "denoising_and_noising": denoising_and_noising,
    "path_patching": path_patching,
    "factored_matrix": factored_matrix,
    "ioi": ioi,
}


def main(folder: Path) -> None:
    """Write every diagram to a folder as an SVG file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "diagrams"))
