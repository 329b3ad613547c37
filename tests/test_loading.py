"""Names, files and what is wrong with them: every refusal says what was found and what was expected."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import load, random_gpt2, word_tokenizer
from safetensors.torch import load_file, save_file
from torch import Tensor

from cleanlens import HookedTransformer
from cleanlens.loading import embedded_models, get_checkpoint_labels, official_name
from cleanlens.loading.names import ALIASES, STANFORD_CRFM_STEPS, choose_checkpoint

ATTN = "attn-only-2l-demo"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small GPT-2 in the Hugging Face layout."""
    random_gpt2().float().save_pretrained(tmp_path)
    return tmp_path


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


# ---------------------------------------------------------------- names


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(ValueError, match=r"no model named 'gpt2-smal'. Did you mean 'gpt2-small'") as error:
        load("gpt2-smal")
    assert f"{embedded_models()} come with the package and work offline" in str(error.value)
    assert "a Hugging Face id 'owner/name', or a local directory" in str(error.value)
    with pytest.raises(ValueError, match="give a model_name or an hf_model"):
        load()


def test_published_aliases() -> None:
    assert official_name("gpt2-small") == official_name("gpt2") == "openai-community/gpt2"
    assert official_name("distilgpt2") == "distilbert/distilgpt2"
    assert official_name("someone/their-gpt2") == "someone/their-gpt2"
    crfm = {name: id for name, id in ALIASES.items() if name.startswith("stanford")}
    assert crfm["stanford-gpt2-small-a"] == "stanford-crfm/alias-gpt2-small-x21"
    assert crfm["stanford-gpt2-medium-e"] == "stanford-crfm/eowyn-gpt2-medium-x777"
    assert len(crfm) == 10


def test_without_a_network_the_error_names_the_models_that_work() -> None:
    if not os.environ.get("HF_HUB_OFFLINE"):
        pytest.skip("the network is on")
    with pytest.raises(ConnectionError) as error:
        load("someone/a-model-that-nobody-has")
    message = str(error.value)
    assert message.startswith(
        "'someone/a-model-that-nobody-has' is not on this machine and could not be fetched"
    )
    assert "These models come with the package and work offline: " + ", ".join(embedded_models()) in message


def test_loading_says_so(folder: Path, capsys: pytest.CaptureFixture) -> None:
    HookedTransformer.from_pretrained(str(folder), device="cpu")
    assert capsys.readouterr().out == f"Loaded pretrained model {folder} into HookedTransformer\n"


def test_local_models_need_no_network(folder: Path) -> None:
    """Every socket is shut: an embedded model and a directory load all the same."""
    code = f"""
import socket
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from cleanlens import HookedTransformer
for name in ({ATTN!r}, {str(folder)!r}):
    HookedTransformer.from_pretrained(name, device="cpu")
"""
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr


# ---------------------------------------------------------------- options


def test_dtype_device_and_names_reach_the_config(folder: Path) -> None:
    model = load(str(folder), dtype="float16")
    assert model.cfg.dtype == model.W_E.dtype == torch.float16
    assert model.cfg.model_name == str(folder)
    assert model.cfg.original_architecture == "GPT2LMHeadModel"
    assert load(str(folder), torch_dtype=torch.bfloat16).cfg.dtype == torch.bfloat16
    assert load(str(folder), default_prepend_bos=False).cfg.default_prepend_bos is False
    assert load(str(folder), default_padding_side="left").cfg.default_padding_side == "left"
    with pytest.raises(TypeError, match=r"from_pretrained: unknown options \['fold_lm'\]"):
        load(str(folder), fold_lm=False)


def test_first_n_layers_is_the_beginning_of_the_model(folder: Path) -> None:
    whole, short = load(str(folder)), load(str(folder), first_n_layers=2)
    tokens = torch.arange(10)[None]
    assert short.cfg.n_layers == 2
    assert short.cfg.n_params == whole.cfg.n_params * 2 // 3
    assert short(tokens, stop_at_layer=2).equal(whole(tokens, stop_at_layer=2))
    assert load(str(folder), first_n_layers=99).cfg.n_layers == 3
    for n in (-1, 0):
        with pytest.raises(ValueError, match=f"first_n_layers = {n}; it must be at least 1"):
            load(str(folder), first_n_layers=n)


