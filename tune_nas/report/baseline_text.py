"""The comparison with a baseline as text: a table, and lines that say how to read it."""

from __future__ import annotations

from tune_nas.report.baseline import Improvement, compare_with_baseline
from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import axis_label, value_label
from tune_nas.text import listed

BASELINE_TITLE = "Compared with the baseline"


def baseline_table(comparison: Comparison) -> TextTable | None:
    """Return the difference to the baseline, and the probability of improvement, of each row."""
    found = compare_with_baseline(comparison)
    if found is None or not found.rows:
        return None
    name = comparison.rank_by
    header = [*map(axis_label, comparison.axes), "n", name.title, "this − baseline"]
    header += ["P(improvement)", "95 % interval"]
    lines = []
    for own in found.rows:
        statistic = own.row.statistics[name.key]
        line = [value_label(own.row.values[axis]) for axis in comparison.axes]
        line += [str(statistic.n), statistic.text(name), f"{own.difference:+.{name.digits}f}"]
        low, high = own.interval
        lines.append([*line, f"{own.probability:.2f}", f"[{low:.2f}, {high:.2f}]"])
    return TextTable(header, lines, len(comparison.axes), None, counts_diverged=False)


def baseline_lines(comparison: Comparison) -> list[str]:
    """Return which rows are better and worse than the baseline, and how that was computed."""
    if comparison.baseline is None:
        return []
    label = ", ".join(
        f"{axis_label(key)} = {value_label(value)}" for key, value in comparison.baseline.items()
    )
    found = compare_with_baseline(comparison)
    if found is None:
        return [f"the baseline, {label}, has no value that can be compared"]
    if not found.rows:
        return [f"nothing can be compared with the baseline, {label}"]
    base = found.baseline.statistics[comparison.rank_by.key]
    worse = [own for own in found.rows if own.interval[1] < 0.5]
    better = _labels([own for own in found.rows if own.is_better])
    return [
        f"baseline: {label}, {base.text(comparison.rank_by)}, n = {base.n}; better than it, by the "
        f"intervals: {better}; worse: {_labels(worse)}",
        "P(improvement): the probability that a search is better than one of the baseline, over "
        "all pairs of their seeds, ties counted half; 95 % interval by Newcombe's method 5 (90 % "
        "with 3 seeds), not corrected for the number of rows",
    ]


def _labels(rows: list[Improvement]) -> str:
    return listed([own.row.label for own in rows]) if rows else "none"
