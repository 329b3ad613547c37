"""How figures look: two plotly templates, light and dark, and the rule by which a page chooses.

Colours are told apart by people who see few of them (Okabe and Ito 2008, shifted until they stand on both grounds).
"""

import json
from typing import Any

import plotly.graph_objects as go
import plotly.io

COLOURS = ["#2f7fd1", "#e07b00", "#1f9d74", "#b0579f", "#d9482b", "#8a7a00", "#3fa7c9", "#7a7f87"]
GROUND = {"light": "#ffffff", "dark": "#14181f"}
INK = {"light": "#1c2330", "dark": "#dfe4ec"}
# Zero has the colour of the ground: what is nothing looks like nothing.
DIVERGING = {
    "light": ["#a3201c", "#dd6f5a", "#f6c9bd", "#ffffff", "#bcd9ef", "#5b9fd4", "#17599b"],
    "dark": ["#ff9b86", "#cf5b45", "#6b2d27", "#14181f", "#1f4468", "#3f88c9", "#a5d3ff"],
}
SEQUENTIAL = {
    "light": ["#ffffff", "#d6e6f4", "#9ac4e3", "#4a90c8", "#1c5d9f", "#0b2f5c"],
    "dark": ["#14181f", "#1d3550", "#285f93", "#4793d0", "#8cc4f2", "#e3f2ff"],
}


def _scale(colours: list[str]) -> list[tuple[float, str]]:
    return [(i / (len(colours) - 1), colour) for i, colour in enumerate(colours)]


def _template(theme: str) -> go.layout.Template:
    ink, ground = INK[theme], GROUND[theme]
    rule = "#d8dde6" if theme == "light" else "#384252"
    axis = {
        "gridcolor": rule,
        "zerolinecolor": rule,
        "linecolor": rule,
        "ticks": "",
        "automargin": True,  # a long label makes room for itself
        "autotickangles": [0, 90],
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "font": {"size": 13, "color": ink, "family": "system-ui, sans-serif"},
            "paper_bgcolor": ground,
            "plot_bgcolor": ground,
            "colorway": COLOURS,
            "colorscale": {
                "diverging": _scale(DIVERGING[theme]),
                "sequential": _scale(SEQUENTIAL[theme]),
                "sequentialminus": _scale(SEQUENTIAL[theme][::-1]),
            },
            "showlegend": False,  # curves are labelled where they end
            "xaxis": axis,
            "yaxis": axis,
            "title": {"x": 0, "xref": "paper", "font": {"size": 15}},
            "hoverlabel": {"align": "left"},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#9aa3b0", "activecolor": ink},
        }
    )


for _name in GROUND:
    plotly.io.templates[f"cleanlens_{_name}"] = _template(_name)
_chosen = "light"


def theme(name: str) -> None:
    """Draw the figures from here on for a "light" or a "dark" ground. (Pages choose by themselves.)"""
    global _chosen
    if name not in GROUND:
        raise ValueError(f"theme: {name!r}; expected one of {', '.join(GROUND)}")
    _chosen = name


def template() -> Any:
    """The template of the figures that are drawn now."""
    return plotly.io.templates[f"cleanlens_{_chosen}"]


# A figure is dark where the text around it is light. That asks no page to have a certain switch.
DARK_HERE = (
    "((e) => getComputedStyle(e).color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, n) => sum + +n, 0) > 384)"
)


def page_script() -> str:
    """What gives every figure of a page its theme and its height, when it opens and whenever the page changes."""
    themes = {}
    for name in GROUND:
        made = _template(name).to_plotly_json()
        made["layout"] |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
        themes[name] = made
    return f"""
(() => {{
  const themes = {json.dumps(themes)}, dark = {DARK_HERE};
  function dress() {{
    for (const plot of document.querySelectorAll(".cleanlens-plot .js-plotly-plot")) {{
      const name = dark(plot.closest(".cleanlens-plot")) ? "dark" : "light";
      if (!plot.layout) continue;
      const change = {{}};
      if (plot.dataset.theme !== name) change.template = themes[plot.dataset.theme = name];
      if (plot.layout.meta?.cells) {{ // square cells: where they become smaller, the figure becomes lower
        const [rows, columns, cell] = plot.layout.meta.cells;
        const {{w, t, b}} = plot._fullLayout._size;
        const height = Math.round(t + b + rows * Math.min(cell, w / columns));
        if (Math.abs(height - plot.layout.height) > 2) change.height = height;
        plot.style.height = plot.parentElement.style.height = `${{change.height ?? plot.layout.height}}px`;
      }}
      if (Object.keys(change).length) Plotly.relayout(plot, change);
    }}
    for (const view of document.querySelectorAll(".cleanlens-view"))
      view.classList.toggle("cleanlens-dark", dark(view.parentElement));
  }}
  addEventListener("load", dress);
  addEventListener("resize", () => setTimeout(dress, 300)); // after plotly's own
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(dress, 50));
  const watcher = new MutationObserver(() => setTimeout(dress, 50));
  addEventListener("DOMContentLoaded", () => [document.documentElement, document.body].forEach(
    (e) => watcher.observe(e, {{attributes: true, attributeFilter: ["class", "data-theme", "data-mode"]}})));
}})();
"""
