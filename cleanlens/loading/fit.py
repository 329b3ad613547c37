"""Whether a config and the tensors of its files belong together, asked before anything is allocated."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cleanlens.config import HookedTransformerConfig
from cleanlens.loading.checked import ModelFileError, short
from cleanlens.loading.formats import Stored, WeightFile

WEIGHT_KINDS = ("float32", "float16", "bfloat16", "float64")
LARGEST = 2**24  # of any size: longer than every context and larger than every vocabulary there is

# What config.json may say, by the names of all families. A field that is null or missing has a default.
SIZES = [
    "n_layer",
    "n_head",
    "n_embd",
    "n_positions",
    "n_ctx",
    "n_inner",
    "vocab_size",
    "num_layers",
    "num_heads",
    "hidden_size",
    "head_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "ffn_dim",
    "word_embed_proj_dim",
    "max_position_embeddings",
    "rotary_dim",
    "window_size",
    "type_vocab_size",
    "n_layers",
    "n_heads",
    "d_model",
    "d_head",
    "d_mlp",
    "d_vocab",
    "d_vocab_out",
    "n_key_value_heads",
]
NUMBERS = [
    "layer_norm_epsilon",
    "layer_norm_eps",
    "rms_norm_eps",
    "rope_theta",
    "rotary_pct",
    "rotary_emb_base",
    "partial_rotary_factor",
    "eps",
    "attn_scale",
]
FLAGS = [
    "tie_word_embeddings",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "add_cross_attention",
    "attention_bias",
    "mlp_bias",
    "use_parallel_residual",
    "use_sliding_window",
    "do_layer_norm_before",
    "attn_only",
]
TEXTS = ("model_type", "activation_function", "hidden_act", "act_fn", "normalization_type", "tokenizer")


def check_fields(fields: Mapping[str, Any], source: str) -> None:
    """Raise ModelFileError for a field of config.json that has a value of another type, or an absurd one."""

    def is_size(value: Any) -> bool:
        # -1 is our own way to say "from the others".
        return type(value) is int and (0 < value <= LARGEST or value == -1)

    def is_number(value: Any) -> bool:
        return type(value) in (int, float) and abs(value) < float("inf")

    checks: list[tuple[Any, Callable[[Any], bool], str]] = [
        (SIZES, is_size, f"a whole number from 1 to {LARGEST}"),
        (NUMBERS, is_number, "a finite number"),
        (FLAGS, lambda value: type(value) is bool, "true or false"),
        (TEXTS, lambda value: type(value) is str, "a text"),
    ]
    for names, holds, expected in checks:
        for name in names:
            value = fields.get(name)
            if value is not None and not holds(value):
                raise ModelFileError(
                    f"{source}: its config says {name} = {shown(value)}; expected {expected}. "
                    "Correct it, or get the model again"
                )


def shown(value: Any) -> str:
    """A value, cut when it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested, or a number of more digits than Python writes
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."


def config_of(family: Any, fields: Mapping[str, Any], source: str) -> HookedTransformerConfig:
    """The family's reading of config.json.

    Raises:
        ModelFileError: a field is of a wrong type, or the family has no such model.
    """
    check_fields(fields, source)
    try:
        cfg = family.config(fields)
    except KeyError as error:
        raise ModelFileError(f"{source}: its config does not say {error.args[0]}. Get it again") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ModelFileError(f"{source}: its config does not describe a model: {short(error, 400)}") from None
    for name in ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "d_vocab_out"):
        if type(getattr(cfg, name)) is not int:
            raise ModelFileError(
                f"{source}: its config does not give {name} ({getattr(cfg, name)}). Get it again"
            )
    return cfg


