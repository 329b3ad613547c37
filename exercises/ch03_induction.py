# Write your answers here, or in the notebook of the chapter; then run `cleanlens check 03`.
# Built from the solutions by `python -m cleanlens.course.build`.
# ruff: noqa: F401
"""Chapter 03, Induction heads: prompts that call for copying, scores that find the heads, weights that make one.

A prompt is BOS, then n random tokens, then the same n tokens: positions 0, 1..n, n+1..2n.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


# exercise 03.1
def repeated_tokens(d_vocab: int, n: int, batch: int, bos: int) -> Int[Tensor, "b 1+2n"]:
    """BOS, then `n` random tokens, then the same `n` tokens again, in each of `batch` rows (int64).

    Each random token of each row is drawn independently of all others, with equal chances, from all ids 0..d_vocab-1
    except `bos`: with `torch` or `random`, and without setting a seed. n is at least 1.
    """
    raise NotImplementedError("03.1")


# exercise 03.2
def loss_by_half(loss: Float[Tensor, "b 2n"], n: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Each row's mean loss on the first half and on the second half of BOS + half + half.

    loss[:, i] is the loss of predicting token i + 1. The first token of the second half cannot be foreseen and
    counts in neither. n is at least 2.
    """
    raise NotImplementedError("03.2")


# exercise 03.3
def positional_scores(pattern: Float[Tensor, "b h q k"]) -> dict[str, Float[Tensor, " h"]]:
    """Each head's mean attention to the previous token ("prev"), to itself ("current"), to token 0 ("first").

    All three are means over the batch and over the queries from 1 on: query 0 has nowhere else to look. There are at
    least two positions.
    """
    raise NotImplementedError("03.3")


# exercise 03.4
def duplicate_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to the same tokens in the first half.

    The pattern is of BOS + half + half with halves of `n` tokens: q and k run from 0 to 2n.
    """
    raise NotImplementedError("03.4")


# exercise 03.5
def induction_score(pattern: Float[Tensor, "b h q k"], n: int) -> Float[Tensor, " h"]:
    """Each head's mean attention from the second half's tokens to what followed them the first time.

    The pattern is of BOS + half + half with halves of `n` tokens. All `n` queries of the second half count.
    """
    raise NotImplementedError("03.5")


# exercise 03.6
def top_heads(scores: Float[Tensor, "l h"], k: int) -> list[tuple[int, int]]:
    """The `k` heads with the highest scores as (layer, head), the highest first; layer and head are ints.

    Heads with equal scores come in any order. k is at least 1 and at most the number of heads.
    """
    raise NotImplementedError("03.6")


# exercise 03.7
def build_induction_model(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights of a two-layer attention-only model with one head per layer that does induction. No training.

    Layer 0 looks at the previous token; layer 1 looks, from the second of two equal tokens, at what followed the
    first one, which it finds through its keys; the model predicts that token. It must do so for repeats of every
    length that fits into `n_ctx` positions, also with other tokens between BOS and the first half. Token 0 is BOS and
    comes first; all other tokens of a prompt are different, but for the repeat. What is measured, as means over a
    prompt: layer 0's attention to the previous token (all queries but 0) and layer 1's at its place (queries of the
    second half) are above 0.9; the loss of the second half, its first token left out, is below 0.1.

    There are no biases and no LayerNorm; scores are divided by sqrt(d_head). Choose d_model and d_head yourself; any
    d_vocab from 3 and n_ctx from 4 may be asked for.

    Returns:
        W_E [d_vocab, d_model], W_pos [n_ctx, d_model], W_U [d_model, d_vocab];
        W_Q, W_K, W_V [2, d_model, d_head] and W_O [2, d_head, d_model], whose first axis is the layer.
    """
    raise NotImplementedError("03.7")
