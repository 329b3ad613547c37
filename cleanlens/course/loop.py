"""`cleanlens watch`: one exercise on the screen, its verdict on every save, and the next one when it is right. Torch-free.

In a terminal each verdict clears the screen, and single keys work; written to a pipe, everything comes line by line.
"""

import os
import queue
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import progress, report, watch, workspace
from .catalog import ChapterEntry, Entry, entries, outline
from .position import efforts, following, here, introduce, spot
from .result import Result, Status
from .terminal import SIGNS, WORDS, say, say_wrapped, show, show_code, summary, width

KEYS = {
    "x": "exercise",
    "h": "hint",
    "s": "solution",
    "n": "next",
    "l": "list",
    "c": "check all",
    "r": "reset",
    "e": "edit",
    "q": "quit",
}
EDITORS = ("vi", "vim", "nano")
"""What is started where neither VISUAL nor EDITOR says which."""


class Loop:
    """Somebody's work from one exercise to the next."""

    def __init__(self, place: Path, first: Entry):
        from .runner import Grader

        self.place, self.entry = place, first
        self.grader = Grader(warm=True)
        self.before: dict[str, str] = {}
        self.sure = ""  # the last key, if it asked to be pressed once more
        self.verdicts: list[Result] = []  # what hints are shown below
        self.screen = sys.stdin.isatty() and sys.stdout.isatty()
        self.events: queue.Queue[set[str] | BaseException] = queue.Queue()

    def run(self) -> None:
        self.grader.warm_up(self.place)  # torch is there when the first save comes
        self.before = progress.texts(self.place, outline())
        self.clear()
        self.present("Now")
        self.foot()
        try:
            if self.before[self.entry.id] and not self.check([self.entry]):
                return
            with keys(self.screen) as pressed:
                for event in self.happenings(pressed):
                    go_on = self.pressed(event) if isinstance(event, str) else self.saved(event)
                    if not go_on:
                        return
        except KeyboardInterrupt:
            say("\nStopped. `cleanlens` says where you are.")
        finally:
            self.grader.close()

    # ---- what happens ----------------------------------------------------------------------------------

    def happenings(self, pressed: "Pressed") -> Iterator[str | set[str]]:
        """Keys as texts and saves as sets of files, as they come."""

        def listen() -> None:
            try:
                for changed in watch.saves(self.place):
                    self.events.put(changed)
            except BaseException as error:
                self.events.put(error)

        threading.Thread(target=listen, daemon=True).start()
        while True:
            try:
                event = self.events.get(timeout=0.05)
            except queue.Empty:
                if key := pressed():
                    yield key
                continue
            if isinstance(event, BaseException):
                raise event
            yield event

    def saved(self, changed: set[str]) -> bool:
        """Check what an edit was about. False: there is nothing more to do."""
        chapters = [c for c in outline() if {c.answers, c.notebook} & changed]
        now = self.before | progress.texts(self.place, chapters)
        edited = [e for c in chapters for e in c.exercises if now[e.id] and now[e.id] != self.before[e.id]]
        if not edited and self.entry.chapter in chapters and now[self.entry.id]:
            edited = [self.entry]  # something around it
        self.before = now
        return self.check(edited) if edited else True

    def check(self, edited: list[Entry]) -> bool:
        """Show the verdicts, and the exercise to go on with. False: all are right."""
        say(f"Checking {', '.join(e.id for e in edited)} …", "dim")
        started = time.monotonic()
        results = list(self.grader.grade(edited, self.place))
        seconds = time.monotonic() - started
        self.grader.warm_up(self.place)  # for the next one, where this one's process is not used again
        progress.record(self.place, results)
        self.clear()
        say(f"{time.strftime('%H:%M:%S')}, checked in {seconds:.1f} s", "dim")
        self.verdicts = results
        self.show_verdicts()
        failed = [e for e, result in zip(edited, results) if not result.passed]
        if failed:
            self.entry = self.entry if self.entry in failed else failed[0]
            self.foot()
            return True
        states = progress.states(self.place, here(self.place))
        for chapter in dict.fromkeys(e.chapter.id for e in edited):
            self.celebrate(next(c for c in outline() if c.id == chapter), states)
        entry = following(self.place, states, after=edited[-1].id)
        if entry is None:
            say("Everything is right.", "bold green")
            return False
        say()
        word = "Now" if entry == self.entry else "Next"
        self.entry = entry
        self.present(word)
        self.foot()
        return True

    # ---- what is shown ---------------------------------------------------------------------------------

    def clear(self) -> None:
        if self.screen:
            # The screen and what has scrolled out of it: the verdict is where one looks.
            print("\x1b[2J\x1b[3J\x1b[H", end="", flush=True)

    def show_verdicts(self) -> None:
        for result in self.verdicts:
            show(result, help="h: hint" if self.screen else "")

    def present(self, word: str) -> None:
        """The exercise that is worked on now."""
        progress.begin(self.place, self.entry)
        introduce(self.entry, self.place, word, statement=True)

    def foot(self) -> None:
        """Where one is in the course, and the keys."""
        states = progress.states(self.place, here(self.place))
        mine = [states[e.id] for e in self.entry.chapter.exercises]
        done, right = mine.count(Status.RIGHT), list(states.values()).count(Status.RIGHT)
        bar = "█" * done + "░" * (len(mine) - done)
        say()
        say_wrapped(
            f"{self.entry.chapter.id} {self.entry.chapter.title} {bar} {done}/{len(mine)} · "
            f"{right} of {len(states)} exercises right"
        )
        if self.screen:
            keys = "  ".join(f"{key}\N{NO-BREAK SPACE}{word}" for key, word in KEYS.items())
            for line in report.wrapped(keys, width()):
                say(line.replace("\N{NO-BREAK SPACE}", " "), "dim", wrap=False)
        else:
            say("Save the file to have it checked; Ctrl-C ends.", "dim")

    def celebrate(self, chapter: ChapterEntry, states: dict[str, str]) -> None:
        """A chapter's end: what one can do now, what it took, and where to see it at work."""
        if any(states[e.id] != Status.RIGHT for e in chapter.exercises):
            return
        say()
        say(f"★ Chapter {chapter.id}, {chapter.title}, is done.", "bold green")
        if work := efforts(chapter.exercises, progress.effort(self.place)):
            say_wrapped(f"It took {work}.", 2)
        say_wrapped("You now know:", 2)
        for entry in chapter.exercises:
            say_wrapped(f"- {entry.details.get('objective', entry.title)}", 2)
        notebook = self.place / chapter.notebook
        say_wrapped(
            f"See it at work, with your own pieces: `cleanlens lab {chapter.id}` ({notebook.as_uri()})", 2
        )

    # ---- keys --------------------------------------------------------------------------------------------

    def pressed(self, key: str) -> bool:
        """Do what a key stands for. False: it was q."""
        sure, self.sure = self.sure == key, ""
        if key == "q":
            say("Stopped. `cleanlens` says where you are.")
            return False
        if key not in KEYS:
            return True
        asks = {
            "r": f"r once more sets {self.entry.id} back; a copy of your file is kept.",
            "s": f"s once more shows a solution of {self.entry.id}.",
        }
        if key in asks and not sure:
            self.sure = key
            say(asks[key], "yellow")
            return True
        self.clear()
        do = {
            "x": self.exercise,
            "h": self.hint,
            "s": self.solution,
            "n": self.next,
            "l": self.list,
            "c": self.check_all,
            "r": self.reset,
            "e": self.edit,
        }
        do[key]()
        self.foot()
        return True

    def exercise(self) -> None:
        introduce(self.entry, self.place, "Now", statement=True)

    def hint(self) -> None:
        if any(result.id == self.entry.id for result in self.verdicts):
            self.show_verdicts()  # it helps with what went wrong
        else:
            self.exercise()
        say()
        level = progress.next_hint(self.place, self.entry)
        say_wrapped(report.hint_text(self.entry, level))
        if level == len(self.entry.hints):
            say("That is the last one; s shows a solution.", "dim")

    def solution(self) -> None:
        from .solution import solution_text

        try:
            show_code(solution_text(self.entry, self.place))
            say_wrapped(f"\nWhy: {self.entry.details['why']}")
        except FileNotFoundError as error:
            say_wrapped(str(error), style="red")

    def next(self) -> None:
        entry = following(self.place, after=self.entry.id)
        if entry is not None:
            self.entry = entry
            self.present("Now")

    def list(self) -> None:
        states = progress.states(self.place, here(self.place))
        for chapter in here(self.place):
            mine = [states[e.id] for e in chapter.exercises]
            signs = "".join(SIGNS[state] for state in mine)
            say_wrapped(f"{chapter.id} {chapter.title}: {signs} {mine.count(Status.RIGHT)}/{len(mine)}")
        say()
        for e in self.entry.chapter.exercises:
            arrow = "→" if e == self.entry else " "
            say_wrapped(f"{arrow} {SIGNS[states[e.id]]} {e.id} {', '.join(e.names)}: {WORDS[states[e.id]]}")

    def check_all(self) -> None:
        from .runner import grade

        written = [e for e in entries() if self.before.get(e.id)]
        results = list[Result]()
        for result in grade(written, self.place, workers=min(4, os.cpu_count() or 1)):
            results.append(result)
            progress.record(self.place, [result])
            if not result.passed:
                show(result)
        summary(results) if results else say("Nothing is attempted yet.")

    def reset(self) -> None:
        try:
            kept = workspace.reset(self.place, self.entry)
        except ValueError as error:
            say_wrapped(str(error), style="red")
            return
        progress.forget(self.place, [self.entry.id])
        self.verdicts = []
        self.before = progress.texts(self.place, outline())
        for path in kept:
            say(f"Your version: {path.relative_to(self.place)}", wrap=False)
        self.present("Now")

    def edit(self) -> None:
        """Open the answer in an editor, at its line."""
        there = next((name for name in EDITORS if shutil.which(name)), "")
        editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or there)
        name, line = spot(self.entry, self.place)
        if not editor:
            at = f", line {line}" if line else ""
            say_wrapped(
                f"There is no editor to start; `export EDITOR=...` names one. The file is {self.place / name}{at}.",
                style="yellow",
            )
            return
        program, file = Path(editor[0]).stem, str(self.place / name)
        if program in ("code", "codium", "cursor", "windsurf", "zed", "subl"):
            goto = ["--goto"] if program not in ("zed", "subl") else []
            words = [*goto, f"{file}:{max(line, 1)}"]
        else:
            words = [f"+{line}", file] if line else [file]
        try:
            with cooked(self.screen):
                subprocess.run([*editor, *words], check=False)
        except OSError as error:
            say_wrapped(f"{editor[0]} does not start: {error.strerror}.", style="red")
        self.clear()
        self.exercise()


