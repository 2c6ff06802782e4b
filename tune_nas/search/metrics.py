"""The metrics of an epoch: numbers by name, converted from the types of custom parts."""

from __future__ import annotations

import numbers
from typing import Protocol, runtime_checkable

from torch import Tensor

from tune_nas.errors import ConfigError

Metrics = dict[str, float]

RESERVED = frozenset(
    {
        *("config", "date", "done", "experiment_id", "experiment_tag", "hostname", "node_ip"),
        *("pid", "iterations_since_restore", "should_checkpoint", "checkpoint_dir_name"),
        *("time_since_restore", "time_this_iter_s", "time_total_s", "timestamp", "trial_id"),
        *("timesteps_since_restore", "timesteps_total", "warmup_time", "training_iteration"),
        "trial_name",
    }
)
"""Entries that Ray Tune adds to every result, irrelevant for a search."""


@runtime_checkable
class _Scalar(Protocol):
    """A NumPy scalar or array of one element."""

    def item(self) -> object: ...


def make_numbers(metrics: Metrics, part: object) -> None:
    """Convert the values of metrics to plain numbers, in place.

    NumPy scalars, booleans, and tensors and arrays of one element are converted: a checkpoint
    contains only plain numbers.

    Args:
        metrics: The metrics, possibly extended by a part.
        part: The part, named in the message.

    Raises:
        ConfigError: If a value is not a number; names the part and the metric.
    """
    kind = type(part)
    reserved = sorted(RESERVED & metrics.keys())
    if reserved:
        raise ConfigError(
            f"{kind.__module__}:{kind.__qualname__} adds the metric '{reserved[0]}', but Ray Tune "
            "reports something else by that name; choose another"
        )
    for key, value in metrics.items():
        if type(value) in (int, float):
            continue
        number = _number(value)
        if number is None or not isinstance(key, str):
            raise ConfigError(
                f"{kind.__module__}:{kind.__qualname__} adds the metric {key!r} of type "
                f"{type(value).__name__}, but a metric must be a number with a name"
            )
        metrics[key] = number


def check_kept(before: Metrics, after: Metrics, part: object) -> None:
    """Reject a part that changes or removes metrics of the search itself.

    Raises:
        ConfigError: If it does; names the part and the metric.
    """
    for key, value in before.items():
        if key not in after or after[key] is not value:
            kind = type(part)
            raise ConfigError(
                f"{kind.__module__}:{kind.__qualname__} changes the metric '{key}' of the search; "
                "add one with another name"
            )


def _number(value: object) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.detach().item()
    elif isinstance(value, _Scalar) and getattr(value, "size", None) == 1:
        value = value.item()
    return float(value) if isinstance(value, numbers.Real) else None
