"""The colors of all figures."""

from __future__ import annotations

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
# Colors of Okabe and Ito, distinguishable with color blindness too.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b8794", "#b8a800")
# For the order of many values: from blue to yellow, which color blindness leaves apart. All of them
# have a contrast of at least 3.3 with white and with a dark page.
SEQUENTIAL = ("#2f6fd6", "#7d63d0", "#b9529f", "#d5563f", "#c97a00")


def sequential_color(share: float) -> str:
    """Return the color of a position in an order, from 0 (blue) to 1 (yellow), as ``#rrggbb``."""
    position = min(max(share, 0.0), 1.0) * (len(SEQUENTIAL) - 1)
    left = min(int(position), len(SEQUENTIAL) - 2)
    weight = position - left
    low, high = (bytes.fromhex(SEQUENTIAL[at][1:]) for at in (left, left + 1))
    mixed = bytes(round((1 - weight) * a + weight * b) for a, b in zip(low, high, strict=True))
    return f"#{mixed.hex()}"
