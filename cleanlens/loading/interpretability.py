"""Models that Neel Nanda trained for interpretability: attn-only, gelu and solu, of one to twelve layers.

Their weights, in one `.pth` file, have the published names already; the oldest (`..._old`) turn some around.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from cleanlens.config import HookedTransformerConfig

TIED = False
OPTIONAL = ("unembed.b_U",)
SIZES = ("d_model", "n_layers", "d_mlp", "d_head", "n_heads", "n_ctx", "d_vocab")
NOT_WEIGHTS = re.compile(r".*(attn\.mask|attn\.IGNORE)")  # causal masks that the files carry


def config(fields: dict[str, Any]) -> HookedTransformerConfig:
    """Our config from the fields of their config.json. Only the name of an old model says that it is one."""
    attn_only = fields["attn_only"]
    is_old = "_old" in fields.get("_name_or_path", "")
    return HookedTransformerConfig(
        **{size: fields[size] for size in SIZES if not (attn_only and size == "d_mlp")},
        act_fn=None if attn_only else fields["act_fn"],
        attn_only=attn_only,
        normalization_type=fields.get("normalization", fields.get("normalization_type")),
        final_rms=fields.get("final_rms", False),
        positional_embedding_type="shortformer" if fields.get("shortformer_pos") else "standard",
        tokenizer_name=fields.get("tokenizer_name"),
        original_architecture=fields.get("architecture", "neel-solu-old" if is_old else "neel"),
        init_weights=False,
    )


def convert(
    name: str, tensor: Tensor, cfg: HookedTransformerConfig, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """The tensor under its own name; an old one's under the name, and the right way round, that others have.

    In the old models of up to 6 layers every weight has its outputs first, W_pos in those of up to 8.
    """
    if NOT_WEIGHTS.fullmatch(name):
        return
    if cfg.original_architecture == "neel-solu-old":
        name = re.sub(r"^ln\.", "ln_final.", name.replace("norm", "ln"))
        is_position = name.endswith("W_pos")
        turned = cfg.n_layers <= (8 if is_position else 6)
        if turned and name.rpartition(".")[2].startswith("W_"):
            tensor = tensor.transpose(-2, -1)
    yield name, tensor


def fetch(name: str, revision: str | None, label: int | None) -> tuple[Path, list[Path]]:
    """The folder and the one weight file of such a model on the hub: its last, or that of a checkpoint.

    Raises:
        ConnectionError: the hub cannot be reached, or has no such file.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    end = "final.pth" if label is None else f"_{label}.pth"
    file = next((file for file in hub_files(name) if file.endswith(end)), None)
    if file is None:
        raise ConnectionError(f"{name!r} has no file on the hub that ends in {end!r}")
    try:
        config = hf_hub_download(name, "config.json", revision=revision)
        return Path(config).parent, [Path(hf_hub_download(name, file, revision=revision))]
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise ConnectionError(f"{name!r} could not be fetched from the Hugging Face hub ({error})") from error


def checkpoint_labels(name: str) -> tuple[list[int], str]:
    """The moments of training of which the hub has a file, and what they count: "step" or "token".

    Raises:
        ConnectionError: the hub cannot be reached.
        ValueError: it has none.
    """
    found = (re.match(r"checkpoints/.*_(\d+)\.pth", file) for file in hub_files(name))
    labels = [int(match.group(1)) for match in found if match]
    if not labels:
        raise ValueError(f"no training checkpoints are known for {name!r}")
    return labels, "token" if labels[-1] > 1e9 else "step"


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
