"""Writing models to disk: cleanlens's own layout, and the Hugging Face layout of GPT-2. Safetensors only.

Weights are stored in half precision, checkpoints in 8 bits (a sign, 4 bits of exponent, 3 of mantissa): each weight is
off by a few per cent at random, which changes a head's score in the second decimal and halves the package. The configs say
float32, so that both libraries compute in it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

# Named once so that a new field of the config cannot silently change the files.
CONFIG_FIELDS = (
    *("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "attn_only", "act_fn"),
    *("normalization_type", "eps", "positional_embedding_type"),
)


def save_weights(state: Mapping[str, Tensor], path: Path, dtype: torch.dtype = torch.float16) -> None:
    """One safetensors file of tensors of that type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    save_file(small, str(path), metadata={"format": "pt"})
    path.chmod(0o644)


def read_weights(path: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote, in float32."""
    return {name: value.float() for name, value in load_file(str(path)).items()}


def parameters(model) -> dict[str, Tensor]:
    """The model's weights by name, without masks and other buffers."""
    return {name: value.detach() for name, value in model.named_parameters()}


def save_cleanlens(model, folder: Path, checkpoint_labels: list[int]) -> None:
    """config.json with the architecture, model.safetensors with the HookedTransformer's own weight names."""
    config = {"model_type": "cleanlens"} | {name: getattr(model.cfg, name) for name in CONFIG_FIELDS}
    config |= {"dtype": "float32", "checkpoint_label_type": "step", "checkpoint_labels": checkpoint_labels}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_weights(parameters(model), folder / "model.safetensors")


def save_checkpoint(
    state: Mapping[str, Tensor], folder: Path, step: int, dtype: torch.dtype = torch.float8_e4m3fn
) -> None:
    """The weights as they were at a step, named as in the folder's model.safetensors."""
    save_weights(state, folder / "checkpoints" / f"step-{step:06d}.safetensors", dtype)


def to_gpt2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """HookedTransformer weights as `GPT2LMHeadModel` names them.

    GPT-2 keeps Q, K and V side by side in one matrix [d_model, 3 * n_heads * d_head]. It has no output bias.

    Raises:
        ValueError: when `unembed.b_U` is not zero, because GPT-2 has no place for it.
    """
    if state["unembed.b_U"].any():
        raise ValueError(
            "unembed.b_U is not zero, and GPT-2 has no output bias; fold it into ln_final.b first."
        )
    out = {
        "transformer.wte.weight": state["embed.W_E"],
        "transformer.wpe.weight": state["pos_embed.W_pos"],
        "transformer.ln_f.weight": state["ln_final.w"],
        "transformer.ln_f.bias": state["ln_final.b"],
        "lm_head.weight": state["unembed.W_U"].T,
    }
    n_layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for layer in range(n_layers):
        ours = {
            name.split(".", 2)[2]: value
            for name, value in state.items()
            if name.startswith(f"blocks.{layer}.")
        }
        side_by_side = [ours[f"attn.W_{x}"].permute(1, 0, 2).flatten(1) for x in "QKV"]
        theirs = {
            "ln_1.weight": ours["ln1.w"],
            "ln_1.bias": ours["ln1.b"],
            "attn.c_attn.weight": torch.cat(side_by_side, dim=1),
            "attn.c_attn.bias": torch.cat([ours[f"attn.b_{x}"].flatten() for x in "QKV"]),
            "attn.c_proj.weight": ours["attn.W_O"].flatten(0, 1),
            "attn.c_proj.bias": ours["attn.b_O"],
            "ln_2.weight": ours["ln2.w"],
            "ln_2.bias": ours["ln2.b"],
            "mlp.c_fc.weight": ours["mlp.W_in"],
            "mlp.c_fc.bias": ours["mlp.b_in"],
            "mlp.c_proj.weight": ours["mlp.W_out"],
            "mlp.c_proj.bias": ours["mlp.b_out"],
        }
        out |= {f"transformer.h.{layer}.{name}": value for name, value in theirs.items()}
    return out


def save_gpt2(model, folder: Path) -> None:
    """config.json and model.safetensors that `GPT2LMHeadModel.from_pretrained(folder)` loads."""
    cfg = model.cfg
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": cfg.d_vocab,
        "n_positions": cfg.n_ctx,
        "n_ctx": cfg.n_ctx,
        "n_embd": cfg.d_model,
        "n_layer": cfg.n_layers,
        "n_head": cfg.n_heads,
        "n_inner": cfg.d_mlp,
        "activation_function": cfg.act_fn,
        "layer_norm_epsilon": cfg.eps,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_weights(to_gpt2(parameters(model)), folder / "model.safetensors")
