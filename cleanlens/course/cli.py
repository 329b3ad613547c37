"""The `cleanlens` command. Nothing here imports torch before a check needs it."""

import bdb
import difflib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from . import progress, report, workspace
from .answers import Answers, find_root
from .catalog import ChapterEntry, Entry, entries, outline
from .classroom import commands as classroom
from .position import efforts, following, here, in_turn, introduce
from .result import Result, Status
from .terminal import COLOURS, SIGNS, WORDS, say, say_wrapped, settings, show, summary, warn

app = typer.Typer(
    help="Rebuild a transformer, take it apart, and be told which mistake you made.",
    epilog="Examples: cleanlens init my-course · cleanlens check 00.1 · cleanlens watch · cleanlens hint 00.1",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(classroom.app, name="class")


def complete_exercise(incomplete: str) -> list[tuple[str, str]]:
    """For the shell: the exercises whose id begins like this, with their titles."""
    return [(entry.id, entry.title) for entry in entries() if entry.id.startswith(incomplete)]


def complete_any(incomplete: str) -> list[tuple[str, str]]:
    """The chapters as well."""
    chapters = [(chapter.id, chapter.title) for chapter in outline() if chapter.id.startswith(incomplete)]
    return chapters + complete_exercise(incomplete)


Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="An exercise (00.1, build_vocab) or a chapter (00, tokens).",
        autocompletion=complete_any,
    ),
]
Several = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...",
        help="Exercises (00.1, build_vocab) or chapters (00, tokens).",
        autocompletion=complete_any,
    ),
]
One = Annotated[
    str,
    typer.Argument(metavar="ID", help="An exercise: 00.1, or build_vocab.", autocompletion=complete_exercise),
]
Root = Annotated[Path | None, typer.Option("--dir", help="Your copy of the course, if you are not in it.")]
COMPLETING = "_CLEANLENS_COMPLETE"  # set by a shell that asks what could come next; it gives no arguments


class Problem(Exception):
    """Something to tell the user in one sentence, without a traceback."""


