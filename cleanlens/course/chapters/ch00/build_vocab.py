"""Exercise 00.1: A vocabulary of characters."""

import random

from ...exercise import exercise
from .helpers import BOS, sentence

ex = exercise(
    "00.1",
    "build_vocab",
    title="A vocabulary of characters",
    objective="You can give every character a number in a way that comes out the same on every machine and every run.",
    minutes=10,
    difficulty=1,
    importance=3,
    source="The definition in chapter 00, section 1: BOS first, then the characters by code point.",
    hints=[
        "A set of the characters of all texts joined together is a good start, but a set has no order.",
        "Give BOS the id 0 before anything else; then count on with the sorted characters.",
        "symbols = [BOS, *sorted(set(''.join(texts)))]; the two dictionaries are enumerations of this list.",
    ],
    why="Sorting is what makes it deterministic: Python's hash of a string, and with it the order of a set of "
    "strings, changes from one process to the next. A model trained with one numbering is useless with another.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    return {"texts": [sentence(rng) + chr(rng.randint(0x100, 0x17F)) for _ in range(rng.randint(2, 4))]}


@ex.oracle
def _(texts):
    stoi = {BOS: 0}
    for code in range(0x110000):
        if any(chr(code) in text for text in texts) if code < 0x200 else False:
            stoi[chr(code)] = len(stoi)
    return {"order": "BOS, then by code point", "stoi": stoi, "itos": {i: s for s, i in stoi.items()}}


@ex.measure
def _(observed, texts):
    # The order of a set differs from process to process, so the wrong orders are compared by name.
    stoi, itos = observed
    symbols = sorted(stoi, key=stoi.get)
    first_seen = list(dict.fromkeys("".join(texts)))
    known = {
        "BOS, then by code point": [BOS, *sorted(first_seen)],
        "BOS, then by first appearance": [BOS, *first_seen],
        "by code point, then BOS": [*sorted(first_seen), BOS],
    }
    order = next((name for name, symbols_then in known.items() if symbols == symbols_then), None)
    complete = set(symbols) == {BOS, *first_seen} and set(stoi.values()) == set(range(len(stoi)))
    if order is None and complete and itos == {i: s for s, i in stoi.items()}:
        stoi = {s: i for i, s in enumerate([BOS, *sorted(first_seen)])}
        return {"order": "in no order that can be repeated", "stoi": stoi, "itos": dict(enumerate(stoi))}
    return {"order": order or "something else", "stoi": stoi, "itos": itos}


@ex.alternative
def character_by_character(texts):
    characters = set()
    for text in texts:
        characters.update(text)
    stoi = {BOS: 0}
    for i, character in enumerate(sorted(characters)):
        stoi[character] = i + 1
    itos = {i: character for character, i in stoi.items()}
    return stoi, itos


ex.slip(
    "unsorted_set",
    "The characters are numbered in the order in which a set hands them out. Python hashes strings with a new salt "
    "in every process, so tomorrow every character has another number. Sort them.",
    "sorted(characters)",
    "characters",
)


ex.slip(
    "bos_collides",
    "BOS and the first character share the id 0, so a model could not tell the beginning of a text from that "
    "character, and the two dictionaries no longer undo each other. The characters start at 1.",
    "= i + 1",
    "= i",
)


ex.slip(
    "first_text_only",
    "Only the first text was read. A character that first appears in a later text has no number, and encoding that "
    "text will fail.",
    "in texts:",
    "in texts[:1]:",
)


ex.slip(
    "no_bos",
    "BOS itself is missing. It is part of the vocabulary, with the id 0.",
    "{BOS: 0}",
    "{}",
)


@ex.mistake(
    "The characters are numbered by first appearance. That is repeatable for these texts, but put the texts in another "
    "order and every number changes. Sort the characters."
)
def first_appearance(texts):
    symbols = [BOS, *dict.fromkeys("".join(texts))]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))
