"""`python -m cleanlens.published.original --tests FOLDER --baseline PYTHON`: the original library's own tests, run here.

FOLDER is `tests` of its source distribution (`pip download --no-deps --no-binary :all: "transformer_lens<4"`, unpacked),
PYTHON that of an environment with the original and pytest. Both run every test without the network; counted are
those that the original passes.
"""

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def run_tests(python: str, folder: Path, options: Iterable[str] = ()) -> dict[str, str]:
    """The outcome of every test in this folder, not in those below it: "passed", "skipped", or why it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        files = sorted(str(path) for path in folder.glob("test_*.py"))
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
        command += ["-o", "addopts=", f"--junitxml={report}", *options, *files]
        ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **OFFLINE})
        if not report.exists():
            raise SystemExit(
                f"{python} could not run pytest in {folder}:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
            )
        outcomes = {}
        for case in ET.parse(report).iter("testcase"):
            bad = [found for found in case if found.tag in ("failure", "error", "skipped")]
            why = "passed" if not bad else (bad[0].get("message") or bad[0].tag).strip().splitlines()[0]
            name = f"{case.get('classname', '')}::{case.get('name')}".lstrip(":")
            outcomes[name] = "skipped" if bad and bad[0].tag == "skipped" else why
        return outcomes
