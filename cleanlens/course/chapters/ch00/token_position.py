"""Exercise 00.6: Where a token stands."""

import random

import torch

from ...exercise import exercise
from ...plain import Raised, attempt
from .helpers import BOS_ID

ex = exercise(
    "00.6",
    "token_position",
    title="Where a token stands",
    objective="You can find a token's position in a sequence, and you find out when it is not there.",
    minutes=5,
    difficulty=1,
    importance=3,
    source="The definition in chapter 00, section 6; the same rule as HookedTransformer.get_token_position.",
    hints=[
        "(tokens == token).nonzero() lists the matching positions.",
        "There are three outcomes: first, last, and none at all. For none raise a ValueError that names the token.",
    ],
    why="Positions count BOS: position 0 is BOS, the first word is at 1. And a -1 for 'absent' would be a valid index "
    "(the last position), so the mistake would travel on silently; an error stops it where it happens.",
)


@ex.inputs
def _(seed):
    rng = random.Random(seed)
    body = rng.sample(range(1, 90), 7)
    token = body[rng.randint(1, 2)]
    tokens = torch.tensor([BOS_ID, *body, token, rng.randint(90, 95)])
    return [
        {"token": token, "tokens": tokens, "mode": "first"},
        {"token": token, "tokens": tokens, "mode": "last"},
        {"token": 99, "tokens": tokens, "mode": "first"},
        {"token": 99, "tokens": tokens, "mode": "last"},
    ]


@ex.oracle
def _(token, tokens, mode):
    positions = [i for i in range(len(tokens)) if int(tokens[i]) == token]
    if not positions:
        return Raised(ValueError)
    return min(positions) if mode == "first" else max(positions)


@ex.call
def _(answer, token, tokens, mode):
    return attempt(answer, token, tokens, mode)


@ex.alternative
def through_a_list(token, tokens, mode):
    ids = tokens.tolist()
    if token not in ids:
        raise ValueError(f"token {token} is not in {ids}")
    if mode == "first":
        return ids.index(token)
    return len(ids) - 1 - ids[::-1].index(token)


@ex.alternative
def through_nonzero(token, tokens, mode):
    found = (tokens == token).nonzero().flatten()
    if found.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return int(found[0 if mode == "first" else -1])


ex.slip(
    "bos_not_counted",
    "Every position is one too small: BOS was not counted. Position 0 is BOS, and a position must be an index into "
    "tokens.",
    "ids = tokens.tolist()",
    "ids = tokens[1:].tolist()",
)


ex.slip(
    "first_and_last_swapped",
    "First and last are swapped.",
    'mode == "first"',
    'mode == "last"',
)


ex.slip(
    "always_last",
    "It gives the last position also when the first is asked for.",
    'mode == "first"',
    "False",
)


ex.slip(
    "always_first",
    "It gives the first position also when the last is asked for.",
    'mode == "first"',
    "True",
)


ex.slip(
    "minus_one_when_absent",
    "For a token that is not there it returned -1. That is a valid index, the last position, so nobody would notice. "
    "Raise a ValueError.",
    'raise ValueError(f"token {token} is not in {ids}")',
    "return -1",
)


@ex.mistake(
    "It returned a tensor. A position is used as an index and printed: make it an int, with .item() or int(...)."
)
def tensor_for_int(token, tokens, mode):
    found = (tokens == token).nonzero().flatten()
    if found.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return found[0 if mode == "first" else -1]
