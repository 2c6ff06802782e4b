"""Rendering of figures without matplotlib's global state: no pyplot, no display, thread-safe."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
# Colors of Okabe and Ito, distinguishable with color blindness too.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b8794", "#b8a800")


def render(figure: Figure, kind: str) -> bytes:
    """Return the figure as the bytes of an ``svg`` or ``png`` file.

    Raises:
        ValueError: If the kind is neither of them.
    """
    if kind not in ("svg", "png"):
        raise ValueError(f"kind is '{kind}', but must be 'svg' or 'png'")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # Without a date, equal figures give equal files.
    metadata = {"Date": None} if kind == "svg" else {}
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()
