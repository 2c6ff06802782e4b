"""Rendering of figures without matplotlib's global state: no pyplot, no display, thread-safe."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def render(figure: Figure, kind: str) -> bytes:
    """Return the figure as the bytes of an ``svg`` or ``png`` file.

    Raises:
        ValueError: If the kind is neither of them.
    """
    if kind not in ("svg", "png"):
        raise ValueError(f"kind is '{kind}', but must be 'svg' or 'png'")
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # Without a date, equal figures give equal files.
    metadata = {"Date": None} if kind == "svg" else {}
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()
