"""Noticing that the learner saved something. Torch-free."""

import time
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("exercises", "chapters")
SECONDS = 0.5


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every answer file's time, size and number on the disk; one of them differs after any kind of save."""
    found = {}
    for folder in FOLDERS:
        for path in (root / folder).glob("*"):
            if path.suffix in (".py", ".ipynb") and not path.name.startswith("."):
                try:
                    about = path.stat()
                except OSError:
                    continue  # an editor that saves by renaming: gone for a moment
                found[f"{folder}/{path.name}"] = (about.st_mtime_ns, about.st_size, about.st_ino)
    return found


def saves(root: Path) -> Iterator[set[str]]:
    """The files that changed, each time some did. Ends never; Ctrl-C is the caller's."""
    before = snapshot(root)
    for _ in ticks(root):
        now = snapshot(root)
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        if changed:
            before = now
            yield changed


def ticks(root: Path) -> Iterator[None]:
    """A good moment to look: when the system reports a change, and every so often where it does not."""
    folders = [root / folder for folder in FOLDERS if (root / folder).is_dir()]
    try:
        import watchfiles

        if not folders:
            raise FileNotFoundError
        for _ in watchfiles.watch(
            *folders,
            watch_filter=None,
            debounce=100,
            step=30,
            rust_timeout=1000,
            yield_on_timeout=True,
            raise_interrupt=True,
            recursive=False,
        ):
            yield
    except (ImportError, OSError, RuntimeError):
        pass  # no such package, too many watches, a file system that reports nothing: look at the clock instead
    while True:
        time.sleep(SECONDS)
        yield
