"""`cleanlens class ...`. Imported with the command line, so it imports nothing heavy before a command runs."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="For teachers: a handout, the submissions graded sealed, and what the class has understood.",
    epilog="Examples: cleanlens class new handout --chapters 00,01,03 · cleanlens class grade submissions --out report",
    no_args_is_help=True,
)

Chapters = Annotated[
    str, typer.Option("--chapters", metavar="00-03", help="Which: 00-03, or 00,01,03. Default: all.")
]
Title = Annotated[str, typer.Option("--title", help="What the class is called, on its pages.")]


def chapters_of(text: str) -> list[Any]:
    """The exercises that `00-03,05` means. Raises the command line's Problem for what is no chapter."""
    from ..catalog import outline
    from ..cli import Problem

    known, wanted = {chapter.id: chapter for chapter in outline()}, list[str]()
    order = [*known]  # the prerequisites, "pre", come first
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = [first.zfill(2), (last if dash else first).zfill(2)]
        if any(end not in known for end in ends) or order.index(ends[0]) > order.index(ends[1]):
            raise Problem(
                f"--chapters takes 00-03 or 00,01,03; {part!r} is none. There are {', '.join(known)}."
            )
        wanted += order[order.index(ends[0]) : order.index(ends[1]) + 1]
    return [e for id, chapter in known.items() if not text or id in wanted for e in chapter.exercises]


@app.command(
    epilog="Examples: cleanlens class grade submissions --out report --chapters 00-03 --roster class.csv"
)
def grade(
    submissions: Annotated[
        Path,
        typer.Argument(
            metavar="SUBMISSIONS",
            help="A folder (or zip): for each learner a folder, a checkout, a zip, a .py or .ipynb; or a download of "
            "Gradescope or Moodle.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="REPORT", help="The folder for the report.")],
    chapters: Chapters = "",
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="CSV", help="Who belongs to the class: name, id, email."),
    ] = None,
    title: Title = "",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Processes at once. Default: one for each core.")
    ] = 0,
    scheduler: Annotated[
        str,
        typer.Option("--scheduler", metavar="tcp://HOST:8786", help="A Dask cluster's, to grade there."),
    ] = "",
    shard: Annotated[str, typer.Option("--shard", metavar="3/10", help="Only this part of the class.")] = "",
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, help="For one submission. Default: by its chapters.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Of the inputs; shards need one in common. Default: a secret one."),
    ] = None,
    unsealed: Annotated[
        bool,
        typer.Option("--unsealed", help="Run submissions with your own rights. Only for code you trust."),
    ] = False,
) -> None:
    """Grade a class: each submission in a sealed process, then a page with what the class has understood.

    Killed or interrupted, it goes on where it was when started again with the same --out; only what changed is
    graded anew. REPORT/index.html is the class page, REPORT/students/ has a page for each learner. A submission runs
    sealed (Linux, with bubblewrap or Landlock): without network, and without a sight of your files or of what its
    answers are compared with. Where that is not to be had, nothing is graded unless you say --unsealed.
    """
    from .. import cli, seal
    from . import grade as grading
    from .submissions import find

    try:
        if not unsealed and not scheduler and not seal.abilities().any:
            raise cli.Problem(
                f"The submissions cannot be sealed here: bubblewrap: {seal.abilities().why}; and the system has no "
                "Landlock. Grade on Linux with bubblewrap, or give --unsealed to run them with your own rights: they "
                "could then read and change your files. `cleanlens doctor` says what this machine offers."
            )
        chosen, found = chapters_of(chapters), find(submissions)
        if roster is not None and not roster.is_file():
            raise cli.Problem(f"--roster: there is no file {roster}.")
        mine = grading.shard_of(found, shard) if shard else found
        run = grading.Run.begin(out, chosen, seed, shard)
        with run.alone():
            tasks = run.tasks(mine, roster)
            failed = _graded(run, tasks, not unsealed, seconds, jobs, scheduler)
            _report(run, title, failed)
    except (grading.Problem, ValueError, FileNotFoundError) as error:
        raise cli.Problem(str(error)) from None
    sys.exit(1 if failed else 0)


