"""The tour's page and its exit code. The tour itself is README's first command, which .ci/run runs."""

import re

import pytest
import torch

from cleanlens.course import tour


def fixed(holds: bool):
    def section(models):
        """A section made for this test."""
        made = tour.Section("A <title>", "Some text & more.")
        made.finds("two is less than three", holds)
        made.figures.append(("a map", tour.plots.head_map(torch.randn(2, 3))))
        made.figures.append(("words", "plain <text>"))
        return made

    return section


def test_exit_code_says_whether_every_finding_holds(monkeypatch, tmp_path, capsys):
    for holds, code in [(True, 0), (False, 1)]:
        monkeypatch.setattr(tour, "SECTIONS", [fixed(holds)])
        assert tour.run(tmp_path / "new" / "tour.html") == code
        assert ("does not hold" in capsys.readouterr().out) is not holds


def test_page_asks_nothing_of_the_network(tmp_path):
    page = tour.page([fixed(True)(None), tour.grades(None)])
    assert "A &lt;title&gt;" in page
    assert "plain &lt;text&gt;" in page
    tags = re.findall(
        r"<(?:script|link|img|iframe)\b[^>]*>", re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    )
    outside = [tag for tag in tags if re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", tag)]
    assert not outside


def test_grading_section_holds():
    section = tour.grades(None)
    assert [finding.holds for finding in section.findings] == [True, True]


def test_without_a_real_model_the_tour_says_how_to_get_one(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tour, "best_real_model", lambda: None)
    monkeypatch.setattr(tour, "SECTIONS", [fixed(True), tour.real_text])
    assert tour.run(tmp_path / "tour.html") == 0
    said = capsys.readouterr().out
    assert "2." not in said
    assert "cleanlens fetch smollm2-135m" in said


@pytest.mark.real
def test_the_section_on_real_text_holds():
    section = tour.real_text(tour.Models())
    assert [finding.holds for finding in section.findings] == [True] * 4, section.findings
    assert section.figures
