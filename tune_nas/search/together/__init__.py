"""Many searches in one process, their passes run as one.

A supernet of 16 channels is far too small for a big GPU, and a sweep has many. Here each search
runs in a thread of its own, as it is written; where it wants a pass of its supernet it waits for
the others, and passes that are alike are run at once.
"""

from __future__ import annotations

from tune_nas.search.together.shared import SharedObjective, Together

__all__ = ["SharedObjective", "Together"]
