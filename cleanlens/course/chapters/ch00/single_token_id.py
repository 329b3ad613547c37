"""Exercise 00.4: The id of one word."""

import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ...exercise import exercise
from ...plain import Raised, attempt
from .helpers import BOS

DEMO = Path(__file__).parents[3] / "models" / "attn-only-2l-demo" / "tokenizer.json"


NAMES = ["Mary", "John", "Tom", "Anna", "Sam", "Kate", "Ben", "Lily"]


INVENTED = ["Zorblaxuth", "Quilvanter", "Mipraxolo", "Vexandrilou"]


ex = exercise(
    "00.4",
    "single_token_id",
    title="The id of one word",
    objective="You can ask a real tokenizer for the id of a word, and be sure that the word is one token.",
    minutes=5,
    difficulty=2,
    importance=4,
    source="The tokenizer itself: the id must decode to exactly the text that was given.",
    hints=[
        "tokenizer.encode(text, add_special_tokens=False).ids is a list of ids without BOS.",
        "Look at the length of that list before you take its only element.",
        "[id] = ids raises a ValueError by itself when there is not exactly one, but say which text it was.",
    ],
    why="An experiment that compares the logits of ' Mary' and ' John' is meaningless when one of them is two tokens; "
    "taking the first piece silently measures something else. So it is an error, with the text in it.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    tokenizer = _tokenizer()
    single = [
        f" {name}" for name in NAMES if len(tokenizer.encode(f" {name}", add_special_tokens=False)) == 1
    ]
    several = [
        f" {name}" for name in INVENTED if len(tokenizer.encode(f" {name}", add_special_tokens=False)) > 1
    ]
    texts = [*rng.sample(single, 2), rng.choice("abcdefgh"), rng.choice(several)]
    return [{"tokenizer": tokenizer, "text": text} for text in texts]


def _tokenizer():
    """The demo models' tokenizer, or a small stand-in, set to put BOS in front as many tokenizers do."""
    if DEMO.exists():
        tokenizer = Tokenizer.from_file(str(DEMO))
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[BOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(
            [f"When {a} and {b} went, {a}" for a in NAMES for b in NAMES] * 5, trainer
        )
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return tokenizer


@ex.oracle
def _(tokenizer, text):
    # Byte-level BPE writes a leading space as Ġ; a word is one token exactly when it is a vocabulary entry.
    id = tokenizer.token_to_id(text.replace(" ", "Ġ"))
    return Raised(ValueError, mentions=[text.strip()]) if id is None else id


@ex.call
def _(answer, tokenizer, text):
    return attempt(answer, tokenizer, text)


@ex.alternative
def checked_length(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose another word")
    return ids[0]


ex.slip(
    "returns_bos",
    "That is the id of BOS: this tokenizer puts it in front. Pass add_special_tokens=False.",
    "text, add_special_tokens=False",
    "text",
    "if len(ids) != 1:",
    "if len(ids) != 2:",
)


ex.slip(
    "drops_the_space",
    "The leading space was dropped. ' Mary' with its space is one token; 'Mary' without it is another one, or several.",
    "encode(text,",
    "encode(text.strip(),",
)


ex.slip(
    "first_piece",
    "A name of several tokens gave the id of its first piece, silently. Raise a ValueError instead: an experiment with "
    "half a name measures something else.",
    "if len(ids) != 1:",
    "if False:",
)


ex.slip(
    "last_piece",
    "A name of several tokens gave the id of its last piece, silently. Raise a ValueError instead.",
    "if len(ids) != 1:",
    "if False:",
    "return ids[0]",
    "return ids[-1]",
)


ex.slip(
    "silent_error",
    "It raises, but the message does not say which text was wrong. In a list of a hundred names that is the thing one "
    "needs to know.",
    "{text!r} is {len(ids)} tokens, not one; choose another word",
    "expected one token",
)


ex.slip(
    "list_of_one",
    "It returned the list of ids. Return its only element, an int.",
    "return ids[0]",
    "return ids",
)
