"""Chapter 01: what its prose claims, the course's pieces against Hugging Face, and its ending."""

import ast
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from cleanlens import HookedTransformer
from cleanlens.course import build as course_build
from cleanlens.course.catalog import find, outline
from cleanlens.course.chapters.ch01.helpers import (
    PIECES,
    assemble,
    build,
    hooked,
    numbers,
    right_answer,
    transformer,
)
from cleanlens.loading.names import MODELS
from cleanlens.training.corpus import documents

ROOT = Path(__file__).parents[1]
[CHAPTER] = [chapter for chapter in outline() if chapter.id == "01"]
SOLUTIONS = (ROOT / CHAPTER.solutions).read_text()
STUBS = course_build.stub_file(CHAPTER, ROOT)


def run(text: str) -> dict:
    """A notebook's namespace after these definitions."""
    space: dict = {"__name__": "learner"}
    exec(compile(text, "learner", "exec"), space)
    return space


def notebook_function(name: str) -> Callable:
    """A function that the chapter's own text defines; those that it calls are there too."""
    tree = ast.parse((ROOT / CHAPTER.text).read_text())
    tree.body = [
        part for part in tree.body if isinstance(part, ast.Import | ast.ImportFrom | ast.FunctionDef)
    ]
    return run(ast.unparse(tree))[name]


