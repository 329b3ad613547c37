"""The report's files: the class page, a page for each learner, and the exports. Torch-free.

    index.html  students/NAME.html  class.csv  class.json  summary.md  unnamed.jsonl  json/ gradescope/ junit/

Pages hold all they need, in light and dark, on a phone and on paper; every learner's text is escaped.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .. import report
from ..progress import write_whole
from ..result import Status
from . import exports, similar
from .outcome import SHORT, SIGNS, STATES, Learner, Outcome, in_words

BY_STATUS = {
    status: SimpleNamespace(
        status=status, word=SHORT[status], sign=SIGNS[status], css=SHORT[status].replace(" ", "-")
    )
    for status in STATES
}
FOLDERS = ("students", "json", "gradescope", "junit")


def write_report(outcome: Outcome, out: Path, step: Callable[[str], None] = lambda what: None) -> Path:
    """Write everything; returns the class page. What an earlier report left for other learners is removed."""
    for name in FOLDERS:
        if (out / name).is_dir() and not (out / name).is_symlink():
            shutil.rmtree(out / name)
        (out / name).mkdir(parents=True)
    for learner in outcome.learners:
        step(learner.name)
        if learner.verdicts:
            results = [learner.verdicts[entry.id].result for entry in outcome.entries]
            write_whole(out / "students" / f"{learner.slug}.html", feedback_page(outcome, learner))
            write_whole(
                out / "gradescope" / f"{learner.slug}.json", _json(exports.gradescope(learner, results))
            )
            write_whole(out / "junit" / f"{learner.slug}.xml", exports.junit(learner, results))
        write_whole(out / "json" / f"{learner.slug}.json", _json(exports.learner_json(outcome, learner)))
    step("the class page")
    write_whole(out / "class.csv", exports.table(outcome))
    write_whole(out / "class.json", _json(exports.class_json(outcome)))
    write_whole(out / "summary.md", exports.markdown(outcome))
    write_whole(out / "unnamed.jsonl", exports.unnamed_lines(outcome))
    write_whole(out / "index.html", class_page(outcome))
    return out / "index.html"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    shared = {"states": list(BY_STATUS.values()), "by_status": BY_STATUS, "right": Status.RIGHT}
    return environment.get_template(template).render(**shared, words=report.WORDS, **values)


def class_page(outcome: Outcome) -> str:
    graded = outcome.graded
    all_of_them, done = len(graded) * len(outcome.entries), sum(g.count(Status.RIGHT) for g in graded)
    mistakes = [(entry, mistake) for entry in outcome.entries for mistake in outcome.mistakes(entry)]
    mistakes.sort(key=lambda pair: -pair[1].count)  # those made as often stay in the course's order
    unnamed = [(entry, outcome.unnamed_groups(entry)) for entry in outcome.entries if outcome.unnamed(entry)]
    unnamed.sort(key=lambda pair: -sum(len(learners) for learners, _ in pair[1]))
    remarks = []
    for learner in outcome.learners:
        notes = [
            *learner.student.notes,
            *([f"Could not be graded: {learner.failed}"] if learner.failed else []),
        ]
        remarks += [(learner, notes)] if notes else []
    return render(
        "class.html",
        title=outcome.title,
        outcome=outcome,
        share=f"{100 * done / all_of_them:.0f}%" if all_of_them else "0%",
        named=sum(mistake.count for _, mistake in mistakes),
        unnamed=unnamed,
        unnamed_count=sum(len(learners) for _, groups in unnamed for learners, _ in groups),
        mistakes=mistakes,
        missing=[learner for learner in outcome.learners if not learner.handed_in],
        failed=[learner for learner in outcome.learners if learner.failed],
        in_words=in_words,
        similar=similar.pairs(outcome) if similar.available() else None,
        remarks=remarks,
    )


def feedback_page(outcome: Outcome, learner: Learner) -> str:
    """What one learner is told: the same words as at home."""
    chapters = []
    for chapter, chosen in outcome.chapters:
        rows = []
        for entry in chosen:
            verdict = learner.verdicts[entry.id]
            mono = ("Called with", "Printed", *report.STAGES.values())
            lines = [(label, text, label in mono) for label, text in report.lines(verdict.result)]
            rows.append((entry, BY_STATUS[verdict.status], verdict, lines))
        chapters.append((chapter, rows))
    return render("feedback.html", title=outcome.title, outcome=outcome, learner=learner, chapters=chapters)
