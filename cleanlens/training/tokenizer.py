"""The toy world's tokenizer: a 1,024-entry byte-level BPE, cut the way GPT-2 cuts text.

One special token, `<|endoftext|>`, id 0, serves as BOS, EOS and PAD, as in GPT-2. Every name, place and object
of the corpus is one token with its leading space; invented names are not, on purpose.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from cleanlens.training import corpus

EOT = "<|endoftext|>"
VOCAB_SIZE = 1024

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


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Learn the merges from `texts`; raises if a name, place or object did not become one token."""
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
    split = [
        w for w in corpus.NAMES + corpus.PLACES + corpus.OBJECTS if len(tokenizer.encode(" " + w).ids) != 1
    ]
    if split:
        raise ValueError(
            f"these words are not one token with their leading space: {split}. Train on more text."
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, which `AutoTokenizer.from_pretrained(folder)` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")
