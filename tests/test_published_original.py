"""What the original library itself says: the command that runs its tests, on a stand-in for its sources; and its
names of models and checkpoints, where CLEANLENS_TRANSFORMER_LENS is a Python that has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cleanlens.loading.aliases import PUBLISHED
from cleanlens.loading.names import get_checkpoint_labels, official_name
from cleanlens.published.original import main, summary, why_left_out

TESTS = {
    "unit/test_names.py": """
import transformer_lens

def test_both_have_it():
    from transformer_lens.utils import get_act_name
    assert get_act_name("k", 6) == "blocks.6.attn.hook_k"

def test_only_the_original_has_it():
    from transformer_lens.utils import of_its_own

def test_neither_passes():
    assert False
""",
    "unit/tools/test_bridge.py": """
from transformer_lens.model_bridge import nothing

def test_it():
    pass
""",
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    package = {
        "__init__.py": "",
        "utils.py": "def get_act_name(*_): return 'blocks.6.attn.hook_k'\nof_its_own = 1",
        "model_bridge.py": "nothing = 1",
    }
    files = {f"transformer_lens/{name}": text for name, text in package.items()}
    files |= {f"tests/{name}": text for name, text in TESTS.items()}
    files |= dict.fromkeys(
        ("tests/__init__.py", "tests/unit/__init__.py", "tests/unit/tools/__init__.py"), ""
    )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "tests"


def test_what_the_original_passes_is_counted(sources: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--tests", str(sources), "--baseline", sys.executable]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 (33.3%) of 3 of the tests that the original passes without the network pass here."
    assert said[1].startswith("      1 of them left out below: TransformerBridge")
    assert said[2].startswith("1 (50.0%) of 2 of those that belong to HookedTransformer's API")
    assert said[3].startswith("  unit.test_names::test_only_the_original_has_it: ImportError")
    assert len(said) == 4


def test_a_folder_without_tests(sources: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["--tests", str(sources), "--only", "integration*"])
    assert "has no folder like 'integration*' with tests in it" in capsys.readouterr().err


def test_reasons() -> None:
    assert why_left_out("tests.unit.factored_matrix.test_constructor::test_init") is None
    assert "4 bits" in str(why_left_out("tests.unit.components.test_attention::test_attention_4bit_x[False]"))
    assert "version 4" in str(why_left_out("tests.unit.test_deprecation_warnings::test_a"))
    assert summary({"tests.a::b": "passed", "tests.a::c": "skipped"}).startswith(
        "1 (100.0%) of 1 of the tests"
    )


ASK = """
import contextlib, io, json
with contextlib.redirect_stdout(io.StringIO()):
    from transformer_lens import loading_from_pretrained as original
    names = original.OFFICIAL_MODEL_NAMES
    trained = [name for name in names if name.startswith(("stanford-crfm/", "EleutherAI/pythia"))]
    labels = {name: original.get_checkpoint_labels(name) for name in trained}
print(json.dumps([{name: original.MODEL_ALIASES.get(name, []) for name in names}, labels]))
"""
MOVED = {"distilgpt2": "distilbert/distilgpt2"} | {
    name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
}
"""Ids that the hub has given an owner since."""


@pytest.mark.skipif(
    "CLEANLENS_TRANSFORMER_LENS" not in os.environ, reason="needs a Python with the original library"
)
def test_every_name_and_checkpoint_of_the_original() -> None:
    command = [os.environ["CLEANLENS_TRANSFORMER_LENS"], "-c", ASK]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    models, labels = json.loads(answer.stdout)
    assert len(models) > 200
    assert len(labels) > 40
    refused = 0
    for theirs, aliases in models.items():
        id = MOVED.get(theirs, theirs)
        for name in [theirs, *aliases]:
            if id in PUBLISHED:
                assert official_name(name) == id, name
            elif name.count("/") != 1:  # an id with an owner stands for itself: its config says what it is
                with pytest.raises(ValueError, match="is not built"):
                    official_name(name)
                refused += 1
    assert refused > 50
    for name, (steps, kind) in labels.items():
        assert get_checkpoint_labels(name) == (steps, kind), name
