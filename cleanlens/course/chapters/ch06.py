# mypy: ignore-errors
"""Chapter 06, Indirect object identification: from a behaviour to the circuit that makes it."""

import random
import re
from functools import lru_cache

import torch

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.utils import get_act_name

from ..exercise import Chapter

chapter = Chapter("06", "ioi", "Indirect object identification")


# ---- what the checks are made of --------------------------------------------------------------------


@lru_cache(maxsize=16)
def built(tag, **settings):
    return HookedTransformer(HookedTransformerConfig(**settings))


def tiny_model(seed, **changes):
    """A small GPT-2 with random weights, biases and gains. Building takes longest: built once, written anew."""
    sizes = dict(n_layers=2, n_heads=3, d_model=10, d_head=4, d_mlp=7, n_ctx=8, d_vocab=11)
    settings = dict(act_fn="gelu_new", normalization_type="LN", device="cpu", init_weights=False)
    model = built("", **(sizes | settings | changes))
    model.reset_hooks(including_permanent=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            kind = name.rpartition(".")[2]
            width = 1 if kind.startswith("b") else weight.shape[-2] if weight.ndim > 1 else 4
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.3 / width**0.5)
            if kind == "w":  # LayerNorm's gain
                weight += 1.5
    return model


def two_runs(seed, **changes):
    """A model, two batches of tokens, and a metric: logits -> one number."""
    model = tiny_model(seed, **changes)
    generator = torch.Generator().manual_seed(1000 + seed)
    batch = 2
    clean = torch.randint(0, model.cfg.d_vocab, (batch, 5), generator=generator)
    shift = torch.randint(1, model.cfg.d_vocab, (batch, 5), generator=generator)
    corrupted = (clean + shift) % model.cfg.d_vocab  # another token at every position
    weights = torch.randn(batch, model.cfg.d_vocab, generator=generator)

    def metric(logits):
        return (logits[:, -1] * weights).sum(-1).mean()

    return model, clean, corrupted, metric


@torch.no_grad()
def cached(model, tokens):
    return model.run_with_cache(tokens)[1]


def record(model, result, *caches):
    """What came back, and what must be as before: hooks, and the activations that the answer was given."""
    return {
        "result": result,
        "hooks left on the model": sum(len(hooks) for hooks in model.list_hooks().values()),
        "given activations afterwards": [
            {name: cache[name] for name in cache if name.endswith(("resid_pre", "hook_z", "hook_pattern"))}
            for cache in caches
        ],
    }


def head_delta(model, cache, layer, head, z):
    """What changes in the stream when one head has `z` instead of its own."""
    return (z - cache["z", layer][:, :, head]) @ model.W_O[layer, head]


@torch.no_grad()
def with_changed_mid(model, cache, layer, delta, metric):
    """The metric when `delta` is added behind the attention of a layer; the rest runs on, by hand."""
    block = model.blocks[layer]
    resid_mid = cache["resid_mid", layer] + delta
    resid = resid_mid + block.mlp(block.ln2(resid_mid))
    for block in model.blocks[layer + 1 :]:
        resid = block(resid)
    return metric(model.unembed(model.ln_final(resid)))


def each_head(model, run):
    shape = (model.cfg.n_layers, model.cfg.n_heads)
    return torch.stack([run(layer, head) for layer in range(shape[0]) for head in range(shape[1])]).reshape(
        shape
    )


# ---- 06.1 -------------------------------------------------------------------------------------------

TEMPLATE = "When {A} and {B} went to the park, {S} gave a ball to"
SENTENCE = re.compile(r"When (\w+) and (\w+) went to the park, (\w+) gave a ball to")

ex = chapter.exercise(
    "06.1",
    "make_ioi",
    title="A dataset with its counterpart",
    objective="You can make clean and corrupted prompts that differ in one thing only, and answers to score both with.",
    minutes=20,
    difficulty=2,
    importance=5,
    source="Wang et al. 2022, section 2 (the task) and appendix on the dataset; the contract in the docstring.",
    hints=[
        "Filter the names first: len(tokenizer.encode(' ' + name)) == 1. Then random.Random(seed).sample(names, 2) gives "
        "two different ones.",
        "Row i: the first name of the pair stands in {A}, the second in {B}. Who gives? The second in even rows (ABBA), the "
        "first in odd ones (BABA). The corrupted prompt is the same with the other one giving.",
        "answers[i] = (' ' + the one who does not give in the CLEAN prompt, ' ' + the one who does).",
    ],
    why="One thing differs between the two prompts of a pair, the name at S2, and both are scored with the same two answers. "
    "So the logit difference changes its sign, and whatever an intervention brings back must come from that one thing.",
)


class WordTokenizer:
    """Knows some words, each with the space before it; spells the others."""

    def __init__(self, words):
        self.words = words

    def encode(self, text):
        pieces = re.findall(r" ?\w+|[^\w\s]", text)
        return [i for p in pieces for i in ([self.words.index(p)] if p in self.words else map(ord, p))]


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    long = ["Bartholomew", "Alexandrina", "Maximiliane", "Wilhelmina"]
    short = ["Mary", "John", "Ida", "Tom", "Kate"]
    names = rng.sample(short + long, 9)
    return [
        {
            "n": 40,
            "seed": 7 + seed,
            "names": names,
            "tokenizer": WordTokenizer([f" {name}" for name in short] + long),
        }
    ]


PROPERTIES = (
    "prompts in the template",
    "names of one token",
    "IO and S are different people",
    "answers are (IO, S) of the clean prompt",
    "answers begin with a space",
    "the same seed gives the same prompts",
    "another seed gives other prompts",
    "every name of one token occurs",
)


@ex.oracle
def _(n, seed, names, tokenizer):
    counts = {"clean": n, "corrupted": n, "answers": n, "names in use": 5}
    givers = {"who gives in even rows": ["B"], "who gives in odd rows": ["A"]}
    corrupted = {
        "who gives when corrupted": ["the other one"],
        "A and B when corrupted": "as in the clean prompt",
    }
    return counts | givers | corrupted | dict.fromkeys(PROPERTIES, True)


def who(name, **people):
    """The roles under which a name is known."""
    return [role for role, person in people.items() if person == name] or ["a third person"]


def kinds(found):
    return sorted({kind for some in found for kind in some})


@ex.call
def _(answer, n, seed, names, tokenizer):
    random.seed(0)  # an answer that draws from the global generator must not repeat itself by chance
    runs = [answer(n, s, names, tokenizer) for s in (seed, seed, seed + 1)]
    return {"runs": runs}


@ex.measure
def _(observed, n, seed, names, tokenizer):
    first, again, other = observed["runs"]
    clean = [SENTENCE.fullmatch(text) for text in first["clean"]]
    corrupted = [SENTENCE.fullmatch(text) for text in first["corrupted"]]
    counts = {key: len(first[key]) for key in ("clean", "corrupted", "answers")}
    if not all(clean) or not all(corrupted):
        return counts | dict.fromkeys(PROPERTIES, False)
    clean, corrupted = [m.groups() for m in clean], [m.groups() for m in corrupted]
    answers = [tuple(pair) for pair in first["answers"]]
    right = [(a if s == b else b, s) for a, b, s in clean]
    used = {name for row in clean for name in row}
    values = (
        True,
        all(len(tokenizer.encode(f" {name}")) == 1 for name in used),
        all(a != b for a, b, _ in clean),
        [(io.strip(), s.strip()) for io, s in answers] == right,
        all(word.startswith(" ") for pair in answers for word in pair),
        first == again,
        first != other,
        used >= {name for name in names if len(tokenizer.encode(f" {name}")) == 1},
    )
    same = all(old[:2] == new[:2] for old, new in zip(clean, corrupted))
    counts |= {
        "names in use": len(used),
        "who gives in even rows": kinds(who(s, A=a, B=b) for a, b, s in clean[::2]),
        "who gives in odd rows": kinds(who(s, A=a, B=b) for a, b, s in clean[1::2]),
        "who gives when corrupted": kinds(
            who(new[2], **{"the same one": old[2], "the other one": old[old[2] == old[0]]})
            for old, new in zip(clean, corrupted)
        ),
        "A and B when corrupted": "as in the clean prompt" if same else "others",
    }
    return counts | dict(zip(PROPERTIES, values))


