"""Exercise 01.12: Temperature, top-k, top-p."""

import math

import torch
import torch.nn.functional as F

from ...exercise import exercise

ex = exercise(
    "01.12",
    "next_token_probs",
    title="Temperature, top-k, top-p",
    objective="You can write down the exact distribution that a sampling method draws from.",
    minutes=25,
    version=2,
    seeds=1,  # its many calls leave little to chance
    difficulty=3,
    importance=3,
    source="Holtzman et al. (2020), The Curious Case of Neural Text Degeneration, sections 3.1 to 3.3 (nucleus, top-k, temperature).",
    hints=[
        "Temperature divides the logits, so a small one makes the differences larger. Temperature 0 is a case of its own: 1 for the most likely "
        "token, 0 for the others.",
        "Top-k and top-p set logits to -inf; the softmax at the end makes the rest add up to 1.",
        "For top-p sort in descending order and look at cumsum - probs, what the tokens ahead of each one hold: a token stays while that is below "
        "p. Then carry the decision back with the sort's indices: dropped[order] = ...",
    ],
    why="The token that crosses p belongs to the nucleus: Holtzman et al. define the smallest set whose probability is at least p. So top-p is "
    "never empty, however small p is.",
)


@ex.inputs
def _(seed):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.tensor([0.30, 0.20, 0.15, 0.12, 0.10, 0.06, 0.04, 0.02, 0.01])
    probs = probs * (1 + 0.02 * torch.rand(9, generator=generator))
    order = torch.randperm(9, generator=generator)
    while order[0] < 5:  # the most likely token must stand far from the front
        order = torch.randperm(9, generator=generator)
    logits = torch.empty(9)
    logits[order] = probs.log()
    logits += torch.randn(1, generator=generator)
    options = [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"temperature": 0.0},
        {"temperature": 0.0, "top_k": 3, "top_p": 0.5},
        {"top_k": 3},
        {"top_k": 50},
        {"top_p": 0.6},
        {"top_p": 0.05},
        {"top_p": 1.0},
        {"top_k": 5, "top_p": 0.8},
        {"top_k": 2, "top_p": 0.9},
        {"temperature": 2.0, "top_p": 0.6},
        {"temperature": 0.7, "top_k": 6, "top_p": 0.9},
    ]
    shuffled = torch.randperm(9, generator=generator)
    others = [
        (torch.tensor([2.0, 1, 1, 1, 1, 0, 0, -1, -2])[shuffled], {"top_k": 3}),  # ties at the cut
        (
            torch.tensor([2.0, 2, 1, 1, 1, 0, 0, -1, -2])[shuffled],
            {"temperature": 0.0},
        ),  # two are the most likely
        # four of exactly a quarter each: two of them reach one half, three three quarters
        (torch.tensor([0.0] * 4 + [-200.0] * 5)[shuffled], {"top_p": 0.5}),
        (torch.tensor([0.0] * 4 + [-200.0] * 5)[shuffled], {"top_p": 0.75}),
        (logits, {"top_k": 1}),
        (logits, {"temperature": 0.01}),
        (logits + 200, {}),  # beyond 88 the exponential of a float32 is infinite
        (logits - 200, {"top_k": 4}),
        (80 * torch.randn(9, generator=generator), {"top_p": 0.9}),
        (torch.tensor([0.7]), {"top_k": 2, "top_p": 0.5}),  # a vocabulary of one
        (torch.tensor([0.7]), {"temperature": 0.0}),
    ]
    return [{"logits": logits.clone(), **option} for option in options] + [
        {"logits": own.clone(), **option} for own, option in others
    ]


@ex.oracle
def _(logits, temperature=1.0, top_k=None, top_p=None):
    scores = dict(enumerate(logits.double().tolist()))
    ranked = sorted(scores, key=scores.get, reverse=True)
    out = torch.zeros(len(scores))
    if temperature == 0:
        out[ranked[0]] = 1.0
        return out
    left = ranked[: top_k or len(ranked)]
    weight = {token: math.exp((scores[token] - scores[ranked[0]]) / temperature) for token in left}
    total, nucleus = sum(weight.values()), []
    for token in left:
        nucleus.append(token)
        if top_p is not None and sum(weight[t] for t in nucleus) / total >= top_p:
            break
    for token in nucleus:
        out[token] = weight[token] / sum(weight[t] for t in nucleus)
    return out