class Pressed:
    """Asked for a key, it gives the one that was pressed, or ""."""

    def __call__(self) -> str:
        return ""


class _Posix(Pressed):
    def __call__(self) -> str:
        import select

        handle = sys.stdin.fileno()
        if not select.select([handle], [], [], 0)[0]:
            return ""
        data = os.read(handle, 64).decode(errors="ignore")
        if not data or data == "\x04":  # the terminal is gone, or Ctrl-D
            return "q"
        return "" if data.startswith("\x1b") else data[0].lower()  # an arrow is several characters


class _Windows(Pressed):
    def __call__(self) -> str:
        import msvcrt

        if not msvcrt.kbhit():  # type: ignore[attr-defined]
            return ""
        key = msvcrt.getwch()  # type: ignore[attr-defined]
        if key == "\x03":
            raise KeyboardInterrupt
        return str(key).lower()


@contextmanager
def keys(wanted: bool) -> Iterator[Pressed]:
    """Single keys, without Enter and without an echo, as long as this lasts."""
    if not wanted:
        yield Pressed()
    elif os.name == "nt":
        yield _Windows()
    else:
        import termios
        import tty

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        tty.setcbreak(handle)
        try:
            yield _Posix()
        finally:
            with suppress(termios.error):
                termios.tcsetattr(handle, termios.TCSADRAIN, before)


@contextmanager
def cooked(wanted: bool) -> Iterator[None]:
    """The terminal as an editor expects it."""
    if not wanted or os.name == "nt":
        yield
        return
    import termios

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    usual = termios.tcgetattr(handle)
    usual[3] |= termios.ICANON | termios.ECHO
    termios.tcsetattr(handle, termios.TCSADRAIN, usual)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
