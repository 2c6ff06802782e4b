"""Several searches in one process, with joint passes.

A supernet of 16 channels is far too small for a large GPU, and a sweep has many. Here, each search
runs unchanged in a separate thread; for a pass of its supernet it waits for the others, and equal
kinds of passes run jointly.
"""

from __future__ import annotations

from tune_nas.search.together.shared import SharedObjective, Together

__all__ = ["SharedObjective", "Together"]
