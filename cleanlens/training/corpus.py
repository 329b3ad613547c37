"""The toy world: a small grammar whose documents the embedded models were trained on.

Three kinds of document, all drawn from one seeded random generator:

* **IOI sentences**, "When Mary and John went to the park, John gave a ball to Mary.", the task of
  Wang et al. 2022 ("Interpretability in the Wild"), with and without a sentence that follows;
* **stories** of three to seven sentences about a hero, a friend, a place and a thing;
* stories whose hero has an **invented name** ("Zubiro") that the tokenizer must split. The second time the
  name is spelled, its later pieces can only be copied, and copying is what an induction head does.

Some IOI templates and some pairs of names never occur in training: `ioi_prompts(..., templates="held_out")`
draws from those, so an accuracy measured on them is not memory.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


def _words(text: str) -> list[str]:
    return text.split()


SHE = _words(
    "Mary Amy Alice Kate Anna Lucy Emma Sara Nora Rose Ruth Jane Lily Ella Eve Ida Zoe Nina Clara Maya"
)
HE = _words("John Tom James Dan Sid Martin Bob Sam Ben Jack Paul Leo Max Tim Finn Carl Mark Hugo Adam Fred")
NAMES = [name for pair in zip(SHE, HE) for name in pair]
PLACES = _words(
    "park shops store school beach garden river market forest library farm lake station museum hill barn"
)
OBJECTS = _words(
    "ball bag apple drink book kite cake letter ring toy flower hat map key lamp coin boat drum orange box"
)
ADJECTIVES = _words("red blue green small big old new shiny round pretty")
GLAD = _words("happy glad proud calm brave")
SAD = _words("sad tired scared angry")
ANIMALS = _words("dragon rabbit fox bear cat dog mouse frog robot")


def with_article(noun: str) -> str:
    """ "ball" -> "a ball", "apple" -> "an apple"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def is_held_out_pair(a: str, b: str) -> bool:
    """Whether these two names never stand side by side in a training document (one pair in seven)."""
    return (NAMES.index(a) + NAMES.index(b)) % 7 == 3


# ---------------------------------------------------------------------------------------------- IOI

