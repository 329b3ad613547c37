"""How Sphinx, MyST-NB and the theme Furo are set up here: pages that ask nothing of the network.

Formulas become MathML, which browsers draw by themselves. This file is also the Sphinx extension that does that.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
Progress = Callable[[str, int, int], None]

CONFIG: dict[str, Any] = {
    "project": "cleanlens",
    "extensions": ["myst_nb", __name__],
    "html_theme": "furo",
    "html_title": "cleanlens",
    "html_static_path": [str(STATIC), "_static"],
    "html_css_files": ["site.css"],
    "html_js_files": ["site.js"],
    "html_math_renderer": "mathml",
    "html_copy_source": False,
    "html_use_index": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # it would ask for pages, which a browser refuses to pages opened as files
    "smartquotes": False,
    "pygments_style": "friendly",
    "pygments_dark_style": "github-dark",
    "highlight_language": "python",
    "myst_enable_extensions": ["dollarmath", "amsmath", "colon_fence"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",  # they come executed
    "nb_output_stderr": "remove",  # progress bars
    "nb_merge_streams": True,
    "nb_ipywidgets_js": {},  # whose scripts lie on other hosts
    "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type"],
    "html_theme_options": {
        "light_css_variables": {"font-stack": "system-ui, sans-serif", "color-brand-content": "#1a56a8"},
        "dark_css_variables": {"color-brand-content": "#8ab4f8", "color-brand-primary": "#8ab4f8"},
    },
}


def generate(
    source: Path, out: Path, state: Path, progress: Progress = lambda what, done, of: None
) -> list[str]:
    """Write the pages of a folder of Markdown and notebooks. What has not changed since is left as it is.

    `state` keeps what Sphinx knows of the last time. `progress` hears what is done: "reading" or "writing", how many
    of how many. Returns the warnings.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    warnings = io.StringIO()
    # The theme's own options are known only once it is loaded, which is why they cannot be given as overrides.
    (source / "conf.py").write_text(
        f"from {__name__} import CONFIG\n\nglobals().update(CONFIG)\n", encoding="utf-8"
    )
    with docutils_namespace():
        app = Sphinx(
            str(source),
            str(source),
            str(out),
            str(state),
            "html",
            status=None,
            warning=warnings,
        )
        count = {"reading": 0, "writing": 0, "of": 0}

        def begins(app: Any, env: Any, names: list[str]) -> None:
            count["of"] = len(names)

        def reads(app: Any, name: str, content: list[str]) -> None:
            count["reading"] += 1
            progress("reading", count["reading"], count["of"])

        def writes(app: Any, name: str, *rest: Any) -> None:
            count["writing"] += 1
            progress("writing", count["writing"], max(count["of"], count["writing"]))

        app.connect("env-before-read-docs", begins)
        app.connect("source-read", reads)
        app.connect("html-page-context", writes)
        app.build()
    plain = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())
    return [line.replace(f"{source}/", "") for line in plain.splitlines() if line.strip()]


# ---------------------------------------------------------------- the extension


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(formula(node.astext()))
    raise SkipNode


def _display(translator: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    translator.body.append(f'<div class="formula">{formula(node.astext(), display=True)}</div>\n')
    raise SkipNode


def formula(latex: str, display: bool = False) -> str:
    """LaTeX as MathML."""
    from latex2mathml.converter import convert

    latex = re.sub(r"\\text\{[^{}]*\}", lambda text: text[0].replace(r"\_", "_"), latex)
    latex = latex.replace(r"\arg", r"\text{arg}\,")  # which the converter does not know
    return convert(latex, display="block" if display else "inline")