def _graded(
    run: Any, tasks: list[Any], sealed: bool, seconds: float | None, jobs: int, scheduler: str
) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from .. import cli
    from . import grade as grading

    kept = len({s.key for s in run.students if s.key}) - len(tasks)
    if kept:
        cli.say(f"{kept} {'has' if kept == 1 else 'have'} been graded already and did not change.")
    columns = (
        TextColumn("graded"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("about"),
        TimeRemainingColumn(),
        TextColumn("left {task.fields[last]}", markup=False),
    )
    console = Console(stderr=True, no_color=True if cli.settings["plain"] else None)
    with Progress(*columns, console=console, speed_estimate_period=600) as bar:
        shown = bar.add_task("", total=len(tasks), last="")

        def step(one: grading.Task, why: str) -> None:
            bar.update(shown, advance=1, last=one.label[:30])
            if why:
                bar.console.print(f"{one.label}: {why}", markup=False, highlight=False, soft_wrap=True)

        return grading.grade_class(run, tasks, sealed, seconds, jobs or None, scheduler, step)


def _report(run: Any, title: str, failed: dict[str, str] | None = None) -> None:
    from .. import cli
    from .outcome import Outcome, summary
    from .pages import write_report

    outcome = Outcome(run, title, failed)
    page = write_report(outcome, run.out)
    cli.say(summary(outcome) + ".")
    cli.say(f"The class page: {page}", wrap=False)
    if outcome.graded and not outcome.sealed:
        cli.warn("Not every submission ran sealed; the class page says so.")


@app.command(epilog="Example: cleanlens class merge shard-1 shard-2 shard-3 --out report")
def merge(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT...", help="The shards' folders.")],
    out: Annotated[Path, typer.Option("--out", metavar="REPORT", help="The folder for the whole report.")],
    roster: Annotated[
        Path | None, typer.Option("--roster", metavar="CSV", help="To say who handed in nothing.")
    ] = None,
    title: Title = "",
) -> None:
    """Put the reports of shards together, as if the class had been graded at once."""
    from .. import cli
    from . import grade as grading

    try:
        run = grading.merged(reports, out, roster)
        _report(run, title)
    except (grading.Problem, ValueError, OSError) as error:
        raise cli.Problem(str(error)) from None


@app.command(epilog='Example: cleanlens class new circuits --chapters 00,01,03 --title "A day of circuits"')
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    chapters: Chapters = "",
    title: Title = "",
    repo: Annotated[
        str,
        typer.Option(
            "--repo", metavar="URL", help="Where it will be: for Colab, Binder and nbgitpuller links."
        ),
    ] = "",
    hub: Annotated[str, typer.Option("--hub", metavar="URL", help="Your JupyterHub: for nbgitpuller.")] = "",
    package: Annotated[
        str, typer.Option("--package", metavar="SPEC", help="What pip installs. Default: this version.")
    ] = "",
) -> None:
    """Make what a class is given: stubs, notebooks, requirements, and files for Colab, Codespaces, Binder, GitHub.

    No solution is in it. DIR-gradescope.zip beside it is an autograder for Gradescope, with bubblewrap.
    """
    from .. import cli
    from .handout import write_handout

    ids = dict.fromkeys(entry.chapter.id for entry in chapters_of(chapters))
    try:
        made = write_handout(folder.resolve(), ids, title, repo, hub, package)
    except FileExistsError as error:
        raise cli.Problem(str(error)) from None
    cli.say(f"{len(made) - 1} files in {folder}; the autograder is {made[-1].name}.", wrap=False)
    cli.say("Put the folder into a repository, or zip it. README.md in it is for the participants.")


@app.command(epilog="Example: cleanlens class slides talk --chapters 03")
def slides(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")],
    chapters: Chapters = "",
    reveal: Annotated[
        str,
        typer.Option("--reveal", metavar="URL", help="A copy of reveal.js, to show them without a network."),
    ] = "",
) -> None:
    """Make slides of the chapters, with stubs where the exercises are: to be shown in a browser."""
    from importlib.util import find_spec

    from .. import cli

    if find_spec("nbconvert") is None:
        raise cli.Problem("This needs nbconvert, which comes with JupyterLab: pip install nbconvert")
    from .slides import write_slides

    ids = dict.fromkeys(entry.chapter.id for entry in chapters_of(chapters))
    for path in write_slides(folder, ids, reveal):
        cli.say(str(path), wrap=False)
