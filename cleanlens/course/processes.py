"""Processes that we start, listen to, watch, and end. Torch-free."""

import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import wire


class Ended(Exception):
    """The process says nothing more; the words say why."""


class Peer:
    """A process that talks in `wire`'s messages. Two threads read what it says, so neither silence nor a flood stops us."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: str, stdin: IO[bytes] | int):
        self.job = environment["CLEANLENS_JOB"]
        self.process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        self.printed = ""
        self.folder = ""  # its own, to be removed with it
        self._heard: queue.Queue[tuple[dict[str, Any], bytes] | str] = queue.Queue(2)
        self._closed = False
        for target in (self._listen, self._drain):
            threading.Thread(target=target, daemon=True).start()

    def hear(self, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """The next message, or None when there is none in time. Raises Ended."""
        try:
            message = self._heard.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
        if isinstance(message, str):
            raise Ended(message or self._exit_words())
        return message

    def ask(self, seconds: float, body: bytes = b"", **head: Any) -> dict[str, Any]:
        """Send a message and wait for the answer. Raises Ended."""
        assert self.process.stdin is not None
        try:
            wire.send(
                self.process.stdin, head, body
            )  # it reads whole messages, so this does not wait for long
            answer = self.hear(seconds)
        except OSError:
            answer = self.hear(1)
        if answer is None:
            raise Ended(f"it did not answer within {seconds:g} seconds")
        return answer[0]

    def tell(self, body: bytes, **head: Any) -> None:
        """Send a message without waiting for it to be read: it may be busy starting."""

        def send() -> None:
            with suppress(OSError, ValueError):
                assert self.process.stdin is not None
                wire.send(self.process.stdin, head, body)

        threading.Thread(target=send, daemon=True).start()

    def end(self) -> None:
        """End it, and whatever it started."""
        self._closed = True
        with suppress(OSError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(OSError):
            self.process.kill()
        self.process.wait()
        for _ in range(20):  # they may start others meanwhile
            survivors = list(marked(self.job))
            if not survivors:
                break
            for pid in survivors:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError, ValueError):
                if stream:
                    stream.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        last = ""
        try:
            while (message := wire.receive(self.process.stdout)) is not None:
                self._tell(message)
        except (ValueError, OSError, MemoryError):
            last = "it sent something that is no message."
        self._tell(last)

    def _tell(self, message: tuple[dict[str, Any], bytes] | str) -> None:
        while not self._closed:
            with suppress(queue.Full):
                self._heard.put(message, timeout=0.2)
                return

    def _drain(self) -> None:
        assert self.process.stderr is not None
        with suppress(OSError, ValueError):
            while data := self.process.stderr.read1(65536):  # type: ignore[attr-defined]
                self.printed = (self.printed + data.decode(errors="replace"))[-2000:]

    def _exit_words(self) -> str:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed the line on which its results go."
        code = 128 - code if code > 128 else code  # bubblewrap's way to report a signal
        if code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                return f"it was ended by the signal {name}." + (
                    " Out of memory?" if name == "SIGKILL" else ""
                )
        return f"it ended the whole process (exit status {code}): os._exit, or a crash outside of Python?"


@dataclass(frozen=True)
class Use:
    """What a process and all that it started use."""

    processes: int
    seconds: float  # of work
    memory: int  # bytes


def use_of(pid: int) -> Use:
    """Read from /proc; where there is none, the clock stands in for the work."""
    table = dict(_table())
    if not table:
        return Use(1, time.monotonic(), 0)
    mine, count = {pid}, 0
    while len(mine) != count:
        count = len(mine)
        mine |= {child for child, (parent, *_) in table.items() if parent in mine}
    found = [table[p] for p in mine if p in table]
    return Use(len(found), sum(row[1] for row in found), sum(row[2] for row in found))


def _table() -> Iterator[tuple[int, tuple[int, float, int]]]:
    """pid -> parent, seconds of work (its ended children's included), bytes of memory of its own."""
    try:
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        names = os.listdir("/proc")
    except (OSError, ValueError, AttributeError):
        return
    for name in names:
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                work = sum(int(field) for field in fields[11:15]) / ticks
                yield int(name), (int(fields[1]), work, int(fields[21]) * page)


def marked(job: str) -> Iterator[int]:
    """Processes that left their parent and group, known by the environment that they were born with (Linux)."""
    mark = f"CLEANLENS_JOB={job}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdecimal():
            with suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    yield int(name)