@ex.alternative
def pair_by_pair(n, seed, names, tokenizer):
    rng = random.Random(seed)
    names = [name for name in names if len(tokenizer.encode(f" {name}")) == 1]
    data = {"clean": [], "corrupted": [], "answers": []}
    for i in range(n):
        a, b = rng.sample(names, 2)
        io, s = (a, b) if i % 2 == 0 else (b, a)
        data["clean"].append(TEMPLATE.format(A=a, B=b, S=s))
        data["corrupted"].append(TEMPLATE.format(A=a, B=b, S=io))
        data["answers"].append((" " + io, " " + s))
    return data


@ex.alternative
def all_pairs_first(n, seed, names, tokenizer):
    single = [name for name in names if len(tokenizer.encode(" " + name)) < 2]
    pairs = [(a, b) for a in single for b in single if a != b]
    chosen = random.Random(seed).choices(pairs, k=n)
    giver = [pair[(i + 1) % 2] for i, pair in enumerate(chosen)]
    other = [pair[i % 2] for i, pair in enumerate(chosen)]

    def write(givers):
        return [TEMPLATE.format(A=a, B=b, S=s) for (a, b), s in zip(chosen, givers)]

    answers = [(f" {io}", f" {s}") for io, s in zip(other, giver)]
    return {"clean": write(giver), "corrupted": write(other), "answers": answers}


ex.slip(
    "multi_token_names",
    "Names of several tokens got in. Then the answer's logit is that of its first piece, and positions no longer line up. Keep "
    "names for which tokenizer.encode(' ' + name) has length 1.",
    'if len(tokenizer.encode(f" {name}")) == 1',
    "",
)
ex.slip(
    "names_tested_without_space",
    "Names were tested without the space before them. In the sentence they come with it, and ' Mary' is another piece of text than "
    "'Mary': a name may be one token without the space and several with it.",
    'tokenizer.encode(f" {name}")',
    "tokenizer.encode(name)",
)
ex.slip(
    "io_is_s",
    "In some prompts both people have the same name: the names were drawn with replacement. The logit difference is then exactly 0. "
    "Draw two different ones: rng.sample(names, 2).",
    "a, b = rng.sample(names, 2)",
    "a, b = rng.choice(names), rng.choice(names)",
)
ex.slip(
    "abba_only",
    "The giver is always the second name (ABBA). A model that answers 'the first name' gets all of these right without knowing who "
    "gives: alternate ABBA and BABA.",
    "(a, b) if i % 2 == 0 else (b, a)",
    "(a, b)",
)
ex.slip(
    "baba_only",
    "The giver is always the first name (BABA). A model that answers 'the second name' gets all of these right: alternate ABBA and BABA.",
    "(a, b) if i % 2 == 0 else (b, a)",
    "(b, a)",
)
ex.slip(
    "baba_first",
    "ABBA and BABA alternate, but in the wrong order: in even rows (0, 2, ...) the second name gives.",
    "i % 2 == 0",
    "i % 2 == 1",
)
ex.slip(
    "corrupted_answers",
    "The answers are the right ones for the corrupted prompts. Both runs are scored with the CLEAN prompt's answers, or a patch that "
    "restores the clean behaviour would look like damage.",
    '(" " + io, " " + s)',
    '(" " + s, " " + io)',
)
ex.slip(
    "no_leading_space",
    "The answers have no space in front. What the model predicts behind 'to' is ' Mary', which is another token than 'Mary'.",
    '(" " + io, " " + s)',
    "(io, s)",
)
ex.slip(
    "third_name",
    "The corrupted prompt brings in a third person (ABC). That is a useful baseline, but it has no answer of its own; here the "
    "corrupted prompt is the same two people with the other one giving.",
    "S=io",
    "S=next(name for name in names if name not in (a, b))",
)
ex.slip(
    "names_exchanged",
    "In the corrupted prompt A and B are exchanged, so three positions change at once. Change the giver alone: then S2 is the only "
    "position where the two inputs differ.",
    "A=a, B=b, S=io",
    "A=b, B=a, S=io",
)
ex.slip(
    "not_corrupted",
    "The corrupted prompts are the clean ones.",
    "S=io",
    "S=s",
)
ex.slip(
    "seed_ignored",
    "Another seed gives the same prompts: the seed is not used.",
    "random.Random(seed)",
    "random.Random(0)",
)
ex.slip(
    "not_repeatable",
    "The same seed gives other prompts the second time. Draw everything from random.Random(seed).",
    "random.Random(seed)",
    "random",
)
ex.slip(
    "one_pair",
    "All prompts are about the same two people. Draw a new pair for every prompt.",
    "    for i in range(n):\n        a, b = rng.sample(names, 2)",
    "    a, b = rng.sample(names, 2)\n    for i in range(n):",
)


# ---- 06.2 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.2",
    "logit_diff",
    title="The logit difference",
    objective="You can read one number per prompt from the logits: by how much the right name is preferred.",
    minutes=10,
    difficulty=2,
    importance=5,
    source="Wang et al. 2022, section 2: logit of IO minus logit of S, at the END token.",
    hints=[
        "Each prompt has its own last token: pair the batch index with `end`, logits[torch.arange(b), end].",
        "Then gather(1, answers) gives [b, 2]: the indirect object's logit and the subject's.",
    ],
    why="A difference of two logits is what softmax turns into the odds of the two names; everything that raises or lowers all "
    "logits alike cancels. It is linear in the final residual stream, which makes attribution possible.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    answers = torch.stack([torch.randperm(7, generator=g)[:3] for _ in range(4)])
    end = torch.cat([torch.tensor([2]), torch.tensor([5, 4, 3])[torch.randperm(3, generator=g)]])
    logits = torch.randn(4, 6, 7, generator=g) * 2
    logits[torch.arange(4), end, answers[:, 2]] += 9  # a third token is above both
    return {"logits": logits, "answers": answers[:, :2].clone(), "end": end}


@ex.oracle
def _(logits, answers, end):
    out = torch.zeros(len(logits))
    for b in range(len(logits)):
        io, s = answers[b]
        out[b] = logits[b, end[b], io] - logits[b, end[b], s]
    return out


@ex.alternative
def pick_then_gather(logits, answers, end):
    at_end = logits[torch.arange(len(logits)), end]
    io, s = at_end.gather(1, answers).unbind(1)
    return io - s


@ex.alternative
def log_odds(logits, answers, end):
    log_probs = logits.log_softmax(-1)
    index = torch.arange(len(logits))
    return log_probs[index, end, answers[:, 0]] - log_probs[index, end, answers[:, 1]]


