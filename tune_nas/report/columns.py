"""The table of a comparison as text: the cells and titles of every format."""

from __future__ import annotations

from dataclasses import dataclass

from tune_nas.report.comparison import Comparison
from tune_nas.report.front import front_of, has_front, infeasible_of
from tune_nas.report.labels import (
    COLUMNS,
    RETRAIN,
    MetricName,
    axis_label,
    metric_name,
    value_label,
)
from tune_nas.report.objectives import metrics_of
from tune_nas.report.rows import Row
from tune_nas.text import plural

_ON_FRONT = "yes"


@dataclass(frozen=True)
class TextTable:
    """A comparison's table.

    Args:
        header: Title of each column: the swept keys, then numbers.
        lines: The cells of each row, in the order of the swept values.
        n_axes: Number of columns with swept keys.
        best: Index of the best line; None if no row can be ranked.
        front: Indices of the lines on the Pareto front; empty for one objective.
        counts_diverged: Whether a column counts diverged trials.
    """

    header: list[str]
    lines: list[list[str]]
    n_axes: int
    best: int | None
    counts_diverged: bool
    front: frozenset[int] = frozenset()

    def is_best(self, index: int) -> bool:
        """Return whether a line is the best one or, with several objectives, on the front."""
        return index in (self.front or {self.best})


def text_table(comparison: Comparison) -> TextTable:
    """Return the table of a comparison, without empty columns."""
    rows = comparison.rows()
    columns, counts = _columns(comparison, rows), _counts(rows)
    header = [axis_label(axis) for axis in comparison.axes] + ["n", *counts]
    header += [column.title for column in columns]
    marks = _marks(comparison, rows)
    header += ["front" if has_front(comparison) else "feasible"] * bool(marks)
    lines = []
    for number, row in enumerate(rows):
        line = [value_label(row.values[axis]) for axis in comparison.axes] + [_count(row)]
        line += [str(getattr(row, name)) for name in counts]
        line += [_cell(row, column) for column in columns]
        lines.append(line + marks[number : number + 1])
    ranking = comparison.ranking()
    best = next((i for i, row in enumerate(rows) if ranking and row is ranking[0]), None)
    front = frozenset(number for number, mark in enumerate(marks) if mark == _ON_FRONT)
    return TextTable(
        *(header, lines, len(comparison.axes), best, "diverged" in counts),
        front=front if has_front(comparison) else frozenset(),
    )


def _marks(comparison: Comparison, rows: list[Row]) -> list[str]:
    """Return whether each row is on the front, or feasible; empty if there is nothing to tell."""
    several = has_front(comparison)
    if not several and not comparison.constraints:
        return []
    ranked = [*comparison.ranking(), *comparison.not_repeated()]
    best = front_of(comparison) if several else ranked
    kinds = ((_ON_FRONT, best), ("no", ranked), ("infeasible", infeasible_of(comparison)))
    return [
        next((mark for mark, of_kind in kinds if any(row is each for each in of_kind)), "–")
        for row in rows
    ]


def _columns(comparison: Comparison, rows: list[Row]) -> list[MetricName]:
    present = [c for c in COLUMNS if any(c.key in row.statistics for row in rows)]
    shown = {column.key for column in present}
    own = {comparison.rank_by.key: comparison.rank_by}
    deciding = metrics_of(comparison.goals, comparison.constraints)
    missing = [key for key in deciding if key not in shown]
    return [*present, *(own.get(key) or metric_name(key) for key in missing)]


def _counts(rows: list[Row]) -> list[str]:
    names = ("stopped", "failed", "diverged")
    return [name for name in names if any(getattr(row, name) for row in rows)]


def _cell(row: Row, column: MetricName) -> str:
    statistic = row.statistics.get(column.key)
    if statistic is None:
        return "–"
    # Often one genotype per row is retrained, and some trials may lack a metric.
    other_n = statistic.n != _n(row)
    return statistic.text(column) + (f", n={statistic.n}" if other_n else "")


def _n(row: Row) -> int:
    """Return the number of finished searches of a row, or of retraining runs without searches."""
    retrained = row.statistics.get(RETRAIN)
    return row.n if row.n or retrained is None else retrained.n


def _count(row: Row) -> str:
    """Return n, marked if it counts repeats."""
    return plural(row.n, "repeat") if row.phase == "repeat" else str(_n(row))
