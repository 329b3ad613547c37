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


def test_the_movers_are_name_movers(solved):
    names, _ = solved
    assert names["raised"] > names["lifted"] + 2
    for head in names["movers"]:
        assert names["copies"][head] >= 0.9
        assert names["attention"](head, names["END_at"], names["IO_at"]) >= 0.5
        assert names["whole_shift"][head][1][names["leader"]] > 0.2  # of its attention, by the query


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
    receivers = [("q", *head) for head in names["movers"]]
    queries = patching.get_path_patch_head_to_heads(*run, receivers)
    assert torch.allclose(1 - queries, names["heard"]["q"], atol=1e-3)
    heads = patching.get_act_patch_attn_head_out_all_pos(
        names["model"], names["flipped_tokens"], names["clean_cache"], names["recovered"]
    )
    assert torch.allclose(heads, names["denoised"], atol=1e-3)


def test_information_goes_from_s2_to_end_and_into_the_queries(solved):
    names, _ = solved
    assert names["elsewhere"].abs().max() < 0.05
    assert names["crossing"] < min(layer for layer, _ in names["movers"])
    assert names["by_query"] > 0.8
    assert names["leader_values"] > 0.8
    assert names["lost_direct"][names["leader"]] < 0.5 * names["denoised"][names["leader"]]
    assert sum(names["paths"][names["leader"], head] for head in names["movers"]) == pytest.approx(
        float(names["heard"]["q"][names["leader"]]), rel=0.6
    )


def test_the_word_is_a_name_and_not_a_place(solved):
    names, _ = solved
    told = names["told"]
    assert told["same giver, other place"][0] == pytest.approx(told["its own"][0], abs=0.05)
    assert told["other giver"][0] < told["its own"][0] - 0.15
    looks = names["abc_looks"]
    assert abs(looks["A"] - looks["B"]) < 0.3
    assert looks["C, who gives"] < 0.15


def test_the_circuit_is_faithful_and_one_metric_is_blind(solved):
    names, _ = solved
    assert 0.7 < names["by_diff"]["+ readers at all names"] < 1.3
    assert 0.8 < names["by_diff"]["+ strikers"] < 1.25
    assert names["by_top"]["+ readers at all names"] > 0.9
    assert names["by_diff"]["movers"] < 0.2
    assert names["by_diff"]["+ readers at S2"] > names["by_height"]["+ readers at S2"] + 0.1
    assert len(names["idle"]) <= 2


def test_strikers_and_those_who_fetch_by_place(solved):
    names, _ = solved
    look, end = names["attention"], names["END_at"]
    assert set(names["strikers"]) - set(names["inhibitors"])
    for head in names["strikers"]:
        assert look(head, end, names["S2_at"]) > 0.9
        assert names["to_s"][head] < -0.5
    for head in names["both_names"]:
        assert max(look(head, end, names[place]) for place in ("A_at", "B_at")) > 0.9
        assert abs(names["to_io"][head] - names["to_s"][head]) < 1


def test_the_circuit_is_complete_and_needs_its_heads(solved):
    names, _ = solved
    scale = names["fresh_case"].clean_diff
    assert max(abs(model - alone) for alone, model in names["rest"].values()) < 0.35 * scale
    assert min(names["needed"].values()) > 0.02
    assert max(names["again"]) - min(names["again"]) < 0.15


def test_edges_say_the_same(solved):
    names, _ = solved
    by_ig, by_eap, by_chance = names["curves"]
    assert max(by_ig.cmd, by_eap.cmd) < by_chance.cmd / 3


def test_the_estimate_ranks_the_heads(solved):
    names, _ = solved
    assert names["together"] > 0.9


def test_the_diagram_holds_what_was_measured(solved):
    names, _ = solved
    nodes = {text for trace in names["diagram"].data if trace.text is not None for text in trace.text}
    heads = {
        names["head_name"](head)
        for role in ("movers", "inhibitors", "readers", "strikers")
        for head in names[role]
    }
    assert nodes == heads | {"IO", "S1", "S2<br>(gives)", "logit of IO<br>minus of S"}
    speaking = {start for start, end, *_ in names["edges"] if start[0] == "inhibit" and end[0] == "move"}
    assert ("inhibit", names["leader"]) in speaking


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
