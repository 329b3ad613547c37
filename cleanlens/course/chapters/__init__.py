"""The exercises' checks, one file per chapter: `ch00.py`, `ch01.py`, ..."""
