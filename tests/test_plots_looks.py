"""How figures look, as far as a test can say: ranges, numbers, labels that keep apart, themes; and the diagrams."""

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from cleanlens import plots
from cleanlens.plots import charts, diagrams, gallery
from cleanlens.plots.theme import page_script

SVG = "{http://www.w3.org/2000/svg}"

# ---------------------------------------------------------------- maps


@pytest.mark.parametrize(
    ("values", "zero_centred", "expected"),
    [
        ([[-2.0, 1.0]], True, (-2, 2)),
        ([[0.1, 0.4]], False, (0, 1)),  # attention, accuracy
        ([[0.0, 5.0]], False, (0, 5)),
        ([[-1.0, 5.0]], False, (-1, 5)),
        ([[0.0, 0.0]], True, (-1, 1)),
        ([[float("nan"), 3.0]], True, (-3, 3)),
        ([[float("-inf"), 3.0]], True, (-3, 3)),
    ],
)
def test_the_range_of_a_map(values: list, zero_centred: bool, expected: tuple[float, float]) -> None:
    [cells] = plots.heatmap(values, zero_centred=zero_centred).data
    assert (cells.zmin, cells.zmax) == expected
    [cells] = plots.heatmap(values, zero_centred=zero_centred, limits=(-7, 9)).data
    assert (cells.zmin, cells.zmax) == (-7, 9)


def test_small_maps_print_their_numbers_and_large_ones_have_a_colour_bar() -> None:
    [small], [large] = plots.heatmap(torch.rand(4, 5)).data, plots.heatmap(torch.rand(9, 9)).data
    assert small.texttemplate == "%{z:.2f}"
    assert not small.showscale
    assert large.texttemplate is None
    assert large.showscale
    assert plots.heatmap(torch.eye(3)).data[0].texttemplate == "%{z:.0f}"
    assert plots.heatmap(torch.tensor([[12.34, 1.0]])).data[0].texttemplate == "%{z:.1f}"
    assert plots.heatmap(torch.rand(9, 9), numbers=True).data[0].texttemplate
    figure = plots.head_map(torch.rand(2, 3), color_label="nats")
    assert "nats" in figure.layout.xaxis.title.text  # there is no colour bar to say it


def test_cells_are_square_where_there_is_room() -> None:
    assert plots.heatmap(torch.rand(4, 7)).layout.yaxis.scaleanchor == "x"
    assert plots.heatmap(torch.rand(4, 200)).layout.yaxis.scaleanchor is None
    assert plots.heatmap(torch.rand(4, 7), square=False).layout.yaxis.scaleanchor is None


def test_small_multiples_share_their_colours() -> None:
    figure = plots.head_maps({"a": [[1.0, -4.0]], "b": [[2.0, 0.0]]})
    assert {(cells.zmin, cells.zmax) for cells in figure.data} == {(-4, 4)}
    assert [note.text for note in figure.layout.annotations] == ["a", "b"]
    axes = [figure.layout.yaxis, figure.layout.yaxis2]
    assert [axis.scaleanchor for axis in axes] == ["x", "x2"]  # square cells in every panel
    assert not any(axis.matches for axis in axes)  # which would overrule that
    with pytest.raises(ValueError, match=r"one shape; got a \[1, 2\], b \[1, 1\]"):
        plots.heatmaps({"a": [[1, 2]], "b": [[1]]})
    with pytest.raises(ValueError, match="one shape; got none"):
        plots.head_maps({})


# ---------------------------------------------------------------- labels


def test_ticks_are_thinned_out_before_they_overlap() -> None:
    many = plots.heatmap(torch.rand(2, 100), x=["word"] * 100)
    assert 20 < len(many.layout.xaxis.tickvals) <= 40
    assert many.layout.xaxis.tickvals[-1] > 95
    numbers = plots.heatmap(torch.rand(2, 64)).layout.xaxis
    assert list(numbers.tickvals) == list(range(0, 64, 5))


def labels_of(figure: object) -> list[str]:
    return [next(filter(None, curve.text)).replace("\u00a0", "") for curve in figure.data]


