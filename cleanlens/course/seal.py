"""What a learner's process is kept from, where the system offers it. Torch-free.

    bubblewrap   a view of the machine with Python, torch and cleanlens in it and nothing else: all of it read-only,
                 no network, its own processes, its own /tmp that goes when it goes
    Landlock     the process gives up, for good, every file but those (where bubblewrap is missing or forbidden,
                 as in many containers; besides it otherwise)
    limits       memory, file sizes, processes: anywhere but on Windows

The checks' own files (oracles, mistakes, right answers) are in neither view: the child gets the asking half of its
exercises as text (see `asking.py`). On macOS, on Windows and in a notebook nothing of the first two holds, and a
learner's code may do what the user who started it may do; README says so.
"""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SECRETS = (PACKAGE / "course" / "chapters", PACKAGE / "course" / "data")
"""What answers are judged by; `data` holds the solutions of an installed course."""

MEMORY = 4 * 2**30  # what a process may allocate beyond what Python and torch hold already
DISK = 256 * 2**20  # of the private /tmp, and of one file
FILES = 256  # open at once
PROCESSES = 64
JOBS = "cleanlens-job-"
"""What the name of a learner's process's own folder begins with, where it has no /tmp of its own."""

ENVIRONMENT = [
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "NUMBER_OF_PROCESSORS",
]
"""What a learner's process is told of ours, and LC_*; no token, key or address is among it."""


@dataclass(frozen=True)
class Abilities:
    """What this machine can seal."""

    bubblewrap: str  # the program, or ""
    landlock: int  # its version, or 0
    why: str = ""  # why bubblewrap cannot be used

    @property
    def any(self) -> bool:
        return bool(self.bubblewrap or self.landlock)


@cache
def abilities() -> Abilities:
    """Tries both, once."""
    if not sys.platform.startswith("linux"):
        return Abilities("", 0, f"there is none on {sys.platform}")
    program, why = shutil.which("bwrap") or "", ""
    if not program:
        why = "it is not installed (the package is called bubblewrap)"
    else:
        python = [sys.executable, "-I", "-S", "-c", "pass"]
        try:
            tried = subprocess.run(
                bubblewrap(python, program=program), capture_output=True, text=True, timeout=20
            )
            why = "" if tried.returncode == 0 else f"the system refuses it ({tried.stderr.strip()[-200:]})"
        except (OSError, subprocess.TimeoutExpired) as error:
            why = f"it does not start ({error})"
    return Abilities("" if why else program, landlock_version(), why)


# ---- what is seen -------------------------------------------------------------------------------------


def visible() -> list[Path]:
    """The folders that Python, torch and cleanlens consist of."""
    system = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix", "/gnu"]
    system += [
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/localtime",
        "/etc/alternatives",
    ]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))]
    python += os.environ.get("PYTHONPATH", "").split(os.pathsep)
    python += [path for path in sys.path if {"site-packages", "dist-packages"} & set(Path(path).parts)]
    checkout = PACKAGE.parent if (PACKAGE.parent / "solutions").is_dir() else None
    paths = [Path(path) for path in [*system, *python] if os.path.isabs(path)]
    wanted = [path for path in paths if path.exists() and path not in (checkout, Path("/"))]
    found = list(dict.fromkeys([*wanted, PACKAGE]))
    return [
        path for path in found if not any(path != other and path.is_relative_to(other) for other in found)
    ]


def bubblewrap(
    command: list[str], extra: Iterable[Path] = (), cwd: str = "/tmp", program: str = ""
) -> list[str]:
    """`command`, to be run where only `visible()` and `extra` are seen."""
    line = [program or abilities().bubblewrap, "--unshare-all", "--die-with-parent", "--new-session"]
    line += ["--cap-drop", "ALL", "--hostname", "exercise"]
    line += ["--size", str(DISK), "--tmpfs", "/tmp"]
    for path in sorted([*visible(), *extra]):
        line += ["--ro-bind", str(path), str(path)]
    for path in SECRETS:
        if path.is_dir():
            line += ["--tmpfs", str(path), "--remount-ro", str(path)]
    line += ["--proc", "/proc", "--dev", "/dev", "--size", str(DISK), "--tmpfs", "/dev/shm"]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", cwd, "--"]
    return line + command


