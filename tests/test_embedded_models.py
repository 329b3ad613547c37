"""What the embedded models must be able to do, measured on the weights that ship."""

import json
import zlib
from functools import cache

import pytest
import torch

from cleanlens import HookedTransformer
from cleanlens.training import circuit, measure
from cleanlens.training.corpus import ALIGNED_TEMPLATES, HELD_OUT_TEMPLATES, ioi_prompts
from cleanlens.training.plain import SENTENCES, plain_accuracy, plain_logit_diffs, plain_prompts
from cleanlens.training.recipes import ATTN_ONLY, CHECKPOINTS, EMBEDDED, GROW_FROM_STEP, corpus_tokenizer
from cleanlens.training.words import NAMES

ATTN, GPT2 = "attn-only-2l-demo", "gpt2-demo"


@cache
def load(name: str, **kwargs) -> HookedTransformer:
    return HookedTransformer.from_pretrained(name, device="cpu", **kwargs)


@cache
def repeats(name: str, n: int, prefix: int = 0):
    """(losses on both repeats, previous-token scores, induction scores) of a model."""
    tokens = measure.repeated_prompt(n, prefix=prefix)
    pattern = measure.patterns(load(name), tokens)
    scores = measure.previous_token_scores(pattern), measure.induction_scores(pattern, n, prefix)
    return measure.repeat_losses(load(name), tokens, n, prefix), *scores


# periods and prefix lengths of every kind, also beyond what the training batches held
PERIODS = [
    (8, 0),
    (13, 0),
    (20, 0),
    (31, 0),
    (48, 0),
    (61, 0),
    (8, 90),
    (10, 5),
    (17, 30),
    (25, 11),
    (40, 40),
    (48, 21),
]


@pytest.mark.parametrize(("n", "prefix"), PERIODS)
@pytest.mark.parametrize("name", [ATTN, GPT2])
def test_induction_on_random_tokens(name, n, prefix):
    (first, second), previous, induction = repeats(name, n, prefix)
    assert 8.2 < first < 8.8  # log(4095) = 8.32: random tokens cannot be foreseen
    assert previous.max() >= 0.85
    assert previous.argmax() < load(name).cfg.n_heads, "the previous-token head is in layer 0"
    assert induction.max() >= 0.9
    assert induction.argmax() >= load(name).cfg.n_heads, "the induction heads come after"
    if 8 <= n <= 48:
        assert second <= 0.3


def test_ablating_the_previous_token_head_destroys_induction():
    n = 25
    model, tokens = load(ATTN), measure.repeated_prompt(25)
    (_, second), previous, _ = repeats(ATTN, n)
    layer, head = divmod(previous.argmax().item(), model.cfg.n_heads)
    other = next(h for h in range(model.cfg.n_heads) if h != head)

    def second_loss(head):
        logits = measure.with_head(model, tokens, layer, head, torch.zeros(1, 1, model.cfg.d_head))
        return model.loss_fn(logits, tokens, per_token=True)[:, n + 1 :].mean().item()

    assert second_loss(head) > 4 > 1 > second
    assert second_loss(head) > 2 * second_loss(other)  # it is this head's doing


def test_checkpoints_are_there():
    labels = json.loads((EMBEDDED / ATTN / "config.json").read_text())["checkpoint_labels"]
    assert labels == CHECKPOINTS
    files = sorted(path.name for path in (EMBEDDED / ATTN / "checkpoints").iterdir())
    assert files == [f"step-{label:06d}.safetensors" for label in labels[:-1]]
    # The last one is the finished model.
    last = HookedTransformer.from_pretrained(ATTN, checkpoint_index=-1, device="cpu")
    assert last.cfg.checkpoint_value == labels[-1]
    assert all(torch.equal(a, b) for a, b in zip(last.parameters(), load(ATTN).parameters()))


def test_checkpoints_show_the_phase_change():
    """On tokens of the kind that the first stage of the training was about."""
    assert GROW_FROM_STEP in CHECKPOINTS
    scores, losses = [], []
    tokens = measure.repeated_prompt(25, d_vocab=ATTN_ONLY.first_tokens)
    for label in CHECKPOINTS:
        model = HookedTransformer.from_pretrained(ATTN, checkpoint_value=label, device="cpu")
        scores.append(measure.induction_scores(measure.patterns(model, tokens), 25).max().item())
        losses.append(measure.repeat_losses(model, tokens, 25)[1])
    assert scores[0] < 0.1
    assert losses[0] > 6.5
    assert scores[-1] > 0.93
    assert losses[-1] < 0.3
    # More than half of the rise falls between two checkpoints less than 300 steps apart.
    rise = [b - a for a, b in zip(scores, scores[2:])]
    steepest = max(range(len(rise)), key=rise.__getitem__)
    assert rise[steepest] > 0.45
    assert CHECKPOINTS[steepest + 2] - CHECKPOINTS[steepest] < 300


# ---------------------------------------------------------------------------------------- gpt2-demo


@cache
def plain():
    """Accuracy of gpt2-demo on the sentences written by hand, which the grammar cannot make: [sentence, order]."""
    assert len(SENTENCES) >= 20
    return plain_accuracy(load(GPT2))


