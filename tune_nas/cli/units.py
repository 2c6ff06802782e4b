"""Ages and sizes for people."""

from __future__ import annotations

_AGES = (("d", 86_400), ("h", 3600), ("min", 60))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def age_text(seconds: float) -> str:
    """Return a duration in its largest unit: ``3 d``, ``2 h``, ``5 min``, ``12 s``."""
    whole = max(0, int(seconds))
    for unit, length in _AGES:
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def size_text(size: int) -> str:
    """Return a number of bytes in its largest unit: ``512 B``, ``1.5 MiB``."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_SIZES[unit]}"
