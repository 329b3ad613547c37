"""Submissions that want something else than a right answer: see tests/test_hostile.py."""
