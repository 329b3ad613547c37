"""Numbers that published notebooks print for GPT-2 small. They need its weights: `pytest --network`."""

import pytest
import torch
from torch import Tensor

from cleanlens import HookedTransformer, utils

pytestmark = pytest.mark.network

PARAGRAPH = """## Loading Models

HookedTransformer comes loaded with >40 open source GPT-style models. You can load any of them in with `HookedTransformer.from_pretrained(MODEL_NAME)`. See my explainer for documentation of all supported models, and this table for hyper-parameters and the name used to load them. Each model is loaded into the consistent HookedTransformer architecture, designed to be clean, consistent and interpretability-friendly.

For this demo notebook we'll look at GPT-2 Small, an 80M parameter model. To try the model the model out, let's find the loss on this paragraph!"""
CAPITALS = "Natural language processing tasks, such as question answering, machine translation, reading comprehension, and summarization, are typically approached with supervised learning on taskspecific datasets."
CLEAN = "After John and Mary went to the store, Mary gave a bottle of milk to"
CORRUPTED = "After John and Mary went to the store, John gave a bottle of milk to"


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return HookedTransformer.from_pretrained("gpt2-small", device="cpu")


def difference(model: HookedTransformer, logits: Tensor, answer: str, wrong: str) -> float:
    last = logits[0, -1]
    return (last[model.to_single_token(answer)] - last[model.to_single_token(wrong)]).item()


def test_loss_on_the_demo_paragraph(model: HookedTransformer) -> None:
    assert model(PARAGRAPH, return_type="loss").item() == pytest.approx(4.1758, abs=2e-4)


def test_ablating_the_values_of_a_head(model: HookedTransformer) -> None:
    tokens = model.to_tokens(CAPITALS)

    def ablate(v: Tensor, hook: object) -> Tensor:
        v[:, :, 8] = 0.0
        return v

    assert model(tokens, return_type="loss").item() == pytest.approx(3.999, abs=1e-3)
    ablated = model.run_with_hooks(
        tokens, return_type="loss", fwd_hooks=[(utils.get_act_name("v", 0), ablate)]
    )
    assert ablated.item() == pytest.approx(5.453, abs=1e-3)


def test_the_logit_difference_of_indirect_objects(model: HookedTransformer) -> None:
    assert difference(model, model(CLEAN), " John", " Mary") == pytest.approx(4.276, abs=1e-3)
    assert difference(model, model(CORRUPTED), " John", " Mary") == pytest.approx(-2.738, abs=1e-3)


def test_the_beginning_of_sequence_matters(model: HookedTransformer) -> None:
    text = "Claire and Mary went to the shops, then Mary gave a bottle of milk to"
    with_bos = difference(model, model(text, prepend_bos=True), " Claire", " Mary")
    without = difference(model, model(text, prepend_bos=False), " Claire", " Mary")
    assert with_bos == pytest.approx(6.754, abs=1e-3)
    assert without == pytest.approx(2.782, abs=1e-3)


def test_the_unembedding_bias(model: HookedTransformer) -> None:
    assert model.b_U[model.to_single_token(" John")].item() == pytest.approx(2.8995, abs=1e-4)
    assert model.b_U[model.to_single_token(" Mary")].item() == pytest.approx(1.6034, abs=1e-4)


@pytest.mark.parametrize(("gap", "expected"), [("", 3.552), (" ", 2.7098)], ids=["one space", "two spaces"])
def test_the_mean_logit_difference_of_eight_prompts(
    model: HookedTransformer, gap: str, expected: float
) -> None:
    """Published notebooks print 3.5519 to 3.5521; one whose prompts have two spaces before the name, 2.7098."""
    formats = [
        "When John and Mary went to the shops,{} gave the bag to",
        "When Tom and James went to the park,{} gave the ball to",
        "When Dan and Sid went to the shops,{} gave an apple to",
        "After Martin and Amy went to the park,{} gave a drink to",
    ]
    names = [(" Mary", " John"), (" Tom", " James"), (" Dan", " Sid"), (" Martin", " Amy")]
    differences = [
        difference(model, model(template.format(gap + subject)), answer, subject)
        for template, pair in zip(formats, names)
        for answer, subject in (pair, pair[::-1])
    ]
    assert sum(differences) / 8 == pytest.approx(expected, abs=2e-3)


def test_l5h5_is_an_induction_head(model: HookedTransformer) -> None:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(100, 20_000, (4, 50), generator=generator)
    bos = torch.full((4, 1), model.tokenizer.bos_token_id)
    _, cache = model.run_with_cache(
        torch.cat([bos, half, half], dim=1), names_filter="blocks.5.attn.hook_pattern"
    )
    stripe = cache["pattern", 5].diagonal(offset=1 - 50, dim1=-2, dim2=-1)[
        ..., 1:
    ]  # what came after, last time
    assert stripe.mean(dim=(0, -1)).argmax() == 5
    assert stripe[:, 5].mean() > 0.8
