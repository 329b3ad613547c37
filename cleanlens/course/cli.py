"""The `cleanlens` command. Nothing here imports torch before a check needs it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from . import report
from .answers import Answers, find_root
from .catalog import Entry, entries, outline
from .result import Result, Status

app = typer.Typer(
    help="Rebuild a transformer, take it apart, and be told which mistake you made.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Which = Annotated[
    str | None, typer.Argument(help="An exercise (00.1, build_vocab) or a chapter (00, tokens).")
]
Root = Annotated[Path | None, typer.Option("--dir", help="Your copy of the course, if you are not in it.")]
COLOURS = {Status.RIGHT: "green", Status.WRONG: "red", Status.ERROR: "red", Status.NOT_ATTEMPTED: "dim"}


class Problem(Exception):
    """Something to tell the user in one sentence, without a traceback."""


def main() -> None:
    """The entry point."""
    try:
        app()
    except Problem as problem:
        Console(stderr=True).print(escape(str(problem)), style="red", highlight=False)
        sys.exit(2)


def chosen(which: str | None) -> list[Entry]:
    try:
        return entries(which)
    except KeyError as error:
        raise Problem(error.args[0]) from None


def folder(root: Path | None) -> Path:
    try:
        return root.resolve() if root else find_root()
    except FileNotFoundError as error:
        raise Problem(str(error)) from None


@app.command()
def check(which: Which = None, root: Root = None) -> None:
    """Check one exercise, a chapter, or everything. The exit status is 1 when an attempted answer is not right."""
    from .runner import grade

    console, results = Console(), []
    selected = chosen(which)
    for result in grade(selected, folder(root)):
        results.append(result)
        if len(selected) > 3 and result.status is Status.NOT_ATTEMPTED:
            continue
        show(console, result)
    if len(results) > 1:
        summary(console, results)
    sys.exit(any(r.status in (Status.WRONG, Status.ERROR) for r in results))


def show(console: Console, result: Result) -> None:
    first, *rest = report.text(result).splitlines()
    console.print(first, style=f"bold {COLOURS[result.status]}", highlight=False, markup=False)
    for line in rest:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def summary(console: Console, results: list[Result]) -> None:
    counts = [(status, sum(r.status is status for r in results)) for status in Status]
    console.print(", ".join(f"{n} {report.WORDS[status]}" for status, n in counts if n), highlight=False)


@app.command()
def hint(
    which: str, level: Annotated[int, typer.Option(help="1 points, the last nearly tells.")] = 1
) -> None:
    """Show a hint."""
    for entry in chosen(which)[:1]:
        try:
            Console().print(report.hint_text(entry, level), highlight=False, markup=False)
        except ValueError as error:
            raise Problem(str(error)) from None


@app.command()
def solution(which: str, root: Root = None) -> None:
    """Show a solution, and why it is so."""
    from .solution import solution_text

    console = Console()
    for entry in chosen(which)[:1]:
        try:
            text = solution_text(entry, folder(root))
        except FileNotFoundError as error:
            raise Problem(str(error)) from None
        console.print(Syntax(text, "python", background_color="default") if console.is_terminal else text)
        console.print(f"\nWhy: {entry.details['why']}", highlight=False, markup=False)


@app.command("list")
def list_exercises(which: Which = None, root: Root = None) -> None:
    """List the exercises: what they ask for, how hard they are, and which you have begun."""
    console = Console()
    place = folder(root)
    selected = {entry.id for entry in chosen(which)}
    for chapter in outline():
        here = [entry for entry in chapter.exercises if entry.id in selected]
        if not here:
            continue
        answers = Answers.read(chapter, place)
        table = Table(
            "",
            "exercise",
            "write",
            "minutes",
            "difficulty",
            "importance",
            title=f"{chapter.id} {chapter.title}",
        )
        for entry in here:
            begun = "begun" if answers.of(entry).origin else ""
            numbers = [str(entry.details[key]) for key in ("minutes", "difficulty", "importance")]
            table.add_row(entry.id, f"{entry.title} [dim]{begun}[/dim]", ", ".join(entry.names), *numbers)
        console.print(table)


@app.command()
def tour(out: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None) -> None:
    """See what cleanlens does, in a minute, offline; writes a page with the figures."""
    from . import tour as tour_module  # written against the library, imported only here

    sys.exit(tour_module.run(out))


if __name__ == "__main__":
    main()
