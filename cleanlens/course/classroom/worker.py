"""A process of the pool: `python -P -m cleanlens.course.classroom.worker`, asked by `grade.py`. Torch-free.

It ends when the one who asks does, in whatever way, and what it started ends with it.
"""

import os
import signal
import sys

from .. import seal, wire
from .task import grade_files, unpack


def main() -> None:
    seal.die_with_parent()
    if os.getppid() != int(os.environ["CLEANLENS_PARENT"]):
        return  # it had ended before we could say so
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := wire.receive(sys.stdin.buffer)) is not None:
        head, body = message
        wire.send(channel, grade_files(unpack(body), **head))


if __name__ == "__main__":
    main()
    os._exit(0)
