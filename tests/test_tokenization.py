"""Text to tokens and back: BOS once, padding where it was asked for, nothing lost."""

import copy

import pytest
import torch
from helpers import random_model, word_tokenizer

from cleanlens import HookedTransformer
from cleanlens.tokenization import infer_mask, pad

BOS = 0


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    tokenizer = word_tokenizer()
    model = random_model(d_vocab=len(tokenizer), d_vocab_out=len(tokenizer))
    model.set_tokenizer(tokenizer)
    return model


def ids(model: HookedTransformer, text: str) -> list[int]:
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


# ---------------------------------------------------------------- BOS


def test_bos_is_put_in_front_once(model: HookedTransformer) -> None:
    text = "Mary the a"
    assert model.to_tokens(text).tolist() == [[BOS, *ids(model, text)]]
    assert model.to_tokens(text, prepend_bos=False).tolist() == [ids(model, text)]
    assert model.to_tokens("<|endoftext|>" + text).tolist() == [[BOS, *ids(model, text)]]
    assert model.to_tokens("").tolist() == [[BOS]]


def test_the_default_is_the_configs(model: HookedTransformer) -> None:
    try:
        model.cfg.default_prepend_bos = False
        assert model.to_tokens("a").tolist() == [ids(model, "a")]
        assert model.to_tokens("a", prepend_bos=True).tolist() == [[BOS, *ids(model, "a")]]
    finally:
        model.cfg.default_prepend_bos = True


def test_a_tokenizer_that_adds_bos_itself_does_not_add_a_second() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", BOS)]
    )
    assert tokenizer("a")["input_ids"][0] == BOS
    model = random_model(d_vocab=len(tokenizer), d_vocab_out=len(tokenizer))
    model.set_tokenizer(tokenizer)
    assert model.cfg.tokenizer_prepends_bos
    assert model.to_tokens("a").tolist() == [[BOS, *ids(model, "a")]]
    assert model.to_tokens("a", prepend_bos=False).tolist() == [ids(model, "a")]


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(model: HookedTransformer, side: str) -> None:
    texts = ["a", "the a", "Mary"]
    tokens = model.to_tokens(texts, padding_side=side)
    rows = [[BOS, *ids(model, text)] for text in texts]
    width = max(map(len, rows))
    for row, expected in zip(tokens.tolist(), rows):
        padding = [BOS] * (width - len(expected))
        assert row == (padding + expected if side == "left" else expected + padding)


