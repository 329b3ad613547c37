"""The teacher's side: a handout for a class, its submissions graded sealed, and what the class has understood.

submissions.py   finds who handed in what, in folders, archives and downloads of Gradescope and Moodle
task.py          grades one submission in whatever process it is called; worker.py is such a process
grade.py         a run over all of them: a pool, records that survive a kill, shards
cluster.py       the same tasks on a Dask cluster
outcome.py       what came out, as one object; pages.py and exports.py write it down, similar.py compares answers
handout.py       what is given out
commands.py      `cleanlens class ...`
"""
