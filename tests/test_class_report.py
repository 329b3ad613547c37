"""A class's report: counts, formats other programs read, texts that mean harm, and names that are kept out."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cleanlens.course import catalog, report
from cleanlens.course.classroom import exports, grade, outcome, pages, similar, task
from cleanlens.course.result import Result, Status

ENTRIES = [e for c in catalog.outline() if c.id in ("00", "03") for e in c.exercises]
NASTY = (
    "</script><script>alert(1)</script>\"'&<b>]]>\ud800\x1b[31m\x00\ufffe=cmd|' /C calc'!A0 | `x` | {{ 7*7 }}"
)


def made_up(tmp_path: Path, learners: dict[str, dict[str, Any]], title: str = "A class") -> outcome.Outcome:
    """An outcome of records as the grading writes them: `{name: {id: (status, mistake or message, text)}}`."""
    run = grade.Run.begin(tmp_path / "out", ENTRIES)
    for number, (name, verdicts) in enumerate(learners.items()):
        rows = []
        for entry in ENTRIES:
            status, said, text = verdicts.get(entry.id, (Status.NOT_ATTEMPTED, "", ""))
            mistake = next((m for m in catalog.find(entry.id).mistakes if m.slug == said), None)
            result = Result(
                entry.id,
                status,
                stage="values" if status is Status.WRONG else "crash" if status is Status.ERROR else "",
                message=said if mistake is None else "",
                mistake=mistake.slug if mistake else None,
                hint=mistake.hint if mistake else "",
            )
            row = {k: v for k, v in vars(result).items() if k != "seconds"}
            rows.append(json.loads(json.dumps(row)) | {"text": text})
        run.keep(f"key{number}", {"format": task.FORMAT, "sealed": "bubblewrap", "exercises": rows})
        run.students.append(grade.Student(name, f"key{number}", email=f"{number}@uni.example"))
    run.students.append(grade.Student("Zoe Absent"))
    return outcome.Outcome(run, title)


WRONG, ERROR, RIGHT = Status.WRONG, Status.ERROR, Status.RIGHT
SMALL = {
    "Ada One": {"00.2": (WRONG, "bos_as_text", "def encode(): ..."), "00.1": (RIGHT, "", "x")},
    "Bea Two": {
        "00.2": (WRONG, "bos_as_text", "def encode(): ..."),
        "00.1": (WRONG, "got 3", "def build_vocab(): 3"),
    },
    "Cy Three": {
        "00.2": (ERROR, "it raised", "1/0"),
        "00.1": (WRONG, "got 3", "def build_vocab(): 3  # Cy Three"),
    },
}


def test_the_counts_of_an_exercise_and_its_mistakes(tmp_path: Path) -> None:
    found = made_up(tmp_path, SMALL)
    one, two = ENTRIES[:2]
    assert list(found.counts(one).values()) == [1, 2, 0, 0]
    assert list(found.counts(two).values()) == [0, 2, 1, 0]
    assert list(found.counts(ENTRIES[2]).values()) == [0, 0, 0, 3]
    [mistake] = found.mistakes(two)
    assert (mistake.slug, mistake.count, mistake.attempted) == ("bos_as_text", 2, 3)
    [(learners, verdict)] = found.unnamed_groups(one)
    assert [learner.name for learner in learners] == ["Bea Two", "Cy Three"]
    assert verdict.result.message == "got 3"
    assert found.unnamed(two) == []
    assert outcome.summary(found) == "3 graded, 1 of 39 exercises right, 1 handed in nothing"


def test_attempts_and_hints_are_shown_where_they_are_known(tmp_path: Path) -> None:
    found = made_up(tmp_path, SMALL)
    run = grade.Run.opened(_saved(tmp_path / "out", found))
    run.students[0].effort = {"00.1": {"attempts": 2, "hints": 0, "seconds": 600}, "00.2": {"hints": 1}}
    run.students[1].effort = {"00.1": {"attempts": 5, "hints": 1, "seconds": 1800}}
    out = written(tmp_path, outcome.Outcome(run))
    ada, cy = (json.loads((out / f"json/{name}.json").read_text()) for name in ("ada-one", "cy-three"))
    assert [row["effort"] for row in ada["exercises"][:3]] == [*run.students[0].effort.values(), None]
    assert {row["effort"] for row in cy["exercises"]} == {None}
    numbers = json.loads((out / "class.json").read_text())["exercises"]
    assert numbers[0]["median_effort"] == {"attempts": 3.5, "hints": 0.5, "seconds": 1200}
    assert numbers[1]["median_effort"] == {"hints": 1}
    assert numbers[2]["median_effort"] is None
    text = " ".join(Seen((out / "index.html").read_text()).text.split())
    assert "3.5 attempts, 0.5 hints, 20 min" in text
    assert "the 2 of 3 whose progress file came along" in text
    before = Seen(pages.class_page(found)).text
    assert "attempts" not in before.lower()  # where nothing is known, nothing is said


def _saved(out: Path, found: outcome.Outcome) -> Path:
    run = grade.Run(out)
    run.students = [learner.student for learner in found.learners]
    run.save()
    return out


def test_an_empty_class_has_a_page(tmp_path: Path) -> None:
    found = made_up(tmp_path, {})
    pages.write_report(found, tmp_path / "out")
    text = (tmp_path / "out/index.html").read_text()
    assert "Zoe Absent" in text
    assert "handed in nothing" in text


def test_names_of_files_are_safe_and_no_two_alike(tmp_path: Path) -> None:
    names = ["Ada", "ada", "ÅDA", "../../etc/passwd", "", "семён", "a" * 500, "CON", "x\ny", "семен"]
    found = made_up(tmp_path, {name: {} for name in names if name} | {" ": {}})
    slugs = [learner.slug for learner in found.learners]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", slug) for slug in slugs), slugs


# ---- formats that others read ----------------------------------------------------------------------------


def test_junit_is_what_a_reader_of_junit_reads(tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser")
    found = made_up(tmp_path, {"Ada": SMALL["Ada One"] | {"03.1": (ERROR, NASTY, "")}})
    [learner] = found.graded
    results = [learner.verdicts[e.id].result for e in ENTRIES]
    text = exports.junit(learner, results)
    suites = list(junitparser.JUnitXml.fromstring(text.encode()))
    assert [suite.name for suite in suites] == ["chapter 00", "chapter 03"]
    assert [(s.tests, s.failures, s.errors, s.skipped) for s in suites] == [(6, 1, 0, 4), (7, 0, 1, 6)]
    cases = [case for suite in suites for case in suite]
    assert len(cases) == len(ENTRIES)
    [failed] = [case for case in cases if case.name == "00.2 encode"]
    assert "BOS was put in front as text" in failed.result[0].text
    assert failed.result[0].type == "bos_as_text"
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional, children = JENKINS[element.tag]
        assert required <= set(element.attrib) <= required | optional, element.tag
        assert {child.tag for child in element} <= children, element.tag
        assert not children or not (element.text or "").strip(), element.tag
    for suite in root:
        assert all(suite.attrib[name].isdecimal() for name in ("tests", "failures", "errors", "skipped"))


COUNTS, SAID = {"tests", "failures", "errors"}, (set(), {"message", "type"}, set())
JENKINS: dict[str, tuple[set, set, set]] = {
    # Attributes that an element must have and may have, and its children, by Jenkins' schema for JUnit:
    # https://github.com/jenkinsci/xunit-plugin, junit-10.xsd
    "testsuites": (set(), {"name", "time"} | COUNTS, {"testsuite"}),
    "testsuite": (
        {"name"} | COUNTS,
        {"skipped", "time", "timestamp", "hostname", "id", "package", "group", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": SAID,
    "error": SAID,
    "skipped": SAID,
}


FORMATS = ["text", "html", "simple_format", "md", "ansi"]
GRADESCOPE = {
    # https://gradescope-autograders.readthedocs.io/en/latest/specs/
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": {"enum": FORMATS},
        "test_output_format": {"enum": FORMATS},
        "test_name_format": {"enum": FORMATS},
        "visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
        "stdout_visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array", "items": {"required": ["name", "value"]}},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "score": {"type": "number"},
                    "max_score": {"type": "number"},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": {"enum": FORMATS},
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": {"enum": FORMATS},
                    "tags": {"type": "array"},
                    "visibility": {"enum": ["hidden", "after_due_date", "after_published", "visible"]},
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
    # The score is that of the whole, or else of each test.
    "anyOf": [
        {"required": ["score"]},
        {"required": ["tests"], "properties": {"tests": {"minItems": 1, "items": {"required": ["score"]}}}},
    ],
}


def test_gradescope_gets_the_form_that_it_documents(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found = made_up(tmp_path, SMALL)
    learner = found.graded[0]
    results = [learner.verdicts[e.id].result for e in ENTRIES]
    made = exports.gradescope(learner, results)
    jsonschema.validate(json.loads(json.dumps(made)), GRADESCOPE)
    assert sum(test["score"] for test in made["tests"]) == 1
    assert sum(test["max_score"] for test in made["tests"]) == len(ENTRIES)
    assert "BOS was put in front as text" in made["tests"][1]["output"]
    assert exports.gradescope(learner, [])["score"] == 0
    jsonschema.validate(exports.gradescope(learner, []), GRADESCOPE)


def test_the_table_has_a_line_for_each_and_no_formula(tmp_path: Path) -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "@SUM(A1)", 'quo"te, comma', "new\nline"]
    found = made_up(tmp_path, {name: {} for name in names})
    rows = list(csv.reader(io.StringIO(exports.table(found))))
    assert rows[0] == ["name", "id", "email", "right", "of", *(e.id for e in ENTRIES)]
    assert len(rows) == 1 + len(names) + 1
    assert {len(row) for row in rows} == {5 + len(ENTRIES)}
    assert not any(cell[:1] in ("=", "+", "@", "-") for row in rows for cell in row)
    assert ["Zoe Absent", "", "", "", "13", *[""] * 13] in rows


def test_the_summary_is_a_table_that_no_text_can_break(tmp_path: Path) -> None:
    found = made_up(tmp_path, {"Ada": {"00.1": (WRONG, NASTY + "\n| x |", "t")}})
    lines = [line for line in exports.markdown(found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(ENTRIES)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<script>" not in exports.markdown(found)


# ---- pages -----------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """The tags of a page, the addresses it asks for, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def written(tmp_path: Path, found: outcome.Outcome) -> Path:
    pages.write_report(found, tmp_path / "out")
    return tmp_path / "out"


