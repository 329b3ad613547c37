"""Chapter 06: its text runs as shipped and with the solutions, and what it says about the model's circuit is so."""

import pytest
import torch
from helpers import run_chapter

from cleanlens import HookedTransformer, patching


@pytest.fixture(scope="module")
def solved() -> tuple[dict, str]:
    return run_chapter("06", solved=True)


@pytest.mark.slow
def test_runs_as_shipped():
    _, printed = run_chapter("06", solved=False)
    assert "stands in for it" in printed


def test_runs_with_the_solutions(solved):
    _, printed = solved
    assert "stands in for it" not in printed
    assert "not attempted" not in printed


def test_both_names_rise_and_one_falls(solved):
    names, _ = solved
    before = names["before_two"]
    assert min(names["lens_io"][before], names["lens_s"][before]) > 4
    assert names["lens_io"][-1] - names["lens_s"][-1] > 4
    assert set(names["fetchers"]) == set(names["of_A"] + names["of_B"])


def test_the_shares_add_up_to_the_logit_difference(solved):
    names, _ = solved
    parts = (names["parts"] * names["u"]).sum(-1).mean(-1).sum()
    bias = (names["model"].b_U[names["answers"][:, 0]] - names["model"].b_U[names["answers"][:, 1]]).mean()
    assert abs(parts + bias - names["clean_diff"]) < 0.02


def test_the_chain_is_the_librarys_too(solved):
    """The learner's functions (here the solutions) and the library's agree on the real model."""
    names, _ = solved
    run = names["run"]
    logits = patching.get_path_patch_head_to_logits(*run)
    assert torch.allclose(1 - logits, names["lost_direct"], atol=1e-3)
    receivers = [("v", *head) for head in names["strikers"]]
    values = patching.get_path_patch_head_to_heads(*run, receivers)
    assert torch.allclose(1 - values, names["heard"]["v"], atol=1e-3)
    heads = patching.get_act_patch_attn_head_out_all_pos(
        names["model"], names["flipped_tokens"], names["clean_cache"], names["recovered"]
    )
    assert torch.allclose(heads, names["denoised"], atol=1e-3)


def test_information_goes_from_s2_to_end_through_values(solved):
    names, _ = solved
    assert names["elsewhere"].abs().max() < 0.05
    assert names["through_values"] > 0.8
    assert names["lost_direct"][[head[0] for head in names["markers"]]].abs().max() < 0.03
    paths = names["paths"]
    alone = sum(loss for (sender, _), loss in paths.items() if sender == names["markers"][0])
    assert alone == pytest.approx(float(names["heard"]["v"][names["markers"][0]]), rel=0.5)


def test_no_repetition_is_noticed(solved):
    names, _ = solved
    assert min(names["A_up"], names["B_up"]) > 4
    assert names["C_up"] < -2


def test_the_circuit_is_faithful_and_one_metric_is_blind(solved):
    names, _ = solved
    assert 0.8 < names["by_diff"]["+ fetchers"] < 1.3
    assert names["by_top"]["+ fetchers"] > 0.9
    assert names["by_diff"]["+ markers"] > 0.8
    assert names["by_top"]["+ markers"] < 0.4
    assert len(names["idle"]) <= 2


def test_the_estimate_ranks_the_heads(solved):
    names, _ = solved
    assert names["together"] > 0.9


def test_the_diagram_holds_what_was_measured(solved):
    names, _ = solved
    nodes = {text for trace in names["diagram"].data if trace.text is not None for text in trace.text}
    heads = {names["head_name"](head) for head in names["found"] + names["markers"]}
    assert nodes == heads | {"A", "B", "S2<br>(gives)", "logit<br>of IO", "logit<br>of S"}
    from_markers = {start for start, *_ in names["edges"] if start[0] == "mark"}
    assert from_markers == {("mark", head) for head in names["markers"]}


def test_the_survey_of_another_model_runs(solved):
    """What the last section does on GPT-2 small, on the model at hand."""
    names, _ = solved
    with torch.no_grad():
        numbers = names["survey"](names["model"])
    cfg = names["cfg"]
    assert numbers["logit difference"] > 1
    for name in ("shares", "heads", "patterns", "values", "to logits", "estimate"):
        assert numbers[name].shape == (cfg.n_layers, cfg.n_heads)
        assert numbers[name].isfinite().all()
    assert (
        torch.corrcoef(torch.stack([numbers["heads"].flatten(), numbers["estimate"].flatten()]))[0, 1] > 0.8
    )


@pytest.mark.network
def test_the_survey_of_gpt2_small_gives_the_published_numbers(solved):
    names, _ = solved
    with torch.no_grad():
        numbers = names["survey"](HookedTransformer.from_pretrained("gpt2-small", device="cpu"))
    assert numbers["logit difference"].item() == pytest.approx(2.7098, abs=2e-3)
    assert divmod(numbers["shares"].argmax().item(), 12) in [(9, 9), (9, 6)]  # name movers
    assert divmod(numbers["shares"].argmin().item(), 12) in [(10, 7), (11, 10)]  # negative name movers
