"""Functions of the published `utils` that only older notebooks use. `cleanlens.utils.NAME` finds them too."""

import copy
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor, nn

from cleanlens.published.activations import (  # noqa: F401, found here by their published path
    SOFTCAP_DISABLED,
    XIELU,
    apply_softcap,
    softcap_enabled,
    xielu,
)
from cleanlens.utils import ACTIVATIONS, get_corner, join_and_cut, penalize_repetition

# ---------------------------------------------------------------- activation functions

ACTIVATION_FN_DICT = SUPPORTED_ACTIVATIONS = ACTIVATIONS
gelu_pytorch_tanh = ACTIVATIONS["gelu_pytorch_tanh"]


# ---------------------------------------------------------------- initialization


def calc_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many numbers go into and come out of a weight: a vector [out], a matrix [in out] or heads [head in out]."""
    match tuple(tensor.shape):
        case (fan_out,):
            return 1, fan_out
        case (fan_in, fan_out):
            return fan_in, fan_out
        case (n_heads, fan_in, d_head):
            return fan_in, n_heads * d_head
    raise ValueError(f"fan-in and fan-out are defined for 1 to 3 axes; the shape is {list(tensor.shape)}")


def init_xavier_uniform_(param: Tensor, gain: float = 1.0) -> Tensor:
    """Fill in place, uniform, with variance 2 gain^2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""
    bound = gain * (6 / sum(calc_fan_in_and_fan_out(param))) ** 0.5
    return nn.init.uniform_(param, -bound, bound)


def init_xavier_normal_(param: Tensor, gain: float = 1.0) -> Tensor:
    """Fill in place, normal, with the same variance."""
    return nn.init.normal_(param, std=gain * (2 / sum(calc_fan_in_and_fan_out(param))) ** 0.5)


def _kaiming_std(param: Tensor, a: float, nonlinearity: Any, gain: float, mode: str) -> float:
    fan_in, fan_out = calc_fan_in_and_fan_out(param)
    return gain * nn.init.calculate_gain(nonlinearity, a) / (fan_in if mode == "fan_in" else fan_out) ** 0.5


def init_kaiming_uniform_(
    param: Tensor, a: float = 0, nonlinearity: str = "relu", gain: float = 1.0, mode: str = "fan_in"
) -> Tensor:
    """Fill in place, uniform, with standard deviation gain * calculate_gain(nonlinearity, a) / sqrt(fan)
    (He et al. 2015)."""
    bound = 3**0.5 * _kaiming_std(param, a, nonlinearity, gain, mode)
    return nn.init.uniform_(param, -bound, bound)


def init_kaiming_normal_(
    param: Tensor, a: float = 0, nonlinearity: str = "relu", gain: float = 1.0, mode: str = "fan_in"
) -> Tensor:
    """Fill in place, normal, with the same standard deviation."""
    return nn.init.normal_(param, std=_kaiming_std(param, a, nonlinearity, gain, mode))


# ---------------------------------------------------------------- tensors

get_matrix_corner = get_corner
_apply_repetition_penalty = penalize_repetition  # imported by some although private


def get_cumsum_along_dim(tensor: Tensor, dim: int, reverse: bool = False) -> Tensor:
    """The running sum along an axis, from its end when `reverse`."""
    return tensor.flip(dim).cumsum(dim).flip(dim) if reverse else tensor.cumsum(dim)


def repeat_along_head_dimension(
    tensor: Float[Tensor, "batch pos d_model"], n_heads: int, clone_tensor: bool = True
) -> Float[Tensor, "batch pos head d_model"]:
    """The same residual for every head; a copy for each unless `clone_tensor` is off."""
    repeated = tensor[:, :, None].expand(-1, -1, n_heads, -1)
    return repeated.clone() if clone_tensor else repeated


