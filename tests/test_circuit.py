"""The measurements of a circuit, against plain loops and runs with hooks, on the model that ships."""

import pytest
import torch

from cleanlens import HookedTransformer
from cleanlens.training import circuit, measure
from cleanlens.training.corpus import ioi_prompts
from cleanlens.training.plain import plain_prompts, preference


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return HookedTransformer.from_pretrained("gpt2-demo", device="cpu")


@pytest.fixture(scope="module")
def case(model) -> circuit.Case:
    return circuit.make_case(model, ioi_prompts(12, seed=3, aligned=True))


def test_places_are_where_the_names_are(model, case):
    words = [model.to_str_tokens(row) for row in case.tokens]
    for i, (io, s) in enumerate(zip(case.data.io, case.data.s)):
        assert words[i][case.at["IO"][i]] == f" {io}"
        assert words[i][case.at["S1"][i]] == words[i][case.at["S2"][i]] == f" {s}"
        assert case.at["S1"][i] < case.at["S2"][i] < case.at["end"][i] == len(words[i]) - 1
        assert case.at["A"][i] < case.at["B"][i] < case.at["S2"][i]


def test_places_of_names_that_begin_a_text(model):
    """There the name is another token, without the space."""
    for prompt in plain_prompts(["{A} met {B}, and {S} gave a ball to"], pairs=6):
        [(tokens, answers)] = measure.plain_tokens(model, [prompt])
        found = measure.places(tokens, answers)
        first, second = (found.io, found.s1) if prompt.order == "ABBA" else (found.s1, found.io)
        assert (first.item(), second.item()) == (1, 3)
        assert model.to_str_tokens(tokens[0])[found.s2.item()] == f" {prompt.s}"


def test_the_whole_model_is_a_faithful_circuit_of_itself(case):
    cfg = case.model.cfg
    everywhere = torch.ones(cfg.n_layers, *case.tokens.shape, cfg.n_heads, dtype=torch.bool)
    assert circuit.diff_with(case, everywhere) == pytest.approx(case.clean_diff, abs=1e-4)
    assert circuit.faithfulness(case, {}) == pytest.approx(
        circuit.diff_with(case, ~everywhere) / case.clean_diff, abs=1e-6
    )


def test_kept_is_one_place_per_prompt(case):
    keep = circuit.kept(case, {"movers": [((2, 1), "end"), ((1, 0), "S1+1")]})
    assert keep.sum() == 2 * len(case.tokens)
    assert keep[2, :, -1, 1].all()
    assert all(keep[1, i, position, 0] for i, position in enumerate(case.at["S1+1"]))
    assert circuit.kept(case, {"m": [((2, 1), "end")]}, without=[((2, 1), "end")]).sum() == 0


def test_means_are_those_of_the_same_template(case):
    means, templates = circuit.abc_means(case), case.data.template_ids
    _, cache = case.model.run_with_cache(case.abc)
    z = cache["blocks.1.attn.hook_z"]
    for i, template in enumerate(templates):
        same = [j for j, other in enumerate(templates) if other == template]
        torch.testing.assert_close(means[1][i], z[same].mean(0))


def test_query_shift_is_path_patching_into_the_query(model, case):
    """Against the library's own forward pass with a hook on the query's input."""
    mover, sender = (model.cfg.n_layers - 1, 1), (model.cfg.n_layers - 2, 0)
    whole, shift = circuit.query_shift(case, mover)
    rows = torch.arange(len(case.tokens))
    _, other = model.run_with_cache(case.flipped)
    _, clean = model.run_with_cache(case.tokens)

    def preference_of(pattern):
        seen = pattern[:, mover[1], -1]
        return (seen[rows, case.at["IO"]] - seen[rows, case.at["S1"]]).mean().item()

    assert whole == pytest.approx(preference_of(clean["pattern", mover[0]]), abs=1e-5)
    change = (other["z", sender[0]] - clean["z", sender[0]])[:, -1, sender[1]] @ model.W_O[sender]
    stream = clean["resid_pre", mover[0]].clone()
    stream[:, -1] += change
    block = model.blocks[mover[0]]
    q = (block.ln1(stream)[:, -1] @ block.attn.W_Q[mover[1]] + block.attn.b_Q[mover[1]])[:, None]

    def replace_query(value, hook):
        value[:, -1:, mover[1]] = q
        return value

    seen = {}
    model.run_with_hooks(
        case.tokens,
        fwd_hooks=[
            (f"blocks.{mover[0]}.attn.hook_q", replace_query),
            (f"blocks.{mover[0]}.attn.hook_pattern", lambda p, hook: seen.update(p=p.clone())),
        ],
    )
    assert shift[sender] == pytest.approx(whole - preference_of(seen["p"]), abs=1e-5)
    assert (shift[mover[0] :] == 0).all()  # nobody there can reach it


def test_patching_nothing_changes_no_attention(case):
    """A head that comes after the mover cannot move its attention."""
    mover = (1, 0)
    untouched = circuit.attention_when_patched(case, (3, 1), mover)
    attention = measure.role_attention(case.model, case.tokens, case.answers)
    assert untouched == pytest.approx(
        (attention["end to IO"][mover].item(), attention["end to S1"][mover].item())
    )


def test_copy_scores_against_a_loop(model, case):
    scores = measure.copy_scores(model, case.tokens, case.at["IO"])
    layer, head = 4, 2
    copied = 0
    for tokens, at in zip(case.tokens, case.at["IO"]):
        _, cache = model.run_with_cache(tokens[None])
        x = model.blocks[layer].ln1(cache["resid_post", 0])[0, at]
        out = (x @ model.W_V[layer, head] + model.blocks[layer].attn.b_V[head]) @ model.W_O[layer, head]
        logits = model.unembed(model.ln_final(out[None, None]))[0, 0]
        copied += tokens[at] in logits.topk(5).indices
    assert scores[layer, head] == pytest.approx(copied / len(case.tokens))


def test_denoising_every_position_of_a_role_gives_the_library_s_numbers(case):
    from cleanlens import patching

    _, clean = case.model.run_with_cache(case.tokens)
    whole, flipped = case.clean_diff, circuit.difference(case, case.model(case.flipped))

    def metric(logits):
        return torch.tensor((circuit.difference(case, logits) - flipped) / (whole - flipped))

    swept = patching.get_act_patch_attn_head_out_by_pos(case.model, case.flipped, clean, metric)
    column = int(case.at["S2"][0])
    torch.testing.assert_close(
        circuit.heads_by_position(case, "S2"),
        swept[:, column].reshape(case.model.cfg.n_layers, -1),
        atol=2e-3,
        rtol=0,
    )


def test_a_sentence_of_your_own_warns_about_names_in_pieces(model):
    with pytest.warns(UserWarning, match="'Zubiro' is . tokens here"):
        preference(model, "Mary met Zubiro, and Mary gave a ball to", "Zubiro", "Mary")
