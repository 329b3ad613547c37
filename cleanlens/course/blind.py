"""Answers that strangers wrote from the stubs alone: how many of the wrong ones the checks reject, and of the right ones accept.

    python -m cleanlens.course.blind [ID ...] [--folder tests/blind] [-j 2] [--names]

`tests/blind/chNN.py` hold them in blocks, each headed by what its writer meant it to be:

    # %% wrong 01.5: forgets the scale
    # %% right 01.5: with einsum

A block is put into the learner's file of stubs, as a learner would write it there. `exceptions.toml` beside them lists
the headings that turned out to be mistaken (a "wrong" answer that is right, or one that the stub leaves open), each
with its reason. Prints a table per chapter and every answer that came out otherwise than it should; with --names also
what each rejected answer was told, to be read by somebody who judges whether it was true.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import inspect
import itertools
import json
import multiprocessing
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from . import catalog, kept, sources
from .execute import collected, is_live_stub, is_stub_function, lending, observe
from .exercise import Exercise
from .forked import forked
from .judge import Judge
from .plain import encode, raised
from .result import Result, Status

ROOT = Path(__file__).parents[2]
HEADING = re.compile(rf"^# %% (wrong|right) ({sources.ID}): *(.*?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One answer, and whether its writer meant it to be right."""

    id: str
    right: bool
    title: str
    text: str

    @property
    def chapter(self) -> str:
        return self.id.partition(".")[0]

    @property
    def heading(self) -> str:
        return f"{'right' if self.right else 'wrong'} {self.id}: {self.title}"


@dataclass(frozen=True)
class Judged:
    """An answer and the verdict on it; `exception` is why it may come out otherwise than its writer thought."""

    block: Block
    result: Result
    exception: str = ""

    @property
    def as_it_should(self) -> bool:
        return bool(self.exception) or self.result.passed == self.block.right


def read(folder: Path) -> list[Block]:
    """The answers of every chapter; of two under one heading the second gets ` (2)`."""
    found: dict[str, Block] = {}
    for path in sorted(folder.glob("ch*.py")):
        text = path.read_text(encoding="utf-8")
        headings = list(HEADING.finditer(text))
        ends = [heading.start() for heading in headings[1:]] + [len(text)]
        for heading, end in zip(headings, ends):
            text_of = text[heading.end() : end].strip() + "\n"
            block, n = Block(heading[2], heading[1] == "right", heading[3], text_of), 1
            while block.heading in found:
                n += 1
                block = replace(block, title=f"{heading[3]} ({n})")
            found[block.heading] = block
    return list(found.values())


def exceptions(folder: Path) -> dict[str, str]:
    """Heading -> the reason why it is mistaken."""
    path = folder / "exceptions.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def judge(
    blocks: list[Block], root: Path = ROOT, jobs: int = 2, fresh: bool = False
) -> Iterator[tuple[Block, Result]]:
    """The verdicts, in order, with a progress bar. Those of the same texts as before are remembered, unless `fresh`."""
    from tqdm import tqdm

    by_exercise: dict[str, list[Block]] = {}
    for block in blocks:
        by_exercise.setdefault(block.id, []).append(block)
    for block in blocks:
        _defines_something(block)
    for id in by_exercise:
        catalog.find(id)  # torch and the checks are loaded here once, and the workers are forked after it
    context = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(max(jobs, 1), mp_context=context) as pool,
        tqdm(total=len(blocks), unit="answer") as bar,
    ):
        running = [
            (some, pool.submit(_judge_some, id, some, root, fresh)) for id, some in by_exercise.items()
        ]
        for some, future in running:
            yield from zip(some, future.result(), strict=True)
            bar.update(len(some))


def _defines_something(block: Block) -> None:
    """Raise ValueError for a block that defines none of the exercise's names: it would be judged without being run."""
    names = catalog.entries(block.id)[0].names
    with contextlib.suppress(SyntaxError):
        tree = ast.parse(block.text)
        if not any(sources.find(tree, name) for name in names):
            raise ValueError(f"{block.heading}: it defines none of {', '.join(names)}")


def _judge_some(id: str, blocks: list[Block], root: Path, fresh: bool) -> list[Result]:
    """The verdicts on answers to one exercise, each from a child of its own."""
    import torch

    torch.set_num_threads(1)
    ex = catalog.find(id)
    judge, made = Judge(ex), dict[Block, Result]()
    stubs = (root / catalog.chapter_of(id).answers).read_text(encoding="utf-8")
    check = kept.digest(kept.check(ex), kept.engine(*kept.JUDGING, "blind"), stubs, kept.library_in(stubs))
    with kept.Kept("blind", id, fresh) as known:
        for block in blocks:
            if (key := kept.digest(check, block.text)) not in known:
                judge.expected()  # here, once for all
                said = forked(lambda block=block: _in_the_child(judge, block, root), 2 * ex.seconds)  # type: ignore[misc]
                if said is None:  # which a busier machine may find otherwise, so it is not kept
                    made[block] = Result.error(ex, "crash", "it died, or ran out of time or memory")
                    continue
                known[key] = json.loads(said)
            made[block] = Result(**known[key] | {"status": Status(known[key]["status"])})
    return [made[block] for block in blocks]


