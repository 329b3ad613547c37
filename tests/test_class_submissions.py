"""Who handed in what: every layout, and everything that a name or an archive may try."""

import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from cleanlens.course.answers import MAX_TEXT
from cleanlens.course.classroom import submissions
from cleanlens.course.classroom.submissions import find, match, read_roster

ROOT = Path(__file__).parents[1]
STUBS = (ROOT / "exercises/ch00_tokens.py").read_text()
ANSWER = "def encode(text, stoi, prepend_bos=True):\n    return 1\n"
BOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# prose"]},
            {"cell_type": "code", "source": [ANSWER], "outputs": [{"data": {"image/png": "A" * 10_000}}]},
        ],
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
    }
)
TARGET = "exercises/ch00_tokens.py"


def archive(files: dict[str, bytes | str], path: Path | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    if path is not None:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def read(place: Path) -> dict[str, dict[str, bytes]]:
    return {s.student: s.read().files for s in find(place)}


# ---- layouts ---------------------------------------------------------------------------------------------


def test_a_folder_of_folders_whatever_the_names(tmp_path: Path) -> None:
    names = ["Åsa O'Neil", 'a "b" c', "семён", "--out", "x;rm -rf", "né", "a\nb", "..."]
    for name in names:
        put(tmp_path / name, {TARGET: ANSWER + f"# {names.index(name)}"})
    found = read(tmp_path)
    assert set(found) == {name for name in names if not name.startswith(".")}
    assert all(files[TARGET].startswith(b"def encode") for files in found.values())


def test_a_checkout_and_a_workspace_inside_of_a_folder(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            f"a/.git/{TARGET}": "no",
            f"a/{TARGET}": ANSWER,
            "a/solutions/ch00_tokens.py": "no",
            f"a/.venv/lib/{TARGET}": "no",
            f"b/my course/{TARGET}": ANSWER,
            f"b/my course/backup/old/{TARGET}": "older",
            "b/my course/exercises/mine.py": "x = 1",
            "b/my course/exercises/ch00_tokens.new.py": "the course's",
        },
    )
    found = {s.student: s.read() for s in find(tmp_path)}
    assert found["a"].files == {TARGET: ANSWER.encode()}
    assert found["b"].files == {TARGET: ANSWER.encode(), "exercises/mine.py": b"x = 1"}
    assert any(
        "is there 2 times; my course/exercises/ch00_tokens.py was graded" in n for n in found["b"].notes
    )


def test_single_files_and_archives(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "ann_ch00_tokens.py": STUBS,
            "ann_01_transformer.ipynb": BOOK,
            "bob.py": ANSWER,  # which chapter it is for is in what it defines
            "eve.ipynb": BOOK,
            "notes.txt": "no submission",
            "dan/ch00_tokens (1).py": ANSWER,
        },
    )
    archive({f"deep/er/{TARGET}": ANSWER}, tmp_path / "cyd.zip")
    found = read(tmp_path)
    assert set(found) == {"ann", "bob", "cyd", "dan", "eve"}
    assert set(found["ann"]) == {TARGET, "chapters/01_transformer.ipynb"}
    for name in ("bob", "cyd", "dan"):
        assert found[name] == {TARGET: ANSWER.encode()}
    assert set(found["eve"]) == {"chapters/00_tokens.ipynb"}


def test_of_a_notebook_only_the_code_is_kept(tmp_path: Path) -> None:
    put(tmp_path, {"eve/chapters/00_tokens.ipynb": BOOK})
    [data] = read(tmp_path)["eve"].values()
    assert len(data) < 1000
    cells = json.loads(data)["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code"]  # the second is still the second
    assert "".join(cells[1]["source"]) == ANSWER


