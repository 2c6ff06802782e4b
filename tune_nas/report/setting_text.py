"""The comparison of retraining settings as text: a table, and lines about the orders."""

from __future__ import annotations

import statistics

from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import RETRAIN, axis_label, metric_name, value_label, values_label
from tune_nas.report.setting_comparison import Agreement, SettingComparison, SettingRow
from tune_nas.text import listed, plural

TITLE = "Retraining by setting"
_MISSING = "–"


def setting_table(comparison: Comparison) -> TextTable | None:
    """Return the table of the retraining runs by setting; None for fewer than two settings."""
    found = comparison.by_setting
    if found is None:
        return None
    name = metric_name(RETRAIN)
    counts = [
        count for count in ("failed", "diverged") if any(getattr(r, count) for r in found.rows)
    ]
    ranks = bool(found.agreements)
    header = ["setting", *map(axis_label, comparison.axes), "n", *counts, name.title]
    lines = []
    for row in found.rows:
        line = [
            value_label(row.setting),
            *(value_label(row.values[axis]) for axis in comparison.axes),
        ]
        line.append(str(0 if row.accuracy is None else row.accuracy.n))
        line += [str(getattr(row, count)) for count in counts]
        line.append(_MISSING if row.accuracy is None else row.accuracy.text(name))
        lines.append(line + [_MISSING if row.rank is None else str(row.rank)] * ranks)
    header += ["rank"] * ranks
    return TextTable(header, lines, 1 + len(comparison.axes), None, "diverged" in counts)


def setting_lines(comparison: Comparison) -> list[str]:
    """Return lines about the settings: which one the other table has, what is missing, and τ."""
    found = comparison.by_setting
    if found is None:
        return []
    first, others = found.settings[0], found.settings[1:]
    lines = [f"the first table has the retraining runs under {first} alone"]
    lines += [line for setting in (first, *others) for line in _missing(found, setting)]
    axes = listed([axis_label(axis) for axis in comparison.axes]) if comparison.axes else ""
    lines += [_agreement(agreement, axes) for agreement in found.agreements]
    known = [pair.tau for pair in found.agreements if pair.tau is not None]
    if len(known) > 1:
        lines.append(f"mean τ of {len(known)} pairs of settings: {statistics.fmean(known):.2f}")
    return lines


def _missing(found: SettingComparison, setting: str) -> list[str]:
    """Say which values have no mean under a setting, or one that cannot be compared."""
    rows = [row for row in found.rows if row.setting == setting and row.values]
    without = [_label(row) for row in rows if row.accuracy is None]
    diverged = [_label(row) for row in rows if row.accuracy is not None and row.diverged]
    lines = [f"no mean under {setting}: {listed(without)}"] if without else []
    if diverged:
        lines.append(f"left out of τ, since a run under {setting} diverged: {listed(diverged)}")
    return lines


def _agreement(agreement: Agreement, axes: str) -> str:
    first, second = agreement.settings
    order = f"the order of {axes} under {first} and {second}"
    values = plural(agreement.n, "value")
    if agreement.tau is not None:
        return f"{order}: τ = {agreement.tau:.2f} over {values}"
    if agreement.n < 2:
        return f"{order}: τ is not defined, since only {values} can be compared"
    return f"{order}: τ is not defined, since all {values} have the same mean under one of them"


def _label(row: SettingRow) -> str:
    return values_label(row.values)
