"""The comparison with a baseline as text: a table, and lines that say how to read it."""

from __future__ import annotations

from tune_nas.report.baseline import compare_with_baseline
from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import RETRAIN, axis_label, value_label, values_label
from tune_nas.report.rows import Row
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
        lines.append([*line, f"{own.probability:.2f}", f"[{low:.3f}, {high:.3f}]"])
    return TextTable(header, lines, len(comparison.axes), None, counts_diverged=False)


def baseline_lines(comparison: Comparison) -> list[str]:
    """Return which rows are better and worse than the baseline, and how that was computed."""
    if comparison.baseline is None:
        return []
    label = values_label(comparison.baseline)
    found = compare_with_baseline(comparison)
    if found is None:
        return [f"the baseline, {label}, {_why_not_compared(comparison)}"]
    if not found.rows:
        return [f"nothing can be compared with the baseline, {label}"]
    name = comparison.rank_by
    base = found.baseline.statistics[name.key]
    better = _labels([own.row for own in found.rows if own.interval[0] > 0.5])
    worse = _labels([own.row for own in found.rows if own.interval[1] < 0.5])
    lines = [
        f"baseline: {label} ({name.words} {base.text(name)}{name.unit}, n = {base.n}); better than "
        f"it, by the intervals: {better}; worse: {worse}"
    ]
    comparable = comparison.ranking(comparable=True)
    others = [row for row in comparison.ranking() if not any(row is own for own in comparable)]
    if others:
        lines.append(
            "not compared with the baseline, since a seed diverged or they were dropped from a "
            f"race: {_labels(others)}"
        )
    run = "a retraining run" if name.key == RETRAIN else "a search"
    lines.append(
        f"P(improvement): the probability that {run} is better than one of the baseline, over all "
        "pairs of these, ties counted half; 95 % interval by Newcombe's method 5, not corrected "
        "for the number of rows"
    )
    if name.key == RETRAIN:
        lines[-1] += "; it is about the retrained genotypes, not about other searches"
    return lines


def _why_not_compared(comparison: Comparison) -> str:
    row = next((row for row in comparison.rows() if row.values == comparison.baseline), None)
    if row is None:
        return "has no trial that has ended"
    if comparison.diverged(row):
        return "has a diverged seed"
    if row.dropped:
        return "was dropped from a race over seeds"
    if any(row is other for other in comparison.not_repeated()):
        return "was not repeated over seeds, as others were"
    return f"has no {comparison.rank_by.words}, or violates a constraint"


def _labels(rows: list[Row]) -> str:
    return listed([row.label for row in rows]) if rows else "none"
