"""The static pages: formulas, links, figures and outputs as a reader gets them."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from cleanlens import plots
from cleanlens.course import catalog, site

ROOT = Path(__file__).parents[1]
v4 = nbformat.v4


def test_formulas_become_mathml_and_keep_their_text() -> None:
    text = site.rendered(r"Let $x_1 < 2$ and $$ \frac{a}{b} + \text{attn\_out} $$")
    assert text.count("<math") == 2
    assert "<mfrac>" in text
    assert "<mtext>attn_out</mtext>" in text
    assert "$" not in text


def test_every_formula_of_the_course_is_understood() -> None:
    for chapter in catalog.outline():
        path = ROOT / chapter.text
        if not path.exists():
            continue
        cells = re.findall(r"^# %% \[markdown\]\n((?:#.*\n)*)", path.read_text(encoding="utf-8"), re.M)
        text = site.rendered("\n\n".join(re.sub(r"^# ?", "", cell, flags=re.M) for cell in cells))
        prose = re.sub(r"<(pre|code|math)\b.*?</\1>", "", text, flags=re.S)
        left = re.findall(r"\\(?:frac|text|sum|begin|cdot|mathbf)\b.{0,60}", prose)
        assert not left, f"{chapter.text}: {left}"


def test_links_lead_to_pages_and_tables_may_scroll() -> None:
    text = site.rendered("[c](03_induction.ipynb) [m](MISTAKES.md)\n\n| a |\n|---|\n| b |\n")
    assert 'href="03_induction.html"' in text
    assert 'href="mistakes.html"' in text
    assert '<div class="wide"><table>' in text


def test_a_chapter_shows_its_outputs_and_folds_its_solutions() -> None:
    chapter = catalog.outline()[0]
    entry = chapter.exercises[0]
    view = plots.attention(["a", "b"], torch.eye(2))
    outputs = [
        v4.new_output("stream", name="stdout", text="1 < 2\n"),
        v4.new_output("stream", name="stderr", text="a progress bar 45%"),
        v4.new_output(
            "display_data",
            data={"application/vnd.plotly.v1+json": plots.bar([1], ["a"], title="Bars").to_plotly_json()},
        ),
        v4.new_output("display_data", data={"text/html": view._repr_html_(), "text/plain": "a view"}),
        v4.new_output("display_data", data={"text/markdown": "**bold**", "text/plain": "x"}),
    ]
    cells = [
        v4.new_markdown_cell("# Title"),
        v4.new_code_cell("def f(): ...", metadata={"exercise": entry.id}),
        v4.new_code_cell("show()", outputs=outputs),
    ]
    body = site.chapter_body(chapter, v4.new_notebook(cells=cells))
    assert "<h1>Title</h1>" in body
    assert f"Exercise {entry.id}" in body
    assert body.index("<details>") < body.index(">f</span>") < body.index("</details>")
    assert "1 &lt; 2" in body
    assert "progress" not in body
    assert 'class="cleanlens-plot"' in body
    assert "CircuitsVis.render" in body
    assert "cleanlens-script" not in body, "a view's packed script is on the page already"
    assert "<strong>bold</strong>" in body


@pytest.mark.slow
def test_the_site_is_whole(tmp_path: Path) -> None:
    """One chapter, the contents, the mistakes and the models: every local address on them exists."""
    assert site.run(tmp_path, only="00") == 0
    pages = list(tmp_path.glob("*.html"))
    assert {"index.html", "mistakes.html", "models.html"} < {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"""<(?:script|link|img)\b[^>]*(?:src|href)=["'](?:https?:)?//""", text)
        for address in re.findall(r'\b(?:src|href)="([^"#:]+)"', text):
            assert (tmp_path / address).exists(), f"{page.name} points to {address}"
