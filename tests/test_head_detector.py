"""Head detection against patterns written out by hand and plain loops; evals on models that know the answer."""

import pytest
import torch

from cleanlens import HookedTransformer, evals
from cleanlens.head_detector import PATTERNS, detect_head


@pytest.fixture(scope="module")
def model():
    return HookedTransformer.from_pretrained("attn-only-2l-demo", device="cpu")


TEXT = " Mary and Tom saw Mary and Tom"


def test_patterns_of_a_repeated_text():
    tokens = torch.tensor([9, 4, 5, 4, 5])
    previous = torch.zeros(5, 5)
    duplicate, induction = previous.clone(), previous.clone()
    for query in range(5):
        for key in range(query):
            previous[query, key] = key == query - 1
            duplicate[query, key] = tokens[key] == tokens[query]
            induction[query, key] = key > 0 and tokens[key - 1] == tokens[query]
    assert PATTERNS["previous_token_head"](tokens).equal(previous)
    assert PATTERNS["duplicate_token_head"](tokens).equal(duplicate)
    assert PATTERNS["induction_head"](tokens).equal(induction)


def test_finds_the_previous_token_head_by_either_measure(model):
    for measure in ("mul", "abs"):
        scores = detect_head(model, TEXT, "previous_token_head", error_measure=measure)
        assert scores.shape == (2, 4)
        assert scores.argmax() == 3
        assert scores[0, 3] > 0.7


def test_finds_induction_heads(model):
    wanted = detect_head(model, TEXT, "induction_head", exclude_bos=True, exclude_current_token=True)
    assert wanted[1].max() > wanted[0].max()


@pytest.mark.parametrize("exclude_bos", [False, True])
@pytest.mark.parametrize("exclude_current_token", [False, True])
def test_measures_against_plain_loops(model, exclude_bos, exclude_current_token):
    tokens = model.to_tokens(TEXT)
    n = tokens.shape[1]
    wanted = torch.rand(n, n).tril()
    options = dict(exclude_bos=exclude_bos, exclude_current_token=exclude_current_token)
    mul = detect_head(model, TEXT, wanted, error_measure="mul", **options)
    absolute = detect_head(model, TEXT, wanted, error_measure="abs", **options)
    _, cache = model.run_with_cache(tokens, remove_batch_dim=True)
    for layer in range(2):
        for head in range(4):
            inside = total = difference = 0.0
            for query in range(n):
                for key in range(n):
                    if (exclude_bos and key == 0) or (exclude_current_token and key == query):
                        continue
                    p, w = cache["pattern", layer][head, query, key].item(), wanted[query, key].item()
                    inside, total, difference = inside + p * w, total + p, difference + abs(p - w)
            assert mul[layer, head].item() == pytest.approx(inside / total, rel=1e-4)
            assert absolute[layer, head].item() == pytest.approx(1 - difference / n, rel=1e-4)


def test_several_texts_are_averaged_and_heads_chosen(model):
    other = " Tom gave Mary a ball"
    both = detect_head(model, [TEXT, other], "previous_token_head")
    single = [detect_head(model, text, "previous_token_head") for text in (TEXT, other)]
    torch.testing.assert_close(both, torch.stack(single).mean(0))
    chosen = detect_head(model, TEXT, "previous_token_head", heads=[(0, 1), (1, 2)])
    assert (chosen == -1).sum() == 6
    assert detect_head(model, TEXT, "previous_token_head", heads={0: [1], 1: [2]}).equal(chosen)
    _, cache = model.run_with_cache(TEXT, remove_batch_dim=True)
    assert detect_head(model, TEXT, "previous_token_head", cache=cache).equal(single[0])


def test_errors(model):
    with pytest.raises(ValueError, match="'nobody' is none of"):
        detect_head(model, TEXT, "nobody")
    with pytest.raises(ValueError, match="it must be 'abs' or 'mul'"):
        detect_head(model, TEXT, "induction_head", error_measure="square")
    with pytest.raises(ValueError, match="with nothing above the diagonal"):
        detect_head(model, TEXT, torch.ones(3, 3))


def test_induction_loss_is_low_only_with_induction_heads(model):
    torch.manual_seed(0)
    assert evals.induction_loss(model, subseq_len=50) < 0.5
    untrained = HookedTransformer.from_pretrained("attn-only-2l-demo", checkpoint_index=0, device="cpu")
    assert evals.induction_loss(untrained, subseq_len=50) > 6
    with pytest.raises(ValueError, match=r"n_ctx is 128. Give subseq_len=63 or less"):
        evals.induction_loss(model)
