"""The logit lens, direct attribution and examples: against the cache's own algebra, sums that must come out, plain loops."""

import math
from typing import Any

import pytest
import torch
from helpers import random_model, random_tokens, word_tokenizer
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.analysis import (
    direct_logit_attribution,
    logit_lens,
    max_activating_examples,
    singular_directions,
)

LLAMA = {
    "n_key_value_heads": 2,
    "normalization_type": "RMS",
    "positional_embedding_type": "rotary",
    "rotary_dim": 4,
    "d_head": 6,
    "gated_mlp": True,
    "act_fn": "silu",
}


def with_words(**config: Any) -> HookedTransformer:
    """A random model that knows the words of the test tokenizer."""
    tokenizer = word_tokenizer()
    model = random_model(d_vocab=len(tokenizer), d_vocab_out=len(tokenizer), **config)
    model.set_tokenizer(tokenizer)
    return model


@pytest.fixture(params=[{}, LLAMA, {"attn_only": True}], ids=["gpt2", "llama-shaped", "attn-only"])
def model(request: pytest.FixtureRequest) -> HookedTransformer:
    return with_words(**request.param)


def test_the_last_layer_of_the_lens_is_the_model(model: HookedTransformer) -> None:
    tokens = random_tokens(model, 2, 5)
    for scale in ("own", "final"):
        lens = logit_lens(model, tokens, scale=scale)  # type: ignore[arg-type]
        assert lens.logits.shape == (model.cfg.n_layers + 1, 2, 5, model.cfg.d_vocab)
        torch.testing.assert_close(lens.logits[-1], model(tokens), atol=1e-9, rtol=0)
        assert lens.labels[0] == "0_pre"
        assert lens.labels[-1] == "final_post"


def test_each_layer_by_hand(model: HookedTransformer) -> None:
    tokens = random_tokens(model, 2, 5)
    _, cache = model.run_with_cache(tokens)
    own, final = logit_lens(model, tokens), logit_lens(model, tokens, scale="final")
    for layer in range(model.cfg.n_layers):
        resid = cache["resid_pre", layer]
        torch.testing.assert_close(own.logits[layer], model.unembed(model.ln_final(resid)), atol=1e-9, rtol=0)
        centred = resid - resid.mean(-1, keepdim=True) if model.cfg.normalization_type == "LN" else resid
        normalized = centred / cache["ln_final.hook_scale"] * model.ln_final.w
        normalized = normalized + (model.ln_final.b if model.cfg.normalization_type == "LN" else 0)
        torch.testing.assert_close(final.logits[layer], normalized @ model.W_U + model.b_U, atol=1e-9, rtol=0)


def test_what_is_read_off_the_lens() -> None:
    model = with_words()
    lens = logit_lens(model, ["the theMary", "a theMa."])
    assert lens.top(3)[-1][0][0] == model.to_single_str_token(int(lens.logits[-1, 0, -1].argmax()))
    assert lens.rank().shape == lens.loss().shape == (4, 2, lens.tokens.shape[1] - 1)
    answers = lens.logits[2].argmax(-1)
    assert (lens.rank(answers)[2] == 0).all()
    expected = torch.nn.functional.cross_entropy(
        lens.logits[1].flatten(0, 1), answers.flatten(), reduction="none"
    )
    torch.testing.assert_close(lens.loss(answers)[1].flatten(), expected)
    categorical = torch.distributions.Categorical(logits=lens.logits)
    torch.testing.assert_close(lens.entropy(), categorical.entropy())
    frame = lens.to_pandas()
    assert len(frame) == lens.logits[..., 0].numel()
    assert (frame.entropy <= math.log(model.cfg.d_vocab)).all()
    assert len(lens.plot(prompt=1).data) == 1
    with pytest.raises(ValueError, match=r"answers have the shape \[2\]; expected"):
        lens.rank(answers[:, 0])


@pytest.mark.usefixtures("shapes_unchecked")
def test_another_scale_is_told() -> None:
    with pytest.raises(ValueError, match='expected "own" or "final"'):
        logit_lens(random_model(), torch.tensor([[1]]), scale="tuned")  # type: ignore[arg-type]


