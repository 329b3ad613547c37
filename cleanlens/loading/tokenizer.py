"""The tokenizer that belongs to a model: beside its weights, in the package, or in the hub's cache. No code is run."""

from pathlib import Path
from typing import Any

from cleanlens.loading.checked import ModelFileError, checked_file, short
from cleanlens.loading.files import TOKENIZER_FILES
from cleanlens.loading.fit import shown
from cleanlens.loading.names import ALIASES, MODELS, embedded_models, official_name


def read_tokenizer(folder: Path | None, model_name: str | None, fields: dict[str, Any]) -> Any:
    """The tokenizer that lies beside the weights, or that config.json names; None when there is none."""
    if folder is None and model_name is not None:
        if model_name in embedded_models():
            folder = MODELS / model_name
        elif Path(model_name).is_dir():
            folder = Path(model_name)
    if folder is not None and "tokenizer" in fields:
        if fields["tokenizer"] not in embedded_models():
            raise ModelFileError(
                f"{folder}: its config says tokenizer = {shown(fields['tokenizer'])}; "
                f"expected the name of an embedded model, one of {embedded_models()}"
            )
        folder = MODELS / fields["tokenizer"]
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if folder is None and model_name in ALIASES:
        try:
            return AutoTokenizer.from_pretrained(official_name(model_name), local_files_only=True)
        except OSError:
            return None
    has_its_own = folder is not None and any(
        (folder / name).exists() for name in ("tokenizer.json", "vocab.json", "vocab.txt")
    )
    if not has_its_own and fields.get("tokenizer_name"):  # the interpretability models share one
        try:
            return _from_files(AutoTokenizer, fields["tokenizer_name"])
        except ModelFileError:
            return None
    if folder is None or not has_its_own:
        return None
    for path in folder.iterdir():
        if path.name in TOKENIZER_FILES or not path.is_dir():
            checked_file(path)
    # AutoTokenizer looks the kind up in config.json, where transformers knows its own model types only.
    kind = PreTrainedTokenizerFast if fields["model_type"] == "cleanlens" else AutoTokenizer
    return _from_files(kind, folder, local_files_only=True)


def _from_files(kind: Any, where: Path | str, **options: Any) -> Any:
    """A tokenizer that has read something, so that a damaged one is noticed here."""
    try:
        tokenizer = kind.from_pretrained(where, trust_remote_code=False, **options)
        tokenizer("A word.")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise ModelFileError(
            f"{where}: its tokenizer cannot be read ({short(error)}). Get its files again "
            f"({', '.join(TOKENIZER_FILES)}), or pass tokenizer=..."
        ) from None
    return tokenizer
