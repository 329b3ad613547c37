"""A language model that learned from real text: SmolLM2-135M-Instruct, after `cleanlens fetch smollm2-135m`.

What `transformers` computes with the same file is the oracle for every stage; the heads and figures were first
measured with `transformers` alone.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers import load
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.loading import fetch
from cleanlens.parity.families import StayWide
from cleanlens.training import measure

pytestmark = pytest.mark.real
NAME = "smollm2-135m"
TEXTS = ["The capital of France is", "In 1984, when Mary and John went to the shops, it was raining."]


@pytest.fixture(scope="module", autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    """As people load it: weights processed, float32."""
    return HookedTransformer.from_pretrained(NAME, device="cpu")


@pytest.fixture(scope="module")
def hf_model() -> Any:
    """The same file as transformers reads it, in float64."""
    from transformers import AutoModelForCausalLM

    file = fetch.fetched_gguf(NAME)
    if file is None:
        pytest.skip("the hub's files are here, not the GGUF")
    hf_model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager"
    )
    return hf_model.eval().double()


def test_every_stage_is_that_of_transformers(hf_model: Any) -> None:
    """Residual stream before every layer, attention patterns, logits: in standard deviations, in float64."""
    raw = load(NAME, dtype=torch.float64)
    tokens = raw.to_tokens(TEXTS[1])
    logits, cache = raw.run_with_cache(tokens)
    with StayWide():  # transformers' RMSNorm goes back to float32 otherwise
        theirs = hf_model(tokens, output_hidden_states=True, output_attentions=True)
    pairs = [("logits", logits, theirs.logits)]
    for layer in range(raw.cfg.n_layers):
        pairs.append((f"{layer} residual", cache["resid_pre", layer], theirs.hidden_states[layer]))
        pairs.append((f"{layer} pattern", cache["pattern", layer], theirs.attentions[layer]))
    errors = {stage: ((mine - his).abs().max() / his.std()).item() for stage, mine, his in pairs}
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] < 1e-9, (worst, errors[worst])
    assert len(errors) == 61


def test_processed_weights_give_the_same_probabilities(model: HookedTransformer, hf_model: Any) -> None:
    """fold_ln and center_unembed, in float32."""
    assert model.cfg.normalization_type == "RMSPre"
    tokens = model.to_tokens(TEXTS[1])
    with StayWide():
        theirs = hf_model(tokens).logits.log_softmax(-1)
    ours = model(tokens).log_softmax(-1)
    assert ((ours - theirs).abs().max() / theirs.std()).item() < 5e-5


def test_it_knows_the_capital_of_france(model: HookedTransformer) -> None:
    assert model.to_string(model(TEXTS[0])[0, -1].argmax()) == " Paris"


def test_the_tokenizer_is_the_models_own(model: HookedTransformer) -> None:
    assert model.to_str_tokens("In 1984, Mary") == ["In", " ", "1", "9", "8", "4", ",", " Mary"]
    assert model.cfg.default_prepend_bos is False  # it has never seen a BOS before plain text
    tokenizer = model.tokenizer
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert chat.endswith("<|im_start|>user\nHello<|im_end|>\n")
    assert model.to_tokens(chat)[0, :1].tolist() == [tokenizer.bos_token_id]


def test_induction_and_previous_token_heads(model: HookedTransformer) -> None:
    n = 50
    tokens = measure.repeated_prompt(n, 4, model.cfg.d_vocab)
    patterns = measure.patterns(model, tokens)
    induction = measure.induction_scores(patterns, n)
    for (layer, head), score in {(18, 6): 0.88, (17, 3): 0.69, (17, 4): 0.68}.items():
        assert induction[layer, head].item() == pytest.approx(score, abs=0.1)
    assert divmod(int(induction.argmax()), model.cfg.n_heads) == (18, 6)
    previous = measure.previous_token_scores(patterns)
    for (layer, head), score in {(16, 0): 0.88, (11, 1): 0.83}.items():
        assert previous[layer, head].item() == pytest.approx(score, abs=0.06)
    assert divmod(int(previous.argmax()), model.cfg.n_heads) == (16, 0)
    first, second = measure.repeat_losses(model, tokens, n)
    assert first == pytest.approx(14.1, abs=0.5)
    assert 1 < second < 4.5  # 3.6 on other tokens: it depends on which they are


PAIRS = [
    ("Mary", "John"),
    ("Tom", "James"),
    ("Dan", "Martin"),
    ("Anna", "Kate"),
    ("David", "Paul"),
    ("Lucy", "Mark"),
]
SENTENCES = [
    "When {A} and {B} went to the shops, {S} gave the bag to",
    "After {A} and {B} went to the park, {S} gave a drink to",
    "When {A} and {B} got a letter at the office, {S} gave it to",
    "While {A} and {B} were working at the school, {S} gave a book to",
]


def test_indirect_objects_on_plain_sentences(model: HookedTransformer) -> None:
    right, differences = 0, []
    for sentence in SENTENCES:
        prompts, answers = [], []
        for a, b in PAIRS:
            for subject, io in ((a, b), (b, a)):
                prompts.append(sentence.format(A=a, B=b, S=subject))
                answers.append([model.to_single_token(f" {io}"), model.to_single_token(f" {subject}")])
        difference = measure.logit_diffs(model(prompts)[:, -1], torch.tensor(answers))
        right += int((difference > 0).sum())
        differences.append(difference)
    difference = torch.cat(differences)
    assert right / len(difference) >= 0.99
    assert difference.mean() > 3


def test_generation_with_and_without_the_cache(model: HookedTransformer) -> None:
    options: dict[str, Any] = dict(max_new_tokens=12, do_sample=False, stop_at_eos=False, verbose=False)
    with_cache = model.generate(TEXTS[0], **options)
    assert with_cache == model.generate(TEXTS[0], use_past_kv_cache=False, **options)
    assert with_cache.startswith(f"{TEXTS[0]} Paris")


def test_left_padding_changes_nothing(model: HookedTransformer) -> None:
    together = model(TEXTS, padding_side="left")
    for text, logits in zip(TEXTS, together):
        alone: Tensor = model(text)[0]
        assert ((logits[-len(alone) :] - alone).abs().max() / alone.std()).item() < 5e-5
