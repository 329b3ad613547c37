"""What all tests share.

Shape annotations of the core are executed: every call of an annotated function checks its arguments' and
result's shapes (jaxtyping's import hook with beartype), so that no annotation can be wrong for long.
"""

import os
import sys
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config as jaxtyping_config
from jaxtyping import install_import_hook

CHECKED_MODULES = [
    f"cleanlens.{name}"
    for name in (
        "components",
        "hooked_transformer",
        "factored_matrix",
        "activation_cache",
        "weights",
        "weight_processing",
        "utils",
        "key_value_cache",
        "patching",
    )
]

assert not any(name in sys.modules for name in CHECKED_MODULES), "cleanlens was imported before the hook"
install_import_hook(CHECKED_MODULES, "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers have the cores; threads of each would only wait for one another


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--network", action="store_true", help="run the tests that need a model hub")
    parser.addoption("--slow", action="store_true", help="run the slow tests (or set CLEANLENS_SLOW=1)")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--network"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, which is later


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {
        "network": config.getoption("--network"),
        "slow": config.getoption("--slow") or os.environ.get("CLEANLENS_SLOW"),
    }
    for item in items:
        for marker, is_wanted in wanted.items():
            if item.get_closest_marker(marker) and not is_wanted:
                item.add_marker(pytest.mark.skip(reason=f"give --{marker} to run it"))
    real = [item for item in items if item.get_closest_marker("real")]  # keywords hold folders' names too
    if real:
        from cleanlens.loading.fetch import at_hand

        if not at_hand("smollm2-135m"):
            for item in real:
                item.add_marker(
                    pytest.mark.skip(reason="cleanlens fetch smollm2-135m gets the model it needs")
                )


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """For tests of our own messages about wrong shapes, which the check would come before."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def same_start() -> Iterator[None]:
    """Each file starts from the same random numbers and with gradients on, whatever ran before it."""
    torch.manual_seed(0)
    with torch.enable_grad():
        yield


@pytest.fixture(autouse=True, scope="module")
def nobodys_progress(request: pytest.FixtureRequest) -> Iterator[None]:
    """A chapter that a test runs is not the learner's: it leaves no progress behind."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name.startswith("test_chapter_"):
            patch.setenv("CLEANLENS_PROGRESS", "off")
        yield