ex.slip(
    "last_column",
    "Position -1 was read in every row. With padding on the right, the last column of a shorter prompt is padding: use end[b].",
    "[torch.arange(len(logits)), end]",
    "[:, -1]",
)
ex.slip(
    "sign",
    "The sign is turned around: answers[:, 0] is the right name, and its logit comes first.",
    "io - s",
    "s - io",
)
ex.slip(
    "probabilities",
    "Those are probabilities. Take logits: a difference of probabilities is not linear in the residual stream and is squeezed near 0 and 1.",
    "at_end.gather",
    "at_end.softmax(-1).gather",
)
ex.slip(
    "one_before",
    "One position too early. `end` already counts BOS: it is the index of the last token in the row, and the logits there predict "
    "the token behind it.",
    "len(logits)), end]",
    "len(logits)), end - 1]",
)
ex.slip(
    "averaged",
    "The batch was averaged away. Return one number per prompt; whoever wants the mean can take it, nobody can undo it.",
    "return io - s",
    "return (io - s).mean()",
)
ex.slip(
    "first_end_for_all",
    "The first prompt's `end` was used for all prompts.",
    "len(logits)), end]",
    "len(logits)), end[:1]]",
)
ex.slip(
    "first_answers_for_all",
    "The first prompt's answers were used for all prompts.",
    "gather(1, answers)",
    "gather(1, answers[:1].expand(len(answers), 2))",
)
ex.slip(
    "only_the_right_one",
    "That is the indirect object's logit alone. Without the subject's it also moves when all names become likelier together.",
    "return io - s",
    "return io",
)
ex.slip(
    "best_of_the_others",
    "The largest other logit was subtracted. What is asked is the subject's: answers[:, 1].",
    "return io - s",
    "return io - at_end.scatter(1, answers[:, :1], -1e9).amax(1)",
)


# ---- 06.3 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.3",
    "normalised_metric",
    title="A scale from 0 to 1",
    objective="You can put a patched logit difference on a scale where 0 is the corrupted run and 1 the clean one.",
    minutes=8,
    difficulty=1,
    importance=4,
    source="The linear map with f(corrupted) = 0 and f(clean) = 1, as in the patching demos and in Heimersheim & Nanda 2024, section 4.",
    hints=[
        "Average each over the prompts first; then (x - corrupted) / (clean - corrupted).",
        "Keep it a tensor: no .item(). Exercise 06.11 takes its gradient.",
    ],
    why="A ratio of means is a scale that all prompts share. A mean of ratios would let one prompt whose two runs hardly differ, a "
    "denominator near 0, drown all the others.",
)


@ex.inputs
def _(seed):
    g = torch.Generator().manual_seed(seed)
    x, clean, corrupted = torch.randn(5, generator=g), torch.rand(5, generator=g), torch.rand(5, generator=g)
    clean, corrupted = 4 * clean + 1.5, -3 * corrupted - 0.5
    return [
        {"x": x + shift, "clean": clean, "corrupted": corrupted} for shift in (0, 9)
    ]  # the second is above 1


@ex.oracle
def _(x, clean, corrupted):
    n = len(x)
    total = sum(clean.tolist()) - sum(corrupted.tolist())
    value = (sum(x.tolist()) - sum(corrupted.tolist())) / total
    return {"value": torch.tensor(value), "gradient": torch.full((n,), 1 / total)}


@ex.call
def _(answer, x, clean, corrupted):
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        value = answer(leaf, clean, corrupted)
        gradient = None
        if isinstance(value, torch.Tensor) and value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return {"value": value, "gradient": gradient}


@ex.alternative
def ratio_of_means(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return (x.mean() - low) / (high - low)


@ex.alternative
def ratio_of_sums(x, clean, corrupted):
    return (x - corrupted).sum() / (clean - corrupted).sum()


ex.slip(
    "flipped",
    "0 and 1 are exchanged: the corrupted run must give 0, the clean one 1.",
    "(x.mean() - low) / (high - low)",
    "(x.mean() - high) / (low - high)",
)
ex.slip(
    "wrong_denominator",
    "Divided by the clean value alone. The clean run then does not come out at 1: divide by clean - corrupted.",
    "(high - low)",
    "high",
)
ex.slip(
    "zero_not_shifted",
    "The corrupted value was not subtracted above the line, so the corrupted run does not give 0.",
    "(x.mean() - low)",
    "x.mean()",
)
ex.slip(
    "negative_denominator",
    "The denominator is corrupted - clean: the clean run gives -1.",
    "(high - low)",
    "(low - high)",
)
ex.slip(
    "a_float",
    "That is a Python number. Return a tensor (no .item(), no float()): a number has no gradient, and patching by gradients needs one.",
    "return (x.mean() - low) / (high - low)",
    "return ((x.mean() - low) / (high - low)).item()",
)
ex.slip(
    "detached",
    "The value is right but cut off from x: nothing can be differentiated through it any more. No .detach(), no .data.",
    "x.mean()",
    "x.detach().mean()",
)
ex.slip(
    "one_per_prompt",
    "One value per prompt came back. Average over the prompts: one number for the batch.",
    "x.mean()",
    "x",
)


@ex.mistake(
    "The ratio was taken prompt by prompt and then averaged. A prompt whose clean and corrupted runs hardly differ then counts most. "
    "Average first, divide once."
)
def mean_of_ratios(x, clean, corrupted):
    return ((x - corrupted) / (clean - corrupted)).mean()


@ex.mistake(
    "The result was cut to the range 0..1. Values outside it mean something: below 0 is more corrupted than corrupted, above 1 "
    "better than clean."
)
def clipped(x, clean, corrupted):
    low, high = corrupted.mean(), clean.mean()
    return ((x.mean() - low) / (high - low)).clamp(0, 1)


# ---- 06.4 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.4",
    "logit_directions",
    "head_attribution",
    title="What each head adds to the logit difference",
    objective="You can split the logit difference into one share per head.",
    minutes=20,
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


@ex.inputs
def _(seed):
    model = tiny_model(seed, normalization_type="LNPre", n_layers=3, n_heads=2)
    with torch.no_grad():
        for block in model.blocks:  # as from_pretrained leaves them: nothing is written along the mean
            block.attn.W_O -= block.attn.W_O.mean(-1, keepdim=True)
            block.attn.b_O -= block.attn.b_O.mean()
    g = torch.Generator().manual_seed(500 + seed)
    tokens = torch.randint(0, 11, (4, 5), generator=g)
    answers = torch.stack([torch.randperm(10, generator=g)[:2] for _ in range(4)])
    return [
        {"what": "directions", "model": model, "answers": answers},
        {"what": "heads", "model": model, "tokens": tokens, "directions": torch.randn(4, 10, generator=g)},
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
    return shares


@ex.call
def _(answer, what, model, answers=None, tokens=None, directions=None):
    if what == "directions":
        return answer.logit_directions(model, answers)
    return answer.head_attribution(model, cached(model, tokens), directions)


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


# ---- 06.5 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.5",
    "patch_resid",
    title="Patching the residual stream",
    objective="You can find where, layer by layer and position by position, the information that decides stands.",
    minutes=25,
    difficulty=3,
    importance=5,
    source="Meng et al. 2022 (causal tracing), section 2; Heimersheim & Nanda 2024, section 2. Identity: a run continued from a patched stream.",
    atol=1e-4,
    hints=[
        "For each layer and position: one run on the corrupted tokens with one hook on get_act_name('resid_pre', layer).",
        "The hook: resid[:, pos] = clean_cache[hook.name][:, pos]; return resid. run_with_hooks removes it again.",
        "Bind the position when the hook is made: partial(hook, pos=pos), or a default argument.",
    ],
    why="One run per place, each with exactly one difference from the corrupted run. Whatever the metric gains can only have come "
    "through that place.",
)


def resid_inputs(seed):
    model, clean, corrupted, metric = two_runs(seed)
    return {"model": model, "clean": clean, "corrupted_tokens": corrupted, "metric": metric}


def patching_call(answer, model, clean, corrupted_tokens, metric):
    cache = cached(model, clean)
    with torch.no_grad():
        result = answer(model, corrupted_tokens, cache, metric)
    return record(model, result, cache)


ex.inputs(resid_inputs)
ex.call(patching_call)


@ex.oracle
@torch.no_grad()
def _(model, clean, corrupted_tokens, metric):
    cache, n_pos = cached(model, clean), corrupted_tokens.shape[1]
    result = torch.zeros(model.cfg.n_layers, n_pos)
    for layer in range(model.cfg.n_layers):
        for pos in range(n_pos):
            resid = model(corrupted_tokens, stop_at_layer=layer)
            resid = torch.cat([resid[:, :pos], cache["resid_pre", layer][:, [pos]], resid[:, pos + 1 :]], 1)
            for block in model.blocks[layer:]:
                resid = block(resid)
            result[layer, pos] = metric(model.unembed(model.ln_final(resid)))
    return record(model, result, cache)


@ex.alternative
def one_hook_a_run(model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        for pos in range(corrupted_tokens.shape[1]):

            def patch(resid, hook, pos=pos):
                resid[:, pos] = clean_cache[hook.name][:, pos]
                return resid

            name = get_act_name("resid_pre", layer)
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, pos] = metric(logits)
    return result


@ex.alternative
def not_in_place(model, corrupted_tokens, clean_cache, metric):
    n_pos, rows = corrupted_tokens.shape[1], []
    for layer in range(model.cfg.n_layers):
        clean = clean_cache["resid_pre", layer]
        for pos in range(n_pos):
            here = (torch.arange(n_pos) == pos)[:, None]
            patch = lambda x, hook, here=here, clean=clean: torch.where(here, clean, x)  # noqa: E731
            with model.hooks([(f"blocks.{layer}.hook_resid_pre", patch)]):
                rows.append(metric(model(corrupted_tokens)))
    return torch.stack(rows).reshape(model.cfg.n_layers, n_pos)


@ex.mistake(
    "That is noising: a clean run with one corrupted place. It asks what is necessary. Here the run is the corrupted one and one "
    "place is clean: what is enough to bring the behaviour back?"
)
def noising(model, corrupted_tokens, clean_cache, metric):
    _, corrupted = model.run_with_cache(corrupted_tokens)
    result = torch.zeros(model.cfg.n_layers, corrupted_tokens.shape[1])
    for layer in range(model.cfg.n_layers):
        for pos in range(corrupted_tokens.shape[1]):

            def patch(resid, hook, pos=pos):
                resid = clean_cache[hook.name].clone()
                resid[:, pos] = corrupted[hook.name][:, pos]
                return resid

            name = get_act_name("resid_pre", layer)
            result[layer, pos] = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)]))
    return result


