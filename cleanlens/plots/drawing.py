"""A pen for diagrams: boxes, arrows and words as SVG, readable on a light and on a dark ground.

Ink is `currentColor`, so that a drawing in a page has the colour of the text around it; fills are thin washes that
leave any ground visible. Opened as a file of its own, a drawing brings a ground along, light or dark as the reader's
system says. Text stays text: it can be searched, copied and read aloud.
"""

import html
import re
from typing import NamedTuple

# Colour by kind. Middle tones: seen on white and on black, and told apart by people who see few colours.
COLOURS = {
    "plain": "currentColor",
    "qk": "#a55fb5",  # where to look
    "ov": "#d97a0b",  # what to bring
    "mlp": "#2a9d75",
    "stream": "#3b82d0",  # the residual stream, and a clean run
    "other": "#d9482b",  # the other run: corrupted, or subtracted
}
LINE = 19  # from one line of text to the next


class Box(NamedTuple):
    """A place on the drawing, with the points where arrows meet it."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height

    @property
    def left(self) -> tuple[float, float]:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width, self.y + self.height / 2


class Drawing:
    """An SVG picture with a title and a description; a notebook displays it.

    Args:
        description: what the picture says, in words, for those who do not see it.
        width, height: of the sheet. A sheet of 520 is still readable on a phone.
    """

    def __init__(self, title: str, description: str, width: int, height: int):
        self.title, self.description, self.width, self.height = title, description, width, height
        self._shapes: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        kind: str = "plain",
        **look: bool,
    ) -> Box:
        """A rectangle with words in its middle. `faint`: dashed and without a wash; `bare`: no outline."""
        colour, faint = COLOURS[kind], look.get("faint", False)
        wash = 0 if faint else 0.06 if kind == "plain" else 0.18
        outline = "none" if look.get("bare") else colour
        dash = ' stroke-dasharray="4 4"' if faint else ""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{colour}" '
            f'fill-opacity="{wash}" stroke="{outline}" stroke-width="1.5"{dash}/>'
        )
        place = Box(x, y, width, height)
        self.text(*place.middle, text)
        return place

    def circle(self, x: float, y: float, text: str, kind: str = "plain", radius: float = 12) -> Box:
        """A small circle, as for a sum."""
        self._shapes.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{COLOURS[kind]}" fill-opacity="0.15" '
            f'stroke="{COLOURS[kind]}" stroke-width="1.5"/>'
        )
        self.text(x, y, text)
        return Box(x - radius, y - radius, 2 * radius, 2 * radius)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", **look: bool) -> None:
        """Lines of words around the height `y`. `small`, `bold` and `soft` say how they look.

        W_Q and x^T set an index and an exponent, `words in backticks` are code.
        """
        lines = text.split("\n") if text else []
        style = ' font-size="12.5"' if look.get("small") else ""
        style += ' font-weight="600"' if look.get("bold") else ""
        style += ' fill-opacity="0.72"' if look.get("soft") else ""
        step = LINE - 3 if look.get("small") else LINE
        for i, line in enumerate(lines):
            if not line:
                continue
            height = (
                y + (i - (len(lines) - 1) / 2) * step + 5
            )  # the baseline lies below the middle of the letters
            self._shapes.append(
                f'<text x="{x:g}" y="{height:g}" text-anchor="{anchor}"{style}>{_typeset(line)}</text>'
            )

    def line(
        self, *points: tuple[float, float], kind: str = "plain", width: float = 1.5, dashed: bool = False
    ) -> None:
        """A line through points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="{width:g}"{dash}/>'
        )

    def arrow(
        self, *points: tuple[float, float], kind: str = "plain", width: float = 1.5, dashed: bool = False
    ) -> None:
        """A line through points with a head at its end."""
        (x0, y0), (x1, y1) = points[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        along, size = ((x1 - x0) / length, (y1 - y0) / length), 5 + 1.5 * width
        foot = x1 - size * along[0], y1 - size * along[1]
        self.line(*points[:-1], foot, kind=kind, width=width, dashed=dashed)
        across = -along[1] * size * 0.5, along[0] * size * 0.5
        corners = (
            (x1, y1),
            (foot[0] + across[0], foot[1] + across[1]),
            (foot[0] - across[0], foot[1] - across[1]),
        )
        # Drawn, not a <marker>: markers have ids, which clash when a page holds several drawings.
        self._shapes.append(
            f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}" fill="{COLOURS[kind]}"/>'
        )

    def svg(self) -> str:
        """The picture as the text of an SVG file, which can also stand in an HTML page."""
        label = html.escape(f"{self.title}. {self.description}")
        shapes = "\n".join(self._shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="cleanlens-diagram" role="img" aria-label="{label}" '
            f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            'font-family="system-ui, sans-serif" font-size="15" fill="currentColor">\n'
            f"<title>{html.escape(self.title)}</title>\n<desc>{html.escape(self.description)}</desc>\n"
            f"<style>{STYLE}</style>\n{shapes}\n</svg>\n"
        )

    def _repr_html_(self) -> str:
        return f'<div style="text-align:center;margin:1em 0">{self.svg()}</div>'

    def __repr__(self) -> str:
        return f"<{self.title}: {self.description}>"


# `svg:root` is the drawing only where it is a file of its own; in a page the root is <html>, which stays as it is.
STYLE = (
    ".cleanlens-diagram{max-width:100%;height:auto}"
    "svg.cleanlens-diagram:root{color:#1c2330;background:#fff}"
    "@media(prefers-color-scheme:dark){svg.cleanlens-diagram:root{color:#dfe4ec;background:#14181f}}"
)


def _typeset(line: str) -> str:
    """One line of words as SVG: escaped, with code, indices and exponents set."""
    pieces = []
    for i, piece in enumerate(line.split("`")):
        piece = html.escape(piece, quote=False)
        if i % 2:
            piece = f'<tspan font-family="ui-monospace, monospace" font-size="88%">{piece}</tspan>'
        else:
            piece = re.sub(
                r"(?<=[\w)])_(\w+)",
                r'<tspan dy="4" font-size="75%">\1</tspan><tspan dy="-4">&#8203;</tspan>',
                piece,
            )
            piece = re.sub(
                r"\^(\w+)", r'<tspan dy="-6" font-size="75%">\1</tspan><tspan dy="6">&#8203;</tspan>', piece
            )
        pieces.append(piece)
    return "".join(pieces)