def test_padding_by_plain_loop() -> None:
    tokens, mask = pad([[5, 6, 7], [8]], 9, "left")
    assert tokens.tolist() == [[5, 6, 7], [9, 9, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    with pytest.raises(ValueError, match="padding_side = 'center'; it must be 'left' or 'right'"):
        pad([[1]], 0, "center")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens", "side", "mask"),
    [
        ([[0, 5, 6], [0, 7, 0]], "right", [[1, 1, 1], [1, 1, 0]]),
        ([[0, 5, 6], [0, 0, 7]], "left", [[1, 1, 1], [0, 1, 1]]),  # the last 0 is BOS
        ([[0, 5, 6], [0, 7, 8]], "left", None),  # a BOS in every row is no padding
        ([[5, 0], [6, 0]], "right", None),  # texts that all end with EOS
        ([[0, 5, 0]], "right", None),  # one row has no padding
        ([[5, 6], [0, 0]], "right", [[1, 1], [0, 0]]),
    ],
)
def test_padding_is_told_from_tokens(tokens: list, side: str, mask: list | None) -> None:
    found = infer_mask(torch.tensor(tokens), 0, side)  # type: ignore[arg-type]
    assert (found if found is None else found.tolist()) == mask


def test_a_long_text_is_cut_with_a_warning(model: HookedTransformer) -> None:
    with pytest.warns(UserWarning, match=r"a text of 41 tokens was cut to its first 17 \(n_ctx\)"):
        assert model.to_tokens("z" * 40).shape == (1, 17)
    assert model.to_tokens("z" * 40, truncate=False).shape == (1, 41)


# ---------------------------------------------------------------- back to text


def test_round_trip(model: HookedTransformer) -> None:
    text = "Mary the a"
    assert model.to_string(model.to_tokens(text)[0]) == "<|endoftext|>" + text
    assert model.to_string(model.to_tokens([text, "a"], prepend_bos=False, padding_side="left")) == [
        text,
        "<|endoftext|>" * (len(ids(model, text)) - 1) + "a",
    ]
    assert model.to_string(ids(model, text)) == text
    assert model.to_string(ids(model, " the")[0]) == " the"
    assert model.to_string(torch.tensor(ids(model, " the")[0])) == " the"


def test_str_tokens_join_to_the_text(model: HookedTransformer) -> None:
    text = "Mary the a"
    pieces = model.to_str_tokens(text)
    assert pieces == ["<|endoftext|>", "Mary", " the", " a"]
    assert model.to_str_tokens(text, prepend_bos=False) == pieces[1:]
    assert model.to_str_tokens(model.to_tokens(text)) == pieces
    assert model.to_str_tokens(model.to_tokens(text)[0]) == pieces
    assert model.to_str_tokens(model.to_tokens(text)[0].numpy()) == pieces
    assert model.to_str_tokens([text, "a"]) == [pieces, ["<|endoftext|>", "a"]]  # nothing is padded
    with pytest.raises(ValueError, match=r"\[model.to_str_tokens\(row\) for row in tokens\]"):
        model.to_str_tokens(torch.ones(2, 3, dtype=torch.int64))


def test_single_tokens(model: HookedTransformer) -> None:
    assert model.to_single_token(" Mary") != model.to_single_token("Mary")
    assert model.to_single_str_token(model.to_single_token(" Mary")) == " Mary"
    with pytest.raises(ValueError, match=r"' Maryz' is not a single token but 2: \[' Mary', 'z'\]"):
        model.to_single_token(" Maryz")


def test_token_position(model: HookedTransformer) -> None:
    text = "the a the a"
    assert model.get_token_position(" a", text) == 2
    assert model.get_token_position(" a", text, mode="last") == 4
    assert model.get_token_position(" a", text, prepend_bos=False) == 1
    assert model.get_token_position(model.to_single_token(" a"), model.to_tokens(text)) == 2
    with pytest.raises(ValueError, match="the token 'z' does not occur in"):
        model.get_token_position("z", text)
    with pytest.raises(ValueError, match="mode = 'second'; it must be 'first' or 'last'"):
        model.get_token_position(" a", text, mode="second")  # type: ignore[arg-type]


def test_residual_directions_are_columns_of_the_unembedding(model: HookedTransformer) -> None:
    directions = model.tokens_to_residual_directions
    mary = model.to_single_token(" Mary")
    assert directions(" Mary").equal(model.W_U[:, mary])
    assert directions(mary).equal(model.W_U[:, mary])
    batch = torch.tensor([[3, 4, 5], [6, 7, 8]])
    assert directions(batch).shape == (2, 3, 21)
    assert directions(batch)[1, 2].equal(model.W_U[:, 8])


# ---------------------------------------------------------------- errors


def test_without_a_tokenizer() -> None:
    expected = "turning text into tokens needs a tokenizer and this model has none; call model.set_tokenizer"
    bare = random_model()
    for call in (lambda: bare("text"), lambda: bare.to_tokens("text"), lambda: bare.to_single_token("a")):
        with pytest.raises(ValueError, match=expected):
            call()


def test_nothing_to_read(model: HookedTransformer) -> None:
    with pytest.raises(ValueError, match="got an empty list of texts; give at least one"):
        model.to_tokens([])
    with pytest.raises(ValueError, match="an empty text has no tokens; give prepend_bos=True"):
        model.to_tokens("", prepend_bos=False)
    with pytest.raises(TypeError, match=r"expected a text \(str\), got a int"):
        model.to_tokens([3])  # type: ignore[list-item]


def test_a_tokenizer_without_bos_or_padding_gets_the_end_of_text_for_both() -> None:
    tokenizer = copy.deepcopy(word_tokenizer())
    tokenizer.bos_token = tokenizer.pad_token = None
    model = random_model(d_vocab=len(tokenizer), d_vocab_out=len(tokenizer))
    model.set_tokenizer(tokenizer)
    assert model.to_tokens(["a", "the a"]).tolist()[0] == [BOS, *ids(model, "a"), BOS]


def test_the_vocabulary_may_come_from_the_tokenizer() -> None:
    tokenizer = word_tokenizer()
    model = HookedTransformer(
        dict(n_layers=1, d_model=8, n_ctx=5, d_head=4, act_fn="relu", device="cpu"), tokenizer=tokenizer
    )
    assert model.cfg.d_vocab == model.cfg.d_vocab_out == len(tokenizer)
    assert model("a").shape == (1, 2, len(tokenizer))