def test_entropy_with_certainty_and_with_none() -> None:
    model = with_words()
    lens = logit_lens(model, torch.tensor([[1, 2]]))
    lens.logits = torch.full_like(lens.logits, -torch.inf)
    lens.logits[..., 3] = 0
    assert (lens.entropy() == 0).all()
    lens.logits = torch.zeros_like(lens.logits)
    torch.testing.assert_close(lens.entropy(), torch.full_like(lens.entropy(), math.log(model.cfg.d_vocab)))


# ---------------------------------------------------------------- direct attribution


@pytest.mark.parametrize("by", ["component", "head", "neuron"])
def test_shares_add_up_to_the_logit(model: HookedTransformer, by: Any) -> None:
    if by == "neuron" and model.cfg.attn_only:
        pytest.skip("no neurons")
    tokens = random_tokens(model, 3, 5)
    logits, cache = model.run_with_cache(tokens)
    answers, wrong = torch.tensor([3, 8, 1]), torch.tensor([5, 2, 7])
    shares = direct_logit_attribution(cache, answers, wrong, by)
    rows = torch.arange(3)
    expected = logits[rows, -1, answers] - logits[rows, -1, wrong]
    expected = expected - (model.b_U[answers] - model.b_U[wrong])
    if model.cfg.normalization_type == "LN":  # its bias is nobody's
        expected = expected - model.ln_final.b @ (model.W_U[:, answers] - model.W_U[:, wrong])
    assert len(shares.labels) == len(set(shares.labels))
    if by == "neuron":
        assert shares.labels[0].startswith("L0N0")
    torch.testing.assert_close(shares.shares.sum(0), expected, atol=1e-8, rtol=0)


def test_shares_by_position_are_what_attention_brings_from_there(model: HookedTransformer) -> None:
    tokens = random_tokens(model, 2, 5)
    _, cache = model.run_with_cache(tokens)
    by_position = direct_logit_attribution(cache, 3, 8, by="position", pos=3)
    by_head = direct_logit_attribution(cache, 3, 8, by="head", pos=3)
    heads = [i for i, label in enumerate(by_head.labels) if label.startswith("L")]
    assert by_position.labels == ["0", "1", "2", "3", "4"]
    torch.testing.assert_close(by_position.shares.sum(0), by_head.shares[heads].sum(0), atol=1e-9, rtol=0)
    assert (by_position.shares[4] == 0).all()  # nothing comes from later positions


def test_tables_and_figures_of_attribution() -> None:
    model = with_words()
    _, cache = model.run_with_cache(random_tokens(model, 4, 5))
    shares = direct_logit_attribution(cache, " Mary", " a", by="head")
    assert shares.unit == "logit difference"
    assert len(shares.to_pandas()) == len(shares.labels)
    assert shares.top(1)[0][1] == pytest.approx(
        shares.shares.mean(-1)[shares.labels.index(shares.top(1)[0][0])].item()
    )
    assert shares.plot().data[0].z.shape == (3, 4)
    assert len(direct_logit_attribution(cache, " Mary").plot().data) == 1


@pytest.mark.usefixtures("shapes_unchecked")
def test_another_kind_of_part_is_told() -> None:
    model = random_model()
    _, cache = model.run_with_cache(random_tokens(model))
    with pytest.raises(ValueError, match='expected "component", "head", "neuron" or "position"'):
        direct_logit_attribution(cache, 1, by="layer")  # type: ignore[arg-type]


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_texts_with_the_largest_activations(batch_size: int) -> None:
    model = with_words()
    generator = torch.Generator().manual_seed(0)
    texts = [random_tokens(model, 1, 3 + i % 4, seed=i)[0] for i in range(25)]
    best = max_activating_examples(
        model, iter(texts), "blocks.1.mlp.hook_post", 5, k=4, batch_size=batch_size
    )
    by_hand = []
    for text in texts:
        _, cache = model.run_with_cache(text[None])
        by_hand.append(cache["post", 1][0, :, 5].max().item())
    assert [e.value for e in best.examples] == pytest.approx(sorted(by_hand, reverse=True)[:4])
    first = best.examples[0]
    assert first.activations[first.pos] == first.value
    assert f"[{first.tokens[first.pos]}]" in str(first)
    assert list(best.to_pandas().columns) == ["value", "pos", "token", "text"]
    assert "html" in dir(best.plot()) or best.plot() is not None
    direction = torch.randn(model.cfg.d_model, generator=generator, dtype=torch.float64)
    along = max_activating_examples(model, texts, "blocks.0.hook_resid_post", lambda x: x @ direction, k=1)
    assert (
        along.examples[0].value
        >= max((model.run_with_cache(t[None])[1]["resid_post", 0] @ direction).max().item() for t in texts)
        - 1e-9
    )


