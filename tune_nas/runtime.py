"""Device, precision and determinism of a trial."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from tune_nas.config import RuntimeConfig
from tune_nas.errors import ConfigError
from tune_nas.without_compiler import set_deterministic

# from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_STATUS = Path("/proc/self/status")
_CLEAR_REFS, _RESET_PEAK = Path("/proc/self/clear_refs"), "5"  # see proc(5)
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_device(text: str) -> torch.device:
    """Return the device that ``runtime.device`` names.

    Args:
        text: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: If the text is not a device, or the machine does not have this GPU.
    """
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", text)
    if match is None:
        raise ConfigError(f"runtime.device is '{text}', but must be auto, cpu, cuda or cuda:N")
    if text == "cpu":
        return torch.device("cpu")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(match.group(1) or 0)
    if index >= n_gpus:
        have = f"{n_gpus} usable GPU" + ("" if n_gpus == 1 else "s")
        raise ConfigError(f"runtime.device is '{text}', but this machine has {have}; try auto")
    return torch.device("cuda", index)


def resolve_dtype(text: str) -> torch.dtype:
    """Return the floating-point type that ``runtime.dtype`` names.

    Raises:
        ConfigError: If it is not a supported type.
    """
    if text not in _DTYPES:
        raise ConfigError(f"runtime.dtype is '{text}', but must be one of {', '.join(_DTYPES)}")
    return _DTYPES[text]


def supernet_form(config: RuntimeConfig, device: torch.device) -> Literal["plain", "torch", "fast"]:
    """Return the implementation of a supernet on a device: ``fast`` is the one with kernels.

    On a GPU these are the Triton kernels. They have not been measured there, so ``triton`` alone
    selects them.
    """
    if config.implementation == "triton":
        return "fast"
    if config.implementation == "fast" and device.type == "cuda":
        return "torch"
    return config.implementation


def set_up_runtime(config: RuntimeConfig) -> tuple[torch.device, torch.dtype]:
    """Set up the process for reproducible results of a trial.

    Sets the CPU threads, switches reduced-precision float32 (TF32) off and deterministic algorithms
    on. The few CUDA operations without a deterministic form still run. On a CPU, memory freed by a
    step is kept for the next one.

    Returns:
        The device and the floating-point type of the trial.

    Raises:
        ConfigError: If the device or the type is not usable here.
    """
    device, dtype = resolve_device(config.device), resolve_dtype(config.dtype)
    torch.set_num_threads(config.threads)
    if device.type == "cpu":
        _keep_freed_memory()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    # cuBLAS is deterministic only with a fixed workspace, read when its first handle is created.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    set_deterministic(True, warn_only=True)
    # No result depends on uninitialized memory, and filling it takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
    return device, dtype


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory: the system would clear it again for the next step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries lack it
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_MMAP_THRESHOLD, 2**25)  # bytes; the maximum that every version accepts


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_mib` return the peak from now on.

    On a CPU, Linux does this (``/proc/self/clear_refs``); elsewhere the peak remains that of the
    process since its start.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def peak_memory_mib(device: torch.device) -> float:
    """Return the peak memory use since `reset_peak_memory`, else since the start, in MiB.

    On a GPU, that of torch's tensors; on a CPU, the resident memory of the whole process: also of
    its libraries, its images, and of other searches in it. On Linux it is ``VmHWM``, elsewhere what
    ``getrusage`` says, which is that of the process since its start.
    """
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    found = _status_mib("VmHWM")
    return _peak_since_start_mib() if found is None else found


def resident_memory_mib() -> float:
    """Return the resident memory of this process in MiB; NaN where the system does not say it."""
    found = _status_mib("VmRSS")
    return float("nan") if found is None else found


def _status_mib(name: str) -> float | None:
    """Return a size from Linux's status of this process; None elsewhere."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    return None if found is None else int(found.group(1)) / 2**10


def _peak_since_start_mib() -> float:
    try:
        import resource
    except ImportError:  # Windows has no such module
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def memory_bytes(device: torch.device) -> int | None:
    """Return the maximum memory available to a trial in bytes; None if unknown.

    On a GPU, all of its memory; on a CPU, that of the machine, or the limit of the container if
    less.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" if there is no limit
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits)