ex.slip(
    "every_position",
    "The whole layer was patched, at every position: then the rest of the run is simply the clean run. Patch one position: [:, pos].",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[:] = clean_cache[hook.name]",
)
ex.slip(
    "resid_post",
    "The patch went in behind the layer (resid_post), so the rows are one layer off and the input of layer 0 is never tested. (resid_mid would "
    "give the same as resid_post: an MLP works position by position.)",
    '"resid_pre"',
    '"resid_post"',
)
ex.slip(
    "cache_mutated",
    "The clean cache was written to: after the first patch its other positions are corrupted, and every later patch is wrong. Edit the "
    "activation that the hook is given, or a clone.",
    "                resid[:, pos] = clean_cache[hook.name][:, pos]\n                return resid",
    "                clean = clean_cache[hook.name]\n"
    "                kept = clean[:, pos].clone()\n"
    "                clean[:] = resid\n"
    "                clean[:, pos] = kept\n"
    "                return clean",
)
ex.slip(
    "late_binding",
    "All columns are the last position's. The hooks were made in a loop and run after it, when `pos` had its last value: bind it, "
    "def patch(resid, hook, pos=pos).",
    "    for layer in range(model.cfg.n_layers):",
    "    last = corrupted_tokens.shape[1] - 1\n    for layer in range(model.cfg.n_layers):",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[:, last] = clean_cache[hook.name][:, last]",
)
ex.slip(
    "hooks_accumulate",
    "Hooks of earlier patches were still there: each run has one more patch than the one before, and the model comes back with all "
    "of them. Use run_with_hooks, which removes what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
)
ex.slip(
    "cleaned_up_at_the_end",
    "The model is clean afterwards, but during the sweep hooks of earlier patches stayed on: each run has one more patch than the "
    "one before. Remove them after every run.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
    "    return result",
    "    model.reset_hooks()\n    return result",
)
ex.slip(
    "positions_and_layers_swapped",
    "The axes are swapped: layers are rows, positions are columns.",
    "    return result",
    "    return result.mT",
)
ex.slip(
    "first_prompt_only",
    "Only the first prompt of the batch was patched.",
    "resid[:, pos] = clean_cache[hook.name][:, pos]",
    "resid[0, pos] = clean_cache[hook.name][0, pos]",
)
ex.slip(
    "difference_from_corrupted",
    "The corrupted run's metric was subtracted. Return what the metric gives: it knows its own scale.",
    "= metric(logits)",
    "= metric(logits) - metric(model(corrupted_tokens))",
)


# ---- 06.6 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.6",
    "patch_heads",
    title="Patching heads",
    objective="You can find which heads carry the information.",
    minutes=15,
    difficulty=3,
    importance=5,
    source="Identity: attn_out = sum over heads of z @ W_O + b_O, so a head's patch adds (z_clean - z) @ W_O[head] to the stream.",
    atol=1e-4,
    hints=[
        "The activation is z, [batch, position, head, d_head]: what a head has gathered, before W_O mixes the heads.",
        "z[:, :, head] = clean_cache[hook.name][:, :, head], at all positions at once.",
    ],
    why="hook_z is the last place where heads are apart. Behind W_O their outputs are added up, and a patch there is a patch of the whole "
    "layer.",
)

ex.inputs(resid_inputs)
ex.call(patching_call)


@ex.oracle
@torch.no_grad()
def _(model, clean, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean), cached(model, corrupted_tokens)

    def run(layer, head):
        delta = head_delta(model, corrupted, layer, head, cache["z", layer][:, :, head])
        return with_changed_mid(model, corrupted, layer, delta, metric)

    return record(model, each_head(model, run), cache)


@ex.alternative
def one_head_a_run(model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(z, hook, head=head):
                z[:, :, head] = clean_cache[hook.name][:, :, head]
                return z

            name = get_act_name("z", layer)
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def chosen_by_a_mask(model, corrupted_tokens, clean_cache, metric):
    rows = []
    for layer in range(model.cfg.n_layers):
        row = []
        for head in range(model.cfg.n_heads):
            mask = torch.nn.functional.one_hot(torch.tensor(head), model.cfg.n_heads).bool()[:, None]
            hook = lambda z, hook, mask=mask: torch.where(mask, clean_cache[hook.name], z)  # noqa: E731
            row.append(
                metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(get_act_name("z", layer), hook)]))
            )
        rows.append(torch.stack(row))
    return torch.stack(rows)


