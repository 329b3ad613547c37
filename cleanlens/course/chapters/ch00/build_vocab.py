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
    version=3,
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
    return [
        {"texts": [sentence(rng) + chr(rng.randint(0x100, 0x17F)) for _ in range(rng.randint(2, 4))]},
        {
            "texts": ["\tBrownFoxes" + rng.choice("JKL"), "jumpOver12LazyDogs\n"]
        },  # white space at the ends only
        {"texts": ["xAy" + rng.choice("PQ"), "yBz", "C"]},  # no white space at all
        {"texts": [""]},
        {"texts": []},
    ]


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
        "BOS sorted in among the characters": sorted([BOS, *first_seen]),
        "BOS, then small and capital letters mixed": [BOS, *sorted(first_seen, key=lambda c: (c.lower(), c))],
        "BOS, then by code point, backwards": [BOS, *sorted(first_seen, reverse=True)],
    }
    order = next((name for name, symbols_then in known.items() if symbols == symbols_then), None)
    complete = set(symbols) == {BOS, *first_seen} and set(stoi.values()) == set(range(len(stoi)))
    if order is None and complete and itos == {i: s for s, i in stoi.items()}:
        stoi = {s: i for i, s in enumerate([BOS, *sorted(first_seen)])}
        return {"order": "some other order", "stoi": stoi, "itos": dict(enumerate(stoi))}
    return {"order": order or "some other order", "stoi": stoi, "itos": itos}


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
    "BOS is 0 and every character has a number, but in an order that is neither that of the code points nor that of first "
    "appearance. The order in which a set hands out its members is such a one: Python hashes strings with a new salt in every "
    "process, so tomorrow every character has another number. sorted() without a key gives code points.",
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


@ex.mistake("The characters come first and BOS has the last number. BOS has the id 0.")
def bos_last(texts):
    symbols = [*sorted(set("".join(texts))), BOS]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


@ex.mistake(
    "BOS stands among the characters, where its first letter '<' sorts: some characters got smaller numbers. BOS is 0, "
    "whatever occurs in the texts; sort the characters without it."
)
def bos_sorted_in(texts):
    symbols = sorted({BOS, *"".join(texts)})
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


@ex.mistake(
    "Small and capital letters are sorted together, A beside a. By code point all capitals come before all small letters: "
    "that is what sorted() does without a key."
)
def case_ignored_in_the_order(texts):
    symbols = [BOS, *sorted(set("".join(texts)), key=lambda c: (c.lower(), c))]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


@ex.mistake("The characters are sorted backwards: the smallest code point comes right after BOS.")
def backwards(texts):
    symbols = [BOS, *sorted(set("".join(texts)), reverse=True)]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


@ex.mistake("The two dictionaries came back in the other order. It is (stoi, itos): symbol to id first.")
def dictionaries_swapped(texts):
    stoi, itos = character_by_character(texts)
    return itos, stoi


@ex.mistake("itos is a list. It finds the same symbols, but what is asked for is a dict from id to symbol.")
def itos_as_a_list(texts):
    stoi, itos = character_by_character(texts)
    return stoi, list(itos.values())


@ex.mistake("BOS is missing in itos: the id 0 could not be turned back. Each dictionary has all the symbols.")
def no_bos_in_itos(texts):
    stoi, itos = character_by_character(texts)
    return stoi, {i: s for i, s in itos.items() if i}


@ex.mistake("The vocabulary holds words. Here the symbols are single characters, spaces among them.")
def words_for_characters(texts):
    symbols = [BOS, *sorted(set(" ".join(texts).split()))]
    return {s: i for i, s in enumerate(symbols)}, dict(enumerate(symbols))


@ex.mistake("Capital letters are missing: the texts were made small first. 'A' and 'a' are two characters.")
def lowercases(texts):
    return character_by_character([text.lower() for text in texts])


@ex.mistake(
    "White space that stands only at the end or the beginning of a text is missing. It is made of characters like any other, "
    "and a text cannot be encoded without them."
)
def strips(texts):
    return character_by_character([text.strip() for text in texts])


@ex.mistake(
    "The newline has a number, although it stands in no text: the texts were joined with newlines. Join them with nothing between."
)
def joined_with_newlines(texts):
    return character_by_character(["\n".join(texts)])


@ex.mistake(
    "The space has a number, although it stands in no text: the texts were joined with spaces. Join them with nothing between."
)
def joined_with_spaces(texts):
    return character_by_character([" ".join(texts)])


@ex.mistake(
    "The ids are the code points. They are meant to be counted: 1, 2, 3, ..., so that the embedding matrix has one row per "
    "character that occurs."
)
def code_points_as_ids(texts):
    stoi = {BOS: 0} | {c: ord(c) for c in sorted(set("".join(texts)))}
    return stoi, {i: s for s, i in stoi.items()}


@ex.mistake(
    "The ids are the code points plus one. They are meant to be counted: 1, 2, 3, ... in the sorted order."
)
def code_points_plus_1(texts):
    stoi = {BOS: 0} | {c: ord(c) + 1 for c in sorted(set("".join(texts)))}
    return stoi, {i: s for s, i in stoi.items()}
