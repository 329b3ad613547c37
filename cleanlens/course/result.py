"""What a check says: the same object in the notebook, in the terminal, in pytest and in a class's report."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exercise import Exercise


class Status(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    ERROR = "error"  # it crashed, or ran out of time or memory
    NOT_ATTEMPTED = "not attempted"


@dataclass(frozen=True)
class Result:
    """The verdict on one exercise."""

    id: str
    status: Status
    stage: str = ""  # crash, type, shape, dtype, finite, values, inputs: where in the order it failed
    message: str = ""  # where the first difference is, in words; of a crash, the exception
    expected: str = ""  # what should stand there, in short
    got: str = ""  # and what does
    on: str = ""  # the arguments of the call that failed, one a line
    case: int | None = None  # which of the check's calls that was
    mistake: str | None = None  # the slug of the documented mistake that gives the same
    hint: str = ""  # that mistake's hint
    where: str = ""  # which answer was judged: "exercises/ch00_tokens.py, line 12"
    answer: str = ""  # the fingerprint of its text; "" of one in a running notebook
    note: str = ""  # "answered in the notebook as well; the file counts"
    printed: str = ""  # what the answer printed
    seconds: float = 0.0
    version: int = 1  # the checker's
    lent: str = ""  # "01.4, 01.5": it is right when right versions of these, which it calls, stand in for the learner's

    @classmethod
    def error(cls, ex: "Exercise", stage: str, message: str) -> "Result":
        return cls(ex.id, Status.ERROR, stage=stage, message=message)

    @property
    def passed(self) -> bool:
        return self.status is Status.RIGHT

    @property
    def difference(self) -> str:
        """The first difference in one line: `what it returns at [b 0, s 1]: expected 0.25, got 0.5`."""
        first = self.message.partition("\n")[0]
        return f"{first}: expected {self.expected}, got {self.got}" if self.expected or self.got else first

    def with_(self, **changes: Any) -> "Result":
        return replace(self, **changes)
