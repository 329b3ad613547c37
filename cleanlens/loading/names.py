"""Which models there are, what they are called, and which moments of their training were kept."""

import difflib
import json
from pathlib import Path

MODELS = Path(__file__).parent.parent / "models"

ALIASES = {
    "gpt2-small": "openai-community/gpt2",
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "distilgpt2": "distilbert/distilgpt2",
    "distillgpt2": "distilbert/distilgpt2",
    **{
        f"stanford-gpt2-{size}-{letter}": f"stanford-crfm/{name}"
        for size, letter, name in [
            ("small", "a", "alias-gpt2-small-x21"),
            ("small", "b", "battlestar-gpt2-small-x49"),
            ("small", "c", "caprica-gpt2-small-x81"),
            ("small", "d", "darkmatter-gpt2-small-x343"),
            ("small", "e", "expanse-gpt2-small-x777"),
            ("medium", "a", "arwen-gpt2-medium-x21"),
            ("medium", "b", "beren-gpt2-medium-x49"),
            ("medium", "c", "celebrimbor-gpt2-medium-x81"),
            ("medium", "d", "durin-gpt2-medium-x343"),
            ("medium", "e", "eowyn-gpt2-medium-x777"),
        ]
    },
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
}

# The steps at which the Stanford CRFM runs were saved, as their model cards give them.
STANFORD_CRFM_STEPS = [
    *range(0, 100, 10),
    *range(100, 2000, 50),
    *range(2000, 20000, 100),
    *range(20000, 400001, 1000),
]


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
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return name
    known = [*embedded_models(), *ALIASES]
    closest = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    hint = f" Did you mean {' or '.join(map(repr, closest))}?" if closest else ""
    raise ValueError(
        f"no model named {name!r}.{hint} {embedded_models()} come with the package and work offline; "
        f"other names are {sorted(ALIASES)}, a Hugging Face id 'owner/name', or a local directory."
    )


def get_checkpoint_labels(model_name: str) -> tuple[list[int], str]:
    """The training steps at which a model was kept, and what they count ("step").

    Raises:
        ValueError: no checkpoints are known for it.
    """
    folder = MODELS / model_name
    if (folder / "config.json").exists():
        labels = json.loads((folder / "config.json").read_text()).get("checkpoint_labels")
        if labels:
            return labels, "step"
    elif official_name(model_name).startswith("stanford-crfm/"):
        return STANFORD_CRFM_STEPS, "step"
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
