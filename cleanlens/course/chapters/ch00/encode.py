"""Exercise 00.2: Text to ids."""

import random

import torch

from ...exercise import exercise
from .helpers import BOS, sentence

ex = exercise(
    "00.2",
    "encode",
    title="Text to ids",
    objective="You can turn text into a tensor of ids, with BOS inserted as an id, once, at the front.",
    minutes=5,
    version=2,
    difficulty=1,
    importance=4,
    exact_ints=True,
    source="The definition in chapter 00, section 2; the same rule as HookedTransformer.to_tokens.",
    hints=[
        "Look each character up in stoi, and put stoi[BOS] in front when prepend_bos is true.",
        "The result is one-dimensional and torch.tensor makes it int64 from a list of ints, but not from an empty "
        "list: say dtype=torch.long.",
    ],
    why="BOS is a position where heads can rest when they have nothing to do, and where the model expects the "
    "sequence to begin. It goes in as an id: as text it would be read as thirteen characters.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    text = " " + sentence(rng).strip() + "A "
    symbols = sorted(set(text + text.lower() + BOS))
    rng.shuffle(symbols)  # an id says nothing about its character
    stoi = {BOS: 3} | {s: i for i, s in enumerate(symbols, start=4)}
    return [
        {"text": text, "stoi": stoi},
        {"text": text, "stoi": stoi, "prepend_bos": False},
        {"text": "a", "stoi": stoi, "prepend_bos": False},
        {"text": "", "stoi": stoi, "prepend_bos": True},
        {"text": "", "stoi": stoi, "prepend_bos": False},
    ]


@ex.oracle
def _(text, stoi, prepend_bos=True):
    n = len(text) + int(prepend_bos)
    ids = torch.zeros(n, dtype=torch.int64)
    for position in range(n):
        ids[position] = (
            stoi[BOS] if prepend_bos and position == 0 else stoi[text[position - int(prepend_bos)]]
        )
    return ids


@ex.alternative
def list_then_tensor(text, stoi, prepend_bos=True):
    ids = []
    if prepend_bos:
        ids.append(stoi[BOS])
    ids += [stoi[c] for c in text]
    return torch.tensor(ids, dtype=torch.long)


@ex.alternative
def concatenated(text, stoi, prepend_bos=True):
    body = torch.tensor([stoi[c] for c in text], dtype=torch.int64)
    return torch.cat([torch.full((1,), stoi[BOS]), body]) if prepend_bos else body


ex.slip(
    "bos_at_the_end",
    "BOS stands at the end. It marks the beginning of a sequence: position 0.",
    "ids += [stoi[c] for c in text]",
    "ids = [stoi[c] for c in text] + ids",
)


ex.slip(
    "bos_twice",
    "There are two BOS ids at the front. It goes in once.",
    "ids.append(stoi[BOS])",
    "ids += [stoi[BOS], stoi[BOS]]",
)


ex.slip(
    "always_bos",
    "BOS is there although prepend_bos is False.",
    "if prepend_bos:",
    "if True:",
)


ex.slip(
    "strips",
    "Spaces at the ends of the text are gone. They are characters like any other: ' Mary' and 'Mary' are different "
    "texts, and later different tokens.",
    "in text]",
    "in text.strip()]",
)


ex.slip(
    "lowercases",
    "Capital letters were made small. The vocabulary has both, and the model must see which one was written.",
    "stoi[c]",
    "stoi[c.lower()]",
)


ex.slip(
    "float_ids",
    "The ids came out as floats. An id is an index into the embedding matrix: make the tensor with dtype=torch.long "
    "(an empty list becomes float32 unless you say so).",
    "dtype=torch.long",
    "dtype=torch.float32",
)


ex.slip(
    "dtype_left_to_torch",
    "It is right except for the empty text: torch.tensor([]) is float32, because an empty list says nothing about its "
    "type. Pass dtype=torch.long.",
    ", dtype=torch.long",
    "",
)


ex.slip(
    "extra_batch_axis",
    "The result has a batch axis of size 1. Here one text gives one row: shape (s,), not (1, s).",
    "torch.tensor(ids, dtype=torch.long)",
    "torch.tensor([ids], dtype=torch.long)",
)


@ex.mistake(
    "BOS was put in front as text and read as thirteen characters. It is one symbol with an id of its own: stoi[BOS]."
)
def bos_as_text(text, stoi, prepend_bos=True):
    return torch.tensor([stoi[c] for c in (BOS + text if prepend_bos else text)], dtype=torch.long)


@ex.mistake("The first id is 0. The id of BOS is stoi[BOS], which need not be 0.")
def bos_is_always_0(text, stoi, prepend_bos=True):
    return torch.tensor([0] * prepend_bos + [stoi[c] for c in text], dtype=torch.long)


ex.slip(
    "condition_reversed",
    "BOS is there when prepend_bos is False and missing when it is True.",
    "if prepend_bos:",
    "if not prepend_bos:",
)


ex.slip(
    "never_bos",
    "BOS is missing. It goes in front when prepend_bos is True, which is the default.",
    "if prepend_bos:",
    "if False:",
)


ex.slip(
    "bos_needs_text",
    "It is right except for the empty text with prepend_bos: that is BOS alone, one id.",
    "if prepend_bos:",
    "if prepend_bos and text:",
)


ex.slip(
    "list_for_tensor",
    "It returned a list of ids. Make it a tensor: torch.tensor(ids, dtype=torch.long).",
    "torch.tensor(ids, dtype=torch.long)",
    "ids",
)


ex.slip(
    "int32_ids",
    "The ids are int32. They are asked for as int64 (torch.long), the type that torch gives to a list of ints.",
    "dtype=torch.long",
    "dtype=torch.int32",
)


ex.slip(
    "one_id_squeezed",
    "A text of one id lost its axis: the result of a single id has the shape (1,), not (). A bare squeeze() does that.",
    "torch.tensor(ids, dtype=torch.long)",
    "torch.tensor(ids, dtype=torch.long).squeeze()",
)


ex.slip(
    "no_white_space",
    "All white space is gone. A space is a character like any other and has an id.",
    "in text]",
    'in "".join(text.split())]',
)


ex.slip(
    "code_points",
    "The ids are the characters' code points. A model's ids are those of its vocabulary, stoi.",
    "[stoi[c] for c in text]",
    "[ord(c) for c in text]",
)


ex.slip(
    "backwards",
    "The text was read backwards.",
    "in text]",
    "in text[::-1]]",
)


ex.slip(
    "each_character_once",
    "A character that comes again was left out. Every position of the text has an id.",
    "in text]",
    "in dict.fromkeys(text)]",
)
