"""Chapter 07: its text runs as shipped and with the solutions, and what it says about the models is so."""

import math

import pytest
import torch
from helpers import run_chapter


@pytest.fixture(scope="module", autouse=True)
def short_live_run():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEANLENS_LIVE_STEPS", "12")
        yield


@pytest.fixture(scope="module")
def solved() -> tuple[dict, str]:
    return run_chapter("07", solved=True)


@pytest.mark.slow
def test_runs_as_shipped():
    _, printed = run_chapter("07", solved=False)
    assert "stands in for it" in printed


def test_runs_with_the_solutions(solved):
    _, printed = solved
    assert "stands in for it" not in printed
    assert "not attempted" not in printed


def test_the_first_repeat_stays_at_chance_and_the_second_falls_at_once(solved):
    names, _ = solved
    assert (names["first_loss"][1:] - math.log(names["cfg"].d_vocab - 1)).abs().max() < 0.5
    assert names["second_loss"][-1] < 0.5
    assert names["share"] > 0.25  # of the whole fall, between two checkpoints


def test_loss_and_heads_change_together(solved):
    names, _ = solved
    assert max(names["when"].values()) < 1.5 * min(names["when"].values())
    assert max(names["halves"].values()) < 2 * min(names["halves"].values())
    assert names["damage_curve"][0].abs() < 0.2
    assert names["damage_curve"][-1] > 2


def test_induction_does_not_wait_for_a_finished_previous_token_head(solved):
    names, _ = solved
    at = int((names["ind_curve"] > 0.5).int().argmax())
    assert names["prev_curve"][at] < 0.75 * names["prev_curve"][-1]


def test_the_bag_of_tokens_is_learned_before_their_order(solved):
    names, _ = solved
    before = names["before"]
    assert names["ind_curves"][before].max() < 0.1
    assert names["gain"] > 0.3
    assert names["bag"][before] > 1.3 * names["bag"][0]
    assert names["selectivity"][before] < 3
    assert names["selectivity"][-1] > 15


def test_one_length_is_one_offset(solved):
    names, _ = solved
    assert names["one_length"].argmax() == 16
    assert names["all_lengths"].max() < 0.2


def test_a_grown_model_is_the_same_function(solved):
    names, _ = solved
    assert torch.equal(names["small_logits"], names["big_logits"])


def test_growing_keeps_induction_and_adds_indirect_objects(solved):
    names, _ = solved
    assert names["grown"]["induction"].min() > 0.8
    assert names["grown"]["ioi_accuracy"][0] < 0.6
    assert names["grown"]["ioi_accuracy"][-1] > 0.9


def test_the_shortened_live_run_says_so(solved):
    names, _ = solved
    assert names["live_steps"][-1] == 12
    assert not names["caught"]