def plan(
    cls: Any,
    stored: Mapping[str, Stored],
    family: Any,
    cfg: HookedTransformerConfig,
    source: str,
) -> dict[str, list[str]]:
    """Which of our parameters each tensor will fill. Shapes are compared on tensors without content.

    Raises:
        ModelFileError: a tensor is left over, missing, of another shape, not of floating-point numbers, or
            there twice; or the number of layers differs.
    """
    tied = cfg.tie_word_embeddings
    kinds = [*WEIGHT_KINDS, *getattr(family, "MORE_KINDS", ())]
    may_repeat = getattr(family, "STATED_TWICE", set()) | ({"unembed.W_U"} if tied else set())
    fills: dict[str, list[str]] = {}
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for theirs, (shape, kind) in stored.items():
        given = f"the tensor {theirs[:100]!r} of shape {list(shape)}"
        try:
            ours = dict(family.convert(theirs, torch.empty(shape, device="meta"), cfg, tied))
        except KeyError:
            raise ModelFileError(f"{source}: no place for {given}") from None
        except Exception as error:
            raise ModelFileError(f"{source}: {given} does not fit its config ({short(error)})") from None
        if ours and kind not in kinds:
            raise ModelFileError(
                f"{source}: {given} holds {kind}; expected {', '.join(kinds)}. "
                "Get the model in one of these (of quantised files only GGUF is read)"
            )
        for name, value in ours.items():
            if name in shapes and name not in may_repeat:
                raise ModelFileError(
                    f"{source}: both {shapes[name][0]!r} and {theirs!r} give {name}; expected one of them. "
                    "Get the model again"
                )
            shapes[name] = theirs, tuple(value.shape)
        fills[theirs] = list(ours)

    layers = {int(match[1]) for name in shapes if (match := re.match(r"blocks\.(\d+)\.", name))}
    if layers != set(range(min(cfg.n_layers, len(layers) + 1))):
        raise ModelFileError(
            f"{source}: its config says {cfg.n_layers} layers, the files hold {_counted(layers)}. "
            "Correct it; to leave layers out, use first_n_layers"
        )
    with torch.device("meta"):
        expected = dict(cls(replace(cfg, tokenizer_name=None), move_to_device=False).named_parameters())
    for name, (theirs, shape) in shapes.items():
        if name not in expected:
            raise ModelFileError(
                f"{source}: no place for the tensor {theirs!r} of shape {list(stored[theirs].shape)}"
            )
        if shape != tuple(expected[name].shape):
            raise ModelFileError(
                f"{source}: {theirs!r} gives {name} the shape {list(shape)}; "
                f"by its config it is {list(expected[name].shape)}"
            )
    # What not every model of a family has stays as it is built (biases: zero), if no layer has it.
    absent = tuple(end for end in family.OPTIONAL if not any(name.endswith(end) for name in shapes))
    missing = sorted(name for name in expected if name not in shapes and not name.endswith(absent))
    if missing:
        more = f" and {len(missing) - 8} more" * (len(missing) > 8)
        raise ModelFileError(f"{source}: no tensor for {missing[:8]}{more}. Get the model again")
    return fills


def _counted(layers: set[int]) -> str:
    """How many there are, or which ones when some between them are missing."""
    if layers == set(range(len(layers))):
        return str(len(layers))
    return "layers " + ", ".join(map(str, sorted(layers)[:8])) + ", ..." * (len(layers) > 8)


def all_stored(weights: Sequence[WeightFile], source: str) -> dict[str, Stored]:
    """What all files of a model hold together.

    Raises:
        ModelFileError: two of them hold the same tensor.
    """
    stored: dict[str, Stored] = {}
    for file in weights:
        if twice := sorted(stored.keys() & file.stored.keys()):
            raise ModelFileError(f"{source}: two files hold the tensor {twice[0]!r}; get the model again")
        stored |= file.stored
    return stored


def check_values(name: str, source: Tensor, place: Tensor, where: str) -> None:
    """Raise ModelFileError when a weight that was just copied is not finite."""
    if not place.numel():
        return
    low, high = torch.aminmax(place.detach())
    if not (low.isfinite() and high.isfinite()):
        if torch.isfinite(source).all():
            raise ModelFileError(
                f"{where}: {name!r} has values that {str(place.dtype).removeprefix('torch.')} cannot hold; "
                "load it with dtype='float32'"
            )
        raise ModelFileError(
            f"{where}: {name!r} holds NaN or infinity; expected finite numbers. Get the model again"
        )