ex.slip(
    "whole_layer",
    "All heads of the layer were patched together, so every head of a layer gets the same number. Patch one: z[:, :, head].",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:] = clean_cache[hook.name]",
)
ex.slip(
    "head_as_position",
    "z[:, head] is a position: z is [batch, position, head, d_head]. The head is the third axis, z[:, :, head].",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:, head] = clean_cache[hook.name][:, head]",
)
ex.slip(
    "attention_output",
    "The coordinate number `head` of attn_out was patched. Behind W_O the heads are added up and its last axis is d_model: use z.",
    'get_act_name("z", layer)',
    'get_act_name("attn_out", layer)',
)
ex.slip(
    "transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)
ex.slip(
    "last_position_only",
    "Only the last position was patched. Heads that work at S2 or at the names are then invisible: all positions.",
    "z[:, :, head] = clean_cache[hook.name][:, :, head]",
    "z[:, -1, head] = clean_cache[hook.name][:, -1, head]",
)
ex.slip(
    "values_patched",
    "The values were patched, not the head's output. With the corrupted pattern they are gathered from the wrong places: take z.",
    'get_act_name("z", layer)',
    'get_act_name("v", layer)',
)
ex.slip(
    "ablated",
    "The head was set to zero. Patching puts in what it had in the clean run.",
    "= clean_cache[hook.name][:, :, head]",
    "= 0",
)
ex.slip(
    "patches_pile_up",
    "Earlier heads' patches are still in place, so each number belongs to a whole group of heads. Use run_with_hooks, which removes "
    "what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, patch)])",
    "model.add_hook(name, patch)\n            logits = model(corrupted_tokens)",
)
ex.slip(
    "cache_overwritten",
    "The clean cache was written to. The next head then gets corrupted values; edit the activation that the hook is given.",
    "                z[:, :, head] = clean_cache[hook.name][:, :, head]\n                return z",
    "                clean = clean_cache[hook.name]\n"
    "                kept = clean[:, :, head].clone()\n"
    "                clean[:] = z\n"
    "                clean[:, :, head] = kept\n"
    "                return clean",
)


# ---- 06.7 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.7",
    "patch_head_part",
    title="Query, key, value or pattern?",
    objective="You can tell whether a head matters for where it looks or for what it moves.",
    minutes=20,
    difficulty=3,
    importance=4,
    source="Identity: z = softmax(q k^T / sqrt(d_head)) v, with one of the three taken from the clean run.",
    atol=1e-4,
    hints=[
        "q, k and v are [batch, position, head, d_head]; the pattern is [batch, head, query, key].",
        "Choose the index by the part: [:, head] for the pattern, [:, :, head] for the rest.",
    ],
    why="A head's output can change because it looks elsewhere (pattern, through query or key) or because something else stands where "
    "it looks (value). Patching the parts one by one tells which.",
)


@ex.inputs
def _(seed):
    model, clean, corrupted, metric = two_runs(seed)
    given = {"model": model, "clean": clean, "corrupted_tokens": corrupted, "metric": metric}
    return [{"part": part} | given for part in ("q", "k", "v", "pattern")]


@ex.oracle
@torch.no_grad()
def _(part, model, clean, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean), cached(model, corrupted_tokens)
    n_pos = corrupted_tokens.shape[1]
    future = torch.ones(n_pos, n_pos).triu(1).bool()

    def run(layer, head):
        own = {p: corrupted[p, layer][:, :, head] for p in "qkv"}
        if part in own:
            own[part] = cache[part, layer][:, :, head]
        scores = own["q"] @ own["k"].mT / model.cfg.d_head**0.5
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        if part == "pattern":
            pattern = cache["pattern", layer][:, head]
        delta = head_delta(model, corrupted, layer, head, pattern @ own["v"])
        return with_changed_mid(model, corrupted, layer, delta, metric)

    return record(model, each_head(model, run), cache)


@ex.call
def _(answer, part, model, clean, corrupted_tokens, metric):
    cache = cached(model, clean)
    with torch.no_grad():
        result = answer(part, model, corrupted_tokens, cache, metric)
    return record(model, result, cache)


@ex.alternative
def index_by_part(part, model, corrupted_tokens, clean_cache, metric):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(x, hook, head=head):
                index = (slice(None), head) if part == "pattern" else (slice(None), slice(None), head)
                x[index] = clean_cache[hook.name][index]
                return x

            hooks = [(get_act_name(part, layer), patch)]
            logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def scores_for_the_pattern(part, model, corrupted_tokens, clean_cache, metric):
    """Clean scores of a whole head give its clean pattern."""
    part = "attn_scores" if part == "pattern" else part
    head_axis = 1 if part == "attn_scores" else 2

    def patch(x, hook, head):
        x = x.clone()
        x.select(head_axis, head).copy_(clean_cache[hook.name].select(head_axis, head))
        return x

    rows = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hook = lambda x, hook, head=head: patch(x, hook, head)  # noqa: E731
            rows.append(
                metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(get_act_name(part, layer), hook)]))
            )
    return torch.stack(rows).reshape(model.cfg.n_layers, -1)


ex.slip(
    "pattern_indexed_like_z",
    "The pattern was indexed like z: pattern[:, :, head] is a query position of all heads. It is [batch, head, query, key]: [:, head].",
    '(slice(None), head) if part == "pattern" else (slice(None), slice(None), head)',
    "(slice(None), slice(None), head)",
)
ex.slip(
    "everything_indexed_like_the_pattern",
    "q, k and v were indexed like the pattern: q[:, head] is a position. They are [batch, position, head, d_head]: [:, :, head].",
    '(slice(None), head) if part == "pattern" else (slice(None), slice(None), head)',
    "(slice(None), head)",
)
ex.slip(
    "keys_and_values_together",
    "Keys and values were patched together. Then nobody can tell whether the head looks elsewhere or moves something else: one part "
    "at a time.",
    "hooks = [(get_act_name(part, layer), patch)]",
    'parts = ["k", "v"] if part in ("k", "v") else [part]\n            hooks = [(get_act_name(p, layer), patch) for p in parts]',
)
ex.slip(
    "probabilities_into_the_scores",
    "The clean pattern was put in place of the scores, before the softmax: probabilities are exponentiated once more, and masked "
    "places come back to life. Hook the pattern itself.",
    "clean_cache[hook.name][index]",
    'clean_cache[hook.name.replace("attn_scores", "pattern")][index]',
    "get_act_name(part, layer)",
    'get_act_name("attn_scores" if part == "pattern" else part, layer)',
)
ex.slip(
    "part_ignored",
    "The queries are patched, whatever part is asked for.",
    "            def patch(",
    '            part = "q"\n\n            def patch(',
)
ex.slip(
    "output_patched",
    "z was patched: that is all parts at once. Patch the activation called `part`.",
    "            def patch(",
    '            part = "z"\n\n            def patch(',
)
ex.slip(
    "parts_pile_up",
    "Patches of earlier heads are still in place. Use run_with_hooks, which removes what it adds.",
    "logits = model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)",
    "model.add_hook(*hooks[0])\n            logits = model(corrupted_tokens)",
)
ex.slip(
    "all_heads_of_the_layer",
    "All heads of the layer were patched together.",
    "x[index] = clean_cache[hook.name][index]",
    "x[:] = clean_cache[hook.name]",
)
ex.slip(
    "parts_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


# ---- 06.8 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.8",
    "path_patch_to_logits",
    title="Path patching to the logits",
    objective="You can measure what a head tells the logits itself, with nothing passed on through other heads.",
    minutes=30,
    difficulty=4,
    importance=4,
    source="Wang et al. 2022, section 3.1 and the appendix on path patching; Goldowsky-Dill et al. 2023. Identity: with all heads held, "
    "the stream changes by (z_new - z) @ W_O[head], and only MLPs pass it on.",
    seeds=2,
    atol=1e-4,
    hints=[
        "Hook z in every layer with one function: start from cache[hook.name].clone(), which holds all heads at their values.",
        "In the sender's layer then write new_cache's values into the sender's place. In this order: freeze, then send.",
        "freeze_mlps: one more hook per layer, on hook_mlp_out, that returns the cached value.",
    ],
    why="Patching a head changes whatever later heads make of it. Holding those at their own values cuts all the roads through "
    "them: what is left is the head's direct effect (and, unless they are held too, what MLPs make of it).",
)


def path_inputs(seed, **changes):
    model, tokens, other, metric = two_runs(seed, n_layers=3, n_heads=2, **changes)
    return {"model": model, "tokens": tokens, "other": other, "metric": metric}


@ex.inputs
def _(seed):
    return [path_inputs(seed) | {"freeze_mlps": freeze} for freeze in (False, True)]