def get_offset_position_ids(
    past_kv_pos_offset: int, attention_mask: Int[Tensor, "batch past_and_pos"]
) -> Int[Tensor, "batch pos"]:
    """Positions counted from the first token that is not padding; those read before are left out."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)[:, past_kv_pos_offset:]


def get_pos_offset(past_kv_cache: Any, batch_size: int) -> int:
    """How many tokens a cache of keys and values holds; 0 without one."""
    return 0 if past_kv_cache is None else past_kv_cache.entries[0].past_keys.shape[1]


def check_structure(t1: Tensor, t2: Tensor, *, verbose: bool = False) -> None:
    """Print where two matrices disagree on which of two neighbouring rows, or columns, is larger."""
    for axis, what in enumerate(("row", "column")):
        signs = [
            t.narrow(axis, 0, t.shape[axis] - 1) >= t.narrow(axis, 1, t.shape[axis] - 1) for t in (t1, t2)
        ]
        differs = (signs[0] != signs[1]).any(dim=1 - axis).nonzero()[:, 0].tolist()
        if verbose and differs:
            print(
                f"{what}s {differs} and the ones after them:",
                *(s.index_select(axis, torch.tensor(differs)) for s in signs),
            )
        if differs:
            print(f"{what} mismatch: {differs}")
            return
    print("PASSED")


@contextmanager
def temporarily_swap_parameter(parameter: nn.Parameter, new_value: Tensor) -> Iterator[nn.Parameter]:
    """Give a parameter other numbers inside a `with` block; the parameter itself stays the same object.

    Raises:
        TypeError: not a parameter, or not a plain tensor.
        ValueError: another shape or type.
    """
    if (
        not isinstance(parameter, nn.Parameter)
        or isinstance(new_value, nn.Parameter)
        or not isinstance(new_value, Tensor)
    ):
        raise TypeError(
            f"expected a torch.nn.Parameter and a plain torch.Tensor, got a {type(parameter).__name__} and a "
            f"{type(new_value).__name__}"
        )
    if new_value.shape != parameter.shape or new_value.dtype != parameter.dtype:
        raise ValueError(
            f"the new value has shape {list(new_value.shape)} and dtype {new_value.dtype}; the parameter has shape "
            f"{list(parameter.shape)} and dtype {parameter.dtype}, and they must match"
        )
    before = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.copy_(new_value)
        yield parameter
    finally:
        with torch.no_grad():
            parameter.copy_(before)


# ---------------------------------------------------------------- every head's product


def simple_attn_linear(
    input: Float[Tensor, "batch pos d_model"],
    w: Float[Tensor, "head d_model d_head"],
    b: Float[Tensor, "head d_head"],
) -> Float[Tensor, "batch pos head d_head"]:
    """One input into every head's space: input w + b."""
    return einsum(input, w, "batch pos d_model, head d_model d_head -> batch pos head d_head") + b


def complex_attn_linear(
    input: Float[Tensor, "batch pos head d_model"],
    w: Float[Tensor, "head d_model d_head"],
    b: Float[Tensor, "head d_head"],
) -> Float[Tensor, "batch pos head d_head"]:
    """Each head's own input into its space."""
    return einsum(input, w, "batch pos head d_model, head d_model d_head -> batch pos head d_head") + b


# ---------------------------------------------------------------- Python objects

USE_DEFAULT_VALUE = None


def override_or_use_default_value(default_flag: Any, override: Any = None) -> Any:
    """The override unless it is None."""
    return default_flag if override is None else override


PLACES = {"prepend_bos": "cfg.default_prepend_bos", "padding_side": "cfg.default_padding_side"}
VALUES: dict[str, tuple] = {"prepend_bos": (None, True, False), "padding_side": (None, "left", "right")}


class LocallyOverridenDefaults:
    """`prepend_bos` and `padding_side` of a model set inside a `with` block, and put back at its end.

    `with LocallyOverridenDefaults(model, prepend_bos=False): ...`; None leaves a default as it is.
    """

    def __init__(self, model: Any, **overrides: Any):
        for name, value in overrides.items():
            if name not in PLACES or value not in VALUES[name]:
                raise ValueError(f"{name} = {value!r}; what can be set is {VALUES}")
        self.model = model
        self.overrides = {PLACES[name]: value for name, value in overrides.items() if value is not None}

    def __enter__(self) -> None:
        self.before = {place: get_nested_attr(self.model, place) for place in self.overrides}
        for place, value in self.overrides.items():
            set_nested_attr(self.model, place, value)

    def __exit__(self, *error: Any) -> None:
        for place, value in self.before.items():
            set_nested_attr(self.model, place, value)


