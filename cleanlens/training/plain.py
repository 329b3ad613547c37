"""Indirect objects in everyday sentences, written by hand: the grammar of `corpus.py` cannot make any of them.

Each has two people, {A} before {B}, and one of the two, {S}, who gives. The other is the answer.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float

from cleanlens.training.words import HE, NAMES, SHE

SENTENCES = [
    "One day, {A} and {B} were in the kitchen, and {S} gave the apple to",
    "{A} and {B} were walking home from school when it began to rain. {S} handed the umbrella to",
    "Last night {A} cooked dinner for the whole family, and {B} helped a little. At the table {S} passed the salt to",
    "After the movie, {A} and {B} sat on a bench in the park. It was cold, so {S} offered a coat to",
    "{A} has known {B} for many years. For Christmas this year, {S} sent a card to",
    "My friends {A} and {B} love books. Yesterday {S} lent a very good one to",
    "The teacher asked {A} and {B} to share the paint. {S} passed the brush to",
    "While {A} was washing the car, {B} came out of the house. {S} threw the wet towel to",
    "{A} was in the hospital for a week. {B} came to visit on Sunday, and {S} told a funny story to",
    "Everyone had gone to bed except {A} and {B}. {S} made some tea and gave a cup to",
    "{A} opened the door and there stood {B} with a big smile. {S} gave a hug to",
    "At the birthday party, {A} sat across from {B}. When the cake came, {S} gave the first piece to",
    "It was snowing when {A} and {B} left the office. {S} gave a pair of gloves to",
    "{A} and {B} had not seen each other since the summer, and {S} wanted to show the new house to",
    "On the train {A} was sitting next to {B}. {S} read the newspaper and then passed it to",
    "{A} found a wallet on the street and called {B}. The next day {S} brought some flowers to",
    "Both {A} and {B} wanted the last cookie, but in the end {S} gave it to",
    "The boss called {A} and {B} into the office. {S} explained the problem to",
    "When the game was over, {A} and {B} shook hands and {S} gave the ball to",
    "In the garden {A} was looking at the flowers while {B} cut the grass. {S} brought a cold drink to",
    "{A} and {B} are neighbors. Every Sunday {S} brings fresh bread to",
    "There was only one chair left, and {A} and {B} were both tired. {S} offered the chair to",
    "{A} and {B} were doing their homework at the table. {S} had two pencils, so {S} lent one to",
    "Long after midnight, {A} and {B} were still talking, and {S} told a secret to",
    "{A} married {B} in June. At the wedding, {S} gave a gold ring to",
]


@dataclass(frozen=True)
class PlainPrompt:
    """A sentence with names in it; `order` is "ABBA" when the second one gives, "BABA" when the first does."""

    sentence: int
    order: str
    text: str
    io: str
    s: str


def plain_prompts(
    sentences: Sequence[str] = SENTENCES, pairs: int = 20, order: str = "both"
) -> list[PlainPrompt]:
    """Every sentence with `pairs` pairs of names, in each order.

    Both of a pair may be women or men, and each name is as often first as second.
    """
    names = [name for both in zip(SHE, HE[7:] + HE[:7]) for name in both]
    couples = list(islice(zip(names, names[1:] + names[:1]), 0, 4 * pairs, 4))
    prompts = []
    for number, sentence in enumerate(sentences):
        for i, (a, b) in enumerate(couples):
            a, b = (b, a) if i % 2 else (a, b)
            for kind, s, io in (("ABBA", b, a), ("BABA", a, b)):
                if order in ("both", kind):
                    text = sentence.format(A=a, B=b, S=s)
                    prompts.append(PlainPrompt(number, kind, text, io, s))
    return prompts


@torch.no_grad()
def plain_logit_diffs(model, prompts: Sequence[PlainPrompt], encode=None) -> Float[torch.Tensor, " prompt"]:
    """Logit of the indirect object minus logit of the subject, prompt by prompt.

    Args:
        encode: text to token ids without BOS; the model's own tokenizer when None.
    """
    encode = encode or (lambda text: model.tokenizer.encode(text, add_special_tokens=False))
    rows = [[0, *encode(prompt.text)] for prompt in prompts]
    answers = torch.tensor([[encode(f" {p.io}")[0], encode(f" {p.s}")[0]] for p in prompts])
    diffs = torch.empty(len(prompts))
    for length in {len(row) for row in rows}:
        at = [i for i, row in enumerate(rows) if len(row) == length]
        logits = model(torch.tensor([rows[i] for i in at]))[:, -1].float().cpu()
        right, wrong = logits.gather(1, answers[at]).unbind(1)
        diffs[at] = right - wrong
    return diffs


def plain_accuracy(
    model, sentences: Sequence[str] = SENTENCES, pairs: int = 20, encode=None
) -> Float[torch.Tensor, "sentence order"]:
    """Share of right answers, for each sentence in the order ABBA and in the order BABA."""
    prompts = plain_prompts(sentences, pairs)
    right = (plain_logit_diffs(model, prompts, encode) > 0).float()
    return right.view(len(sentences), -1, 2).mean(1)


@torch.no_grad()
def preference(model, text: str, right: str, wrong: str) -> float:
    """A sentence of your own: logit of the right name minus logit of the wrong one, where the text ends.

    Warns when a name is more than one token, because then the logit is that of its first piece only.
    """
    ids = {name: model.tokenizer.encode(f" {name}", add_special_tokens=False) for name in (right, wrong)}
    for name, pieces in ids.items():
        if len(pieces) > 1:
            cut = [model.tokenizer.decode([piece]) for piece in pieces]
            warnings.warn(
                f"{name!r} is {len(pieces)} tokens here, {cut}: only the first is compared, and others may begin with "
                f"it too. Names of one token are {', '.join(NAMES[:8])} and {len(NAMES) - 8} more "
                f"(cleanlens.training.words.NAMES).",
                stacklevel=2,
            )
    logits = model(text.rstrip())[0, -1]
    return (logits[ids[right][0]] - logits[ids[wrong][0]]).item()
