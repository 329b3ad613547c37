"""The toy world's tokenizer: a 4,096-entry byte-level BPE, cut the way GPT-2 cuts text.

One special token, `<|endoftext|>`, id 0, serves as BOS, EOS and PAD, as in GPT-2. Some 1,500 everyday words and the
100 common names are one token each with their leading space, and the names also without it, as at the start of a
text. Rare and invented names are several tokens, on purpose.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from cleanlens.training.corpus import documents
from cleanlens.training.words import CAPITALS, EVERYDAY, NAMES, RARE_NAMES

EOT = "<|endoftext|>"
VOCAB_SIZE = 4096

# What transformers needs to know besides tokenizer.json.
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": EOT,
    "eos_token": EOT,
    "pad_token": EOT,
    "unk_token": EOT,
    "add_prefix_space": False,
    "clean_up_tokenization_spaces": False,
    "model_max_length": 128,
}


def tokenizer_texts(times: int = 300) -> Iterator[str]:
    """What the merges are learned from: every word of the lists `times` times, and documents for the rest."""
    for word in EVERYDAY + CAPITALS + NAMES:
        yield f" {word}" * times
    for word in CAPITALS + NAMES:  # as they begin a text
        yield f"{word}\n" * times
    rare = re.compile(" (" + "|".join(RARE_NAMES) + ")")  # left out, so that they fall into pieces
    for document in documents(5000, seed=0):
        yield rare.sub("", document)


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Learn the merges from `texts`; raises if a name or an everyday word did not become one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    words = [*NAMES, *(f" {word}" for word in NAMES + EVERYDAY + CAPITALS)]
    split = [word for word in words if len(tokenizer.encode(word).ids) != 1]
    if split:
        raise ValueError(f"these are not one token: {split}. Train on more text, or for more entries.")
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, which `AutoTokenizer.from_pretrained(folder)` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")
