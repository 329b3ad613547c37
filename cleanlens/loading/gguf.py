"""GGUF, the format of llama.cpp: a whole model in one file, its numbers quantised, its tokenizer inside.

The header is read here and every count in it checked against the length of the file, which the `gguf` package's own
reader does not do (and it takes seconds where this takes a tenth of one). What the quantised blocks mean is that
package's business: a tensor is unpacked when it is asked for, one at a time. Names and sizes come out as Hugging
Face's, so that a family reads them like any other file.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import re
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cleanlens.loading.checked import ModelFileError, checked_file, short
from cleanlens.loading.formats import Stored

# Types of metadata: 8 is a text, 9 an array, the others are numbers.
NUMBERS = dict(enumerate(["B", "b", "<H", "<h", "<I", "<i", "<f", "?"])) | {10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9

# GGUF's name of a tensor -> Hugging Face's; what follows the number of a layer has a table of its own.
LLAMA = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LLAMA_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GPT2 = {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f", "output": "lm_head"}
GPT2_LAYER = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
# general.architecture -> tables, and what a layer is called.
ARCHITECTURES = {
    **dict.fromkeys(("llama", "qwen2", "qwen3"), (LLAMA, LLAMA_LAYER, "model.layers")),
    "gpt2": (GPT2, GPT2_LAYER, "h"),
}


class Gguf:
    """A GGUF file. Only its header has been read.

    Attributes:
        metadata: everything that the file says of itself.
        fields: the same as Hugging Face's config.json has it.
        stored: its tensors, by Hugging Face's names, unpacked.

    Raises:
        ModelFileError: it is damaged, of another architecture, or quantised in a way that nobody here knows.
    """

    def __init__(self, path: Path):
        self.path = checked_file(path)
        if not path.stat().st_size:
            raise self._error("is empty; expected a GGUF file. Get it again")
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._place = 0
        magic, version, n_tensors, n_entries = self._unpack("<4sIQQ")
        if magic != b"GGUF":
            raise self._error(f"begins with {magic!r}; a GGUF file begins with b'GGUF'")
        if version not in (2, 3):
            raise self._error(f"has version {version} of GGUF; 2 and 3 are read. Convert the model again")
        self.metadata: dict[str, Any] = {}
        for _ in range(self._count(n_entries, 13)):
            name = self._text()
            self.metadata[name] = self._value(self._unpack("<I")[0])

        architecture = self.value("general.architecture", str)
        if architecture not in ARCHITECTURES:
            raise self._error(
                f"holds a model of the architecture {architecture[:40]!r}; built for GGUF are "
                f"{', '.join(sorted(ARCHITECTURES))}. Load the model's safetensors files, if their family is built"
            )
        self.architecture = architecture
        self.stored: dict[str, Stored] = {}
        self._packed: dict[str, tuple[Any, int, int]] = {}  # kind of blocks, first byte, number of bytes
        self._read_tensor_table(n_tensors)
        self.fields = self._fields()

    def _error(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.path} {what}")

    # ------------------------------------------------------------ the header

    def _take(self, n_bytes: int) -> int:
        """Step over so many bytes; where they begin."""
        start, self._place = self._place, self._place + n_bytes
        if self._place > len(self._data):
            raise self._error(
                f"is truncated: it ends after {len(self._data)} bytes, in its header. Get it again"
            )
        return start

    def _unpack(self, form: str) -> tuple:
        return struct.unpack_from(form, self._data, self._take(struct.calcsize(form)))

    def _count(self, n: int, n_bytes: int) -> int:
        """A number of things of at least so many bytes each, if the file is long enough for them."""
        if n * n_bytes > len(self._data) - self._place:
            raise self._error(
                f"is truncated or damaged: it has {len(self._data)} bytes and its header counts {n} entries in a "
                "list. Get it again"
            )
        return n

    def _text(self) -> str:
        n_bytes = self._count(self._unpack("<Q")[0], 1)
        start = self._take(n_bytes)
        return self._data[start : start + n_bytes].decode("utf-8", errors="replace")

    def _value(self, kind: int) -> Any:
        if kind in NUMBERS:
            return self._unpack(NUMBERS[kind])[0]
        if kind == TEXT:
            return self._text()
        if kind != ARRAY:
            raise self._error(f"is damaged: its header has a value of the unknown type {kind}. Get it again")
        kind, n = self._unpack("<IQ")
        if kind == TEXT:
            return [self._text() for _ in range(self._count(n, 8))]
        if kind not in NUMBERS:
            raise self._error(f"is damaged: its header has a list of the unknown type {kind}. Get it again")
        dtype = np.dtype(NUMBERS[kind])
        start = self._take(self._count(n, dtype.itemsize) * dtype.itemsize)
        return np.frombuffer(self._data, dtype, n, start).tolist()

    def value(self, name: str, kind: type, default: Any = None) -> Any:
        """An entry of the metadata, of this type; `default` when it is missing, if there is one."""
        value = self.metadata.get(name, default)
        if value is None:
            raise self._error(f"does not say {name}; its header is not whole. Convert the model again")
        if type(value) is not kind:
            raise self._error(
                f"says {name} = {str(value)[:40]}; expected a value of type {kind.__name__}. Convert the model again"
            )
        return value

    # ------------------------------------------------------------ tensors

    def _read_tensor_table(self, n_tensors: int) -> None:
        from gguf import GGML_QUANT_SIZES

        table = []
        for _ in range(self._count(n_tensors, 32)):
            name, (n_axes,) = self._text(), self._unpack("<I")
            if n_axes > 4:
                raise self._error(f"is damaged: {name[:100]!r} has {n_axes} axes. Get it again")
            # GGUF writes the innermost axis first.
            shape = self._unpack(f"<{n_axes}Q")[::-1]
            table.append((name, shape, *self._unpack("<IQ")))
        alignment = self.value("general.alignment", int, 32)
        if alignment < 1:
            raise self._error(
                f"says general.alignment = {alignment}; expected a positive number. Get it again"
            )
        start = math.ceil(self._place / alignment) * alignment

        for name, shape, kind, offset in table:
            if (packing := self._packing(kind)) is None:
                raise self._error(
                    f"packs {name[:100]!r} in the way number {kind}, which the installed gguf package cannot unpack. "
                    "Try `pip install -U gguf`, or a file with another quantisation (Q8_0, Q4_K_M, F16)"
                )
            block, n_bytes = GGML_QUANT_SIZES[packing]
            if not shape or 0 in shape or shape[-1] % block:
                raise self._error(
                    f"is damaged: {name[:100]!r} of shape {list(shape)} is no whole number of blocks. Get it again"
                )
            first, size = start + offset, math.prod(shape) // block * n_bytes
            if first + size > len(self._data):
                raise self._error(
                    f"is truncated: it has {len(self._data)} bytes, and {name[:100]!r} ends at byte {first + size}. "
                    "Get it again"
                )
            theirs = self._hugging_face_name(name)
            if theirs in self.stored:
                raise self._error(f"is damaged: it holds {name[:100]!r} twice. Get it again")
            if self._is_transposed(theirs):
                shape = shape[::-1]
            self.stored[theirs] = Stored(shape, "float32")
            self._packed[theirs] = packing, first, size

    @staticmethod
    @cache
    def _packing(kind: int) -> Any:
        """The kind of blocks with this number, if the gguf package can unpack them; tried on an empty block."""
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

        try:
            packing = GGMLQuantizationType(kind)
            dequantize(np.zeros((1, GGML_QUANT_SIZES[packing][1]), np.uint8), packing)
        except (ValueError, KeyError, NotImplementedError):
            return None
        return packing

    def _hugging_face_name(self, name: str) -> str:
        """Hugging Face's name; one that no table has stays, and the family will have no place for it."""
        outside, inside, layers = ARCHITECTURES[self.architecture]
        stem, _, leaf = name.rpartition(".")
        block = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
        if block is None:
            return f"{outside.get(stem, stem)}.{leaf}"
        return f"{layers}.{block[1]}.{inside.get(block[2], block[2])}.{leaf}"

    def _is_transposed(self, theirs: str) -> bool:
        """Hugging Face keeps GPT-2's matrices the other way round than everybody else."""
        return self.architecture == "gpt2" and theirs.startswith("h.") and theirs.endswith("weight")

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """These tensors in turn, the largest first, unpacked to float32."""
        from gguf import GGML_QUANT_SIZES, dequantize

        for name in sorted(names, key=lambda name: -math.prod(self.stored[name].shape)):
            packing, first, size = self._packed[name]
            shape = self.stored[name].shape[:: -1 if self._is_transposed(name) else 1]
            block, n_bytes = GGML_QUANT_SIZES[packing]
            packed = np.frombuffer(self._data, np.uint8, size, first)
            packed = packed.reshape(*shape[:-1], shape[-1] // block * n_bytes)
            # A copy: what is not quantised would otherwise be the mapped file itself.
            tensor = torch.from_numpy(np.array(dequantize(packed, packing), np.float32)).reshape(shape)
            if self.architecture == "llama" and (part := re.search(r"self_attn\.([qk])_proj", name)):
                heads = "num_attention_heads" if part[1] == "q" else "num_key_value_heads"
                tensor = _halves(tensor, self.fields[heads])
            yield name, tensor.T if self._is_transposed(name) and tensor.ndim == 2 else tensor

    # ------------------------------------------------------------ as config.json

    def _fields(self) -> dict[str, Any]:
        """The sizes, by Hugging Face's names."""

        def size(name: str, default: int | None = None) -> int:
            return self.value(f"{self.architecture}.{name}", int, default)

        def number(name: str, default: float | None = None) -> float:
            return self.value(f"{self.architecture}.{name}", float, default)

        width, heads = size("embedding_length"), size("attention.head_count")
        vocabulary = self.stored.get("model.embed_tokens.weight") or self.stored.get("wte.weight")
        if vocabulary is None:
            raise self._error("has no token_embd.weight; expected a whole language model")
        shared = {
            "model_type": self.architecture,
            "vocab_size": vocabulary.shape[0],
            "tie_word_embeddings": "lm_head.weight" not in self.stored,
        }
        if self.architecture == "gpt2":
            return shared | {
                "n_layer": size("block_count"),
                "n_head": heads,
                "n_embd": width,
                "n_inner": size("feed_forward_length"),
                "n_positions": size("context_length"),
                "layer_norm_epsilon": number("attention.layer_norm_epsilon"),
            }
        if size("expert_count", 0):
            raise self._error("is a mixture of experts; dense models are built. Choose one of those")
        if heads < 1:
            raise self._error(f"says {self.architecture}.attention.head_count = {heads}; expected at least 1")
        head = size("attention.key_length", width // heads)
        if size("rope.dimension_count", head) != head or size("attention.value_length", head) != head:
            raise self._error("rotates only a part of each head, which its family does not; use another file")
        return shared | {
            "num_hidden_layers": size("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": size("attention.head_count_kv", heads),
            "head_dim": head,
            "hidden_size": width,
            "intermediate_size": size("feed_forward_length"),
            "max_position_embeddings": size("context_length"),
            "rms_norm_eps": number("attention.layer_norm_rms_epsilon"),
            "rope_theta": number("rope.freq_base", 10000.0),
            "rope_scaling": self._rope_scaling(),
        }

    def _rope_scaling(self) -> dict[str, Any] | None:
        kind = self.value(f"{self.architecture}.rope.scaling.type", str, "none")
        if kind == "none":
            return None
        return {"rope_type": kind, "factor": self.value(f"{self.architecture}.rope.scaling.factor", float)}

    # ------------------------------------------------------------ the tokenizer

    def tokenizer(self) -> Any:
        """The tokenizer that the file holds.

        Raises:
            ModelFileError: it is of an unknown kind, or damaged.
        """
        kind = self.value("tokenizer.ggml.model", str)
        try:
            if kind == "gpt2":
                return self._byte_pairs()
            if kind == "llama":  # SentencePiece's kind
                from transformers import AutoTokenizer

                return AutoTokenizer.from_pretrained(self.path.parent, gguf_file=self.path.name)
        except (KeyboardInterrupt, SystemExit, ModelFileError):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            raise self._error(
                f"has a tokenizer that cannot be read ({short(error)}). Get it again, or pass tokenizer=..."
            ) from None
        raise self._error(
            f"has a tokenizer of the kind {kind[:40]!r}; gpt2 and llama are read. Pass tokenizer=..."
        )

    def _byte_pairs(self) -> Any:
        """Byte-pair encoding (GPT-2's kind, today's most common) from vocabulary and merges."""
        from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        splits = self.value("tokenizer.ggml.pre", str, "gpt-2")
        if splits not in SPLITS:
            raise self._error(
                f"has a tokenizer that splits words like {splits[:40]!r}; known are {', '.join(sorted(SPLITS))}. "
                "Pass tokenizer=..."
            )
        tokens = self.value("tokenizer.ggml.tokens", list)
        merges = [tuple(pair.split(" ", 1)) for pair in self.value("tokenizer.ggml.merges", list)]
        kinds = self.value("tokenizer.ggml.token_type", list, [1] * len(tokens))
        ids = {token: i for i, token in enumerate(tokens)}
        if len(ids) != len(tokens) or len(kinds) != len(tokens) or len(tokens) > self.fields["vocab_size"]:
            raise self._error(
                f"has a damaged tokenizer: {len(tokens)} tokens, {len(ids)} of them different, {len(kinds)} kinds, "
                f"for a vocabulary of {self.fields['vocab_size']}. Get it again"
            )
        tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=splits == "llama-bpe"))
        steps = [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS[splits]]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        # Not made of merges, but found in the text as they stand: 3 are control tokens, 4 ordinary ones.
        added = [(token, kind) for token, kind in zip(tokens, kinds) if kind in (3, 4)]
        tokenizer.add_tokens(
            [AddedToken(token, normalized=False, special=kind == 3) for token, kind in added]
        )
        roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
        special = {
            f"{role}_token": tokens[self.metadata[f"tokenizer.ggml.{name}_token_id"]]
            for role, name in roles.items()
            if f"tokenizer.ggml.{name}_token_id" in self.metadata
        }
        if self.value("tokenizer.ggml.add_bos_token", bool, False):
            bos = special["bos_token"]
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, ids[bos])]
            )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            name_or_path=str(self.path),
            clean_up_tokenization_spaces=False,
            chat_template=self.metadata.get("tokenizer.chat_template"),
            **special,
        )


def _halves(weight: Tensor, n_heads: int) -> Tensor:
    """Rows in Hugging Face's order: llama.cpp puts the two entries that are rotated together side by side, Hugging
    Face one in the first half of a head and the other in the second."""
    pairs = weight.reshape(n_heads, -1, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape)


# How text is cut before merges apply: regular expressions in turn, as the models' own tokenizers have them.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {
    "gpt-2": [WORDS],
    "smollm": [r"\p{N}", WORDS],  # every digit by itself
    "qwen2": [MODERN % 1],
    "llama-bpe": [MODERN % 3],
}
