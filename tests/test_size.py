"""The core stays small enough to read in an afternoon, and its forward passes stay equations."""

import ast
from pathlib import Path

from cleanlens import HookedTransformer

ROOT = Path(__file__).parents[1] / "cleanlens"
COMPONENTS = sorted((ROOT / "components").glob("*.py"))
# What a reader of GPT-2 meets; every other component and family is a file that GPT-2 does without, and `choices` and
# `aliases` are the tables in which those are looked up.
GPT2_COMPONENTS = ("attention", "embed", "layer_norm", "mlp", "pos_embed", "transformer_block", "unembed")
OTHER_COMPONENTS = [path for path in COMPONENTS if path.stem not in (*GPT2_COMPONENTS, "__init__", "choices")]
SHARED_LOADING = ("__init__", "pretrained", "files", "gpt2", "names", "native")
OTHER_FAMILIES = ("bert", "gpt_neo", "gpt_neox", "gptj", "interpretability", "llama", "opt", "tables")
# Model, hooks, cache, factored matrix, processing and GPT-2 loading.
CORE = [
    *(ROOT / "components" / f"{name}.py" for name in GPT2_COMPONENTS),
    *(ROOT / f"{name}.py" for name in ("config", "hook_points", "hooked_transformer", "activation_cache")),
    *(ROOT / f"{name}.py" for name in ("factored_matrix", "weights", "weight_processing", "key_value_cache")),
    *(ROOT / "loading" / f"{name}.py" for name in SHARED_LOADING),
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


def test_another_family_is_a_few_small_files() -> None:
    for path in [*OTHER_COMPONENTS, ROOT / "components/choices.py"]:
        assert statements(path) <= 60, path.name
    for name in OTHER_FAMILIES:
        assert statements(ROOT / "loading" / f"{name}.py") <= 80, name


def test_one_component_is_one_file() -> None:
    assert {path.stem for path in OTHER_COMPONENTS} == {
        *(
            "rms_norm",
            "rotary_attention",
            "alibi_attention",
            "grouped_query_attention",
            "local_attention",
            "gated_mlp",
            "solu_mlp",
        ),
        *("parallel_block", "shortformer", "bert_embed", "bert_block", "bert_mlm_head"),
    }


def test_gpt2_is_built_of_its_own_components_alone() -> None:
    """Nothing of another family is in a GPT-2, and its components import nothing of theirs."""
    model = HookedTransformer.from_pretrained_no_processing("gpt2-demo")
    used = {type(module).__module__.rpartition(".")[2] for module in model.modules()}
    assert not used & {path.stem for path in OTHER_COMPONENTS}
    for name in GPT2_COMPONENTS:
        source = (ROOT / "components" / f"{name}.py").read_text(encoding="utf-8")
        assert not [path.stem for path in OTHER_COMPONENTS if f"components.{path.stem} import" in source]