def test_what_a_learner_wrote_is_text_on_every_page(tmp_path: Path) -> None:
    clean = NASTY.replace("\ud800", "").replace("\x1b", "").replace("\x00", "").replace("\ufffe", "")
    found = made_up(
        tmp_path, {clean: {"00.1": (WRONG, clean, clean), "00.2": (ERROR, clean, clean)}}, title=clean
    )
    out = written(tmp_path, found)
    for path in [out / "index.html", *(out / "students").iterdir()]:
        seen = Seen(path.read_text())
        assert "script" not in seen.tags
        assert "alert(1)" in seen.text
        assert "{{ 7*7 }}" in seen.text


def test_pages_need_nothing_else_and_their_links_lead_somewhere(tmp_path: Path) -> None:
    out = written(tmp_path, made_up(tmp_path, SMALL))
    for path in [out / "index.html", *(out / "students").iterdir()]:
        seen = Seen(path.read_text())
        assert not any("//" in address for address in seen.addresses)
        assert not re.search(r"url\(|@import", path.read_text())
        for address in seen.addresses:
            name, _, anchor = address.partition("#")
            target = path.parent / name if name else path
            assert target.is_file(), address
            if anchor:
                assert anchor in Seen(target.read_text()).ids, address
        assert "prefers-color-scheme: dark" in path.read_text()
        assert "@media print" in path.read_text()


