"""Trained weights into a HookedTransformer, from the package, a directory, the hub, or a model in memory."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from cleanlens.config import HookedTransformerConfig
from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.loading import gpt2, native
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

FAMILIES: dict[str, Any] = {"gpt2": gpt2, "cleanlens": native}

__all__ = [
    "ALIASES",
    "embedded_models",
    "find_model",
    "get_checkpoint_labels",
    "load_pretrained",
    "official_name",
]


def load_pretrained(
    cls: type[HookedTransformer],
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
) -> HookedTransformer:
    """A model with trained weights.

    Args:
        model_name: an embedded model (`embedded_models()`), a published alias such as "gpt2-small", a
            Hugging Face id, or a local directory. Only the hub needs a network, and only the first time.
        fold_ln, center_writing_weights, center_unembed, refactor_factored_attn_matrices, fold_value_biases:
            which of `cleanlens.weight_processing` to apply.
        checkpoint_index, checkpoint_value: a moment of the training, by number or by label
            (`get_checkpoint_labels`).
        hf_model: a `GPT2LMHeadModel` in memory to copy the weights from.
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

    family = FAMILIES.get(fields.get("model_type", ""))
    if family is None:
        raise ValueError(
            f"{source}: model_type is {fields.get('model_type')!r}; cleanlens loads the GPT-2 family "
            f"(model_type {sorted(FAMILIES)})"
        )
    cfg: HookedTransformerConfig = family.config(fields)
    cfg.dtype = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)
    cfg.model_name, cfg.device = name, "cpu"
    learned_positions = cfg.n_ctx
    if first_n_layers is not None:
        if first_n_layers < 1:
            raise ValueError(f"first_n_layers = {first_n_layers}; it must be at least 1")
        cfg = replace(cfg, n_layers=min(cfg.n_layers, first_n_layers))
    if n_ctx is not None:
        if n_ctx > learned_positions:
            raise ValueError(f"n_ctx = {n_ctx}; {name} has learned only {learned_positions} positions")
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
    tied = fields.get("tie_word_embeddings", True)
    _fill(model, tensors, family, tied, learned_positions, source)
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
    print(f"Loaded pretrained model {name} into HookedTransformer")
    return model


def find_model(name: str, revision: str | None = None, label: int | None = None) -> tuple[Path, list[Path]]:
    """The model's folder and its weight files."""
    embedded = MODELS / name
    if name in embedded_models():
        # The last checkpoint is the finished model and is not stored twice.
        finished = label is None or label == get_checkpoint_labels(name)[0][-1]
        return embedded, weight_files(embedded) if finished else [
            embedded / f"checkpoints/step-{label:06d}.safetensors"
        ]
    if Path(name).is_dir():
        return Path(name), weight_files(Path(name))
    if label is not None:
        revision = f"checkpoint-{label}"
    folder = download(official_name(name), revision)
    return folder, weight_files(folder)


@torch.no_grad()
def _fill(
    model: HookedTransformer,
    tensors: Iterable[tuple[str, Tensor]],
    family: Any,
    tied: bool,
    learned_positions: int,
    source: str,
) -> None:
    """Copy each tensor to its place, cast to the model's type, and check that every place got one."""
    parameters = dict(model.named_parameters())
    missing = set(parameters)
    for theirs, tensor in tqdm(tensors, desc="loading", unit="tensor", delay=2, leave=False):
        try:
            ours = list(family.convert(theirs, tensor, model.cfg, tied))
        except KeyError:
            raise ValueError(
                f"{source}: no place for the tensor {theirs!r} of shape {list(tensor.shape)}"
            ) from None
        except Exception as error:
            raise ValueError(
                f"{source}: the tensor {theirs!r} of shape {list(tensor.shape)} does not fit config.json ({error})"
            ) from None
        for name, value in ours:
            if name not in parameters:
                raise ValueError(
                    f"{source}: no place for the tensor {theirs!r} of shape {list(tensor.shape)}"
                )
            place = parameters[name]
            if name == "pos_embed.W_pos" and len(value) == learned_positions:
                value = value[: model.cfg.n_ctx]
            if value.shape != place.shape:
                raise ValueError(
                    f"{source}: {theirs!r} gives {name} the shape {list(value.shape)}; "
                    f"by config.json it is {list(place.shape)}"
                )
            place.copy_(value)
            missing.discard(name)
    missing.discard("unembed.b_U")  # most families have none; ours starts at zero
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
    if folder is None or not ((folder / "tokenizer.json").exists() or (folder / "vocab.json").exists()):
        return None
    # AutoTokenizer looks the kind up in config.json, where transformers knows its own model types only.
    kind = PreTrainedTokenizerFast if fields["model_type"] == "cleanlens" else AutoTokenizer
    return kind.from_pretrained(folder)
