"""Damaged and hostile model files: one short sentence each, at once, and nothing allocated or run.

The last tests damage small files at random; only ModelFileError may come out.
"""

import json
import math
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from helpers import load, random_gpt2, word_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from cleanlens.loading.checked import ModelFileError

GPT2 = "transformer."


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT-2 with a tokenizer, in the Hugging Face layout; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    tokenizer = word_tokenizer()
    random_gpt2(vocab_size=len(tokenizer)).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def refused(folder: Path, *words: str) -> str:
    """The sentence with which the folder is refused, which has these words."""
    with pytest.raises(ModelFileError) as error:
        load(str(folder))
    message = str(error.value)
    assert len(message) < 600
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


# ---------------------------------------------------------------- the config and the tensors


def test_fewer_layers_in_the_config_than_in_the_file(folder: Path) -> None:
    edit_config(folder, n_layer=2)
    refused(folder, "its config says 2 layers, the files hold 3", "first_n_layers")


def test_a_layer_missing_in_between(folder: Path) -> None:
    edit_tensors(folder, lambda t: [t.pop(name) for name in list(t) if ".h.1." in name])
    refused(folder, "its config says 3 layers, the files hold layers 0, 2")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_number(folder: Path, value: float) -> None:
    edit_tensors(folder, lambda t: t[f"{GPT2}h.1.mlp.c_fc.weight"][2].fill_(value))
    refused(folder, "'transformer.h.1.mlp.c_fc.weight' holds NaN or infinity; expected finite numbers")


def test_a_weight_that_float16_cannot_hold(folder: Path) -> None:
    edit_tensors(folder, lambda t: t[f"{GPT2}h.1.mlp.c_fc.weight"][2].fill_(1e6))
    load(str(folder), dtype="float32")
    with pytest.raises(
        ModelFileError, match="has values that float16 cannot hold; load it with dtype='float32'"
    ):
        load(str(folder), dtype="float16")


@pytest.mark.parametrize(
    ("dtype", "called"),
    [
        (torch.int64, "I64"),
        (torch.int8, "I8"),
        (torch.bool, "bool"),
        (torch.complex64, "C64"),
        (torch.float8_e4m3fn, "F8_E4M3"),
    ],
    ids=str,
)
def test_weights_of_another_type(folder: Path, dtype: torch.dtype, called: str) -> None:
    name = f"{GPT2}h.1.mlp.c_fc.bias"
    edit_tensors(folder, lambda t: t.update({name: t[name].to(dtype)}))
    refused(folder, f"the tensor {name!r} of shape [29] holds {called}; expected float32, float16")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    refused(folder, f"the tensor {name!r} of shape [29] holds {str(dtype).removeprefix('torch.')}; expected")


def test_a_tensor_under_two_names(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"h.1.ln_1.bias": torch.ones(21)}))
    message = refused(folder, "give blocks.1.ln1.b; expected one of them")
    assert "'h.1.ln_1.bias'" in message
    assert "'transformer.h.1.ln_1.bias'" in message


def test_an_unembedding_beside_a_tied_embedding(folder: Path) -> None:
    """The same once more does no harm (older files hold it); another one is a contradiction."""
    expected = load(str(folder)).W_U
    embedding = load_file(folder / "model.safetensors")[f"{GPT2}wte.weight"]
    edit_tensors(folder, lambda t: t.update({"lm_head.weight": embedding.clone()}))
    assert load(str(folder)).W_U.equal(expected)
    edit_tensors(folder, lambda t: t.update({"lm_head.weight": embedding + 1}))
    refused(folder, "its config says tie_word_embeddings, but", "with other values. Set tie_word_embeddings")
    edit_config(folder, tie_word_embeddings=False)
    assert load(str(folder)).W_U.allclose(expected + 1, atol=1e-6)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    random_gpt2().save_pretrained(tmp_path, max_shard_size="8kB")
    first, second = sorted(tmp_path.glob("model-*.safetensors"))[:2]
    save_file({**load_file(second), **load_file(first)}, second)
    refused(tmp_path, "two files hold the tensor 'transformer.")


