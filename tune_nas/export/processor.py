"""The processor of this machine, as far as it matters for int8."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_VNNI = {"avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI"}


@dataclass(frozen=True)
class Processor:
    """A processor.

    Args:
        name: Its name, as the operating system reports it.
        vnni: Names of its instructions for products of int8 that do not saturate; None if unknown.
    """

    name: str
    vnni: tuple[str, ...] | None

    def __str__(self) -> str:
        """Return the name and the instructions, e.g. ``AMD EPYC (AVX512-VNNI)``."""
        if self.vnni is None:
            return f"{self.name} (VNNI unknown)"
        return f"{self.name} ({', '.join(self.vnni) or 'without VNNI'})"


def this_processor() -> Processor:
    """Return the processor of this machine; its instructions are known on Linux alone."""
    try:
        return read_cpu_info(_CPU_INFO.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return Processor(platform.processor() or platform.machine(), None)


def read_cpu_info(text: str) -> Processor:
    """Return the first processor of the content of ``/proc/cpuinfo``."""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)  # x86 alone has them
    found = set(flags[1].split()) if flags else set()
    return Processor(
        name[1].strip() if name else platform.machine(),
        tuple(title for flag, title in _VNNI.items() if flag in found) if flags else None,
    )