@pytest.mark.parametrize("as_archive", [False, True])
def test_gradescope(tmp_path: Path, as_archive: bool) -> None:
    metadata = """
submission_12:
  :submitters:
  - :name: Ann Lee
    :sid: '77'
    :email: ann@uni.example
  :created_at: 2026-01-01 10:00:00.000000000 Z
submission_13:
  :submitters:
  - :name: Bob Ray
    :email: bob@uni.example
  - :name: Cy Day
    :email: cy@uni.example
"""
    files: dict[str, bytes | str] = {
        "assignment_9_export/submission_metadata.yml": metadata,
        f"assignment_9_export/submission_12/{TARGET}": ANSWER,
        "assignment_9_export/submission_13/ch00_tokens.py": ANSWER,
    }
    if as_archive:
        archive(files, tmp_path / "export.zip")
    else:
        put(tmp_path, files)
    found = find(tmp_path)
    assert [s.student for s in found] == ["Ann Lee", "Bob Ray, Cy Day"]
    assert found[0].keys == ("ann@uni.example", "77")
    assert all(s.read().files == {TARGET: ANSWER.encode()} for s in found)


@pytest.mark.parametrize("as_archive", [False, True])
def test_moodle(tmp_path: Path, as_archive: bool) -> None:
    inner = archive({f"work/{TARGET}": ANSWER})
    files: dict[str, bytes | str] = {
        "Ann Lee_101_assignsubmission_file_/ch00_tokens.py": ANSWER,
        "Bob_Ray_102_assignsubmission_file_/handed in.zip": inner,
        "Cy Day_103_assignsubmission_file_ch00_tokens.py": ANSWER,
        "Cy Day_103_assignsubmission_onlinetext_/onlinetext.html": "<p>done</p>",
    }
    if as_archive:
        archive(files, tmp_path / "course-sheet 1-4711.zip")
    else:
        put(tmp_path, files)
    found = find(tmp_path)
    assert [s.student for s in found] == ["Ann Lee", "Bob_Ray", "Cy Day"]
    assert [s.keys for s in found] == [("101",), ("102",), ("103",)]
    assert all(s.read().files == {TARGET: ANSWER.encode()} for s in found)


def test_one_learners_folder_is_one_submission(tmp_path: Path) -> None:
    put(tmp_path / "ann", {TARGET: ANSWER})
    assert [s.student for s in find(tmp_path / "ann")] == ["ann"]


def test_what_is_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no"):
        find(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="nothing was handed in"):
        find(tmp_path)
    put(tmp_path, {"ann/readme.txt": "hello"})
    [one] = find(tmp_path)
    assert one.read().files == {}
    assert "no file defines what an exercise asks for" in one.read().notes[0]


def test_attempts_hints_and_time_are_read_from_the_progress_that_came_along(tmp_path: Path) -> None:
    told = {"attempts": 3, "seconds": 420, "hints": 1, "began": 1, "last": 2, "right": 0}
    book = json.dumps({"format": 1, "exercises": {}, "hints": {"00.1": 1}, "effort": {"00.1": told}})
    files = {
        f"a/{TARGET}": ANSWER,
        "a/.cleanlens/progress.json": book,
        "a/.cleanlens/backup/ch00_tokens.py": "old",
    }
    put(tmp_path, files)
    archive({"exercises/ch00_tokens.py": ANSWER, ".cleanlens/progress.json": book}, tmp_path / "b.zip")
    put(tmp_path, {f"c/{TARGET}": ANSWER})
    found = {s.student: s.read() for s in find(tmp_path)}
    assert all(found[name].files == {TARGET: ANSWER.encode()} for name in "abc")
    assert found["a"].effort == found["b"].effort == {"00.1": {"attempts": 3, "hints": 1, "seconds": 420}}
    assert found["c"].effort == {}


def test_progress_as_the_course_writes_it_is_what_a_class_reads(tmp_path: Path) -> None:
    from cleanlens.course import catalog, progress

    put(tmp_path, {f"a/{TARGET}": ANSWER})
    [entry, *_] = catalog.outline()[0].exercises
    progress.next_hint(tmp_path / "a", entry)
    [one] = find(tmp_path)
    assert one.read().effort == {entry.id: {"attempts": 0, "hints": 1, "seconds": 0}}


# ---- what means harm -------------------------------------------------------------------------------------