def main() -> None:
    """The entry point. Exit statuses: 0 fine, 1 an answer is not right, 2 a problem, 130 interrupted."""
    if "--plain" in sys.argv[2:]:  # it may stand anywhere
        sys.argv = [sys.argv[0], "--plain", *(a for a in sys.argv[1:] if a != "--plain")]
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that what we started is ended as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        if len(sys.argv) > 1 or COMPLETING in os.environ:
            app(prog_name="cleanlens")
        else:
            status()  # without typer's machinery, for speed
    except Problem as problem:
        Console(stderr=True).print(escape(str(problem)), style="red", highlight=False, soft_wrap=True)
        sys.exit(2)
    except progress.Newer as newer:
        Console(stderr=True).print(escape(str(newer)), style="red", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `cleanlens list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        Console(stderr=True).print(
            escape(f"{error.filename or 'a file'}: {error.strerror or error}."), style="red", highlight=False
        )
        sys.exit(2)


@app.callback()
def start(
    context: typer.Context,
    plain: Annotated[bool, typer.Option("--plain", help="No colour, ASCII only.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    root: Root = None,
) -> None:
    """Without a command: where you are, and what is next."""
    settings["plain"] = plain
    if version:
        from cleanlens import __version__

        say(f"cleanlens {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        status(root)


# ---- finding things -----------------------------------------------------------------------------------


def chosen(which: str | None) -> list[Entry]:
    try:
        return entries(which)
    except KeyError as error:
        raise Problem(error.args[0]) from None


def one(which: str) -> Entry:
    """The one exercise that is meant."""
    found = chosen(which)
    if len(found) > 1:
        ids = ", ".join(f"{e.id} {e.names[0]}" for e in found[:12]) + (" …" if len(found) > 12 else "")
        raise Problem(f"{which!r} means {len(found)} exercises; give one of them: {ids}")
    return found[0]


def some(which: str | None) -> list[Entry]:
    """One exercise, one chapter, or all; a name that several exercises share is not guessed."""
    found = chosen(which)
    if which is not None and len(found) > 1 and found != found[0].chapter.exercises:
        one(which)
    return found


def folder(root: Path | None) -> Path:
    try:
        if root is not None and not root.is_dir():
            raise Problem(f"{root} is no folder. --dir takes your copy of the course.")
        found = root.resolve() if root else find_root()
    except FileNotFoundError as error:
        raise Problem(str(error)) from None
    if (
        root is None
        and "CLEANLENS_COURSE" not in os.environ
        and not Path.cwd().resolve().is_relative_to(found)
    ):
        warn(f"There is no course at or above {Path.cwd()}; this is about the one in {found}.")
    return found


# ---- the commands -------------------------------------------------------------------------------------


def status(root: Path | None = None) -> None:
    """Where you are: progress per chapter, the next exercise, one command to try."""
    place = folder(root)
    states = progress.states(place, here(place))
    right = sum(state == Status.RIGHT for state in states.values())
    effort = progress.effort(place)
    say(f"{right} of {len(states)} exercises right", "bold")
    for chapter in here(place):
        mine = [states[e.id] for e in chapter.exercises]
        done, open_ = (
            mine.count(Status.RIGHT),
            [s for s in mine if s not in (Status.RIGHT, Status.NOT_ATTEMPTED)],
        )
        complete = done == len(mine)
        sign = SIGNS[Status.RIGHT if complete else Status.NOT_ATTEMPTED]
        begun = f", {len(open_)} begun" if open_ else ""
        work = efforts(chapter.exercises, effort)
        say(
            f"{sign} {chapter.id} {chapter.title}: {done}/{len(mine)}{begun}{f' · {work}' if work else ''}",
            "green" if complete else "",
        )
    entry = following(place, states)
    if entry is None:
        say("Everything is right. `cleanlens check` checks it all once more.")
        return
    say()
    introduce(entry, place)
    state = states[entry.id]
    if state == Status.NOT_ATTEMPTED:
        say("Try: cleanlens watch")
        if all(state == Status.NOT_ATTEMPTED for state in states.values()):
            say_wrapped("New to einsum or broadcasting? Begin with the prerequisites: cleanlens watch pre")
    else:
        work = efforts([entry], effort)
        say(f"  {SIGNS[state]} {WORDS[state]}{f' · {work}' if work else ''}")
        say(f"Try: cleanlens check {entry.id}")


@app.command(epilog="Examples: cleanlens check 00.1 · cleanlens check 00.5 00.6 · cleanlens check tokens")
def check(which: Several = None, root: Root = None) -> None:
    """Check some exercises, chapters, or everything. The exit status is 1 when an attempted answer is not right.

    It is 1 also when the one exercise asked for is not attempted. Your code runs in a process of its own, on Linux
    sealed from the network and your other files; `cleanlens doctor` says what holds on this machine.
    """
    from .runner import grade

    place, results = folder(root), list[Result]()
    wanted = {e.id for name in which for e in some(name)} if which else {e.id for e in entries()}
    selected = [e for e in entries() if e.id in wanted]
    texts = progress.texts(place, unique(e.chapter for e in selected))
    written = any(texts[e.id] for e in selected)
    workers = min(4, os.cpu_count() or 1)
    for result in with_bar(grade(selected, place, workers=workers, early=written), selected):
        results.append(result)
        progress.record(place, [result])
        if len(selected) > 3 and result.status is Status.NOT_ATTEMPTED:
            continue
        show(result)
    if len(results) > 1:
        summary(results)
    alone = len(results) == 1 and not results[0].passed
    sys.exit(alone or any(r.status in (Status.WRONG, Status.ERROR) for r in results))


@app.command(epilog="Examples: cleanlens watch · cleanlens watch 03.2")
def watch(which: Which = None, root: Root = None) -> None:
    """Check again on every save, show what is wrong, and move on when it is right. Ctrl-C or q ends it.

    Keys: x exercise, h hint, s solution, n next, l list, c check all, r reset, e edit ($EDITOR), q quit.
    """
    from .loop import Loop

    place = folder(root)
    states = progress.states(place, here(place))
    wanted = some(which) if which else [e for c in in_turn(here(place), states) for e in c.exercises]
    first = next((e for e in wanted if states.get(e.id, Status.RIGHT) != Status.RIGHT), None)
    if first is None:
        say("Everything is right already." if which is None else f"{which} is right already.")
        return
    Loop(place, first).run()


def with_bar(results: Iterator[Result], selected: list[Entry]) -> Iterator[Result]:
    """The results as they come; a bar while more than one chapter is checked and somebody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if len(unique(e.chapter for e in selected)) < 2 or settings["plain"]:
        yield from results
        return
    columns = (TextColumn("Checking"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(selected))
        for result in results:
            bar.advance(task)
            yield result


@app.command("next")
def next_exercise(root: Root = None) -> None:
    """Show the next exercise: what it asks for, and where it is written. The exit status is 1 when none is left."""
    place = folder(root)
    entry = following(place)
    if entry is None:
        say("Everything is right.")
        sys.exit(1)
    introduce(entry, place, statement=True)


@app.command("list", epilog="Examples: cleanlens list 03 · cleanlens list --json")
def list_exercises(
    which: Which = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    root: Root = None,
) -> None:
    """List the exercises: status, minutes, and how many mistakes their checks can name."""
    place, chapter = folder(root), ""
    selected = [e for e in chosen(which) if e.chapter in here(place)]
    states = progress.states(place, unique(e.chapter for e in selected))
    effort = progress.effort(place)
    if as_json:
        rows = [
            {
                "id": e.id,
                "chapter": e.chapter.id,
                "name": e.names[0],
                "names": e.names,
                "title": e.title,
                "status": states[e.id],
                "mistakes": e.n_mistakes,
                "minutes": e.details.get("minutes"),
                "difficulty": e.details.get("difficulty"),
                "importance": e.details.get("importance"),
                "effort": effort.get(e.id),
            }
            for e in selected
        ]
        print(json.dumps(rows, indent=1))
        return
    for e in selected:
        if e.chapter.id != chapter:
            chapter = e.chapter.id
            say(f"{chapter} {e.chapter.title}", "bold")
        state, work = states[e.id], efforts([e], effort)
        say(
            f"  {SIGNS[state]} {e.id} {', '.join(e.names)}: {WORDS[state]}, "
            f"{e.details.get('minutes')} min, check names {e.n_mistakes} mistakes{f' · {work}' if work else ''}",
            COLOURS.get(Status(state), "") if state in list(Status) else "yellow",
        )


def unique(chapters: Iterable[ChapterEntry]) -> list[ChapterEntry]:
    return list({chapter.id: chapter for chapter in chapters}.values())


@app.command(epilog="Examples: cleanlens hint 00.1 · cleanlens hint 00.1 --level 3")
def hint(
    which: One,
    level: Annotated[
        int | None, typer.Option(help="1 points, the last nearly tells. Default: the next one.")
    ] = None,
    root: Root = None,
) -> None:
    """Show the next hint, or the one with this number."""
    entry = one(which)
    try:
        if level is not None:
            say(report.hint_text(entry, level))
            return
        place = folder(root)
        seen = progress.read(place)["hints"].get(entry.id, 0)
        say(report.hint_text(entry, progress.next_hint(place, entry)))
    except ValueError as error:
        raise Problem(str(error)) from None
    if seen >= len(entry.hints):
        say(
            f"That was the last one, once more. `cleanlens solution {entry.id}` shows how it can be done.",
            "dim",
        )


@app.command(epilog="Examples: cleanlens solution 00.1 · cleanlens solution 00.1 --diff")
def solution(
    which: One,
    diff: Annotated[bool, typer.Option("--diff", help="Only what differs from your answer.")] = False,
    root: Root = None,
) -> None:
    """Show a solution, and why it is so."""
    from .solution import definitions_text, solution_text

    entry, place = one(which), folder(root)
    try:
        text = definitions_text(entry, place) if diff else solution_text(entry, place)
    except FileNotFoundError as error:
        raise Problem(str(error)) from None
    if diff:
        yours = Answers.read(entry.chapter, place).text(entry)
        if not yours:
            raise Problem(f"{entry.id} is not attempted, so there is nothing to compare.")
        lines = difflib.unified_diff(yours.splitlines(), text.splitlines(), "yours", "solution", lineterm="")
        colours = {"+": "green", "-": "red", "@": "cyan"}
        for line in lines:
            say(line, colours.get(line[:1], ""), wrap=False)
    elif sys.stdout.isatty() and not settings["plain"]:
        from rich.syntax import Syntax

        Console().print(Syntax(text, "python", background_color="default", word_wrap=True))
    else:
        say(text, wrap=False)
    say(f"\nWhy: {entry.details['why']}")


@app.command(epilog="Examples: cleanlens debug 01.7 · cleanlens debug 01.7 --call 3")
def debug(
    which: One,
    call: Annotated[int | None, typer.Option(help="Another of the check's calls, counted from 1.")] = None,
    root: Root = None,
) -> None:
    """Walk through your answer with Python's debugger, on exactly the call on which its check fails.

    `breakpoint()` in your code works here too. Your code runs as if you had started it yourself, not sealed.
    """
    entry, place = one(which), folder(root)
    answers = Answers.read(entry.chapter, place)
    origin = answers.of(entry).origin
    if not origin:
        raise Problem(f"{entry.id} is not attempted, so there is nothing to walk through.")
    if broken := answers.source(origin).syntax_error(entry):
        raise Problem(broken)
    number = (call or 1) - 1
    if call is None:
        from .runner import grade

        [result] = grade([entry], place, early=True)
        progress.record(place, [result])
        show(result)
        number = result.case or 0
    from . import catalog, replay
    from .loader import load

    os.chdir(place)  # where the file's name is found
    sys.path.append(str(place / "exercises"))
    space, problems = load(answers.program(origin), f"answers_{origin}")
    for problem in problems:
        warn(problem)
    say(
        "\nThe debugger: n next line, s into a call, p NAME shows a value, c goes on, q ends, h helps.", "dim"
    )
    try:
        ex = catalog.find(entry.id)
        got = replay.debug(ex, space, number)
        if isinstance(got, bdb.BdbQuit):
            say("Stopped before it returned.")
        else:
            say(f"It gave {replay.in_short(got)}; expected {replay.in_short(replay.expected(ex, number))}.")
    except (IndexError, KeyError) as error:
        raise Problem(str(error.args[0])) from None


@app.command(epilog="Examples: cleanlens reset 00.1 · cleanlens reset 00")
def reset(
    which: Annotated[str, typer.Argument(metavar="ID", help="An exercise (00.1) or a whole chapter (00).")],
    root: Root = None,
) -> None:
    """Make an exercise, or a whole chapter, as it was; a copy of your file is kept."""
    place, found = folder(root), some(which)
    chapter = found[0].chapter
    try:
        whole = len(found) > 1
        kept = workspace.reset_chapter(place, chapter) if whole else workspace.reset(place, found[0])
    except ValueError as error:
        raise Problem(str(error)) from None
    progress.forget(place, [e.id for e in found])
    name = chapter.title if len(found) > 1 else found[0].id
    say(f"{name} is as it was." if kept else f"{name} was as it was shipped; nothing had to be done.")
    for path in kept:
        say(f"  your version: {path.relative_to(place)}", wrap=False)


@app.command(epilog="Example: cleanlens init my-course")
def init(
    where: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    solutions: Annotated[bool, typer.Option("--solutions", help="With the solutions' files.")] = False,
) -> None:
    """Make a folder to work in: exercises, notebooks, and a test that grades them."""
    try:
        count = workspace.init(where.resolve(), solutions)
    except FileExistsError as error:
        raise Problem(str(error)) from None
    say(f"{count} files in {where}. Now: cd {where}, then cleanlens", wrap=False)


@app.command()
def update(root: Root = None) -> None:
    """Bring your folder to the installed version of the course. Files you edited stay, the new one beside them."""
    place = folder(root)
    if workspace.is_checkout(place):
        raise Problem(f"{place} is the course's own repository: `git pull` brings it up to date.")
    done = workspace.update(place)
    for what, name in done:
        say(f"{name}: {what}", wrap=False)
    if not done:
        say("Everything is up to date.")


@app.command(
    epilog="Examples: cleanlens lab · cleanlens lab 03 · cleanlens lab 03 -- --no-browser --port 8899",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def lab(context: typer.Context, which: Which = None, root: Root = None) -> None:
    """Open JupyterLab on a chapter. Options that are not ours are JupyterLab's: --no-browser, --port 8899."""
    place = folder(root)
    options = list(context.args)
    if which is not None and which.startswith("-"):  # an option in the place of a chapter
        options, which = [which, *options], None
    entry = chosen(which)[0] if which else following(place) or entries("00")[0]
    notebook = place / entry.chapter.notebook
    if not notebook.is_file():
        raise Problem(f"{notebook} is missing; `cleanlens update` brings it back.")
    if find_spec("jupyterlab") is None:
        raise Problem(
            "JupyterLab is missing, though cleanlens asks for it: pip install jupyterlab. "
            f"Any other program for notebooks opens {notebook} as well."
        )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is JupyterLab's, which asks before it ends
    try:
        command = [sys.executable, "-m", "jupyterlab", str(notebook), *options]
        ended = subprocess.Popen(
            command, cwd=place, preexec_fn=_listen if os.name == "posix" else None
        ).wait()
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(ended)


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@app.command()
def doctor(root: Root = None) -> None:
    """Show versions, models, the Hugging Face cache, and what works offline. Exit status 1: something is missing."""
    from .doctor import examine

    words = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "yellow")}
    findings = list(examine(root))
    for fine, text in findings:
        sign, colour = words[fine]
        say(f"{sign} {text}", "" if fine else colour, wrap=False)
    sys.exit(any(fine is False for fine, _ in findings))


@app.command(epilog="Examples: cleanlens fetch smollm2-135m · cleanlens fetch gpt2-small --yes")
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="smollm2-135m, gpt2-small, ..., or a Hugging Face id.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Get a real language model, once; says what it costs first. Afterwards it works offline."""
    from cleanlens.loading import embedded_models
    from cleanlens.loading import fetch as fetching

    try:
        if name in embedded_models() or fetching.at_hand(name):
            say(f"{name} is here. HookedTransformer.from_pretrained({name!r}) loads it.")
            return
        offered = fetching.offer(name, say)
        say(f"{name}: {offered}.", wrap=False)
        if not yes and not typer.confirm("Fetch it?", default=True):
            raise typer.Exit(1)
        say(f"{name} is in {offered.get()}.", wrap=False)
    except (ValueError, OSError) as error:
        raise Problem(str(error)) from None
    say(f"HookedTransformer.from_pretrained({name!r}) loads it.")


@app.command()
def tour(
    out: Annotated[Path | None, typer.Option(help="Where to write the page. Default: tour.html")] = None,
    sentence: Annotated[
        str,
        typer.Option(
            help="Your own sentence: two names, one of them again, and an end that asks for the other."
        ),
    ] = "",
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
) -> None:
    """See what cleanlens does, offline, in 1 to 3 minutes; writes a page with the figures."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported: the tour has one bar of its own
    from . import tour as tour_module  # written against the library, imported only here

    try:
        sys.exit(tour_module.run(out, sentence, open_page))
    except tour_module.SentenceError as error:
        raise Problem(str(error)) from None


@app.command(
    epilog="Examples: cleanlens site · cleanlens site --out pages --no-solutions · cleanlens site --only 03"
)
def site(
    out: Annotated[Path | None, typer.Option(help="The folder to write. Default: site")] = None,
    only: Annotated[str, typer.Option(metavar="CHAPTER", help="This chapter alone, such as 03.")] = "",
    solutions: Annotated[
        bool, typer.Option("--solutions/--no-solutions", help="With the answers, to unfold, or without.")
    ] = True,
) -> None:
    """Write the course and the library as web pages to read; runs the chapters first, which takes minutes.

    Afterwards only what has changed is run and written again.
    """
    missing = [name for name in ("nbclient", "sphinx", "myst_nb", "furo") if find_spec(name) is None]
    if missing:
        names = " ".join(missing).replace("_", "-")
        raise Problem(f"The pages need what is missing here: pip install {names}")
    from . import site as site_module

    sys.exit(site_module.run(out, only, solutions))


if __name__ == "__main__":
    main()
