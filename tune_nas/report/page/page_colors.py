"""The colors of a report page and of its figures, light and dark."""

from __future__ import annotations

from tune_nas.figures.cell_colors import END_LINE, NODE_LINE, OPERATIONS
from tune_nas.figures.palette import GRID, INK, PALETTE, QUIET

PAPER = "#ffffff"

_DARK_PALETTE = (
    *("#3d9be0", "#f0803c", "#2fc296", "#dd94bd"),
    *("#f0b429", "#8fd0f7", "#a3adb8", "#b9d052"),
)
_DARK_OPERATIONS = {
    "convolution": ("#17344f", "#6db1ee"),
    "pool": ("#463110", "#f0a840"),
    "skip": ("#163d26", "#5cc48a"),
    "none": ("#262d35", "#9aa5b1"),
    "noise": ("#442a3f", "#d48fc0"),
}
_DARK: dict[str, str] = {
    PAPER: "#14181d",
    "#000000": "#f0f3f5",
    INK: "#e6eaee",
    GRID: "#2c343d",
    NODE_LINE: "#a5b1bd",
    END_LINE: "#66717d",
    **dict(zip(PALETTE, _DARK_PALETTE, strict=True)),
    **{
        light: dark
        for kind, pair in OPERATIONS.items()
        for light, dark in zip(pair, _DARK_OPERATIONS[kind], strict=True)
    },
}
# The gray of the scales is too pale for small text on white.
_LIGHT = {QUIET: "#5f6b78"}


def variable(color: str) -> str | None:
    """Return the name of the CSS variable of a figure's color; None if the page keeps the color.

    Args:
        color: The color as ``#rrggbb``, in lower case.
    """
    return f"--c{color[1:]}" if color in _DARK else None


def light_colors() -> dict[str, str]:
    """Return the value of each CSS variable on a light page, and in print."""
    return {f"--c{color[1:]}": _LIGHT.get(color, color) for color in _DARK}


def dark_colors() -> dict[str, str]:
    """Return the value of each CSS variable on a dark page."""
    return {f"--c{color[1:]}": dark for color, dark in _DARK.items()}
