"""The toy world: a grammar whose documents the embedded models were trained on.

Four kinds of document, all drawn from one seeded random generator:

* **scenes**: somebody is somewhere with somebody, and somebody gives something to somebody, the task of Wang et al.
  2022 ("Interpretability in the Wild") in many shapes of sentence. The recipient always follows from the text,
  but no single trick finds it: see `SCENES`. Most scenes name other people too, who take no part.
* **stories** of three to eight sentences about a hero, a friend, a place and a thing;
* stories whose people have **invented names** ("Zubiro") that the tokenizer must split. The second time the
  name is spelled, its later pieces can only be copied, and copying is what an induction head does;
* **plain sentences**, so that every word of the tokenizer is read in some context.

Some combinations of an opening and an action, some phrasings and some pairs of names never occur in training:
`ioi_prompts(..., templates="held_out")` draws from those, so an accuracy measured on them is not memory.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cleanlens.training.words import (
    ADJECTIVES,
    ADVERBS,
    ANIMALS,
    BASE,
    CAPITALS,
    EVERYDAY,
    GLAD,
    HE,
    MANY,
    MORE,
    NAMES,
    OBJECTS,
    PAST,
    PLACES,
    PLURALS,
    RARE_HE,
    RARE_NAMES,
    RARE_SHE,
    RELATIVES,
    SAD,
    SHE,
    THINGS,
    VERB,
    VERBED,
    VERBING,
)

_NUMBER = {name: i for i, name in enumerate(NAMES)}


def with_article(noun: str) -> str:
    """ "ball" -> "a ball", "apple" -> "an apple"."""
    return f"an {noun}" if _starts_with_vowel_sound(noun) else f"a {noun}"


def _starts_with_vowel_sound(word: str) -> bool:
    return word.startswith(("hour", "honest", "honor")) or (
        word[0] in "aeiou" and not word.startswith(("use", "uni", "one"))
    )


def is_held_out_pair(a: str, b: str) -> bool:
    """Whether these two names never stand in one training document (one pair of the common names in seven)."""
    return a in _NUMBER and b in _NUMBER and (_NUMBER[a] + _NUMBER[b]) % 7 == 3


# -------------------------------------------------------------------------------------- IOI prompts

OPENINGS = [
    "When {A} and {B} went to the {place},",
    "After {A} and {B} went to the {place},",
    "While {A} and {B} were at the {place},",
    "When {A} and {B} met at the {place},",
    "After {A} and {B} came to the {place},",
    "Since {A} and {B} stayed at the {place},",
    "Then {A} and {B} went to the {place}, and",
    "One day {A} and {B} played near the {place}, and",
    "After {A} and {B} had lunch at the {place},",
    "When {A} and {B} walked home from the {place},",
    "While {A} was at the {place} with {B},",
    "At the {place} {A} met {B}, and then",
]
ACTIONS = [
    "{giver} gave {object} to",
    "{giver} handed {object} to",
    "{giver} showed {object} to",
    "{giver} passed {object} to",
    "{giver} sent {object} to",
    "{giver} wanted to give {object} to",
    "{giver} took {object} and gave it to",
    "{giver} found {object} and showed it to",
]
# Neither the opening nor the action of these is in any training text.
NOVEL_OPENINGS = [
    "Before {A} and {B} left the {place},",
    "The {place} was full when {A} and {B} arrived, but",
    "It was at the {place} that {A} first saw {B}. Years later",
    "Nobody at the {place} knew {A} or {B}, although",
]
NOVEL_ACTIONS = [
    "{giver} mailed {object} to",
    "{giver} presented {object} to",
    "{giver} held {object} out to",
]

IOI_TEMPLATES: list[str] = [f"{opening} {action}" for opening in OPENINGS for action in ACTIONS] + [
    f"{opening} {action}" for opening in NOVEL_OPENINGS for action in NOVEL_ACTIONS
]
"""Every template; a template's id is its index here."""

