"""Exercise 06.1: A dataset with its counterpart."""

import random
import re
from itertools import product

from ...exercise import exercise

TEMPLATE = "When {A} and {B} went to the park, {S} gave a ball to"


SENTENCE = re.compile(r"When (\w+) and (\w+) went to the park, (\w+) gave a ball to")


ex = exercise(
    "06.1",
    "make_ioi",
    title="A dataset with its counterpart",
    objective="You can make clean and corrupted prompts that differ in one thing only, and answers to score both with.",
    minutes=20,
    version=5,
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
    two_tokens = ["Z"]
    first, *others, last = rng.sample(short, 5)  # of one token each: neither end of the list may be left out
    names = [first, *rng.sample(others + long + two_tokens, 8), last]
    tokenizer = WordTokenizer([f" {name}" for name in short] + long)
    return [
        {"n": n, "seed": number, "names": names, "tokenizer": tokenizer}
        for n, number in (
            (81, 7 + seed),
            (1, 7 + seed),
            (0, 7 + seed),
            (81, 0),
        )  # an odd number, one alone, none; seed 0
    ] + [{"n": 40, "seed": seed, "names": [*long, first, last], "tokenizer": tokenizer}]  # only two will do


PROPERTIES = (
    "prompts in the template",
    "names of one token",
    "IO and S are different people",
    "answers are (IO, S) of the clean prompt",
    "answers begin with a space",
    "the same seed gives the same prompts",
    "another seed gives other prompts",
    "every name of one token occurs as A and as B",
    "people are drawn anew for each row",
)


ALWAYS = PROPERTIES[:6]


@ex.oracle
def _(n, seed, names, tokenizer):
    counts = {"clean prompts": n, "corrupted prompts": n, "pairs of answers": n}
    if n < 2:  # too few to tell what is always so
        return counts | dict.fromkeys(ALWAYS, True)
    counts["names in use"] = len([name for name in names if len(tokenizer.encode(f" {name}")) == 1])
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


def drawn_anew(rows):
    """True, or who comes again some rows further on, far more often than by chance."""
    for distance in range(1, len(rows) // 2 + 1):
        both = list(zip(rows, rows[distance:]))
        if sum(set(old[:2]) == set(new[:2]) for old, new in both) > 0.4 * len(both):  # by chance 1 in 10
            return f"the same two again, {distance} further on"
        for i, j in product((0, 1), repeat=2):
            if sum(old[i] == new[j] for old, new in both) > 0.65 * len(both):  # by chance 1 in 5
                return f"one of them again, {distance} further on"
    return True


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
    counts = {
        "clean prompts": len(first["clean"]),
        "corrupted prompts": len(first["corrupted"]),
        "pairs of answers": len(first["answers"]),
    }
    if not all(clean) or not all(corrupted):
        return counts | dict.fromkeys(PROPERTIES if n > 1 else ALWAYS, False)
    clean, corrupted = [m.groups() for m in clean], [m.groups() for m in corrupted]
    answers = [tuple(pair) for pair in first["answers"]]
    right = [(a if s == b else b, s) for a, b, s in clean]
    used = {name for row in clean for name in row}
    single = {name for name in names if len(tokenizer.encode(f" {name}")) == 1}
    values = (
        True,
        all(len(tokenizer.encode(f" {name}")) == 1 for name in used),
        all(a != b for a, b, _ in clean),
        [(io.strip(), s.strip()) for io, s in answers] == right,
        all(word.startswith(" ") for pair in answers for word in pair),
        first == again,
        first != other,
        all({row[i] for row in clean} >= single for i in (0, 1)),
        len(single) < 5 or drawn_anew(clean),
    )
    same = all(old[:2] == new[:2] for old, new in zip(clean, corrupted))
    if n < 2:
        giver = all(s == b for _, b, s in clean) and all(
            new[2] == old[0] for old, new in zip(clean, corrupted)
        )
        return counts | dict(zip(ALWAYS, values)) | {"prompts in the template": same and giver}
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
    "two_rows_for_each_pair",
    "Two rows that follow each other are about the same two people. Draw two people for each row; whether it is ABBA or BABA depends on its "
    "number alone.",
    "        a, b = rng.sample(names, 2)",
    "        if i % 2 == 0:\n            a, b = rng.sample(names, 2)",
)


ex.slip(
    "people_taken_in_turn",
    "The people come in turn: B of one row is A of the next, or the same pairs come round again. Each row should be drawn by itself: "
    "rng.sample(names, 2) inside the loop.",
    "        a, b = rng.sample(names, 2)",
    "        if i % len(names) == 0:\n            rng.shuffle(names)\n"
    "        a, b = names[i % len(names)], names[(i + 1) % len(names)]",
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
    "seed_0_is_none",
    "With seed 0 the prompts come out otherwise every time: 0 counts as false in an `if` or an `or`, and was taken for 'no seed'. It is a "
    "seed like any other.",
    "random.Random(seed)",
    "random.Random(seed or None)",
)


ex.slip(
    "one_pair",
    "All prompts are about the same two people. Draw a new pair for every prompt.",
    "    for i in range(n):\n        a, b = rng.sample(names, 2)",
    "    a, b = rng.sample(names, 2)\n    for i in range(n):",
)


ex.slip(
    "names_exchanged_giver_stays",
    "In the corrupted prompt A and B are exchanged and the giver is the same: two positions change, and who gives does not. Keep A and B and let "
    "the other one give.",
    "A=a, B=b, S=io",
    "A=b, B=a, S=s",
)


ex.slip(
    "half_as_many",
    "There are n // 2 pairs. `n` is the number of pairs, each a clean and a corrupted prompt.",
    "range(n)",
    "range(n // 2)",
)


ex.equivalent(
    "i + 1 and i - 1 are even for the same i.",
    "pair[(i + 1) % => pair[(i - 1) %",
)
