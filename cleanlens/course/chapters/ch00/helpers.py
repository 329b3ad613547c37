"""What the checks of chapter 00 share."""

import random

BOS = "<|endoftext|>"

PAD = BOS_ID = 0


def sentence(rng: random.Random) -> str:
    """A few words with capitals, punctuation and runs of the same letter."""
    words = [
        "When",
        "Mary",
        "zoo",
        "aaa",
        "and",
        "John's",
        "Book!",
        "went",
        "to",
        "mmm",
        "three",
        "Café",
        "42",
    ]
    return (
        " " * rng.randint(0, 2)
        + " ".join(rng.choices(words, k=rng.randint(4, 8)))
        + rng.choice(["", " ", "\n"])
    )
