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

    Returns (stoi, itos): symbol to id, and id to symbol. The texts hold no BOS; there may be none of them.
    """
    symbols = [BOS, *sorted(set("".join(texts)))]
    itos = dict(enumerate(symbols))
    stoi = {symbol: i for i, symbol in itos.items()}
    return stoi, itos


# exercise 00.2
def encode(text: str, stoi: dict[str, int], prepend_bos: bool = True) -> Int[Tensor, " s"]:
    """The ids of a text's characters as int64, with `stoi[BOS]` in front when `prepend_bos` is true.

    An empty text is allowed. Every character of the text is in stoi.
    """
    bos = [stoi[BOS]] if prepend_bos else []
    return torch.tensor(bos + [stoi[character] for character in text], dtype=torch.long)


# solution only
def merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """Replace every occurrence of `pair`, from left to right, by its two pieces joined."""
    merged: list[str] = []
    i = 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            merged.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            merged.append(pieces[i])
            i += 1
    return merged


# exercise 00.3
def train_bpe(text: str, n_merges: int) -> list[tuple[str, str]]:
    """Learn `n_merges` merges from a text, which starts out as single characters.

    Each time, merge the pair of neighbouring pieces that occurs most often, counting the occurrences that a
    merge would really replace, from left to right (in "aaa" that is one "aa"); once is enough. Of several such
    pairs take the one that sorts first, as a tuple. Fewer merges are returned when no two pieces are left.
    """
    pieces, merges = list(text), list[tuple[str, str]]()
    for _ in range(n_merges):
        pairs = set(pairwise(pieces))
        if not pairs:
            break
        # merging shortens the list by one for every occurrence, so the length does the counting
        best = min(pairs, key=lambda pair: (len(merge(pieces, pair)), pair))
        pieces = merge(pieces, best)
        merges.append(best)
    return merges


# exercise 00.3
def apply_bpe(text: str, merges: list[tuple[str, str]]) -> list[str]:
    """Cut a text into pieces: start from characters and apply the merges in the order they were learned.

    Each is applied to the whole text, from left to right.
    """
    pieces = list(text)
    for pair in merges:
        pieces = merge(pieces, pair)
    return pieces


# exercise 00.4
def single_token_id(tokenizer: Tokenizer, text: str) -> int:
    """The id of a text that is exactly one token, such as " Mary" with its leading space.

    Raises ValueError, with the text in its message, when it is not one token (an empty text is none). A BOS that the
    tokenizer adds by itself does not count; the tokenizer stays as it is.
    """
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"{text!r} is {len(ids)} tokens, not one; choose a word that is a single token")
    return ids[0]


# exercise 00.5
def pad_batch(seqs: list[list[int]], side: str) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """Put sequences that begin with BOS into one int64 tensor, filled up with PAD on the `side` "left" or "right".

    Returns (tokens, mask); mask is True where a token is real. PAD is also the id of BOS, and a sequence may hold it
    again. There is at least one sequence; the lists stay as they are.
    """
    width = max(len(seq) for seq in seqs)
    tokens = torch.full((len(seqs), width), PAD)
    mask = torch.zeros(len(seqs), width, dtype=torch.bool)
    for row, seq in enumerate(seqs):
        place = slice(0, len(seq)) if side == "right" else slice(width - len(seq), width)
        tokens[row, place] = torch.tensor(seq)
        mask[row, place] = True
    return tokens, mask


# exercise 00.6
def token_position(token: int, tokens: Int[Tensor, " s"], mode: str) -> int:
    """The index of a token id in `tokens`, of its "first" or "last" occurrence by `mode`.

    BOS, at position 0, counts and can be looked for. Raises ValueError when the token does not occur.
    """
    positions = (tokens == token).nonzero().flatten().tolist()
    if not positions:
        raise ValueError(f"token {token} is not among {tokens.tolist()}")
    return positions[0] if mode == "first" else positions[-1]
