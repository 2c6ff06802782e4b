"""Names of swept keys, their values and the metrics, and the order of values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.text import printable

SweptValue: TypeAlias = "str | int | float | tuple[SweptValue, ...] | None"
"""A value of a swept key, as `normalize` returns it; None if the trial has no such key."""

SETTING = "retrain.setting"
"""The key of the setting of a retraining run, if a sweep has several; beside the swept keys."""

CONVOLUTIONS = "retrain.convolutions"
"""The key of the model size of a retraining run, if a sweep retrains the best of each size."""

_NAMES = {
    "update.lambda": "λ",
    "update.lambda_prime": "λ'",
    "update.level": "level",
    "update.order": "order",
    "update.sequence": "sequence",
    "relaxation.kind": "relaxation",
    "selection.kind": "selection",
    "space.name": "space",
    "data.name": "data",
    "optimizer.alphas.kind": "α optimizer",
    SETTING: "setting",
    CONVOLUTIONS: "convolutions",
}
_RETRAIN = "retrain."
_PREFIXES = {"optimizer.alphas.": "α ", "optimizer.weights.": "w "}


@dataclass(frozen=True)
class MetricName:
    """Display name of a metric.

    Args:
        key: Its name in the results.
        title: Title of its column.
        words: Its name in a sentence.
        unit: Unit in sentences, with a leading space.
        digits: Number of decimal places.
        spread: Whether the table shows its standard deviation.
    """

    key: str
    title: str
    words: str
    unit: str = ""
    digits: int = 2
    spread: bool = True


RETRAIN = "retrain/test_accuracy"
BENCHMARK = "benchmark/cifar10_test"
COLUMNS = (
    MetricName("valid_accuracy", "valid %", "supernet valid accuracy", " %"),
    MetricName("gap", "gap", "train-valid gap", " points"),
    MetricName("genotype/skips", "skips", "number of skips", digits=1, spread=False),
    MetricName("genotype/convolutions", "convs", "number of convolutions", digits=1, spread=False),
    MetricName("genotype/parameters", "parameters", "number of parameters", digits=0, spread=False),
    MetricName(BENCHMARK, "benchmark %", "benchmark test accuracy", " %"),
    MetricName(RETRAIN, "test %", "retrain test accuracy", " %"),
    MetricName("seconds", "search s", "search seconds", " s", digits=1, spread=False),
)

# Those that no column shows.
_OTHERS = (
    MetricName("genotype/multiply_adds", "multiply-adds", "number of multiply-adds", digits=0),
    MetricName("skip_advantage", "skip advantage", "mean(α skip − α conv)", digits=3),
)


VALID_ACCURACY = COLUMNS[0].key


def valid_accuracy_of(of_candidates: Collection[bool]) -> tuple[MetricName, str]:
    """Return the display name of the validation accuracy of searches, and whose it is.

    Args:
        of_candidates: For each search, whether it is a black-box search, whose accuracy is that of
            a trained candidate rather than of a supernet.
    """
    name = COLUMNS[0]
    if not any(of_candidates):
        return name, "supernets, not the networks found"
    if all(of_candidates):
        return (
            replace(name, words="valid accuracy of the best candidate"),
            "candidates that were trained shortly, on half of the images",
        )
    return replace(name, words="valid accuracy"), "supernets and candidates"


def metric_name(key: str) -> MetricName:
    """Return the display name of a metric; a custom metric is shown under its own name."""
    key = RETRAIN if key == "test_accuracy" else key
    known = {column.key: column for column in (*COLUMNS, *_OTHERS)}
    if key in known:
        return known[key]
    unit = " %" if "accuracy" in key or key.startswith("benchmark/") else ""
    return MetricName(key, key, key, unit, digits=2 if unit else 4)


def axis_label(key: str) -> str:
    """Return the display name of a swept dotted key: ``update.lambda`` is λ.

    A key without one is shortened to the shortest ending that no other key of a search has:
    ``temperature.end``. Keys of the retraining are marked by ``retrain``.
    """
    if key in _NAMES:
        return _NAMES[key]
    for prefix, sign in _PREFIXES.items():
        if key.startswith(prefix):
            return sign + key.removeprefix(prefix).replace("_", " ")
    label = key if key.startswith(_RETRAIN) else _shortest_end(key)
    return label if "." in label else label.replace("_", " ")


@cache
def _shortest_end(key: str) -> str:
    others = [other for other in dotted_keys(TrialConfig) if not other.startswith(_RETRAIN)]
    parts = key.split(".")
    ends = (".".join(parts[-length:]) for length in range(1, len(parts)))
    alone = (end for end in ends if sum(f".{o}".endswith(f".{end}") for o in others) <= 1)
    return next(alone, key)


def value_label(value: object) -> str:
    """Return a swept value as text: ``0.1``, ``inf``, ``sigmoid``; a dash if it is missing."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value_label(entry) for entry in value)
    return f"{value:.4g}" if isinstance(value, int | float) else printable(str(value))


def values_label(values: Mapping[str, object]) -> str:
    """Return swept keys with their values as text: ``λ = 0.1, order = 2``."""
    return ", ".join(f"{axis_label(key)} = {value_label(value)}" for key, value in values.items())


def normalize(value: object) -> SweptValue:
    """Convert a swept value so that equal values compare equal and can be dict keys.

    YAML reads ``inf`` and ``1e-3`` as text; they are numbers here.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, list | tuple):
        return tuple(normalize(entry) for entry in value)
    if value is None or isinstance(value, int | float):
        return value
    return str(dict(value)) if isinstance(value, Mapping) else str(value)


def order_key(value: SweptValue) -> tuple[int, float, str]:
    """Return a sort key: numbers by size with inf last, then text, then missing values."""
    if value is None:
        return (2, 0.0, "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, value_label(value))
