"""Generation: with and without cache, alone and in a batch, the same text as `transformers` writes."""

import pytest
import torch
from helpers import load, random_gpt2, word_tokenizer
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.key_value_cache import HookedTransformerKeyValueCache
from cleanlens.utils import next_token_probs, sample_logits

TOKENIZER = word_tokenizer()
HF = random_gpt2(vocab_size=len(TOKENIZER))
TEXTS = ["the", "Mary the a", "z"]
GREEDY = dict(do_sample=False, stop_at_eos=False, verbose=False)


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return load(hf_model=HF, tokenizer=TOKENIZER)


@pytest.fixture(scope="module")
def bare() -> HookedTransformer:
    """The same model, without a tokenizer."""
    return load(hf_model=HF)


def hf_greedy(tokens: Tensor, n: int, mask: Tensor | None = None, **options: object) -> Tensor:
    return HF.generate(
        tokens,
        attention_mask=torch.ones_like(tokens) if mask is None else mask,
        **{**dict(max_new_tokens=n, do_sample=False, eos_token_id=None, pad_token_id=0), **options},
    )


# ---------------------------------------------------------------- the same text


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_greedy_is_that_of_transformers(bare: HookedTransformer, use_past_kv_cache: bool, batch: int) -> None:
    tokens = torch.arange(1, 1 + 4 * batch).reshape(batch, 4)
    ours = bare.generate(tokens, max_new_tokens=9, use_past_kv_cache=use_past_kv_cache, **GREEDY)
    assert ours.equal(hf_greedy(tokens, 9))


def test_texts_in_a_batch_are_continued_as_if_alone(model: HookedTransformer) -> None:
    tokens = model.to_tokens(TEXTS, padding_side="left")
    n_padding = [tokens.shape[1] - model.to_tokens(text).shape[1] for text in TEXTS]
    mask = torch.ones_like(tokens)
    for row, n in enumerate(n_padding):
        mask[row, :n] = 0
    expected = hf_greedy(tokens, 8, mask)
    for cached in (True, False):
        options = dict(max_new_tokens=8, use_past_kv_cache=cached, **GREEDY)
        assert model.generate(TEXTS, return_type="tokens", **options).equal(expected)
        assert model.generate(tokens, **options).equal(expected)  # the padding is told from the tokens
        for row, text in enumerate(TEXTS):
            alone = model.generate(text, return_type="tokens", **options)
            assert alone[0].equal(expected[row, n_padding[row] :])


def test_cached_logits_are_those_of_one_pass(bare: HookedTransformer) -> None:
    """Token by token, in pieces of several, and with padding on the left."""
    tokens = torch.arange(1, 23).reshape(2, 11)
    mask = torch.ones_like(tokens)
    mask[1, :3] = 0
    for attention_mask in (None, mask):
        expected = bare(tokens, attention_mask=attention_mask)
        for pieces in ([1] * 11, [4, 1, 6], [10, 1]):
            cache = HookedTransformerKeyValueCache.init_cache(bare.cfg, "cpu", 2)
            outs, start = [], 0
            for piece in pieces:
                part = slice(start, start + piece)
                part_mask = None if attention_mask is None else attention_mask[:, part]
                outs.append(bare(tokens[:, part], attention_mask=part_mask, past_kv_cache=cache))
                start += piece
            got = torch.cat(outs, dim=1)
            torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=1e-11, rtol=0)


def test_a_frozen_cache_is_read_but_not_added_to(bare: HookedTransformer) -> None:
    prefix, tokens = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    cache = HookedTransformerKeyValueCache.init_cache(bare.cfg, "cpu", 1)
    bare(prefix, past_kv_cache=cache)
    cache.freeze()
    first = bare(tokens, past_kv_cache=cache)
    assert bare(tokens, past_kv_cache=cache).equal(first)
    assert cache.length == 3
    torch.testing.assert_close(first, bare(torch.cat([prefix, tokens], dim=1))[:, 3:], atol=1e-11, rtol=0)
    cache.unfreeze()
    bare(tokens, past_kv_cache=cache)
    assert cache.length == 5


def test_a_full_cache_says_so(bare: HookedTransformer) -> None:
    cache = HookedTransformerKeyValueCache.init_cache(bare.cfg, "cpu", 1, capacity=2)
    with pytest.raises(ValueError, match="the key-value cache holds 2 positions; 3 are needed"):
        bare(torch.tensor([[1, 2, 3]]), past_kv_cache=cache)