def test_a_feedback_page_says_what_is_said_at_home(tmp_path: Path) -> None:
    found = made_up(tmp_path, SMALL)
    learner = found.graded[1]
    text = " ".join(Seen(pages.feedback_page(found, learner)).text.split())
    for id in ("00.1", "00.2"):
        for label, body in report.lines(learner.verdicts[id].result):
            body = body.replace("`", "") if label == "Help" else body  # as code
            assert " ".join(f"{label}. {body}".split() if label else body.split()) in text
    others = [other for other in found.graded if other is not learner]
    assert not any(other.name in text for other in others)


def test_an_older_reports_pages_do_not_stay(tmp_path: Path) -> None:
    out = written(tmp_path, made_up(tmp_path, SMALL))
    (out / "students/gone.html").write_text("from before")
    (out / "mine.txt").write_text("the teacher's own")
    pages.write_report(outcome.Outcome(_reopened(out)), out)
    assert not (out / "students/gone.html").exists()
    assert (out / "mine.txt").exists()


def _reopened(out: Path) -> grade.Run:
    run = grade.Run(out)
    run.about = json.loads((out / ".class/run.json").read_text())
    run.students = [grade.Student(f"n{i}", f"key{i}") for i in range(3)]
    return run


# ---- what goes out without names -------------------------------------------------------------------------


