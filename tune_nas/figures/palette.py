"""The colors of all figures."""

from __future__ import annotations

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
# Colors of Okabe and Ito, distinguishable with color blindness too.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b8794", "#b8a800")