def test_an_archive_never_leads_out_of_itself(tmp_path: Path) -> None:
    names = [f"../../{TARGET}", f"/etc/{TARGET}", f"C:\\x\\{TARGET}", f"a\\..\\..\\{TARGET}"]
    archive(dict.fromkeys(names, "stolen"), tmp_path / "eve.zip")
    link = zipfile.ZipInfo(f"linked/{TARGET}")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "eve.zip", "a") as more:
        more.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    [one] = find(tmp_path)
    found = one.read()
    assert found.files == {}
    assert sum("leads out of the archive" in note for note in found.notes) == 4
    assert any("is a link" in note for note in found.notes)
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = put(tmp_path / "teacher", {TARGET: "SECRET = 1"})
    class_ = tmp_path / "class"
    (class_ / "eve/exercises").mkdir(parents=True)
    (class_ / "eve" / TARGET).symlink_to(secret / TARGET)
    (class_ / "mal").mkdir()
    (class_ / "mal/exercises").symlink_to(secret / "exercises")
    (class_ / "zoe").symlink_to(secret)
    os.mkfifo(class_ / "pipe.py")
    for one in find(class_):
        found = one.read()
        assert found.files == {}, one.student
        assert any("link" in note for note in found.notes), one.student


def test_bombs_are_read_no_further_than_an_answer_may_be_long(tmp_path: Path) -> None:
    zeros = bytes(300 * 2**20)
    archive({TARGET: zeros, "chapters/00_tokens.ipynb": zeros}, tmp_path / "bomb.zip")
    archive(
        {f"{n}.txt": "" for n in range(submissions.MAX_ENTRIES + 5)} | {"bomb.zip": b""},
        tmp_path / "many.zip",
    )
    inner = archive({TARGET: ANSWER})
    for _ in range(5):
        inner = archive({"again.zip": inner})
    (tmp_path / "nested.zip").write_bytes(inner)
    found = {s.student: s.read() for s in find(tmp_path)}
    assert max(map(len, found["bomb"].files.values())) <= MAX_TEXT + 1
    assert any("more than 20000 entries" in note for note in found["many"].notes)
    assert found["nested"].files == {}