def test_unnamed_answers_go_out_without_anybodys_name(tmp_path: Path) -> None:
    text = (
        'def build_vocab(texts):\n    """By Ada One, 0@uni.example."""\n    # Ada wrote this\n'
        '    author = "Ada One"\n    return {"BOS": 0}, author  # Ada\n'
    )
    found = made_up(
        tmp_path, {"Ada One": {"00.1": (WRONG, "Ada One got 3", text)}, "Bo": {"00.1": (WRONG, "x", "def (")}}
    )
    lines = [json.loads(line) for line in exports.unnamed_lines(found).splitlines()]
    assert [line["exercise"] for line in lines] == ["00.1", "00.1"]
    assert "ada" not in json.dumps(lines).lower().replace("adapt", "")
    assert "uni.example" not in json.dumps(lines)
    assert any("return ({'BOS': 0}, author)" in line["answer"] for line in lines)
    assert any(line["answer"] == "" for line in lines)  # what does not parse could hold anything


def test_the_same_wrong_answer_is_counted_not_repeated(tmp_path: Path) -> None:
    [line] = exports.unnamed_lines(made_up(tmp_path, SMALL)).splitlines()
    assert json.loads(line)["count"] == 2


# ---- similar answers -------------------------------------------------------------------------------------


def test_two_who_wrote_alike_are_shown_and_strangers_are_not(tmp_path: Path) -> None:
    pytest.importorskip("copydetect")
    bodies = {
        "Ada": "counts = [0] * 7\n    for i, t in enumerate(texts):\n        counts[i % 7] += len(t) * 3\n    return max(counts), min(counts)",
        "Bea": "counts = [0] * 7\n    for k, word in enumerate(texts):\n        counts[k % 7] += len(word) * 3\n    return max(counts), min(counts)",
        "Cy": "import re\n    found = re.findall('.', ''.join(texts))\n    table = dict(zip(found, range(len(found))))\n    return table, {v: k for k, v in table.items()}",
        "Di": "stoi = {}\n    while texts:\n        head, *texts = texts\n        stoi.update((c, len(stoi)) for c in head if c not in stoi)\n    return stoi, None",
    }
    learners = {
        n: {"00.1": (WRONG, n, f"def build_vocab(texts):\n    {body}\n")} for n, body in bodies.items()
    }
    found = similar.pairs(made_up(tmp_path, learners))
    assert [(p.first.name, p.second.name) for p in found] == [("Ada", "Bea")]  # renamed, and alike
    assert found[0].share > 0.8
    for pieces, text in zip(found[0].marked(), found[0].texts):
        assert "".join(piece for _, piece in pieces) == text
        assert any(shared for shared, _ in pieces)


def test_what_many_write_is_nobodys_copy(tmp_path: Path) -> None:
    pytest.importorskip("copydetect")
    right = Path(__file__).parents[1].joinpath("solutions/ch00_tokens.py").read_text()
    learners = {f"s{n}": {"00.1": (RIGHT, "", right)} for n in range(12)}
    assert similar.pairs(made_up(tmp_path, learners)) == []