def test_n_ctx_can_only_shorten(folder: Path) -> None:
    whole, short = load(str(folder)), load(str(folder), n_ctx=5)
    tokens = torch.arange(5)[None]
    assert short.W_pos.shape == (5, 21)
    assert short(tokens).equal(whole(tokens))
    with pytest.raises(ValueError, match="6 tokens are too many: the model has 5 positions"):
        short(torch.arange(6)[None])
    with pytest.raises(ValueError, match=r"n_ctx = 18; .* has learned only 17 positions"):
        load(str(folder), n_ctx=18)


def test_a_tokenizer_beside_the_weights_is_found(tmp_path: Path) -> None:
    tokenizer = word_tokenizer()
    random_gpt2(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    assert load(str(tmp_path)).tokenizer is None
    tokenizer.save_pretrained(tmp_path)
    assert load(str(tmp_path)).to_str_tokens("Mary the") == ["<|endoftext|>", "Mary", " the"]


def test_a_model_in_memory_is_copied_not_shared() -> None:
    hf_model = random_gpt2()
    model = load(hf_model=hf_model)
    with torch.no_grad():
        model.blocks[0].attn.b_O.zero_()
        model.embed.W_E.zero_()
    assert hf_model.transformer.h[0].attn.c_proj.bias.abs().max() > 0
    assert hf_model.transformer.wte.weight.abs().max() > 0
    assert model.unembed.W_U.abs().max() > 0  # tied in the file, two weights here


# ---------------------------------------------------------------- damaged and mismatching files


def test_a_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or incomplete \(.*\); get it again"):
        load(str(folder))


def test_an_empty_file(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or incomplete"):
        load(str(folder))


def test_a_missing_shard(tmp_path: Path) -> None:
    random_gpt2().save_pretrained(tmp_path, max_shard_size="8kB")
    next(tmp_path.glob("model-00002*.safetensors")).unlink()
    with pytest.raises(ValueError, match=r"model-00002.* is damaged or incomplete"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({"transformer.h.1.mlp.c_fc.bias": torch.zeros(28)}),
            r"'transformer.h.1.mlp.c_fc.bias' gives blocks.1.mlp.b_in the shape \[28\]; by config.json it is \[29\]",
        ),
        (
            lambda t: t.update({"transformer.wte.weight": torch.zeros(52, 21)}),
            r"'transformer.wte.weight' gives (unembed.W_U|embed.W_E) the shape .*52.*; by config.json it is",
        ),
        (
            lambda t: t.update({"transformer.h.0.attn.c_attn.weight": torch.zeros(21, 62)}),
            r"'transformer.h.0.attn.c_attn.weight' of shape \[21, 62\] does not fit config.json",
        ),
        (
            lambda t: t.update({"transformer.h.0.attn.c_proj.weight": torch.zeros(20, 21)}),
            r"'transformer.h.0.attn.c_proj.weight' of shape \[20, 21\] does not fit config.json",
        ),
        (lambda t: t.pop("transformer.h.2.ln_2.bias"), r"no tensor for \['blocks.2.ln2.b'\]"),
        (
            lambda t: t.update({"transformer.h.0.attn.rotary": torch.zeros(3, 4)}),
            r"no place for the tensor 'transformer.h.0.attn.rotary' of shape \[3, 4\]",
        ),
        (
            lambda t: t.update({"classifier.weight": torch.zeros(3)}),
            r"no place for the tensor 'classifier.weight' of shape \[3\]",
        ),
    ],
    ids=["bias", "vocabulary", "qkv", "heads", "missing", "left over", "another model's"],
)
def test_tensors_that_do_not_fit(folder: Path, change: Callable, message: str) -> None:
    edit_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        load(str(folder))


