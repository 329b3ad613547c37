"""The course as pages to read: `cleanlens site` runs the solved chapters and writes a folder of static HTML.

The pages ask nothing of the network: formulas become MathML, and the scripts that draw the figures lie beside
the pages. Put the folder on any web server, or open its index.html.
"""

import html
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from . import build
from .catalog import ChapterEntry, Entry, outline

# ---------------------------------------------------------------- running a chapter


def executed(
    chapter: ChapterEntry,
    root: Path,
    solved: bool = True,
    timeout: int = 600,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Any:
    """A chapter's notebook, run from top to bottom without a network in a folder of its own.

    `solved` fills the answers in. `progress` hears how many of how many cells are done. Raises
    nbclient.exceptions.CellExecutionError with the cell and its traceback when a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(build.notebook(chapter, root, solved), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "exercises").mkdir()
        (Path(folder) / "chapters").mkdir()
        (Path(folder) / chapter.answers).write_text(build.stub_file(chapter, root), encoding="utf-8")
        client = NotebookClient(
            book,
            timeout=timeout,
            extra_arguments=["--log-level=ERROR"],  # not a word about how this process talks to its kernel
            resources={"metadata": {"path": f"{folder}/chapters"}},
            on_cell_complete=lambda cell, cell_index: progress(cell_index + 1, len(book.cells)),
        )
        environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CLEANLENS_COURSE": folder}
        client.execute(env=os.environ | environment)
    return book


# ---------------------------------------------------------------- from text to HTML


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    md = MarkdownIt("commonmark", {"html": True, "highlight": lambda code, lang, attrs: _code(code, lang)})
    return md.enable(["table", "strikethrough"]).use(dollarmath_plugin, renderer=_formula, double_inline=True)


def _formula(latex: str, options: dict[str, Any]) -> str:
    """LaTeX as MathML, which browsers draw by themselves."""
    from latex2mathml.converter import convert

    latex = re.sub(r"\\text\{[^{}]*\}", lambda text: text[0].replace(r"\_", "_"), latex)
    return convert(latex, display="block" if options.get("display_mode") else "inline")


def _code(code: str, language: str = "python") -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def rendered(markdown: str) -> str:
    """Markdown as HTML: formulas as MathML, links from notebook to notebook as links from page to page."""
    text = _markdown().render(markdown)
    text = re.sub(r'href="(?:chapters/)?(\d\d_\w+)\.(?:ipynb|py)"', r'href="\1.html"', text)
    text = re.sub(r'href="(?:chapters/)?MISTAKES\.md"', 'href="mistakes.html"', text)
    return text.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def _source(cell: Any, exercises: dict[str, Entry]) -> str:
    code = f'<pre class="code">{_code(cell.source)}</pre>'
    entry = exercises.get(cell.metadata.get("exercise", ""))
    if entry is None:
        return code
    about = f"Exercise {entry.id}: {html.escape(entry.title)}"
    goal = html.escape(entry.details["objective"])
    return (
        f'<section class="exercise"><p><b>{about}</b><br>{goal}</p>'
        f"<details><summary>Show the solution</summary>{code}<p>{rendered(entry.details['why'])}</p></details></section>"
    )


def _output(output: Any) -> str:
    """One output of a cell; of several forms the richest that a page can show."""
    import plotly.graph_objects as go

    from cleanlens import plots

    if output.output_type == "stream":
        return f"<pre>{html.escape(output.text)}</pre>"
    data = output.get("data", {})
    if figure := data.get("application/vnd.plotly.v1+json"):
        return plots.to_html(go.Figure(data=figure["data"], layout=figure["layout"]))
    if "text/html" in data:  # a view brings a script that the page has already
        page = re.sub(r'<script class="cleanlens-script">.*?</script>', "", data["text/html"], flags=re.S)
        return f'<div class="wide">{page}</div>'
    if "text/markdown" in data:
        return rendered(data["text/markdown"])
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{data["image/png"]}">'
    return f"<pre>{html.escape(data.get('text/plain', ''))}</pre>"


def chapter_body(chapter: ChapterEntry, book: Any) -> str:
    """A chapter that was run, as the body of a page."""
    exercises = {entry.id: entry for entry in chapter.exercises}
    blocks = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            blocks.append(rendered(cell.source))
        elif cell.source.strip():
            blocks.append(_source(cell, exercises))
            shown = [_output(output) for output in cell.get("outputs", []) if output.get("name") != "stderr"]
            blocks += [f'<div class="output">{output}</div>' for output in shown]  # stderr: progress bars
    return "\n".join(blocks)


# ---------------------------------------------------------------- the pages


def page(title: str, body: str, before: str = "", after: str = "") -> str:
    """A whole page; `before` and `after` are links to its neighbours."""
    links = '<a href="index.html">Contents</a>'
    return PAGE.format(
        title=html.escape(title), body=body, links=f"<nav>{before}{links}{after}</nav>", style=_style()
    )


def _style() -> str:
    """Light or dark, as the reader's system says; figures keep the light ground that they are drawn on."""
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=name).get_style_defs("pre") for name in ("friendly", "github-dark"))
    themes = f":root {{ color-scheme: light dark; {LIGHT} }} {light}"
    themes += f"@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} {dark} }}"
    return themes + STYLE


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · cleanlens</title>
<link rel="icon" href="data:,">
<style>{style}</style>
<script src="scripts/plotly.min.js"></script>
<script src="scripts/circuitsvis.js"></script>
</head><body>{links}<main>
{body}
</main>{links}</body></html>
"""
LIGHT = "--ink: #1c2330; --soft: #444f60; --ground: #fff; --code: #f4f6f9; --rule: #d8dde6; --link: #1a56a8;"
DARK = (
    "--ink: #dfe4ec; --soft: #a9b3c2; --ground: #14181f; --code: #1d232d; --rule: #384252; --link: #8ab4f8;"
)
STYLE = """
body { font: 17px/1.6 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0; overflow-wrap: break-word; }
main, nav { max-width: 52rem; margin: 0 auto; padding: 0 1rem; }
main { padding-bottom: 2rem; overflow-x: auto; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding-top: 1rem; padding-bottom: 1rem; font-size: .95rem; }
a { color: var(--link); } a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
h1 { line-height: 1.2; margin: .6rem 0 1rem; }
h2 { margin-top: 2.8rem; border-top: 1px solid var(--rule); padding-top: 1.2rem; line-height: 1.25; }
h3 { margin-top: 2rem; }
pre, .wide, math[display="block"], .cleanlens-plot { overflow-x: auto; }
pre { background: var(--code); padding: .8rem 1rem; border-radius: 5px; font-size: .86rem; line-height: 1.45; }
pre.code { border-left: 3px solid var(--rule); }
code { font-size: .9em; background: var(--code); padding: .1em .25em; border-radius: 3px; } pre code { padding: 0; font-size: 1em; }
.output { margin: .6rem 0 1.4rem; } .output pre { background: var(--ground); border: 1px solid var(--rule); }
.cleanlens-plot { background: #fff; color: #1c2330; border-radius: 5px; }
table { border-collapse: collapse; font-size: .92rem; margin: .8rem 0; overflow-wrap: normal; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
td:nth-child(4):last-child { min-width: 15rem; }
.exercise { border: 1px solid var(--rule); border-left: 5px solid var(--link); border-radius: 5px; padding: .2rem 1rem; margin: 1.4rem 0; }
summary { cursor: pointer; padding: .5rem 0; color: var(--link); }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid var(--rule); color: var(--soft); }
math[display="block"] { display: block math; padding: .4rem 0; max-width: 100%; overflow-y: hidden; }
.chapter { border: 1px solid var(--rule); border-radius: 6px; padding: .2rem 1.1rem .8rem; margin: 1rem 0; }
.chapter h2 { border: 0; margin: 0; padding-top: .6rem; } .chapter p { margin: .3rem 0; color: var(--soft); }
img { max-width: 100%; }
"""


def index_body(chapters: list[ChapterEntry]) -> str:
    """The table of contents."""
    blocks = []
    for chapter in chapters:
        minutes = sum(entry.details["minutes"] for entry in chapter.exercises)
        titles = "; ".join(html.escape(entry.title) for entry in chapter.exercises)
        blocks.append(
            f'<section class="chapter"><h2><a href="{_file(chapter)}">{chapter.id} {html.escape(chapter.title)}</a></h2>'
            f"<p>{len(chapter.exercises)} exercises, about {_time(minutes)}</p><p>{titles}.</p></section>"
        )
    return (
        "<h1>cleanlens</h1><p>A hooked transformer that you can read in an afternoon, and a course that knows which "
        "mistake you made. These pages are the chapters as they run with every exercise solved, to read; the "
        "notebooks are where to write your own answers, and have them checked.</p>"
        + "\n".join(blocks)
        + '<p>For teachers: <a href="mistakes.html">the mistakes that the checks name</a> (it gives answers away) '
        'and <a href="models.html">the models that the course studies</a>.</p>'
    )


def models_body() -> str:
    """The cards of the models that come with the package."""
    folder = Path(__file__).parents[1] / "models"
    cards = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/README.md"))]
    return "\n".join(rendered(re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.S)) for card in cards)


def _file(chapter: ChapterEntry) -> str:
    return f"{chapter.id}_{chapter.slug}.html"


def _time(minutes: int) -> str:
    return f"{minutes} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"


def _link(chapter: ChapterEntry, arrow: str) -> str:
    return f'<a href="{_file(chapter)}">{arrow} {chapter.id} {html.escape(chapter.title)}</a>'


def pages(
    root: Path, chapters: list[ChapterEntry], progress: Callable[[ChapterEntry, int, int], None]
) -> Iterator[tuple[str, str]]:
    """Name and text of every page: the contents, the mistakes, the models, then each chapter once it has run."""
    yield "index.html", page("The course", index_body(chapters))
    mistakes = (root / "chapters" / "MISTAKES.md").read_text(encoding="utf-8")
    yield "mistakes.html", page("Mistakes", rendered(mistakes))
    yield "models.html", page("Models", models_body())
    for i, chapter in enumerate(chapters):

        def hears(done: int, of: int, chapter: ChapterEntry = chapter) -> None:
            progress(chapter, done, of)

        body = chapter_body(chapter, executed(chapter, root, progress=hears))
        before = _link(chapters[i - 1], "←") if i else ""
        after = _link(chapters[i + 1], "→") if i + 1 < len(chapters) else ""
        yield _file(chapter), page(f"{chapter.id} {chapter.title}", body, before, after)


def run(out: Path | None = None, only: str = "") -> int:
    """Write the course to `out` (default: the folder site). 0 when every chapter ran, 1 when one failed.

    `only` is the id of a chapter to write alone.
    """
    from nbclient.exceptions import CellExecutionError

    from cleanlens import plots

    console, out = Console(), Path("site") if out is None else out
    here = Path(__file__)
    root = next((f for f in (here.parents[2], here.parent / "data") if (f / "solutions").is_dir()), None)
    if root is None:
        console.print("This installation has no solutions to run; use a checkout of cleanlens.", style="red")
        return 2
    chapters = [c for c in outline() if (root / c.text).exists() and c.id in (only or c.id)]
    (out / "scripts").mkdir(parents=True, exist_ok=True)
    for name, source in plots.scripts().items():
        (out / "scripts" / name).write_text(source, encoding="utf-8")
    columns = BarColumn(20), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("the contents")

        def hears(chapter: ChapterEntry, done: int, of: int) -> None:
            bar.update(task, description=f"{chapter.id} {chapter.title}", completed=done, total=of)

        try:
            for name, text in pages(root, chapters, hears):
                (out / name).write_text(text, encoding="utf-8")
        except CellExecutionError as error:
            console.print(f"A chapter did not run through:\n{error}", markup=False, highlight=False)
            return 1
    console.print(f"{len(chapters)} chapters are in {out}; open {out / 'index.html'}.", highlight=False)
    return 0
