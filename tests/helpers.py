"""Small models with weights that forgive nothing: of order 1, biases that are not zero, gains away from 1,
and a different size for every axis."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import nbformat
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

from cleanlens import HookedTransformer, HookedTransformerConfig
from cleanlens.course import build, catalog, progress
from cleanlens.course.answers import Answers
from cleanlens.course.result import Result

ROOT = Path(__file__).parents[1]

SIZES = dict(n_layers=3, d_model=21, n_ctx=17, d_head=5, n_heads=4, d_mlp=29, d_vocab=53, d_vocab_out=47)


def fill(model: nn.Module, seed: int = 0) -> None:
    """Weights so large that every activation matters, by fan-in so that none explodes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            values = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            if any(part in name for part in ("ln", "norm", "Norm")) and name.endswith((".w", ".weight")):
                values = 0.3 + values.abs()
            elif weight.ndim > 1 and not any(part in name for part in ("embed", "wte", "wpe", "lm_head")):
                values = values * weight.shape[-2] ** -0.5
            weight.copy_(values)


def random_model(seed: int = 0, **config: Any) -> HookedTransformer:
    """A HookedTransformer in float64 whose d_model is not n_heads * d_head."""
    fields = {**SIZES, "act_fn": "gelu_new", "dtype": torch.float64, "device": "cpu", **config}
    if fields.get("attn_only"):
        fields.pop("d_mlp")
    model = HookedTransformer(HookedTransformerConfig(**fields))
    fill(model, seed)
    return model


def random_tokens(model: HookedTransformer, batch: int = 2, pos: int = 9, seed: int = 0) -> Tensor:
    """Tokens that are both in the vocabulary and among the outputs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, min(model.cfg.d_vocab, model.cfg.d_vocab_out), (batch, pos), generator=generator)


def random_gpt2(seed: int = 0, **config: Any) -> Any:
    """A Hugging Face GPT-2 in float64, its pattern computed in the open ("eager")."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = dict(n_layer=3, n_head=3, n_embd=21, n_positions=17, vocab_size=53, n_inner=29)
    ends = dict(bos_token_id=0, eos_token_id=0, pad_token_id=0)
    hf_model = GPT2LMHeadModel(GPT2Config(**{**sizes, **ends, **config}, attn_implementation="eager"))
    fill(hf_model.double().eval(), seed)
    return hf_model


def load(name: Any = None, **options: Any) -> HookedTransformer:
    """`from_pretrained_no_processing` in float64, without its line of output."""
    with contextlib.redirect_stdout(io.StringIO()):
        return HookedTransformer.from_pretrained_no_processing(
            name, **{"dtype": torch.float64, "device": "cpu", **options}
        )


def word_tokenizer() -> Any:
    """A tokenizer of single letters and a few words: id 0 is the special token, as in GPT-2 BOS, EOS and PAD."""
    from transformers import PreTrainedTokenizerFast

    words = ["<|endoftext|>", *(chr(i) for i in range(ord("a"), ord("z") + 1)), "Ġ"]
    words += ["Ġa", "th", "the", "Ġthe", "Ma", "ry", "Mary", "ĠMary", "M", "."]
    merges = [("Ġ", "a"), ("t", "h"), ("th", "e"), ("Ġ", "the")]
    merges += [("M", "a"), ("r", "y"), ("Ma", "ry"), ("Ġ", "Mary")]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=words[0],
        eos_token=words[0],
        pad_token=words[0],
        clean_up_tokenization_spaces=False,
    )


def run_chapter(id: str, solved: bool) -> tuple[dict, str]:
    """Run the cells of a chapter's notebook in order, in one namespace; its names and what it printed.

    A chapter may switch gradients off; they are on again afterwards.
    """
    [entry] = [chapter for chapter in catalog.outline() if chapter.id == id]
    book = nbformat.reads(build.notebook(entry, ROOT, solved, tests=True), as_version=4)
    names: dict = {"__name__": f"chapter_{id}"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        for i, cell in enumerate(book.cells):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{entry.notebook}, cell {i}", "exec"), names)
    return names, printed.getvalue()


def judged(result: Result, place: Path) -> Result:
    """A verdict as the grader gives it: with the fingerprint of the text that it read."""
    [entry] = catalog.entries(result.id)
    return result.with_(answer=Answers.read(entry.chapter, place).fingerprint(entry))


def remember(place: Path, *results: Result) -> None:
    progress.record(place, [judged(result, place) for result in results])
