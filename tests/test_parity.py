"""The model against `transformers`, in units of the standard deviation of what is compared."""

import io
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import load, random_gpt2
from torch import Tensor
from transformers import GPT2LMHeadModel

from cleanlens import HookedTransformer
from cleanlens.loading import embedded_models
from cleanlens.loading.names import MODELS
from cleanlens.parity import FLAGS, PROCESSINGS, Agreement, compare, main, parity

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one head, one layer": dict(n_layer=1, n_head=1, n_embd=10),
    "many heads": dict(n_layer=2, n_head=8, n_embd=24, n_inner=None),
    "untied": dict(tie_word_embeddings=False),
    "scale by layer": dict(scale_attn_by_inverse_layer_idx=True),
    "no scale": dict(scale_attn_weights=False, n_embd=15),
    "eps": dict(layer_norm_epsilon=0.3),
    "relu": dict(activation_function="relu"),
    "gelu": dict(activation_function="gelu"),
}


def assert_all_ok(rows: list[Agreement]) -> None:
    assert rows
    assert not [row for row in rows if not row.ok]


def ours(hf_model: Any) -> HookedTransformer:
    return load(hf_model=hf_model, dtype=hf_model.dtype)


def tokens_of(hf_model: Any, batch: int, pos: int) -> Tensor:
    generator = torch.Generator().manual_seed(pos)
    return torch.randint(hf_model.config.vocab_size, (batch, pos), generator=generator)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_every_stage_agrees_raw_and_processed(name: str, dtype: torch.dtype) -> None:
    hf_model = random_gpt2(seed=len(name), **CONFIGS[name]).to(dtype)
    rows = compare(hf_model, ours(hf_model))
    assert {row.processing for row in rows} == {"raw", *FLAGS, "all"}
    assert {"embed", "0 attention", "0 MLP", "0 residual", "logits", "loss"} <= {row.stage for row in rows}
    assert_all_ok(rows)


@pytest.mark.parametrize("pos", range(1, 18))
def test_every_length_up_to_n_ctx(pos: int) -> None:
    hf_model = random_gpt2()
    assert_all_ok(compare(hf_model, ours(hf_model), ["raw", "all"], tokens_of(hf_model, 2, pos)))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_padding_on_either_side(side: str, dtype: torch.dtype) -> None:
    hf_model = random_gpt2().to(dtype)
    mask = torch.ones(4, 9, dtype=torch.int64)
    for row, n_padding in enumerate([0, 1, 4, 7]):
        mask[row, :n_padding] = 0
    mask = mask if side == "left" else mask.flip(1)
    assert_all_ok(compare(hf_model, ours(hf_model), tokens=tokens_of(hf_model, 4, 9), attention_mask=mask))


def test_the_comparison_would_notice() -> None:
    """One weight that is off by 1e-6, a scale that is forgotten, queries swapped with keys."""
    hf_model = random_gpt2()

    def errors_after(change: Any) -> dict[str, float]:
        model = ours(hf_model)
        with torch.no_grad():
            change(model)
        return {row.stage: row.error for row in compare(hf_model, model, ["raw"]) if not row.ok}

    def nudge(model: HookedTransformer) -> None:
        model.blocks[1].mlp.W_in[2, 3] += 1e-6

    def forget_scale(model: HookedTransformer) -> None:
        model.blocks[1].attn.attn_scale = 1.0

    def swap(model: HookedTransformer) -> None:
        attn = model.blocks[0].attn
        attn.W_Q, attn.W_K = attn.W_K, attn.W_Q

    assert "0 residual" not in errors_after(nudge)
    assert errors_after(nudge)["1 MLP"] > 1e-8
    assert errors_after(forget_scale)["1 attention"] > 0.1
    assert errors_after(swap)["0 attention"] > 0.1
    assert not Agreement("logits", "raw", torch.float64, float("nan")).ok


# ---------------------------------------------------------------- through files


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("max_shard_size", ["1GB", "8kB"], ids=["one file", "shards"])
def test_save_pretrained_and_back(tmp_path: Path, tied: bool, max_shard_size: str) -> None:
    hf_model = random_gpt2(tie_word_embeddings=tied)
    hf_model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / "model.safetensors").exists() == (max_shard_size == "1GB")
    assert_all_ok(compare(hf_model, load(str(tmp_path)), ["raw", "all"]))


def test_a_bare_gpt2_without_head_is_tied(tmp_path: Path) -> None:
    hf_model = random_gpt2()
    hf_model.transformer.save_pretrained(tmp_path)  # names without "transformer." and no lm_head
    assert_all_ok(compare(hf_model, load(str(tmp_path)), ["raw"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_files_are_widened_before_anything_is_computed(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    hf_model = random_gpt2().to(dtype)
    hf_model.save_pretrained(tmp_path)
    assert_all_ok(compare(hf_model.double(), load(str(tmp_path))))


def test_the_flags_of_from_pretrained_are_those_of_process_weights(tmp_path: Path) -> None:
    hf_model = random_gpt2()
    hf_model.save_pretrained(tmp_path)
    tokens = tokens_of(hf_model, 2, 9)
    log_probs = hf_model(tokens).logits.log_softmax(dim=-1)
    for processing, flags in PROCESSINGS.items():
        model = load(str(tmp_path), **{flag: flag in flags for flag in FLAGS})
        torch.testing.assert_close(
            model(tokens).log_softmax(dim=-1), log_probs, atol=1e-9, rtol=0, msg=processing
        )


def test_the_embedded_model() -> None:
    rows = parity("gpt2-demo")
    assert {row.dtype for row in rows} == {torch.float64, torch.float32}
    assert_all_ok(rows)


def test_the_embedded_model_on_random_tokens() -> None:
    hf_model = GPT2LMHeadModel.from_pretrained(MODELS / "gpt2-demo", attn_implementation="eager")
    assert_all_ok(compare(hf_model, load("gpt2-demo")))


# ---------------------------------------------------------------- the command


def test_the_command_prints_a_table_and_agrees(tmp_path: Path) -> None:
    random_gpt2().float().save_pretrained(tmp_path)
    output = io.StringIO()
    with redirect_stdout(output):
        assert main([str(tmp_path)]) == 0
    for word in (
        "float64",
        "float32",
        "0 attention",
        "2 residual",
        "logits",
        "gradients of weights",
        "agrees",
    ):
        assert word in output.getvalue()


def test_the_command_fails_above_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Agreement("logits", "raw", torch.float64, 1e-15)
    for worst, code in ((1e-15, 0), (2e-9, 1), (float("nan"), 1)):
        monkeypatch.setattr("cleanlens.parity.parity", lambda name: [good, replace(good, error=worst)])  # noqa: B023
        assert main(["gpt2-demo"]) == code


def test_the_command_names_the_closest_model() -> None:
    command = [sys.executable, "-m", "cleanlens.parity", "gpt2-smal"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "no model named 'gpt2-smal'. Did you mean 'gpt2-small'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_that_transformers_does_not_have() -> None:
    native = [name for name in embedded_models() if not name.startswith("gpt2")]
    for name in native:
        with pytest.raises(
            ValueError, match=f"'{name}' has the model_type 'cleanlens', so there is no model of"
        ):
            parity(name)
    assert native
    assert MODELS.is_dir()
