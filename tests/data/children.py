"""The processes that a test has started."""

from __future__ import annotations

import multiprocessing


def children() -> set[int]:
    """Return the processes that this one started and that have not ended."""
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}
