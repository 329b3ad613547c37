"""The circuit of chapter 06, found edge by edge by a method that knows nothing of roles, on the model that ships."""

from collections.abc import Callable

import pytest
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.analysis import ablation_values, edge_attribution, faithfulness_curve, random_scores
from cleanlens.training import circuit, measure
from cleanlens.training.corpus import ioi_prompts


def preference(answers: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda logits: measure.logit_diffs(logits[:, -1], answers)


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return HookedTransformer.from_pretrained("gpt2-demo", device="cpu")


@pytest.fixture(scope="module")
def scores(model):
    """(EAP, EAP-IG) on 16 prompts."""
    data = ioi_prompts(16, seed=0, aligned=True)
    runs = [measure.ioi_tokens(model, texts.prompts) for texts in (data, data.flipped())]
    metric = preference(measure.answer_tokens(model, data))
    return edge_attribution(model, *runs, metric), edge_attribution(model, *runs, metric, steps=5)


def test_the_circuit_of_the_chapter_comes_out(model, scores):
    roles = circuit.find_roles(circuit.make_case(model, ioi_prompts(100, seed=5, aligned=True)))
    name = {head: f"L{head[0]}H{head[1]}" for heads in roles.values() for head in heads}
    found = {edge for edge, _ in scores[1].top(40)}  # of more than a thousand
    for mover in roles["name mover"][:2]:
        assert f"{name[mover]} -> logits" in found
    told = [(a, b) for a in roles["S-inhibition"] for b in roles["name mover"]]
    assert sum(f"{name[a]} -> {name[b]} q" in found for a, b in told) >= len(told) / 3
    assert not any(f"{name[a]} -> {name[b]} v" in found for a, b in told)


def test_both_ways_of_scoring_edges_beat_chance_by_far(model, scores):
    """One gradient and integrated ones find equally good circuits here: the metric is far from flat at the clean run."""
    data = ioi_prompts(24, seed=1, aligned=True)  # prompts on which nothing was chosen
    tokens, other = (measure.ioi_tokens(model, texts.prompts) for texts in (data, data.flipped()))
    ablated = ablation_values(model, "resample", other)
    metric = preference(measure.answer_tokens(model, data))
    fractions = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    eap, eap_ig, chance = (
        faithfulness_curve(model, tokens, ablated, metric, some, fractions=fractions, connected=True)
        for some in (*scores, random_scores(scores[0].graph))
    )
    assert max(eap_ig.cmd, eap.cmd) < chance.cmd / 3
    assert abs(eap_ig.cmd - eap.cmd) < 0.03
    largest = [curve.faithfulness[-1] for curve in (eap_ig, chance)]
    assert largest[0].low > 0.8 > largest[1].high
