"""Maps, curves, points and bars, drawn by plotly.

Cells are square and small maps print their numbers; a quantity with a range of its own has it (`limits`); curves and
points are labelled where they are, not in a legend; labels that would overlap are turned, then thinned out.
"""

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from plotly.subplots import make_subplots

from cleanlens.utils import to_numpy

from .theme import COLOURS, template

MOST_NUMBERS = 64  # cells of a map that still prints its numbers
SPECTRUM = ["#3b6fd1", "#2aa198", "#c9a227", "#d9482b"]  # from low to high, on any ground
PLOT = 560  # pixels that a map may take, either way

# JupyterLab, Jupyter Notebook and VS Code draw plotly's own output type with a script they have; older plotly
# adds an HTML copy that fetches MathJax from a host.
if plotly.io.renderers.default == "plotly_mimetype+notebook":
    plotly.io.renderers.default = "plotly_mimetype"


# ---------------------------------------------------------------- maps


def heatmap(
    values: Any,
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    zero_centred: bool = True,
    color_label: str = "",
    limits: tuple[float, float] | None = None,
    square: bool | None = None,
    numbers: bool | None = None,
) -> go.Figure:
    """A matrix `[y x]` as colours; red is below zero and blue above, the ground's own colour is zero.

    Labels may repeat, as the tokens of a text do.

    Args:
        zero_centred: the same range on both sides of zero, for differences. False: from zero up; to 1 when all
            numbers lie between 0 and 1, as attention and accuracies do.
        limits: the lowest and the highest colour, instead.
        square: square cells; None: where both sides have room for them.
        numbers: print them in the cells; None: up to about 60 cells.
    """
    matrix = matrix_of(values, "heatmap", 2)
    low, high = limits or _limits([matrix], zero_centred)
    rows, columns = matrix.shape
    x, y = range(columns) if x is None else x, range(rows) if y is None else y
    cell = min(56, PLOT / columns, PLOT / rows)
    square = cell >= 9 if square is None else square
    numbers = matrix.size <= MOST_NUMBERS if numbers is None else numbers
    figure = go.Figure(_cells(matrix, x, y, x_label, y_label, low, high, numbers))
    figure.update_traces(showscale=not numbers, colorbar=_colour_bar(color_label))
    head = 50 if title and not numbers else 0
    height = rows * cell + 130 + head if square else 400
    figure = _finish(figure, title, x_label, y_label, x, y, max(height, 200))
    figure.update_yaxes(range=[rows - 0.5, -0.5], showgrid=False, zeroline=False)
    figure.update_xaxes(range=[-0.5, columns - 0.5], showgrid=False, zeroline=False)
    if numbers and color_label:
        figure.update_xaxes(
            title={"text": " · ".join(filter(None, [_plain(x_label), f"numbers: {_plain(color_label)}"]))}
        )
    if not numbers:  # the colour bar stands above the map
        figure.update_layout(margin_t=100 if title else 56)
    if square:
        figure.update_layout(meta={**(figure.layout.meta or {}), "cells": [rows, columns, cell]})
        figure.update_yaxes(scaleanchor="x", constrain="domain", constraintoward="top")
        figure.update_xaxes(constrain="domain", constraintoward="left")
    return figure


