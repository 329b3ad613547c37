"""Attention patterns and coloured tokens, drawn by CircuitsVis from its own installed script."""

import base64
import gzip
import html
import json
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cleanlens.utils import to_numpy

from .charts import matrix_of
from .theme import DARK_HERE, DIVERGING


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
            f"<style>{STYLE}</style>"
            f'<div id="{place}" class="cleanlens-view" role="figure" aria-label="{text}">{text}</div>\n'
            f'<script>(function draw(tries) {{ const place = document.getElementById("{place}"); '
            "if (window.CircuitsVis && place) { "
            f'place.classList.toggle("cleanlens-dark", {DARK_HERE}(place.parentElement)); '
            f'CircuitsVis.render("{place}", CircuitsVis.{self.element}, {properties}) }} '
            "else if (tries) setTimeout(draw, 50, tries - 1) })(400)</script>"
        )

    def _repr_html_(self) -> str:
        return f"{_packed_script()}\n{self.body()}"

    def __repr__(self) -> str:
        return f"<{self.description}>"


COLOURS_OF_VALUES = {"positiveColor": DIVERGING["light"][-1], "negativeColor": DIVERGING["light"][0]}
# CircuitsVis draws for a white ground, with each head's name on top of its picture. Here names stand above the pictures,
# and a dark page gets the drawing's negative with its hues kept.
STYLE = (
    ".cleanlens-view{background:#fff;color:#222;color-scheme:light;padding:8px;overflow-x:auto}"
    ".cleanlens-view.cleanlens-dark{filter:invert(.92) hue-rotate(180deg)}"
    ".cleanlens-view h4{position:static!important;font-size:12px;font-weight:600;padding:1px 4px!important}"
    ".cleanlens-view h3{font-size:14px;font-weight:600}"
    ".cleanlens-view h2{display:none}"  # the head's name again, over the large picture
)


def attention(tokens: Sequence[str], patterns: Any, head_names: Sequence[str] | None = None) -> View:
    """Attention patterns `[head query key]` (or `[query key]` of one head) over the tokens, to hover over."""
    matrix = to_numpy(patterns)
    matrix = matrix[None] if matrix.ndim == 2 else matrix
    matrix_of(matrix, "attention", 3)
    if matrix.shape[1:] != (len(tokens), len(tokens)):
        raise ValueError(
            f"attention: patterns {matrix.shape} do not fit {len(tokens)} tokens; expected [head query key]"
        )
    names = [f"head {i}" for i in range(len(matrix))] if head_names is None else list(head_names)
    rounded = np.round(matrix.astype(float), 3).tolist()  # a page needs no more digits
    if len(names) != len(matrix):
        raise ValueError(f"attention: {len(matrix)} heads but {len(names)} names")
    text = f"Attention patterns of {', '.join(names)} over the {len(tokens)} tokens {_excerpt(tokens)}"
    return View(
        "AttentionHeads",
        text,
        attention=rounded,
        **COLOURS_OF_VALUES,
        tokens=_shown(tokens),
        attentionHeadNames=names,
    )


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
    return View(
        "ColoredTokens",
        text,
        tokens=_shown(tokens),
        **COLOURS_OF_VALUES,
        values=np.round(numbers, 4).tolist(),
    )


def _shown(tokens: Sequence[str]) -> list[str]:
    """CircuitsVis puts a token on the page as HTML, where "<bos>" would vanish: brackets that mean nothing there."""
    return [str(token).replace("<", "‹").replace(">", "›") for token in tokens]


def _excerpt(tokens: Sequence[str], most: int = 30) -> str:
    return repr("".join(tokens[:most])) + (" …" if len(tokens) > most else "")


@cache
def circuitsvis_script() -> str:
    """The source of the installed CircuitsVis, which defines the global name CircuitsVis."""
    import circuitsvis

    source = (Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js").read_text(encoding="utf-8")
    return source.partition("//# sourceMappingURL")[0].replace("</script>", "<\\/script>")


@cache
def _packed_script() -> str:
    """The script of the views for a notebook's output; it does nothing where a page has it already."""
    packed = base64.b64encode(gzip.compress(circuitsvis_script().encode(), mtime=0)).decode()
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