# One in five of the combinations of an opening and an action is held out.
_N_COMBINED = len(OPENINGS) * len(ACTIONS)
HELD_OUT_TEMPLATES = [i for i in range(_N_COMBINED) if (i // len(ACTIONS) + 3 * (i % len(ACTIONS))) % 5 == 0]
NOVEL_TEMPLATES = list(range(_N_COMBINED, len(IOI_TEMPLATES)))
TRAIN_TEMPLATES = [i for i in range(_N_COMBINED) if i not in HELD_OUT_TEMPLATES]
# The first six openings and first five actions have the same number of words, slot for slot, so prompts from
# different ones of these templates line up token by token as well.
ALIGNED_TEMPLATES = [o * len(ACTIONS) + a for o in range(6) for a in range(5)]


@dataclass(frozen=True)
class IOIPrompt:
    """One prompt: the names in the order they are introduced, and who gives.

    `giver` is `second` in an ABBA prompt, `first` in a BABA prompt, and someone else in an ABC prompt.
    """

    template: int
    first: str
    second: str
    giver: str
    place: str
    object: str

    @property
    def text(self) -> str:
        return IOI_TEMPLATES[self.template].format(
            A=self.first, B=self.second, giver=self.giver, place=self.place, object=with_article(self.object)
        )

    @property
    def order(self) -> str:
        return "ABBA" if self.giver == self.second else "BABA" if self.giver == self.first else "ABC"


@dataclass(frozen=True)
class IOIDataset:
    """Prompts with their right answers (`io`) and their wrong ones (`s`), always in the same order."""

    items: list[IOIPrompt]
    io: list[str]
    s: list[str]

    @property
    def prompts(self) -> list[str]:
        return [item.text for item in self.items]

    @property
    def template_ids(self) -> list[int]:
        return [item.template for item in self.items]

    @property
    def orders(self) -> list[str]:
        return [item.order for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def flipped(self) -> "IOIDataset":
        """The same prompts with the other person giving: ABB becomes ABA, and the right answer changes.

        `io` and `s` stay those of the clean prompts, so the clean logit difference turns negative here.
        """
        return IOIDataset([replace(item, giver=io) for item, io in zip(self.items, self.io)], self.io, self.s)

    def abc(self, seed: int = 0) -> "IOIDataset":
        """The same sentences with three different names, none of them in the clean prompt.

        A baseline that holds everything except who is the indirect object: means over it, or noising from
        it, take that away and nothing else. `io` and `s` stay those of the clean prompts.
        """
        rng = random.Random(seed)
        items = []
        for item in self.items:
            others = [name for name in NAMES if name not in (item.first, item.second)]
            first, second, giver = rng.sample(others, 3)
            items.append(replace(item, first=first, second=second, giver=giver))
        return IOIDataset(items, self.io, self.s)


def ioi_prompts(
    n: int,
    seed: int = 0,
    templates: str | Sequence[int] = "held_out",
    order: str = "both",
    aligned: bool = False,
) -> IOIDataset:
    """`n` IOI prompts, ABBA and BABA in turn (or one `order` only), from a seed.

    Args:
        templates: "train"; "held_out", combinations of an opening and an action that are not in training;
            "novel", phrasings of which neither is; or template ids. All but "train" and ids draw only pairs
            of names that are not in training either.
        order: "both", "ABBA" or "BABA".
        aligned: keep only templates of one shape, so that position `i` means the same in every prompt.
            (Prompts of any *one* template always line up.)
    """
    groups = {"train": TRAIN_TEMPLATES, "held_out": HELD_OUT_TEMPLATES, "novel": NOVEL_TEMPLATES}
    if isinstance(templates, str) and templates not in groups:
        raise ValueError(
            f"templates is {templates!r}; expected 'train', 'held_out', 'novel' or a list of ids."
        )
    if order not in ("both", "ABBA", "BABA"):
        raise ValueError(f"order is {order!r}; expected 'both', 'ABBA' or 'BABA'.")
    ids = groups[templates] if isinstance(templates, str) else list(templates)
    if aligned:
        ids = [i for i in ids if i in ALIGNED_TEMPLATES]
    rng = random.Random(seed)
    items, io, s = [], [], []
    for i in range(n):
        pair = _pair(rng, held_out=templates in ("held_out", "novel"))
        abba = order == "ABBA" or (order == "both" and i % 2 == 0)
        subject, other = (pair[1], pair[0]) if abba else (pair[0], pair[1])
        items.append(IOIPrompt(rng.choice(ids), *pair, subject, rng.choice(PLACES), rng.choice(OBJECTS)))
        io.append(other)
        s.append(subject)
    return IOIDataset(items, io, s)


def _pair(rng: random.Random, held_out: bool = False) -> tuple[str, str]:
    while True:
        a, b = rng.sample(NAMES, 2)
        if is_held_out_pair(a, b) == held_out:
            return a, b


# ---------------------------------------------------------------------------------- names and rules


def invented_name(rng: random.Random) -> str:
    """Two to four open syllables, "Zubiro": new to the reader, so that its pieces can only be copied."""
    n = rng.choice([2, 3, 3, 4])
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(n)).capitalize()


def _anyone(rng: random.Random, common: float) -> str:
    """A name: one token with probability `common`, else rare or invented (several tokens)."""
    kind = rng.random()
    if kind < common:
        return rng.choice(NAMES)
    return rng.choice(RARE_NAMES) if kind < common + (1 - common) * 9 / 17 else invented_name(rng)


def cast(rng: random.Random, n: int, common: float = 0.66) -> list[str]:
    """`n` people with different names, no two of them a held-out pair."""
    people: list[str] = []
    while len(people) < n:
        name = _anyone(rng, common)
        if name not in people and not any(is_held_out_pair(name, other) for other in people):
            people.append(name)
    return people


_SHE, _HE = {*SHE, *RARE_SHE}, {*HE, *RARE_HE}


def pronoun(name: str) -> str:
    return "she" if name in _SHE else "he" if name in _HE else "it"


# {lower case} names a slot, {UPPER CASE} a rule that is expanded by chance, each time anew.
RULES: dict[str, list[str]] = {
    "PLACE": PLACES,
    "NOUN": OBJECTS,
    "NOUNS": PLURALS,
    "ADJ": ADJECTIVES,
    "GLAD": GLAD,
    "SAD": SAD,
    "ANIMAL": ANIMALS,
    "REL": RELATIVES,
    "THING": THINGS,
    "ADVERB": ADVERBS,
    "ANYWORD": MORE,
    "WORD": EVERYDAY,
    "CAPITAL": CAPITALS,
    "DO_IT": BASE,
    "DID": PAST,
    "MANY": MANY,
    "VERB": VERB,
    "VERBED": VERBED,
    "VERBING": VERBING,
    "OBJ": [
        *["a {NOUN}", "the {NOUN}"] * 3,
        *["a {ADJ} {NOUN}", "the {ADJ} {NOUN}"],
        *["some {NOUN}", "his {NOUN}", "her {NOUN}", "that {NOUN}", "another {NOUN}", "this {NOUN}"],
        *["a {NOUN} and a {NOUN}", "the {NOUN} from the {PLACE}", "a piece of {NOUN}", "a pair of {NOUNS}"],
        *["some {NOUNS}", "some {ADJ} {NOUNS}", "two {NOUNS}", "the {NOUNS}", "a {NOUN} with {NOUNS}"],
        *[
            "one of the {NOUNS}",
            "one {NOUN}",
            "the first {NOUN}",
            "the last {NOUN}",
            "half of the {NOUN}",
            "one",
            "it",
        ],
        *[
            "a cup of {NOUN}",
            "a glass of {NOUN}",
            "a bag of {NOUNS}",
            "a bit of {NOUN}",
            "a cup",
            "a glass",
            "them",
        ],
        *[
            "the other {NOUN}",
            "a very {ADJ} {NOUN}",
            "a {ADJ}, {ADJ} {NOUN}",
            "a {NOUN} {NOUN}",
            "the {ADJ} one",
        ],
        *[
            "all the {NOUNS}",
            "everything",
            "something {ADJ}",
            "the rest of the {NOUN}",
            "{ADJ} {NOUN}",
            "a second {NOUN}",
        ],
    ],
    "TOLD": [  # what is said, not handed over
        *[
            "a {THING}",
            "the {THING}",
            "a {ADJ} {THING}",
            "the whole {THING}",
            "a long story",
            "the news",
            "a joke",
        ],
        *["the truth", "some {ADJ} news", "everything", "another {THING}", "his {THING}", "her {THING}"],
    ],
    "AT": [
        *["at the {PLACE}", "in the {PLACE}", "near the {PLACE}", "by the {PLACE}", "outside the {PLACE}"],
        *[
            "behind the {PLACE}",
            "next to the {PLACE}",
            "on the way to the {PLACE}",
            "in front of the {PLACE}",
        ],
        *["at home", "at work", "at school", "in the city", "under the tree", "at the table", "on the road"],
        *["at a party", "at the {ADJ} {PLACE}", "in the {ADJ} {PLACE}", "in class", "at dinner", "outside"],
    ],
    "TO": [
        *["to the {PLACE}", "into the {PLACE}", "back to the {PLACE}", "to a {ADJ} {PLACE}"] * 2,
        *["home", "for a walk", "for a swim", "to a party", "out to eat", "to bed", "away", "to work"],
        *["to see the {THING}", "out for dinner", "to school", "up the hill", "down the road"],
    ],
    "DO": [  # what one or several people did, alone
        *["went {TO}", "walked {TO}", "ran {TO}", "came {TO}", "drove {TO}", "traveled {TO}", "hurried {TO}"],
        *["were {AT}", "stayed {AT}", "sat down {AT}", "stood {AT}", "waited {AT}", "lived {AT}", "met {AT}"],
        *["had lunch {AT}", "had dinner {AT}", "were working {AT}", "were playing {AT}", "worked {AT}"],
        *["cooked together", "were friends", "were tired", "were {SAD}", "were {GLAD}", "were very {GLAD}"],
        *["had a fight", "had a long talk", "had a good time {AT}", "danced all night", "were old friends"],
        *["found {OBJ} {AT}", "bought {OBJ}", "were looking for {OBJ}", "finished the {THING}", "made {OBJ}"],
        *[
            "talked about the {THING}",
            "wanted to see the {THING}",
            "watched the {THING}",
            "cleaned the {PLACE}",
        ],
        *["arrived {AT}", "left the {PLACE}", "returned from the {PLACE}", "got home from the {PLACE}"],
        *[
            "were reading {AT}",
            "were walking {TO}",
            "were having breakfast",
            "played with {OBJ}",
            "sang a song",
        ],
        *[
            "did not know what to do",
            "could not find the {PLACE}",
            "opened the {ADJ} {NOUN}",
            "painted the {PLACE}",
        ],
    ],
    "MET": [  # {A} MET {B}
        *[
            "met",
            "saw",
            "visited",
            "found",
            "called",
            "helped",
            "followed",
            "talked to",
            "waited for",
            "knew",
        ],
        *["walked with", "played with", "thanked", "looked at", "ran into", "sat next to", "liked", "loved"],
        *[
            "had dinner with",
            "argued with",
            "listened to",
            "went out with",
            "joined",
            "invited",
            "worked with",
        ],
        *[
            "was looking for",
            "wanted to see",
            "went {TO} with",
            "stood beside",
            "lived near",
            "was a friend of",
        ],
        *["was {AT} with", "came {TO} with", "was talking to", "noticed", "greeted", "studied with"],
    ],
    "PAIR": [  # how {A} and {B} come into the text, in this order
        *["{A} and {B} {DO}"] * 5,
        *["{A} {MET} {B}", "{A} {MET} {B} {AT}"] * 2,
        *["{A} was {AT} with {B}", "{A} had a friend named {B}", "the friends {A} and {B} met {AT}"],
        *["there were {A} and {B} {AT}", "{A}, a friend of {B}, was {AT}", "{A} and a friend, {B}, {DO}"],
        *["{AT} {A} met {B}", "{AT} were {A} and {B}", "{A} came {TO}, and {B} was there too"],
        *[
            "{A} {DID} the {NOUN} and {DID} {B}",
            "{A} {DID} {ADVERB}, and {B} {DID} {AT}",
            "{A} {DID} {B} {ADVERB}",
        ],
        *[
            "the {REL} {DID} {A} and {B}",
            "{A} {DID} {OBJ} with {B}",
            "{A} {DID} while {B} {VERBED} the {THING}",
        ],
        *["both {A} and {B} {DO}", "{A} went {TO} and {B} came along", "{A} got {OBJ}, and {B} saw it"],
        *[
            "the {REL} saw {A} and {B} {AT}",
            "{A} was {SAD} and {B} was {GLAD}",
            "{A} and then {B} arrived {AT}",
        ],
        *[
            "{A} and {B} are {MANY}",
            "{A} and {B} live {AT}",
            "{A} lives next door to {B}",
            "{A} knows {B} from work",
        ],
        *["{A} and {B} have been friends for years", "{A} has seen {B} {AT}", "{A} and {B} like the {THING}"],
        *["only {A} and {B} {DO}", "nobody but {A} and {B} {DID}", "everyone {DID}, but {A} and {B} {DO}"],
        *["{A} was {VERBING} when {B} came {TO}", "{A} was {VERBING} {AT} and {B} was {VERBING} {AT}"],
        *["{A} {DID} {OBJ} {AT}, and {B} {DID} to see it", "{A} was {AT} for a week, and {B} {DID} {TO}"],
        *[
            "{A} asked {B} to {DO_IT} the {THING}",
            "the {REL} asked {A} and {B} to {DO_IT}",
            "{A} and {B} still {DID}",
        ],
        *[
            "two {MANY}, {A} and {B}, {DO}",
            "{A} and {B} had not {DID} the {THING}",
            "my {MANY} {A} and {B} {DO}",
        ],
        *[
            "{A} and {B} were both {SAD}",
            "{A} and {B} wanted the same {NOUN}",
            "there was one {NOUN} for {A} and {B}",
        ],
        *[
            "{AT} stood {A}, and {B} {DID} {AT}",
            "the {MANY} left, and {A} and {B} stayed {AT}",
            "{A} and {B} were {VERBING}",
        ],
    ],
    "TIME": [
        *["One day,", "Last week,", "Yesterday,", "In the morning,", "At night,", "Then,", "Later,", "Soon,"],
        *["On Monday,", "On Sunday,", "In the summer,", "Last night,", "One evening,", "After dinner,"],
        *[
            "After a while,",
            "At noon,",
            "This morning,",
            "In the end,",
            "A long time ago,",
            "During the day,",
        ],
        *["One day", "Yesterday", "Then", "Later", "Soon", "Last year", "One morning", "Today", "In winter,"],
        *["The next day,", "That evening,", "Finally,", "Suddenly,", "Every day,", "At the end of the day,"],
        *[
            "On Saturday night,",
            "Before lunch,",
            "During the {THING},",
            "After the {THING},",
            "A week later,",
        ],
    ],
    "SET": [  # sentences about nobody, or about all
        *["It was a {ADJ} day.", "It was raining.", "The sun was shining.", "It was very cold outside."],
        *["The sky was blue.", "It was late at night.", "Everyone was {GLAD}.", "There was a party."],
        *[
            "It was the first day of spring.",
            "The {THING} was {ADJ}.",
            "The birds were singing.",
            "It was dark.",
        ],
        *[
            "There was a {ANIMAL} {AT}.",
            "The {PLACE} was {ADJ}.",
            "A {REL} was there too.",
            "It was nearly time.",
        ],
        *[
            "The {REL} {DID} {ADVERB}.",
            "The {NOUN} {DID} {AT}.",
            "The {MANY} {DID} the {THING}.",
            "They {DID} {ADVERB}.",
        ],
        *[
            "It {DID} {ADVERB} {AT}.",
            "The {ANYWORD} {DID} and the {ANYWORD} {DID}.",
            "There were some {ANIMAL} toys.",
        ],
        *[
            "The {NOUN} was on the table.",
            "They had a lot of fun.",
            "They were very {GLAD}.",
            "They were {SAD}.",
        ],
        *["They talked for a long time.", "They talked about the {THING}.", "They sat under a tree."],
        *["They played all day.", "It was time to go home.", "They laughed and sang.", "The food was good."],
        *["They looked around.", "They were good friends.", "Nobody said a word.", "They saw a {ANIMAL}."],
    ],
    "AWAY": [  # somebody who takes no part
        *["{X} was {AT}.", "{X} was {SAD}.", "{X} was {GLAD}.", "{X} lived {AT}.", "{X} had {OBJ}."],
        *[
            "{X} went {TO}.",
            "{X} stayed {AT}.",
            "{X} was asleep.",
            "{X} knew nothing about it.",
            "{X} was away.",
        ],
        *[
            "It was the house of {X}.",
            "They did not see {X}.",
            "They had heard about {X}.",
            "{X} was far away.",
        ],
        *[
            "It was {X}'s {NOUN}.",
            "The {NOUN} of {X} was {ADJ}.",
            "{X} could not come.",
            "{X} had left early.",
        ],
        *["A {REL} of {X} was there.", "They read a story about {X}.", "{X} did not like the {THING}."],
        *["{X} {DID} {ADVERB}.", "{X} {DID} the {REL}.", "{X} {DID} {OBJ} {AT}.", "The {REL} {DID} {X}."],
        *["Far away, {X} was {AT}.", "They talked about {X}.", "{X} slept.", "Nobody had seen {X}."],
    ],
    "GAVE": [
        *[
            "gave",
            "gave",
            "handed",
            "showed",
            "passed",
            "sent",
            "brought",
            "threw",
            "offered",
            "sold",
            "lent",
        ],
        *[
            "quickly gave",
            "happily handed",
            "kindly offered",
            "wanted to give",
            "decided to give",
            "returned",
        ],
        *[
            "tried to give",
            "was happy to give",
            "promised to give",
            "forgot to give",
            "went to give",
            "carried",
        ],
        *[
            "had to give",
            "would give",
            "secretly sent",
            "read",
            "delivered",
            "agreed to sell",
            "wanted to show",
        ],
        *[
            "gives",
            "hands",
            "shows",
            "sends",
            "brings",
            "offers",
            "has given",
            "is giving",
            "had given",
            "was giving",
        ],
        *[
            "always gives",
            "never gave",
            "later gave",
            "then passed",
            "slowly handed",
            "could not wait to show",
        ],
    ],
    "GIVE": [  # follows the giver, ends where the recipient's name comes
        *["{GAVE} {object} to"] * 12,
        *[
            "{DID} {object} to",
            "{DID} {object} and {GAVE} it to",
            "{DID} the {THING} to",
            "{VERBED} {object} for",
        ],
        *["{DID} to", "{DID} {ADVERB} to", "{DID} and {DID} {object} to", "will {VERB} {object} for"],
        *[
            "took {object} and gave it to",
            "found {object} and showed it to",
            "bought {object} and sent it to",
        ],
        *["made {object} and brought it to", "picked up {object} and handed it to", "had {object} for"],
        *[
            "made {object} for",
            "bought {object} for",
            "got {object} for",
            "found {object} for",
            "took {object} to",
        ],
        *[
            "cooked {object} for",
            "had a gift for",
            "opened the {NOUN} and gave {object} to",
            "told a story to",
        ],
        *["said hello to", "talked to", "waved to", "sang a song to", "listened to", "said goodbye to"],
        *[
            "smiled at",
            "was angry with",
            "wrote a letter to",
            "explained the {THING} to",
            "waited for",
            "thanked",
        ],
        *["gave the {THING} back to", "left {object} for", "put {object} down and talked to", "ran to"],
        *[
            "told {TOLD} to",
            "told {TOLD} to",
            "tells {TOLD} to",
            "whispered {TOLD} to",
            "explained {TOLD} to",
        ],
        *["was telling {TOLD} to", "read {TOLD} to", "wanted to tell {TOLD} to", "said {TOLD} to"],
        *[
            "had two {NOUNS} and gave one to",
            "had some {NOUNS}, so {giver} lent one to",
            "made {object} and gave a bit to",
        ],
        *[
            "made some {NOUN} and passed a cup to",
            "poured {object} and gave it to",
            "{VERBED} {object}, then passed it to",
        ],
        *[
            "found two {NOUNS}, kept one, and gave the other to",
            "cut the {NOUN} and gave half of it to",
            "threw it to",
        ],
    ],
    "AFTER": [  # what may follow
        *["{io} was {GLAD}.", '"Thank you, {giver}," said {io}.', "{io} thanked {giver} and smiled."],
        *[
            "{io} liked it very much.",
            "Then {giver} and {io} went home.",
            "{giver} smiled.",
            "They were {GLAD}.",
        ],
        *["{io} laughed.", '"It is {ADJ}!" said {io}.', "{giver} was {GLAD} too.", "{io} took it {TO}."],
        *["So {io} gave {OBJ} to {giver}.", "Later, {io} {GAVE} {OBJ} to {giver}.", "{io} {MET} {giver}."],
    ],
    # Plain sentences: every word somewhere.
    "PLAIN": [
        *[
            "The {REL} {VERBED} the {THING}.",
            "The {ADJ} {NOUN} was {AT}.",
            "The {ANIMAL} was {ADJ} and {ADJ}.",
        ],
        *["They {VERBED} the {NOUN} {ADVERB}.", "There was a {ADJ} {THING} {AT}.", "She {VERBED} {OBJ}."],
        *["He {VERBED} the {REL} {AT}.", "We can {VERB} the {NOUN} {AT}.", "I want to {VERB} {OBJ}."],
        *[
            "Do you {VERB} the {THING}?",
            "The {ANYWORD} and the {ANYWORD} are {ADJ}.",
            "You should {DO_IT} it.",
            "They will {DO_IT} and {DO_IT}.",
            "Please {DO_IT} the {THING}.",
        ],
        *["A {REL} and a {REL} talked about the {ANYWORD}.", "It was about {ANYWORD} and {THING}."],
        *["His {REL} was {GLAD}, but her {REL} was {SAD}.", "Some {ANYWORD} is {ADJ}, some is {ADJ}."],
        *[
            "The {MANY} {DID} {AT}.",
            "Some {MANY} {DID} {ADVERB}.",
            "A {ANYWORD} {DID} a {WORD}.",
            "The {WORD} {DID}.",
        ],
        *["I {DID} {ADVERB}, but you {DID} the {WORD}.", "My {MANY} {DID} your {WORD} {ADVERB}."],
        *["What is a {ANYWORD}?", "The {THING} is more {ADJ} than the {THING}.", "They are {VERBING} {AT}."],
        *[
            "{TIME} the {REL} {VERBED} a {ADJ} {NOUN}.",
            "My {REL} likes {VERBING}.",
            "This {ANYWORD} is {WORD}.",
        ],
        *[
            "{WORD} and {WORD}, {WORD} or {WORD}.",
            "The word {WORD} is not {WORD}.",
            "{CAPITAL} {WORD} {WORD}.",
        ],
    ],
}

_SLOT = re.compile(r"\{([^{}]+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=([a-z]+))")


def fill(text: str, slots: dict[str, str], rng: random.Random) -> str:
    """Expand slots and rules until only words are left, then mend "a apple"."""

    def expand(match: re.Match) -> str:
        key = match[1]
        return slots[key] if key in slots else _SLOT.sub(expand, rng.choice(RULES[key]))

    return _ARTICLE.sub(
        lambda m: f"{m[1]}n " if _starts_with_vowel_sound(m[2]) else m[0], _SLOT.sub(expand, text)
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


# ------------------------------------------------------------------------------------------- scenes

_JOINED = [  # an introduction and a giving in one sentence
    *["When {intro}, {give}", "After {intro}, {give}", "While {intro}, {give}", "Because {intro}, {give}"],
    *["Since {intro}, {give}", "As {intro}, {give}", "Once {intro}, {give}", "Although {intro}, {give}"],
    *["{intro}, and {give}", "{intro}, so {give}", "{intro}, and then {give}", "{intro}, but {give}"],
    *["{intro}, and soon {give}", "{intro}, and later {give}", "{intro}, then {give}", "{intro} and {give}"],
    *["{intro} when {give}", "{intro}; {give}"],
]
_SAID_BEFORE = [  # about one of the two, before the giving, without a word about who receives
    *["{Y} was {GLAD}.", "{Y} was {SAD}.", "{Y} smiled.", "{Y} sat down.", "{Y} looked at the {NOUN}."],
    *["{Y} {DID} {ADVERB}.", "{Y} {DID} the {THING}.", "{Y} {DID} {AT}.", "The {REL} {DID} {Y}."],
    *[
        "{Y} had {OBJ}.",
        "{Y} liked the {THING}.",
        '"It is {ADJ}," said {Y}.',
        "{Y} laughed.",
        "{Y} was very {SAD}.",
    ],
]
_WANTED = [  # ... and with one
    *["{Y} wanted {OBJ}.", "{Y} asked for {OBJ}.", "{Y} needed {OBJ}.", "{Y} had lost the {NOUN}."],
    *["It was the birthday of {Y}.", "{Y} had no {NOUN}.", "{Y} was {SAD} without the {NOUN}."],
    *['"Can I have {OBJ}?" asked {Y}.', "{Y} had always wanted {OBJ}.", "The {NOUN} belonged to {Y}."],
]
_TURNED = [
    *[
        "turned to {Y} and",
        "looked at {Y} and",
        "smiled at {Y} and",
        "went to {Y} and",
        "sat down beside {Y} and",
    ],
    *[
        "called {Y} and",
        "met {Y} and",
        "waited for {Y} and",
        "visited {Y} and",
        "liked {Y} and",
        "found {Y} and",
    ],
    *["saw {Y} {AT} and", "met {Y} {AT} and", "went {TO} with {Y} and", "had lunch with {Y} and"],
]
_GIVEN_BY = [  # things that have to do with somebody else
    *[
        "{X}'s {NOUN}",
        "a letter from {X}",
        "the {NOUN} of {X}",
        "a picture of {X}",
        "the {ADJ} {NOUN} from {X}",
    ],
]
_GIVER = ["{giver}, who knew {X},", "{giver}, a friend of {X},", "{giver}, the {REL} of {X},"]
_CLOSE = [*["."] * 8, "!", " {AT}.", " and went {TO}.", ", and they were {GLAD}.", " {ADVERB}."]


class Scene:
    """One scene while it is being written: its people, what they are called in rules, and its sentences."""

    def __init__(self, rng: random.Random, common: float = 0.66):
        self.rng = rng
        *self.people, self.away1, self.away2 = cast(rng, 6, common)
        # Four scenes in five may name somebody who takes no part.
        self.crowded = rng.random() < 0.8
        self.sentences: list[str] = []

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def say(self, text: str, **slots: str) -> None:
        slots.setdefault("X", self.rng.choice((self.away1, self.away2)))
        text = _sentence(fill(text, slots, self.rng))
        first = re.split(r"[ ,.']", text)[0]
        a_name = first in self.people or first in (self.away1, self.away2)
        if self.chance(0.3) and (a_name or first in ("It", "The", "They")):
            text = f"{fill('{TIME}', {}, self.rng)} {text if a_name else text[0].lower() + text[1:]}"
        self.sentences.append(text)

    def surroundings(self, p: float) -> None:
        """Perhaps a sentence about nobody, perhaps one about somebody who takes no part."""
        if self.chance(p / 2):
            self.say(self.rng.choice(RULES["SET"]))
        while self.crowded and self.chance(p):
            self.say(self.rng.choice(RULES["AWAY"]))
            p /= 2

    def pair(self, a: str, b: str) -> tuple[str, dict[str, str]]:
        """How two people come into the text; in a crowded scene perhaps at somebody else's place."""
        slots = {"A": a, "B": b}
        if self.crowded and self.chance(0.15):
            owner = self.rng.choice((self.away1, self.away2))
            slots["AT"] = fill(
                self.rng.choice(["at {X}'s {PLACE}", "in the {PLACE} of {X}"]), {"X": owner}, self.rng
            )
        return self.rng.choice(RULES["PAIR"]), slots

    def giving(self, giver: str) -> tuple[str, dict[str, str]]:
        """`giver gave a ball to`, up to where the recipient's name comes."""
        slots = {"giver": giver, "object": "{OBJ}", "X": self.rng.choice((self.away1, self.away2))}
        subject = "{giver}"
        if self.crowded and self.chance(0.2):
            slots["object"] = self.rng.choice(_GIVEN_BY)
        if self.crowded and self.chance(0.1) and "and " not in giver:
            subject = self.rng.choice(_GIVER)
        slots["object"] = fill(slots["object"], slots, self.rng)
        return f"{subject} {self.rng.choice(RULES['GIVE'])}", slots

    def finish(self, start: str, slots: dict[str, str], io: str) -> None:
        """The sentence with its answer, and perhaps what came of it."""
        giver = slots["giver"]
        self.say(f"{start} {{io}}{self.rng.choice(_CLOSE)}", **slots, io=io)
        if giver in self.people and "{giver}" in start:
            while self.chance(0.4):
                self.say(self.rng.choice(RULES["AFTER"]), giver=giver, io=io)
        if self.chance(0.2):
            self.surroundings(0.5)


def _simple(scene: Scene) -> None:
    """A template of `ioi_prompts`, as it is."""
    a, b = scene.people[:2]
    giver, io = scene.rng.sample((a, b), 2)
    pattern = IOI_TEMPLATES[scene.rng.choice(TRAIN_TEMPLATES)]
    slots = {"A": a, "B": b, "giver": giver, "place": scene.rng.choice(PLACES)}
    scene.surroundings(0.2)
    scene.sentences.append(
        fill(pattern, slots | {"object": with_article(scene.rng.choice(OBJECTS))}, scene.rng) + f" {io}."
    )


def _two(scene: Scene) -> None:
    """Two people, one of them gives: the recipient is the other, however often each is named."""
    a, b = scene.people[:2]
    giver, io = scene.rng.sample((a, b), 2)
    intro, named = scene.pair(a, b)
    name = giver
    if {pronoun(a), pronoun(b)} == {"he", "she"} and scene.chance(0.12):
        name = pronoun(giver)
    give, slots = scene.giving(name)
    scene.surroundings(0.6)
    if scene.chance(0.45):
        scene.finish(scene.rng.choice(_JOINED).format(intro=intro, give=give), named | slots, io)
    else:
        scene.say(f"{intro}.", **named)
        scene.surroundings(0.4)
        if name == giver and scene.chance(0.3):
            scene.say(scene.rng.choice(_SAID_BEFORE), Y=scene.rng.choice((a, b)))
        time = scene.rng.choice(["", "", "{TIME} "])
        scene.finish(time + give, slots, io)


_ALONE = [  # what one of two does before the other comes in; a verb of its own for each
    *[
        "{Y} was {AT}",
        "{Y} was {AT} for a {ADJ} {THING}",
        "{Y} was {VERBING} the {NOUN}",
        "{Y} was {VERBING} {OBJ}",
    ],
    *["{Y} was {VERBING} {AT}", "{Y} {DID} {OBJ}", "{Y} {DID} the {THING} {ADVERB}", "{Y} {DID} {OBJ} {AT}"],
    *[
        "{Y} was {SAD}",
        "{Y} was {GLAD}",
        "{Y} wanted {OBJ}",
        "{Y} had {OBJ}",
        "{Y} lived {AT}",
        "{Y} went {TO}",
    ],
    *["{Y} was {AT} for a long time", "{Y} was busy", "{Y} stayed {AT} all day", "{Y} opened the {NOUN}"],
]
_COMES = [
    *["{Z} came {TO}", "{Z} came to {DO_IT}", "{Z} walked in", "{Z} was {VERBING} {AT}", "{Z} {DID} {AT}"],
    *[
        "{Z} {DID} {OBJ}",
        "{Z} went {TO} to {DO_IT}",
        "{Z} {DID} the {NOUN} {ADVERB}",
        "{Z} sat {AT}",
        "{Z} {DID} a little",
    ],
    *[
        "there was {Z}",
        "{Z} was there too",
        "{Z} came back from the {PLACE}",
        "{Z} {DID} {ADVERB}",
        "{Z} had {OBJ}",
    ],
]
_BOTH = [
    *[
        "The others {DID}, but {Y} and {Z} {DO}.",
        "{Y} and {Z} were {VERBING}.",
        "The {THING} was over, and {Y} and {Z} {DO}.",
    ],
    *[
        "Nobody was there but {Y} and {Z}.",
        "All day {Y} and {Z} were {VERBING}.",
        "{Y} and {Z} {DID} {ADVERB}.",
    ],
    *[
        "All had {DID} but {Y} and {Z}.",
        "{Y} and {Z} {DID} the {NOUN}, and then they {DID}.",
        "{Y} has a {REL}, {Z}.",
    ],
    *[
        "The {REL} {DID} with {Y} and {Z}.",
        "It was {ADJ} for {Y} and {Z}.",
        "The {NOUN} was between {Y} and {Z}.",
    ],
    *[
        "The {MANY} {DID} without {Y} and {Z}.",
        "The {THING} was about {Y} and {Z}.",
        "There was {OBJ} for {Y} and {Z}.",
    ],
    *[
        "The {REL} of {Y} and {Z} {DID}.",
        "Like {Y} and {Z}, the {MANY} {DID}.",
        "The {ANIMAL} {DID} from {Y} and {Z}.",
    ],
    *["The {REL} {DID} to {Y} and {Z}.", "Around {Y} and {Z} the {MANY} {DID}.", "Only {Y} and {Z} {DID}."],
]
_WHEN = [
    *[
        "Late at night",
        "Not long before the {THING}",
        "Right after the {THING}",
        "All through the {THING}",
        "Until noon",
    ],
    *[
        "Since the {THING}",
        "At the end of the {THING}",
        "A little later",
        "Early that day",
        "On a {ADJ} {THING}",
    ],
]
_APART = [
    *[
        "While {one}, {other}.",
        "{one}. {other}.",
        "{one}. {other}.",
        "{one}, and {other}.",
        "When {one}, {other}.",
    ],
    *[
        "{one} while {other}.",
        "{one}, but {other}.",
        "{one}. {TIME} {other}.",
        "{one} when {other}.",
        "{one}, so {other}.",
    ],
]
_TURN = [  # how the giving begins
    *[
        "",
        "",
        "",
        "{TIME} ",
        "{TIME} ",
        "It was {ADJ}, so ",
        "{AT} ",
        "In the end ",
        "They {DID}, and ",
        "When the {THING} {DID}, ",
    ],
    *["At the {PLACE} ", "It was late, and ", "They {DID} {ADVERB} and ", "As it was {ADJ}, ", "Then "],
]
_GIVE_LATE = [
    *["{DID} {OBJ} and {GAVE} {object} to", "{DID} {object} and gave some to", "{DID} and told {TOLD} to"],
    *[
        "told {TOLD} to",
        "told {TOLD} to",
        "{GAVE} {object} to",
        "{GAVE} {object} to",
        "{DID} {ADVERB} and {GAVE} {object} to",
    ],
    *[
        "{GAVE} the {ADJ} {NOUN} to",
        "{GAVE} the {NOUN} to",
        "{DID} the {NOUN} and then {GAVE} it to",
        "had to tell {TOLD} to",
    ],
]


def _apart(scene: Scene) -> None:
    """Two people who come into the text one by one, each with a verb of their own; who gives is one of them."""
    a, b = scene.people[:2]
    giver, io = scene.rng.sample((a, b), 2)
    if scene.chance(0.3):
        scene.say(scene.rng.choice(RULES["SET"]))
    names = {"Y": a, "Z": b}
    if scene.chance(0.4):
        both = scene.rng.choice(_BOTH)
        intro = fill(both, names, scene.rng)
        if both.startswith("{Y}") and scene.chance(0.4):
            intro = f"{fill(scene.rng.choice(_WHEN), {}, scene.rng)}, {intro}"
    else:
        one, other = (
            fill(scene.rng.choice(_ALONE), names, scene.rng),
            fill(scene.rng.choice(_COMES), names, scene.rng),
        )
        shape = scene.rng.choice(_APART)
        slots = {"one": one, "other": _sentence(other) if "{one}. {other}" in shape else other}
        intro = fill(shape, slots, scene.rng)
    give, slots = scene.giving(giver)
    if scene.chance(0.6):
        give = "{giver} " + scene.rng.choice(_GIVE_LATE)
    if scene.chance(0.4):  # in one sentence with what went before
        intro = intro.removesuffix(".") + scene.rng.choice(
            [", and ", ", and ", " and ", ", so ", ", but ", ", and then "]
        )
        scene.finish(intro + give, slots, io)
        return
    scene.say(intro)
    if scene.chance(0.2):
        scene.say(scene.rng.choice(RULES["SET"]))
    scene.finish(scene.rng.choice(_TURN) + give, slots, io)


def _exchange(scene: Scene) -> None:
    """Two people who give to each other again and again: both are repeated, and only who gives now tells."""
    a, b = scene.people[:2]
    intro, named = scene.pair(a, b)
    scene.surroundings(0.3)
    scene.say(f"{intro}.", **named)
    giver, io = scene.rng.sample((a, b), 2)
    for _ in range(scene.rng.randint(2, 4)):
        give, slots = scene.giving(giver)
        scene.say(f"{scene.rng.choice(['', '', '{TIME} '])}{give} {{io}}.", **slots, io=io)
        scene.surroundings(0.2)
        if scene.chance(0.65):
            giver, io = io, giver


def _two_pairs(scene: Scene) -> None:
    """Two pairs in two places: whom the giver is with receives. Nobody's place in the text tells who."""
    a, b, c, d = scene.people
    (intro, first), (intro2, second) = scene.pair(a, b), scene.pair(c, d)
    giver, io = scene.rng.choice([(a, b), (b, a), (c, d), (d, c)])
    scene.surroundings(0.25)
    scene.say(f"{intro}.", **first)
    scene.say(f"{intro2}.", **second)
    scene.surroundings(0.25)
    give, slots = scene.giving(giver)
    scene.finish(scene.rng.choice(["", "{TIME} "]) + give, slots, io)


def _met(scene: Scene) -> None:
    """The giver is named once, or the recipient comes in after; others may have been there before."""
    giver, io, other = scene.people[:3]
    scene.surroundings(0.5)
    if scene.chance(0.3):
        intro, named = scene.pair(*scene.rng.sample((giver, other), 2))
        scene.say(f"{intro}.", **named)
    give, slots = scene.giving(giver)
    turned = f"{{giver}} {scene.rng.choice(_TURNED)} " + give.removeprefix("{giver} ")
    if not give.startswith("{giver} "):
        turned = give
        scene.say("{giver} {MET} {Y}.", giver=giver, Y=io)
    scene.finish(scene.rng.choice(["", "{TIME} "]) + turned, slots | {"Y": io}, io)


def _three(scene: Scene) -> None:
    """Three people: two of them give, or one tells another: the third is who is left."""
    people = scene.people[:3]
    scene.surroundings(0.3)
    intro = scene.rng.choice(
        ["{A}, {B} and {C} {DO}.", "{A} and {B} {DO}, and {C} was there too.", "{C} {MET} {A} and {B}."]
    )
    scene.say(intro, **dict(zip("ABC", people)))
    a, b, io = scene.rng.sample(people, 3)
    scene.surroundings(0.3)
    if scene.chance(0.6):
        give, slots = scene.giving(f"{a} and {b}")
        give = fill(give, slots, scene.rng).replace(f"{b} was", f"{b} were")
        scene.finish(scene.rng.choice(["", "{TIME} "]) + give, slots, io)
    else:
        told = scene.rng.choice(
            ["told {b} about", "asked {b} about", "left with {b} and waited for", "and {b} looked for"]
        )
        scene.finish(f"{{giver}} {told}", {"giver": a, "b": b}, io)


def _asked(scene: Scene) -> None:
    """Somebody of two or three wants something, and somebody else gives: who wanted it receives."""
    people = scene.people[: scene.rng.choice((2, 3, 3))]
    scene.surroundings(0.3)
    if len(people) == 2:
        intro, named = scene.pair(*people)
        scene.say(f"{intro}.", **named)
    else:
        scene.say("{A}, {B} and {C} {DO}.", **dict(zip("ABC", people)))
    io, giver = scene.rng.sample(people, 2)
    scene.say(scene.rng.choice(_WANTED), Y=io)
    scene.surroundings(0.2)
    give, slots = scene.giving(giver)
    scene.finish(scene.rng.choice(["", "{TIME} ", "so ", "then "]) + give, slots, io)


def _back(scene: Scene) -> None:
    """Two people own a thing each: what is given back goes to its owner."""
    a, b, giver = scene.people[:3]
    thing, other = scene.rng.sample(OBJECTS, 2)
    owners = scene.rng.sample([(a, thing), (b, other)], 2)
    scene.surroundings(0.2)
    scene.say(
        scene.rng.choice(["{A} had a {n} and {B} had a {m}.", "{A} lost a {n}. {B} lost a {m}.", "{A} bought a {n}, {B} a {m}."]),
        **{"A": owners[0][0], "n": owners[0][1], "B": owners[1][0], "m": owners[1][1]},
    )  # fmt: skip
    scene.surroundings(0.3)
    text = scene.rng.choice(
        ["{giver} gave the {n} back to", "{giver} found the {n} and brought it to", "the {n} belonged to"]
    )
    scene.finish(scene.rng.choice(["", "{TIME} "]) + text, {"giver": giver, "n": thing}, a)


def _stranger(scene: Scene) -> None:
    """Somebody new gives to one of two: either may receive."""
    a, b, giver = scene.people[:3]
    intro, named = scene.pair(a, b)
    give, slots = scene.giving(giver)
    scene.finish(
        scene.rng.choice(_JOINED).format(intro=intro, give=give), named | slots, scene.rng.choice((a, b))
    )


SCENES = {
    _simple: 0.08,
    _two: 0.42,
    _two_pairs: 0.14,
    _met: 0.12,
    _three: 0.09,
    _asked: 0.08,
    _back: 0.04,
    _stranger: 0.03,
}
"""The kinds of scene and how often each comes.

If names could only stand in the places of a few templates, a model would fetch them from these places. If a text
named nobody but giver and recipient, it could raise every name it has seen and strike the one that is repeated.
Here the recipient may be repeated too, the giver may not be, others are named before, between and after, and
whole pairs stand beside the giver's: what is left is to find the name that fits and to copy it from its place.
"""


def scene_document(rng: random.Random, dense: bool = False, apart: bool = False) -> str:
    """One scene, answers included; `dense` scenes are mostly of common names, and most of them are exchanges.

    With `apart`, six in ten are of two people who come into the text one by one.
    """
    while True:
        scene = Scene(rng, common=0.85 if dense else 0.66)
        if apart and scene.chance(0.6):
            _apart(scene)
        elif dense and scene.chance(0.6):
            _exchange(scene)
        else:
            rng.choices(list(SCENES), list(SCENES.values()))[0](scene)
        text = " ".join(scene.sentences)
        if not _is_held_out_text(text):
            return text


def _is_held_out_text(text: str) -> bool:
    """Whether a held-out combination of an opening and an action came about by chance."""
    return _HELD_OUT.search(text) is not None


def _regex(template: str) -> str:
    name = r"[A-Z]\w+"
    slots = {"A": name, "B": name, "giver": name, "place": r"\w+", "object": r"[\w' ]+?"}
    return template.format(**slots)


_HELD_OUT = re.compile("|".join(_regex(IOI_TEMPLATES[i]) for i in HELD_OUT_TEMPLATES))


# ------------------------------------------------------------------------------------------ stories

# {lower case} is filled once per story. "/" in a slot's name picks the friend's pronoun: {he/friend} is "she" when
# the friend is Mary.
STORY: dict[str, list[str]] = {
    "STORY": [
        "{BEGIN} {FIND} {SHARE} {END}",
        "{BEGIN} {GO} {FIND} {TALK} {SHARE} {END}",
        "{BEGIN} {WANT} {GO} {ASK} {HELP} {END}",
        "{BEGIN} {GO} {LOSE} {FEEL} {HELP} {THANKS} {END}",
        "{BEGIN} {FRIEND} {GO} {FIND} {TALK} {SHARE} {END}",
        "{FIRST} {FIND} {TALK} {END}",
        "{FIRST} {LOSE} {HELP} {THANKS}",
        "{FIRST} {MEET} {HAND} {END}",
        "{BEGIN} {FRIEND} {MEET} {HAND} {PLAY} {END}",
        "{BEGIN} {FRIEND} {THIRD} {GO} {LOSE} {HELP} {JOIN} {END}",
        "{FIRST} {MEET} {THIRD} {TALK} {JOIN} {SHARE} {END}",
        "{FIRST} {SET} {MEET} {FEEL} {SET} {HELP} {THANKS} {END}",
    ],
    "BEGIN": [
        "Once upon a time there was a {adj} {animal} named {hero}.",
        "There was a {animal} named {hero}, who lived near the {place}.",
        "Once there was a child named {hero}.",
        "By the {place} lived a {adj} {animal} named {hero}.",
        "{hero} was a {adj} {animal} who loved the {thing}.",
        "A long time ago, in a {adj} {place}, there lived a {REL} named {hero}.",
    ],
    "FIRST": [
        "One day {hero} went to the {place}.",
        "Today {hero} is {glad}, because {he} has a friend at the {place}.",
        "One morning {hero} left home and walked to the {place}.",
        "Early in the morning {hero} ran to the {place}.",
        "It was a {ADJ} day, and {hero} was at the {place}.",
    ],
    "FRIEND": [
        "{hero} had a friend named {friend}.",
        "The best friend of {hero} was {friend}.",
        "{hero} and {friend} were friends.",
        "{friend} lived next to {hero}.",
    ],
    "THIRD": [
        "{third} was there too.",
        "{third} came along.",
        "But {third} was {sad} that day.",
        "{friend} knew {third} from school.",
        "{third} was the {REL} of {friend}.",
    ],
    "JOIN": [
        "{third} wanted to help too.",
        '"May I play with you?" asked {third}.',
        "{friend} told {hero} about {third}.",
        "Then {third} came and sat down between {hero} and {friend}.",
    ],
    "GO": [
        "One day {hero} went to the {place}.",
        "One day, {hero} and {friend} went to the {place} to play.",
        "As the sun came up, {hero} walked to the {place} with {friend}.",
        "{hero} and {friend} ran to the {place}.",
    ],
    "MEET": [
        "At the {place}, {hero} met {friend}.",
        "{hero} saw {friend} near the {place}.",
        "There {hero} met a friend, and the friend was {friend}.",
    ],
    "WANT": [
        "{hero} wanted a {adj} {object} more than anything.",
        "{hero} did not have a {object}, and {he} wanted one.",
        "More than anything, {hero} wanted a {object}.",
    ],
    "FIND": [
        "At the {place}, {hero} found a {adj} {object}.",
        "There {hero} saw a {adj} {object} under a tree.",
        "{hero} looked around and found a {adj} {object} by the {place}.",
    ],
    "ASK": [
        '"Can I have a {object}?" {hero} asked {friend}.',
        '{hero} asked {friend}, "Do you have a {object} for me?"',
    ],
    "TALK": [
        '"Look at this {object}!" said {hero} to {friend}.',
        '"What a {adj} {object}!" said {friend}.',
        '"I like the {object}," {friend} said to {hero}.',
        '"Is this {object} for me?" asked {friend}.',
    ],
    "SHARE": [
        "{hero} gave the {object} to {friend}.",
        "{hero} and {friend} played with the {object} all day.",
        "So {hero} threw the {object} to {friend}, and {friend} threw it to {hero}.",
        "{hero} took the {object} home and showed it to {friend}.",
    ],
    "HAND": [
        "{friend} had a {object} for {hero}.",
        "{friend} brought a {adj} {object} for {hero}.",
        "{hero} gave {friend} a {adj} {object}.",
    ],
    "LOSE": [
        "But {hero} lost the {adj} {object} there.",
        "Then {hero} could not find the {object} and was sad.",
        "The {object} fell under a tree, and {hero} could not see it.",
    ],
    "FEEL": ["{hero} was very {sad}.", "That made {hero} very {sad}.", "{friend} saw that {hero} was {sad}."],
    "HELP": [
        "{friend} looked for the {object} and found it.",
        "Then {friend} brought the {object} to {hero}.",
        '"I can help you," said {friend}, and {he/friend} gave {hero} a {object}.',
        "{friend} helped {hero}, and soon {hero} had a {object}.",
    ],
    "THANKS": [
        '"Thank you, {friend}!" said {hero}.',
        "{hero} thanked {friend} and smiled.",
        '"You are a good friend," {hero} said to {friend}.',
    ],
    "PLAY": [
        "Then {hero} and {friend} played with the {object}.",
        "They played at the {place} until the sun went down.",
    ],
    "END": [
        "{hero} was {glad}, and {friend} was {glad} too.",
        "They were {glad} and went home.",
        "At the end of the day, {hero} went home with the {object}.",
        "{hero} and {friend} are still friends.",
        "That night {hero} was {glad} and slept well.",
    ],
}
RULES |= STORY


def story(rng: random.Random, invented: bool = False) -> str:
    """One story; with `invented`, the hero's name (and half the time the friend's) is made up."""
    hero, friend, third = cast(rng, 3)
    if invented:
        hero = invented_name(rng)
        friend = invented_name(rng) if rng.random() < 0.5 else friend
    slots = {
        "hero": hero,
        "friend": friend,
        "third": third,
        "he": pronoun(hero),
        "he/friend": pronoun(friend),
    }
    slots |= {"place": rng.choice(PLACES), "object": rng.choice(OBJECTS), "adj": rng.choice(ADJECTIVES)}
    slots |= {
        "glad": rng.choice(GLAD),
        "sad": rng.choice(SAD),
        "animal": rng.choice(ANIMALS),
        "thing": rng.choice(THINGS),
    }
    return fill("{STORY}", slots, rng)


def plain_text(rng: random.Random) -> str:
    """Two to six sentences of everyday words that have little to do with each other."""
    sentences = [rng.choice(RULES["PLAIN"] + RULES["SET"]) for _ in range(rng.randint(2, 6))]
    return " ".join(_sentence(fill(sentence, {}, rng)) for sentence in sentences)


def documents(n: int, seed: int = 0, dense: bool = False, apart: bool = False) -> Iterator[str]:
    """The corpus: `n` documents, about half scenes, 20% stories, 20% with invented names, 10% plain text.

    `dense`: four in five are scenes, with more givings in each; what stories are made of is known by then.
    `apart`: six in ten of the scenes are of two people who come into the text one by one.
    """
    rng = random.Random(seed)
    scenes = 0.8 if dense else 0.5
    for _ in range(n):
        kind = rng.random()
        rest = (kind - scenes) / (1 - scenes)
        if kind < scenes:
            yield scene_document(rng, dense, apart)
        elif rest < 0.8:
            yield story(rng, invented=rest > 0.4)
        else:
            yield plain_text(rng)
