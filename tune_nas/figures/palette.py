"""The colors of all figures."""

from __future__ import annotations

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
# Colors of Okabe and Ito, distinguishable with color blindness too.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b8794", "#b8a800")

OPERATIONS = {
    "convolution": ("#dcecf9", "#2f74b5"),
    "pool": ("#fdebd0", "#c77700"),
    "skip": ("#dff3e4", "#2e8b57"),
    "none": ("#f3f4f6", "#9aa5b1"),
    "noise": ("#f3e3f0", "#97487f"),
}
"""Fill and line color of each kind of operation in the drawing of a cell."""
NODE_FILL, NODE_LINE, END_LINE = "#ffffff", "#52606d", "#b0b8c1"
"""Colors of its nodes, and of the lines to its output."""
