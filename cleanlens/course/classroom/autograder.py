"""Grading one submission on Gradescope: `python -m cleanlens.course.classroom.autograder SUBMISSION RESULTS.json`.

It always writes a results.json: where nothing could be graded, one that says why.
"""

import argparse
import json
from pathlib import Path

from ..catalog import outline
from ..result import Result, Status
from . import exports, submissions, task
from .grade import Student
from .outcome import Learner


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Grade one submission and write Gradescope's results.json.")
    parser.add_argument("submission", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--chapters", default="", help="00,01,03; all by default")
    parser.add_argument("--unsealed", action="store_true", help="run it with the rights of this process")
    options = parser.parse_args(argv)
    wanted = {id.strip() for id in options.chapters.split(",")} - {""}
    chosen = [e for c in outline() if not wanted or c.id in wanted for e in c.exercises]
    found = submissions.Submission(
        "submission", lambda: submissions.tree_of_folder(options.submission)
    ).read()
    learner = Learner(Student("submission", notes=found.notes), "submission")
    try:
        ids = [entry.id for entry in chosen]
        seed = task.runner.secret_seed()
        record = task.grade_files(found.files, ids, seed, not options.unsealed)
        results = [
            Result(**{k: v for k, v in row.items() if k != "text"} | {"status": Status(row["status"])})
            for row in record["exercises"]
        ]
        status = 0
    except RuntimeError as error:
        learner.failed = f"It could not be graded, which is not your fault: {error}. Tell your teacher."
        results, status = [], 1
    finally:
        task.close()
    text = json.dumps(exports.gradescope(learner, results), indent=1, ensure_ascii=False)
    options.results.write_text(text + "\n", encoding="utf-8")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
