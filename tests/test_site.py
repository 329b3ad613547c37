"""The static pages: formulas, links, figures and outputs as a reader gets them, and nothing done twice."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from cleanlens import plots
from cleanlens.course import catalog, site
from cleanlens.course.site import execution, generator
from cleanlens.course.site.content import Content

ROOT = Path(__file__).parents[1]
v4 = nbformat.v4
CHAPTER = catalog.chapter_of("00")
ENTRY = CHAPTER.exercises[0]


def content(book: Any = None, solutions: bool = True) -> Content:
    """The site of one chapter."""
    return Content(ROOT, [CHAPTER], {CHAPTER.id: book}, solutions)


def book() -> Any:
    """A chapter as it is when it was run."""
    outputs = [
        v4.new_output("stream", name="stdout", text="1 < 2\n"),
        v4.new_output(
            "display_data",
            data={"application/vnd.plotly.v1+json": plots.bar([1], ["a"], title="Bars").to_plotly_json()},
        ),
        v4.new_output(
            "display_data",
            data={
                "text/html": plots.attention(["a", "b"], torch.eye(2))._repr_html_(),
                "text/plain": "a view",
            },
        ),
        v4.new_output("display_data", data={"text/markdown": "[c](03_induction.ipynb)", "text/plain": "x"}),
    ]
    cells = [
        v4.new_markdown_cell("# Title\n\nWords."),
        v4.new_code_cell("def the_answer(): ...", metadata={"exercise": ENTRY.id}),
        v4.new_code_cell(f'check("{ENTRY.id}")', outputs=[v4.new_output("stream", text="right")]),
        v4.new_code_cell("show()", outputs=outputs),
        v4.new_code_cell(""),
    ]
    return v4.new_notebook(cells=cells)


# ---------------------------------------------------------------- formulas


def test_formulas_become_mathml_and_keep_their_text() -> None:
    text = generator.formula(r"\frac{a}{b} + \text{attn\_out}", display=True)
    assert text.startswith("<math")
    assert 'display="block"' in text
    assert "<mfrac>" in text
    assert "<mtext>attn_out</mtext>" in text


def test_every_formula_of_the_course_is_understood() -> None:
    n = 0
    for chapter in catalog.outline():
        path = ROOT / chapter.text
        if not path.exists():
            continue
        cells = re.findall(r"^# %% \[markdown\]\n((?:#.*\n)*)", path.read_text(encoding="utf-8"), re.M)
        for cell in cells:
            prose = re.sub(r"```.*?```|`[^`]*`", "", re.sub(r"^# ?", "", cell, flags=re.M), flags=re.S)
            for display, inline in re.findall(
                r"\$\$(.+?)\$\$|(?<!\$)\$(?=\S)([^$]+?)(?<=\S)\$(?![\d$])", prose, re.S
            ):
                n += 1
                shown = html.unescape(re.sub(r"<[^>]+>", "", generator.formula(display or inline)))
                assert "\\" not in shown, f"{chapter.text}: {display or inline} -> {shown}"
    assert n > 100


# ---------------------------------------------------------------- what the generator gets


def test_links_lead_to_pages_and_what_has_no_page_is_no_link() -> None:
    site_of = content()
    text = "[c](00_tokens.ipynb#end) [m](MISTAKES.md) [r](../cleanlens/components/attention.py) [w](https://x.org/a)"
    assert site_of.linked(text, "chapters", "chapters/00_tokens.ipynb") == (
        "[c](00_tokens.ipynb#end) [m](../mistakes/index.md) [r](../reference/components-attention.md) "
        "[w](https://x.org/a)"
    )
    assert site_of.linked("[other](03_induction.ipynb)", "chapters", "index.md") == "other", "it was not run"
    code = "```\n[a](b.py)\n```"
    assert site_of.linked(code, "chapters", "index.md") == code


def test_pictures_are_taken_along() -> None:
    site_of = content()
    name = "cleanlens/benchmarks/figures/context.svg"
    text = site_of.linked("![a picture](figures/context.svg)", "cleanlens/benchmarks", "teaching/x.md")
    assert text == f"![a picture](../{name})"
    assert site_of.assets == {name: ROOT / name}
    assert site_of.linked("![none](no.svg)", "chapters", "index.md") == "none"


def test_a_chapter_shows_its_outputs_and_folds_its_solutions() -> None:
    cells = json.loads(content().chapter(CHAPTER, book()))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    assert texts[0].startswith("# Title\n"), "a page's first words are its name"
    assert "plotly.min.js" in texts[0]
    assert f'id="exercise-{ENTRY.id}"' in texts[1]
    assert ENTRY.details["objective"] in texts[1]
    assert texts[1].index("<details>") < texts[1].index("the_answer") < texts[1].index("</details>")
    assert cells[2]["outputs"]
    assert len(cells) == 4, "an empty cell is left out"
    shown = ["".join(output.get("data", {}).get("text/html", "")) for output in cells[3]["outputs"]]
    assert 'class="cleanlens-plot"' in shown[1]
    assert "CircuitsVis.render" in shown[2]
    assert "cleanlens-script" not in shown[2], "a view's packed script is on the page already"


def test_the_same_chapter_is_the_same_text_twice() -> None:
    given = book()
    assert content().chapter(CHAPTER, given) == content().chapter(CHAPTER, given)


def test_without_solutions_no_answer_is_anywhere() -> None:
    files = dict(content(book(), solutions=False).files())
    chapter = files[CHAPTER.notebook]
    assert f"exercise-{ENTRY.id}" in chapter
    assert "the_answer" not in chapter
    assert "right" not in chapter, "nor the verdict on it"
    assert not [name for name in files if name.startswith(("mistakes", "teaching"))]
    answer = "The course's answer"
    assert not [name for name, text in files.items() if answer in text]
    assert [name for name, text in dict(content(book()).files()).items() if answer in text]


@pytest.mark.parametrize("solutions", [True, False])
def test_the_glossary_is_for_everybody(solutions: bool) -> None:
    files = dict(content(book(), solutions).files())
    assert "[00](chapters/00_tokens.ipynb)" in files["glossary.md"]
    assert "](07_training.ipynb)" not in files["glossary.md"], "it was not run"
    assert "[glossary](glossary.md)" in files["index.md"]
    assert not [name for name in files if name.startswith("teaching/glossary")]


def test_the_mistakes_have_a_page_for_each_chapter() -> None:
    chapters = list(catalog.outline())
    pages = dict(Content(ROOT, chapters, dict.fromkeys(c.id for c in chapters)).mistakes())
    assert list(pages) == ["mistakes/index.md", *(f"mistakes/{chapter.id}.md" for chapter in chapters)]
    whole = (ROOT / "chapters" / "MISTAKES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!mistake \|).*", whole, re.M)
    shown = "\n".join(pages.values()).splitlines()
    assert len(rows) > 1000
    assert [row for row in shown if row.startswith("| ") and not row.startswith("| mistake |")] == rows
    counts = re.findall(r"\.md\): (\d+) mistakes", pages["mistakes/index.md"])
    assert sum(map(int, counts)) == len(rows)


# ---------------------------------------------------------------- nothing twice


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the chapters that were run, as they are run; what comes out is a small notebook."""
    done: list[str] = []

    def executed(chapter: catalog.ChapterEntry, root: Path, **rest: Any) -> Any:
        done.append(chapter.id)
        return book()

    monkeypatch.setattr(execution, "executed", executed)
    return done


