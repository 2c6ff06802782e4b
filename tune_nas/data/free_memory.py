"""Check that images fit in memory, before any is allocated."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from tune_nas.errors import DataError

_GIB = 2**30
_SPARE = 0.9  # of the free memory: the network and its gradients need some
# For both versions of control groups: folder, limit, usage, and file cache within the usage.
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes; None if the system does not say.

    For a CPU, that of the machine or of the control group (container), whichever is less.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_of_machine(), *(_of_cgroup(*paths) for paths in _CGROUPS)]
    return min((free for free in found if free is not None), default=None)


def check_fits(n: int, shape: torch.Size | tuple[int, ...], device: torch.device) -> None:
    """Reject images that do not fit into the free memory of a device.

    Args:
        n: Number of images, uint8.
        shape: Shape of each: channels, height, width.
        device: Target device.

    Raises:
        DataError: If they do not fit; names the size and the remedy.
    """
    free = free_memory(device)
    channels, height, width = shape
    needed = n * channels * height * width
    if free is None or needed <= _SPARE * free:
        return
    side = math.isqrt(int(_SPARE * free) // (n * channels))
    fits = f"to at most {side}" if side >= 4 else "lower"
    where = "GPU memory" if device.type == "cuda" else "memory"
    raise DataError(
        f"data: {n:,} images of {width} × {height} pixels need {needed / _GIB:.1f} GiB of {where}, "
        f"but {free / _GIB:.1f} GiB are free; set data.resolution {fits}, or use fewer images "
        "(data.train_images)"
    )


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, ValueError, StopIteration):
        pass
    try:  # not on Linux: all of it, as the free memory is unknown
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _of_cgroup(folder: str, limit: str, usage: str, cache: str) -> int | None:
    """Return the free memory of a control group; None if there is none, or no limit (``max``)."""

    def read(name: str) -> str:
        return Path(folder, name).read_text(encoding="ascii")

    try:
        used = int(read(usage))
        lines = (line.split() for line in read("memory.stat").splitlines())
        used -= next(int(words[1]) for words in lines if words[0] == cache)  # released on demand
        return max(0, int(read(limit)) - used)
    except (OSError, ValueError, StopIteration):
        return None