_OPENINGS = [
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
_ACTIONS = [
    "{giver} gave {object} to",
    "{giver} handed {object} to",
    "{giver} showed {object} to",
    "{giver} passed {object} to",
    "{giver} sent {object} to",
    "{giver} wanted to give {object} to",
    "{giver} took {object} and gave it to",
    "{giver} found {object} and showed it to",
]
# More ways to say the same, for the larger model only (`documents(..., varied=True)`).
_MORE_OPENINGS = [
    "All day {A} and {B} played at the {place}, and then",
    "That morning {A} looked for {B} at the {place}, and",
    "There were {A} and {B} at the {place}, and soon",
    "As the sun went down, {A} met {B} near the {place}, and",
    "The friends {A} and {B} lived by the {place}, and one day",
    "One morning {A} saw {B} at the {place}, and then",
    "At the end of the day {A} and {B} left the {place}, and",
    "Once {A} and {B} ran to the {place}, and there",
]
_MORE_ACTIONS = [
    "{giver} had {object} for",
    "{giver} found {object} for",
    "{giver} took {object} to",
    "{giver} smiled and handed {object} to",
    "{giver} looked for {object} and brought it to",
    "{giver} wanted to find {object} for",
    "{giver} ran home and came with {object} for",
    "{giver} threw {object} and it fell near",
]
# Neither the opening nor the action of these is in any training template (their words are in stories).
_NOVEL = [
    "Before {A} and {B} left the {place}, {giver} brought {object} to",
    "As {A} and {B} walked to the {place}, {giver} threw {object} to",
    "Today {A} and {B} are at the {place}, and {giver} has {object} for",
]

IOI_TEMPLATES: list[str] = [f"{opening} {action}" for opening in _OPENINGS for action in _ACTIONS] + _NOVEL
"""Every template; a template's id is its index here."""

# One in five of the combinations of an opening and an action is held out.
_N_COMBINED = len(_OPENINGS) * len(_ACTIONS)
HELD_OUT_TEMPLATES = [
    i for i in range(_N_COMBINED) if (i // len(_ACTIONS) + 3 * (i % len(_ACTIONS))) % 5 == 0
]
NOVEL_TEMPLATES = list(range(_N_COMBINED, len(IOI_TEMPLATES)))
TRAIN_TEMPLATES = [i for i in range(_N_COMBINED) if i not in HELD_OUT_TEMPLATES]
# The first six openings and first five actions have the same number of words, slot for slot, so prompts from
# different ones of these templates line up token by token as well.
ALIGNED_TEMPLATES = [o * len(_ACTIONS) + a for o in range(6) for a in range(5)]


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


# ------------------------------------------------------------------------------------------ stories

# {lower case} names a slot that is filled once per story, {UPPER CASE} a rule that is expanded by chance.
# "/" in a slot's name picks the friend's pronoun: {he/friend} is "she" when the friend is Mary.
GRAMMAR: dict[str, list[str]] = {
    "STORY": [
        "{BEGIN} {FIND} {SHARE} {END}",
        "{BEGIN} {GO} {FIND} {TALK} {SHARE} {END}",
        "{BEGIN} {WANT} {GO} {ASK} {HELP} {END}",
        "{BEGIN} {GO} {LOSE} {FEEL} {HELP} {THANKS} {END}",
        "{BEGIN} {FRIEND} {GO} {FIND} {TALK} {SHARE} {END}",
        "{MORNING} {FIND} {TALK} {END}",
        "{MORNING} {LOSE} {HELP} {THANKS}",
        "{MORNING} {MEET} {GIVE} {END}",
        "{BEGIN} {FRIEND} {MEET} {GIVE} {PLAY} {END}",
    ],
    "BEGIN": [
        "Once upon a time there was {a adj} {animal} named {hero}.",
        "There was a {animal} named {hero}, who lived near the {place}.",
        "Once there was a child named {hero}.",
        "By the {place} lived {a adj} {animal} named {hero}.",
    ],
    "MORNING": [
        "One day {hero} went to the {place}.",
        "Today {hero} is {glad}, because {he} has a friend at the {place}.",
        "One morning {hero} left home and walked to the {place}.",
        "Before lunch {hero} ran to the {place}.",
    ],
    "FRIEND": [
        "{Hero} had a friend named {friend}.",
        "The best friend of {hero} was {friend}.",
        "{Hero} and {friend} were friends.",
    ],
    "GO": [
        "One day {hero} went to the {place}.",
        "One day, {hero} and {friend} went to the {place} to play.",
        "As the sun came up, {hero} walked to the {place} with {friend}.",
        "{Hero} and {friend} ran to the {place}.",
    ],
    "MEET": [
        "At the {place}, {hero} met {friend}.",
        "{Hero} saw {friend} near the {place}.",
        "There {hero} met a friend, and the friend was {friend}.",
    ],
    "WANT": [
        "{Hero} wanted {a adj object} more than anything.",
        "{Hero} did not have {a object}, and {he} wanted one.",
        "More than anything, {hero} wanted {a object}.",
    ],
    "FIND": [
        "At the {place}, {hero} found {a adj object}.",
        "There {hero} saw {a adj object} under a tree.",
        "{Hero} looked around and found {a adj object} by the {place}.",
    ],
    "ASK": [
        '"Can I have {a object}?" {hero} asked {friend}.',
        '{Hero} asked {friend}, "Do you have {a object} for me?"',
    ],
    "TALK": [
        '"Look at this {object}!" said {hero} to {friend}.',
        '"What {a adj object}!" said {friend}.',
        '"I like the {object}," {friend} said to {hero}.',
        '"Is this {object} for me?" asked {friend}.',
    ],
    "SHARE": [
        "{Hero} gave the {object} to {friend}.",
        "{Hero} and {friend} played with the {object} all day.",
        "So {hero} threw the {object} to {friend}, and {friend} threw it to {hero}.",
        "{Hero} took the {object} home and showed it to {friend}.",
    ],
    "GIVE": [
        "{Friend} had {a object} for {hero}.",
        "{Friend} brought {a adj object} for {hero}.",
        "{Hero} gave {friend} {a adj object}.",
    ],
    "LOSE": [
        "But {hero} lost the {adj} {object} there.",
        "Then {hero} could not find the {object} and was sad.",
        "The {object} fell under a tree, and {hero} could not see it.",
    ],
    "FEEL": [
        "{Hero} was very {sad}.",
        "That made {hero} very {sad}.",
        "{Friend} saw that {hero} was {sad}.",
    ],
    "HELP": [
        "{Friend} looked for the {object} and found it.",
        "Then {friend} brought the {object} to {hero}.",
        '"I can help you," said {friend}, and {he/friend} gave {hero} {a object}.',
        "{Friend} helped {hero}, and soon {hero} had {a object}.",
    ],
    "THANKS": [
        '"Thank you, {friend}!" said {hero}.',
        "{Hero} thanked {friend} and smiled.",
        '"You are a good friend," {hero} said to {friend}.',
    ],
    "PLAY": [
        "Then {hero} and {friend} played with the {object}.",
        "They played at the {place} until the sun went down.",
    ],
    "END": [
        "{Hero} was {glad}, and {friend} was {glad} too.",
        "They were {glad} and went home.",
        "At the end of the day, {hero} went home with the {object}.",
        "{Hero} and {friend} are still friends.",
        "That night {hero} was {glad} and slept well.",
    ],
    # What may follow an IOI sentence.
    "AFTER": [
        "{Friend} was {glad}.",
        '"Thank you, {hero}," said {friend}.',
        "{Friend} thanked {hero} and smiled.",
        "{Friend} liked the {object} very much.",
        "Then {hero} and {friend} went home.",
    ],
}

_SLOT = re.compile(r"\{([^{}]+)\}")


def invented_name(rng: random.Random) -> str:
    """Two to four open syllables, "Zubiro": new to the reader, so that its pieces can only be copied."""
    n = rng.choice([2, 3, 3, 4])
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(n)).capitalize()


def _fill(text: str, slots: dict[str, str], rng: random.Random) -> str:
    """Expand rules until only words are left."""

    def expand(match: re.Match) -> str:
        key = match[1]
        return _fill(rng.choice(GRAMMAR[key]), slots, rng) if key in GRAMMAR else slots[key]

    return _SLOT.sub(expand, text)


def _slots(rng: random.Random, hero: str, friend: str, place: str, noun: str) -> dict[str, str]:
    adj = rng.choice(ADJECTIVES)
    return {
        "hero": hero,
        "Hero": hero,
        "friend": friend,
        "Friend": friend,
        "he": _pronoun(hero),
        "he/friend": _pronoun(friend),
        "place": place,
        "object": noun,
        "a object": with_article(noun),
        "adj": adj,
        "a adj object": f"{with_article(adj)} {noun}",
        "a adj": with_article(adj),
        "glad": rng.choice(GLAD),
        "sad": rng.choice(SAD),
        "animal": rng.choice(ANIMALS),
    }


def _pronoun(name: str) -> str:
    return "she" if name in SHE else "he" if name in HE else "it"


def story(rng: random.Random, invented: bool = False) -> str:
    """One story; with `invented`, the hero's name (and half the time the friend's) is made up."""
    hero, friend = _pair(rng)
    if invented:
        hero = invented_name(rng)
        friend = invented_name(rng) if rng.random() < 0.5 else friend
    return _fill("{STORY}", _slots(rng, hero, friend, rng.choice(PLACES), rng.choice(OBJECTS)), rng)


def ioi_document(rng: random.Random, varied: bool = False) -> str:
    """One IOI sentence with its answer; half the time a sentence follows. One in ten is an ABC sentence.

    With `varied`, half of the sentences combine more openings and actions, and things are also "the ball",
    "a red ball" and "the red ball".
    """
    first, second = _pair(rng)
    giver = rng.choice((first, second))
    receiver = second if giver == first else first
    if rng.random() < 0.1:
        giver = rng.choice(
            [n for n in NAMES if all(n != p and not is_held_out_pair(n, p) for p in (first, second))]
        )
        receiver = rng.choice((first, second))
    template, place, noun = rng.choice(TRAIN_TEMPLATES), rng.choice(PLACES), rng.choice(OBJECTS)
    prompt = IOIPrompt(template, first, second, giver, place, noun)
    text = f"{_vary(prompt, rng) if varied else prompt.text} {receiver}."
    if rng.random() < 0.5:
        text += " " + _fill("{AFTER}", _slots(rng, giver, receiver, place, noun), rng)
    return text


def _vary(prompt: IOIPrompt, rng: random.Random) -> str:
    pattern = IOI_TEMPLATES[prompt.template]
    if rng.random() < 0.5:
        # A known opening with a new action, or a new opening with any: no held-out combination comes about.
        opening = rng.choice(_OPENINGS + _MORE_OPENINGS)
        actions = _MORE_ACTIONS if opening in _OPENINGS else _ACTIONS + _MORE_ACTIONS
        pattern = f"{opening} {rng.choice(actions)}"
    adjective, noun = rng.choice(ADJECTIVES), prompt.object
    named = [
        with_article(noun),
        f"the {noun}",
        f"{with_article(adjective)} {noun}",
        f"the {adjective} {noun}",
    ]
    return pattern.format(
        A=prompt.first, B=prompt.second, giver=prompt.giver, place=prompt.place, object=rng.choice(named)
    )


def documents(n: int, seed: int = 0, varied: bool = False) -> Iterator[str]:
    """The corpus: `n` documents, about 40% IOI sentences, 35% stories, 25% with invented names."""
    rng = random.Random(seed)
    for _ in range(n):
        kind = rng.random()
        yield ioi_document(rng, varied) if kind < 0.4 else story(rng, invented=kind > 0.75)