def head_map(
    values: Any,
    title: str = "",
    zero_centred: bool = True,
    color_label: str = "",
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """One number per head, `[layer head]`."""
    matrix = matrix_of(values, "head_map", 2)
    layers, heads = matrix.shape
    return heatmap(
        matrix, range(heads), range(layers), title, "head", "layer", zero_centred, color_label, limits
    )


def heatmaps(
    panels: Mapping[str, Any],
    x: Sequence[Any] | None = None,
    y: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    zero_centred: bool = True,
    limits: tuple[float, float] | None = None,
    columns: int = 3,
) -> go.Figure:
    """Small multiples: matrices `{name: [y x]}` of one shape side by side, in the same colours."""
    matrices = {name: matrix_of(values, "heatmaps", 2) for name, values in panels.items()}
    if len({matrix.shape for matrix in matrices.values()}) != 1:
        shapes = ", ".join(f"{name} {list(matrix.shape)}" for name, matrix in matrices.items()) or "none"
        raise ValueError(f"heatmaps: expected matrices of one shape; got {shapes}")
    low, high = limits or _limits(matrices.values(), zero_centred)
    [(height, width)] = {matrix.shape for matrix in matrices.values()}
    x, y = range(width) if x is None else x, range(height) if y is None else y
    columns = min(columns, len(matrices))
    rows = -(-len(matrices) // columns)
    each = min(PLOT / 2, 1.1 * PLOT / columns * height / width)
    letters = 0 if _are_numbers(x) else 6.5 * max(len(str(label)) for label in x)  # of turned labels
    between = 72 + letters
    drawn = rows * each + (rows - 1) * between
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[_plain(name) for name in matrices],
        horizontal_spacing=0.06,
        vertical_spacing=between / drawn if rows > 1 else None,
    )
    numbers = height * width <= MOST_NUMBERS // 2
    for i, matrix in enumerate(matrices.values()):
        cells = _cells(matrix, x, y, x_label, y_label, low, high, numbers)
        cells.update(showscale=not numbers and i == 0, colorbar=_colour_bar("") | {"y": 1.12})
        figure.add_trace(cells, i // columns + 1, i % columns + 1)
    figure = _finish(figure, title, "", "", x, y, drawn + letters + 150)
    figure.update_xaxes(range=[-0.5, width - 0.5], showgrid=False, zeroline=False, constrain="domain")
    figure.update_yaxes(range=[height - 0.5, -0.5], showgrid=False, zeroline=False, constrain="domain")
    for i in range(len(matrices)):
        axis = "x" if i == 0 else f"x{i + 1}"
        figure.update_yaxes(
            scaleanchor=axis, showticklabels=i % columns == 0, row=i // columns + 1, col=i % columns + 1
        )
        figure.update_xaxes(title={"text": x_label}, row=i // columns + 1, col=i % columns + 1)
    figure.update_yaxes(title={"text": y_label}, col=1)
    figure.update_layout(margin_t=90 if title else 50, meta={"min_width": 190 * columns})
    return figure


def head_maps(
    panels: Mapping[str, Any],
    title: str = "",
    zero_centred: bool = True,
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """Several numbers per head, `{name: [layer head]}`, as small maps side by side."""
    shapes = [matrix_of(values, "head_maps", 2).shape for values in panels.values()]
    layers, heads = shapes[0] if shapes else (0, 0)
    return heatmaps(panels, range(heads), range(layers), title, "head", "layer", zero_centred, limits)


def patching_map(
    values: Any,
    tokens: Sequence[str],
    title: str = "",
    y: Sequence[Any] | None = None,
    color_label: str = "",
    significant: Any = None,
    limits: tuple[float, float] | None = None,
) -> go.Figure:
    """One number per layer and position, `[layer pos]`, with the tokens along the bottom.

    Args:
        significant: True where the number differs from zero (`analysis.Estimate.significant`); the other cells are crossed
            out.
    """
    matrix = matrix_of(values, "patching_map", 2)
    if len(tokens) != matrix.shape[1]:
        raise ValueError(f"patching_map: {matrix.shape[1]} positions but {len(tokens)} tokens")
    rows = range(len(matrix)) if y is None else y
    figure = heatmap(
        matrix, numbered(tokens), rows, title, "position", "layer", True, color_label, limits=limits
    )
    if significant is not None:
        marks = matrix_of(significant, "patching_map", 2).astype(bool)
        if marks.shape != matrix.shape:
            raise ValueError(
                f"patching_map: values {list(matrix.shape)} but significance {list(marks.shape)}"
            )
        y_doubtful, x_doubtful = np.nonzero(~marks)
        crosses = {"symbol": "x-thin", "size": 7, "line": {"width": 1, "color": "grey"}}
        figure.add_scatter(
            x=x_doubtful,
            y=y_doubtful,
            mode="markers",
            marker=crosses,
            name="not significant",
            hoverinfo="skip",
        )
    return figure


def _limits(matrices: Any, zero_centred: bool) -> tuple[float, float]:
    """The range of the colours, as `heatmap` says."""
    numbers = np.concatenate([np.ravel(matrix).astype(float) for matrix in matrices])
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    if zero_centred:
        largest = max(-low, high) or 1.0
        return -largest, largest
    if low < 0:
        return low, high
    return 0.0, 1.0 if high <= 1 else high


def _cells(
    matrix: np.ndarray, x: Any, y: Any, x_label: str, y_label: str, low: float, high: float, numbers: bool
) -> go.Heatmap:
    """The cells of a map, whose colours are the template's, so that a dark page has dark ones."""
    cells = go.Heatmap(
        z=matrix,
        zmin=low,
        zmax=high,
        autocolorscale=True,
        xgap=1,
        ygap=1,
        customdata=_labels_for_hover(matrix.shape, x, y),
        hovertemplate=f"{y_label or 'row'}: %{{customdata[0]}}<br>{x_label or 'column'}: %{{customdata[1]}}"
        "<br>%{z:.4g}<extra></extra>",
    )
    if numbers:
        cells.update(texttemplate=f"%{{z:{_format(matrix)}}}", textfont={"size": 11})
    return cells


def _format(values: np.ndarray) -> str:
    """As many digits as tell the numbers apart."""
    finite = values[np.isfinite(values)].astype(float)
    largest = np.abs(finite).max(initial=0)
    if (finite == np.round(finite)).all() or largest >= 100:
        return ".0f"
    return ".1f" if largest >= 10 else ".2f"


def _colour_bar(label: str) -> dict[str, Any]:
    """Flat and above the map, where it takes no width from a phone."""
    return {
        "orientation": "h",
        "title": {"text": _plain(label), "side": "top"},
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "lenmode": "pixels",
        "len": 170,
        "thickness": 8,
        "nticks": 4,
        "outlinewidth": 0,
    }


# ---------------------------------------------------------------- curves


def line(
    values: Any,
    x: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    connect: bool | None = None,
    limits: tuple[float, float] | None = None,
    log_y: bool = False,
) -> go.Figure:
    """One curve `[x]`, several `[curve x]`, or named ones `{name: [x]}`, each labelled at its end.

    Args:
        connect: draw the line between the points; None: unless `x` is text, for between two names there is nothing.
            True suits text with an order, as that of layers.
        limits: the lowest and highest value of the axis.
    """
    figure = go.Figure()
    labels = _add_curves(figure, values, x, connect)
    figure = _finish(figure, title, x_label, y_label, labels)
    if limits:
        figure.update_yaxes(range=limits)
    _label_curves(figure, log_y=log_y)
    return _logarithmic(figure, log_x, log_y)


def line_panels(
    panels: Mapping[str, Any],
    x: Sequence[Any] | None = None,
    title: str = "",
    x_label: str = "",
    log_x: bool = False,
    connect: bool | None = None,
    log_y: bool = False,
) -> go.Figure:
    """Curves one above the other along one x, for what has different units: `{y_label: curves}`, curves as in `line`."""
    if not panels:
        raise ValueError("line_panels: there is no panel to draw")
    figure = make_subplots(len(panels), 1, shared_xaxes=True, vertical_spacing=0.3 / (2 + len(panels)))
    labels = None
    for row, (name, values) in enumerate(panels.items(), 1):
        labels = _add_curves(figure, values, x, connect, row)
        figure.update_yaxes(title={"text": _plain(name)}, row=row)
    figure = _finish(figure, title, "", None, labels, None, 90 + 200 * len(panels))
    figure.update_xaxes(title={"text": x_label}, row=len(panels))
    for row in range(1, len(panels) + 1):
        _label_curves(figure, row, log_y, 140)
    return _logarithmic(figure, log_x, log_y)


def _add_curves(
    figure: go.Figure, values: Any, x: Any, connect: bool | None, row: int = 1
) -> Sequence[str] | None:
    """Add curves to a row of a figure; the labels of the places, if those are text."""
    if isinstance(values, Mapping):
        curves = {str(name): to_numpy(curve) for name, curve in values.items()}
    else:
        matrix = to_numpy(values)
        curves = {"": matrix} if matrix.ndim == 1 else {str(i): curve for i, curve in enumerate(matrix)}
    labels, places = None, x
    if x is not None and len(x) and isinstance(x[0], str):
        places, labels = list(range(len(x))), x  # text may repeat; places may not
    connect = labels is None if connect is None else connect
    for i, (name, curve) in enumerate(curves.items()):
        few = np.size(curve) <= 40
        figure.add_scatter(
            x=None if places is None else to_numpy(list(places)),
            y=curve,
            name=_plain(name),
            mode=("lines+markers" if few else "lines") if connect else "markers",
            marker={"size": 5 if connect else 9},
            line={"width": 2, "color": COLOURS[i % len(COLOURS)]},
            **({"xaxis": f"x{row}", "yaxis": f"y{row}"} if row > 1 else {}),
        )
    return labels


def _label_curves(figure: go.Figure, row: int = 1, log_y: bool = False, height: float = 290) -> None:
    """The name of each curve at its end, in its colour, moved apart where several end together.

    The names are text of the last points, not annotations, which would be elsewhere once an axis becomes logarithmic.
    """
    axis = "y" if row == 1 else f"y{row}"
    curves = [curve for curve in figure.data if (curve.yaxis or "y") == axis]
    if len(curves) < 2:
        return
    if len(curves) > 10:  # more than can be told apart by where they end
        figure.update_layout(showlegend=True)
        return
    heights = [np.log10(curve.y) if log_y else np.asarray(curve.y, dtype=float) for curve in curves]
    ends = [np.flatnonzero(np.isfinite(curve)) for curve in heights]
    numbers = np.concatenate([curve[known] for curve, known in zip(heights, ends)])
    low, span = (numbers.min(), np.ptp(numbers) or 1.0) if numbers.size else (0.0, 1.0)
    wanted = {i: (heights[i][known[-1]] - low) / span * height for i, known in enumerate(ends) if known.size}
    names = ["<br>".join(textwrap.wrap(curve.name, 18)) for curve in curves]
    places = _apart(wanted, {i: 15.0 * (1 + names[i].count("<br>")) for i in wanted})
    for i, place in places.items():
        half_lines = round(abs(place - wanted[i]) / 7.5)  # empty lines move a text by half their height
        empty = "<br>\u00a0" * half_lines if place > wanted[i] else ""
        above = "\u00a0<br>" * half_lines if place < wanted[i] else ""
        text = [""] * len(curves[i].y)
        text[ends[i][-1]] = f"\u00a0{above}{names[i]}{empty}"
        curves[i].update(
            mode=f"{curves[i].mode}+text",
            text=text,
            textposition="middle right",
            textfont={"color": curves[i].line.color, "size": 12},
            hoverinfo="x+y+name",
            cliponaxis=False,
        )
    longest = max(len(part) for name in names for part in html.unescape(name).split("<br>"))
    figure.update_layout(margin_r=max(20 + 6.5 * longest, figure.layout.margin.r or 0))


def _apart(wanted: Mapping[int, float], sizes: Mapping[int, float]) -> dict[int, float]:
    """Heights near the wanted ones, in the same order, at which labels of these sizes do not overlap."""
    groups: list[
        tuple[list[int], float, float]
    ] = []  # members, centre, size: labels that touch move together
    for i in sorted(wanted, key=lambda i: wanted[i]):
        groups.append(([i], wanted[i], sizes[i]))
        while len(groups) > 1 and groups[-1][1] - groups[-2][1] < (groups[-1][2] + groups[-2][2]) / 2:
            above, below = groups.pop(), groups.pop()
            members = below[0] + above[0]
            centre = sum(wanted[j] for j in members) / len(members)
            groups.append((members, centre, above[2] + below[2]))
    places = {}
    for members, centre, size in groups:
        floor = centre - size / 2
        for i in members:
            places[i] = floor + sizes[i] / 2
            floor += sizes[i]
    return places


def intervals(
    curves: Mapping[str, tuple[Any, Any, Any, Any]],
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    target: float | None = None,
) -> go.Figure:
    """Named curves `{name: (x, mean, low, high)}` with a bar from low to high at each point.

    Args:
        target: a dotted line at this height.
    """
    figure = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        x, mean, low, high = (to_numpy(value) for value in values)
        bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low}
        colour = {"color": COLOURS[i % len(COLOURS)]}
        figure.add_scatter(x=x, y=mean, name=_plain(name), mode="lines+markers", error_y=bars, line=colour)
    figure = _finish(figure, title, x_label, y_label)
    _label_curves(figure)
    if target is not None:
        figure.add_hline(y=target, line_dash="dot", line_color="grey")
    return _logarithmic(figure, log_x, False)


def _logarithmic(figure: go.Figure, log_x: bool, log_y: bool) -> go.Figure:
    if log_x:
        figure.update_xaxes(type="log")
    return figure.update_yaxes(type="log") if log_y else figure


# ---------------------------------------------------------------- points and bars


def scatter(
    x: Any,
    y: Any,
    labels: Sequence[str] | None = None,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    color: Any = None,
    color_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> go.Figure:
    """Points, with their labels beside them where there is room, and on hovering."""
    across, up = to_numpy(x).ravel(), to_numpy(y).ravel()
    marker: dict[str, Any] = {"size": 8, "opacity": 0.85}
    if color is not None:
        marker |= {
            "color": to_numpy(color).ravel(),
            "colorscale": SPECTRUM,
            "colorbar": _colour_bar(color_label),
        }
    shown = names = None
    if labels is not None:
        names = [_plain(label) for label in labels]
        room = _with_room(np.log10(across) if log_x else across, np.log10(up) if log_y else up, names)
        shown = [name if free else "" for name, free in zip(names, room)]
    points = go.Scatter(
        x=across,
        y=up,
        text=shown,
        hovertext=names,
        mode="markers" if labels is None else "markers+text",
        textposition="middle right",
        textfont={"size": 11},
        cliponaxis=False,
        marker=marker,
    )
    figure = _finish(go.Figure(points), title, x_label, y_label)
    if color is not None:
        figure.update_layout(margin_t=100 if title else 60)
    return _logarithmic(figure, log_x, log_y)


def _with_room(x: np.ndarray, y: np.ndarray, names: Sequence[str], most: int = 40) -> np.ndarray:
    """Which points can have their names beside them with no overlap; the farthest from the middle are asked first."""
    free = np.zeros(len(x), dtype=bool)
    if not len(x):
        return free
    width, height = 480, 280  # pixels, about; a little narrow, to be safe
    span_x, span_y = np.ptp(x.astype(float)) or 1, np.ptp(y.astype(float)) or 1
    across, up = (x - x.min()) / span_x * width, (y - y.min()) / span_y * height
    distance = np.hypot(across - np.median(across), up - np.median(up))
    taken: list[tuple[float, float, float]] = []  # left, right and middle of the labels so far
    for i in np.argsort(-distance, kind="stable"):
        left, right = across[i] + 5, across[i] + 9 + 7 * len(html.unescape(names[i]))
        over_label = any(left < r and l < right and abs(up[i] - middle) < 14 for l, r, middle in taken)
        others = (across > left) & (across < right + 5) & (np.abs(up - up[i]) < 9)
        if over_label or others.any():
            continue
        free[i] = True
        taken.append((left, right, up[i]))
        if len(taken) == most:
            break
    return free


def bar(
    values: Any, labels: Sequence[str], title: str = "", y_label: str = "", x_label: str = ""
) -> go.Figure:
    """One bar per label; labels may repeat. Up to 16 bars say their number."""
    heights = to_numpy(values).ravel()
    if len(labels) != len(heights):
        raise ValueError(f"bar: {len(heights)} values but {len(labels)} labels")
    bars = go.Bar(x=list(range(len(heights))), y=heights, customdata=[_plain(label) for label in labels])
    bars.hovertemplate = "%{customdata}: %{y:.4g}<extra></extra>"
    if len(heights) <= 16:
        bars.update(
            texttemplate=f"%{{y:{_format(heights)}}}", textposition="outside", textangle=0, cliponaxis=False
        )
    figure = _finish(go.Figure(bars), title, x_label, y_label, labels)
    figure.update_layout(
        uniformtext={"minsize": 9, "mode": "hide"}
    )  # on a phone, rather than in tiny letters
    return figure.update_xaxes(showgrid=False)


# ---------------------------------------------------------------- labels


def numbered(tokens: Sequence[str]) -> list[str]:
    """Tokens as labels: visible spaces, and their positions to tell repeated ones apart."""
    return [f"{token.replace(' ', '·')} ({i})" for i, token in enumerate(tokens)]


def token_labels(tokenizer: Any, tokens: Any) -> list[str]:
    r"""Each token as text; one that is only part of a character as its bytes, `\xe2\x96` instead of "�".

    Args:
        tokenizer: a tokenizer, or a model that has one.
        tokens: token ids `[pos]`.
    """
    tokenizer, labels = getattr(tokenizer, "tokenizer", tokenizer), []
    for token in to_numpy(tokens).ravel().tolist():
        text = tokenizer.decode([token])
        if "�" in text:
            piece = tokenizer.convert_ids_to_tokens(token)
            known = all(char in _BYTES for char in piece)
            text = "".join(f"\\x{_BYTES[char]:02x}" for char in piece) if known else piece
        labels.append(text)
    return labels


def _byte_characters() -> dict[str, int]:
    """The characters by which byte-level BPE writes bytes down (Radford et al. 2019): printable ones are themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_characters()


def _plain(label: Any) -> str:
    """A label as plotly shows it: it reads "<b>" as bold, so a token that looks like a tag would vanish."""
    return html.escape(str(label), quote=False)


def matrix_of(values: Any, what: str, ndim: int) -> np.ndarray:
    matrix = to_numpy(values)
    if matrix.ndim != ndim or matrix.size == 0:
        raise ValueError(f"{what}: expected {ndim} axes and something in them, got shape {matrix.shape}")
    return matrix


def _labels_for_hover(shape: tuple[int, ...], x: Sequence | None, y: Sequence | None) -> np.ndarray:
    rows, columns = (
        [_plain(label) for label in (range(n) if labels is None else labels)]
        for n, labels in zip(shape, (y, x))
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)


def _ticks(labels: Sequence[Any]) -> dict[str, list]:
    """A tick per label, or every second, third … where they would stand closer than their letters are high.

    Of numbers a few say where the others are.
    """
    every = -(-len(labels) // _most_ticks(labels))
    if _are_numbers(labels) and every > 1:
        every = -(-every // 5) * 5
    places = list(range(0, len(labels), every))
    return {"tickvals": places, "ticktext": [_plain(labels[i]) for i in places]}


def _are_numbers(labels: Sequence[Any]) -> bool:
    return all(isinstance(label, int) for label in labels)


def _most_ticks(labels: Sequence[Any]) -> int:
    return 16 if _are_numbers(labels) else 40


def _finish(
    figure: go.Figure,
    title: str,
    x_label: str,
    y_label: str | None,
    x: Sequence | None = None,
    y: Sequence | None = None,
    height: float = 400,
) -> go.Figure:
    figure.update_layout(
        title={"text": title},
        template=template(),
        margin={"l": 60, "r": 24, "t": 60 if title else 20, "b": 60},
        height=height,
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},  # leaves a phone room
    )
    figure.update_xaxes(title={"text": x_label})
    if y_label is not None:
        figure.update_yaxes(title={"text": y_label})
    if x is not None:
        figure.update_xaxes(_ticks(x))
        if not _are_numbers(x):
            figure.update_layout(meta={"min_width": 90 + 15 * min(len(x), _most_ticks(x))})
    if y is not None:
        figure.update_yaxes(_ticks(y))
    return figure
