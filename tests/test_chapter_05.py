"""Chapter 05: its text runs as shipped and with the solutions, and what it says about the models is so."""

import pytest
from helpers import run_chapter


@pytest.fixture(scope="module")
def solved() -> tuple[dict, str]:
    return run_chapter("05", solved=True)


@pytest.mark.slow
def test_runs_as_shipped():
    names, printed = run_chapter("05", solved=False)
    assert "stands in for it" in printed
    assert names["missing"] == ["05.1", "05.2", "05.3"]


def test_runs_with_the_solutions(solved):
    names, printed = solved
    assert names["missing"] == []
    assert "stands in for it" not in printed
    assert "not attempted" not in printed


def test_positions_alone_make_the_previous_token_head(solved):
    names, _ = solved
    assert names["on_stripe"] > 0.8
    assert names["largest_gap"] < 0.15  # the model's own pattern agrees with the one read from the weights
    assert names["others"].argmax() == names["prev_head"][1]


def test_induction_is_the_embedding_against_the_previous_token_head(solved):
    names, _ = solved
    assert names["share"] > 0.4
    assert names["finds_itself"][names["prev_head"][1]].min() > 0.8


def test_induction_heads_copy(solved):
    names, _ = solved
    assert names["copying"].min() > 0.5
    assert names["together"] > 0.95
    assert names["ind_copying"].min() > 0.9
    assert (names["eigenvalues"][names["ind_head"]].real > 0).float().mean() > 0.9


def test_composition_scores_stand_out_from_chance(solved):
    names, _ = solved
    k_scores, prev = names["k_scores"], names["prev_head"][1]
    others = [h for h in range(names["cfg"].n_heads) if h != prev]
    assert k_scores[prev].min() > k_scores[others].mean()
    assert k_scores[prev].min() > names["high"]
    assert abs(names["baseline"].mean() - names["cfg"].d_model ** -0.5) < 0.01


def test_without_the_previous_token_head_induction_is_gone(solved):
    names, _ = solved
    assert names["without_prev"] > 3
    assert names["losses"]["nothing"] < 0.5
