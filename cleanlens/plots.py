"""Figures for language models: heatmaps, lines, scatters (plotly), attention and token views (CircuitsVis).

Every function returns something that a notebook displays and `to_html` turns into a piece of a page. All
scripts are local: a figure asks nothing of the network.
"""

import html
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from cleanlens.utils import to_numpy

DIVERGING, SEQUENTIAL = "RdBu", "Blues"  # both are told apart by people who see few colours


# ---------------------------------------------------------------- plotly


def heatmap(
    values: Any,
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    zero_centred: bool = True,
    color_label: str = "",
) -> go.Figure:
    """A matrix `[y x]` as colours; red is below zero and blue above, white is zero when `zero_centred`.

    Labels may repeat, as the tokens of a text do.
    """
    matrix = _matrix(values, "heatmap", 2)
    limit = float(np.nanmax(np.abs(matrix))) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=matrix,
            colorscale=DIVERGING if zero_centred else SEQUENTIAL,
            zmin=-limit if zero_centred else None,
            zmax=limit if zero_centred else None,
            colorbar={"title": {"text": color_label}},
            customdata=_labels_for_hover(matrix.shape, x, y),
            hovertemplate=f"{y_label or 'row'}: %{{customdata[0]}}<br>{x_label or 'column'}: %{{customdata[1]}}"
            "<br>%{z:.4g}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    return _finish(figure, title, x_label, y_label, x, y)


def head_map(values: Any, title: str = "", zero_centred: bool = True, color_label: str = "") -> go.Figure:
    """One number per head, `[layer head]`."""
    matrix = _matrix(values, "head_map", 2)
    layers, heads = matrix.shape
    return heatmap(matrix, range(heads), range(layers), title, "head", "layer", zero_centred, color_label)


def patching_map(
    values: Any,
    tokens: Sequence[str],
    title: str = "",
    y: Sequence[Any] | None = None,
    color_label: str = "",
) -> go.Figure:
    """One number per layer and position, `[layer pos]`, with the tokens along the bottom."""
    matrix = _matrix(values, "patching_map", 2)
    if len(tokens) != matrix.shape[1]:
        raise ValueError(f"patching_map: {matrix.shape[1]} positions but {len(tokens)} tokens")
    rows = range(len(matrix)) if y is None else y
    return heatmap(matrix, numbered(tokens), rows, title, "position", "layer", True, color_label)


def line(
    values: Any,
    x: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
) -> go.Figure:
    """One curve `[x]`, several `[curve x]`, or named ones `{name: [x]}`."""
    if isinstance(values, Mapping):
        curves = {str(name): to_numpy(curve) for name, curve in values.items()}
    else:
        matrix = to_numpy(values)
        curves = {"": matrix} if matrix.ndim == 1 else {str(i): row for i, row in enumerate(matrix)}
    figure = go.Figure()
    labels = None
    for name, curve in curves.items():
        places = x
        if x is not None and len(x) and isinstance(x[0], str):
            places, labels = list(range(len(x))), x  # text may repeat; places may not
        figure.add_scatter(
            x=None if places is None else to_numpy(list(places)),
            y=curve,
            name=name,
            mode="lines+markers",
            marker={"size": 4},
        )
    figure.update_layout(showlegend=len(curves) > 1)
    figure = _finish(figure, title, x_label, y_label, labels)
    return figure.update_xaxes(type="log") if log_x else figure


def scatter(
    x: Any,
    y: Any,
    labels: Sequence[str] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    color: Any = None,
) -> go.Figure:
    """Points, with their labels shown on hovering."""
    marker = {"size": 7} if color is None else {"size": 7, "color": to_numpy(color), "colorscale": "Viridis"}
    points = go.Scatter(
        x=to_numpy(x).ravel(), y=to_numpy(y).ravel(), text=labels, mode="markers", marker=marker
    )
    return _finish(go.Figure(points), title, x_label, y_label)


def bar(
    values: Any, labels: Sequence[str], title: str = "", y_label: str = "", x_label: str = ""
) -> go.Figure:
    """One bar per label; labels may repeat."""
    heights = to_numpy(values).ravel()
    if len(labels) != len(heights):
        raise ValueError(f"bar: {len(heights)} values but {len(labels)} labels")
    bars = go.Bar(x=list(range(len(heights))), y=heights, customdata=list(labels))
    bars.hovertemplate = "%{customdata}: %{y:.4g}<extra></extra>"
    return _finish(go.Figure(bars), title, x_label, y_label, labels)


