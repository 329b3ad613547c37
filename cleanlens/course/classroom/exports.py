"""A class's verdicts for other programs: JSON, a CSV for an LMS, Gradescope's results.json, JUnit. Torch-free."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import Any

from .. import report
from ..result import Result, Status
from .outcome import SHORT, Learner, Outcome, unnamed_rows

_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def learner_json(outcome: Outcome, learner: Learner) -> dict[str, Any]:
    """One learner's verdicts, in full.

    `effort` holds attempts, hints and seconds of work where they handed in their progress file: their own word, which
    nobody has checked and no verdict depends on. null: not known.
    """
    rows = []
    for entry in outcome.entries:
        if (verdict := learner.verdicts.get(entry.id)) is None:
            continue
        row = asdict(verdict.result)
        row.pop("seconds")
        rows.append(
            row | {"names": list(entry.names), "title": entry.title, "effort": verdict.effort or None}
        )
    student = learner.student
    return {
        "student": student.name,
        "id": student.id,
        "email": student.email,
        "handed_in": learner.handed_in,
        "sealed": learner.sealed,
        "notes": student.notes,
        "failed": learner.failed,
        "right": learner.count(Status.RIGHT),
        "of": len(outcome.entries),
        "exercises": rows,
    }


def gradescope(learner: Learner, results: list[Result]) -> dict[str, Any]:
    """`results.json` as Gradescope's autograders write it: one point for each exercise that is right.

    https://gradescope-autograders.readthedocs.io/en/latest/specs/
    """
    tests = []
    for result in results:
        tests.append(
            {
                "name": report.title(result),
                "number": result.id,
                "score": 1.0 if result.passed else 0.0,
                "max_score": 1.0,
                "status": "passed" if result.passed else "failed",
                "output": _body(result),
                "output_format": "text",
                "visibility": "visible",
            }
        )
    said = learner.student.notes + ([learner.failed] if learner.failed else [])
    score = {} if tests else {"score": 0.0}  # asked for where no test has one
    return score | {
        "output": "\n".join(said)
        or f"{sum(r.passed for r in results)} of {len(results)} exercises are right.",
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def _body(result: Result) -> str:
    return "\n".join(f"{label}: {text}" if label else text for label, text in report.lines(result))


def junit(learner: Learner, results: list[Result]) -> str:
    """JUnit's XML: a suite for each chapter; wrong is a failure, stuck an error, not attempted a skip."""
    suites = ET.Element("testsuites", name=_xml(learner.name))
    chapters: dict[str, list[Result]] = {}
    for result in results:
        chapters.setdefault(result.id.partition(".")[0], []).append(result)
    for chapter, found in chapters.items():
        counts = {
            "tests": len(found),
            "failures": sum(r.status is Status.WRONG for r in found),
            "errors": sum(r.status is Status.ERROR for r in found),
            "skipped": sum(r.status is Status.NOT_ATTEMPTED for r in found),
        }
        attributes = {"name": f"chapter {chapter}"} | {name: str(value) for name, value in counts.items()}
        suite = ET.SubElement(suites, "testsuite", attributes)
        for result in found:
            entry = report.entry_of(result.id)
            name = f"{result.id} {', '.join(entry.names)}" if entry else result.id
            case = ET.SubElement(suite, "testcase", classname=f"chapter {chapter}", name=name, time="0")
            tag = {Status.WRONG: "failure", Status.ERROR: "error", Status.NOT_ATTEMPTED: "skipped"}
            if result.status in tag:
                said = ET.SubElement(case, tag[result.status], message=_xml(result.message[:300]))
                if result.status is not Status.NOT_ATTEMPTED:
                    said.set("type", result.mistake or result.stage or "wrong")
                    said.text = _xml(_body(result))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Without what XML cannot hold, escaped or not. (`clean` has taken the control characters already.)"""
    return _NO_XML.sub("�", text)


def table(outcome: Outcome) -> str:
    """A CSV with a line for each learner and a column for each exercise."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", "id", "email", "right", "of", *(entry.id for entry in outcome.entries)])
    for learner in outcome.learners:
        student = learner.student
        states = [SHORT[learner.verdicts[e.id].status] if learner.verdicts else "" for e in outcome.entries]
        right = learner.count(Status.RIGHT) if learner.verdicts else ""
        cells = [student.name, student.id, student.email, right, len(outcome.entries), *states]
        writer.writerow([_cell(cell) for cell in cells])
    return file.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet would run a text that begins like this as a formula: a name is a text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def class_json(outcome: Outcome) -> dict[str, Any]:
    """The class in numbers, for a program."""
    rows = []
    for entry in outcome.entries:
        counts = {SHORT[status]: n for status, n in outcome.counts(entry).items()}
        mistakes = [
            {"mistake": m.slug, "hint": m.hint, "count": m.count, "of": m.attempted}
            for m in outcome.mistakes(entry)
        ]
        rows.append(
            {
                "id": entry.id,
                "names": list(entry.names),
                "title": entry.title,
                **counts,
                "mistakes": mistakes,
                "unnamed": len(outcome.unnamed(entry)),
                "median_effort": outcome.effort(entry) or None,
            }
        )
    learners = [
        {"name": s.name, "slug": s.slug, "handed_in": s.handed_in, "right": s.count(Status.RIGHT)}
        for s in outcome.learners
    ]
    return {
        "title": outcome.title,
        "sealed": outcome.sealed,
        "graded": len(outcome.graded),
        "exercises": rows,
        "learners": learners,
    }


def unnamed_lines(outcome: Outcome) -> str:
    """Wrong answers without a name, one JSON object on each line, nobody named."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in unnamed_rows(outcome))


def markdown(outcome: Outcome) -> str:
    """A summary in Markdown, such as GitHub shows for a run: of one learner each exercise, of more the numbers."""
    graded = outcome.graded
    lines = [f"# {_plain(outcome.title)}", ""]
    if len(graded) == 1:
        [learner] = graded
        lines += [f"{learner.count(Status.RIGHT)} of {len(outcome.entries)} exercises are right.", ""]
        lines += ["| | exercise | |", "|---|---|---|"]
        for entry in outcome.entries:
            result = learner.verdicts[entry.id].result
            said = result.hint or ("" if result.passed else result.message)
            sign, names = report.SIGNS[result.status], ", ".join(entry.names)
            lines.append(f"| {sign} {SHORT[result.status]} | {entry.id} {names} | {_plain(said)[:300]} |")
    else:
        lines += [
            "| exercise | right | wrong | stuck | not attempted | most frequent mistake |",
            "|---|---|---|---|---|---|",
        ]
        for entry in outcome.entries:
            counts, mistakes = outcome.counts(entry), outcome.mistakes(entry)
            most = (
                f"{mistakes[0].count} of {mistakes[0].attempted}: {_plain(mistakes[0].hint)}"
                if mistakes
                else ""
            )
            numbers = " | ".join(str(n) for n in counts.values())
            lines.append(f"| {entry.id} {', '.join(entry.names)} | {numbers} | {most} |")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A text in a cell of a Markdown table: no line ends, nothing that would be markup."""
    text = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in text)
