"""Small functions that notebooks and the rest of the library share."""

import importlib
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from cleanlens.factored_matrix import FactoredMatrix


class InputError(ValueError, AssertionError, RuntimeError):
    """What was given does not fit: a ValueError, and also what the published library raises, for code that catches it."""


# ---------------------------------------------------------------- activation functions


def gelu_new(x: Tensor) -> Tensor:
    """GPT-2's GELU: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016, section 2)."""
    return F.gelu(x, approximate="tanh")


def gelu_fast(input: Tensor) -> Tensor:
    """GELU by tanh with sqrt(2/pi) rounded to ten digits, as some older checkpoints were trained with."""
    return 0.5 * input * (1.0 + torch.tanh(0.7978845608 * input * (1.0 + 0.044715 * input.square())))


def solu(x: Tensor) -> Tensor:
    """The softmax linear unit: x softmax(x), over the last axis (Elhage et al. 2022)."""
    return x * x.softmax(dim=-1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": gelu_new,
    "gelu_pytorch_tanh": gelu_new,
    "gelu_fast": gelu_fast,
    "gelu": F.gelu,
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),  # So et al. 2021, "Primer"
    "silu": F.silu,
    "solu": solu,
    "solu_ln": solu,  # and a LayerNorm behind it, which is the MLP's
}

# ---------------------------------------------------------------- devices and arrays


