"""The same class on a Dask cluster of two workers, one of which is killed on the way."""

import json
import os
import signal
from pathlib import Path

import pytest
from test_class_grade import SEALED, SOLVED, STUBS, hand_in, mistaken, with_

from cleanlens.course import catalog
from cleanlens.course.classroom import cluster, grade, submissions

TOKENS = catalog.chapter_of("00")


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    place = tmp_path / "class"
    hand_in(place, "Ada", SOLVED)
    hand_in(place, "Bea", mistaken(SOLVED, "00.2", "bos_as_text"))
    hand_in(place, "Cy", STUBS)
    hand_in(place, "Di", with_(SOLVED, build_vocab="import os; os.kill(os.getppid(), 9); os._exit(1)"))
    hand_in(place, "Eve", with_(SOLVED, encode="while True: pass"))
    found = submissions.find(place)
    here, there = (
        grade.Run.begin(tmp_path / name, list(TOKENS.exercises), seed=4711) for name in ("here", "there")
    )
    assert grade.grade_class(here, here.tasks(found), SEALED, jobs=2) == {}
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        pids = [worker.pid for worker in made.workers.values()]

        def shown(one: grade.Task, why: str) -> None:
            if not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        failed = grade.grade_class(
            there, there.tasks(found), SEALED, scheduler=made.scheduler_address, shown=shown
        )
    assert failed == {}
    assert killed
    for student in there.students:
        record = there.record(student.key)
        assert record == here.record(student.key), student.name
        assert json.dumps(record)  # plain data


def test_a_scheduler_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(grade.Problem, match="there is no Dask scheduler at tcp://127"):
        cluster.run_there([], {}, "tcp://127.0.0.1:9", lambda *_: None)