def test_gpt2_names_the_indirect_object_in_plain_sentences():
    accuracy = plain()
    assert accuracy.mean() >= 0.97
    assert (accuracy.min(1).values >= 0.9).sum() >= 20  # sentences, in each order
    assert accuracy.mean(0).min() >= 0.97  # in neither order is it worse
    assert plain_logit_diffs(load(GPT2), plain_prompts()).mean() >= 3


@pytest.mark.parametrize("order", ["ABBA", "BABA"])
def test_gpt2_identifies_the_indirect_object(order):
    measured = measure.ioi_accuracy(load(GPT2), ioi_prompts(400, seed=11, order=order))
    assert measured["accuracy"] >= 0.99
    assert measured["logit_diff"] >= 3


@pytest.mark.parametrize("order", ["ABBA", "BABA"])
def test_gpt2_on_phrasings_of_which_it_has_read_neither_half(order):
    measured = measure.ioi_accuracy(load(GPT2), ioi_prompts(400, seed=11, templates="novel", order=order))
    assert measured["accuracy"] >= 0.65  # far above chance, far from sure
    assert measured["logit_diff"] >= 2


def test_gpt2_has_the_circuit_of_the_paper():
    """Name movers by the tests of Wang et al., and heads before them that move their queries away from the giver."""
    case = circuit.make_case(load(GPT2), ioi_prompts(100, seed=5, aligned=True))
    roles = circuit.find_roles(case)
    attention = measure.role_attention(case.model, case.tokens, case.answers)
    copies = measure.copy_scores(case.model, case.tokens, case.at["IO"])
    assert len(roles["name mover"]) >= 2
    best = max(roles["name mover"], key=lambda head: attention["end to IO"][head].item())
    assert copies[best] >= 0.9
    assert attention["end to IO"][best] >= 0.5
    assert measure.plain_attention(case.model, plain_prompts(pairs=4))["end to IO"][best] >= 0.5
    [leader, *_] = sorted(roles["S-inhibition"], key=lambda head: -circuit.query_shift(case, best)[1][head])
    assert attention["end to S2"][leader] >= 0.5
    clean = circuit.attention_when_patched(case, leader, best, "S2")  # what it writes at S2 is of no account
    misled = circuit.attention_when_patched(case, leader, best, "end")
    assert clean[0] - misled[0] > 0.1
    assert misled[1] - clean[1] > 0.1
    # These heads and what they read are the circuit.
    found = circuit.assemble(roles)
    assert sum(len(heads) for heads in roles.values()) <= 12
    assert 0.8 < circuit.faithfulness(case, found) < 1.25
    assert circuit.faithfulness(case, {"name mover": found["name mover"]}) < 0.5


@pytest.mark.parametrize("template", HELD_OUT_TEMPLATES)
def test_gpt2_on_each_held_out_template(template):
    assert measure.ioi_accuracy(load(GPT2), ioi_prompts(60, templates=[template]))["accuracy"] >= 0.95


@pytest.mark.parametrize(
    "opening", ["Leo was at home.", "Paul saw Leo near the lake.", "It was the birthday of Ruth's brother."]
)
def test_gpt2_is_not_misled_by_others_in_the_text(opening):
    others = [f"{opening} {text}" for text in SENTENCES]
    assert plain_accuracy(load(GPT2), others, pairs=6).mean() >= 0.85


def test_gpt2_logits_equal_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    theirs, report = transformers.GPT2LMHeadModel.from_pretrained(
        EMBEDDED / GPT2, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.dtype == torch.float32
    tokenizer = transformers.AutoTokenizer.from_pretrained(EMBEDDED / GPT2)
    texts = ioi_prompts(8, aligned=True).prompts
    tokens = torch.tensor(tokenizer([tokenizer.bos_token + text for text in texts])["input_ids"])
    model = load(
        GPT2, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    assert torch.equal(model.to_tokens(texts), tokens)
    expected = theirs(tokens, attention_mask=torch.ones_like(tokens)).logits
    torch.testing.assert_close(model(tokens), expected, rtol=0, atol=2e-4)
    torch.testing.assert_close(
        load(GPT2)(tokens).log_softmax(-1), expected.log_softmax(-1), rtol=0, atol=2e-4
    )


# --------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("name", [ATTN, GPT2])
def test_the_shipped_tokenizer_is_the_recipe_s(name, tmp_path):
    corpus_tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert (tmp_path / "tokenizer.json").read_text() == (EMBEDDED / name / "tokenizer.json").read_text()
    model = load(name)
    assert all(model.to_single_token(f" {person}") for person in NAMES)
    assert model.tokenizer.bos_token_id == model.tokenizer.eos_token_id == model.tokenizer.pad_token_id == 0


def test_the_folders_hold_data_only_and_are_small():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md"}
    packed = sum(len(zlib.compress(path.read_bytes())) for path in files)
    assert packed < 22.5e6  # a wheel under 25 MB


def test_aligned_held_out_templates_are_enough_for_the_course():
    assert len(set(ALIGNED_TEMPLATES) & set(HELD_OUT_TEMPLATES)) >= 5
