"""The tour's page and its exit code. The tour itself is README's first command, which .ci/run runs."""

import re
import subprocess
import sys

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


def test_the_first_paragraph_links_to_all_the_courses_words():
    words = (tour.home() / "chapters" / "GLOSSARY.md").read_text(encoding="utf-8")
    assert len(tour.glossary()) == words.count("\n- **") > 50
    page = tour.page([fixed(True)(None)])
    assert page.index('href="#glossary"') < page.index("<section>")
    assert "<dt>Residual stream</dt><dd>The vector at each position" in page[page.index('id="glossary"') :]


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


# ---------------------------------------------------------------- one sentence


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (tour.SENTENCE, ("When Mary and John went to the park, Mary gave a ball to", "Mary", "John")),
        (
            "Mary and John ran, Mary gave a ball to",
            ("Mary and John ran, John gave a ball to", "John", "Mary"),
        ),
        ("When Mary saw John. Then John fell", None),  # "Then" might be a name
        ("Mary gave a ball to", None),
        ("When Mary and John and Tom ran, John gave a ball to", None),
        ("", None),
    ],
)
def test_the_other_person_gives(sentence, expected):
    if expected is None:
        with pytest.raises(tour.SentenceError, match="should name two people once"):
            tour.other_giver(sentence)
    else:
        assert tour.other_giver(sentence) == expected


def test_without_the_command_on_the_path_it_says_how_to_activate(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tour, "SECTIONS", [fixed(True)])
    monkeypatch.setattr(tour.shutil, "which", lambda name: None)
    monkeypatch.setattr(tour.sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.chdir(tmp_path)
    tour.run(tmp_path / "tour.html")
    assert "activate" not in capsys.readouterr().out  # it is no environment
    script = tmp_path / ".venv" / ("Scripts" if tour.os.name == "nt" else "bin") / "activate"
    script.parent.mkdir(parents=True)
    script.touch()
    tour.run(tmp_path / "tour.html")
    said = capsys.readouterr().out
    assert said.partition("What next?")[2].split()[:2] == ["source", ".venv/bin/activate"]
    monkeypatch.setattr(tour.shutil, "which", lambda name: name)
    tour.run(tmp_path / "tour.html")
    assert "activate" not in capsys.readouterr().out


def test_long_findings_hang_below_their_sign(monkeypatch, tmp_path, capsys):
    def section(models):
        """A section made for this test."""
        made = tour.Section("Title", "Text.")
        made.finds("word [b 2] " * 12, True)
        return made

    monkeypatch.setattr(tour, "SECTIONS", [section])
    monkeypatch.setattr(tour, "width", lambda: 60)
    tour.run(tmp_path / "tour.html")
    rows = [row for row in capsys.readouterr().out.splitlines() if "word" in row]
    assert rows[0].startswith("  ✓ word [b 2]")
    assert len(rows) > 2
    assert all(row.startswith("    word") or row.startswith("    [b") for row in rows[1:])


def test_other_bars_are_off_in_the_tour():
    code = (
        "import sys\nfrom cleanlens.course import cli\nsys.modules['cleanlens.course.tour'] = type(sys)('tour')\n"
        "import cleanlens.course; cleanlens.course.tour = t = sys.modules['cleanlens.course.tour']\n"
        "t.SentenceError = KeyError\n"
        "def run(*_):\n    from tqdm.auto import tqdm\n    print(list(tqdm(range(3))))\n"
        "t.run = run\nsys.argv = ['cleanlens', 'tour']\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[0, 1, 2]\n", done.stderr
    assert done.stderr == ""


def test_the_first_section_is_something_to_touch():
    assert tour.SECTIONS[0] is tour.one_sentence
    sentence = "When John and Mary went to the park, John gave a ball to"
    section = tour.one_sentence(tour.Models(sentence))
    assert sentence in section.text
    (_, patching_map), (caption, attention) = section.figures
    assert re.search(
        r"click L\dH\d, which adds most to the answer: from the last word it looks at “ Mary”", caption
    )
    model = tour.Models().gpt2
    n_tokens = len(model.to_str_tokens(sentence))
    assert patching_map.data[0].z.shape == (model.cfg.n_layers, n_tokens)
    assert len(attention.properties["attention"]) == model.cfg.n_layers * model.cfg.n_heads
    # Before the first layer all that the two sentences differ in is one word, and putting it back is all there is.
    first = patching_map.data[0].z[0]
    assert first.max() == pytest.approx(1, abs=1e-4)
    assert sorted(abs(first))[-2] < 1e-4


def test_names_that_the_model_cannot_compare_are_named():
    with pytest.raises(tour.SentenceError, match="Xylophonia"):
        tour.one_sentence(tour.Models("When Mary and Xylophonia ran, Xylophonia gave a ball to"))


def test_the_page_and_the_terminal_end_with_what_to_do_next(monkeypatch, tmp_path, capsys):
    opened = []
    monkeypatch.setattr(tour.webbrowser, "open", opened.append)
    monkeypatch.setattr(tour, "SECTIONS", [fixed(True)])
    out = tmp_path / "tour.html"
    assert tour.run(out) == 0
    assert not opened
    assert tour.run(out, open_page=True) == 0
    assert opened == [out.as_uri()]
    said, page = capsys.readouterr().out, out.read_text(encoding="utf-8")
    for command, what in tour.NEXT:
        assert command in said
        assert what in said
        assert what in page
    assert page.rindex("What next?") > page.rindex("<figure>")
