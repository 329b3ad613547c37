"""A result in words: plain text for the terminal and pytest, HTML for the notebook. Torch-free."""

import textwrap
from html import escape

from .catalog import Entry, entries
from .result import Result, Status
from .text import clean

SIGNS = {Status.RIGHT: "✓", Status.WRONG: "✗", Status.ERROR: "✗", Status.NOT_ATTEMPTED: "·"}
WORDS = {
    Status.RIGHT: "right",
    Status.WRONG: "not right yet",
    Status.ERROR: "it did not run through",
    Status.NOT_ATTEMPTED: "not attempted",
}
STAGES = {
    "crash": "What happened",
    "type": "The type differs",
    "shape": "The shape differs",
    "dtype": "The dtype differs",
    "finite": "Not finite",
    "values": "The values differ",
    "inputs": "A side effect",
}
COLOURS = {
    Status.RIGHT: "#2e7d32",
    Status.WRONG: "#c62828",
    Status.ERROR: "#c62828",
    Status.NOT_ATTEMPTED: "#757575",
}


def entry_of(id: str) -> Entry | None:
    return next((entry for entry in entries() if entry.id == id), None)


def title(result: Result) -> str:
    """`00.2 encode: not right yet`."""
    entry = entry_of(result.id)
    names = ", ".join(entry.names) if entry else ""
    return f"{result.id} {names}: {WORDS[result.status]}"


def lines(result: Result, help: str = "") -> list[tuple[str, str]]:
    """The labelled lines below the title, in the order in which they help; `help` stands for the last one's usual text."""
    if result.status is Status.RIGHT:
        found = [("", result.message)]
    elif result.status is Status.NOT_ATTEMPTED:
        entry = entry_of(result.id)
        place = f"Write it in {entry.chapter.answers} or in the notebook." if entry else ""
        found = [("", result.message or place)]
    else:
        label = STAGES.get(result.stage, "The first difference")
        found = [
            (_diagnosis(result), f"\n{result.hint}" if " + " in (result.mistake or "") else result.hint),
            (label, result.message),
            ("", _side_by_side(result)),
            ("Called with", f"\n{result.on}" if result.on else ""),
        ]
    found += [("Judged", result.where), ("Note", result.note)]
    if result.status is not Status.RIGHT:
        printed = result.printed.strip("\n").rstrip()
        found.append(("Printed in this call", f"\n{printed}" if printed else ""))
        if result.status is not Status.NOT_ATTEMPTED and not result.hint:
            usual = (
                f'hint("{result.id}") and case("{result.id}") in the notebook, '
                f"`cleanlens hint {result.id}` and `cleanlens debug {result.id}` in the terminal"
            )
            found.append(("Help", help or usual))
    return [(label, clean(text)) for label, text in found if text]


def in_a_line(result: Result) -> str:
    """The mistake's name, or else the first difference: for a list of many verdicts."""
    if result.mistake:
        return result.mistake.replace("_", " ")
    stage = STAGES.get(result.stage, "It differs").lower()
    return result.difference if result.stage == "crash" else f"{stage}: {result.difference}"


def _diagnosis(result: Result) -> str:
    if not result.hint:
        return ""
    two = " + " in (result.mistake or "")
    return f"It gives exactly what {'these two mistakes together give' if two else 'this mistake gives'}"


def _side_by_side(result: Result) -> str:
    if not result.expected and not result.got:
        return ""
    return f"expected  {result.expected}\ngot       {result.got}"


def text(result: Result, columns: int | None = None, help: str = "") -> str:
    """The whole report as plain text, wrapped to so many columns; what is set in columns of its own is cut instead."""
    rows = wrapped(f"{SIGNS[result.status]} {title(result)}", columns)
    for label, body in lines(result, help):
        first, *rest = (f"{label}: {body}" if label else body).splitlines()
        if body.startswith("expected  "):
            rows += [cut(f"      {line}", columns) for line in (first, *rest)]
            continue
        rows += wrapped(f"  {first}", columns)
        for line in rest:
            is_column = label in ("Called with", "Printed in this call")
            rows += [cut(f"      {line}", columns)] if is_column else wrapped(f"      {line}", columns)
    return "\n".join(rows)


def wrapped(line: str, columns: int | None) -> list[str]:
    """A line in pieces of at most so many columns, those after the first two further in than its beginning."""
    body = line.lstrip(" ")
    margin = " " * (len(line) - len(body))
    if columns is None or len(line) <= columns:
        return [line.rstrip()]
    return textwrap.wrap(
        body,
        max(columns, len(margin) + 20),
        initial_indent=margin,
        subsequent_indent=margin + "  ",
        break_on_hyphens=False,
    )


def cut(line: str, columns: int | None) -> str:
    return line if columns is None or len(line) <= columns else line[: columns - 1] + "…"


def html(result: Result) -> str:
    """The whole report for a notebook; every learner's text is escaped.

    Words have the notebook's own colour, in light and dark themes; only the rule and the sign have the verdict's.
    """
    colour = COLOURS[result.status]
    rows = []
    for label, body in lines(result):
        mono = label in ("Called with", "Printed in this call") or body.startswith("expected  ")
        style = "font-family:monospace;white-space:pre-wrap" if mono else "white-space:pre-wrap"
        head = f"<b>{escape(label)}.</b> " if label else ""
        rows.append(
            f'<div style="margin-top:4px">{head}<span style="{style}">{escape(body.lstrip(chr(10)))}</span></div>'
        )
    return (
        f'<div style="border-left:4px solid {colour};padding:4px 12px;margin:4px 0">'
        f'<div style="font-weight:bold"><span style="color:{colour}" aria-hidden="true">{SIGNS[result.status]}</span> '
        f"{escape(title(result))}</div>"
        f"{''.join(rows)}</div>"
    )


def hint_text(entry: Entry, level: int) -> str:
    """Hint number `level` (from 1) and how many there are. Raises ValueError for a level that is not there."""
    count = len(entry.hints)
    if not 1 <= level <= count:
        raise ValueError(f"exercise {entry.id} has hints 1 to {count}, not {level}")
    more = f" ({level} of {count})" if count > 1 else ""
    return f"{entry.id} {entry.title}, hint{more}: {entry.hints[level - 1]}"
