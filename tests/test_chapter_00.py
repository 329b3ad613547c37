"""Chapter 00: what its prose claims."""

import re
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer

from cleanlens import HookedTransformer
from cleanlens.loading.names import MODELS
from cleanlens.training.corpus import documents

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "chapters" / "00_tokens.py").read_text()


def solved() -> dict:
    """The solutions' definitions."""
    space: dict = {"__name__": "solved"}
    exec(compile((ROOT / "solutions" / "ch00_tokens.py").read_text(), "solutions", "exec"), space)
    return space


def test_the_table_of_merges_and_the_tie_it_begins_with() -> None:
    rows = re.findall(r"^# \| (?:`(.+)`\+`(.+)`)? *\| `(.+)` \|$", TEXT, re.M)
    assert len(rows) == 5
    text = rows[0][2].replace(" ", "")
    merges = [(a, b) for a, b, _ in rows[1:]]
    space = solved()
    assert space["train_bpe"](text, 4) == merges
    for n, (_, _, pieces) in enumerate(rows):
        assert space["apply_bpe"](text, merges[:n]) == pieces.split(" ")
    [sentence] = re.findall(r"At the start (.+) hold two places each", TEXT)
    named = {tuple(pair) for pair in re.findall(r"`(..)`", sentence)}
    counts = {pair: list(pairwise(text)).count(pair) for pair in pairwise(text)}
    assert named == {pair for pair, count in counts.items() if count == max(counts.values()) == 2}


def test_order_of_the_merges_prevents_a_longer_piece() -> None:
    assert solved()["apply_bpe"]("abc", [("b", "c"), ("a", "b"), ("ab", "c")]) == ["a", "bc"]


def test_the_models_tokenizer_does_not_add_bos() -> None:
    tokenizer = Tokenizer.from_file(str(MODELS / "attn-only-2l-demo" / "tokenizer.json"))
    assert "<|endoftext|>" not in tokenizer.encode(" Mary").tokens
    assert tokenizer.encode(" Mary", add_special_tokens=False).tokens == ["ĠMary"]


def test_a_mask_that_hides_bos_costs_much() -> None:
    """At least a fifth of the loss, on the model of the package that has read such texts."""
    for name in ("gpt2-demo",):
        model = HookedTransformer.from_pretrained(name).requires_grad_(False)
        losses = {"all": [], "BOS hidden": []}
        for text in documents(8, seed=3):
            tokens = model.to_tokens(text)[:, : model.cfg.n_ctx]
            for kind, first in (("all", 1), ("BOS hidden", 0)):
                mask = torch.ones_like(tokens)
                mask[0, 0] = first
                loss = model(tokens, return_type="loss", attention_mask=mask, loss_per_token=True)
                losses[kind].append(loss[0, 1:])  # without the prediction at BOS itself
        whole, hidden = (torch.cat(kind).mean() for kind in losses.values())
        assert hidden > 1.2 * whole, name
