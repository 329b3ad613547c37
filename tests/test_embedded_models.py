"""What the embedded models must be able to do, measured on the weights that ship."""

import json
from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from cleanlens import HookedTransformer
from cleanlens.training import measure
from cleanlens.training.corpus import ALIGNED_TEMPLATES, HELD_OUT_TEMPLATES, NAMES, ioi_prompts
from cleanlens.training.recipes import CHECKPOINTS, EMBEDDED, GROW_FROM_STEP, corpus_tokenizer

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


# every period and prefix length, also ones beyond what the training batches held
PERIODS = [(8, 0), (13, 0), (20, 0), (31, 0), (48, 0), (61, 0), (10, 5), (17, 30), (25, 11), (40, 40)]


@pytest.mark.parametrize(("n", "prefix"), PERIODS)
def test_attn_only_has_a_previous_token_head_and_an_induction_head(n, prefix):
    (first, second), previous, induction = repeats(ATTN, n, prefix)
    assert 6.7 < first < 7.6  # log(1023) = 6.93: random tokens cannot be foreseen
    assert second < 0.4
    assert previous.argmax() < 4, "the previous-token head is in layer 0"
    assert previous.max() > 0.9
    assert induction.argmax() >= 4, "the induction heads are in layer 1"
    assert induction.max() > 0.93


def test_attn_only_average_second_repeat_loss():
    losses = [repeats(ATTN, n, prefix)[0][1] for n, prefix in PERIODS]
    assert sum(losses) / len(losses) < 0.3


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


def test_checkpoints_show_the_phase_change():
    labels = json.loads((EMBEDDED / ATTN / "config.json").read_text())["checkpoint_labels"]
    assert labels == CHECKPOINTS
    assert GROW_FROM_STEP in labels
    files = sorted(path.name for path in (EMBEDDED / ATTN / "checkpoints").iterdir())
    assert files == [f"step-{label:06d}.safetensors" for label in labels]
    scores, losses = [], []
    tokens = measure.repeated_prompt(25)
    for label in labels:
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
    assert labels[steepest + 2] - labels[steepest] < 300


def test_the_last_checkpoint_is_the_finished_model():
    last = load_file(EMBEDDED / ATTN / "checkpoints" / f"step-{CHECKPOINTS[-1]:06d}.safetensors")
    finished = load_file(EMBEDDED / ATTN / "model.safetensors")
    assert last.keys() == finished.keys()
    assert all(torch.equal(last[name], finished[name]) for name in last)


# ---------------------------------------------------------------------------------------- gpt2-demo


@pytest.mark.parametrize("order", ["ABBA", "BABA"])
def test_gpt2_identifies_the_indirect_object(order):
    measured = measure.ioi_accuracy(load(GPT2), ioi_prompts(400, seed=11, order=order))
    assert measured["accuracy"] >= 0.99
    assert measured["top1"] >= 0.98
    assert measured["logit_diff"] >= 3


@pytest.mark.parametrize("template", HELD_OUT_TEMPLATES)
def test_gpt2_on_each_held_out_template(template):
    assert measure.ioi_accuracy(load(GPT2), ioi_prompts(60, templates=[template]))["accuracy"] >= 0.95


@pytest.mark.parametrize(("n", "prefix"), [(10, 5), (13, 0), (25, 11), (48, 0), (61, 0)])
def test_gpt2_does_induction_on_random_tokens(n, prefix):
    (first, second), _, induction = repeats(GPT2, n, prefix)
    assert first > 6.7
    assert second < 0.5  # short repeats after other tokens are the hardest; 0.06 on long ones
    assert induction.max() > 0.9


def test_gpt2_circuit_is_legible():
    model = load(GPT2)
    data = ioi_prompts(100, seed=5, aligned=True)
    heads, mlps = measure.direct_attribution(model, data)
    total = measure.ioi_accuracy(model, data)["logit_diff"]
    # Few heads write the answer: the best four carry most of the logit difference.
    assert heads.flatten().topk(4).values.sum() > 0.6 * total
    assert mlps.abs().max() < heads.max()
    # Some heads matter without writing it: the indirect part.
    lost = measure.ablation(model, data, mean=True)
    indirect = (lost < -0.15 * total) & (heads.abs() < 0.05 * total)
    assert indirect.any()
    # Those that write it look from the last token at the second mention of the subject.
    writers = heads.flatten().topk(4).indices
    assert measure.ioi_attention(model, data)["end to S2"].flatten()[writers].min() > 0.7
    # They do it by writing against the subject; layer 1 has written both names alike.
    (to_io, _), (to_s, _) = measure.direct_to_names(model, data)
    assert to_s.flatten()[writers].max() < -0.5
    assert to_io.flatten()[writers].abs().max() < 0.3
    assert min(to_io[1].sum(), to_s[1].sum()) > 8
    assert (to_io[1].sum() - to_s[1].sum()).abs() < 1
    # Patching one head at a time finds some that undo the corruption, and most that do nothing.
    patched = measure.head_patching(model, data).flatten()
    assert patched.max() > 0.2
    assert (patched.abs() < 0.1).sum() >= 8


def test_gpt2_tells_stories():
    model = load(GPT2)
    text = model.generate("Once upon a time there was a", max_new_tokens=60, do_sample=False, verbose=False)
    sentences = [s for s in text.split(".") if s.strip()]
    assert len(sentences) >= 3
    assert len(set(sentences)) == len(sentences), f"a sentence is said twice: {text}"


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
    assert sum(path.stat().st_size for path in files) < 17e6


def test_aligned_held_out_templates_are_enough_for_the_course():
    assert len(set(ALIGNED_TEMPLATES) & set(HELD_OUT_TEMPLATES)) >= 5
