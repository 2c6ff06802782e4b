"""The metrics of an epoch in the store, and those that show which epochs it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tune_nas.tracking.names import entity_names

EPOCH = "epoch"
"""In a history, the number of the epoch; in the store, the step of its metrics."""
_FIRST = ("valid_accuracy", "test_accuracy")
"""Logged first: the comparison page of MLflow opens on the metric that was logged first."""


def stored_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of an epoch under names that MLflow accepts, the accuracies first.

    The number of the epoch is left out: it is the step of each metric.
    """
    names = entity_names(metrics)
    order = sorted(names, key=lambda key: key not in _FIRST)  # stable
    return {names[key]: float(metrics[key]) for key in order if key != EPOCH}


def covering_metrics(history: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Yield metrics of which every epoch of a history has at least one; usually a single one.

    The metrics of an epoch are stored in one transaction. Therefore, the store has an epoch if and
    only if it has any of its metrics at that step.
    """
    left = [names for names in (list(stored_metrics(metrics)) for metrics in history) if names]
    while left:
        counts = Counter(name for names in left for name in names)
        common = max(counts, key=lambda name: counts[name])
        yield common
        left = [names for names in left if common not in names]
