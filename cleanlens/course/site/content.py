"""What the generator reads: executed notebooks and Markdown, made from the course and the library."""

import html
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import reference
from ..catalog import ChapterEntry, Entry
from ..sources import ID

PACKAGE = Path(__file__).parents[2]
SCRIPTS = (
    '<script src="../_static/plotly.min.js"></script>\n<script src="../_static/circuitsvis.js"></script>'
)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


class Content:
    """The site's pages as text, by the name of their file.

    `books` are the chapters that were run: id -> notebook with outputs. Without `solutions` nothing is on the pages that
    gives an answer away: no solution, no list of mistakes, no verdict.
    """

    def __init__(
        self, root: Path, chapters: list[ChapterEntry], books: Mapping[str, Any], solutions: bool = True
    ):
        self.root, self.books, self.solutions = root, books, solutions
        self.chapters = [chapter for chapter in chapters if chapter.id in books]
        self.library = reference.Library(self.chapters, root if solutions else None)
        self.cards = sorted((PACKAGE / "models").glob("*/README.md"))
        others = ("GLOSSARY.md", "MISTAKES.md")
        self.guides = [path for path in sorted((root / "chapters").glob("*.md")) if path.name not in others]
        self.numbers = itertools.count(1)  # of a chapter's figures
        self.assets: dict[str, Path] = {}  # file of the site -> the picture that it is
        self.places = dict(self._places())

    def _places(self) -> Iterator[tuple[str, str]]:
        """File of the repository -> page that shows it."""
        yield "README.md", "index.md"
        for chapter in self.chapters:
            yield chapter.notebook, chapter.notebook
            yield chapter.text, chapter.notebook
        yield "chapters/GLOSSARY.md", "glossary.md"
        if self.solutions:
            yield "chapters/MISTAKES.md", "mistakes/index.md"
        for file in self.library.files:
            yield f"cleanlens/{file}", f"reference/{reference.page_name(file)}.md"
        for path in self.cards:
            yield f"cleanlens/models/{path.parent.name}/README.md", f"models/{path.parent.name}.md"
        if self.solutions:
            for path in self.guides:
                yield f"chapters/{path.name}", f"teaching/{path.stem.lower()}.md"

    def files(self) -> Iterator[tuple[str, str]]:
        """Name and text of every file for the generator, the contents first."""
        yield "index.md", self.index()
        for chapter in self.chapters:
            yield chapter.notebook, self.chapter(chapter, self.books[chapter.id])
        text = (self.root / "chapters" / "GLOSSARY.md").read_text(encoding="utf-8")
        yield "glossary.md", self.linked(text, "chapters", "glossary.md")
        for name, text in self.library.pages():
            yield f"reference/{name}.md", text
        if self.solutions:
            yield from self.mistakes()
        for path in self.cards:
            text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.S)
            name = f"models/{path.parent.name}.md"
            yield name, self.linked(text, f"cleanlens/models/{path.parent.name}", name)
        if self.solutions:
            for path in self.guides:
                name = f"teaching/{path.stem.lower()}.md"
                yield name, self.linked(path.read_text(encoding="utf-8"), "chapters", name)

    # ---------------------------------------------------------------- the contents

    def index(self) -> str:
        cards = []
        for chapter in self.chapters:
            minutes = sum(entry.details["minutes"] for entry in chapter.exercises)
            titles = "; ".join(html.escape(entry.title) for entry in chapter.exercises)
            cards.append(
                f'<section class="card"><h3><a href="chapters/{chapter.id}_{chapter.slug}.html">{chapter.id} '
                f"{html.escape(chapter.title)}</a></h3><p>{len(chapter.exercises)} exercises, about {_time(minutes)}</p>"
                f"<p>{titles}.</p></section>"
            )
        shown = "with every exercise solved" if self.solutions else "without the answers"
        blocks = [
            "# cleanlens\n",
            "A hooked transformer that you can read in an afternoon, and a course that knows which mistake you made.\n",
            "## The course\n",
            f"The chapters as they run, {shown}, to read; the notebooks are where to write your own answers, and have "
            "them checked.\n",
            '<div class="cards">',
            *cards,
            "</div>\n",
            "The words of the course stand in the [glossary](glossary.md).\n",
            "## The library\n",
            f"[Reading the source](reference/index.md) is the library as {len(self.library.files)} pages: what each part "
            "says on the left, its code on the right, with the shapes of a real run and the exercise that rebuilds it. "
            "[Hook points and axes](reference/hooks.md) are on one page. The models that the course studies: "
            + ", ".join(f"[{path.parent.name}](models/{path.parent.name}.md)" for path in self.cards)
            + ".\n",
        ]
        toctrees = [
            _toctree(
                "The course",
                [*(chapter.notebook.removesuffix(".ipynb") for chapter in self.chapters), "glossary"],
            ),
            _toctree(
                "The library", ["reference/index", *(f"models/{path.parent.name}" for path in self.cards)]
            ),
        ]
        if self.solutions:
            blocks.append(
                "For teachers: [the mistakes that the checks name](mistakes/index.md), which give answers away"
                + "".join(
                    f"; [{_title(path).lower()}](teaching/{path.stem.lower()}.md)" for path in self.guides
                )
                + ".\n"
            )
            pages = ["mistakes/index", *(f"teaching/{path.stem.lower()}" for path in self.guides)]
            toctrees.append(_toctree("For teachers", pages))
        return "\n".join(blocks + toctrees)

    # ---------------------------------------------------------------- a chapter

    def chapter(self, chapter: ChapterEntry, book: Any) -> str:
        """A chapter that was run, as the notebook that the generator shows."""
        import nbformat

        exercises = {entry.id: entry for entry in chapter.exercises}
        self.numbers = itertools.count(1)
        v4 = nbformat.v4
        cells = [v4.new_markdown_cell(SCRIPTS)]
        for cell in book.cells:
            entry = exercises.get(cell.metadata.get("exercise", ""))
            if cell.cell_type == "markdown":
                text = self.linked(cell.source, "chapters", chapter.notebook)
                new = v4.new_markdown_cell(text, metadata=cell.metadata)
            elif entry is not None:
                new = v4.new_markdown_cell(self.exercise(entry, cell.source))
            elif not cell.source.strip() or "test" in cell.metadata.get("tags", []):
                continue
            else:
                outputs = [self.output(output, chapter) for output in cell.get("outputs", [])]
                if not self.solutions and re.search(r"^check\(", cell.source, re.M):
                    outputs = []  # the verdict on an answer that is not shown
                new = v4.new_code_cell(cell.source, outputs=outputs, metadata=cell.metadata)
            cells.append(new)
        # The scripts stand behind the title: a page's first words are its name.
        if len(cells) > 1 and cells[1].cell_type == "markdown":
            title, _, rest = cells[1].source.partition("\n")
            cells[:2] = [v4.new_markdown_cell(f"{title}\n\n{SCRIPTS}\n\n{rest}")]
        for i, cell in enumerate(cells):
            cell["id"] = f"cell-{i}"  # the same text every time, so that nothing looks changed
        return nbformat.writes(v4.new_notebook(cells=cells, metadata=book.metadata))

    def exercise(self, entry: Entry, answer: str) -> str:
        """An exercise's card: what it asks, and the answer to unfold. The empty lines end HTML and begin Markdown."""
        card = f'<div class="exercise" id="exercise-{entry.id}">\n\n{entry.details["objective"]}\n\n'
        if not self.solutions:
            return card + "</div>"
        return (
            f"{card}<details><summary>Show the solution</summary>\n\n```python\n{answer.strip()}\n```\n\n"
            f"{entry.details['why']}\n\n</details></div>"
        )

    def output(self, output: Any, chapter: ChapterEntry) -> Any:
        """An output in the form that the page draws: figures as HTML without their scripts, which the page has."""
        import nbformat
        import plotly.graph_objects as go

        from cleanlens import plots

        data = output.get("data", {})
        text = data.get("text/html")
        if figure := data.get("application/vnd.plotly.v1+json"):
            text = plots.to_html(go.Figure(data=figure["data"], layout=figure["layout"]))
            # Not a random name, which would make an unchanged page look changed.
            text = UUID.sub(f"plot-{chapter.id}-{next(self.numbers)}", text)
        elif text is not None:
            text = re.sub(r'<script class="cleanlens-script">.*?</script>', "", text, flags=re.S)
            text = f'<div class="wide">{text}</div>'
        elif "text/markdown" in data:
            text = None
            data = data | {"text/markdown": self.linked(data["text/markdown"], "chapters", chapter.notebook)}
            return nbformat.from_dict(output | {"data": data})
        if text is None:
            return output
        return nbformat.v4.new_output("display_data", data={"text/html": text})

    # ---------------------------------------------------------------- other pages

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """The table of mistakes, a page for each chapter."""
        text = (self.root / "chapters" / "MISTAKES.md").read_text(encoding="utf-8")
        introduction, *parts = re.split(r"^## ", text, flags=re.M)
        shown = [(part.split()[0], part) for part in parts]
        shown = [(id, part) for id, part in shown if id in {chapter.id for chapter in self.chapters}]
        contents = [introduction.strip() + "\n"]
        for id, part in shown:
            n_rows = len(re.findall(r"^\| (?!mistake \|)", part, re.M))
            contents.append(f"- [{part.splitlines()[0]}]({id}.md): {n_rows} mistakes")
        yield "mistakes/index.md", "\n".join([*contents, "", _toctree("", [id for id, _ in shown])])
        for id, part in shown:
            name = f"mistakes/{id}.md"
            title, _, rest = part.partition("\n")
            body = re.sub(rf"^### ({ID} )", r"## \1", rest, flags=re.M).strip()
            text = f'# Mistakes: {title}\n\n<div class="mistakes">\n\n{body}\n\n</div>\n'
            yield name, self.linked(text, "chapters", name)

    def linked(self, text: str, folder: str, page: str) -> str:
        """Markdown of a file in `folder` of the repository as it reads on `page`: links lead to pages of the site.

        What has no page is no link; pictures are copied.
        """

        def link(match: re.Match) -> str:
            picture, words, target = match.groups()
            if re.match(r"[a-z]+:|#", target):
                return match[0]
            path, hash_, anchor = target.partition("#")
            path = posixpath.normpath(posixpath.join(folder, path))
            file = self.root / path
            if picture:
                if not file.is_file():
                    return words
                self.assets[path] = file
                place = path
            elif path in self.places:
                place = self.places[path]
            else:
                return words
            return f"{picture}[{words}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{hash_}{anchor})"

        pieces = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)
        pieces[::2] = [LINK.sub(link, piece) for piece in pieces[::2]]
        return "".join(pieces)


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _toctree(caption: str, names: Iterable[str]) -> str:
    head = f":caption: {caption}\n" if caption else ""
    return f"```{{toctree}}\n:hidden:\n{head}\n" + "\n".join(names) + "\n```\n"


def _time(minutes: int) -> str:
    return f"{round(minutes, -1)} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"