def numbered(tokens: Sequence[str]) -> list[str]:
    """Tokens as labels: visible spaces, and their positions to tell repeated ones apart."""
    return [f"{token.replace(' ', '·')} ({i})" for i, token in enumerate(tokens)]


def _matrix(values: Any, what: str, ndim: int) -> np.ndarray:
    matrix = to_numpy(values)
    if matrix.ndim != ndim or matrix.size == 0:
        raise ValueError(f"{what}: expected {ndim} axes and something in them, got shape {matrix.shape}")
    return matrix


def _labels_for_hover(shape: tuple[int, ...], x: Sequence | None, y: Sequence | None) -> np.ndarray:
    rows, columns = (
        [str(label) for label in (range(n) if labels is None else labels)] for n, labels in zip(shape, (y, x))
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)


def _finish(
    figure: go.Figure,
    title: str,
    x_label: str,
    y_label: str,
    x: Sequence | None = None,
    y: Sequence | None = None,
) -> go.Figure:
    figure.update_layout(
        title={"text": title},
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 60 if title else 20, "b": 60},
        height=400,
        font={"size": 13},
    )
    figure.update_xaxes(title={"text": x_label})
    figure.update_yaxes(title={"text": y_label})
    if x is not None:
        figure.update_xaxes(tickvals=list(range(len(x))), ticktext=[str(label) for label in x])
    if y is not None:
        figure.update_yaxes(tickvals=list(range(len(y))), ticktext=[str(label) for label in y])
    return figure


# ---------------------------------------------------------------- CircuitsVis


class View:
    """A CircuitsVis element. In a notebook it brings its script along; a page includes the script once."""

    def __init__(self, element: str, **properties: Any):
        self.element, self.properties = element, properties

    def body(self) -> str:
        """HTML that expects the script to be on the page already."""
        from circuitsvis.utils.convert_props import convert_props

        # A token may hold "</script>", which would end the script it stands in.
        properties = convert_props(self.properties).replace("</", "<\\/")
        place = f"cleanlens-{uuid.uuid4()}"
        return (
            f'<div id="{place}" class="cleanlens-view" role="img" aria-label="{self.element}" '
            'style="background:#fff;color:#222;padding:8px;overflow-x:auto"></div>\n'
            f'<script>CircuitsVis.render("{place}", CircuitsVis.{self.element}, '
            f"{properties})</script>"
        )

    def _repr_html_(self) -> str:
        return f"{circuitsvis_script()}\n{self.body()}"


def attention(tokens: Sequence[str], patterns: Any, head_names: Sequence[str] | None = None) -> View:
    """Attention patterns `[head query key]` (or `[query key]` of one head) over the tokens, to hover over."""
    matrix = to_numpy(patterns)
    matrix = matrix[None] if matrix.ndim == 2 else matrix
    _matrix(matrix, "attention", 3)
    if matrix.shape[1:] != (len(tokens), len(tokens)):
        raise ValueError(
            f"attention: patterns {matrix.shape} do not fit {len(tokens)} tokens; expected [head query key]"
        )
    names = [f"head {i}" for i in range(len(matrix))] if head_names is None else list(head_names)
    rounded = np.round(matrix.astype(float), 3).tolist()  # a page needs no more digits
    return View("AttentionHeads", attention=rounded, tokens=list(tokens), attentionHeadNames=names)


def tokens(tokens: Sequence[str], values: Any, title: str = "") -> View:
    """A text with each token coloured by its value: blue above zero, red below."""
    numbers = to_numpy(values).ravel().astype(float)
    if len(numbers) != len(tokens):
        raise ValueError(f"tokens: {len(tokens)} tokens but {len(numbers)} values")
    return View("ColoredTokens", tokens=list(tokens), values=np.round(numbers, 4).tolist())


@cache
def circuitsvis_script() -> str:
    """The script that draws views, from the installed package; does nothing where it is loaded already."""
    import circuitsvis

    source = (Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js").read_text(encoding="utf-8")
    source = source.replace("</script>", "<\\/script>")
    return f"<script>if (!window.CircuitsVis) {{ {source}\n; window.CircuitsVis = CircuitsVis }}</script>"


# ---------------------------------------------------------------- pages


def to_html(figure: Any) -> str:
    """A figure or view as a piece of HTML for a page that includes `page_scripts()`."""
    if isinstance(figure, View):
        return figure.body()
    if isinstance(figure, go.Figure):
        return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
    return f"<pre>{html.escape(str(figure))}</pre>"


def page_scripts() -> str:
    """What a page needs once, in its head, to draw all its figures with no network."""
    return f"<script>{get_plotlyjs()}</script>\n{circuitsvis_script()}"
