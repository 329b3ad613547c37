"""Figures in words, in pages and in files."""

import html
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from .drawing import Drawing
from .theme import page_script
from .views import View, circuitsvis_script

# Of the buttons over a figure only those for a picture, for moving about and for the way back.
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
}


def describe(figure: Any) -> str:
    """What a figure shows, in a sentence: kind, title, axes, size, and the range of its values."""
    if isinstance(figure, View):
        return figure.description
    if isinstance(figure, Drawing):
        return f"{figure.title}. {figure.description}"
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
    if isinstance(figure, Drawing):
        return figure._repr_html_()
    if isinstance(figure, go.Figure):
        title = figure.layout.title.text  # as text of the page, which breaks lines where a phone needs it
        untitled = go.Figure(figure).update_layout(title=None)
        if title and figure.layout.margin.t:
            untitled.update_layout(margin_t=max(figure.layout.margin.t - 40, 24), height=_less(figure, 36))
        drawn = untitled.to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
        heading = f'<p style="margin:.6em 0 .2em;font-weight:600">{html.escape(title)}</p>' if title else ""
        label = html.escape(describe(figure))
        # A wide figure is scrolled on a phone, not squeezed.
        meta = figure.layout.meta
        width = meta.get("min_width", 0) if isinstance(meta, dict) else 0
        return (
            f'<div class="cleanlens-plot" role="figure" aria-label="{label}" '
            f'style="background:none;color:inherit;overflow-x:auto">{heading}'
            f'<div style="min-width:{width}px">{drawn}</div></div>'
        )
    return f"<pre>{html.escape(str(figure))}</pre>"


def _less(figure: go.Figure, pixels: int) -> float | None:
    return figure.layout.height and figure.layout.height - pixels


def scripts() -> dict[str, str]:
    """File name -> source of what a page needs to draw its figures."""
    return {"plotly.min.js": get_plotlyjs() + page_script(), "circuitsvis.js": circuitsvis_script()}


def page_scripts() -> str:
    """What a page needs once, in its head, to draw all its figures with no network."""
    return "\n".join(f"<script>{source}</script>" for source in scripts().values())


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure to a file: .html is a page of its own that needs no network, .png, .svg and .pdf are pictures.

    Pictures need kaleido, and exist of plotly's figures only; a diagram is an .svg without it. Raises ValueError for another ending or a view as a
    picture, ImportError without kaleido.
    """
    path = Path(path)
    if path.suffix == ".html":
        title = html.escape(describe(figure))
        head = (
            f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
        )
        page = (
            f'<!doctype html><html lang="en"><head>{head}<style>:root{{color-scheme:light dark}}'
            f"body{{font-family:system-ui,sans-serif}}</style>{page_scripts()}</head>"
            f"<body>{to_html(figure)}</body></html>"
        )
        path.write_text(page, encoding="utf-8")
        return path
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"plots.save: {path.name} should end in .html, .png, .svg or .pdf")
    if isinstance(figure, Drawing) and path.suffix == ".svg":
        path.write_text(figure.svg(), encoding="utf-8")
        return path
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
