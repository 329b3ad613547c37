"""Figures for language models: heatmaps, lines, scatters (plotly), attention and token views (CircuitsVis).

Every function returns something that a notebook displays, `to_html` turns into a piece of a page, and `save`
writes to a file. All scripts are local: a figure asks nothing of the network. Figures have a light ground of
their own, so they read the same in light and dark themes; `describe` says in words what a screen reader reads.
"""

import base64
import gzip
import html
import importlib.util
import json
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from cleanlens.utils import to_numpy

DIVERGING, SEQUENTIAL = "RdBu", "Blues"  # both are told apart by people who see few colours

# JupyterLab, Jupyter Notebook and VS Code draw plotly's own output type with a script they have; older plotly
# adds an HTML copy that fetches MathJax from a host.
if plotly.io.renderers.default == "plotly_mimetype+notebook":
    plotly.io.renderers.default = "plotly_mimetype"


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
    limit = float(np.nan_to_num(np.abs(matrix), posinf=0).max()) or 1.0
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
    significant: Any = None,
) -> go.Figure:
    """One number per layer and position, `[layer pos]`, with the tokens along the bottom.

    Args:
        significant: True where the number differs from zero (`analysis.Estimate.significant`); the other cells are crossed
            out.
    """
    matrix = _matrix(values, "patching_map", 2)
    if len(tokens) != matrix.shape[1]:
        raise ValueError(f"patching_map: {matrix.shape[1]} positions but {len(tokens)} tokens")
    rows = range(len(matrix)) if y is None else y
    figure = heatmap(matrix, numbered(tokens), rows, title, "position", "layer", True, color_label)
    if significant is not None:
        marks = _matrix(significant, "patching_map", 2).astype(bool)
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
            name=_plain(name),
            mode="lines+markers",
            marker={"size": 4},
        )
    figure.update_layout(showlegend=len(curves) > 1)
    figure = _finish(figure, title, x_label, y_label, labels)
    return figure.update_xaxes(type="log") if log_x else figure


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
    for name, values in curves.items():
        x, mean, low, high = (to_numpy(value) for value in values)
        bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low}
        figure.add_scatter(x=x, y=mean, name=_plain(name), mode="lines+markers", error_y=bars)
    if target is not None:
        figure.add_hline(y=target, line_dash="dot")
    figure = _finish(figure, title, x_label, y_label)
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
    text = None if labels is None else [_plain(label) for label in labels]
    points = go.Scatter(
        x=to_numpy(x).ravel(), y=to_numpy(y).ravel(), text=text, mode="markers", marker=marker
    )
    return _finish(go.Figure(points), title, x_label, y_label)


def bar(
    values: Any, labels: Sequence[str], title: str = "", y_label: str = "", x_label: str = ""
) -> go.Figure:
    """One bar per label; labels may repeat."""
    heights = to_numpy(values).ravel()
    if len(labels) != len(heights):
        raise ValueError(f"bar: {len(heights)} values but {len(labels)} labels")
    bars = go.Bar(x=list(range(len(heights))), y=heights, customdata=[_plain(label) for label in labels])
    bars.hovertemplate = "%{customdata}: %{y:.4g}<extra></extra>"
    return _finish(go.Figure(bars), title, x_label, y_label, labels)


def numbered(tokens: Sequence[str]) -> list[str]:
    """Tokens as labels: visible spaces, and their positions to tell repeated ones apart."""
    return [f"{token.replace(' ', '·')} ({i})" for i, token in enumerate(tokens)]


def _plain(label: Any) -> str:
    """A label as plotly shows it: it reads "<b>" as bold, so a token that looks like a tag would vanish."""
    return html.escape(str(label), quote=False)


def _matrix(values: Any, what: str, ndim: int) -> np.ndarray:
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
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},  # leaves a phone room
    )
    figure.update_xaxes(title={"text": x_label})
    figure.update_yaxes(title={"text": y_label})
    if x is not None:
        figure.update_xaxes(tickvals=list(range(len(x))), ticktext=[_plain(label) for label in x])
    if y is not None:
        figure.update_yaxes(tickvals=list(range(len(y))), ticktext=[_plain(label) for label in y])
    return figure


# ---------------------------------------------------------------- CircuitsVis


class View:
    """A CircuitsVis element. In a notebook each output brings the script along; a page includes it once.

    So a cell that is run again and a notebook that was saved still draw. The script is compressed, and only the
    first output on a page unpacks it; every view waits until it is there.
    """

    def __init__(self, element: str, description: str, **properties: Any):
        self.element, self.description, self.properties = element, description, properties

    def body(self) -> str:
        """HTML for a page that has the script, or gets it from another piece."""
        # A token may hold "</script>" or "<!--", which would end or hide the script it stands in.
        properties = json.dumps(self.properties).replace("<", "\\u003c")
        place, text = f"cleanlens-{uuid.uuid4()}", html.escape(self.description)
        return (
            f'<div id="{place}" class="cleanlens-view" role="figure" aria-label="{text}" style="background:#fff;'
            f'color:#222;color-scheme:light;padding:8px;overflow-x:auto">{text}</div>\n'
            f'<script>(function draw(tries) {{ if (window.CircuitsVis && document.getElementById("{place}")) '
            f'CircuitsVis.render("{place}", CircuitsVis.{self.element}, {properties}); '
            "else if (tries) setTimeout(draw, 50, tries - 1) })(400)</script>"
        )

    def _repr_html_(self) -> str:
        return f"{_packed_script()}\n{self.body()}"

    def __repr__(self) -> str:
        return f"<{self.description}>"


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
    if len(names) != len(matrix):
        raise ValueError(f"attention: {len(matrix)} heads but {len(names)} names")
    text = f"Attention patterns of {', '.join(names)} over the {len(tokens)} tokens {_excerpt(tokens)}"
    return View("AttentionHeads", text, attention=rounded, tokens=_shown(tokens), attentionHeadNames=names)