def get_device() -> torch.device:
    """A CUDA device when there is one, else the CPU. Others (Apple's `mps` has no float64) by name only."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_numpy(tensor: Any) -> np.ndarray:
    """A NumPy array of a tensor (on any device, with or without gradient), list, tuple, number or array."""
    if isinstance(tensor, Tensor):
        tensor = tensor.detach().cpu()
        # NumPy has no bfloat16.
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(tensor, (np.ndarray, list, tuple, int, float, bool, complex, str, np.generic)):
        return np.asarray(tensor)
    raise ValueError(f"to_numpy: invalid type: a {type(tensor).__name__}")


def get_corner(tensor: Any, n: int = 3) -> Any:
    """The first `n` entries along every axis: a quick look at a big tensor."""
    if isinstance(tensor, Tensor):
        return tensor[tuple(slice(n) for _ in range(tensor.ndim))]
    return tensor.get_corner(n)


def transpose(tensor: Float[Tensor, "... a b"]) -> Float[Tensor, "... b a"]:
    """Swap the last two axes."""
    return tensor.transpose(-1, -2)


def remove_batch_dim(tensor: Float[Tensor, "1 ..."]) -> Float[Tensor, "..."]:
    """Drop a first axis of size 1; a tensor without one is returned as it is."""
    return tensor.squeeze(0) if tensor.shape[:1] == (1,) else tensor


def is_square(x: Tensor) -> bool:
    """Whether this is one square matrix."""
    return x.ndim == 2 and x.shape[0] == x.shape[1]


def is_lower_triangular(x: Tensor) -> bool:
    """Whether this is one square matrix with nothing above its diagonal."""
    return is_square(x) and x.equal(x.tril())


# ---------------------------------------------------------------- slices

SliceInput = int | tuple[int | None, ...] | Sequence[int] | slice | Tensor | np.ndarray | None


class Slice:
    """What to keep along one axis: an int (and drop the axis), a range, a list of indices, or everything.

    `Slice(3)`, `Slice((1, 5))`, `Slice((None, -1))`, `Slice([0, 4])`, `Slice(None)`.
    """

    def __init__(self, input_slice: SliceInput = None):
        self.slice: Any
        if isinstance(input_slice, tuple):
            self.mode, self.slice = "slice", slice(*input_slice)
        elif isinstance(input_slice, slice):
            self.mode, self.slice = "slice", input_slice
        elif isinstance(input_slice, (int, np.integer)) and not isinstance(input_slice, bool):
            self.mode, self.slice = "int", int(input_slice)
        elif isinstance(input_slice, (list, Tensor, np.ndarray)):
            self.mode, self.slice = "array", torch.as_tensor(input_slice)
        elif input_slice is None:
            self.mode, self.slice = "identity", slice(None)
        else:
            raise ValueError(f"Slice: {input_slice!r} is not an int, a tuple, a list, a tensor or None")

    @classmethod
    def unwrap(cls, slice_input: "SliceInput | Slice") -> "Slice":
        """A Slice from either form; an int keeps its axis when it comes as `(i, i + 1)`."""
        return slice_input if isinstance(slice_input, Slice) else cls(slice_input)

    def apply(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """The tensor restricted along axis `dim`."""
        index: list[Any] = [slice(None)] * tensor.ndim
        index[dim] = self.slice
        return tensor[tuple(index)]

    def indices(self, max_ctx: int | None = None) -> np.ndarray:
        """The positions kept of an axis of length `max_ctx`."""
        if self.mode == "int":
            return np.array([self.slice])
        if max_ctx is None:
            raise ValueError("Slice.indices: give the length of the axis")
        return np.arange(max_ctx)[to_numpy(self.slice) if self.mode == "array" else self.slice]

    def __repr__(self) -> str:
        return f"Slice({self.slice!r}, mode={self.mode})"


# ---------------------------------------------------------------- names of activations

ACTIVATION_ALIASES = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "key": "k",
    "query": "q",
    "value": "v",
    "mlp_pre": "pre",
    "mlp_mid": "mid",
    "mlp_post": "post",
}
LAYER_TYPE_ALIASES = {"a": "attn", "m": "mlp", "b": "", "block": "", "blocks": "", "attention": "attn"}
ATTENTION_ACTIVATIONS = ("k", "v", "q", "z", "rot_k", "rot_q", "result", "pattern", "attn_scores")
MLP_ACTIVATIONS = ("pre", "post", "mid", "pre_linear")
LAYER_NORM_ACTIVATIONS = ("scale", "normalized")


def get_act_name(name: str, layer: int | str | None = None, layer_type: str | None = None) -> str:
    """The full name of a hook point from its short form.

    >>> get_act_name("k", 6)
    'blocks.6.attn.hook_k'
    >>> get_act_name("resid_post", 2)
    'blocks.2.hook_resid_post'
    >>> get_act_name("normalized", 3, "ln2")
    'blocks.3.ln2.hook_normalized'
    >>> get_act_name("scale4ln1"), get_act_name("scale")
    ('blocks.4.ln1.hook_scale', 'ln_final.hook_scale')

    A name that is full already is returned as it is.
    """
    if "." in name or name.startswith("hook_"):
        return name
    packed = re.fullmatch(r"([a-z_]+?)(\d+)([a-z]?.*)", name)
    if packed is not None:
        name, layer, layer_type = packed.group(1), int(packed.group(2)), packed.group(3) or layer_type
    name = ACTIVATION_ALIASES.get(name, name)
    if layer_type is not None:
        layer_type = LAYER_TYPE_ALIASES.get(layer_type, layer_type)
    elif name in ATTENTION_ACTIVATIONS:
        layer_type = "attn"
    elif name in MLP_ACTIVATIONS:
        layer_type = "mlp"
    if layer is None:
        return f"ln_final.hook_{name}" if name in LAYER_NORM_ACTIVATIONS else f"hook_{name}"
    return ".".join(part for part in ("blocks", str(layer), layer_type, f"hook_{name}") if part)


# ---------------------------------------------------------------- losses and sampling


def lm_cross_entropy_loss(
    logits: Float[Tensor, "batch pos d_vocab"],
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | None = None,
    per_token: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, "batch pos-1"]:
    """Next-token loss in nats: -log p(token[i + 1] | tokens up to i).

    Args:
        attention_mask: 0 for padding. A prediction from or of padding counts 0, and the mean leaves it out.
        per_token: return the loss of each prediction instead of their mean.
    """
    if logits.shape[1] < 2:
        raise ValueError("the loss needs at least 2 tokens: one to read and one to predict")
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0]
    if attention_mask is None:
        return loss if per_token else loss.mean()
    if attention_mask.shape != tokens.shape:
        raise InputError(
            f"attention_mask has shape {list(attention_mask.shape)}; the tokens have {list(tokens.shape)}"
        )
    counts = (attention_mask[:, :-1] * attention_mask[:, 1:]).bool()
    loss = loss.masked_fill(~counts, 0.0)  # also what is not a number
    return loss if per_token else loss.sum() / counts.sum()


def lm_accuracy(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"], per_token: bool = False
) -> Float[Tensor, ""] | Tensor:
    """How often the most likely next token is the right one; `per_token` gives [batch pos-1] booleans."""
    correct = logits[:, :-1].argmax(dim=-1) == tokens[:, 1:]
    return correct if per_token else correct.float().mean()


def sample_logits(
    final_logits: Float[Tensor, "batch d_vocab"],
    top_k: int | None = None,
    top_p: float | None = None,
    temperature: float = 1.0,
    freq_penalty: float = 0.0,
    tokens: Int[Tensor, "batch pos"] | None = None,
    attention_mask: Int[Tensor, "batch pos"] | None = None,
    repetition_penalty: float = 1.0,
) -> Int[Tensor, "batch"]:
    """Draw one next token per row.

    Args:
        top_k: draw from the k most likely tokens only.
        top_p: draw from the smallest set of most likely tokens whose probability reaches p
            (nucleus sampling, Holtzman et al. 2020, section 3.1).
        temperature: the logits are divided by it; 0 takes the most likely token.
        freq_penalty: subtracted from a token's logit once for each time it is in `tokens`.
        tokens: the text so far; needed for both penalties.
        attention_mask: 0 for padding, which is not counted.
        repetition_penalty: a token that is in `tokens` has its logit divided by it when positive, multiplied when
            negative (Keskar et al. 2019, section 4.1); 1 changes nothing.
    """
    if repetition_penalty != 1.0:
        final_logits = penalize_repetition(final_logits, tokens, repetition_penalty, attention_mask)
    if temperature == 0.0:
        return final_logits.argmax(dim=-1)
    return torch.multinomial(
        next_token_probs(final_logits, top_k, top_p, temperature, freq_penalty, tokens, attention_mask), 1
    )[:, 0]


def penalize_repetition(
    logits: Float[Tensor, "batch d_vocab"],
    tokens: Int[Tensor, "batch pos"] | None,
    penalty: float,
    attention_mask: Int[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "batch d_vocab"]:
    """Logits with those of tokens that occurred already brought down; see `sample_logits`."""
    if tokens is None or penalty <= 0:
        raise InputError(
            f"repetition_penalty = {penalty}; it must be positive, and it needs the tokens so far"
        )
    seen = torch.ones_like(tokens) if attention_mask is None else attention_mask
    occurred = torch.zeros_like(logits).scatter_add_(1, tokens, seen.to(logits)) > 0
    return torch.where(occurred, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def next_token_probs(
    logits: Float[Tensor, "batch d_vocab"],
    top_k: int | None = None,
    top_p: float | None = None,
    temperature: float = 1.0,
    freq_penalty: float = 0.0,
    tokens: Int[Tensor, "batch pos"] | None = None,
    attention_mask: Int[Tensor, "batch pos"] | None = None,
) -> Float[Tensor, "batch d_vocab"]:
    """The distribution that `sample_logits` draws from; arguments as there."""
    if temperature <= 0:
        raise InputError(f"temperature = {temperature}; it must be positive (0 is greedy in sample_logits)")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k = {top_k}; it must be at least 1, or None for all tokens")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise InputError(f"top_p = {top_p}; it must be above 0 and at most 1")
    logits = logits / temperature
    if freq_penalty:
        if tokens is None:
            raise InputError("freq_penalty needs the tokens so far")
        once = torch.ones_like(tokens) if attention_mask is None else attention_mask
        logits = logits - freq_penalty * torch.zeros_like(logits).scatter_add_(1, tokens, once.to(logits))
    if top_k is not None:
        kth = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -math.inf)
    if top_p is not None:
        ordered, order = logits.sort(dim=-1, descending=True)
        probs = ordered.softmax(dim=-1)
        # A token stays while those before it have not reached p: the one that crosses p stays.
        dropped = probs.cumsum(dim=-1) - probs >= top_p
        logits = logits.masked_fill(dropped.gather(-1, order.argsort(dim=-1)), -math.inf)
    return logits.softmax(dim=-1)


def test_prompt(
    prompt: str,
    answer: str | list[str],
    model: Any,
    prepend_space_to_answer: bool = True,
    print_details: bool = True,
    prepend_bos: bool | None = None,
    top_k: int = 10,
) -> None:
    """Print how well the model predicts an answer: its rank and probability, token by token."""
    for text in [answer] if isinstance(answer, str) else answer:
        if prepend_space_to_answer and not text.startswith(" "):
            text = " " + text
        prompt_tokens = model.to_tokens(prompt, prepend_bos=prepend_bos)
        answer_tokens = model.to_tokens(text, prepend_bos=False)
        tokens = torch.cat([prompt_tokens, answer_tokens], dim=1)
        with torch.no_grad():
            probs = model(tokens)[0].softmax(dim=-1)
        if print_details:
            print("Tokenized prompt:", model.to_str_tokens(prompt, prepend_bos=prepend_bos))
            print("Tokenized answer:", model.to_str_tokens(text, prepend_bos=False))
        ranks = []
        for i, token in enumerate(answer_tokens[0]):
            here = probs[prompt_tokens.shape[1] + i - 1]
            ranks.append((model.to_string(token), int((here > here[token]).sum())))
            if print_details:
                print(f"Rank {ranks[-1][1]:>5}   probability {here[token]:6.2%}   token |{ranks[-1][0]}|")
                best, indices = here.topk(min(top_k, len(here)))
                for rank, (p, index) in enumerate(zip(best, indices)):
                    print(f"  top {rank:<3} probability {p:6.2%}   token |{model.to_string(index)}|")
        print("Ranks of the answer tokens:", ranks)


test_prompt.__test__ = False  # type: ignore[attr-defined]  # a published name; not a test for pytest


def logits_to_df(logits: Float[Tensor, "d_vocab"], tokenizer: Any = None, top_k: int | None = None) -> Any:
    """A pandas DataFrame of logits, the most likely first, with log probability and probability.

    Args:
        tokenizer: adds what the tokens say, in a column `token_string`.
        top_k: only so many; None: all.
    """
    import pandas

    if logits.ndim != 1:
        raise InputError(f"logits_to_df: the logits have shape {list(logits.shape)}; expected [d_vocab]")
    logits = logits.detach().float().cpu()
    log_probs = logits.log_softmax(dim=-1)
    order = logits.argsort(descending=True, stable=True)[:top_k]
    columns: dict[str, list] = {"token_index": order.tolist()}
    if tokenizer is not None:
        columns["token_string"] = [tokenizer.decode([i]) for i in order.tolist()]
    columns |= {"logit": logits[order].tolist(), "log_prob": log_probs[order].tolist()}
    return pandas.DataFrame({**columns, "probability": log_probs[order].exp().tolist()})


# ---------------------------------------------------------------- composition


def composition_scores(
    left: "FactoredMatrix", right: "FactoredMatrix", broadcast_dims: bool = True
) -> Float[Tensor, "*leading"]:
    """How strongly `right` reads what `left` writes: ||left @ right|| / (||left|| ||right||), Frobenius norms.

    With `broadcast_dims` every left matrix is paired with every right one: the result's axes are those of
    left and then those of right. Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits",
    section "Two-Layer Attention-Only Transformers", heading "Three kinds of composition".
    """
    writers, readers, left_norms, right_norms = _ends(left, right)
    if not broadcast_dims:
        return (writers @ readers).norm(dim=(-2, -1)) / left_norms / right_norms
    left_norms = left_norms.reshape([*left.leading, *[1] * len(right.leading)])
    return norms_of_products(writers, readers) / left_norms / right_norms


def composition_scores_of_later(
    left: "FactoredMatrix", right: "FactoredMatrix"
) -> Float[Tensor, "layer head layer head"]:
    """`composition_scores` of every head of `left` with the heads of `right` in later layers; zero with all others.

    Both are `[layer head d_model d_model]`. Their triangles are found once, for all layers.
    """
    writers, readers, left_norms, right_norms = _ends(left, right)
    scores = writers.new_zeros(*left_norms.shape, *right_norms.shape)
    for layer in range(len(writers) - 1):
        norms = norms_of_products(writers[layer], readers[layer + 1 :])
        norms = norms / left_norms[layer, :, None, None] / right_norms[layer + 1 :]
        scores[layer, :, layer + 1 :] = norms
    return scores


def _ends(left: "FactoredMatrix", right: "FactoredMatrix") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What left writes and right reads, and the norms of both, each triangle found once.

    ||A B A' B'|| = ||R_A (B A') R_B'^T||: of each pair only an [mdim mdim] matrix is ever made.
    """
    (left_A, left_B), (right_A, right_B) = left.cores(), right.cores()
    writers, readers = left_A @ left.B, right.A @ right_B.transpose(-1, -2)
    left_norms = (left_A @ left_B.transpose(-1, -2)).norm(dim=(-2, -1)).expand(left.leading)
    right_norms = (right_A @ right_B.transpose(-1, -2)).norm(dim=(-2, -1)).expand(right.leading)
    return writers, readers, left_norms, right_norms