@ex.oracle
@torch.no_grad()
def _(model, tokens, other, metric, freeze_mlps):
    cache, new_cache = cached(model, tokens), cached(model, other)

    def run(layer, head):
        resid = cache["resid_pre", 0]
        for number, block in enumerate(model.blocks):
            resid = resid + cache["attn_out", number]
            if number == layer:
                resid = resid + head_delta(model, cache, layer, head, new_cache["z", layer][:, :, head])
            resid = resid + (cache["mlp_out", number] if freeze_mlps else block.mlp(block.ln2(resid)))
        return metric(model.unembed(model.ln_final(resid)))

    return record(model, each_head(model, run), cache, new_cache)


@ex.call
def _(answer, model, tokens, other, metric, freeze_mlps):
    cache, new_cache = cached(model, tokens), cached(model, other)
    with torch.no_grad():
        result = answer(model, tokens, cache, new_cache, metric, freeze_mlps)
    return record(model, result, cache, new_cache)


@ex.alternative
def freeze_then_send(model, tokens, cache, new_cache, metric, freeze_mlps):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def send(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.layer() == layer:
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            hooks = [(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]
            if freeze_mlps:
                for i in range(model.cfg.n_layers):
                    hooks.append((get_act_name("mlp_out", i), lambda x, hook: cache[hook.name]))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


@ex.alternative
def in_place_from_the_sender_on(model, tokens, cache, new_cache, metric, freeze_mlps):
    """Layers before the sender need no freezing: nothing has changed there."""
    rows = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def hold(x, hook):
                x[:] = cache[hook.name]

            def send(z, hook, head=head):
                z[:, :, head] = new_cache[hook.name][:, :, head]

            hooks = [(get_act_name("z", layer), send)]
            hooks += [(get_act_name("z", i), hold) for i in range(layer + 1, model.cfg.n_layers)]
            if freeze_mlps:
                hooks += [(get_act_name("mlp_out", i), hold) for i in range(layer, model.cfg.n_layers)]
            rows.append(metric(model.run_with_hooks(tokens, fwd_hooks=hooks)))
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


ex.slip(
    "later_heads_not_frozen",
    "The other heads were not held: later ones see the change and pass it on. That is activation patching (06.6), not path patching. "
    "Hook z in every layer.",
    "for i in range(model.cfg.n_layers)]\n",
    "for i in [layer]]\n",
)
ex.slip(
    "sender_frozen_too",
    "Nothing changes: all heads get this run's values back, the sender too. Freeze first, then write the sender's.",
    "                z = cache[hook.name].clone()\n"
    "                if hook.layer() == layer:\n"
    "                    z[:, :, head] = new_cache[hook.name][:, :, head]\n"
    "                return z",
    "                z[:, :, head] = new_cache[hook.name][:, :, head]\n                return cache[hook.name]",
)
ex.slip(
    "frozen_to_the_other_run",
    "The other heads are held at the other run's values. They belong to `cache`, the run that is patched; only the sender's come from "
    "new_cache.",
    "cache[hook.name].clone()",
    "new_cache[hook.name].clone()",
)
ex.slip(
    "roles_of_the_runs_exchanged",
    "The runs are exchanged: all heads are held at new_cache and the sender at cache.",
    "                z = cache[hook.name].clone()",
    "                z = new_cache[hook.name].clone()",
    "= new_cache[hook.name][:, :, head]",
    "= cache[hook.name][:, :, head]",
)
ex.slip(
    "senders_accumulate",
    "Earlier senders still send: their values were written into the cache itself. Clone what you freeze.",
    "cache[hook.name].clone()",
    "cache[hook.name]",
)
ex.slip(
    "mlps_always_run",
    "freeze_mlps has no effect: the MLPs always pass the change on.",
    "if freeze_mlps:",
    "if False:",
)
ex.slip(
    "mlps_always_frozen",
    "The MLPs are held although freeze_mlps is False. Say which of the two you measure: with MLPs running, as Wang et al. do, the "
    "path to the logits goes through them too.",
    "if freeze_mlps:",
    "if True:",
)
ex.slip(
    "freeze_mlps_reversed",
    "freeze_mlps is turned around: MLPs are held when it is False.",
    "if freeze_mlps:",
    "if not freeze_mlps:",
)
ex.slip(
    "mlp_of_the_senders_layer_runs",
    "With freeze_mlps, the MLP of the sender's own layer was left running. It comes behind the heads of its layer: hold it too.",
    "lambda x, hook: cache[hook.name]",
    "lambda x, hook, layer=layer: None if hook.layer() == layer else cache[hook.name]",
)
ex.slip(
    "whole_layer_sends",
    "All heads of the sender's layer send. One head: [:, :, head].",
    "z[:, :, head] = new_cache[hook.name][:, :, head]",
    "z = new_cache[hook.name].clone()",
)
ex.slip(
    "senders_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


# ---- 06.9 -------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.9",
    "path_patch_to_heads",
    title="Path patching to other heads",
    objective="You can find out which heads a head listens to, through its queries, keys or values.",
    minutes=35,
    difficulty=5,
    importance=4,
    source="Wang et al. 2022, section 3.1, figure on path patching: three runs. Checked against cleanlens.patching.path_patch, which has "
    "tests of its own.",
    seeds=1,
    atol=1e-4,
    hints=[
        "Run 1 is done already: cache and new_cache. Run 2: as in 06.8 (freeze all heads, send, MLPs run), and keep what arrives at the "
        "receivers: run_with_cache inside `with model.hooks(...)`.",
        "Run 3: a plain run on `tokens` where only the receivers' part is replaced by what run 2 kept: x[:, :, head] for each receiver.",
        "A sender in a receiver's layer, or later, cannot reach it: the three runs then give the plain run's metric by themselves.",
    ],
    why="Run 2 answers what the receivers would see if only this sender had changed; run 3 asks what that alone does to the output, with "
    "everything behind the receivers alive again.",
)


@ex.inputs
def _(seed):
    given = path_inputs(seed)
    return [
        given | {"receivers": [(2, 1)], "part": "q"},
        given | {"receivers": [(1, 0), (2, 0)], "part": "v"},
        given | {"receivers": [(1, 1)], "part": "k"},
    ]


def lone_reception(model, tokens, cache, new_cache, sender, receivers, part):
    """What arrives at the receivers when one head sends and all heads are held: {layer: part}, by hand."""
    layer, head = sender
    resid, arrived = cache["resid_pre", 0], {}
    for number, block in enumerate(model.blocks):
        weights, bias = getattr(block.attn, f"W_{part.upper()}"), getattr(block.attn, f"b_{part.upper()}")
        arrived[number] = torch.einsum("bsd,hde->bshe", block.ln1(resid), weights) + bias
        resid = resid + cache["attn_out", number]
        if number == layer:
            resid = resid + head_delta(model, cache, layer, head, new_cache["z", layer][:, :, head])
        resid = resid + block.mlp(block.ln2(resid))
    return arrived


@ex.oracle
@torch.no_grad()
def _(model, tokens, other, metric, receivers, part):
    cache, new_cache = cached(model, tokens), cached(model, other)
    future = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()

    def run(layer, head):
        arrived = lone_reception(model, tokens, cache, new_cache, (layer, head), receivers, part)
        resid = cache["resid_pre", 0]
        for number, block in enumerate(model.blocks):
            x, attn, out = block.ln1(resid), block.attn, block.attn.b_O
            for h in range(model.cfg.n_heads):
                q, k, v = (
                    x @ W[h] + b[h]
                    for W, b in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
                )
                if (number, h) in receivers:
                    value = arrived[number][:, :, h]
                    q, k, v = (value if name == part else old for name, old in zip("qkv", (q, k, v)))
                scores = (q @ k.mT / model.cfg.d_head**0.5).masked_fill(future, -torch.inf)
                out = out + scores.softmax(-1) @ v @ attn.W_O[h]
            resid = resid + out
            resid = resid + block.mlp(block.ln2(resid))
        return metric(model.unembed(model.ln_final(resid)))

    return record(model, each_head(model, run), cache, new_cache)


@ex.call
def _(answer, model, tokens, other, metric, receivers, part):
    cache, new_cache = cached(model, tokens), cached(model, other)
    with torch.no_grad():
        result = answer(model, tokens, cache, new_cache, metric, receivers, part)
    return record(model, result, cache, new_cache)


@ex.alternative
def three_runs(model, tokens, cache, new_cache, metric, receivers, part):
    result = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    names = {get_act_name(part, layer) for layer, _ in receivers}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def send(z, hook, layer=layer, head=head):
                z = cache[hook.name].clone()
                if hook.layer() == layer:
                    z[:, :, head] = new_cache[hook.name][:, :, head]
                return z

            with model.hooks([(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]):
                _, arrived = model.run_with_cache(tokens, names_filter=list(names))

            def receive(x, hook, arrived=arrived):
                for to_layer, to_head in receivers:
                    if hook.layer() == to_layer:
                        x[:, :, to_head] = arrived[hook.name][:, :, to_head]
                return x

            logits = model.run_with_hooks(tokens, fwd_hooks=[(name, receive) for name in names])
            result[layer, head] = metric(logits)
    return result


@ex.alternative
def only_senders_that_can_reach(model, tokens, cache, new_cache, metric, receivers, part):
    last = max(layer for layer, _ in receivers)
    result = torch.stack([metric(model(tokens))] * (model.cfg.n_layers * model.cfg.n_heads))
    result = result.reshape(model.cfg.n_layers, model.cfg.n_heads).clone()
    for layer in range(last):
        for head in range(model.cfg.n_heads):
            kept, hooks = {}, []

            def send(z, hook, head=head):
                z[:, :, head] = new_cache[hook.name][:, :, head]

            def hold(z, hook):
                z[:] = cache[hook.name]

            def keep(x, hook, kept=kept):
                kept[hook.name] = x.clone()

            for i in range(model.cfg.n_layers):
                hooks.append((get_act_name("z", i), send if i == layer else hold))
                hooks.append((get_act_name(part, i), keep))
            model.run_with_hooks(tokens, fwd_hooks=hooks)
            hooks = []
            for to_layer, to_head in receivers:

                def receive(x, hook, to_head=to_head, kept=kept):
                    x[:, :, to_head] = kept[hook.name][:, :, to_head]

                hooks.append((get_act_name(part, to_layer), receive))
            result[layer, head] = metric(model.run_with_hooks(tokens, fwd_hooks=hooks))
    return result


ex.slip(
    "receivers_from_the_other_run",
    "The receivers got what they had in the other run: then it does not matter who sends, and all entries are alike. They must get what "
    "arrives in run 2, where one head alone has changed.",
    "arrived[hook.name][:, :, to_head]",
    "new_cache[hook.name][:, :, to_head]",
)
ex.slip(
    "receivers_from_this_run",
    "Nothing changes. Either the receivers got back what they have anyway, from `cache`, or heads were held in run 3 too. Put in what run 2 "
    "recorded, and leave all else free.",
    "arrived[hook.name][:, :, to_head]",
    "cache[hook.name][:, :, to_head]",
)
ex.slip(
    "whole_receiver_layer",
    "All heads of the receivers' layer were patched. Only the receivers: x[:, :, head].",
    "x[:, :, to_head] = arrived[hook.name][:, :, to_head]",
    "x[:] = arrived[hook.name]",
)
ex.slip(
    "third_run_skipped",
    "The metric was taken of run 2, where all heads are held, the receivers too: that is path patching to the logits (06.8). A third run "
    "is needed, with the receivers' part put in and everything else free.",
    "logits = model.run_with_hooks(tokens, fwd_hooks=[(name, receive) for name in names])",
    "logits = model.run_with_hooks(tokens, fwd_hooks=[(get_act_name('z', i), send) for i in range(model.cfg.n_layers)])",
)
ex.slip(
    "third_run_sends_again",
    "The sender still sends in the third run: its effect goes everywhere, and senders at or after the last receiver, which cannot reach "
    "it, get an effect. In the third run only the receivers are patched.",
    "fwd_hooks=[(name, receive) for name in names])",
    "fwd_hooks=[(name, receive) for name in names] + [(get_act_name('z', layer), lambda z, hook, head=head: "
    "torch.cat([z[:, :, :head], new_cache[hook.name][:, :, head : head + 1], z[:, :, head + 1 :]], 2))])",
)
ex.slip(
    "other_heads_not_held",
    "In run 2 the heads between sender and receivers were not held: they pass the change on, and you measure all roads, not the direct "
    "one.",
    'with model.hooks([(get_act_name("z", i), send) for i in range(model.cfg.n_layers)]):',
    'with model.hooks([(get_act_name("z", layer), lambda z, hook, head=head: torch.cat([z[:, :, :head], '
    "new_cache[hook.name][:, :, head : head + 1], z[:, :, head + 1 :]], 2))]):",
)
ex.slip(
    "queries_only",
    "The queries are patched, whatever part is asked for.",
    "    names = {",
    '    part = "q"\n    names = {',
)
ex.slip(
    "first_receiver_only",
    "Only the first receiver was patched. All of them, in one run.",
    "    names = {",
    "    receivers = receivers[:1]\n    names = {",
)
ex.slip(
    "held_at_the_other_run",
    "The heads that do not send are held at the other run's values. They keep those of `cache`.",
    "z = cache[hook.name].clone()",
    "z = new_cache[hook.name].clone()",
)
ex.slip(
    "paths_accumulate",
    "Earlier senders still send: their values were written into the cache. Clone what you freeze.",
    "z = cache[hook.name].clone()",
    "z = cache[hook.name]",
)
ex.slip(
    "mlps_frozen",
    "The MLPs between sender and receiver were held. Here they run, as with Wang et al.: a path may pass through MLPs.",
    "send) for i in range(model.cfg.n_layers)]):",
    "send) for i in range(model.cfg.n_layers)] + [(get_act_name('mlp_out', i), lambda x, hook: cache[hook.name]) "
    "for i in range(model.cfg.n_layers)]):",
)
ex.slip(
    "paths_transposed",
    "The result is [head, layer]. Layers are rows.",
    "    return result",
    "    return result.mT",
)


# ---- 06.10 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.10",
    "template_means",
    "circuit_faithfulness",
    title="Is it the circuit?",
    objective="You can run a model with nothing but a circuit, and say how much of the behaviour is left.",
    minutes=35,
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
    return [
        {"what": "means", "z": torch.randn(5, 6, 3, 4, generator=g), "templates": templates},
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
    return record(model, alone / metric(model(tokens)))


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
        result = answer.circuit_faithfulness(model, tokens, abc_tokens, templates, circuit, positions, metric)
    return record(model, result)


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


# ---- 06.11 ------------------------------------------------------------------------------------------

ex = chapter.exercise(
    "06.11",
    "attribution_patching",
    title="Attribution patching",
    objective="You can estimate all head patches at once, from two forward passes and one backward pass.",
    minutes=25,
    difficulty=4,
    importance=4,
    source="The first-order Taylor expansion of the metric at the corrupted run; Nanda 2023, Attribution patching; Syed et al. 2023, section 2. "
    "Checked with central differences in double precision.",
    atol=1e-4,
    hints=[
        "The estimate for one head: the sum over batch, positions and d_head of (z_clean - z_corrupted) * d metric / d z, with the "
        "gradient at the corrupted run.",
        "Clean run: run_with_cache under torch.no_grad(). Corrupted run: a hook that keeps each z; then torch.autograd.grad(metric, list of z).",
        "Gradients may be switched off around the call: wrap the corrupted run in `with torch.enable_grad():`.",
    ],
    why="f(z + d) is about f(z) + d . f'(z). The gradient with respect to every head comes from one backward pass, so the cost does not "
    "grow with the number of heads; the price is that softmax and LayerNorm bend, and the estimate follows the tangent.",
)


@ex.inputs
def _(seed):
    model, clean, corrupted, metric = two_runs(seed)
    return {"model": model, "clean_tokens": clean, "corrupted_tokens": corrupted, "metric": metric}


@ex.oracle
@torch.no_grad()
def _(model, clean_tokens, corrupted_tokens, metric):
    cache, corrupted = cached(model, clean_tokens), cached(model, corrupted_tokens)
    model.double()
    step = 1e-4

    def run(layer, head):
        delta = head_delta(model, corrupted, layer, head, cache["z", layer][:, :, head])
        up, down = (
            with_changed_mid(model, corrupted, layer, sign * step * delta, metric) for sign in (1, -1)
        )
        return (up - down) / (2 * step)

    for kept in (cache, corrupted):
        kept.cache_dict.update({name: value.double() for name, value in kept.items()})
    result = each_head(model, run).float()
    model.float()
    return {
        "result": result,
        "with gradients switched on": result,
        "hooks left on the model": 0,
        "still in a graph": False,
    }


@ex.call
def _(answer, model, clean_tokens, corrupted_tokens, metric):
    results = []
    for switched_on in (False, True):  # off as in the notebook
        with torch.set_grad_enabled(switched_on):
            results.append(answer(model, clean_tokens, corrupted_tokens, metric))
    result, again = results
    hooks = sum(len(hooks) for hooks in model.list_hooks().values())
    graph = isinstance(again, torch.Tensor) and again.requires_grad
    return {
        "result": result,
        "with gradients switched on": again,
        "hooks left on the model": hooks,
        "still in a graph": graph,
    }


@ex.alternative
def gradient_times_difference(model, clean_tokens, corrupted_tokens, metric):
    names = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens, names_filter=names)
    kept = {}

    def keep(z, hook):
        kept[hook.name] = z

    with torch.enable_grad():
        value = metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=[(name, keep) for name in names]))
        gradients = torch.autograd.grad(value, [kept[name] for name in names])
    rows = []
    for name, gradient in zip(names, gradients):
        difference = clean[name] - kept[name].detach()
        rows.append((difference * gradient).sum(dim=(0, 1, 3)))
    return torch.stack(rows)


@ex.alternative
def dials_at_zero(model, clean_tokens, corrupted_tokens, metric):
    """One dial per head, 0 corrupted and 1 clean; the derivative with respect to the dials at 0."""
    with torch.no_grad():
        _, clean = model.run_with_cache(clean_tokens)
        _, corrupted = model.run_with_cache(corrupted_tokens)
    with torch.enable_grad():
        dials = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, requires_grad=True)

        def turn(z, hook):
            return z + dials[hook.layer()][:, None] * (clean[hook.name] - corrupted[hook.name])

        hooks = [(get_act_name("z", layer), turn) for layer in range(model.cfg.n_layers)]
        metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)).backward()
    return dials.grad


