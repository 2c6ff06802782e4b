"""Compiles the kernels once per processor and torch version, into torch's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.native.gpu import gpu_kernels_for

if sys.platform != "win32":
    import fcntl

_FOLDER = Path(__file__).parent / "kernels"
_SOURCES = (
    *("stage.cpp", "evaluate.cpp", "bridges.cpp", "mix.cpp", "pool.cpp", "partial.cpp"),
    "threads.cpp",
)
_OPENMP = sys.platform == "linux" and bool(torch.backends.openmp.is_available())  # type: ignore[no-untyped-call]
_FLAGS = (
    "-O3",
    "-march=native",
    *(["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []),
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    # Without it, `at::parallel_for` is an ordinary loop. The library is not linked with OpenMP:
    # it uses the one of torch, which `_share_threads` checks.
    *(["-fopenmp"] if _OPENMP else []),
)
_LOG = logging.getLogger(__name__)


@cache
def build_kernels() -> bool:
    """Compile the kernels, or find compiled ones; return whether they can be used.

    It takes a minute the first time on a machine. If it fails, e.g. without a compiler, one
    line is logged, and the fast form uses the operations of torch.
    """
    name = f"tune_nas_kernels_{_identity()}"
    library = _cache() / name / f"{name}.so"
    try:
        with _alone(_cache() / f"{name}.lock"):
            if library.exists():
                torch.ops.load_library(library)  # type: ignore[no-untyped-call]
            else:
                _LOG.warning("compiling kernels for this processor, once (about a minute) …")
                _compile(name, library.parent)
            _share_threads()
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        _LOG.warning("no compiled kernels, torch's operations are used: %s", reason[0])
        return False
    return True


def _compile(name: str, folder: Path) -> None:
    """Compile and load the kernels; the folder appears once it is complete."""
    from torch.utils import cpp_extension

    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as scratch:
        build = Path(scratch) / name
        build.mkdir()
        with _tools_of_this_python():
            cpp_extension.load(
                name,
                [str(_FOLDER / source) for source in _SOURCES],
                extra_cflags=list(_FLAGS),
                build_directory=str(build),
                is_python_module=False,
            )
        build.rename(folder)


def _share_threads() -> None:
    """Check that the loops of the kernels have as many threads as torch says.

    Raises:
        RuntimeError: If they have those of another OpenMP library, which torch does not set.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        found = torch.ops.tune_nas.threads_of_loops()
    finally:
        torch.set_num_threads(before)
    if found not in (1, before + 1):
        raise RuntimeError(f"the kernels have {found} threads with torch's {before + 1}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time continue; the lock of a killed process is free."""
    if sys.platform == "win32":
        raise OSError("the lock of the cache needs a POSIX system")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kernels_for(x: Tensor) -> bool:
    """Whether there are kernels for a tensor (n, channels, h, w): its device, type and channels."""
    device = x.device.type
    return (
        device in ("cpu", "cuda")
        and x.dtype in (torch.float32, torch.float64)
        and x.shape[1] % 4 == 0
        and not torch.is_autocast_enabled(device)
        and (build_kernels() if device == "cpu" else gpu_kernels_for(x))
    )


def _cache() -> Path:
    """Return torch's folder for compiled extensions."""
    named = os.environ.get("TORCH_EXTENSIONS_DIR")
    return Path(named) if named else Path.home() / ".cache" / "torch_extensions"


def _identity() -> str:
    """Return a short hash of everything that the compiled kernels depend on."""
    digest = hashlib.sha256(" ".join((torch.__version__, *_FLAGS, _processor())).encode())
    for path in sorted(_FOLDER.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> str:
    """Return the processor's features, since nodes of a cluster may share their cache."""
    about = Path("/proc/cpuinfo")
    if not about.exists():
        return f"{platform.machine()} {platform.processor()}"
    lines = about.read_text(encoding="utf-8").splitlines()
    wanted = ("flags", "Features", "model name")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


@contextmanager
def _tools_of_this_python() -> Iterator[None]:
    """Let ninja be found where pip installed it, even if no environment is activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join((before, str(Path(sys.executable).parent)))
    try:
        yield
    finally:
        os.environ["PATH"] = before
