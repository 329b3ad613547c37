"""Answers that resemble one another more than the class's do: a hint to look, never a verdict.

Token fingerprints as winnowing takes them (Schleimer, Wilkerson and Aiken 2003, "Winnowing"), by copydetect. What the
stubs hold, and what many of a class write, is taken out first: short right answers are alike because they are right.
"""

import io
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations
from typing import Any

from ..catalog import ChapterEntry
from ..result import Status
from .outcome import Learner, Outcome

TOKENS = 16  # characters of tokenized code that make a fingerprint
COMMON = 0.15  # what more of a class than this write is everybody's
AT_LEAST = 4  # learners
ENOUGH = 0.5  # of the smaller text
LEAST = 60  # characters of tokenized code that two have in common
SHOWN = 20


@dataclass
class Pair:
    """Two learners' answers to one chapter, and which parts of each are in the other."""

    chapter: ChapterEntry
    first: Learner
    second: Learner
    share: float
    texts: tuple[str, str]
    slices: tuple[list[tuple[int, int]], list[tuple[int, int]]]

    def marked(self) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
        """Both texts in pieces: whether the piece is in both, and the piece."""
        one, two = (list(_pieces(text, parts)) for text, parts in zip(self.texts, self.slices))
        return one, two


def available() -> bool:
    return find_spec("copydetect") is not None


def pairs(outcome: Outcome) -> list[Pair]:
    """The most similar pairs of the class, chapter by chapter."""
    found: list[Pair] = []
    for chapter, chosen in outcome.chapters:
        written = {}
        for learner in outcome.graded:
            verdicts = [learner.verdicts[e.id] for e in chosen]
            texts = [v.text for v in verdicts if v.text and v.status is not Status.NOT_ATTEMPTED]
            if texts:
                written[learner.slug] = (learner, "\n\n\n".join(texts)[:60_000])
        found += _of_chapter(chapter, list(written.values()))
    found.sort(key=lambda p: (-p.share, p.chapter.id, p.first.slug, p.second.slug))
    return found[:SHOWN]


def _of_chapter(chapter: ChapterEntry, written: list[tuple[Learner, str]]) -> list[Pair]:
    from copydetect import compare_files

    if len(written) < 2:
        return []
    prints = [_prints(text) for _, text in written]
    spread = Counter(mark for one in prints for mark in one.hashes)
    common = {mark for mark, n in spread.items() if n > max(AT_LEAST, COMMON * len(written))} | _given(
        chapter
    )
    holders: dict[int, list[int]] = {}
    for index, one in enumerate(prints):
        for mark in one.hashes - common:
            holders.setdefault(mark, []).append(index)
    shared = Counter(pair for who in holders.values() for pair in combinations(who, 2))
    left = [_prints(text, common) for _, text in written]
    found = []
    for (a, b), _ in shared.most_common(SHOWN * 5):
        overlap, share, slices = compare_files(left[a], left[b])
        if overlap >= LEAST and max(share) >= ENOUGH:
            one, two = ([(int(x), int(y)) for x, y in zip(*part)] for part in slices)
            texts = (written[a][1], written[b][1])
            found.append(
                Pair(chapter, written[a][0], written[b][0], min(1.0, float(max(share))), texts, (one, two))
            )
    return found


def _prints(text: str, without: set[int] | None = None) -> Any:
    import numpy as np
    from copydetect import CodeFingerprint

    left_out = np.array(sorted(without)) if without else None
    return CodeFingerprint("answer.py", TOKENS, 1, left_out, language="python", fp=io.StringIO(text))


def _given(chapter: ChapterEntry) -> set[int]:
    """The fingerprints of what was given out."""
    from .. import build, workspace

    try:
        return set(_prints(build.stub_file(chapter, workspace.home())).hashes)
    except OSError:
        return set()


def _pieces(text: str, slices: list[tuple[int, int]]) -> Any:
    at = 0
    for start, end in sorted(slices):
        start, end = max(start, at), min(end, len(text))
        if end <= start:
            continue
        yield from [(False, text[at:start])] if start > at else []
        yield True, text[start:end]
        at = end
    if at < len(text):
        yield False, text[at:]
