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
    version=4,
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
    letter = rng.choice("abstw")  # with and without a space before it these are single tokens
    texts = [*rng.sample(single, 2), letter, f" {letter}", rng.choice(several)]
    cases = [{"tokenizer": tokenizer, "text": text, "encode_after": ""} for text in texts]
    plain = _tokenizer(adds_bos=False)
    cases += [
        {"tokenizer": tokenizer, "text": "", "encode_after": ""},
        {
            "tokenizer": tokenizer,
            "text": BOS,
            "encode_after": "",
        },  # a BOS of the text is a token like any other
        {"tokenizer": tokenizer, "text": BOS + texts[0], "encode_after": ""},
        {"tokenizer": plain, "text": texts[1], "encode_after": ""},
        {"tokenizer": plain, "text": letter + texts[1], "encode_after": ""},  # two tokens
    ]
    return [*cases, {"tokenizer": tokenizer, "text": texts[0], "encode_after": texts[1]}]


def _tokenizer(adds_bos=True):
    """The demo models' tokenizer, or a small stand-in, set to put BOS in front as many tokenizers do (or not).

    Then it also pads and cuts off batches, which concerns no single word but whoever uses it next.
    """
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
    if not adds_bos:
        return tokenizer
    bos = tokenizer.token_to_id(BOS)
    tokenizer.enable_padding(pad_id=bos, pad_token=BOS)
    tokenizer.enable_truncation(max_length=64)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return tokenizer


@ex.oracle
def _(tokenizer, text, encode_after):
    # Byte-level BPE writes a leading space as Ġ; a word is one token exactly when it is a vocabulary entry.
    id = tokenizer.token_to_id(text.replace(" ", "Ġ"))
    if encode_after:
        return [id, [tokenizer.token_to_id(BOS), tokenizer.token_to_id(encode_after.replace(" ", "Ġ"))]]
    return Raised(ValueError, mentions=[text.strip()]) if id is None else id


@ex.call
def _(answer, tokenizer, text, encode_after):
    found = attempt(answer, tokenizer, text)
    # what the caller's tokenizer gives afterwards
    return [found, list(tokenizer.encode(encode_after).ids)] if encode_after else found


@ex.alternative
def checked_length(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose another word")
    return ids[0]


ex.slip(
    "returns_bos",
    "With a tokenizer that puts BOS in front, that is the id of BOS. Pass add_special_tokens=False.",
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


@ex.mistake(
    "With a tokenizer that puts BOS in front, every text gave the same id, that of BOS, also a text of several tokens. Pass "
    "add_special_tokens=False, and look at how many ids are left."
)
def first_id_with_bos(tokenizer, text):
    return tokenizer.encode(text).ids[0]


@ex.mistake(
    "Every text that begins with a space was refused: it was looked up as it is. A vocabulary spells the space in another way "
    "(Ġ here), which only the tokenizer itself need know: let it encode the text."
)
def looked_up_as_it_is(tokenizer, text):
    id = tokenizer.token_to_id(text)
    if id is None:
        raise ValueError(f"{text!r} is not one token")
    return id


ex.slip(
    "counts_bos",
    "With a tokenizer that puts BOS in front, every word was refused, and only the empty text has one token: that BOS was counted. "
    "Pass add_special_tokens=False.",
    "text, add_special_tokens=False",
    "text",
)


ex.slip(
    "adds_a_space",
    "A space was put in front of the text, which brings its own where it wants one: 'a' gave the id of ' a', and ' Mary' became two "
    "tokens.",
    "encode(text,",
    'encode(" " + text,',
)


ex.slip(
    "empty_text",
    "An empty text has no token at all, so it is not one token either: a ValueError.",
    "if len(ids) != 1:",
    "if len(ids) > 1:",
)


ex.slip(
    "minus_one",
    "For a text that is not one token it returned -1, which is a valid index: nobody would notice. Raise a ValueError.",
    'raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose another word")',
    "return -1",
)


ex.slip(
    "none_for_an_error",
    "For a text that is not one token it returned None. Raise a ValueError: whoever forgets to look would index with None, which "
    "is legal too.",
    'raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose another word")',
    "return None",
)


@ex.mistake(
    "It raises an AssertionError. Asserts are for what cannot happen, and python -O leaves them out; a wrong argument is a "
    "ValueError."
)
def assertion(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == 1, f"{text} is {len(ids)} tokens"
    return ids[0]


@ex.mistake(
    "It returned the token as text, as the vocabulary spells it. What is asked for is its id, an int."
)
def token_for_id(tokenizer, text):
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    if len(tokens) != 1:
        raise ValueError(f"{text} is {len(tokens)} tokens")
    return tokens[0]


@ex.mistake(
    "The id is right, but afterwards the tokenizer no longer puts BOS in front: it was changed. It belongs to the caller, who "
    "goes on using it; add_special_tokens=False leaves BOS out of one call."
)
def changes_the_tokenizer(tokenizer, text):
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return checked_length(tokenizer, text)


@ex.mistake(
    "The id is right, but afterwards the tokenizer no longer pads a batch or cuts off long texts: both were switched off for good. A text "
    "by itself is not padded, and one token is never cut off: leave both alone."
)
def padding_left_off(tokenizer, text):
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return checked_length(tokenizer, text)


@ex.mistake(
    "Every BOS was left out, also one that stands in the text: BOS alone is refused, and BOS with a word behind it passes for one token. "
    "Only the BOS that the tokenizer adds does not count: add_special_tokens=False."
)
def every_bos_left_out(tokenizer, text):
    ids = [id for id in tokenizer.encode(text).ids if id != tokenizer.token_to_id(BOS)]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens")
    return ids[0]


@ex.mistake(
    "The first id was left out every time, as if it were a BOS. Not every tokenizer puts one in front: then a word of one token is "
    "refused, and a text of two passes. Pass add_special_tokens=False."
)
def first_id_left_out(tokenizer, text):
    ids = tokenizer.encode(text).ids[1:]
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens")
    return ids[0]


ex.equivalent("What else the message says is free; the text is in it.", "{len(ids)} => {ids}")
ex.equivalent("There is exactly one id here: the first is the last.", "return ids[0] => return ids[-1]")