def test_texts_as_strings_and_heads_entries() -> None:
    model = with_words()
    found = max_activating_examples(
        model, ["the Mary", "a the the", "Ma"], "blocks.0.attn.hook_z", (2, 1), k=10
    )
    assert len(found.examples) == 3
    assert found.examples[0].value >= found.examples[-1].value


def test_bad_requests_are_told() -> None:
    model = with_words()
    with pytest.raises(ValueError, match="k = 0"):
        max_activating_examples(model, ["a"], "hook_embed", 0, k=0)
    with pytest.raises(KeyError, match="no hook point named 'mlp'"):
        max_activating_examples(model, ["a"], "mlp", 0)
    with pytest.raises(ValueError, match="no texts were given"):
        max_activating_examples(model, [], "hook_embed", 0)
    with pytest.raises(ValueError, match=r"`read` made \[\] of it; expected \[batch pos\]"):
        max_activating_examples(model, ["a"], "hook_embed", Tensor.sum)


# ---------------------------------------------------------------- singular directions


@pytest.mark.parametrize("weights", ["OV", "w_in", "w_out"])
def test_singular_directions_are_those_of_numpys_eigenvectors(weights: str) -> None:
    """The oracle: eigenvectors of W^T W, which are the right singular vectors, by another library."""
    import numpy as np

    model = with_words()
    block = model.blocks[1]
    W = {
        "OV": block.attn.W_V[2] @ block.attn.W_O[2],
        "w_in": (block.ln2.w[:, None] * block.mlp.W_in).T,  # type: ignore[operator]
        "w_out": block.mlp.W_out,
    }[weights]
    found = singular_directions(model, weights, 1, head=2 if weights == "OV" else None, n=3)  # type: ignore[arg-type]
    values, vectors = np.linalg.eigh((W.T @ W).detach().numpy())
    strongest = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1][:, :3].T))
    torch.testing.assert_close(
        found.strengths, torch.tensor(values[::-1][:3].copy()).sqrt(), atol=1e-9, rtol=1e-9
    )
    expected = strongest @ model.W_U.detach()
    signs = (found.logits * expected).sum(-1, keepdim=True).sign()
    torch.testing.assert_close(found.logits, signs * expected, atol=1e-8, rtol=1e-8)


def test_the_two_ends_of_a_direction_are_its_largest_and_smallest_logits() -> None:
    model = with_words()
    found = singular_directions(model, "OV", 0, head=1, n=2)
    order = found.logits[1].argsort(descending=True).tolist()
    assert found.top(2)[1] == [model.to_single_str_token(i) for i in order[:2]]
    assert found.bottom(2)[1] == [model.to_single_str_token(i) for i in order[:-3:-1]]
    frame = found.to_pandas(k=2)
    assert list(frame.columns) == ["strength", "top", "bottom"]
    assert frame["strength"].is_monotonic_decreasing
    figure = found.plot(k=4)
    assert list(figure.data[0].text[1]) == found.top(4)[1]
    assert "L0H1 OV" in figure.layout.title.text


def test_singular_directions_say_what_there_is() -> None:
    model = with_words(attn_only=True)
    with pytest.raises(ValueError, match="layer = 9; there are 0 to"):
        singular_directions(model, "OV", 9, head=0)
    with pytest.raises(ValueError, match="head = None; for 'OV'"):
        singular_directions(model, "OV", 0)
    with pytest.raises(ValueError, match="attention only"):
        singular_directions(model, "w_in", 0)
    with pytest.raises(ValueError, match="n = 99; the weight has"):
        singular_directions(model, "OV", 0, head=0, n=99)
    with pytest.raises(ValueError, match="weights = 'QK'"):
        singular_directions(model, "QK", 0, head=0)  # type: ignore[arg-type]
