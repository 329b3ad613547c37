"""Texts that somebody else wrote: their lines as Python counts them, and without what a terminal would obey."""

import io
import re

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
# Control characters other than tab and newline (colours, cursor moves, titles), those that turn the reading
# direction, and halves of surrogate pairs, which no encoding can write.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def lines_of(text: str, keepends: bool = False) -> list[str]:
    """The lines that `ast` counts. `str.splitlines` also ends one at a form feed, U+2028 and others."""
    lines = [line for line in _LINE.findall(text) if line]
    return lines if keepends else [line.rstrip("\r\n") for line in lines]


def clean(text: str) -> str:
    r"""`text` for a terminal or a file: what is not to be seen is written out, such as \x1b."""
    text = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


class Tail(io.TextIOBase):
    """A place for prints that keeps the first few thousand characters and forgets the rest."""

    def __init__(self, limit: int = 4000):
        self.limit, self.kept = limit, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if len(self.kept) < self.limit:
            self.kept += str(text)[: self.limit - len(self.kept)]
        return len(text)
