"""The claims of chapter 03 (induction heads), on the chapter's own code, as shipped and solved."""

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import run_chapter

from cleanlens.course.chapters.ch03 import build_induction_model as check


@pytest.fixture(scope="module")
def chapter():
    names, _ = run_chapter("03", solved=True)
    return SimpleNamespace(**names)


@pytest.mark.slow
def test_as_shipped_it_draws_its_figures_with_the_courses_answers():
    shipped, printed = run_chapter("03", solved=False)
    assert shipped["best"][0] == 1
    for name in ("repeated_tokens", "loss_by_half", "top_heads", "build_induction_model"):
        assert f"{name} is not attempted: a ready-made one stands in for it" in printed
    with pytest.raises(NotImplementedError):
        shipped["induction_score"](torch.zeros(1, 1, 7, 7), 3)


def test_the_first_half_costs_a_guess_and_the_second_almost_nothing(chapter):
    curve = chapter.loss.mean(0)
    assert curve[: chapter.n].mean() == pytest.approx(chapter.guess, abs=0.2)
    assert curve[:2].mean() > chapter.guess - 0.05
    assert curve[chapter.n] > 0.8 * chapter.guess  # the surprise
    assert chapter.second.mean() < 0.4
    assert chapter.second.mean() < 0.2 * math.log(chapter.n)  # better than knowing which tokens occur


def test_the_heads_are_where_the_text_says(chapter):
    assert chapter.prev_head[0] == 0
    assert chapter.prev.max() > 0.85
    assert chapter.best[0] == 1
    assert chapter.induction.max() >= 0.9
    assert chapter.induction[0].max() < 0.1
    assert (
        chapter.induction[1] > 0.5
    ).sum() >= 2  # "there is a lot of induction, and all of it is in one layer"
    assert chapter.duplicate.max() < 0.2
    assert chapter.by_period.min() > 0.7
    assert chapter.at_birth[1:].max() < 0.2


def test_the_diagonals_begin_where_the_text_says():
    n = 5
    square = torch.arange(2 * n + 1)[:, None].expand(-1, 2 * n + 1)  # entry = query
    assert square.diagonal(-(n - 1)).tolist() == list(range(n - 1, 2 * n + 1))
    assert len(square.diagonal(-(n - 1))) == n + 2
    assert square.diagonal(-n).tolist() == list(range(n, 2 * n + 1))


def test_an_indifferent_head_has_the_score_that_is_named(chapter):
    s = 2 * chapter.n + 1
    even = torch.tril(torch.ones(1, 1, s, s)) / torch.arange(1, s + 1)[:, None]
    for score in chapter.positional_scores(even).values():
        assert score.item() == pytest.approx(chapter.indifferent, abs=1e-6)


def test_the_induction_layer_writes_the_answer_and_the_previous_token_head_does_not(chapter):
    layer, head = chapter.prev_head
    assert chapter.attribution[1].sum() > 5
    assert abs(chapter.attribution[layer, head]) < 0.1 * chapter.attribution[1].sum()


def test_a_first_layer_score_does_not_know_the_token_before_its_key(chapter):
    change = (chapter.after - chapter.before).abs()
    assert change[0].max() < 1e-4
    assert change[chapter.best] > 2


def test_the_wire_is_the_key(chapter):
    score, loss = chapter.whole
    assert chapter.by_part["k"][0] < 0.5 * score
    assert chapter.by_part["q"][0] > 0.9 * score
    assert chapter.by_part["v"][0] == pytest.approx(score, abs=1e-4)
    assert chapter.by_part["k"][1] > 2
    assert max(chapter.by_part["q"][1], chapter.by_part["v"][1]) < 0.5
    assert loss < 0.4


def test_the_hand_built_model_is_the_one_that_the_check_runs(chapter):
    weights = {name: value.double() for name, value in chapter.build_induction_model(100, 64).items()}
    ours = check.run_by_hand(weights, chapter.prompt[0])
    logits, cache = chapter.by_hand.run_with_cache(chapter.prompt)
    torch.testing.assert_close(logits[0].double(), ours["logits"], atol=1e-4, rtol=1e-5)
    for layer in (0, 1):
        torch.testing.assert_close(
            cache["pattern", layer][0, 0].double(), ours[f"layer {layer}"], atol=1e-5, rtol=0
        )


def test_the_hand_built_model_works_at_every_length_that_fits(chapter):
    weights = {name: value.double() for name, value in chapter.build_induction_model(40, 64).items()}
    generator = torch.Generator().manual_seed(0)
    for n in range(2, 32):
        tokens = check.prompt(generator, 40, n, prefix=0)
        logits = check.run_by_hand(weights, tokens)["logits"]
        assert (logits[n + 1 : -1].argmax(-1) == tokens[n + 2 :]).all()


def test_the_hand_built_model_pays_more_than_a_guess_on_the_first_half(chapter):
    for name, curve in chapter.hand_losses.items():
        n = int(name.removeprefix("n = "))
        assert curve[:n].mean() > math.log(100)
        assert curve[0] == curve[:n].max()


def test_a_match_of_one_is_not_sharp():
    assert math.e / (math.e + 69) < 0.04


def test_gpt2_demo_has_the_same_circuit_in_the_same_order(chapter):
    assert chapter.demo_scores["induction"].max() > 0.8
    assert chapter.demo_scores["previous-token"].max() > 0.8
    assert chapter.demo_prev[0] < chapter.demo_best[0]
    assert max(chapter.per_mention[1:]) < 0.5 * chapter.per_mention[0]
    assert max(chapter.looks_back) > 0.5


def test_in_the_story_the_second_mention_looks_at_the_next_piece_of_the_first(chapter):
    pieces = chapter.model.to_str_tokens(" Zubiro", prepend_bos=False)
    size = len(pieces)
    first, second, *_ = [
        i for i in range(len(chapter.story_tokens)) if chapter.story_tokens[i : i + size] == pieces
    ]
    layer, head = chapter.best
    pattern = chapter.story_cache["pattern", layer][0, head]
    assert all(pattern[second + i, first + i + 1] > 0.3 for i in range(size - 1))
