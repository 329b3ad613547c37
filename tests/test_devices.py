"""Sweeps, path patching and analyses on a second device, where there is none: `meta` has shapes, but no numbers.

Like any other device it refuses to compute together with the CPU, so whoever makes a mask, an index or a result on the wrong
one is found. A CUDA device runs the same tests with numbers: tests/test_patching.py and others take it where there is one.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import random_model, random_tokens
from torch import Tensor

from cleanlens import HookedTransformer, patching
from cleanlens.analysis import (
    Graph,
    ablation_values,
    direct_logit_attribution,
    edge_attribution,
    edge_patching,
    run_circuit,
    singular_directions,
)

LLAMA = {
    "n_key_value_heads": 2,
    "normalization_type": "RMS",
    "positional_embedding_type": "rotary",
    "rotary_dim": 4,
    "d_head": 6,
    "gated_mlp": True,
    "act_fn": "silu",
}


def difference(logits: Tensor) -> Tensor:
    return (logits[:, -1, 3] - logits[:, -1, 8]).mean()


def per_prompt(logits: Tensor) -> Tensor:
    return logits[:, -1, 3]


class There:
    """A model on the other device, with tokens and caches of two runs there."""

    def __init__(self, config: dict[str, Any]):
        self.model = random_model(**config)
        clean, corrupted = (random_tokens(self.model, 2, 5, seed=seed).to("meta") for seed in (1, 2))
        self.model.to("meta")
        self.clean, self.corrupted = clean, corrupted
        self.cache, self.other = (self.model.run_with_cache(tokens)[1] for tokens in (clean, corrupted))


@pytest.fixture(params=[{}, LLAMA, {"attn_only": True}], ids=["gpt2", "llama-shaped", "attn-only"])
def there(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> There:
    # Without numbers one can neither see that a token is in the vocabulary nor take a result home.
    monkeypatch.setattr(HookedTransformer, "_read_tokens", lambda self, tokens, *_: (tokens, None))
    monkeypatch.setattr(Tensor, "cpu", lambda self: self)
    return There(request.param)


def test_the_other_device_does_not_compute_together_with_this_one(there: There) -> None:
    with pytest.raises(RuntimeError, match="device"):
        there.cache["resid_pre", 0] + torch.randn(2, 5, there.model.cfg.d_model)


SWEEPS = [name for name in dir(patching) if name.startswith("get_act_patch_")]
NEED_AN_MLP = ("get_act_patch_block_every", "get_act_patch_mlp_out", "get_act_patch_resid_mid")


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_stays_on_its_device(there: There, name: str) -> None:
    if name in NEED_AN_MLP and there.model.cfg.attn_only:
        pytest.skip("the model has attention only")
    sweep: Callable[..., Tensor] = getattr(patching, name)
    result = sweep(there.model, there.corrupted, there.cache, difference)
    assert result.device.type == "meta"
    assert sweep(there.model, there.corrupted, there.cache, per_prompt, reduce="none").shape == (
        *result.shape,
        2,
    )


def test_path_patching_stays_on_its_device(there: There) -> None:
    run = (there.model, there.clean, there.cache, there.other, difference)
    L, H = there.model.cfg.n_layers, there.model.cfg.n_heads
    assert patching.get_path_patch_head_to_logits(*run).shape == (L, H)
    assert patching.get_path_patch_head_to_heads(*run, [("q", 1, 0), ("v", 1, 1)]).shape == (L, H)
    assert patching.get_path_patch_head_to_head_every(*run).shape == (3, L, H, L, H)


def test_edges_and_attribution_stay_on_their_device(there: There) -> None:
    model, graph = there.model, Graph(there.model)
    assert ablation_values(model, "mean", there.clean).device.type == "meta"
    logits = run_circuit(
        model, there.clean, ablation_values(model, "resample", there.corrupted), graph.exists
    )
    assert logits.device.type == "meta"
    assert (
        edge_attribution(model, there.clean, there.corrupted, difference, 2).scores.shape
        == graph.exists.shape
    )
    assert edge_patching(model, there.clean, there.corrupted, difference).scores.shape == graph.exists.shape
    assert direct_logit_attribution(there.cache, 3, 8).shares.shape[1] == 2
    assert singular_directions(model, "OV", 0, 0, 2).logits.device.type == "meta"
