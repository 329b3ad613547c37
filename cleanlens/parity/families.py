"""Tiny random models of every family, made by `transformers` itself, and where they keep what is compared.

Every axis has another size, gains are away from 1 and biases away from 0, so that no mistake goes unseen.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Layout:
    """Where a `transformers` model keeps its parts.

    Attributes:
        layers: the path of the list of its layers.
        attention, mlp: within a layer, the module whose output is added to the residual stream.
    """

    layers: str
    attention: str
    mlp: str


# By model_type.
LAYOUTS = {
    "gpt2": Layout("transformer.h", "attn", "mlp"),
    "gpt_neo": Layout("transformer.h", "attn", "mlp"),
    "gptj": Layout("transformer.h", "attn", "mlp"),
    "gpt_neox": Layout("gpt_neox.layers", "attention", "mlp"),
    "opt": Layout("model.decoder.layers", "self_attn", "fc2"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), Layout("model.layers", "self_attn", "mlp")),
    "bert": Layout("bert.encoder.layer", "attention.output.dense", "output.dense"),
}

_GPT = dict(n_layer=3, n_head=3, n_embd=30, n_positions=41, n_inner=29, vocab_size=53)
_LLAMA = dict(
    num_hidden_layers=3,
    hidden_size=24,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=29,
    vocab_size=53,
    max_position_embeddings=41,
)
_NEOX = dict(
    num_hidden_layers=3,
    hidden_size=30,
    num_attention_heads=3,
    intermediate_size=29,
    vocab_size=53,
    max_position_embeddings=41,
)
_LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=50.0,
    factor=4.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=20,
)
# name -> the class in transformers, and its config.
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", _GPT),
    "gpt-neo": (
        "GPTNeoForCausalLM",
        dict(
            num_layers=3,
            num_heads=3,
            hidden_size=30,
            attention_types=[[["global", "local"], 1], [["global"], 1]],
            window_size=5,
            max_position_embeddings=41,
            intermediate_size=29,
            vocab_size=53,
        ),
    ),
    "opt": (
        "OPTForCausalLM",
        dict(
            num_hidden_layers=3,
            num_attention_heads=3,
            hidden_size=30,
            word_embed_proj_dim=30,
            ffn_dim=29,
            max_position_embeddings=41,
            vocab_size=53,
        ),
    ),
    "gpt-j": ("GPTJForCausalLM", {**_GPT, "rotary_dim": 4}),
    "gpt-neox": ("GPTNeoXForCausalLM", {**_NEOX, "rotary_pct": 0.4}),
    "gpt-neox, one after the other": ("GPTNeoXForCausalLM", {**_NEOX, "use_parallel_residual": False}),
    "llama": ("LlamaForCausalLM", {**_LLAMA, "attention_bias": True, "mlp_bias": True}),
    "llama 3.1": (
        "LlamaForCausalLM",
        {**_LLAMA, "rope_parameters": _LLAMA3_ROPE, "tie_word_embeddings": True},
    ),
    "mistral": ("MistralForCausalLM", {**_LLAMA, "sliding_window": 5}),
    "qwen2": (
        "Qwen2ForCausalLM",
        {**_LLAMA, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "head_dim": 4},
    ),
    "qwen3": ("Qwen3ForCausalLM", {**_LLAMA, "attention_bias": True, "tie_word_embeddings": True}),
    "bert": (
        "BertForMaskedLM",
        dict(
            num_hidden_layers=3,
            num_attention_heads=3,
            hidden_size=30,
            intermediate_size=29,
            max_position_embeddings=41,
            vocab_size=53,
        ),
    ),
}


def tiny(name: str, seed: int = 0) -> Any:
    """A random model of this family in float64, without dropout.

    Raises:
        ValueError: there is no family of this name.
    """
    import transformers

    if name not in TINY:
        raise ValueError(f"no family {name!r}; there are {', '.join(TINY)}, and 'all'")
    class_name, sizes = TINY[name]
    kind = getattr(transformers, class_name)
    config = kind.config_class(**sizes, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    config._attn_implementation = "eager"
    model = kind(config).double().eval()
    fill(model, seed)
    return model


@torch.no_grad()
def fill(model: nn.Module, seed: int = 0) -> None:
    """Weights so large that every activation matters, by fan-in so that none explodes."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.padding_idx = None  # padding's row would get no gradient, though the token occurs
        for name, weight in module.named_parameters(recurse=False):
            values = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            if "Norm" in type(module).__name__ and name in ("w", "weight"):
                values = 0.3 + values.abs()
            elif isinstance(module, nn.Linear) and weight.ndim == 2:
                values = values * weight.shape[1] ** -0.5  # [out in]
            elif weight.ndim > 1 and not isinstance(module, nn.Embedding):
                values = values * weight.shape[-2] ** -0.5
            weight.copy_(values)


class StayWide(TorchFunctionMode):
    """Inside of it float64 stays float64: transformers computes norms, softmax and GPT-J's scores in float32 whatever
    the model is in. The angles of rotary positions, which it asks for in other words, stay in float32, as ours do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        wide = args and isinstance(args[0], Tensor) and args[0].dtype == torch.float64
        if wide and func is Tensor.to and args[1:] == (torch.float32,) and not kwargs:
            return args[0]
        if wide and func in (F.softmax, torch.softmax, Tensor.softmax):
            kwargs.pop("dtype", None)
        return func(*args, **kwargs)