def test_a_chapter_is_run_again_only_when_something_it_runs_has_changed(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = execution.kept_or_executed(CHAPTER, ROOT, tmp_path)
    assert execution.kept_or_executed(CHAPTER, ROOT, tmp_path) == first
    assert runs == ["00"]
    notebook = execution.build.notebook
    changed: Callable[..., str] = lambda *args, **rest: notebook(*args, **rest) + " "  # noqa: E731
    monkeypatch.setattr(execution.build, "notebook", changed)
    execution.kept_or_executed(CHAPTER, ROOT, tmp_path)
    assert runs == ["00", "00"]
    monkeypatch.setattr(execution, "_environment", lambda: "another version")
    execution.kept_or_executed(CHAPTER, ROOT, tmp_path)
    assert runs == ["00"] * 3


def test_only_the_newest_notebooks_are_kept(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(5):
        monkeypatch.setattr(execution, "_environment", lambda version=version: f"{version}")
        execution.kept_or_executed(CHAPTER, ROOT, tmp_path)
    assert len(list(tmp_path.iterdir())) == execution.KEPT


def test_the_library_is_part_of_the_fingerprint_and_the_site_is_not() -> None:
    hashed = execution._environment.__wrapped__
    before = hashed()
    assert hashed() == before
    new = execution.PACKAGE / "course" / "site" / "not_there_yet.py"
    with pytest.MonkeyPatch.context() as patch:
        paths = sorted(execution.PACKAGE.rglob("*"))
        patch.setattr(Path, "rglob", lambda self, pattern: [*paths, new])
        assert hashed() == before
        patch.setattr(Path, "rglob", lambda self, pattern: [p for p in paths if p.name != "config.py"])
        assert hashed() != before


def test_every_chapter_comes_once_and_an_error_comes_through(
    runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapters = list(catalog.outline())
    found = list(execution.all_executed(chapters, ROOT, tmp_path, workers=2))
    assert sorted(chapter.id for chapter, _ in found) == sorted(chapter.id for chapter in chapters)

    def fails(chapter: catalog.ChapterEntry, root: Path, **rest: Any) -> Any:
        raise RuntimeError(f"{chapter.id} fails")

    monkeypatch.setattr(execution, "executed", fails)
    with pytest.raises(RuntimeError, match="07 fails"):
        list(execution.all_executed(chapters[-1:], ROOT, tmp_path / "other", workers=2))


def test_when_one_chapter_fails_the_others_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would otherwise run to their end before the error is shown."""
    first, second = catalog.outline()[:2]
    ended = []

    def executed(chapter: catalog.ChapterEntry, root: Path, progress: Callable[[int, int], None]) -> Any:
        if chapter is first:
            raise RuntimeError("a cell fails")
        try:
            while True:
                progress(1, 2)
        finally:
            ended.append(chapter.id)

    monkeypatch.setattr(execution, "executed", executed)
    with pytest.raises(RuntimeError, match="a cell fails"):
        list(execution.all_executed([first, second], ROOT, tmp_path, workers=2))
    assert ended == [second.id]


def test_an_unknown_chapter_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert site.run(tmp_path, only="99") == 2
    assert "There is no chapter '99'; the chapters are pre, 00, 01" in capsys.readouterr().out


# ---------------------------------------------------------------- pages


def local_addresses(page: Path) -> list[tuple[str, str]]:
    """What a page links to or loads within the site: (file, anchor)."""
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.S)
    found = re.findall(r'\b(?:src|href)="([^"]+)"', text)
    parts = [html.unescape(address).partition("#") for address in found if not re.match(r"[a-z]+:", address)]
    return [(path.partition("?")[0], anchor) for path, _, anchor in parts]


@pytest.mark.slow
def test_the_site_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """One chapter and all the library: every address on the pages exists, and nothing lies elsewhere."""
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "pages"
    assert site.run(out, only="00") == 0
    said = capsys.readouterr().out
    assert not re.search("WARNING|ERROR", said), said
    pages = {path.relative_to(out).as_posix(): path for path in out.rglob("*.html")}
    assert {
        "index.html",
        "chapters/00_tokens.html",
        "mistakes/00.html",
        "reference/index.html",
    } < pages.keys()
    ids = {
        name: set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))
        for name, path in pages.items()
    }
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""<(?:script|link|img)\b[^>]*(?:src|href)=["'](?:https?:)?//""", text), name
        for file, anchor in local_addresses(path):
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{name} points to {file}"
            if anchor and target.suffix == ".html":
                assert anchor in ids[target.relative_to(out).as_posix()], f"{name} points to {file}#{anchor}"
    style = "\n".join(path.read_text(encoding="utf-8") for path in out.rglob("*.css"))
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", style)
    assert "<math" in pages["chapters/00_tokens.html"].read_text(encoding="utf-8")
    assert "hook_pattern" in (out / "searchindex.js").read_text(encoding="utf-8")

    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in out.glob("[cmr]*/*.html")}

    before = times()
    monkeypatch.setattr(execution, "executed", lambda *args, **rest: pytest.fail("it was run before"))
    assert site.run(out, only="00") == 0
    assert times() == before, "no page is written anew when nothing has changed"

    assert site.run(out, only="00", solutions=False) == 0
    assert not (out / "mistakes" / "00.html").exists(), (
        "what an earlier run wrote and this one did not is removed"
    )
    assert "Show the solution" not in (out / "chapters" / "00_tokens.html").read_text(encoding="utf-8")
