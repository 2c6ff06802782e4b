"""What a trainable reported, without what Ray adds to every result."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from tune_nas.tracking.outcome import ENDED

_OF_RAY = frozenset(
    {
        *("config", "date", "done", "experiment_id", "experiment_tag", "hostname", "node_ip"),
        *("pid", "iterations_since_restore", "should_checkpoint", "checkpoint_dir_name"),
        *("time_since_restore", "time_this_iter_s", "time_total_s", "timestamp", "trial_id"),
        *("timesteps_since_restore", "timesteps_total", "warmup_time", "training_iteration"),
        "trial_name",
    }
)


def report_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's metrics, its genotype, and why the trial has ended itself."""
    own = {key: result[key] for key in ("genotype", ENDED) if isinstance(result.get(key), str)}
    return {**metrics_of(result), **own}


def metrics_of(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a Ray result, nested ones with ``/``, without Ray's own entries."""
    metrics: dict[str, float] = {}
    for key, value in result.items():
        if isinstance(value, bool) or (not prefix and key in _OF_RAY):
            continue
        if isinstance(value, Mapping):
            metrics |= metrics_of(value, f"{prefix}{key}/")
        elif isinstance(value, numbers.Real):
            metrics[f"{prefix}{key}"] = float(value)
    return metrics
