"""The core stays small enough to read in an afternoon, and its forward passes stay equations."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1] / "cleanlens"
COMPONENTS = sorted((ROOT / "components").glob("*.py"))
# Model, hooks, cache, factored matrix, processing and GPT-2 loading.
CORE = [
    *COMPONENTS,
    *(ROOT / f"{name}.py" for name in ("config", "hook_points", "hooked_transformer", "activation_cache")),
    *(ROOT / f"{name}.py" for name in ("factored_matrix", "weights", "weight_processing", "key_value_cache")),
    *sorted((ROOT / "loading").glob("*.py")),
]
LIMIT = 1_550


def statements(path: Path) -> int:
    """How many there are: one that the formatter spreads over several lines counts once, a docstring not at all."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return sum(isinstance(node, ast.stmt) for node in nodes) - len(texts)


def test_counting_leaves_out_docstrings_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        '"""Module.\n\nMore.\n"""\n\n# why\nx = [\n    1,\n]\n\n\ndef f():\n    """What."""\n    return x  # yes\n'
    )
    assert statements(path) == 3


def test_the_core_is_small() -> None:
    counts = {path.relative_to(ROOT).as_posix(): statements(path) for path in CORE}
    assert sum(counts.values()) <= LIMIT, f"{sum(counts.values())} statements: {counts}"


def test_no_component_asks_what_architecture_it_is() -> None:
    """An `if` on the config in a forward pass: the choice belongs to where the module is built."""
    for path in COMPONENTS:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name == "forward":
                for node in ast.walk(function):
                    if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Match)):
                        question = ast.unparse(getattr(node, "test", node))
                        assert "cfg" not in question, f"{path.name}: if {question}"
                        assert "is None" in question or "is not None" in question, (
                            f"{path.name}: if {question}"
                        )


def test_one_component_is_one_file() -> None:
    assert {path.stem for path in COMPONENTS} == {
        *("__init__", "embed", "pos_embed", "layer_norm", "attention", "mlp", "transformer_block", "unembed"),
    }
