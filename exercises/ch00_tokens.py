# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 00`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 00, Tokens: text becomes integers.

BOS, EOS and PAD are one and the same special token, as in GPT-2; its id here is 0.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

BOS = "<|endoftext|>"
PAD = 0


# exercise 00.1
def build_vocab(texts: list[str]) -> tuple[dict[str, int], dict[int, str]]:
    """Number the characters of all texts: BOS is 0, then every character that occurs, by code point, from 1.

    Returns (stoi, itos): symbol to id, and id to symbol.
    """
    raise NotImplementedError("00.1")


# exercise 00.2
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    """The ids of a text's characters as int64, with the id of BOS in front when `prepend_bos` is true.

    An empty text is allowed.
    """
    raise NotImplementedError("00.2")


# exercise 00.3
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    """Learn `n_merges` merges from a text, which starts out as single characters.

    Each time, merge the pair of neighbouring pieces that occurs most often, counting the occurrences that a
    merge would really replace (in "aaa" that is one "aa"). Of several such pairs take the one that sorts
    first. Fewer merges are returned when only one piece is left.
    """
    raise NotImplementedError("00.3")


# exercise 00.3
def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    """Cut a text into pieces: start from characters and apply the merges in the order they were learned."""
    raise NotImplementedError("00.3")


# exercise 00.4
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    """The id of a text that is exactly one token, such as " Mary" with its leading space.

    Raises ValueError, with the text in its message, when it is not one token.
    """
    raise NotImplementedError("00.4")


# exercise 00.5
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """Put sequences that begin with BOS into one tensor, filled up with PAD on the `side` "left" or "right".

    Returns (tokens, mask); mask is True where a token is real. PAD is also the id of BOS.
    """
    raise NotImplementedError("00.5")


# exercise 00.6
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    """The position of a token id, the "first" or the "last" by `mode`, counted with BOS at 0.

    Raises ValueError when the token does not occur.
    """
    raise NotImplementedError("00.6")
