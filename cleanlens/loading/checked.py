"""Files that are asked first whether they are what they should be; nothing here starts torch."""

import json
from pathlib import Path
from typing import Any

LARGEST_JSON = 2**26  # bytes; a tokenizer of 250,000 words has about 2**24


class ModelFileError(ValueError):
    """A model's file that cannot be used: which one, what it holds, what was expected, what to do."""


def short(error: BaseException, most: int = 150) -> str:
    """The beginning of an exception's message, for a sentence of ours."""
    lines = str(error).splitlines()
    return (lines[0][:most] if lines else "") or type(error).__name__


def checked_file(path: Path) -> Path:
    """The path itself, when a plain file stands there: reading a pipe or a device would wait for ever.

    Raises:
        ModelFileError: there is something else, or nothing.
    """
    if path.is_file():
        return path
    found = "a directory" if path.is_dir() else "not a plain file" if path.exists() else "missing"
    raise ModelFileError(f"{path} is {found}; expected a file. Get the model again")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        ModelFileError: it is no such file.
    """
    checked_file(path)
    if path.stat().st_size > LARGEST_JSON:
        raise ModelFileError(
            f"{path} has {path.stat().st_size} bytes; expected at most {LARGEST_JSON}. Get it again"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {short(error)}. Get it again") from None
    if not isinstance(value, dict):
        raise ModelFileError(
            f"{path} holds a {type(value).__name__}; expected an object, {{...}}. Get it again"
        )
    return value