def get_nested_attr(obj: Any, attr_str: str) -> Any:
    """`get_nested_attr(model, "blocks.0.attn")` is model.blocks.0.attn."""
    for name in attr_str.split("."):
        obj = getattr(obj, name)
    return obj


def set_nested_attr(obj: Any, attr_str: str, value: Any) -> None:
    """Set what `get_nested_attr` gets."""
    *path, last = attr_str.split(".")
    setattr(get_nested_attr(obj, ".".join(path)) if path else obj, last, value)


def filter_dict_by_prefix(dictionary: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What stands below a prefix, without it: of `a.b.c` and the prefix `a.b` (or `a.b.`), `c`."""
    prefix = prefix.rstrip(".") + "."
    return {name.removeprefix(prefix): value for name, value in dictionary.items() if name.startswith(prefix)}


def select_compatible_kwargs(kwargs_dict: dict[str, Any], callable: Callable) -> dict[str, Any]:
    """Those arguments that the function has."""
    known = inspect.getfullargspec(callable).args
    return {name: value for name, value in kwargs_dict.items() if name in known}


def is_library_available(name: str) -> bool:
    """Whether a package is installed; it is not imported."""
    return name in sys.modules or importlib.util.find_spec(name) is not None


def print_gpu_mem(step_name: str = "") -> None:
    """Print how much memory torch holds on the first CUDA device, in MiB."""
    print(f"{step_name} ~ {torch.cuda.memory_allocated(0) / 2**20:.2f} MiB allocated on the GPU.")


# ---------------------------------------------------------------- tokenizers


def get_tokenizer_with_bos(tokenizer: Any) -> Any:
    """A tokenizer like this one that puts BOS in front by itself; the same one when it does already or has no BOS.

    A model does not need it: its `to_tokens` puts BOS in front as an id, whatever the tokenizer does.
    """
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        return tokenizer
    from tokenizers.processors import TemplateProcessing

    bos, tokenizer = tokenizer.bos_token, copy.deepcopy(tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
    return tokenizer


def get_input_with_manually_prepended_bos(tokenizer: Any, input: str | list[str]) -> str | list[str]:
    """The texts with the BOS token's text in front."""
    bos = getattr(tokenizer, "bos_token", tokenizer)  # before 2.0 the BOS itself was given
    return bos + input if isinstance(input, str) else [bos + text for text in input]


def get_tokens_with_bos_removed(
    tokenizer: Any, tokens: Int[Tensor, "batch pos"], padding_side: str | None = None
) -> Int[Tensor, "batch pos-1"]:
    """Every row without its BOS, the first token that is not padding; without a BOS token nothing is removed."""
    if tokenizer.bos_token_id is None:
        return tokens
    n_padding = (get_attention_mask(tokenizer, tokens, True, padding_side) == 0).sum(dim=-1, keepdim=True)
    at = n_padding if (padding_side or tokenizer.padding_side) == "left" else torch.zeros_like(n_padding)
    keep = torch.ones_like(tokens, dtype=torch.bool).scatter(-1, at, False)
    return tokens[keep].view(*tokens.shape[:-1], -1)


def get_attention_mask(
    tokenizer: Any, tokens: Int[Tensor, "batch pos"], prepend_bos: bool, padding_side: str | None = None
) -> Int[Tensor, "batch pos"]:
    """1 for tokens and 0 for padding: the run of padding tokens at `padding_side` (None: the tokenizer's).

    Where BOS and padding are one token, the last of such a run on the left is the BOS when there is one
    (`prepend_bos`).
    """
    if tokenizer is None:
        return torch.ones_like(tokens)
    from_left = (padding_side or tokenizer.padding_side) == "left"
    is_pad = (tokens == tokenizer.pad_token_id).long()
    run = is_pad.cumprod(-1) if from_left else is_pad.flip(-1).cumprod(-1).flip(-1)
    if from_left and prepend_bos and tokenizer.bos_token_id == tokenizer.pad_token_id:
        run = run * (run.cumsum(-1) < run.sum(-1, keepdim=True))
    return 1 - run


# ---------------------------------------------------------------- data sets and files


def load_dataset(*name: str, **options: Any) -> Any:
    """`datasets.load_dataset`, with an error that says how to get it."""
    try:
        import datasets
    except ImportError:
        raise ImportError("this needs Hugging Face's datasets: pip install 'cleanlens[datasets]'") from None
    return datasets.load_dataset(*name, **options)


def keep_single_column(dataset: Any, col_name: str) -> Any:
    """A data set with this column only."""
    return dataset.remove_columns([name for name in dataset.column_names if name != col_name])


DATASETS = {
    **dict.fromkeys(("openwebtext", "owt"), "stas/openwebtext-10k"),
    "pile": "NeelNanda/pile-10k",
    "c4": "NeelNanda/c4-10k",
    **dict.fromkeys(("code", "python"), "NeelNanda/code-10k"),
    **dict.fromkeys(("c4_code", "c4-code"), "NeelNanda/c4-code-20k"),
    "wiki": "NeelNanda/wiki-10k",
}
"""The published short names of small data sets, and what they are on the hub."""


def get_dataset(dataset_name: str, **kwargs: Any) -> Any:
    """A small data set of texts from the hub, by its short name; other arguments are `datasets.load_dataset`'s."""
    if dataset_name not in DATASETS:
        raise ValueError(f"no data set named {dataset_name!r}; there are {sorted(DATASETS)}")
    return load_dataset(DATASETS[dataset_name], **{"split": "train", **kwargs})


def tokenize_and_concatenate(
    dataset: Any,
    tokenizer: Any,
    streaming: bool = False,
    max_length: int = 1024,
    column_name: str = "text",
    add_bos_token: bool = True,
    num_proc: int | None = None,
    set_format: bool = True,
) -> Any:
    """A data set of texts as a data set of rows of `max_length` tokens, in one column, "tokens".

    See `cleanlens.utils.join_and_cut`: 1,000 texts at a time are joined and cut.
    """

    def rows(texts: dict[str, list[str]]) -> dict[str, Any]:
        return {"tokens": join_and_cut(texts[column_name], tokenizer, max_length, add_bos_token).numpy()}

    options: dict[str, Any] = {} if streaming else {"num_proc": num_proc}
    tokens = keep_single_column(dataset, column_name).map(
        rows, batched=True, remove_columns=[column_name], **options
    )
    if set_format and not streaming:
        tokens.set_format(type="torch", columns=["tokens"])
    return tokens


def download_file_from_hf(
    repo_name: str,
    file_name: str,
    subfolder: str = ".",
    cache_dir: str | None = None,
    force_is_torch: bool = False,
    **kwargs: Any,
) -> Any:
    """One file of a repository on the hub: tensors of a .pth, the contents of a .json, else its path.

    Tensors are read by torch's restricted unpickler, never code.
    """
    import json

    from huggingface_hub import hf_hub_download

    wanted = select_compatible_kwargs(kwargs, hf_hub_download)
    path = hf_hub_download(
        repo_name, file_name, subfolder=None if subfolder == "." else subfolder, cache_dir=cache_dir, **wanted
    )
    if file_name.endswith(".pth") or force_is_torch:
        return torch.load(path, map_location="cpu", weights_only=True)
    if file_name.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    return path


def enable_hf_retry() -> None:
    """Nothing to do: huggingface_hub itself waits and tries again when the hub says that there were too many requests."""


def clear_huggingface_cache() -> None:
    """Not done from here: it would delete every model on this machine.

    Raises:
        NotImplementedError: always; `hf cache` on the command line shows what there is and deletes what you choose.
    """
    raise NotImplementedError(
        "cleanlens does not delete your downloaded models; `hf cache` on the command line shows and deletes them"
    )


NonlinearityType = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
