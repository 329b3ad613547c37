"""Run by the Python of an environment that has the original library, and not cleanlens: see `original.py`."""

import dataclasses
import sys
from pathlib import Path

import torch


def main(folder: Path) -> None:
    """What the other Python does: the same runs in the original library."""
    import transformer_lens as original  # type: ignore[import-not-found]

    activations = {}
    for name, run in torch.load(folder / "runs.pt", weights_only=True).items():
        known = {field.name for field in dataclasses.fields(original.HookedTransformerConfig)}
        config = {key: value for key, value in run["config"].items() if key in known and value is not None}
        config["normalization_type"] = run["config"]["normalization_type"]
        model = original.HookedTransformer(original.HookedTransformerConfig(**config, dtype=torch.float64))
        model.load_state_dict(run["weights"], strict=False)
        with torch.no_grad():
            logits, cache = model.run_with_cache(run["tokens"])
        activations[name] = {**cache.cache_dict, "logits": logits}
    torch.save(activations, folder / "activations.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