def test_masks_that_old_files_carry_are_no_weights(folder: Path) -> None:
    expected = load(str(folder))(torch.arange(9)[None])
    edit_tensors(folder, lambda t: t.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 17, 17)}))
    edit_tensors(folder, lambda t: t.update({"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}))
    assert load(str(folder))(torch.arange(9)[None]).equal(expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(model_type="gemma"), r"model_type is 'gemma'; cleanlens loads bert, "),
        (dict(n_layer=4), r"no tensor for \['blocks.3.attn.W_K', "),
        (dict(n_head=2), r"n_embd = 21 is not a multiple of n_head = 2"),
        (dict(n_positions=16, n_ctx=16), r"'transformer.wpe.weight' .*17.*by config.json it is \[16, 21\]"),
        (dict(activation_function="mish"), r"act_fn = 'mish'; it must be one of"),
        (dict(add_cross_attention=True), r"add_cross_attention is true; cleanlens has no cross-attention"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit(folder: Path, fields: dict, message: str) -> None:
    edit_config(folder, **fields)
    with pytest.raises(ValueError, match=message):
        load(str(folder))


def test_a_folder_that_holds_no_model(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        ValueError, match=r"holds no weights: neither model.safetensors nor pytorch_model.bin"
    ):
        load(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not valid JSON"):
        load(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"has no config.json; expected a directory in the Hugging Face"
    ):
        load(str(folder))


def test_older_checkpoints_are_read_as_data_never_run(folder: Path) -> None:
    expected = load(str(folder))(torch.arange(9)[None])
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert load(str(folder))(torch.arange(9)[None]).equal(expected)

    class Trap:
        def __reduce__(self) -> tuple:
            return (os.putenv, ("CLEANLENS_TRAP", "1"))

    torch.save({"wte.weight": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load(str(folder))


# ---------------------------------------------------------------- checkpoints


def test_checkpoint_labels() -> None:
    labels, kind = get_checkpoint_labels("stanford-gpt2-small-a")
    assert kind == "step"
    assert labels is STANFORD_CRFM_STEPS
    assert len(labels) == 609
    assert (labels[0], labels[10], labels[-1]) == (0, 100, 400_000)
    assert choose_checkpoint("stanford-gpt2-small-a", 10, None) == 100
    assert choose_checkpoint("stanford-gpt2-small-a", None, 2000) == 2000
    assert choose_checkpoint("gpt2", None, None) is None
    with pytest.raises(ValueError, match="no training checkpoints are known for 'gpt2'"):
        get_checkpoint_labels("gpt2")
    with pytest.raises(ValueError, match=r"checkpoint_value = 101 was not kept for .*; the closest is 100"):
        choose_checkpoint("stanford-gpt2-small-a", None, 101)
    with pytest.raises(ValueError, match=r"checkpoint_index = 609; .* has 609 checkpoints"):
        choose_checkpoint("stanford-gpt2-small-a", 609, None)
    with pytest.raises(ValueError, match="give checkpoint_index or checkpoint_value, not both"):
        choose_checkpoint("stanford-gpt2-small-a", 1, 10)


def test_the_embedded_checkpoints() -> None:
    labels, _ = get_checkpoint_labels(ATTN)
    by_index, by_value = load(ATTN, checkpoint_index=1), load(ATTN, checkpoint_value=labels[1])
    assert by_index.W_Q.equal(by_value.W_Q)
    assert by_index.cfg.from_checkpoint
    assert (by_index.cfg.checkpoint_index, by_index.cfg.checkpoint_value) == (1, labels[1])
    assert not by_index.W_Q.equal(load(ATTN, checkpoint_index=0).W_Q)
    assert load(ATTN, checkpoint_index=-1).cfg.checkpoint_value == labels[-1]
    assert not load(ATTN).cfg.from_checkpoint


# ---------------------------------------------------------------- memory


def test_loading_holds_one_copy_and_one_tensor(tmp_path: Path) -> None:
    """The peak of a whole process, less what it held before: a model of 116 MB, processed, from a file."""
    hf_model = random_gpt2(n_layer=8, n_embd=512, n_head=8, n_inner=2048, vocab_size=4096, n_positions=256)
    hf_model.float().save_pretrained(tmp_path)
    size = sum(weight.numel() for weight in hf_model.parameters()) * 4 / 2**20
    unembed = 4096 * 512 * 4 / 2**20  # tied in the file
    code = f"""
import resource, sys
from cleanlens import HookedTransformer
import cleanlens.loading, safetensors.torch
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
before = peak()
HookedTransformer.from_pretrained({str(tmp_path)!r}, device="cpu")
print(peak() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = float(result.stdout.splitlines()[-1])
    one_layer = 12 * 512 * 512 * 8 / 2**20  # in float64, as it is processed
    assert grown < size + unembed + one_layer + 25, (grown, size)
