"""The command that runs the original library's own tests: on a stand-in for its sources, with a package of its own."""

import sys
from pathlib import Path

import pytest

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
