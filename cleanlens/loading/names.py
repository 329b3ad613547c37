"""Which models there are, what they are called, and which moments of their training were kept."""

import difflib
import json
from pathlib import Path

from cleanlens.loading.aliases import ALIASES, find_id, refuse_unbuilt

MODELS = Path(__file__).parent.parent / "models"

# The steps at which the Stanford CRFM runs were saved, as their model cards give them.
STANFORD_CRFM_STEPS = [
    *range(0, 100, 10),
    *range(100, 2000, 50),
    *range(2000, 20000, 100),
    *range(20000, 400001, 1000),
]
# Those of Pythia (Biderman et al. 2023, section 2.1); the first version, "-v0", has the evenly spaced ones only.
PYTHIA_V0_STEPS = [*range(1000, 143001, 1000)]
PYTHIA_STEPS = [0, *(2**i for i in range(10)), *PYTHIA_V0_STEPS]


def embedded_models() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in MODELS.glob("*/config.json"))


def official_name(name: str) -> str:
    """The Hugging Face id of a published alias; an id with a slash stands for itself.

    Raises:
        ValueError: no such name; the message gives the closest ones.
    """
    if (id := find_id(name)) is not None:
        return id
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return name
    refuse_unbuilt(name)
    known = [*embedded_models(), *ALIASES]
    closest = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    hint = f" Did you mean {' or '.join(map(repr, closest))}?" if closest else ""
    raise ValueError(
        f"no model named {name!r}.{hint} {embedded_models()} come with the package and work offline; "
        f"there are {len(ALIASES)} other names (cleanlens/loading/aliases.py), from {min(ALIASES)!r} to {max(ALIASES)!r}; "
        "or give a Hugging Face id 'owner/name', or a local directory."
    )


def get_checkpoint_labels(model_name: str) -> tuple[list[int], str]:
    """The moments of training at which a model was kept, and what they count: "step" or "token".

    Known without a network for the embedded models, Stanford's and Pythia; for the interpretability models they are in
    the hub's list of files.

    Raises:
        ValueError: no checkpoints are known for it.
        ConnectionError: the hub cannot be reached.
    """
    config = MODELS / model_name / "config.json"
    if config.exists():
        labels = json.loads(config.read_text()).get("checkpoint_labels")
        if labels:
            return labels, "step"
        raise ValueError(f"no training checkpoints are known for {model_name!r}")
    name = official_name(model_name)
    if name.startswith("stanford-crfm/"):
        return STANFORD_CRFM_STEPS, "step"
    if name.startswith("EleutherAI/pythia"):
        return (PYTHIA_V0_STEPS if "v0" in name else PYTHIA_STEPS), "step"
    if name.startswith("NeelNanda/"):
        from cleanlens.loading.interpretability import checkpoint_labels  # a family, above this file

        return checkpoint_labels(name)
    raise ValueError(f"no training checkpoints are known for {model_name!r}")


def choose_checkpoint(model_name: str, index: int | None, value: int | None) -> int | None:
    """The label of the wanted checkpoint; None for the finished model.

    Raises:
        ValueError: both were given, or there is no such checkpoint.
    """
    if index is None and value is None:
        return None
    if index is not None and value is not None:
        raise ValueError("give checkpoint_index or checkpoint_value, not both")
    labels, _ = get_checkpoint_labels(model_name)
    if index is not None:
        if not -len(labels) <= index < len(labels):
            raise ValueError(f"checkpoint_index = {index}; {model_name} has {len(labels)} checkpoints")
        return labels[index]
    if value not in labels:
        closest = min(labels, key=lambda label: abs(label - value))  # type: ignore[operator]
        raise ValueError(
            f"checkpoint_value = {value} was not kept for {model_name}; the closest is {closest}"
        )
    return value
