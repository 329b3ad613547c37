"""How grading's processes talk: a head of JSON and a body of bytes, each with its length in front. Torch-free.

What comes from a learner's process is read as data only, and never more of it than is asked for.
"""

import json
from typing import IO, Any

MAX_HEAD = 16 * 2**20
MAX_BODY = 160 * 2**20
"""Room for two runs of an answer, each as large as `plain.MAX_BYTES` allows."""


def send(file: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    text = json.dumps(head).encode()
    file.write(len(text).to_bytes(8, "little") + len(body).to_bytes(8, "little") + text + body)
    file.flush()


def receive(file: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None at the end. Raises ValueError for what is none, or is too long."""
    lengths = _exactly(file, 16)
    if lengths is None:
        return None
    n_head, n_body = (int.from_bytes(part, "little") for part in (lengths[:8], lengths[8:]))
    if n_head > MAX_HEAD or n_body > MAX_BODY:
        raise ValueError(f"a message of {n_head} and {n_body} bytes")
    text, body = _exactly(file, n_head), _exactly(file, n_body)
    if text is None or body is None:
        raise ValueError("a message that was cut short")
    try:
        head = json.loads(text)
    except RecursionError:
        raise ValueError("a message that is nested too deep") from None
    if not isinstance(head, dict):
        raise ValueError("a message without a head")
    return head, body


def _exactly(file: IO[bytes], count: int) -> bytes | None:
    data = file.read(count)
    return data if len(data) == count else None
