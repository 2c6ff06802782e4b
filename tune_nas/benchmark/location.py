"""Location of the table: one file per user, so that every search finds it."""

from __future__ import annotations

import os
from pathlib import Path

from tune_nas.paths import expanded

AUTO = "auto"
VARIABLE = "TUNE_NAS_BENCHMARK"


def user_table() -> Path:
    """Return the file that ``tune-nas benchmark import`` writes; it may not exist.

    ``TUNE_NAS_BENCHMARK`` if set, else ``tune-nas/nasbench201.csv.gz`` in the user's data folder
    (``XDG_DATA_HOME``, else ``~/.local/share``).
    """
    named = os.environ.get(VARIABLE)
    if named:
        return expanded(named)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return expanded(data) / "tune-nas" / "nasbench201.csv.gz"


def find_table(table: str | None) -> Path | None:
    """Return the file that a trial's ``benchmark.table`` refers to; None for no table.

    Args:
        table: A path, ``auto`` for the user's file if there is one, or None.
    """
    if table != AUTO:
        return None if table is None else expanded(table)
    found = user_table()
    return found if found.is_file() else None