# ---------------------------------------------------------------- config.json


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(n_layer=10**9), "n_layer = 1000000000; expected a whole number from 1 to 16777216"),
        (dict(n_layer=10**6), "its config says 1000000 layers, the files hold 3"),
        (dict(n_embd=9_000_000), "'transformer."),
        (dict(vocab_size=9_000_000), "by its config it is"),
        (dict(n_positions=9_000_000), "by its config it is [9000000, 21]"),
        (dict(n_inner=9_000_000), "by its config it is"),
        (dict(n_embd="21"), "n_embd = '21'; expected a whole number"),
        (dict(n_embd=21.0), "n_embd = 21.0; expected a whole number"),
        (dict(n_head=True), "n_head = True; expected a whole number"),
        (dict(n_head=0), "n_head = 0; expected a whole number"),
        (dict(n_layer=-3), "n_layer = -3; expected a whole number"),
        (dict(n_head=[3]), "n_head = [3]; expected a whole number"),
        (dict(n_layer={"a": [1] * 100}), "n_layer = {'a': [1, 1, "),
        (dict(layer_norm_epsilon="1e-5"), "layer_norm_epsilon = '1e-5'; expected a finite number"),
        (dict(layer_norm_epsilon=math.nan), "layer_norm_epsilon = nan; expected a finite number"),
        (dict(tie_word_embeddings="yes"), "tie_word_embeddings = 'yes'; expected true or false"),
        (dict(activation_function=["gelu"]), "activation_function = ['gelu']; expected a text"),
        (dict(vocab_size=None), "its config does not give d_vocab (None)"),
        (dict(model_type=None), "model_type is None"),
        (dict(model_type=["gpt2"]), "model_type is ['gpt2']"),
        (dict(model_type="mixtral"), "model_type is 'mixtral'"),
    ],
    ids=str,
)
def test_mistyped_and_absurd_fields(folder: Path, fields: dict, words: str) -> None:
    edit_config(folder, **fields)
    refused(folder, words)


