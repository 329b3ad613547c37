"""Trained weights into a HookedTransformer, from the package, a directory, the hub, or a model in memory."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading import bert, gpt2, gpt_neo, gpt_neox, gptj, interpretability, llama, native, opt
from cleanlens.loading.files import download, read_config, read_tensors, weight_files
from cleanlens.loading.names import (
    ALIASES,
    MODELS,
    choose_checkpoint,
    embedded_models,
    get_checkpoint_labels,
    official_name,
)
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

__all__ = [
    "ALIASES",
    "embedded_models",
    "find_model",
    "get_checkpoint_labels",
    "load_pretrained",
    "official_name",
]


def load_pretrained(
    cls: type[Model],
    model_name: str | None = None,
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    refactor_factored_attn_matrices: bool = False,
    fold_value_biases: bool = True,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    hf_model: Any = None,
    device: str | torch.device | None = None,
    tokenizer: Any = None,
    move_to_device: bool = True,
    default_prepend_bos: bool | None = None,
    default_padding_side: PaddingSide | None = None,
    dtype: str | torch.dtype = "float32",
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    **hf_kwargs: Any,
) -> Model:
    """A model with trained weights.

    Args:
        model_name: an embedded model (`embedded_models()`), a published alias such as "gpt2-small", a
            Hugging Face id, or a local directory. Only the hub needs a network, and only the first time.
        fold_ln, center_writing_weights, center_unembed, refactor_factored_attn_matrices, fold_value_biases:
            which of `cleanlens.weight_processing` to apply.
        checkpoint_index, checkpoint_value: a moment of the training, by number or by label
            (`get_checkpoint_labels`).
        hf_model: a model of `transformers` in memory to copy the weights from.
        device: None: `utils.get_device()`.
        tokenizer: instead of the model's own.
        default_prepend_bos, default_padding_side, n_ctx: instead of the config's; n_ctx can only shorten.
        dtype: of the weights, whatever the files hold.
        first_n_layers: leave out the layers after these.
        hf_kwargs: `torch_dtype` means dtype and `revision` chooses a version on the hub; others raise.

    Raises:
        ValueError: unknown name, damaged file, a weight that is missing, left over or of another shape.
        ConnectionError: the model is not on this machine and the hub cannot be reached.
    """
    dtype = hf_kwargs.pop("torch_dtype", dtype)
    revision = hf_kwargs.pop("revision", None)
    if hf_kwargs:
        raise TypeError(f"from_pretrained: unknown options {sorted(hf_kwargs)}")
    folder: Path | None = None
    if hf_model is not None:
        fields, source = hf_model.config.to_dict(), "hf_model"
        tensors: Iterable[tuple[str, Tensor]] = hf_model.state_dict().items()
        name = model_name or "custom"
        label = None
    else:
        if model_name is None:
            raise ValueError("from_pretrained: give a model_name or an hf_model")
        name = str(model_name)
        label = choose_checkpoint(name, checkpoint_index, checkpoint_value)
        folder, files = find_model(name, revision, label)
        fields, source = read_config(folder), str(folder)
        if not files:
            raise ValueError(f"{folder} holds no weights: neither model.safetensors nor pytorch_model.bin")
        tensors = (item for file in files for item in read_tensors(file))

    family = family_of(fields, source)
    if getattr(family, "IS_ENCODER", False) != (cls.__name__ == "HookedEncoder"):
        right = "HookedEncoder" if cls.__name__ != "HookedEncoder" else "HookedTransformer"
        raise ValueError(f"{source}: model_type is {fields['model_type']!r}; use {right}.from_pretrained")
    cfg: HookedTransformerConfig = family.config(fields)
    cfg.tie_word_embeddings = fields.get("tie_word_embeddings", family.TIED)
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

    model = cls(
        cfg, tokenizer or _tokenizer(folder, model_name, fields), default_padding_side=default_padding_side
    )
    _fill(model, tensors, family, whole, source)
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
        ValueError: there is none, or the weights are quantized.
    """
    if "model_type" not in fields and fields.keys() >= {"d_model", "n_layers", "attn_only"}:
        fields |= {"model_type": "neel", "_name_or_path": source}
    kind = fields.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(
            f"{source}: model_type is {kind!r}; cleanlens loads {', '.join(sorted(FAMILIES))}. A family is one file in "
            "cleanlens/loading (llama.py is one to start from), and what its blocks are made of is in "
            "cleanlens/components"
        )
    if fields.get("quantization_config"):
        method = dict(fields["quantization_config"]).get("quant_method", "unknown")
        raise ValueError(
            f"{source}: its weights are quantized ({method}); cleanlens needs them as float32, float16 or bfloat16"
        )
    return FAMILIES[kind]