def test_curves_are_labelled_at_their_ends_and_alone_not_at_all() -> None:
    figure = plots.line({"one": [1, 2, 3], "two": [3.0, 2.0, float("nan")]})
    assert labels_of(figure) == ["one", "two"]
    assert [bool(text) for text in figure.data[1].text] == [False, True, False]  # its last number
    assert {curve.textfont.color for curve in figure.data} == {curve.line.color for curve in figure.data}
    assert plots.line([1, 2, 3]).data[0].text is None
    assert figure.layout.template.layout.showlegend is False
    assert plots.line(np.zeros((11, 3))).layout.showlegend  # too many to stand at their ends


def test_labels_that_end_together_are_moved_apart() -> None:
    figure = plots.line({"one": [1, 2], "two": [0, 2], "three": [0, 2.0]})
    lines = [next(filter(None, curve.text)).split("<br>") for curve in figure.data]
    rows = {[line.strip("\u00a0") != "" for line in text].index(True) - len(text) / 2 for text in lines}
    assert len(rows) == 3


@pytest.mark.parametrize("heights", [[5, 5, 5], [0, 100], [1, 3, 90, 95, 40], []])
def test_apart_keeps_order_and_distance(heights: list[float]) -> None:
    places = charts._apart(dict(enumerate(map(float, heights))), dict.fromkeys(range(len(heights)), 15.0))
    assert sorted(places) == list(range(len(heights)))
    ordered = sorted(places.values())
    assert all(b - a >= 15 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert all(places[i] <= places[j] for i in places for j in places if heights[i] < heights[j])
    if len(heights) == 2:
        assert places == {0: 0, 1: 100}  # those that have room stay


def test_no_line_between_names() -> None:
    assert plots.line([1, 2], x=["a", "b"]).data[0].mode == "markers"
    assert "lines" in plots.line([1, 2], x=["a", "b"], connect=True).data[0].mode
    assert "lines" in plots.line([1, 2], x=[1, 2]).data[0].mode
    assert plots.line([1, 2], x=[1, 2], connect=False).data[0].mode == "markers"


def test_one_unit_per_axis() -> None:
    figure = plots.line_panels({"nats": {"a": [1, 2], "b": [2, 1]}, "score": [0, 1]}, [1, 10], log_x=True)
    assert [curve.yaxis or "y" for curve in figure.data] == ["y", "y", "y2"]
    assert (figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text) == ("nats", "score")
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
    with pytest.raises(ValueError, match="no panel"):
        plots.line_panels({})


def test_points_that_lie_together_are_not_all_labelled() -> None:
    rng = np.random.default_rng(0)
    x, y = np.append(rng.normal(0, 0.001, 50), [1, -1]), np.append(np.zeros(50), [1, -1])
    [points] = plots.scatter(x, y, [f"L{i}H0" for i in range(52)]).data
    assert points.text[50:] == ("L50H0", "L51H0")
    assert 0 < sum(text != "" for text in points.text) < 10
    assert len(points.hovertext) == 52
    [points] = plots.scatter([], [], []).data
    assert points.text == ()


def test_bytes_are_shown_as_bytes() -> None:
    class ByteLevel:
        def decode(self, ids: list[int]) -> str:
            return " cat" if ids == [2] else "�"

        def convert_ids_to_tokens(self, token: int) -> str:
            return ["â", "ĸ", "Ġcat"][token]  # the bytes e2 and 96, and " cat", as byte-level BPE writes them

    class Model:
        tokenizer = ByteLevel()

    assert plots.token_labels(Model(), torch.tensor([2, 0, 1])) == [" cat", r"\xe2", r"\x96"]


def test_the_table_of_byte_characters_is_that_of_transformers() -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert {char: byte for byte, char in bytes_to_unicode().items()} == charts._BYTES


# ---------------------------------------------------------------- themes


def test_themes() -> None:
    light = plots.bar([1], ["a"])
    plots.theme("dark")
    try:
        dark = plots.bar([1], ["a"])
    finally:
        plots.theme("light")
    grounds = [figure.layout.template.layout.paper_bgcolor for figure in (light, dark)]
    assert grounds == ["#ffffff", "#14181f"]
    with pytest.raises(ValueError, match="'blue'; expected one of light, dark"):
        plots.theme("blue")


def test_a_page_can_choose_the_colours_of_a_map() -> None:
    """Those of the template, in which zero has the colour of the ground."""
    [cells] = plots.heatmap([[1.0, -1.0]]).data
    assert cells.autocolorscale
    assert cells.colorscale is None
    assert page_script() in plots.page_scripts()


# ---------------------------------------------------------------- diagrams


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
def test_a_diagram_stands_alone(name: str) -> None:
    drawing = plots.diagram(name)
    root = ET.fromstring(drawing.svg())
    assert root.find(f"{SVG}title").text == drawing.title
    assert len(root.find(f"{SVG}desc").text) > 100
    assert root.get("role") == "img"
    assert root.get("aria-label") == plots.describe(drawing)
    assert not [element for element in root.iter() if "id" in element.attrib]  # which would clash on a page
    assert not re.search(r"(href|src|url\()", drawing.svg())
    sheet = float(drawing.width), float(drawing.height)
    for element in root.iter(f"{SVG}rect"):
        x, y, width, height = (float(element.get(key)) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= sheet[0]
        assert 0 <= y <= y + height <= sheet[1]
    for element in root.iter(f"{SVG}text"):
        text = "".join(element.itertext())
        assert "`" not in text
        room = {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
        width = 6.2 * len(text) * float(element.get("font-size", 15)) / 12.5
        left = float(element.get("x")) - room * width
        assert -14 < left < left + width < sheet[0] + 20, text


def test_an_unknown_diagram_is_named() -> None:
    with pytest.raises(KeyError, match="no diagram named 'qkov'; the closest is 'qk_ov'"):
        plots.diagram("qkov")


def words(drawing: plots.Drawing) -> str:
    return " ".join("".join(text.itertext()) for text in ET.fromstring(drawing.svg()).iter(f"{SVG}text"))


def test_the_ioi_circuit_has_the_heads_it_is_given() -> None:
    empty = words(plots.ioi())
    assert "backup" in empty
    assert not re.search(r"L\d+H\d+", empty)
    drawn = plots.ioi({"name mover": ["L2H1", "L3H0"], "duplicate token": []})
    assert "L2H1 L3H0" in words(drawn)
    assert words(drawn).count("none found") == 2  # duplicate token heads, and S-inhibition heads, not given
    assert "backup" not in words(drawn)
    assert "name mover heads (L2H1, L3H0)" in drawn.description
    many = plots.ioi({"name mover": [f"L{i}H{i}" for i in range(40)]})
    assert many.height > drawn.height
    assert "L39H39" in words(many)
    with pytest.raises(ValueError, match="no role named 'striker'; the roles are previous token"):
        plots.ioi({"striker": ["L0H0"]})


def test_gpt2_smalls_circuit_has_26_heads() -> None:
    heads = [head for some in diagrams.IOI_GPT2_SMALL.values() for head in some]
    assert len(heads) == len(set(heads)) == 26
    assert set(diagrams.IOI_GPT2_SMALL) == set(diagrams.IOI_ROLES)


def test_diagrams_in_notebooks_pages_and_files(tmp_path: Path) -> None:
    drawing = plots.diagram("cache")
    assert "<svg" in drawing._repr_html_()
    assert drawing.svg() in plots.to_html(drawing)
    assert plots.save(drawing, tmp_path / "cache.svg").read_text(encoding="utf-8") == drawing.svg()
    assert drawing.svg() in plots.save(drawing, tmp_path / "cache.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="drawn by a browser"):
        plots.save(drawing, tmp_path / "cache.png")
    diagrams.main(tmp_path / "all")
    assert {path.stem for path in (tmp_path / "all").glob("*.svg")} == set(diagrams.DIAGRAMS)


def test_words_are_typeset() -> None:
    drawing = plots.Drawing("t", "d", 10, 10)
    drawing.text(0, 0, "W_Q^T `a_b` <bos>")
    [text] = [line for line in drawing.svg().splitlines() if line.startswith("<text")]
    plain = "".join(ET.fromstring(text).itertext()).replace("\u200b", "")
    assert plain == "WQT a_b <bos>"


# ---------------------------------------------------------------- the gallery


def test_the_gallery_shows_every_kind_of_figure(tmp_path: Path) -> None:
    page = gallery.page()
    kinds = set(plots.__all__) - {"Drawing", "View", "describe", "page_scripts", "save", "scripts", "theme"}
    for kind in kinds - {"to_html", "numbered", "token_labels"}:
        assert f"plots.{kind}(" in page, kind
    gallery.main(tmp_path / "gallery.html")
    assert (tmp_path / "gallery.html").stat().st_size > 1e6


def test_plots_are_drawn_without_plotly_until_asked_for() -> None:
    code = "import sys, cleanlens; assert 'cleanlens.plots' not in sys.modules; assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
