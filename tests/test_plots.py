"""Figures: the data is where it should be, labels are kept apart, errors are clear, nothing comes from outside."""

import html
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from cleanlens import plots

TOKENS = ["<bos>", "The", " cat", " sat", " cat"]
# What would fetch something; the addresses in the libraries' messages and namespaces do not.
OUTSIDE = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", re.I
)
MATRIX = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


def test_heatmap_keeps_rows_columns_and_zero() -> None:
    [trace] = plots.heatmap(MATRIX, x=["a", "b", "a"], y=["q", "r"], title="t").data
    assert np.array_equal(trace.z, MATRIX.numpy())
    assert (trace.zmin, trace.zmax) == (-3, 3)
    assert trace.customdata[1, 2].tolist() == ["r", "a"]


def test_repeated_tokens_keep_their_places() -> None:
    figure = plots.heatmap(torch.eye(5), x=TOKENS, y=TOKENS)
    assert [html.unescape(text) for text in figure.layout.xaxis.ticktext] == TOKENS
    assert figure.layout.xaxis.ticktext[0] == "&lt;bos&gt;"  # plotly would take it for a tag
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 2, 3, 4]
    [bars] = plots.bar([1, 2, 3, 4, 5], TOKENS).data
    assert list(bars.x) == [0, 1, 2, 3, 4]
    [curve] = plots.line([1, 2, 3, 4, 5], x=TOKENS).data
    assert list(curve.x) == [0, 1, 2, 3, 4]
    assert plots.numbered(TOKENS)[2] != plots.numbered(TOKENS)[4]
    assert plots.numbered(TOKENS)[2] == "·cat (2)"


def test_head_map_and_patching_map_name_their_axes() -> None:
    figure = plots.head_map(MATRIX)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("head", "layer")
    figure = plots.patching_map(MATRIX, TOKENS[:3])
    assert [html.unescape(text) for text in figure.layout.xaxis.ticktext] == plots.numbered(TOKENS[:3])


def test_line_takes_one_curve_several_or_named_ones() -> None:
    assert [trace.name for trace in plots.line({"a": [1, 2], "b": torch.tensor([3, 4])}).data] == ["a", "b"]
    assert len(plots.line(MATRIX).data) == 2
    assert plots.line([1, 2, 4], x=[1, 10, 100], log_x=True).layout.xaxis.type == "log"


def test_scatter_takes_tensors_with_gradients_and_half_precision() -> None:
    weights = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    [points] = plots.scatter(weights, weights * 2, labels=["p", "q"]).data
    assert list(points.y) == [2, 4]
    assert list(points.text) == ["p", "q"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.heatmap(torch.zeros(3)), r"heatmap: expected 2 axes .* got shape \(3,\)"),
        (lambda: plots.head_map(torch.zeros(0, 2)), r"head_map: expected 2 axes .* \(0, 2\)"),
        (lambda: plots.patching_map(MATRIX, TOKENS), "patching_map: 3 positions but 5 tokens"),
        (lambda: plots.bar([1, 2], ["a"]), "bar: 2 values but 1 labels"),
        (
            lambda: plots.attention(TOKENS, torch.eye(4)),
            r"attention: patterns \(1, 4, 4\) do not fit 5 tokens",
        ),
        (
            lambda: plots.attention(TOKENS, torch.eye(5), ["a", "b"]),
            "attention: 1 heads but 2 names",
        ),
        (lambda: plots.tokens(TOKENS, [1, 2]), "tokens: 5 tokens but 2 values"),
        (lambda: plots.tokens([], []), "no token to show"),
    ],
)
def test_what_does_not_fit_is_named(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_attention_holds_its_patterns_and_survives_any_token() -> None:
    view = plots.attention(["</script>", "<!--"], torch.eye(2), ["L0H0"])
    assert view.properties["attention"] == [[[1, 0], [0, 1]]]
    script = view.body().partition("<script>")[2]
    assert script.count("</script>") == 1
    assert "<!--" not in view.body()
    assert view.properties["tokens"] == ["‹/script›", "‹!--"]  # CircuitsVis would take them for HTML


def every_figure() -> list[object]:
    return [
        plots.heatmap(MATRIX, title="A heatmap", x_label="key", y_label="query"),
        plots.line({"a <b>": [1, 2]}, title="Curves"),
        plots.scatter([1], [2], title="Points"),
        plots.bar([1], ["a"], title="Bars"),
        plots.attention(TOKENS, torch.eye(5)),
        plots.tokens(TOKENS, [0, 1, 2, 3, 4], title="Surprise"),
    ]


def test_every_figure_says_what_it_shows() -> None:
    heat, *_, patterns, surprise = every_figure()
    assert plots.describe(heat) == "A heatmap. heatmap (2 by 3 values from -2 to 3). query against key"
    assert "head 0" in plots.describe(patterns)
    assert "cat" in plots.describe(patterns)
    assert plots.describe(surprise).startswith("Surprise: ")
    for figure in every_figure():
        [label] = re.findall(r'role="figure" aria-label="([^"]+)"', plots.to_html(figure))
        assert "<" not in label


def test_nothing_is_loaded_from_outside() -> None:
    for figure in every_figure():
        assert not OUTSIDE.search(plots.to_html(figure))
    assert not OUTSIDE.search(plots.page_scripts())
    assert "sourceMappingURL" not in plots.scripts()["circuitsvis.js"]


def test_a_views_output_in_a_notebook_is_whole_and_small() -> None:
    output = plots.attention(TOKENS, torch.eye(5))._repr_html_()
    assert output.count('<script class="cleanlens-script">') == 1
    assert len(output) < 600_000
    assert not OUTSIDE.search(output)


def test_text_is_escaped() -> None:
    assert plots.to_html("<b>") == "<pre>&lt;b&gt;</pre>"


def test_save_writes_a_page_for_every_figure(tmp_path: Path) -> None:
    for i, figure in enumerate(every_figure()):
        page = plots.save(figure, tmp_path / f"{i}.html").read_text(encoding="utf-8")
        assert page.partition("<script>")[0].count("<title>") == 1
        assert not OUTSIDE.search(page)


def test_save_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heat, *_, view = every_figure()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need kaleido .*pip install kaleido"):
        plots.save(heat, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"save it as x\.html"):
        plots.save(view, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.gif should end in \.html"):
        plots.save(heat, tmp_path / "x.gif")


def test_save_png_asks_plotly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(go.Figure, "write_image", lambda self, path: Path(path).write_bytes(b"png"))
    assert plots.save(plots.bar([1], ["a"]), tmp_path / "x.png").read_bytes() == b"png"


def test_intervals_and_cells_that_are_not_significant() -> None:
    figure = plots.intervals({"a": ([1, 2], [0.5, 0.7], [0.4, 0.6], [0.6, 0.9])}, target=1)
    bars = figure.data[0].error_y
    assert list(bars.array) == pytest.approx([0.1, 0.2])
    assert list(bars.arrayminus) == pytest.approx([0.1, 0.1])
    values, sure = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[True, False, True]])
    figure = plots.patching_map(values, ["a", "b", "a"], significant=sure)
    assert list(figure.data[1].x) == [1]
    assert list(figure.data[1].y) == [0]
    with pytest.raises(ValueError, match="significance"):
        plots.patching_map(values, ["a", "b", "a"], significant=sure[:, :2])
