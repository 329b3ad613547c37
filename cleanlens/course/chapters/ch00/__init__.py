"""Chapter 00, Tokens: how text becomes the integers that a transformer reads."""

from ...exercise import Chapter
from . import build_vocab, byte_pair_encoding, encode, pad_batch, single_token_id, token_position

chapter = Chapter(
    "00",
    "tokens",
    "Tokens",
    [
        build_vocab.ex,
        encode.ex,
        byte_pair_encoding.ex,
        single_token_id.ex,
        pad_batch.ex,
        token_position.ex,
    ],
)