@pytest.fixture(autouse=True)
def no_answers_in_the_exercises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder in which nothing is answered yet; returns its file for this chapter."""
    (tmp_path / "exercises").mkdir()
    (tmp_path / CHAPTER.answers).write_text(STUBS)
    monkeypatch.setenv("CLEANLENS_COURSE", str(tmp_path))
    return tmp_path / CHAPTER.answers


@pytest.fixture(scope="module")
def hugging_face() -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(MODELS / "gpt2-demo").eval().float().requires_grad_(False)


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return HookedTransformer.from_pretrained_no_processing("gpt2-demo").requires_grad_(False)


# ---- the pieces that checks and fallbacks use, against an implementation that nobody here wrote ------------------


def test_the_course_s_pieces_are_gpt2() -> None:
    torch.manual_seed(0)
    sizes = dict(n_embd=12, n_head=3, n_layer=2, n_positions=9, vocab_size=17, n_inner=20)
    theirs = GPT2LMHeadModel(
        GPT2Config(**sizes, tie_word_embeddings=False, attn_implementation="eager")
    ).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.copy_(0.7 * torch.randn_like(weight) + (1.5 if re.search(r"ln_\w\.weight", name) else 0.0))
    theirs = theirs.double()
    mine = build(HookedTransformer.from_pretrained_no_processing(hf_model=theirs).cfg).double()
    convert = notebook_function("from_hugging_face")
    mine.load_state_dict(convert(theirs))
    tokens = torch.randint(17, (3, 7))
    ones = torch.ones_like(tokens)
    torch.testing.assert_close(mine(tokens), theirs(tokens, attention_mask=ones).logits, atol=1e-9, rtol=0)


def test_the_tiny_models_of_the_checks_agree_and_are_hard_to_fool() -> None:
    theirs, mine = hooked(5), transformer(5)
    tokens = torch.randint(17, (2, 9))
    torch.testing.assert_close(theirs(tokens), mine(tokens), atol=1e-4, rtol=1e-4)
    sizes = [10, 3, 4, 14, 12, 17, 2]
    assert len(set(sizes)) == len(sizes)
    for name, weight in mine.named_parameters():
        assert weight.abs().max() > 0.05, f"{name} is nearly zero"


# ---- the ending ----------------------------------------------------------------------------------------------


def assert_matches_and_writes(
    yours: torch.nn.Module, theirs: GPT2LMHeadModel, model: HookedTransformer, space: dict
) -> str:
    """Load the trained weights, compare every logit, write; returns the story."""
    convert = notebook_function("from_hugging_face")
    yours.load_state_dict(convert(theirs))
    yours.requires_grad_(False)
    batch = torch.stack(
        [model.to_tokens(text)[0][:12] for text in documents(40, seed=7) if len(text) > 80][:6]
    )
    logits = theirs(batch, attention_mask=torch.ones_like(batch)).logits
    assert (yours(batch) - logits).abs().max() < 1e-3
    prompt = model.to_tokens("One day Mary went to the park. Mary")
    plain = space["generate"](yours, prompt, 20)
    cached = space["generate_with_cache"](space["forward_with_cache"], yours, prompt, 20)
    assert plain.equal(cached)
    return str(model.to_string(plain[0, 1:]))


def test_the_solved_chapter_ends_with_the_learner_s_own_transformer(hugging_face, model) -> None:
    space = run(SOLUTIONS)
    yours, report = assemble(model.cfg, space)
    assert all(line.endswith(": yours") for line in report)
    assert len(report) == len(PIECES) == 7
    assert type(yours) is space["Transformer"]
    assert type(yours.blocks[0].attn) is space["Attention"]
    story = assert_matches_and_writes(yours, hugging_face, model, space)
    written = re.findall(r"\w+", story.removeprefix("One day Mary went to the park. Mary"))
    known = {word for text in documents(3000, seed=1) for word in re.findall(r"\w+", text)}
    assert len(written) >= 8
    assert sum(word in known for word in written) >= 0.8 * len(written), (
        f"not a story of the toy world: {story!r}"
    )


def test_pieces_that_are_not_attempted_are_named_and_replaced(hugging_face, model) -> None:
    yours, report = assemble(model.cfg, run(STUBS))
    assert all("not attempted; the course's is used" in line for line in report)
    assert_matches_and_writes(yours, hugging_face, model, run(SOLUTIONS))


@pytest.mark.parametrize(
    ("id", "slug", "name"),
    [("01.7", "erf_gelu", "MLP"), ("01.6", "axes_not_moved", "Attention"), ("01.1", "bessel", "LayerNorm")],
)
def test_a_wrong_piece_is_named_with_its_mistake_and_replaced(id, slug, name, hugging_face, model) -> None:
    space = run(SOLUTIONS)
    [mistake] = [mistake for mistake in find(id).mistakes if mistake.slug == slug]
    space[name] = type(name, (space[name],), {"forward": mistake.value})
    yours, report = assemble(model.cfg, space)
    [line] = [line for line in report if not line.endswith(": yours")]
    assert line.startswith(f"{id} {name}: wrong")
    assert mistake.hint in line
    assert not any(isinstance(module, space[name]) for module in yours.modules())
    assert_matches_and_writes(yours, hugging_face, model, run(SOLUTIONS))


def test_an_answer_in_the_file_counts_first(no_answers_in_the_exercises: Path, model) -> None:
    no_answers_in_the_exercises.write_text(SOLUTIONS)
    yours, report = assemble(model.cfg, run(STUBS))
    assert all(line.endswith(": yours") for line in report)
    assert type(yours.blocks[0].mlp).__module__ == "answers_01"
    _, loss = right_answer("loss", run(STUBS))
    assert loss is not None


# ---- claims of the text, on the solved notebook's own functions ----------------------------------------------


@pytest.fixture(scope="module")
def solved() -> dict:
    return run(SOLUTIONS)


def made(solved: dict, name: str, cfg, seed: int):
    """A piece with random weights."""
    randn, piece = numbers(seed), solved[name](cfg)
    with torch.no_grad():
        for weight in piece.parameters():
            weight.copy_(randn(*weight.shape))
    return piece


def test_layer_norm_keeps_the_direction_only(solved: dict) -> None:
    cfg, x = hooked(0).cfg, numbers(1)(2, 3, 10)
    norm = solved["LayerNorm"](cfg)
    torch.testing.assert_close(norm(x), norm(7 * x + 2), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(norm(x).norm(dim=-1), torch.full((2, 3), math.sqrt(10)), atol=1e-3, rtol=0)
    by_hand = solved["LayerNorm"](type("cfg", (), {"d_model": 4, "eps": 1e-5}))(
        torch.tensor([[[1.0, 2, 3, 6]]])
    )
    torch.testing.assert_close(by_hand, torch.tensor([[[-1.069, -0.535, 0, 1.604]]]), atol=1e-3, rtol=0)


def test_the_bias_of_the_keys_does_nothing_and_that_of_the_values_is_an_output_bias(solved: dict) -> None:
    cfg, x = hooked(0).cfg, numbers(1)(2, 5, 10)
    attention = made(solved, "Attention", cfg, 2)
    before = attention(x)
    with torch.no_grad():
        attention.b_K += 5
        torch.testing.assert_close(attention(x), before, atol=1e-3, rtol=1e-3)
        attention.b_O += torch.einsum("he,hed->d", attention.b_V, attention.W_O)
        attention.b_V.zero_()
        torch.testing.assert_close(attention(x), before, atol=1e-3, rtol=1e-3)


def test_the_order_of_earlier_tokens_does_not_matter_to_attention(solved: dict) -> None:
    attention, x = made(solved, "Attention", hooked(0).cfg, 2), numbers(1)(1, 5, 10)
    shuffled = x[:, [2, 0, 3, 1, 4]]
    torch.testing.assert_close(attention(x)[:, -1], attention(shuffled)[:, -1], atol=1e-4, rtol=1e-4)


def test_in_a_second_layer_the_order_does_matter() -> None:
    """Through the causal mask, without any position embedding."""
    model, tokens = transformer(3), torch.tensor([[1, 4, 2, 7, 5]])
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()
        first, second = (
            (model.blocks[0](model.embed(t)), model(t)) for t in (tokens, tokens[:, [2, 0, 3, 1, 4]])
        )
    torch.testing.assert_close(first[0][:, -1], second[0][:, -1], atol=1e-4, rtol=1e-4)
    assert (first[1][:, -1] - second[1][:, -1]).abs().max() > 0.1


def test_when_the_window_slides_every_key_changes(solved: dict) -> None:
    model, tokens = transformer(3), torch.randint(17, (1, 13), generator=torch.Generator().manual_seed(0))
    caches: list[dict] = [{}, {}]
    with torch.no_grad():
        for cache, part in zip(caches, (tokens[:, :12], tokens[:, 1:])):
            solved["forward_with_cache"](model, part, cache)
    for layer in range(2):
        before, after = caches[0][layer][0][:, 1:], caches[1][layer][0][:, :-1]
        assert ((before - after).abs().amax(dim=(0, 2, 3)) > 1e-2).all()


def test_where_the_cost_of_attention_overtakes_that_of_the_weights() -> None:
    d = 768
    for s, weights in ((2 * d, 4), (6 * d, 12)):
        assert 2 * s**2 * d == weights * s * d**2
    assert 6 * d == 4608 > 1024


def test_exponentials_end_at_88(solved: dict) -> None:
    assert torch.tensor(88.0).exp().isfinite()
    assert torch.tensor(89.0).exp().isinf()
    logits = torch.tensor([[[0.0, 110.0], [0.0, 0.0]]])
    assert solved["loss"](logits, torch.tensor([[0, 0]])).item() == pytest.approx(110)


def test_the_examples_worked_by_hand(solved: dict) -> None:
    q, k = torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4)
    q[0, 1, 0, :2], k[0, 0, 0, 0], k[0, 1, 0, :2] = 1, 2, 2
    row = solved["attention_pattern"](q, k)[0, 0, 1]
    torch.testing.assert_close(row, torch.tensor([0.269, 0.731]), atol=1e-3, rtol=0)
    uniform = solved["causal_mask"](torch.zeros(1, 1, 3, 3)).softmax(dim=-1)[0, 0]
    torch.testing.assert_close(uniform, torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]))
    x = torch.linspace(-4, 4, 50)
    gelu = F.gelu(x, approximate="tanh")
    torch.testing.assert_close(gelu - gelu.flip(0), x)
    assert F.gelu(torch.tensor(1.0), approximate="tanh") == pytest.approx(0.8412, abs=1e-4)
    logits = torch.tensor([[[2.0, 0, 0]]]).expand(1, 2, 3)
    for token, expected in ((0, 0.240), (1, 2.240)):
        assert solved["loss"](logits, torch.tensor([[2, token]])).item() == pytest.approx(expected, abs=1e-3)
    nucleus = solved["next_token_probs"](torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), top_p=0.7)
    torch.testing.assert_close(nucleus, torch.tensor([0.625, 0.375, 0, 0]))


def test_nothing_feels_what_comes_after_it(model: HookedTransformer) -> None:
    tokens = torch.randint(1, model.cfg.d_vocab, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % model.cfg.d_vocab
    difference = (model(tokens) - model(changed))[0].abs().amax(dim=-1)
    assert difference[:6].max() < 1e-4
    assert difference[6] > 1e-2


def test_position_neighbours_and_words_of_a_kind_are_alike(model: HookedTransformer) -> None:
    directions = F.normalize(model.W_pos, dim=-1)
    cosines = directions @ directions.T
    assert cosines.diagonal(1).mean() > cosines.diagonal(40).mean() + 0.1
