"""The same tasks on a Dask cluster: a submission is a task, and what comes home is plain data.

    dask scheduler                                    on one machine
    dask worker tcp://HOST:8786 --nthreads 1          on each, once for each core; cleanlens is installed there
    cleanlens class grade ... --scheduler tcp://HOST:8786

A task starts a process of its own on its machine (`worker.py`, as the local pool does) and waits for it for so long and
no longer. So a submission that hangs or ends its process costs that process, not Dask's worker; and when a worker's
machine goes away, Dask gives its tasks to another.
"""

import atexit
from typing import Any

from ..processes import Ended, Peer
from . import grade, task

CONNECT_SECONDS = 10
RETRIES = 3  # deaths of a worker that a submission may be in for before it is given up
_peers: list[Peer] = []  # of this process: one, kept from task to task


def grade_there(body: bytes, options: dict[str, Any]) -> dict[str, Any]:
    """The record of one submission, made in a process of its own on the machine where this is called.

    Raises RuntimeError when it did not come to its end.
    """
    if not _peers:
        _peers.append(grade.start_worker())
    try:
        return _peers[0].ask(grade.patience(options), body, **options)
    except BaseException as error:
        why = f"{error} {_peers[0].printed[-1000:]}"
        close()
        if isinstance(error, Ended):
            raise RuntimeError(why) from None
        raise


def close() -> None:
    """End the process that is kept."""
    while _peers:
        _peers.pop().end()


atexit.register(close)


def run_there(tasks: list[grade.Task], options: dict[str, Any], scheduler: str, done: grade.Done) -> None:
    """Grade the tasks on a cluster; `done` is called in this thread, in any order. Raises grade.Problem."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise grade.Problem('--scheduler needs Dask: pip install "cleanlens[cluster]"') from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise grade.Problem(
            f"there is no Dask scheduler at {scheduler} ({error}). `dask scheduler` starts one, and says its address."
        ) from None
    with client:
        futures = {}
        for one in tasks:
            files = one.submission.read().files
            # Not pure: the same submission graded again is work, not a result to be found.
            future = client.submit(grade_there, task.pack(files), options, pure=False, retries=RETRIES)
            futures[future] = one
        for future in as_completed(futures):
            one = futures.pop(future)
            try:
                # Also where the worker that had it is gone by now: Dask then has it made again.
                record = future.result()
            except Exception as error:
                done(one, None, repr(error))
            else:
                done(one, record, "")