@ex.measure
def _(observed, logits, **_):
    # Which of several equally likely tokens is kept is free: their probabilities are compared in sorted order.
    if observed.shape != logits.shape:
        return observed
    observed = observed.clone()
    for value in logits.unique():
        observed[logits == value] = observed[logits == value].sort(descending=True).values
    return observed


@ex.call
def _(answer, logits, **options):
    return answer(logits, **options)


@ex.alternative
def mask_then_softmax(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    logits = logits / temperature
    if top_k is not None:
        kept = logits.topk(min(top_k, len(logits))).indices
        logits = torch.full_like(logits, -math.inf).scatter(0, kept, logits[kept])
    if top_p is not None:
        ordered, order = logits.sort(descending=True)
        probs = ordered.softmax(dim=-1)
        before = probs.cumsum(dim=-1) - probs
        dropped = torch.zeros(len(logits), dtype=torch.bool)
        dropped[order] = before >= top_p
        logits = logits.masked_fill(dropped, -math.inf)
    return logits.softmax(dim=-1)


@ex.alternative
def in_sorted_order_until_the_end(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return (torch.arange(len(logits)) == logits.argmax()).float()
    order = logits.argsort(descending=True)
    probs = (logits[order] / temperature).softmax(0)
    probs[slice(top_k, None) if top_k else slice(0, 0)] = 0
    probs = probs / probs.sum()
    if top_p is not None:
        size = int((probs.cumsum(0) < top_p).sum()) + 1
        probs[size:] = 0
        probs = probs / probs.sum()
    return probs[order.argsort()]


ex.slip(
    "multiplies_by_temperature",
    "The logits were multiplied by the temperature. Dividing is what makes a high temperature flat: warm atoms move about more.",
    "logits / temperature",
    "logits * temperature",
)


ex.slip(
    "divides_by_zero",
    "Temperature 0 was divided by. It stands for the limit: all probability on the most likely token. Treat it first.",
    "if temperature == 0:",
    "if False:",
)


ex.slip(
    "temperature_ignored",
    "The temperature changed nothing.",
    "logits / temperature",
    "logits + 0.0",
)


ex.slip(
    "probabilities_tempered",
    "The temperature was applied to probabilities instead of logits: softmax(softmax(x) / T) is almost flat.",
    "logits / temperature",
    "logits.softmax(dim=-1) / temperature",
)


ex.slip(
    "drops_the_crossing_token",
    "The token that crosses p was dropped, so what is left holds less than p. It belongs to the set: a token stays while those ahead of it hold "
    "less than p.",
    "before >= top_p",
    "(before + probs > top_p) & (torch.arange(len(logits)) > 0)",
)


ex.slip(
    "drops_everything",
    "With a small p nothing is left, and the softmax of nothing is NaN: the most likely token alone holds more than p and was dropped. The token "
    "that crosses p stays.",
    "before >= top_p",
    "before + probs > top_p",
)


ex.slip(
    "cumsum_unsorted",
    "The probabilities were added up in the order of the vocabulary. The nucleus is made of the most likely tokens: sort first.",
    "logits.sort(descending=True)",
    "(logits, torch.arange(len(logits)))",
)


ex.slip(
    "sorted_the_wrong_way",
    "They were sorted in ascending order, so the least likely tokens were kept. Pass descending=True.",
    "logits.sort(descending=True)",
    "logits.sort(descending=False)",
)


ex.slip(
    "order_not_undone",
    "The decision was made in sorted order and then applied in the order of the vocabulary, to other tokens. Carry it back: dropped[order] = ...",
    "dropped[order] = before >= top_p",
    "dropped = before >= top_p",
)


ex.slip(
    "keeps_one_too_few",
    "Top-k kept k - 1 tokens: the k-th most likely one stays.",
    "min(top_k, len(logits))",
    "min(top_k - 1, len(logits))",
)


ex.slip(
    "keeps_one_too_many",
    "Top-k kept one token too many.",
    "min(top_k, len(logits))",
    "min(top_k + 1, len(logits))",
)


ex.slip(
    "k_larger_than_the_vocabulary",
    "top_k was larger than the vocabulary, and topk cannot give more tokens than there are. Use min(top_k, len(logits)).",
    "min(top_k, len(logits))",
    "top_k",
)


ex.slip(
    "not_renormalised",
    "What is left does not add up to 1. Divide by its sum, or set logits to -inf before the softmax.",
    "    logits = logits / temperature\n",
    "    logits = logits / temperature\n    full = logits.softmax(dim=-1)\n",
    "return logits.softmax(dim=-1)",
    "return full * logits.isfinite()",
)


ex.slip(
    "zeros_for_minus_infinity",
    "The logits of dropped tokens were set to 0, and e^0 = 1: they may become the most likely of all. Use -inf.",
    "torch.full_like(logits, -math.inf)",
    "torch.zeros_like(logits)",
    "logits.masked_fill(dropped, -math.inf)",
    "logits.masked_fill(dropped, 0.0)",
)


ex.slip(
    "top_p_of_the_full_distribution",
    "p was measured on all tokens, as if top_p came before top_k. After top_k it is measured on what is left, which adds up to 1 again.",
    "    logits = logits / temperature\n",
    "    logits = logits / temperature\n    full = logits.softmax(dim=-1)\n",
    "ordered.softmax(dim=-1)",
    "full[order]",
)


ex.slip(
    "changes_the_logits",
    "The probabilities are right, but the logits that were passed in were divided by the temperature: /= works in place. Write logits = "
    "logits / temperature.",
    "logits = logits / temperature",
    "logits /= temperature",
)


@ex.mistake(
    "The probabilities came back in sorted order. Entry i must belong to token i: undo the sort with its indices."
)
def left_sorted(logits, temperature=1.0, top_k=None, top_p=None):
    return mask_then_softmax_once_more(logits, temperature, top_k, top_p).sort(descending=True).values


@ex.mistake(
    "The nucleus was chosen at temperature 1 and the temperature applied afterwards. Temperature comes first: it changes how many tokens are "
    "needed to reach p."
)
def temperature_last(logits, temperature=1.0, top_k=None, top_p=None):
    kept = mask_then_softmax_once_more(logits, 1.0, top_k, top_p) > 0
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    return (logits / temperature).masked_fill(~kept, -math.inf).softmax(dim=-1)


def mask_then_softmax_once_more(logits, temperature, top_k, top_p):
    """The right probabilities, for the mistakes that begin with them."""
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
    logits = logits / temperature
    ordered, order = logits.sort(descending=True)
    if top_k is not None:
        ordered[top_k:] = -math.inf
    probs = ordered.softmax(dim=-1)
    if top_p is not None:
        ordered[probs.cumsum(dim=-1) - probs >= top_p] = -math.inf
    return ordered.softmax(dim=-1)[order.argsort()]


@ex.mistake(
    "All tokens that are as likely as the k-th were kept, so there may be more than k: the logits were compared with the k-th. Keep exactly "
    "k, by the indices that topk or a sort gives."
)
def keeps_all_ties(logits, temperature=1.0, top_k=None, top_p=None):
    if top_k is not None and temperature:
        logits = logits.masked_fill(logits < logits.topk(min(top_k, len(logits))).values[-1], -math.inf)
    return mask_then_softmax_once_more(logits, temperature, None, top_p)


ex.slip(
    "one_more_when_p_is_reached_exactly",
    "Where the most likely tokens hold exactly p, one more was kept. The set is the smallest that reaches p: a token is dropped when those "
    "ahead of it hold p already, >=.",
    "before >= top_p",
    "before > top_p",
)


ex.slip(
    "temperature_0_as_1",
    "Temperature 0 gave the same as temperature 1: a plain `if temperature` is false for 0, and then nothing is divided. It stands for the "
    "limit: probability 1 for the most likely token.",
    "    if temperature == 0:\n        return F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)\n    logits = logits / temperature\n",
    "    if temperature:\n        logits = logits / temperature\n",
)


ex.slip(
    "top_p_only_without_top_k",
    "With top_k given, top_p was left out. They combine: top_k first, then top_p on what is left.",
    "if top_p is not None:",
    "if top_p is not None and top_k is None:",
)


ex.slip(
    "top_k_only_without_top_p",
    "With top_p given, top_k was left out. They combine: top_k first, then top_p on what is left.",
    "if top_k is not None:",
    "if top_k is not None and top_p is None:",
)


ex.slip(
    "logits_returned",
    "The filtered logits came back. What is asked for are probabilities: the softmax is missing.",
    "return logits.softmax(dim=-1)",
    "return logits",
)


ex.slip(
    "overflows",
    "It is right for small logits. From 89 on e^x is infinite in float32, and far below 0 it is 0. softmax takes out the maximum first.",
    "return logits.softmax(dim=-1)",
    "return logits.exp() / logits.exp().sum()",
)


ex.slip(
    "token_for_its_distribution",
    "Temperature 0 gave the id of a token. What is asked for is the distribution: 1 for that token, 0 for the others.",
    "F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)",
    "logits.argmax()",
)


ex.slip(
    "ints_at_temperature_0",
    "Temperature 0 gave integers (as one_hot does). Probabilities have the type of the logits.",
    ".to(logits.dtype)",
    "",
)


ex.slip(
    "ties_share",
    "At temperature 0 several tokens were equally likely and each got probability 1 (or a share of it). Exactly one token gets it.",
    "F.one_hot(logits.argmax(), len(logits)).to(logits.dtype)",
    "(logits == logits.max()).to(logits.dtype)",
)


@ex.mistake("A token was drawn. What is asked for is the distribution it would be drawn from.")
def draws_a_token(logits, temperature=1.0, top_k=None, top_p=None):
    probs = mask_then_softmax_once_more(logits, temperature, top_k, top_p)
    return probs if temperature == 0 else torch.multinomial(probs, 1)


@ex.mistake(
    "The probabilities came back in sorted order, except at temperature 0. Entry i must belong to token i: undo the sort with its indices."
)
def left_sorted_unless_greedy(logits, temperature=1.0, top_k=None, top_p=None):
    probs = mask_then_softmax_once_more(logits, temperature, top_k, top_p)
    return probs if temperature == 0 else probs.sort(descending=True).values


@ex.mistake(
    "The probabilities are right, but the dropped tokens' logits are now -inf in the tensor that was passed in. A division by temperature makes "
    "a new tensor only where there is one; write into a clone."
)
def writes_into_the_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature in (0, 1):
        right = mask_then_softmax_once_more(logits, temperature, top_k, top_p)
        if top_k is not None and temperature:
            logits[logits.argsort(descending=True)[top_k:]] = -math.inf
        return right
    return mask_then_softmax_once_more(logits, temperature, top_k, top_p)


ex.equivalent(
    "Logits and probabilities have one axis: the first is the last.",
    "softmax(dim=-1) => softmax(dim=0)",
    "softmax(dim=-1) => softmax(dim=-0)",
    "cumsum(dim=-1) - => cumsum(dim=0) -",
    "cumsum(dim=-1) - probs => cumsum(dim=-0) - probs",
    ".scatter(0, kept => .scatter(-1, kept",
    ").softmax(0) => ).softmax(-1)",
    ".cumsum(0) < => .cumsum(-1) <",
)
ex.equivalent(
    "top_k is at least 1 and top_p above 0: what is false is None.",
    "if top_k is not None: => if top_k:",
    "if top_p is not None: => if top_p:",
)
ex.equivalent(
    "0 and 1 are exact in half precision.",
    "logits.dtype) => logits.dtype).half().float()",
    "argmax()).float() => argmax()).float().half().float()",
)
ex.equivalent(
    "Every token is in the order, so every entry is written over.", "torch.zeros(len => torch.ones(len"
)
ex.equivalent(
    "The tensor was made here; nobody else holds it.",
    ".masked_fill( => .masked_fill_(",
    "probs = probs / probs => probs /= probs",
)
ex.equivalent(
    "A slice that ends at 0 is empty, wherever it begins.",
    "slice(0, 0)] => slice(0)]",
    "else slice(0, 0) => else slice(1, 0)",
    "else slice(0, 0) => else slice(-1, 0)",
)
ex.equivalent(
    "A tensor of one int serves as the bound of a slice.",
    "int((probs.cumsum(0) < top_p).sum() => (probs.cumsum(0) < top_p).sum(",
)
