"""A chapter's notebook that is opened alone, with no course around it: on Colab or Kaggle, or in a downloads folder. Torch-free.

Its first cell installs the course where there is none (see `build.SETUP`). What is checked in it is kept beside it, in `ch00_tokens.py` and
`.cleanlens/progress.json`, as it is in a folder of the course: so it can be handed in, and is there after a restart.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

from . import build, sources, workspace
from .answers import MAX_TEXT, Source, add_cell, read_own
from .catalog import Entry
from .progress import write_whole


def keep(entry: Entry, cells: Iterable[str], folder: Path) -> str:
    """Write what a session's cells define for an exercise into the chapter's file; returns what there is to say.

    The learner's own helpers go with it. What the file holds for other exercises stays.
    """
    path, session = folder / Path(entry.chapter.answers).name, Source(folder)
    for number, text in enumerate(cells):
        add_cell(session, text, f"cell {number}")
    asked = {name.partition(".")[0] for e in entry.chapter.exercises for name in e.names}
    tops = [node for part in session.parts for node in ast.parse(part.text).body]
    own = {
        node.name: None for node in tops if isinstance(node, sources.DEFINITIONS) and node.name not in asked
    }
    known = read_own(path, MAX_TEXT)
    text = build.stub_file(entry.chapter, workspace.home()) if known is None else known.decode("utf-8-sig")
    for name in (*own, *entry.names):
        if piece := session.definition(name):
            try:
                text = sources.fill(text, name, piece)
            except KeyError:
                text = f"{text.rstrip()}\n\n\n{piece}\n"
    write_whole(path, text)
    return f"Your answers are kept in {path}." if known is None else ""
