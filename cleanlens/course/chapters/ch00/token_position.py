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
    version=2,
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
        {"token": BOS_ID, "tokens": torch.tensor([BOS_ID, *body, BOS_ID]), "mode": "first"},
        {"token": BOS_ID, "tokens": torch.tensor([BOS_ID, *body, BOS_ID]), "mode": "last"},
        {"token": BOS_ID, "tokens": torch.tensor([BOS_ID, *body]), "mode": "last"},
        {"token": body[3], "tokens": torch.tensor([BOS_ID, *body]), "mode": "first"},
        {"token": body[-1], "tokens": torch.tensor([BOS_ID, *body]), "mode": "last"},
        {"token": BOS_ID, "tokens": torch.tensor([BOS_ID]), "mode": "first"},
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


@ex.mistake(
    "It returned a row of nonzero(), a tensor with one number in it. A position is used as an index and printed: make it an int, with "
    ".item() or int(...)."
)
def row_for_int(token, tokens, mode):
    found = (tokens == token).nonzero()
    if len(found) == 0:
        raise ValueError(f"token {token} does not occur")
    return found[0 if mode == "first" else -1]


@ex.mistake(
    "It returned a tensor where an int is asked for: .item() or int(...) makes one. And for a token that is not there an IndexError "
    "comes up, from taking the first of nothing: look first, and raise a ValueError that names the token."
)
def tensor_and_index_error(token, tokens, mode):
    found = (tokens == token).nonzero().flatten()
    return found[0 if mode == "first" else -1]


@ex.mistake(
    "It returned a row of nonzero(), a tensor with one number in it, where an int is asked for: .item() or int(...) makes one. And for "
    "a token that is not there an IndexError comes up: look first, and raise a ValueError that names the token."
)
def row_and_index_error(token, tokens, mode):
    found = (tokens == token).nonzero()
    return found[0 if mode == "first" else -1]


ex.slip(
    "last_counted_from_the_end",
    "The last position is counted from the end of the text. Turn it round: in a reversed list, index i stands for position "
    "len(tokens) - 1 - i.",
    "len(ids) - 1 - ids[::-1].index(token)",
    "ids[::-1].index(token)",
)


ex.slip(
    "last_one_too_large",
    "The last position is one too large: positions run from 0 to len(tokens) - 1.",
    "len(ids) - 1 - ids[::-1].index(token)",
    "len(ids) - ids[::-1].index(token)",
)


@ex.mistake("Every position is one too large. BOS is in the tokens already, and counted.")
def one_too_large(token, tokens, mode):
    return through_a_list(token, tokens, mode) + 1


ex.slip(
    "bos_is_not_found",
    "BOS at position 0 is not found. Either the search began behind it, or the position 0 was taken for 'nothing found': 0 counts "
    "as false in an if, so ask `is None`, or how many were found.",
    "if token not in ids:",
    "if token not in ids[1:]:",
    "return ids.index(token)",
    "return ids.index(token, 1)",
)


@ex.mistake(
    "For a token that is not there it gave 0 or the last position, as argmax does when nothing is true. Both are positions of other "
    "tokens: raise a ValueError."
)
def argmax_of_nothing(token, tokens, mode):
    found = (tokens == token).int()
    return int(found.argmax()) if mode == "first" else len(tokens) - 1 - int(found.flip(0).argmax())


@ex.mistake(
    "For a token that is not there an IndexError comes up, from taking the first of nothing. Look first, and raise a ValueError that "
    "names the token."
)
def index_error_when_absent(token, tokens, mode):
    found = (tokens == token).nonzero()[:, 0]
    return int(found[0 if mode == "first" else -1])


ex.slip(
    "none_when_absent",
    "For a token that is not there it returned None. Raise a ValueError: x[None] is legal, and so the mistake would travel on.",
    'raise ValueError(f"token {token} is not in {ids}")',
    "return None",
)


@ex.mistake(
    "A token that occurs once raises an error: a bare squeeze() makes the list of one position a single number. Use flatten(), or "
    "squeeze(-1)."
)
def one_position_squeezed(token, tokens, mode):
    found = (tokens == token).nonzero().squeeze()
    if found.numel() == 0:
        raise ValueError(f"token {token} does not occur")
    return found[0 if mode == "first" else -1].item()


ex.equivalent(
    "list.index raises a ValueError by itself when the token does not occur.",
    "if token not in ids: raise ValueError(f'token {token} is not in {ids}') => pass",
    "raise ValueError(f'token {token} is not in {ids}') => pass",
)
ex.equivalent("Each row then has one index, which int() takes as well.", "().flatten() => ()")
ex.equivalent("What the message says is free.", "tokens.tolist()} => tokens}")
