"""The README's first lines run and print what it says."""

import contextlib
import io
import re
import tomllib
from pathlib import Path

from cleanlens.course.catalog import outline
from cleanlens.loading.aliases import model_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_first_example_prints_what_the_readme_shows():
    code, output = re.search(r"```python\n(.*?)```\s*```text\n(.*?)```", README, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue() == output


def test_links_lead_somewhere():
    root = Path(__file__).parents[1]
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    missing = [target for target in targets if not (root / target).exists()]
    assert not missing, missing


def test_the_models_are_those_of_the_names_table():
    for row in model_table():
        assert f"| {' | '.join(row)} |" in README


def test_both_commands_are_marked():
    """.ci/run takes the test command from between these marks."""
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```console\n(.*?)\n```", README))
    assert commands["tour"].endswith("cleanlens tour")
    assert commands["test"].endswith("pytest")


def test_the_courses_size_is_what_it_says():
    chapters = outline()
    minutes = [sum(entry.details["minutes"] for entry in chapter.exercises) for chapter in chapters]
    count = sum(len(chapter.exercises) for chapter in chapters)
    assert f"{count} exercises, about {round(sum(minutes) / 60, -1):.0f} hours in all" in README
    for chapter, mine in zip(chapters, minutes):
        time = f"{round(mine, -1)} minutes" if mine < 90 else f"{mine / 60:.0f} hours"
        row = rf"^\| {chapter.id} .* \| {len(chapter.exercises)} \| {time} \|"
        assert re.search(row, README, re.MULTILINE), row
    assert f"chapter 00 has {len(chapters[1].exercises)} of them and takes about an hour" in README
    pre = f"{round(minutes[0], -1)} minutes"
    assert f"`cleanlens watch pre`, {pre}" in README
    for page in ("pre_tensors.py", "TEACHING.md"):
        assert pre in (ROOT / "chapters" / page).read_text(encoding="utf-8"), page


def test_the_cpu_build_is_of_the_version_that_is_pinned():
    [build] = re.findall(r"`([\d.]+)\+cpu`", README)
    assert f"torch=={build}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_a_learners_path_stands_above_the_commands():
    path = README[README.index("## Begin here") : README.index("## Two commands")]
    steps = [
        "the tour",
        "source .venv/bin/activate",
        "(#are-you-ready)",
        "cleanlens lab 00",
        "cleanlens watch 00",
    ]
    places = [path.index(step) for step in steps]
    assert places == sorted(places)
    assert README.index("**What a check keeps apart.**") > README.index("### Are you ready?")


def test_what_a_newcomer_needs_stands_behind_the_first_command():
    after = README[README.index("<!-- command: tour -->") :]
    assert "git clone" in README[: README.index("<!-- command: tour -->")]
    assert after.index("source .venv/bin/activate") < after.index("## The course")
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(name.startswith("jupyterlab") for name in dependencies)  # as it says of `cleanlens lab`
