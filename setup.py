"""Puts the course's folders, which stand beside the package, into it when a wheel is built. All else: pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ["exercises/*.py", "chapters/*.py", "chapters/*.ipynb", "solutions/*.py", "tests/test_exercises.py"]


class BuildWithCourse(build_py):
    """Copies them to cleanlens/course/data; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        data = Path(self.build_lib) / "cleanlens" / "course" / "data"
        shutil.rmtree(data, ignore_errors=True)
        for pattern in CARRIED:
            found = sorted(Path().glob(pattern))
            if not found:
                raise FileNotFoundError(f"no {pattern} here: the course would be missing from the wheel")
            for path in found:
                (data / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, data / path)


setup(cmdclass={"build_py": BuildWithCourse})
