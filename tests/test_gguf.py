"""GGUF files: small models of every architecture that is read, written by the gguf package itself and compared with
the `transformers` models that they were made of; then everything that can be wrong with such a file."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from helpers import fill, load, random_gpt2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cleanlens.loading import gguf as ours
from cleanlens.loading.checked import ModelFileError

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2")
WORDS = ["<s>", "</s>", "Ġ", "a", "b", "c", "1", "2", "ab", "Ġab", "Ċ", "<|tool|>"]
MERGES = ["a b", "Ġ ab"]
D_VOCAB = 13  # one more than there are words


def hugging_face(architecture: str) -> Any:
    """A random model, its heads in groups and not as wide as d_model / n_heads where the family allows it."""
    if architecture == "gpt2":
        return random_gpt2(vocab_size=D_VOCAB, n_embd=32, n_head=4, n_inner=64)
    import transformers

    name = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[architecture]
    sizes = dict(
        vocab_size=D_VOCAB, hidden_size=32, num_hidden_layers=2, intermediate_size=64, rope_theta=5000.0
    )
    heads = dict(num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=40, rms_norm_eps=1e-4)
    extra = {"head_dim": 16} if architecture == "qwen3" else {}
    config = getattr(transformers, f"{name}Config")(
        **sizes, **heads, **extra, tie_word_embeddings=architecture == "qwen2", attn_implementation="eager"
    )
    model = getattr(transformers, f"{name}ForCausalLM")(config).double().eval()
    fill(model)
    return model


def write(
    path: Path, architecture: str, model: Any, change: Callable[[gguf.GGUFWriter], None] | None = None
) -> None:
    """The model as a GGUF file, in float32; `change` adds what else should be in it."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    if architecture == "gpt2":
        writer.add_block_count(config.n_layer)
        writer.add_context_length(config.n_positions)
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(config.n_inner)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(5000.0)
        if architecture == "qwen3":
            writer.add_key_length(config.head_dim)
            writer.add_value_length(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, *[1] * (len(WORDS) - 3), 4])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    if change is not None:
        change(writer)
    for name, tensor in as_gguf(architecture, model):
        writer.add_tensor(name, tensor.float().numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_gguf(architecture: str, model: Any) -> list[tuple[str, Tensor]]:
    """Names by the gguf package's own table; llama.cpp's order of the rows of queries and keys."""
    n_layers = getattr(model.config, "num_hidden_layers", None) or model.config.n_layer
    names = gguf.get_tensor_name_map(
        {arch: key for key, arch in gguf.MODEL_ARCH_NAMES.items()}[architecture], n_layers
    )
    found = []
    for theirs, tensor in model.state_dict().items():
        if theirs == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if architecture == "gpt2" and ".h." in theirs and tensor.ndim == 2:
            tensor = tensor.T
        if architecture == "llama" and ("q_proj" in theirs or "k_proj" in theirs):
            heads = 4 if "q_proj" in theirs else 2
            halves = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
            tensor = halves.transpose(1, 2).reshape(tensor.shape)
        found.append((names.get_name(theirs, try_suffixes=(".weight", ".bias")), tensor))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_those_of_the_model_it_was_made_of(path: Path, architecture: str) -> None:
    hf_model = hugging_face(architecture).float().double()  # the file's precision
    write(path, architecture, hf_model)
    model = load(str(path))
    tokens = torch.randint(D_VOCAB, (2, 11), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = hf_model(tokens).logits
    error = (model(tokens) - expected).abs().max() / expected.std()
    assert error < 1e-5  # the rotations are in float32 in both
    assert model.cfg.model_name == str(path)
    assert model.tokenizer("ab")["input_ids"] == [8]


def test_every_way_of_packing_is_unpacked_as_the_package_does(path: Path) -> None:
    """One model with tensors packed in several ways."""
    hf_model = hugging_face("llama")
    kinds = [
        gguf.GGMLQuantizationType[kind] for kind in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16")
    ]
    packed = {}

    def change(writer: gguf.GGUFWriter) -> None:
        add = writer.add_tensor

        def add_packed(name: str, tensor: np.ndarray) -> None:
            kind = kinds[len(packed) % len(kinds)]
            if tensor.ndim == 1 or tensor.shape[-1] % 32:
                return add(name, tensor)
            packed[name] = gguf.dequantize(gguf.quantize(tensor, kind), kind)
            add(name, gguf.quantize(tensor, kind), raw_dtype=kind)

        writer.add_tensor = add_packed

    write(path, "llama", hf_model, change)
    file = ours.Gguf(path)
    read = dict(file.read(file.stored))
    assert len(packed) == 2 + 2 * 7  # embedding, unembedding, and seven matrices in each of two layers
    for name, value in packed.items():
        theirs = file._hugging_face_name(name)
        value = torch.from_numpy(value)
        if "attn_q" in name or "attn_k" in name:
            heads = 4 if "attn_q" in name else 2
            value = value.reshape(heads, -1, 2, 32).transpose(1, 2).reshape(value.shape)
        assert read[theirs].equal(value), name


# ---------------------------------------------------------------- the tokenizer


def test_the_tokenizer(path: Path) -> None:
    write(
        path, "llama", hugging_face("llama"), lambda w: w.add_chat_template("{{ messages[0].content }}</s>")
    )
    model = load(str(path))
    tokenizer = model.tokenizer
    assert tokenizer(" ab12\nc</s><|tool|>")["input_ids"] == [9, 6, 7, 10, 5, 1, 11]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    assert tokenizer.decode([0, 11, 3], skip_special_tokens=True) == "<|tool|>a"
    assert model.to_string(model.to_tokens(" ab c1")[0]) == " ab c1"
    assert model.cfg.default_prepend_bos is False  # its tokenizer puts none in front
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "ab"}], tokenize=False)
    assert chat == "ab</s>"


