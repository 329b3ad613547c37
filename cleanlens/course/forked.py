"""Running one thing in a forked child: what it breaks, breaks there. For judging many answers from one warm process."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

MEMORY = 2 * 2**30
"""How much a child may allocate beyond what it was forked with."""


def forked(work: Callable[[], bytes], seconds: float) -> bytes | None:
    """What `work` returns, or None when it raised, died, ran out of memory or worked for longer than `seconds`.

    The limit is the child's own working time, so that a busy machine changes nothing; one that sleeps is ended by the clock.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_the_child(work, seconds, writing)
    os.close(writing)
    said, deadline = b"", time.monotonic() + 20 * seconds
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            chunk = pipe.read(65536)
            if not chunk:
                break
            said += chunk
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    whole = len(said) >= 8 and len(said) - 8 == int.from_bytes(said[:8], "little")
    return said[8:] if whole else None


def _in_the_child(work: Callable[[], bytes], seconds: float, writing: int) -> None:
    import resource

    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        with contextlib.suppress(OSError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        said = work()
        said = len(said).to_bytes(8, "little") + said
        while said:
            said = said[os.write(writing, said) :]
    except BaseException:
        pass
    finally:
        os._exit(0)
