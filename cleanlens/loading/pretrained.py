"""Trained weights into a HookedTransformer, from the package, a directory, the hub, or a model in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading import bert, gpt2, gpt_neo, gpt_neox, gptj, interpretability, llama, native, opt
from cleanlens.loading.checked import ModelFileError
from cleanlens.loading.fetch import fetched_gguf, in_hub_cache
from cleanlens.loading.files import download, open_weights, read_config, weight_files
from cleanlens.loading.fit import all_stored, check_values, config_of, plan, shown
from cleanlens.loading.formats import InMemory, WeightFile
from cleanlens.loading.gguf import Gguf
from cleanlens.loading.names import (
    MODELS,
    choose_checkpoint,
    embedded_models,
    get_checkpoint_labels,
    official_name,
)
from cleanlens.loading.tokenizer import read_tokenizer
from cleanlens.tokenization import PaddingSide
from cleanlens.utils import get_device
from cleanlens.weight_processing import process_weights_

# model_type in config.json -> the family that reads it.
FAMILIES: dict[str, Any] = {
    "gpt2": gpt2,
    "gpt_neo": gpt_neo,
    "gpt_neox": gpt_neox,
    "gptj": gptj,
    "opt": opt,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), llama),
    "neel": interpretability,
    "bert": bert,
    "cleanlens": native,
}

Model = TypeVar("Model", bound=Any)  # HookedTransformer, HookedEncoder or what is derived from them


def load_pretrained(
    cls: type[Model],
    model_name: str | None = None,
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    refactor_factored_attn_matrices: bool = False,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    hf_model: Any = None,
    device: str | torch.device | None = None,
    n_devices: int = 1,
    tokenizer: Any = None,
    move_to_device: bool = True,
    fold_value_biases: bool = True,
    default_prepend_bos: bool | None = None,
    default_padding_side: PaddingSide | None = None,
    dtype: str | torch.dtype = "float32",
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    checkpoint_label: int | None = None,
    **hf_kwargs: Any,
) -> Model:
    """A model with trained weights. The order of the options is the published one.

    Args:
        model_name: an embedded model (`embedded_models()`), a published alias such as "gpt2-small", a
            Hugging Face id, a local directory, or a GGUF file. Only the hub needs a network, and only the first time.
        fold_ln, center_writing_weights, center_unembed, refactor_factored_attn_matrices, fold_value_biases:
            which of `cleanlens.weight_processing` to apply.
        checkpoint_index, checkpoint_value: a moment of the training, by number or by label
            (`get_checkpoint_labels`); checkpoint_label is another name of checkpoint_value.
        hf_model: a model of `transformers` in memory to copy the weights from.
        device: None: `utils.get_device()`.
        n_devices: 1; a model is never spread over several.
        tokenizer: instead of the model's own.
        default_prepend_bos, default_padding_side, n_ctx: instead of the config's; n_ctx can only shorten.
        dtype: of the weights, whatever the files hold.
        first_n_layers: leave out the layers after these.
        hf_kwargs: `torch_dtype` means dtype and `revision` chooses a version on the hub; others raise.

    Raises:
        ValueError: there is no such name.
        ModelFileError: a file is damaged, or does not fit its config (a ValueError, too).
        ConnectionError: the model is not on this machine and the hub cannot be reached.
    """
    dtype = hf_kwargs.pop("torch_dtype", dtype)
    revision = hf_kwargs.pop("revision", None)
    if hf_kwargs:
        raise TypeError(f"from_pretrained: unknown options {sorted(hf_kwargs)}")
    if n_devices != 1:
        raise ValueError(f"n_devices = {n_devices}; cleanlens keeps a model on one device, so it must be 1")
    checkpoint_value = checkpoint_label if checkpoint_value is None else checkpoint_value
    folder: Path | None = None
    if hf_model is not None:
        fields, source = hf_model.config.to_dict(), "hf_model"
        weights: list[WeightFile] = [InMemory(hf_model.state_dict())]
        name = model_name or "custom"
        label = None
    else:
        if model_name is None:
            raise ValueError("from_pretrained: give a model_name or an hf_model")
        name = str(model_name)
        label = choose_checkpoint(name, checkpoint_index, checkpoint_value)
        folder, files = find_model(name, revision, label)
        fields, weights, source = open_model(folder, files)

    family = family_of(fields, source)
    if getattr(family, "IS_ENCODER", False) != (cls.__name__ == "HookedEncoder"):
        right = "HookedEncoder" if cls.__name__ != "HookedEncoder" else "HookedTransformer"
        raise ValueError(f"{source}: model_type is {fields['model_type']!r}; use {right}.from_pretrained")
    cfg = config_of(family, fields, source)
    cfg.tie_word_embeddings = fields.get("tie_word_embeddings", family.TIED)
    fills = plan(cls, all_stored(weights, source), family, cfg, source)
    cfg.dtype = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)
    cfg.model_name, cfg.device = name, "cpu"
    whole = replace(cfg)  # before parts are left out
    if first_n_layers is not None:
        if first_n_layers < 1:
            raise ValueError(f"first_n_layers = {first_n_layers}; it must be at least 1")
        cfg = replace(cfg, n_layers=min(cfg.n_layers, first_n_layers))
    if n_ctx is not None:
        if n_ctx > whole.n_ctx:
            raise ValueError(f"n_ctx = {n_ctx}; {name} has learned only {whole.n_ctx} positions")
        cfg.n_ctx = n_ctx
    if default_prepend_bos is not None:
        cfg.default_prepend_bos = default_prepend_bos
    if label is not None:
        labels, cfg.checkpoint_label_type = get_checkpoint_labels(name)
        cfg.from_checkpoint, cfg.checkpoint_value = True, label
        cfg.checkpoint_index = labels.index(label)

    if tokenizer is None:
        gguf = weights[0] if isinstance(weights[0], Gguf) else None
        tokenizer = gguf.tokenizer() if gguf else read_tokenizer(folder, model_name, fields)
    model = cls(cfg, tokenizer, default_padding_side=default_padding_side)
    if default_prepend_bos is None and family is llama and tokenizer is not None:
        # As it was trained: some of these models have seen a BOS before every text, others never.
        model.cfg.default_prepend_bos = bool(model.cfg.tokenizer_prepends_bos)
    _fill(model, weights, fills, family, whole, source)
    if not getattr(family, "IS_ENCODER", False):
        process_weights_(
            model,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
    if move_to_device:
        model.to(device or get_device())
    print(f"Loaded pretrained model {name} into {cls.__name__}")
    return model


def family_of(fields: dict[str, Any], source: str) -> Any:
    """The module that reads a config.json of these fields.

    Raises:
        ModelFileError: there is none, or the weights are quantized.
    """
    if "model_type" not in fields and fields.keys() >= {"d_model", "n_layers", "attn_only"}:
        fields |= {"model_type": "neel", "_name_or_path": source}
    kind = fields.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ModelFileError(
            f"{source}: model_type is {shown(kind)}; cleanlens loads {', '.join(sorted(FAMILIES))}. A family is one "
            "file in cleanlens/loading (llama.py is one to start from), and what its blocks are made of is in "
            "cleanlens/components"
        )
    if quantized := fields.get("quantization_config"):
        method = quantized.get("quant_method") if isinstance(quantized, dict) else quantized
        raise ModelFileError(
            f"{source}: its weights are quantized ({shown(method)}); cleanlens needs them as float32, float16 or "
            "bfloat16, or quantized as a GGUF file"
        )
    return FAMILIES[kind]


def find_model(name: str, revision: str | None = None, label: int | None = None) -> tuple[Path, list[Path]]:
    """The model's folder and its weight files; one GGUF file holds all.

    Raises:
        ValueError: there is no such name.
        ConnectionError: the model is not on this machine and the hub cannot be reached.
    """
    embedded = MODELS / name
    if name in embedded_models():
        # The last checkpoint is the finished model and is not stored twice.
        finished = label is None or label == get_checkpoint_labels(name)[0][-1]
        return embedded, weight_files(embedded) if finished else [
            embedded / f"checkpoints/step-{label:06d}.safetensors"
        ]
    if Path(name).is_dir():
        return Path(name), weight_files(Path(name))
    if name.endswith(".gguf") and Path(name).exists():
        return Path(name).parent, [Path(name)]
    if (file := fetched_gguf(name)) and not in_hub_cache(name):
        return file.parent, [file]
    official = official_name(name)
    if official.startswith("NeelNanda/"):
        return interpretability.fetch(official, revision, label)
    if label is not None:
        revision = f"checkpoint-{label}" if official.startswith("stanford-crfm/") else f"step{label}"
    folder = download(official, revision)
    return folder, weight_files(folder)


def open_model(folder: Path, files: Sequence[Path]) -> tuple[dict[str, Any], list[WeightFile], str]:
    """A model's config as config.json has it, its files of tensors, and what to call them in a message.

    Raises:
        FileNotFoundError, ModelFileError: a file is missing or damaged.
    """
    if files and files[0].suffix == ".gguf":
        gguf = Gguf(files[0])
        return gguf.fields, [gguf], str(files[0])
    fields = read_config(folder)
    if not files:
        raise ModelFileError(f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin")
    return fields, [open_weights(file) for file in files], str(folder)


@torch.no_grad()
def _fill(
    model: Any,
    weights: Sequence[WeightFile],
    fills: Mapping[str, list[str]],
    family: Any,
    whole: HookedTransformerConfig,
    source: str,
) -> None:
    """Copy each tensor that the model needs to its place, cast to the model's type.

    Args:
        fills: which of our parameters each tensor gives, as `fit.plan` found out.
        whole: the config of what the tensors hold, of which the model may have fewer layers and positions.
    """
    parameters = dict(model.named_parameters())
    wanted = {theirs for theirs, ours in fills.items() if any(name in parameters for name in ours)}
    tensors = (item for file in weights for item in file.read([n for n in file.stored if n in wanted]))
    filled = set()
    for theirs, tensor in tqdm(
        tensors, desc="loading", unit="tensor", total=len(wanted), delay=2, leave=False
    ):
        for name, value in family.convert(theirs, tensor, whole, whole.tie_word_embeddings):
            if name not in parameters:
                continue  # of a layer that first_n_layers leaves out
            place = parameters[name]
            if name.endswith("pos_embed.W_pos") and len(value) == whole.n_ctx:
                value = value[: model.cfg.n_ctx]
            if name in filled and not value.to(place).equal(place):
                raise ModelFileError(
                    f"{source}: its config says tie_word_embeddings, but the file holds an unembedding of its "
                    f"own, {theirs!r}, with other values. Set tie_word_embeddings to false to use it"
                    if name == "unembed.W_U"
                    else f"{source}: {theirs!r} and another tensor both give {name}, with other values. "
                    "Get the model again"
                )
            place.copy_(value)
            check_values(theirs, value, place, source)
            filled.add(name)