def test_a_tokenizer_that_begins_with_bos(path: Path) -> None:
    write(path, "llama", hugging_face("llama"), lambda w: w.add_add_bos_token(True))
    model = load(str(path))
    assert model.tokenizer("ab")["input_ids"] == [0, 8]
    assert model.cfg.default_prepend_bos is True
    assert model.to_tokens("ab").tolist() == [[0, 8]]  # once


def override(
    name: str, value: Any, kind: gguf.GGUFValueType, of: gguf.GGUFValueType | None = None
) -> Callable:
    """A change that replaces an entry of the metadata, or with value None takes it away."""

    def change(writer: gguf.GGUFWriter) -> None:
        for entries in writer.kv_data:
            entries.pop(name, None)
        if value is not None:
            writer.kv_data[0][name] = gguf.gguf_writer.GGUFValue(value, kind, of)

    return change


TEXT, U32, F32, LIST = (gguf.GGUFValueType[kind] for kind in ("STRING", "UINT32", "FLOAT32", "ARRAY"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            override("tokenizer.ggml.model", "rwkv", TEXT),
            "has a tokenizer of the kind 'rwkv'; gpt2 and llama",
        ),
        (override("tokenizer.ggml.model", None, TEXT), "does not say tokenizer.ggml.model"),
        (
            override("tokenizer.ggml.pre", "klingon", TEXT),
            "splits words like 'klingon'; known are gpt-2, llama-bpe",
        ),
        (override("tokenizer.ggml.tokens", None, LIST), "does not say tokenizer.ggml.tokens"),
        (override("tokenizer.ggml.tokens", ["a"] * 12, LIST, TEXT), "12 tokens, 1 of them different"),
        (
            override("tokenizer.ggml.tokens", ["a", "b"], LIST, TEXT),
            "2 tokens, 2 of them different, 12 kinds",
        ),
        (override("tokenizer.ggml.merges", ["a"], LIST, TEXT), "has a tokenizer that cannot be read ("),
        (override("tokenizer.ggml.merges", ["x y"], LIST, TEXT), "has a tokenizer that cannot be read ("),
        (
            override("tokenizer.ggml.merges", "a b", TEXT),
            "says tokenizer.ggml.merges = a b; expected a value",
        ),
        (override("tokenizer.ggml.bos_token_id", 999, U32), "has a tokenizer that cannot be read ("),
        (override("tokenizer.ggml.bos_token_id", "0", TEXT), "has a tokenizer that cannot be read ("),
    ],
)
def test_a_tokenizer_that_cannot_be_read(path: Path, change: Callable, words: str) -> None:
    write(path, "llama", hugging_face("llama"), change)
    refused(path, words)
    from transformers import GPT2TokenizerFast  # any other one in its place

    assert (
        load(str(path), tokenizer=GPT2TokenizerFast(vocab={"a": 0, "b": 1}, merges=[])).cfg.d_vocab == D_VOCAB
    )