def find_model(name: str, revision: str | None = None, label: int | None = None) -> tuple[Path, list[Path]]:
    """The model's folder and its weight files."""
    embedded = MODELS / name
    if name in embedded_models():
        return embedded, [
            embedded / f"checkpoints/step-{label:06d}.safetensors"
        ] if label is not None else weight_files(embedded)
    if Path(name).is_dir():
        return Path(name), weight_files(Path(name))
    official = official_name(name)
    if official.startswith("NeelNanda/"):
        return interpretability.fetch(official, revision, label)
    if label is not None:
        revision = f"checkpoint-{label}" if official.startswith("stanford-crfm/") else f"step{label}"
    folder = download(official, revision)
    return folder, weight_files(folder)


@torch.no_grad()
def _fill(
    model: Any,
    tensors: Iterable[tuple[str, Tensor]],
    family: Any,
    whole: HookedTransformerConfig,
    source: str,
) -> None:
    """Copy each tensor to its place, cast to the model's type, and check that every place got one.

    Args:
        whole: the config of what the tensors hold, of which the model may have fewer layers and positions.
    """
    parameters = dict(model.named_parameters())
    missing = set(parameters)
    for theirs, tensor in tqdm(tensors, desc="loading", unit="tensor", delay=2, leave=False):
        try:
            ours = list(family.convert(theirs, tensor, whole, whole.tie_word_embeddings))
        except KeyError:
            raise ValueError(
                f"{source}: no place for the tensor {theirs!r} of shape {list(tensor.shape)}"
            ) from None
        except Exception as error:
            raise ValueError(
                f"{source}: the tensor {theirs!r} of shape {list(tensor.shape)} does not fit config.json ({error})"
            ) from None
        for name, value in ours:
            block, _, _ = name.removeprefix("blocks.").partition(".")
            if block.isdigit() and model.cfg.n_layers <= int(block) < whole.n_layers:
                continue  # first_n_layers leaves it out
            if name not in parameters:
                raise ValueError(
                    f"{source}: no place for the tensor {theirs!r} of shape {list(tensor.shape)}"
                )
            place = parameters[name]
            if name.endswith("pos_embed.W_pos") and len(value) == whole.n_ctx:
                value = value[: model.cfg.n_ctx]
            if value.shape != place.shape:
                raise ValueError(
                    f"{source}: {theirs!r} gives {name} the shape {list(value.shape)}; "
                    f"by config.json it is {list(place.shape)}"
                )
            place.copy_(value)
            missing.discard(name)
    # What not every model of a family has stays as it was built (biases: zero), if no layer has it.
    given = parameters.keys() - missing
    absent = [end for end in family.OPTIONAL if not any(name.endswith(end) for name in given)]
    missing = {name for name in missing if not name.endswith(tuple(absent))}
    if missing:
        raise ValueError(f"{source}: no tensor for {sorted(missing)}")


def _tokenizer(folder: Path | None, model_name: str | None, fields: dict[str, Any]) -> Any:
    """The tokenizer that lies beside the weights, or that config.json names; None when there is none."""
    if folder is None and model_name is not None:
        if model_name in embedded_models():
            folder = MODELS / model_name
        elif Path(model_name).is_dir():
            folder = Path(model_name)
    if folder is not None and "tokenizer" in fields:
        folder = MODELS / fields["tokenizer"]
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if folder is None and model_name in ALIASES:
        try:
            return AutoTokenizer.from_pretrained(official_name(model_name), local_files_only=True)
        except OSError:
            return None
    has_its_own = folder is not None and any(
        (folder / name).exists() for name in ("tokenizer.json", "vocab.json", "vocab.txt")
    )
    if not has_its_own and fields.get("tokenizer_name"):  # the interpretability models share one
        try:
            return AutoTokenizer.from_pretrained(fields["tokenizer_name"])
        except OSError:
            return None
    if folder is None or not has_its_own:
        return None
    # AutoTokenizer looks the kind up in config.json, where transformers knows its own model types only.
    kind = PreTrainedTokenizerFast if fields["model_type"] == "cleanlens" else AutoTokenizer
    return kind.from_pretrained(folder)