def tokens(tokens: Sequence[str], values: Any, title: str = "") -> View:
    """A text with each token coloured by its value: blue above zero, red below. `title` is for screen readers."""
    numbers = to_numpy(values).ravel().astype(float)
    if len(numbers) != len(tokens):
        raise ValueError(f"tokens: {len(tokens)} tokens but {len(numbers)} values")
    if not len(numbers):
        raise ValueError("tokens: there is no token to show")
    low, high = int(numbers.argmin()), int(numbers.argmax())
    text = (
        f"{title or 'Tokens coloured by value'}: {_excerpt(tokens)}; lowest {numbers[low]:.3g} at "
        f"{tokens[low]!r}, highest {numbers[high]:.3g} at {tokens[high]!r}"
    )
    return View("ColoredTokens", text, tokens=_shown(tokens), values=np.round(numbers, 4).tolist())


def _shown(tokens: Sequence[str]) -> list[str]:
    """CircuitsVis puts a token on the page as HTML, where "<bos>" would vanish: brackets that mean nothing there."""
    return [str(token).replace("<", "‹").replace(">", "›") for token in tokens]


def _excerpt(tokens: Sequence[str], most: int = 30) -> str:
    return repr("".join(tokens[:most])) + (" …" if len(tokens) > most else "")


@cache
def _circuitsvis() -> str:
    """The source of the installed CircuitsVis, which defines the global name CircuitsVis."""
    import circuitsvis

    source = (Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js").read_text(encoding="utf-8")
    return source.partition("//# sourceMappingURL")[0].replace("</script>", "<\\/script>")


@cache
def _packed_script() -> str:
    """The script of the views for a notebook's output; it does nothing where a page has it already."""
    packed = base64.b64encode(gzip.compress(_circuitsvis().encode(), mtime=0)).decode()
    return f"""<script class="cleanlens-script">
if (!window.CircuitsVis && !window.cleanlensUnpacks) {{
  window.cleanlensUnpacks = true;
  const bytes = Uint8Array.from(atob("{packed}"), c => c.charCodeAt(0));
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text().then(source => {{
    const script = document.createElement("script");
    script.textContent = source;
    document.head.append(script);
  }});
}}
</script>"""


# ---------------------------------------------------------------- pages


def describe(figure: Any) -> str:
    """What a figure shows, in a sentence: kind, title, axes, size, and the range of its values."""
    if isinstance(figure, View):
        return figure.description
    found = []
    for trace in figure.data:
        values = trace.z if trace.type == "heatmap" else trace.y
        numbers = np.asarray([] if values is None else values)
        numbers = numbers if numbers.dtype.kind in "biuf" else np.asarray([])
        size = " by ".join(str(n) for n in numbers.shape)
        span = (
            f" from {np.nanmin(numbers):.3g} to {np.nanmax(numbers):.3g}"
            if np.isfinite(numbers).any()
            else ""
        )
        kind = trace.type
        if kind == "scatter":
            kind = "curve" if "lines" in (trace.mode or "lines") else "points"
        found.append(f"{kind} {html.unescape(trace.name or '')}".strip() + f" ({size} values{span})")
    layout = figure.layout
    axes = [text for text in (layout.yaxis.title.text, layout.xaxis.title.text) if text]
    parts = [layout.title.text, ", ".join(found), " against ".join(axes)]
    return ". ".join(part for part in parts if part)


def to_html(figure: Any) -> str:
    """A figure or view as a piece of HTML for a page that includes `page_scripts()`; anything else as text."""
    if isinstance(figure, View):
        return figure.body()
    if isinstance(figure, go.Figure):
        title = figure.layout.title.text  # as text of the page, which breaks lines where a phone needs it
        untitled = go.Figure(figure).update_layout(title=None, margin_t=36)
        drawn = untitled.to_html(
            full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}
        )
        heading = f'<p style="margin:.6em 0 0;text-align:center">{html.escape(title)}</p>' if title else ""
        label = html.escape(describe(figure))
        return f'<div class="cleanlens-plot" role="figure" aria-label="{label}">{heading}{drawn}</div>'
    return f"<pre>{html.escape(str(figure))}</pre>"


def scripts() -> dict[str, str]:
    """File name -> source of what a page needs to draw its figures."""
    return {"plotly.min.js": get_plotlyjs(), "circuitsvis.js": _circuitsvis()}


def page_scripts() -> str:
    """What a page needs once, in its head, to draw all its figures with no network."""
    return "\n".join(f"<script>{source}</script>" for source in scripts().values())


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure to a file: .html is a page of its own that needs no network, .png, .svg and .pdf are pictures.

    Pictures need kaleido, and exist of plotly's figures only. Raises ValueError for another ending or a view as a
    picture, ImportError without kaleido.
    """
    path = Path(path)
    if path.suffix == ".html":
        title = html.escape(describe(figure))
        head = (
            f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
        )
        page = f'<!doctype html><html lang="en"><head>{head}{page_scripts()}</head><body>{to_html(figure)}</body></html>'
        path.write_text(page, encoding="utf-8")
        return path
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"plots.save: {path.name} should end in .html, .png, .svg or .pdf")
    if not isinstance(figure, go.Figure):
        raise ValueError(
            f"plots.save: a view is drawn by a browser; save it as {path.with_suffix('.html').name}"
        )
    if importlib.util.find_spec("kaleido") is None:
        raise ImportError(
            f"plots.save: {path.suffix} pictures need kaleido (and Chrome): pip install kaleido. "
            f"{path.with_suffix('.html').name} would need nothing more."
        )
    figure.write_image(path)
    return path
