"""Figures for language models: maps, curves, points and bars (plotly), attention and token views (CircuitsVis), diagrams.

Every function returns something that a notebook displays, `to_html` turns into a piece of a page, and `save`
writes to a file. All scripts are local: a figure asks nothing of the network. On a page, figures are dark where the
text around them is light; in a notebook plotly's are light, and `theme("dark")` makes those that follow dark.
`describe` says in words what a screen reader reads.

    python -m cleanlens.plots.gallery      writes a page with all of them
"""

from .charts import (
    bar,
    head_map,
    head_maps,
    heatmap,
    heatmaps,
    intervals,
    line,
    line_panels,
    numbered,
    patching_map,
    scatter,
    token_labels,
)
from .diagrams import diagram, ioi
from .drawing import Drawing
from .pages import describe, page_scripts, save, scripts, to_html
from .theme import theme
from .views import View, attention, tokens

__all__ = [
    "Drawing",
    "View",
    "attention",
    "bar",
    "describe",
    "diagram",
    "head_map",
    "head_maps",
    "heatmap",
    "heatmaps",
    "intervals",
    "ioi",
    "line",
    "line_panels",
    "numbered",
    "page_scripts",
    "patching_map",
    "save",
    "scatter",
    "scripts",
    "theme",
    "to_html",
    "token_labels",
    "tokens",
]
