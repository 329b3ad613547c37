"""Toy models against the original library, for architectures that `transformers` does not have.

Both get the same config, weights and tokens; every activation that they give the same name is compared. The original
runs in a Python of its own, which executes `original_worker.py`.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleanlens.hooked_transformer import HookedTransformer
from cleanlens.parity.agreement import Agreement
from cleanlens.parity.families import fill

WORKER = Path(__file__).with_name("original_worker.py")
SIZES: dict[str, Any] = dict(n_layers=3, d_model=20, n_ctx=17, d_head=6, n_heads=4, d_mlp=29, d_vocab=53)
# What the interpretability models and published toy models are made of, and parts of the families once more.
TOYS: dict[str, dict[str, Any]] = {
    "attn-only": dict(attn_only=True, normalization_type="LN"),
    "gelu": dict(act_fn="gelu", normalization_type="LN"),
    "solu": dict(act_fn="solu_ln", normalization_type="LN"),
    "solu folded": dict(act_fn="solu_ln", normalization_type="LNPre"),
    "final RMS": dict(act_fn="gelu", normalization_type="LN", final_rms=True),
    "shortformer": dict(attn_only=True, normalization_type=None, positional_embedding_type="shortformer"),
    "shortformer with MLPs": dict(
        act_fn="relu", normalization_type="LN", positional_embedding_type="shortformer"
    ),
    "local": dict(
        act_fn="gelu_new", use_local_attn=True, window_size=4, attn_types=["global", "local", "global"]
    ),
    "alibi": dict(act_fn="gelu_fast", positional_embedding_type="alibi"),
    "parallel, rotary": dict(
        act_fn="gelu",
        parallel_attn_mlp=True,
        positional_embedding_type="rotary",
        rotary_dim=4,
        rotary_adjacent_pairs=True,
    ),
    "grouped, gated": dict(
        act_fn="silu",
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        n_key_value_heads=2,
        positional_embedding_type="rotary",
        rotary_dim=6,
        use_qk_norm=True,
    ),
}


def toy(name: str) -> HookedTransformer:
    """A random model of this architecture, a key of `TOYS`, in float64."""
    sizes = {
        key: value for key, value in SIZES.items() if not (TOYS[name].get("attn_only") and key == "d_mlp")
    }
    model = HookedTransformer({**sizes, **TOYS[name], "dtype": torch.float64, "device": "cpu"})
    fill(model, seed=len(name))
    if model.cfg.gated_mlp:  # there these biases are elsewhere, or missing
        for block in model.blocks:
            block.mlp.b_gate.data.zero_()
            block.mlp.b_in.data.zero_()
    return model


def original_parity(python: str, names: Sequence[str] = tuple(TOYS)) -> dict[str, list[Agreement]]:
    """Every activation of these toys in float64 against the original library's, by the toy's name.

    Args:
        python: of an environment that has the original library.

    Raises:
        ValueError: it does not, or does not run these models.
    """
    models = {name: toy(name) for name in names}
    tokens = torch.randint(53, (3, 13), generator=torch.Generator().manual_seed(0))
    runs = {}
    for name, model in models.items():
        config = {
            key: value for key, value in model.cfg.to_dict().items() if key not in ("dtype", "n_params")
        }
        runs[name] = {"config": config, "weights": dict(model.state_dict()), "tokens": tokens}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(runs, Path(folder) / "runs.pt")
        worker = subprocess.run([python, str(WORKER), folder], capture_output=True, text=True)
        if worker.returncode:
            last = (worker.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ValueError(f"{python} could not run the original library: {last}")
        theirs = torch.load(Path(folder) / "activations.pt", weights_only=True)
    return {name: _rows(model, tokens, theirs[name]) for name, model in models.items()}


def _rows(model: HookedTransformer, tokens: Tensor, theirs: dict[str, Tensor]) -> list[Agreement]:
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
    ours = {**cache.cache_dict, "logits": logits}
    # The angles of our rotations are in float32, as in transformers, so there the errors are float32's.
    exact = torch.float32 if model.cfg.positional_embedding_type == "rotary" else torch.float64
    rows = []
    for key, value in theirs.items():
        if key.startswith("unembed."):
            continue  # hook points that stand for what ln_final gives, and for the logits
        error = float("inf")
        if key in ours and ours[key].numel() == value.numel():
            mine, value = ours[key].reshape(value.shape), value.double()
            seen = value.isfinite()
            if seen.equal(mine.isfinite()):
                error = float((mine[seen] - value[seen]).abs().max() / value[seen].std())
        rows.append(Agreement(key.removeprefix("blocks."), "raw", exact, error))
    return rows