# ---------------------------------------------------------------- where it ends


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
def test_each_row_ends_at_its_own_end_of_text(bare: HookedTransformer, use_past_kv_cache: bool) -> None:
    tokens = torch.arange(1, 13).reshape(3, 4)
    free = hf_greedy(tokens, 9)
    eos = int(free[0, 4 + 2])  # what the first row writes as its third token
    ours = bare.generate(
        tokens,
        max_new_tokens=9,
        eos_token_id=eos,
        do_sample=False,
        verbose=False,
        use_past_kv_cache=use_past_kv_cache,
    )
    theirs = hf_greedy(tokens, 9, eos_token_id=eos, pad_token_id=eos)
    assert ours.equal(theirs)
    assert (ours[0, 7:] == eos).all()


def test_all_ends_when_every_row_has(bare: HookedTransformer) -> None:
    tokens = torch.tensor([[1, 2, 3, 4]])
    free = hf_greedy(tokens, 9)
    eos = int(free[0, 6])
    first = free[0, 4:].tolist().index(eos)
    ours = bare.generate(tokens, max_new_tokens=9, eos_token_id=[eos, 999], do_sample=False, verbose=False)
    assert ours.equal(free[:, : 4 + first + 1])


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
def test_what_does_not_fit_is_refused_before_anything_is_written(
    bare: HookedTransformer, use_past_kv_cache: bool
) -> None:
    tokens = torch.ones(1, 12, dtype=torch.int64)
    options = dict(use_past_kv_cache=use_past_kv_cache, **GREEDY)
    assert bare.generate(tokens, max_new_tokens=6, **options).shape == (1, 18)  # the last one is not read
    expected = r"12 prompt tokens and 7 new ones do not fit into n_ctx = 17; there is room for 6 new tokens"
    with pytest.raises(ValueError, match=expected):
        bare.generate(tokens, max_new_tokens=7, **options)


def test_clear_errors(bare: HookedTransformer, model: HookedTransformer) -> None:
    tokens = torch.tensor([[1, 2]])
    with pytest.raises(ValueError, match="stop_at_eos needs an eos_token_id or a tokenizer that has one; or"):
        bare.generate(tokens, verbose=False)
    with pytest.raises(ValueError, match="padding on the right would stand between a text and its contin"):
        model.generate(TEXTS, padding_side="right")
    with pytest.raises(ValueError, match="return_type = 'text'; it must be 'input', 'str' or 'tokens'"):
        model.generate("the", return_type="text", **GREEDY)
    with pytest.raises(ValueError, match="turning tokens into text needs a tokenizer"):
        bare.generate(tokens, return_type="str", **GREEDY)


# ---------------------------------------------------------------- what comes back


def test_types_in_and_out(model: HookedTransformer) -> None:
    tokens = model.generate("the", return_type="tokens", max_new_tokens=5, **GREEDY)
    assert tokens.shape == (1, 1 + 1 + 5)
    text = model.generate("the", max_new_tokens=5, **GREEDY)
    assert isinstance(text, str)
    assert text.startswith("the")
    assert "<|endoftext|>" not in text
    assert model.generate(model.to_tokens("the"), max_new_tokens=5, **GREEDY).equal(tokens)
    assert model.generate(model.to_tokens("the"), max_new_tokens=5, return_type="str", **GREEDY) == text
    texts = model.generate(TEXTS, max_new_tokens=5, **GREEDY)
    assert [text.startswith(prompt) for text, prompt in zip(texts, TEXTS)] == [True] * 3
    without_bos = model.generate("the", max_new_tokens=5, prepend_bos=False, return_type="tokens", **GREEDY)
    assert without_bos[0, 0] == model.to_single_token("the")


def test_nothing_is_left_of_the_progress_bar_when_it_is_not_wanted(
    bare: HookedTransformer, capsys: pytest.CaptureFixture
) -> None:
    bare.generate(torch.tensor([[1, 2]]), **GREEDY)
    assert capsys.readouterr() == ("", "")
    bare.generate(torch.tensor([[1, 2]]), **{**GREEDY, "verbose": True})
    assert "generating" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 2, 4])
