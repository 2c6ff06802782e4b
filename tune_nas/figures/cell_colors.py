"""The colors in the drawing of a cell."""

from __future__ import annotations

OPERATIONS = {
    "convolution": ("#dcecf9", "#2f74b5"),
    "pool": ("#fdebd0", "#c77700"),
    "skip": ("#dff3e4", "#2e8b57"),
    "none": ("#f3f4f6", "#9aa5b1"),
    "noise": ("#f3e3f0", "#97487f"),
}
"""Fill and line color of each kind of operation."""
NODE_FILL, NODE_LINE, END_LINE = "#ffffff", "#52606d", "#b0b8c1"
"""Colors of nodes, and of the lines to the output."""
