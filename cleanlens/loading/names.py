"""Which models there are, what they are called, and which moments of their training were kept."""

import difflib
import json
import re
from pathlib import Path

from cleanlens.loading.aliases import NOT_BUILT, PUBLISHED

MODELS = Path(__file__).parent.parent / "models"

ALIASES: dict[str, str] = {}
for _id, _aliases in PUBLISHED.items():
    for _alias in _aliases.split():
        ALIASES.setdefault(_alias, _id)

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
    if name in ALIASES:
        return ALIASES[name]
    lower = name.lower()
    for known, id in [*ALIASES.items(), *((id, id) for id in PUBLISHED)]:
        if known.lower() == lower:
            return id
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return name
    for start, needed in NOT_BUILT.items():
        if lower.startswith(start):
            raise ValueError(
                f"{name!r} is not built: it needs {needed}. The families that are built are the files of "
                "cleanlens/loading, and their names are in aliases.py"
            )
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
        found = (re.match(r"checkpoints/.*_(\d+)\.pth", file) for file in hub_files(name))
        labels = [int(match.group(1)) for match in found if match]
        if labels:
            return labels, "token" if labels[-1] > 1e9 else "step"
    raise ValueError(f"no training checkpoints are known for {model_name!r}")


def hub_files(name: str) -> list[str]:
    """The files of a model on the hub.

    Raises:
        ConnectionError: the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return list_repo_files(name)
    except (OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConnectionError(
            f"which files {name!r} has is known to the Hugging Face hub only, and it could not be asked ({reason})"
        ) from error


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