ex.slip(
    "gradient_at_the_clean_run",
    "The gradient was taken at the clean run. The estimate starts where the patch starts: at the corrupted run.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach() - corrupted[name]",
    "_, clean = model.run_with_cache(clean_tokens, names_filter=names)",
    "_, corrupted = model.run_with_cache(corrupted_tokens, names_filter=names)",
    "metric(model.run_with_hooks(corrupted_tokens,",
    "metric(model.run_with_hooks(clean_tokens,",
)
ex.slip(
    "estimate_sign",
    "The sign is turned around: clean minus corrupted, because the patch goes from the corrupted value to the clean one.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach() - clean[name]",
)
ex.slip(
    "gradient_times_activation",
    "The gradient was multiplied with the clean activation, not with the difference. That estimates something else: adding the clean "
    "value on top.",
    "clean[name] - kept[name].detach()",
    "clean[name]",
)
ex.slip(
    "gradient_times_corrupted",
    "The gradient was multiplied with the corrupted activation alone. Multiply with clean - corrupted.",
    "clean[name] - kept[name].detach()",
    "kept[name].detach()",
)
ex.slip(
    "averaged_twice",
    "The batch was averaged once more. The metric's gradient already carries the 1/batch of its mean: sum over the batch.",
    ".sum(dim=(0, 1, 3))",
    ".sum(dim=(1, 3)).mean(0)",
)
ex.slip(
    "gradient_of_a_sum",
    "The metric was multiplied by the batch: the gradient of a sum over prompts, not of their mean. Differentiate the metric as it is.",
    "torch.autograd.grad(value,",
    "torch.autograd.grad(value * len(clean_tokens),",
)
ex.slip(
    "only_the_last_position",
    "Only the last position was summed. A head is patched at all positions.",
    "(difference * gradient).sum(dim=(0, 1, 3))",
    "(difference * gradient)[:, -1].sum(dim=(0, 2))",
)
ex.slip(
    "positions_averaged_out",
    "The positions were averaged. All of them are patched together, so their effects add up.",
    ".sum(dim=(0, 1, 3))",
    ".sum(dim=(0, 3)).mean(0)",
)
ex.slip(
    "absolute_values",
    "Absolute values were added up. Effects of both signs cancel in the patch: keep the signs.",
    "(difference * gradient).sum",
    "(difference * gradient).abs().sum",
)
ex.slip(
    "keeps_the_graph",
    "The numbers are right, but the result still hangs on a graph: some run's activations were not detached. A whole run's "
    "memory stays alive with it.",
    "- kept[name].detach()",
    "- kept[name]",
)