def test_streaming_yields_what_generate_returns(model: HookedTransformer, size: int) -> None:
    prompt = model.to_tokens(TEXTS, padding_side="left")
    whole = model.generate(prompt, max_new_tokens=7, **GREEDY)
    stream = model.generate_stream(
        prompt, max_new_tokens=7, max_tokens_per_yield=size, do_sample=False, stop_at_eos=False
    )
    chunks = list(stream)
    assert [chunk.shape[1] for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert torch.cat([prompt, *chunks], dim=1).equal(whole)


def test_streaming_text(model: HookedTransformer) -> None:
    whole = model.generate("the", max_new_tokens=7, **GREEDY)
    stream = model.generate_stream("the", max_new_tokens=7, do_sample=False, stop_at_eos=False)
    assert "the" + "".join(stream) == whole


def test_streaming_complains_at_once(bare: HookedTransformer) -> None:
    with pytest.raises(ValueError, match="stop_at_eos needs an eos_token_id"):
        bare.generate_stream(torch.tensor([[1, 2]]))


def test_no_gradient_and_no_hook_is_left(bare: HookedTransformer) -> None:
    out = bare.generate(torch.tensor([[1, 2]]), **GREEDY)
    assert not out.requires_grad
    assert torch.is_grad_enabled()
    assert bare.list_hooks() == {}


def test_hooks_take_part_in_generation(bare: HookedTransformer) -> None:
    tokens = torch.tensor([[1, 2, 3]])

    def only_token_9(resid: Tensor, hook: object) -> Tensor:
        return bare.W_E[9].expand_as(resid)

    with bare.hooks(fwd_hooks=[("blocks.2.hook_resid_post", only_token_9)]):
        out = bare.generate(tokens, max_new_tokens=3, **GREEDY)
    answer = bare.unembed(bare.ln_final(bare.W_E[9][None, None])).argmax()
    assert out[0, 3:].tolist() == [answer] * 3


# ---------------------------------------------------------------- sampling


def probs_by_plain_loop(
    logits: list[float],
    top_k: int | None,
    top_p: float | None,
    temperature: float,
    counts: list[int],
    penalty: float,
) -> list[float]:
    logits = [logit / temperature - penalty * count for logit, count in zip(logits, counts)]
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    keep = order if top_k is None else order[:top_k]
    exps = {i: torch.tensor(logits[i], dtype=torch.float64).exp().item() for i in keep}
    total = sum(exps.values())
    if top_p is not None:
        kept, reached = [], 0.0
        for i in keep:
            kept.append(i)
            reached += exps[i] / total
            if reached >= top_p:
                break
        exps = {i: exps[i] for i in kept}
        total = sum(exps.values())
    return [exps.get(i, 0.0) / total for i in range(len(logits))]


@pytest.mark.parametrize("top_k", [None, 1, 3, 99])
@pytest.mark.parametrize("top_p", [None, 0.05, 0.7, 1.0])
@pytest.mark.parametrize("penalty", [0.0, 0.8])
def test_the_distribution_by_plain_loop(top_k: int | None, top_p: float | None, penalty: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    tokens = torch.tensor([[1, 1, 5, 0], [7, 2, 2, 2]])
    probs = next_token_probs(logits, top_k, top_p, 0.7, penalty, tokens)
    for row in range(2):
        counts = [tokens[row].tolist().count(i) for i in range(8)]
        expected = probs_by_plain_loop(logits[row].tolist(), top_k, top_p, 0.7, counts, penalty)
        torch.testing.assert_close(probs[row], torch.tensor(expected, dtype=torch.float64))


def test_samples_follow_the_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, -1)
    drawn = sample_logits(logits, top_k=3).bincount(minlength=4) / 20_000
    assert (drawn - next_token_probs(logits[:1], top_k=3)[0]).abs().max() < 0.015
    assert sample_logits(logits[:1], temperature=0.0).tolist() == [2]


def test_padding_does_not_count_for_the_frequency_penalty() -> None:
    logits, tokens = torch.zeros(1, 3), torch.tensor([[0, 0, 0, 1]])
    mask = torch.tensor([[0, 0, 1, 1]])
    alone = next_token_probs(logits, freq_penalty=1.0, tokens=tokens[:, 2:])
    padded = next_token_probs(logits, freq_penalty=1.0, tokens=tokens, attention_mask=mask)
    assert padded.equal(alone)


def test_a_penalty_stops_repetition(bare: HookedTransformer) -> None:
    torch.manual_seed(0)
    out = bare.generate(
        torch.tensor([[1, 2]]), max_new_tokens=15, freq_penalty=1e4, stop_at_eos=False, verbose=False
    )
    assert len(set(out[0].tolist())) == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=-1.0), "temperature = -1.0; it must be positive"),
        (dict(top_k=0), "top_k = 0; it must be at least 1"),
        (dict(top_p=0.0), "top_p = 0.0; it must be above 0 and at most 1"),
        (dict(top_p=1.5), "top_p = 1.5; it must be above 0"),
        (dict(freq_penalty=1.0), "freq_penalty needs the tokens so far"),
    ],
)
def test_sampling_errors(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_logits(torch.zeros(1, 4), **options)


def test_fill_really_fills() -> None:
    """The tests above rest on weights of order 1."""
    assert all(weight.std() > 0.1 for weight in HF.parameters())
