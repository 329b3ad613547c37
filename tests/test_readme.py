"""The README's first lines run and print what it says."""

import contextlib
import io
import re
from pathlib import Path

from cleanlens.loading.aliases import model_table

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


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