def test_archives_that_are_none_or_broken_cost_one_submission(tmp_path: Path) -> None:
    good = archive({TARGET: ANSWER})
    put(
        tmp_path,
        {
            "text.zip": b"no archive",
            "empty.zip": b"",
            "cut.zip": good[: len(good) // 2],
            "flipped.zip": good.replace(ANSWER.encode()[:4], b"\0\0\0\0"),
            "damaged.zip": good[:60] + b"\xff" * 20 + good[80:],
            "good.zip": good,
        },
    )
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", method) as packed:
            packed.writestr(TARGET, ANSWER * 100)
        data = bytearray((tmp_path / f"{name}.zip").read_bytes())
        begin = 30 + len(TARGET) + 15  # after the entry's head and a little of its content
        data[begin : begin + 10] = bytes(byte ^ 255 for byte in data[begin : begin + 10])
        (tmp_path / f"{name}.zip").write_bytes(data)
    encrypted = bytearray(good)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.find(signature) + offset
        encrypted[at : at + 2] = struct.pack("<H", 1)
    (tmp_path / "locked.zip").write_bytes(encrypted)
    found = {s.student: s.read() for s in find(tmp_path)}
    assert found["good"].files == {TARGET: ANSWER.encode()}
    for name in ("text", "empty", "cut", "damaged", "locked", "bzip2", "lzma"):
        assert found[name].files == {}, name
        assert found[name].notes, name


@pytest.mark.parametrize(
    ("book", "told"),
    [
        ({"effort": {"00.1": {"attempts": True, "hints": -1, "seconds": 10**20}}}, {}),
        ({"effort": {"00.1": {"attempts": "3", "hints": 2.5, "seconds": None}}}, {}),
        ({"effort": {"00.1": {"attempts": [], "hints": {}, "<script>": 1}, "99.9": {"hints": 1}}}, {}),
        ({"effort": {"00.1": 3, "00.2": [1], "00.3": {"hints": 2}}}, {"00.3": {"hints": 2}}),
        ({"effort": [1]}, {}),
        ({"effort": 3}, {}),
        ([], {}),
        (b"[" * 10**5, {}),
        (b'{"effort": {"00.1": {"hints": ' + b"1" * 10**5 + b"}}}", {}),
        (b"\xff\x00", {}),
        (b" " * (MAX_TEXT + 1) + b'{"effort": {"00.1": {"hints": 1}}}', {}),
    ],
)
def test_a_progress_file_is_not_to_be_trusted(tmp_path: Path, book: object, told: object) -> None:
    data = book if isinstance(book, bytes) else json.dumps(book)
    put(tmp_path, {f"eve/{TARGET}": ANSWER, "eve/.cleanlens/progress.json": data})
    [one] = find(tmp_path)
    assert one.read().effort == told
    assert one.read().files == {TARGET: ANSWER.encode()}


def test_a_progress_file_that_is_a_link_or_a_pipe_is_left_alone(tmp_path: Path) -> None:
    real = put(tmp_path / "teacher", {"progress.json": json.dumps({"effort": {"00.1": {"hints": 1}}})})
    put(tmp_path / "class", {f"{name}/{TARGET}": ANSWER for name in ("eve", "mal", "zoe")})
    for name in ("eve", "mal"):
        (tmp_path / "class" / name / ".cleanlens").mkdir()
    (tmp_path / "class/eve/.cleanlens/progress.json").symlink_to(real / "progress.json")
    os.mkfifo(tmp_path / "class/mal/.cleanlens/progress.json")
    (tmp_path / "class/zoe/.cleanlens").symlink_to(real)
    assert [one.read().effort for one in find(tmp_path / "class")] == [{}, {}, {}]


def test_notebooks_that_are_none_are_left_to_the_marker(tmp_path: Path) -> None:
    deep = "[" * 10**5
    put(tmp_path, {"a/chapters/00_tokens.ipynb": deep, "b/chapters/00_tokens.ipynb": b"\xff\xfe\x00"})
    found = read(tmp_path)
    assert found["a"]["chapters/00_tokens.ipynb"] == deep.encode()
    assert found["b"]["chapters/00_tokens.ipynb"] == b"\xff\xfe\x00"


# ---- the roster ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "name,id,email\nAnn Lee,77,ann@uni.example\nBob Ray,78,bob@uni.example\n",
        "\ufeffStudent;SIS Login ID;Email\nLee, Ann;77;ann@uni.example\nRay, Bob;78;bob@uni.example\n",
        "First name\tSurname\tEmail address\tID number\nAnn\tLee\tann@uni.example\t77\nBob\tRay\tbob@uni.example\t78\n",
    ],
)
def test_a_roster_knows_learners_by_any_of_their_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "class.csv"
    path.write_text(text)
    people = read_roster(path)
    for folder in (
        "ann lee",
        "Ann_Lee",
        "lee-ann" if "Lee, Ann" in text else "ANN LEE",
        "77",
        "ann@uni.example",
        "ann",
    ):
        place = tmp_path / "in"
        put(place / folder, {TARGET: ANSWER})
        matched = match(find(place), people)
        assert matched[folder].email == "ann@uni.example", folder
        (place / folder / TARGET).unlink()
        (place / folder / "exercises").rmdir()
        (place / folder).rmdir()


def test_two_people_of_one_name_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "class.csv"
    path.write_text("name,email\nAnn Lee,ann1@uni.example\nAnn Lee,ann2@uni.example\n")
    put(tmp_path / "in", {f"Ann Lee/{TARGET}": ANSWER, f"ann2/{TARGET}": ANSWER})
    matched = match(find(tmp_path / "in"), read_roster(path))
    assert set(matched) == {"ann2"}


def test_a_roster_without_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "class.csv"
    path.write_text("colour,size\nred,1\n")
    with pytest.raises(ValueError, match="must name its columns"):
        read_roster(path)
