"""The benchmarks run and report what they measured. How fast it was is not for a test to judge."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cleanlens.benchmarks import checks, growth
from cleanlens.benchmarks.__main__ import WORK, main, ratios

pytestmark = pytest.mark.slow


def test_the_same_work_in_both_libraries(tmp_path: Path) -> None:
    import typer

    app, out = typer.Typer(), tmp_path / "out.json"
    app.command()(main)
    words = ["--rounds", "2", "--only", "forward_1x32", "--json", str(out)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    measured = {library: answers for _, _, library, answers in json.loads(out.read_text())}
    assert set(measured) == {"cleanlens", "hugging_face"}
    assert all(len(answers) == 2 and min(a["seconds"] for a in answers) > 0 for answers in measured.values())
    assert "forward 1×32" in done.output
    assert CliRunner().invoke(app, ["--only", "nothing"]).exit_code == 2


def test_a_ratio_is_taken_within_rounds() -> None:
    [load] = [work for work in WORK if work.name == "load"]
    ours = [{"seconds": s, "megabytes": m} for s, m in [(1.0, 300.0), (8.0, 10.0), (2.0, 10.0)]]
    theirs = [{"seconds": s, "megabytes": 1000.0} for s in (4.0, 16.0, 8.0)]
    text, _ = ratios(load, {("load", "cleanlens"): ours, ("load", "transformer_lens"): theirs})
    assert text == "[green]✓ 0.25, 0.30[/]"  # the middle one of 0.25, 0.5, 0.25; the most memory of any round
    text, _ = ratios(load, {("load", "cleanlens"): theirs, ("load", "transformer_lens"): ours})
    assert text.startswith("[red]✗ 4.00")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_growth_measures_a_point_and_finds_the_end_of_memory() -> None:
    point = growth.measure("layers", 1, 8, 300)
    assert point["size"] == 1
    assert point["seconds"] > 0
    assert 300 < point["megabytes"] < 2000  # two embeddings of 154 MB and a layer
    assert growth.measure("context", 4096, 1.5, 300)["error"] == "out of memory"
    points = [point, {"size": 4, "error": "out of memory"}, {"size": 2, "error": "out of memory"}]
    assert growth.edge(points, "layers", 8) == "8 GB end between 1 and 2 layers"


def test_the_wait_for_a_verdict_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEANLENS_PROGRESS", "off")
    found = checks.measure(1, everything=False)
    assert list(found) == ["import torch", "check", "save, right", "save, wrong", "save, other"]
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in found.values())
    assert checks.table(found).row_count == 5