def _in_the_child(judge: Judge, block: Block, root: Path) -> bytes:
    ex, space, runs = judge.ex, dict(_stubs(block.chapter, root)), []
    exec(compile(block.text, "answer.py", "exec"), space)
    _lend_the_rest(ex, space)
    before = itertools.takewhile(lambda other: other is not ex, catalog.load(block.chapter).exercises)
    rights = {name: part.value for other in before for name, part in other.reference.items()}
    own = {name.partition(".")[0] for name in ex.names}
    earlier = {name: value for name, value in rights.items() if name.partition(".")[0] not in own}
    for all_others in [False, True] if ex.supply else [False]:
        try:
            with lending(earlier, space), collected(ex, space, all_others) as answer:
                runs.append(observe(ex, answer, judge.seeds))
        except Exception as error:
            runs.append(encode([{"error": raised(error), "where": []}]))
    return json.dumps(asdict(judge.judge_runs(runs))).encode()


def _lend_the_rest(ex: Exercise, space: dict[str, Any]) -> None:
    """An answer to one of an exercise's several names is judged with right ones for the others."""
    for name in ex.names:
        owner, _, method = name.partition(".")
        value = ex.reference[name].value
        if not method and is_stub_function(space.get(owner)):
            space[owner] = value
        elif method and inspect.isclass(space.get(owner)) and is_live_stub(space[owner], method):
            given = inspect.getattr_static(space[owner], method, None)
            wrapped = (
                type(given)(value) if isinstance(given, property | staticmethod | classmethod) else value
            )
            setattr(space[owner], method, wrapped)


@cache
def _stubs(chapter_id: str, root: Path) -> dict[str, Any]:
    """The namespace of the learner's file as it is handed out."""
    chapter = catalog.chapter_of(chapter_id)
    space: dict[str, Any] = {"__name__": f"blind_{chapter_id}"}
    exec(compile((root / chapter.answers).read_text(encoding="utf-8"), chapter.answers, "exec"), space)
    return space


def table(judged: list[Judged]) -> Iterator[str]:
    """Rejected, accepted and named, per chapter. What is excepted counts on neither side."""
    yield f"{'chapter':10}{'wrong':>7}{'rejected':>10}{'':>8}{'named':>8}{'right':>8}{'accepted':>10}{'excepted':>10}"
    judged_in = {j.block.chapter for j in judged}
    chapters = [chapter.id for chapter in catalog.outline() if chapter.id in judged_in]
    for name in [*chapters, "all"]:
        mine = [j for j in judged if name in ("all", j.block.chapter)]
        wrong = [j for j in mine if not j.block.right and not j.exception]
        right = [j for j in mine if j.block.right and not j.exception]
        rejected = [j for j in wrong if not j.result.passed]
        named = [j for j in rejected if j.result.mistake]
        accepted = [j for j in right if j.result.passed]
        share = f"{100 * len(rejected) / len(wrong):.1f}%" if wrong else ""
        yield (
            f"{name:10}{len(wrong):7}{len(rejected):10}{share:>8}{len(named):8}{len(right):8}{len(accepted):10}"
            f"{len(mine) - len(wrong) - len(right):10}"
        )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cleanlens.course.blind",
        description="Judge the answers that strangers wrote from the stubs.",
    )
    parser.add_argument(
        "which", nargs="*", metavar="ID", help="an exercise (01.5) or a chapter (01); all if none"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "tests" / "blind", help="where chNN.py are")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many processes judge (2)")
    parser.add_argument("--names", action="store_true", help="show what every rejected answer was told")
    parser.add_argument("--fresh", action="store_true", help="judge every answer again")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder with exercises/")
    options = parser.parse_args(argv)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        ids = {entry.id for which in options.which or [None] for entry in catalog.entries(which)}
        blocks = [block for block in read(options.folder) if block.id in ids]
    except (KeyError, ValueError) as error:
        parser.error(str(error.args[0]))
    if not blocks:
        parser.error(f"{options.folder} holds no answers to these; it should hold ch00.py and so on")
    known = exceptions(options.folder)
    judged = [
        Judged(block, result, known.get(block.heading, ""))
        for block, result in judge(blocks, options.root, options.jobs, options.fresh)
    ]
    for one in judged:
        told = one.result.hint or one.result.message
        if not one.as_it_should:
            print(f"{one.block.heading}\n    comes out {one.result.status}" + (f": {told}" if told else ""))
        elif options.names and not one.result.passed:
            print(f"{one.block.heading}\n    {one.result.mistake or 'no name'}: {told}")
    print(*table(judged), sep="\n")
    return 0 if all(one.as_it_should for one in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