# ---------------------------------------------------------------- damaged files


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelFileError) as error:
        load(str(path))
    message = str(error.value)
    assert message.startswith(str(path))
    assert words in message, message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            override("general.architecture", "mamba", TEXT),
            "a model of the architecture 'mamba'; built for GGUF are gpt2",
        ),
        (override("general.architecture", None, TEXT), "does not say general.architecture"),
        (override("llama.expert_count", 8, U32), "is a mixture of experts; dense models are built"),
        (override("llama.block_count", 3, U32), "its config says 3 layers, the files hold 2"),
        (
            override("llama.block_count", 2**31, U32),
            "num_hidden_layers = 2147483648; expected a whole number",
        ),
        (
            override("llama.block_count", "2", TEXT),
            "says llama.block_count = 2; expected a value of type int",
        ),
        (override("llama.embedding_length", 2**23, U32), "does not fit its config"),
        (override("llama.embedding_length", None, U32), "does not say llama.embedding_length"),
        (
            override("llama.attention.head_count", 0, U32),
            "llama.attention.head_count = 0; expected at least 1",
        ),
        (override("llama.context_length", 2**31, U32), "max_position_embeddings = 2147483648; expected"),
        (
            override("llama.attention.layer_norm_rms_epsilon", 1, U32),
            "rms_epsilon = 1; expected a value of type float",
        ),
        (override("llama.rope.dimension_count", 4, U32), "rotates only a part of each head"),
        (override("llama.rope.scaling.type", "yarn", TEXT), "does not say llama.rope.scaling.factor"),
        (
            lambda w: override("llama.rope.scaling.type", "yarn", TEXT)(w) or w.add_rope_scaling_factor(2.0),
            "'yarn'",
        ),
        (
            lambda w: w.add_tensor("rope_freqs.weight", np.ones(4, np.float32)),
            "no place for the tensor 'rope_freqs",
        ),
        (
            lambda w: w.add_tensor("blk.7.attn_q.bias", np.ones(32, np.float32)),
            "the files hold layers 0, 1, 7",
        ),
        (
            lambda w: w.add_tensor(
                "x.weight", np.zeros((2, 24), np.uint8), raw_dtype=gguf.GGMLQuantizationType.I8
            ),
            "packs 'x.weight' in the way number 24, which the installed gguf package cannot unpack",
        ),
    ],
)
def test_a_model_that_is_not_built_or_does_not_fit(path: Path, change: Callable, words: str) -> None:
    write(path, "llama", hugging_face("llama"), change)
    refused(path, words)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "good.gguf"
    write(path, "llama", hugging_face("llama"))
    return path


def test_a_truncated_file(good: Path, path: Path) -> None:
    data = good.read_bytes()
    for length, words in [
        (len(data) - 64, "is truncated: it has"),
        (len(data) // 2, "is truncated: it has"),
        (300, "is truncated"),
        (20, "is truncated: it ends after 20 bytes, in its header"),
        (0, "is empty; expected a GGUF file"),
    ]:
        path.write_bytes(data[:length])
        refused(path, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(100), "begins with b'PK\\x03\\x04'; a GGUF file begins with b'GGUF'"),
        (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "has version 1 of GGUF; 2 and 3 are read"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "has version 50331648 of GGUF"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**60), "header counts 1152921504606846976 entries in a list"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**60, 0), "does not say general.architecture"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"a", 9, 4, 2**60), "entries in a list"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"a", 9, 9, 2), "a list of the unknown type 9"),
        (struct.pack("<4sIQQQ1sII", b"GGUF", 3, 0, 1, 1, b"a", 77, 0), "a value of the unknown type 77"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**63) + bytes(50), "entries in a list"),
    ],
)
def test_a_header_that_lies(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    refused(path, words)


def test_a_number_that_is_no_number(path: Path) -> None:
    hf_model = hugging_face("llama")
    with torch.no_grad():
        hf_model.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    write(path, "llama", hf_model)
    refused(path, "'model.layers.1.mlp.up_proj.weight' holds NaN or infinity")


def test_a_directory_and_a_name_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no config.json"):
        load(str(tmp_path / "folder.gguf"))
    with pytest.raises(ValueError, match="no model named"):
        load(str(tmp_path / "absent.gguf"))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bytes_changed_at_random(good: Path, path: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 3000))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[place : place + len(new)] = new
    path.write_bytes(content)
    try:
        load(str(path))
    except ModelFileError as error:
        assert 20 < len(str(error)) < 1000  # noqa: PT017
