"""The architecture of a HookedTransformer as data: one dataclass, one line per choice."""

import random
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch

from cleanlens.family_config import FamilyConfig
from cleanlens.utils import ACTIVATIONS

NORMALIZATIONS = (None, "LN", "LNPre", "RMS", "RMSPre")
INIT_MODES = ("gpt2", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "muP")
CHOICES: dict[str, tuple] = {
    "act_fn": (None, *ACTIVATIONS),
    "normalization_type": NORMALIZATIONS,
    "attention_dir": ("causal", "bidirectional"),
    "positional_embedding_type": ("standard", "rotary", "alibi", "shortformer"),
    "default_padding_side": ("left", "right"),
    "init_mode": INIT_MODES,
}


@dataclass
class HookedTransformerConfig(FamilyConfig):
    """Every choice that makes one transformer different from another; those that GPT-2 does not know are in
    `FamilyConfig`.

    Sizes left at their default are filled in from the others: `n_heads = d_model // d_head`,
    `d_mlp = 4 * d_model`, `d_vocab_out = d_vocab`, `attn_scale = sqrt(d_head)`.

    Raises:
        ValueError: a size is not positive, or a choice is not one that the components know.
    """

    n_layers: int  # number of transformer blocks
    d_model: int  # width of the residual stream
    n_ctx: int  # longest sequence, in tokens
    d_head: int  # width of one head's queries, keys and values
    n_heads: int = -1  # heads per layer; -1: d_model // d_head
    d_mlp: int | None = None  # neurons per MLP; None: 4 * d_model
    d_vocab: int = -1  # entries of the vocabulary; -1: taken from the tokenizer
    d_vocab_out: int = -1  # entries of the output; -1: d_vocab
    act_fn: str | None = None  # the MLP's nonlinearity, a key of utils.ACTIVATIONS
    normalization_type: str | None = "LN"  # "LN", "RMS", either with "Pre" (gain folded away), or None
    eps: float = 1e-5  # added to the variance inside LayerNorm's root
    attn_only: bool = False  # blocks without an MLP
    attention_dir: Literal["causal", "bidirectional"] = "causal"  # which positions a query may see
    positional_embedding_type: str = "standard"  # learned and added once at the start; or see below
    use_attn_scale: bool = True  # divide the attention scores by attn_scale
    attn_scale: float = -1.0  # the divisor; -1: sqrt(d_head)
    scale_attn_by_inverse_layer_idx: bool = False  # divide also by (layer + 1), as the Stanford models do
    use_attn_result: bool = False  # a full cache has every head's output: attn.hook_result
    use_split_qkv_input: bool = False  # ... each head's residual into q, k, v: hook_{q,k,v}_input
    use_attn_in: bool = False  # ... each head's residual into attention: hook_attn_in
    use_hook_mlp_in: bool = False  # ... the residual that the MLP reads: hook_mlp_in
    init_weights: bool = True  # fill the weights at random when the model is built
    init_mode: str = "gpt2"  # how: gpt2, xavier_*, kaiming_* or muP
    initializer_range: float = -1.0  # standard deviation or gain; -1: init_mode's own default
    seed: int | None = None  # seeds Python, NumPy and torch before the weights are drawn
    model_name: str = "custom"  # what it was loaded as
    original_architecture: str | None = None  # the Hugging Face class it came from
    tokenizer_name: str | None = None  # where its tokenizer comes from
    tokenizer_prepends_bos: bool | None = None  # the tokenizer itself puts a BOS in front; we never let it
    default_prepend_bos: bool = True  # texts start with BOS unless the call says otherwise
    default_padding_side: Literal["left", "right"] = "right"  # where shorter texts are filled up
    from_checkpoint: bool = False  # loaded from the middle of training
    checkpoint_index: int | None = None  # which of the checkpoints, counted from 0
    checkpoint_label_type: str | None = None  # what the labels count: "step" or "token"
    checkpoint_value: int | None = None  # the label itself
    device: str | None = None  # where the weights live; None: utils.get_device()
    dtype: torch.dtype = torch.float32  # of the weights and activations
    n_params: int | None = None  # weights in attention and MLPs, without embeddings, biases and gains

    def __post_init__(self) -> None:
        if isinstance(self.dtype, str):
            self.dtype = getattr(torch, self.dtype.removeprefix("torch."))
        for name in ("n_layers", "d_model", "n_ctx", "d_head"):
            if getattr(self, name) < (0 if name == "n_layers" else 1):
                raise ValueError(f"config: {name} = {getattr(self, name)}; it must be positive")
        if self.n_heads == -1:
            self.n_heads = self.d_model // self.d_head
            if self.n_heads * self.d_head != self.d_model:
                raise ValueError(
                    f"config: d_model = {self.d_model} is not a multiple of d_head = {self.d_head}; "
                    "give n_heads"
                )
        self._check_families()
        if self.d_mlp is None and not self.attn_only:
            self.d_mlp = 4 * self.d_model
        if self.d_vocab_out == -1:
            self.d_vocab_out = self.d_vocab
        if self.attn_scale == -1.0:
            self.attn_scale = self.d_head**0.5 if self.use_attn_scale else 1.0
        if self.initializer_range < 0:
            # GPT-2's 0.02 belongs to a width of about 1,600; narrower models need larger weights.
            self.initializer_range = 0.8 / self.d_model**0.5 if self.init_mode == "gpt2" else 1.0
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"config: {name} = {getattr(self, name)!r}; it must be one of {choices}")
        if self.act_fn is None and not self.attn_only:
            raise ValueError(f"config: act_fn is missing; it must be one of {tuple(ACTIVATIONS)}")
        self.n_params = self._count_params()
        if self.seed is not None:
            self.set_seed_everywhere(self.seed)

    def _count_params(self) -> int:
        attention = 2 * self.d_model * self.d_head * (self.n_heads + (self.n_key_value_heads or self.n_heads))
        mlp = 0 if self.attn_only else (2 + self.gated_mlp) * self.d_model * (self.d_mlp or 0)
        return self.n_layers * (attention + mlp)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "HookedTransformerConfig":
        """The config with these fields; an unknown field raises and is named."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(f"config: no field named {unknown}; the fields are {sorted(known)}")
        return cls(**config)

    @classmethod
    def unwrap(cls, config: "HookedTransformerConfig | dict[str, Any]") -> "HookedTransformerConfig":
        """A config from either form."""
        return cls.from_dict(config) if isinstance(config, dict) else config

    def to_dict(self) -> dict[str, Any]:
        """Every field by name."""
        return asdict(self)

    @staticmethod
    def set_seed_everywhere(seed: int) -> None:
        """Seed Python's, NumPy's and torch's random numbers."""
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