def test_absurd_sizes_are_refused_before_memory_is_asked_for(folder: Path) -> None:
    """The peak of a process that is refused, for sizes that would take terabytes."""
    edit_config(folder, n_embd=3 * 2**20, n_inner=2**24, vocab_size=2**24, n_positions=2**24)
    code = f"""
import resource
from cleanlens import HookedTransformer
import cleanlens.loading, safetensors.torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    HookedTransformer.from_pretrained({str(folder)!r}, device="cpu")
except cleanlens.loading.ModelFileError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = float(result.stdout) / (2**20 if sys.platform == "darwin" else 2**10)
    assert grown < 100, grown  # MB


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "config.json holds a list; expected an object"),
        ("null", "config.json holds a NoneType; expected an object"),
        ("3", "config.json holds a int; expected an object"),
        ("[" * 100_000, "config.json is not valid JSON"),
        ('{"a":' * 100_000, "config.json is not valid JSON"),
        ('{"n_layer": ' + "9" * 10_000 + "}", "config.json is not valid JSON"),
        ("", "config.json is not valid JSON"),
        ("\0\1\2", "config.json is not valid JSON"),
    ],
    ids=["list", "null", "number", "deep list", "deep object", "long number", "empty", "binary"],
)
def test_a_config_that_is_no_object(folder: Path, text: str, words: str) -> None:
    (folder / "config.json").write_text(text)
    refused(folder, words)


def test_a_config_in_another_encoding(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"{\xff\xfe}")
    refused(folder, "config.json is not valid JSON")


def test_a_config_of_gigabytes(folder: Path) -> None:
    with (folder / "config.json").open("wb") as file:
        file.truncate(2**33)  # a hole: it takes no place on the disk
    refused(folder, "config.json has 8589934592 bytes; expected at most")


def test_our_own_layout_is_checked_as_well(tmp_path: Path) -> None:
    save_file({"embed.W_E": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    good = dict(model_type="cleanlens", n_layers=1, d_model=4, n_ctx=5, d_head=2, attn_only=True, d_vocab=3)
    for fields, words in [
        (dict(d_head=None), "its config does not describe a model"),
        (dict(d_model="4"), "d_model = '4'; expected a whole number"),
        (dict(colour="red"), "no field named ['colour']"),
        (dict(n_ctx=2**24), "its config says 1 layers, the files hold 0"),
        (dict(n_layers=0, normalization_type=["LN"]), "n_layers = 0; expected"),
        (dict(tokenizer="../../../etc"), "its config says 1 layers"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps({**good, **fields}))
        refused(tmp_path, words)


# ---------------------------------------------------------------- not files


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
)
def test_a_directory_where_a_file_is_expected(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, f"{name} is a directory; expected a file")


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("chat_template.jinja", "model.safetensors.index.json"),
    ],
)
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    refused(folder, f"{name} is not a plain file; expected a file")


def test_a_link_to_nowhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "nowhere")
    refused(folder, "holds no weights: neither model.safetensors nor pytorch_model.bin")


# ---------------------------------------------------------------- shards


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("[]", "index.json holds a list; expected an object"),
        ("{}", "expected weight_map to name a file for every tensor"),
        ('{"weight_map": ["a"]}', "expected weight_map to name a file for every tensor"),
        ('{"weight_map": {"a": 3}}', "expected weight_map to name a file for every tensor"),
        ('{"weight_map": {"a": "../other/model.safetensors"}}', "'../other/model.safetensors'; expected"),
        ('{"weight_map": {"a": "/etc/model.safetensors"}}', "'/etc/model.safetensors'; expected"),
        (
            '{"weight_map": {"a": "code.py"}}',
            "'code.py'; expected a .safetensors or .bin file beside the index",
        ),
        ('{"weight_map": {"a": ".."}}', "'..'; expected"),
        ('{"weight_map": {"a": "absent.safetensors"}}', "absent.safetensors is missing; expected a file"),
        ('{"weight_map": {}}', "holds no weights"),
    ],
)
def test_broken_and_path_leaving_indexes(folder: Path, index: str, words: str) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder, words)


def test_shards_of_the_older_format(folder: Path) -> None:
    expected = load(str(folder)).W_E
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"pytorch_model-{i % 2}.bin" for i, name in enumerate(tensors)}
    for shard in set(places.values()):
        torch.save({n: t.clone() for n, t in tensors.items() if places[n] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    assert load(str(folder)).W_E.equal(expected)


# ---------------------------------------------------------------- tokenizers


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[1, 2]"),
        ("tokenizer.json", "null"),
        ("tokenizer.json", "garbage"),
        ("tokenizer.json", "[" * 100_000),
        (
            "tokenizer.json",
            '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": [["a"]]}}',
        ),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"tokenizer_class": 7}'),
        ("tokenizer_config.json", '{"bos_token": {"content": 3}}'),
        ("tokenizer_config.json", "[" * 100_000),
    ],
)
def test_a_garbage_tokenizer(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    refused(folder, "its tokenizer cannot be read (", "or pass tokenizer=...")


def test_code_beside_a_tokenizer_is_not_run(folder: Path) -> None:
    (folder / "trap.py").write_text("raise SystemExit('it was run')")
    kind = {"auto_map": {"AutoTokenizer": ["trap.Tokenizer", None]}, "tokenizer_class": "Tokenizer"}
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **kind}))
    try:
        assert load(str(folder)).to_str_tokens("Mary", prepend_bos=False) == ["Mary"]
    except ModelFileError as error:
        assert "its tokenizer cannot be read (" in str(error)  # noqa: PT017


# ---------------------------------------------------------------- what torch.save wrote


@pytest.fixture
def pickled(folder: Path) -> Path:
    """The same model as torch.save writes it."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_the_format_before_2020(folder: Path, pickled: Path) -> None:
    expected = load(str(pickled)).W_Q
    tensors = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    torch.save(tensors, pickled / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert load(str(pickled)).W_Q.equal(expected)
    data = (pickled / "pytorch_model.bin").read_bytes()
    for length in (len(data) - 100, len(data) // 2, 100, 3, 0):
        (pickled / "pytorch_model.bin").write_bytes(data[:length])
        refused(pickled, "pytorch_model.bin cannot be read as tensors", "Get it again")


def test_a_truncated_pickle(pickled: Path) -> None:
    path = pickled / "pytorch_model.bin"
    data = path.read_bytes()
    for length in (len(data) - 100, len(data) // 2, 100):
        path.write_bytes(data[:length])
        refused(pickled, "pytorch_model.bin cannot be read as tensors", "Get it again, best as safetensors")


class Trap:
    def __reduce__(self) -> tuple:
        return (os.putenv, ("CLEANLENS_TRAP", "1"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_is_never_run(pickled: Path, write: Callable) -> None:
    write({f"{GPT2}wte.weight": Trap()}, pickled / "pytorch_model.bin")
    refused(pickled, "cannot be read as tensors (torch.load with weights_only=True: ")


@pytest.mark.parametrize("value", [[1, 2], {3: torch.zeros(2)}, torch.zeros(3), None], ids=str)
def test_a_pickle_of_something_else(pickled: Path, value: Any) -> None:
    torch.save(value, pickled / "pytorch_model.bin")
    refused(pickled, "pytorch_model.bin does not hold a dictionary of named tensors")


def test_a_view_larger_than_what_it_views(pickled: Path) -> None:
    tensors = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    tensors[f"{GPT2}wte.weight"] = torch.zeros(1).expand(2**40, 21)
    torch.save(tensors, pickled / "pytorch_model.bin")
    refused(pickled, f"'{GPT2}wte.weight' of shape [1099511627776, 21] is not stored in full")


# ---------------------------------------------------------------- many tensors


def test_twenty_thousand_ignored_tensors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks that old files carry: they are not read, whatever their number, size and type."""
    expected = load(str(folder)).W_E
    masks = {f"{GPT2}h.{i}.attn.masked_bias": torch.tensor(True) for i in range(20_000)}
    edit_tensors(folder, lambda t: t.update(masks))
    opened, open_file = [], safetensors.safe_open
    monkeypatch.setattr(safetensors, "safe_open", lambda *args: opened.append(args) or open_file(*args))
    assert load(str(folder)).W_E.equal(expected)
    assert len(opened) == 2  # once for the header, once for the weights; once for each tensor took minutes


def test_twenty_thousand_tensors_of_nobody(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({f"extra.{i}": torch.zeros(1) for i in range(20_000)}))
    refused(folder, "no place for the tensor 'extra.")


# ---------------------------------------------------------------- headers that lie


def header(folder: Path, change: Callable[[dict], object], n_data: int = 64) -> None:
    """A safetensors file with a header made by hand."""
    entries: dict = {"wte.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}
    change(entries)
    text = json.dumps(entries).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(n_data))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["wte.weight"].update(shape=[2**62, 2**62]),
        lambda h: h["wte.weight"].update(shape=[-4, -4]),
        lambda h: h["wte.weight"].update(data_offsets=[0, 2**40]),
        lambda h: h["wte.weight"].update(data_offsets=[64, 0]),
        lambda h: h["wte.weight"].update(dtype="F31"),
        lambda h: h["wte.weight"].pop("dtype"),
        lambda h: h.update({"b": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}),
        lambda h: h.update({"b": [[[]]]}),
    ],
)
def test_a_header_that_lies(folder: Path, change: Callable) -> None:
    header(folder, change)
    refused(folder, "model.safetensors is damaged or incomplete (", "get it again")


@pytest.mark.parametrize("length", [2**63, 2**40, 10**8 + 1, 0])
def test_the_length_of_a_header_that_lies(folder: Path, length: int) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
    refused(folder, "model.safetensors is damaged or incomplete (")


# ---------------------------------------------------------------- at random

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(2**70),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)


def survives(folder: Path) -> None:
    """The folder loads, or is refused in a short sentence of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load(str(folder))
        except ModelFileError as error:
            assert 20 < len(str(error)) < 1000  # noqa: PT017
            assert str(folder) in str(error)  # noqa: PT017


@QUICK
@given(data=st.data(), name=st.sampled_from(["model.safetensors", "config.json", "tokenizer.json"]))
def test_bytes_changed_at_random(whole: Path, folder: Path, data: st.DataObject, name: str) -> None:
    damage(whole, folder, name, data)
    survives(folder)


@QUICK
@given(data=st.data(), legacy=st.booleans())
def test_pickles_changed_at_random(whole: Path, folder: Path, data: st.DataObject, legacy: bool) -> None:
    original = folder.parent / f"original-{legacy}"
    if not original.exists():
        shutil.copytree(whole, original)
        tensors = load_file(original / "model.safetensors")
        (original / "model.safetensors").unlink()
        torch.save(tensors, original / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    (folder / "model.safetensors").unlink(missing_ok=True)
    damage(original, folder, "pytorch_model.bin", data)
    survives(folder)


def damage(original: Path, folder: Path, name: str, data: st.DataObject) -> None:
    """Cut the file somewhere, or write other bytes into it, most often near its beginning."""
    content = bytearray((original / name).read_bytes())
    for file in original.iterdir():
        shutil.copy(file, folder / file.name)
    end = data.draw(st.sampled_from([len(content), 64, 1024]))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, min(end, len(content)) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[place : place + len(new)] = new
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    (folder / name).write_bytes(content)


@QUICK
@given(data=st.data())
def test_fields_changed_at_random(whole: Path, folder: Path, data: st.DataObject) -> None:
    config = json.loads((whole / "config.json").read_text())
    for name in data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=3)):
        config[name] = data.draw(JSON)
    (folder / "config.json").write_text(json.dumps(config))
    survives(folder)


@QUICK
@given(data=st.data(), name=st.sampled_from(["tokenizer.json", "tokenizer_config.json"]))
def test_tokenizers_changed_at_random(whole: Path, folder: Path, data: st.DataObject, name: str) -> None:
    content = json.loads((whole / name).read_text())
    for key in data.draw(st.lists(st.sampled_from(sorted(content)), min_size=1, max_size=3)):
        content[key] = data.draw(JSON)
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    survives(folder)


def test_nothing_was_filled_or_run() -> None:
    """After all that: no trap went off, and this process has not grown beyond a few GB."""
    assert os.environ.get("CLEANLENS_TRAP") is None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    assert peak < 6
