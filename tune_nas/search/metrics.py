"""What an epoch reports: numbers by name, whatever type a part of a user's computed them in."""

from __future__ import annotations

import numbers
from typing import Any

from torch import Tensor

from tune_nas.errors import ConfigError

Metrics = dict[str, float]


def make_numbers(metrics: dict[str, Any], part: object) -> None:
    """Convert the values of metrics to plain numbers, in place.

    NumPy scalars, booleans, and tensors and arrays of one element are converted: a checkpoint
    holds plain numbers alone.

    Args:
        metrics: Metrics that a part may have added to.
        part: The part, named in the message.

    Raises:
        ConfigError: If a value is not a number; names the part and the metric.
    """
    for key, value in metrics.items():
        if type(value) in (int, float):
            continue
        number = _number(value)
        if number is None or not isinstance(key, str):
            kind = type(part)
            raise ConfigError(
                f"{kind.__module__}:{kind.__qualname__} adds the metric {key!r} of type "
                f"{type(value).__name__}, but a metric must be a number with a name"
            )
        metrics[key] = number


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.detach().item()
    elif hasattr(value, "item") and getattr(value, "size", None) == 1:
        value = value.item()
    return float(value) if isinstance(value, numbers.Real) else None