@ex.mistake(
    "The clean run was left in the graph and z was replaced by clean + (z - clean), or the like: the gradient runs through the clean run "
    "too. Run it under torch.no_grad(); it only supplies numbers."
)
def graph_through_the_clean_run(model, clean_tokens, corrupted_tokens, metric):
    names = [get_act_name("z", layer) for layer in range(model.cfg.n_layers)]

    def run(tokens):
        kept = {}

        def keep(z, hook):
            kept[hook.name] = z

        value = metric(model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names]))
        return value, [kept[name] for name in names]

    with torch.enable_grad():
        (clean_value, clean), (value, corrupted) = run(clean_tokens), run(corrupted_tokens)
        gradients = torch.autograd.grad(value - clean_value, [*clean, *corrupted])
    rows = []
    for i in range(len(names)):
        gradient = gradients[i] + gradients[i + len(names)]
        rows.append(((clean[i] - corrupted[i]).detach() * gradient).sum(dim=(0, 1, 3)))
    return torch.stack(rows)


@ex.mistake(
    "That is the exact change by patching, one run per head. Right, but not what is asked: estimate it from one gradient; the two "
    "differ wherever the model bends."
)
def exact_patching(model, clean_tokens, corrupted_tokens, metric):
    _, clean = model.run_with_cache(clean_tokens)
    base, rows = metric(model(corrupted_tokens)), []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def patch(z, hook, head=head):
                z[:, :, head] = clean[hook.name][:, :, head]
                return z

            hooks = [(get_act_name("z", layer), patch)]
            rows.append(metric(model.run_with_hooks(corrupted_tokens, fwd_hooks=hooks)) - base)
    return torch.stack(rows).reshape(model.cfg.n_layers, model.cfg.n_heads)


ex.slip(
    "estimates_transposed",
    "The result is [head, layer]. Layers are rows.",
    "return torch.stack(rows)",
    "return torch.stack(rows).mT",
)
