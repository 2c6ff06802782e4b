"""The report of a trainable, without the entries that Ray adds to every result."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

from tune_nas.learner import ENDED
from tune_nas.search.metrics import RESERVED
from tune_nas.sweep.reports_file import MADE_WITH, TAKEN, TAKEN_FROM


def report_of(result: Mapping[str, object]) -> dict[str, object]:
    """Return a result's metrics, genotype, who ran it, and the reason if the trial ended itself."""
    kept = ("genotype", ENDED, TAKEN_FROM, TAKEN, MADE_WITH)
    own = {key: result[key] for key in kept if isinstance(result.get(key), str)}
    return {**metrics_of(result), **own}


def metrics_of(result: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a Ray result, nested ones with ``/``, without Ray's entries."""
    metrics: dict[str, float] = {}
    for key, value in result.items():
        if isinstance(value, bool) or (not prefix and key in RESERVED):
            continue
        if isinstance(value, Mapping):
            metrics |= metrics_of(value, f"{prefix}{key}/")
        elif isinstance(value, numbers.Real):
            metrics[f"{prefix}{key}"] = float(value)
    return metrics