def norms_of_products(
    writers: Float[Tensor, "*left k d_model"], readers: Float[Tensor, "*right d_model j"]
) -> Float[Tensor, "..."]:
    """||writer @ reader|| (Frobenius) of every pair, `[*left *right]`: one product for each writer."""
    k, j = writers.shape[-2], readers.shape[-1]
    beside = rearrange(readers.reshape(-1, *readers.shape[-2:]), "matrix d_model j -> d_model (matrix j)")
    rows = [
        (writer @ beside).reshape(k, -1, j).norm(dim=(0, 2))
        for writer in writers.reshape(-1, *writers.shape[-2:])
    ]
    return torch.stack(rows).reshape([*writers.shape[:-2], *readers.shape[:-2]])


# ---------------------------------------------------------------- data


def join_and_cut(
    texts: Sequence[str], tokenizer: Any, max_length: int = 1024, add_bos_token: bool = True
) -> Int[Tensor, "batch pos"]:
    """All texts as tokens, the end-of-text token between each two, cut into rows of `max_length`.

    With `add_bos_token` every row starts with BOS. A rest that fills no row is dropped; only when all texts together
    fill none, the one row is filled up with padding.
    """
    ids: list[int] = []
    for text in texts:
        ids += [
            *([tokenizer.eos_token_id] if ids else []),
            *tokenizer(text, add_special_tokens=False)["input_ids"],
        ]
    width = max_length - int(add_bos_token)
    if 0 < len(ids) < width:
        ids += [tokenizer.pad_token_id] * (width - len(ids))
    rows = torch.tensor(ids[: len(ids) // width * width], dtype=torch.int64).reshape(-1, width)
    bos = torch.full((len(rows), int(add_bos_token)), tokenizer.bos_token_id or 0)
    return torch.cat([bos, rows], dim=1)


def __getattr__(name: str) -> Any:
    """Functions that only older notebooks use live in `cleanlens.published.utils`."""
    published = importlib.import_module("cleanlens.published.utils")
    if name.startswith("__") or not hasattr(published, name):
        raise AttributeError(f"module 'cleanlens.utils' has no attribute {name!r}")
    return getattr(published, name)
