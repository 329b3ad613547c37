"""Grades your answers: `pytest tests/test_exercises.py`, or `-k 03` for a chapter, `-k 03.5` for one exercise.

An exercise that is not attempted is skipped. Your code runs in a process of its own, the verdict is made in another.
"""

from cleanlens.course.graded_tests import test_exercise

__all__ = ["test_exercise"]