def environment(job: str, temporary: str) -> dict[str, str]:
    """The environment of a learner's process; `job` marks it and whatever it starts."""
    import site

    known = {
        name: value for name, value in os.environ.items() if name in ENVIRONMENT or name.startswith("LC_")
    }
    paths = [str(PACKAGE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return known | {
        "CLEANLENS_JOB": job,
        "HOME": temporary,
        "USERPROFILE": temporary,
        "USER": "learner",
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


# ---- what a process gives up for itself ----------------------------------------------------------------


def limit(memory: int = MEMORY) -> None:
    """Make a huge allocation or file fail instead of taking the machine down (where the system can)."""
    with suppress(Exception):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        total = pages * resource.getpagesize() + memory
        limits = [("AS", total), ("FSIZE", DISK), ("CORE", 0), ("NOFILE", FILES), ("NPROC", PROCESSES)]
        for name, most in limits:
            kind = getattr(resource, f"RLIMIT_{name}")
            if name == "NPROC" and not inside_namespace():
                continue  # it counts all processes of the user, also those that are no business of ours
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most))


def inside_namespace() -> bool:
    """Whether we run under bubblewrap, where no process of anybody else is counted."""
    return os.environ.get("CLEANLENS_SEALED") == "bubblewrap"


def die_with_parent() -> None:
    """Have the system end this process when the thread that started it ends (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


# Landlock: https://docs.kernel.org/userspace-api/landlock.html. The numbers are the kernel's, the same on every
# architecture.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
_WRITE = 1 << 1 | 0b1111111110000  # write a file; remove and make files, folders, links, pipes, sockets
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | _TRUNCATE | _IOCTL


def landlock_version() -> int:
    """The version that the running kernel offers; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, 0, 1), 0)


def landlock(read: Iterable[Path], write: Iterable[Path]) -> bool:
    """From now on this process can open these files and folders only, and no TCP connection. False: not offered."""
    version = landlock_version()
    if version == 0:
        return False
    handled = _READ | _WRITE
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled |= _IOCTL if version >= 5 else 0
    network = 0b11 if version >= 4 else 0  # bind and connect
    scope = 0b11 if version >= 6 else 0  # abstract sockets and signals of others
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = struct.pack("=QQQ", handled, network, scope)[:size]
    libc = ctypes.CDLL(None, use_errno=True)
    ruleset = libc.syscall(_CREATE, rules, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for paths, allowed in ((read, _READ), (write, _READ | _WRITE | _REFER | _TRUNCATE)):
        for path in paths:
            with suppress(OSError):
                handle = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
                rights = allowed & handled & (-1 if path.is_dir() else _OF_A_FILE)
                libc.syscall(_ADD, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
                os.close(handle)
    sealed = libc.prctl(38, 1, 0, 0, 0) == 0 and libc.syscall(_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return sealed


def without(folders: Iterable[Path], secrets: Iterable[Path] = SECRETS) -> Iterator[Path]:
    """The same folders, those that hold a secret replaced by what else is in them: Landlock has no exceptions."""
    secrets = list(secrets)
    for folder in folders:
        if folder in secrets:
            continue
        if any(secret.is_relative_to(folder) for secret in secrets):
            with suppress(OSError):
                yield from without(sorted(folder.iterdir()), secrets)
        else:
            yield folder


def lock(extra: Iterable[Path], temporary: Path) -> bool:
    """Landlock for a learner's process: `visible()` and `extra` to read, `temporary` and /dev to write."""
    devices = [Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "shm")]
    # torch and its like look at the machine; what is there of other processes is hidden by bubblewrap alone.
    machine = [Path("/proc"), Path("/sys/devices/system")] if inside_namespace() else _own_proc()
    return landlock([*without(visible()), *extra, *machine, *devices], [temporary, Path("/dev/null")])


def _own_proc() -> list[Path]:
    names = ("cpuinfo", "meminfo", "stat", "filesystems", "sys/vm", "self")
    return [*(Path("/proc") / name for name in names), Path("/sys/devices/system")]
