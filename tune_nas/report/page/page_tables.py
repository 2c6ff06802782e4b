"""The tables of a report page: cells with their texts and sort keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import (
    COLUMNS,
    RETRAIN,
    SETTING,
    MetricName,
    axis_label,
    metric_name,
    normalize,
    value_label,
)
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import has_diverged, metric_value
from tune_nas.report.run_details import TrialDetails
from tune_nas.text import plural

_AMOUNT = re.compile(r"(-?[\d,]*\.?\d+(?:e[+-]?\d+)?)( M)?")
_MISSING = "–"


@dataclass(frozen=True)
class PageCell:
    """A cell.

    Args:
        text: Its text.
        number: The number by which its column is sorted; None to sort it as text, after numbers.
        kind: ``number``; ``text``; ``short``, which is never broken; or ``words``, which are
            wrapped.
        mark: A class of CSS; empty for none.
    """

    text: str
    number: float | None = None
    kind: str = "text"
    mark: str = ""

    @property
    def sort_key(self) -> str:
        """The number as JavaScript reads it; empty for a text."""
        if self.number is None:
            return ""
        return repr(self.number).replace("inf", "Infinity")


@dataclass(frozen=True)
class PageTable:
    """A table.

    Args:
        header: Titles of the columns; ``number`` columns are aligned right.
        rows: The cells.
        best: Indices of the best row, or of those on the front.
    """

    header: list[PageCell]
    rows: list[list[PageCell]]
    best: frozenset[int] = frozenset()


def as_page_table(table: TextTable) -> PageTable:
    """Return a table of the report as a table of the page."""
    kinds = ["text"] * table.n_axes + ["number"] * (len(table.header) - table.n_axes)
    return PageTable(
        header=[PageCell(text, kind=kind) for text, kind in zip(table.header, kinds, strict=True)],
        rows=[
            [
                PageCell(text, leading_number(text), kind)
                for text, kind in zip(line, kinds, strict=True)
            ]
            for line in table.lines
        ],
        best=frozenset(n for n in range(len(table.lines)) if table.is_best(n)),
    )


def leading_number(text: str) -> float | None:
    """Return the number with which a cell starts: 91.2 for ``91.20 ± 0.31``; None without one."""
    if text in ("inf", "-inf"):
        return float(text)
    found = _AMOUNT.match(text)
    if found is None:
        return None
    return float(found[1].replace(",", "")) * (1e6 if found[2] else 1)


def trial_table(comparison: Comparison, trials: Sequence[TrialDetails]) -> PageTable:
    """Return the table of all trials: values, seed, status, metrics and remarks."""
    results = [trial.result for trial in trials]
    metrics = _metrics(comparison, results)
    with_setting = any(SETTING in result.parameters for result in results)
    axes = [*comparison.axes, *([SETTING] if with_setting else [])]
    header = [PageCell("trial"), PageCell("phase")]
    header += [PageCell(axis_label(axis)) for axis in axes]
    header += [PageCell("seed", kind="number"), PageCell("status")]
    header.append(PageCell("epochs", kind="number"))
    header += [PageCell(metric.title, kind="number") for metric in metrics]
    header.append(PageCell("remarks", kind="words"))
    rows = []
    for trial in trials:
        result, status = trial.result, _status(trial, comparison)
        row = [PageCell(result.trial_id), PageCell(result.phase, kind="short")]
        row += [_value(result.parameters.get(axis)) for axis in axes]
        row += [
            PageCell(str(result.seed), result.seed, "number"),
            PageCell(status, kind="short", mark=_mark(status)),
        ]
        row.append(_epochs(trial))
        row += [_metric(result, metric) for metric in metrics]
        row.append(PageCell("; ".join(_remarks(trial)), kind="words"))
        rows.append(row)
    best = comparison.best()
    places = [n for n, r in enumerate(results) if best is not None and r.trial_id == best.trial_id]
    return PageTable(header, rows, frozenset(places))


def _metrics(comparison: Comparison, results: Sequence[TrialResult]) -> list[MetricName]:
    """Return the metrics of the columns: the metrics of the comparison that a trial has."""
    names = [*COLUMNS, *(metric_name(goal.key) for goal in comparison.goals), comparison.rank_by]
    known = {name.key: name for name in names}
    return [
        name
        for name in known.values()
        if any(_amount(result, name.key) is not None for result in results)
    ]


def _amount(result: TrialResult, key: str) -> float | None:
    return metric_value(result, "test_accuracy" if key == RETRAIN else key)


def _metric(result: TrialResult, name: MetricName) -> PageCell:
    value = _amount(result, name.key)
    if value is None:
        own = result.metrics.get("test_accuracy" if name.key == RETRAIN else name.key)
        return PageCell(_MISSING if own is None else str(own), None, "number")
    return PageCell(f"{value:,.{name.digits}f}", value, "number")


def _value(value: object) -> PageCell:
    known = normalize(value)
    number = float(known) if isinstance(known, int | float) else None
    return PageCell(value_label(known), number)


def _epochs(trial: TrialDetails) -> PageCell:
    done = int(trial.result.metrics.get("epoch", len(trial.result.history)))
    whole = trial.epochs is None or done == trial.epochs
    return PageCell(str(done) if whole else f"{done} of {trial.epochs}", done, "number")


def _status(trial: TrialDetails, comparison: Comparison) -> str:
    ended = trial.status in ("finished", "failed")
    rank_by = comparison.rank_by.key
    metric = RETRAIN if trial.result.phase == "retrain" else rank_by
    return "diverged" if ended and has_diverged(trial.result, metric) else trial.status


def _mark(status: str) -> str:
    return {"failed": "bad", "diverged": "bad", "finished": ""}.get(status, "notice")


def _remarks(trial: TrialDetails) -> list[str]:
    """Return why the trial ended, its retries and resumes, and what it took over."""
    result = trial.result
    remarks = [why] if (why := result.error or result.reason) else []
    if trial.retries:
        last = f", last after: {trial.last_error}" if trial.last_error else ""
        remarks.append(f"retried {_times(trial.retries)}{last}")
    if trial.sessions > 1:
        remarks.append(f"resumed {_times(trial.sessions - 1)}")
    if result.parent is not None:
        remarks.append(f"genotype of {result.parent}")
    if trial.taken:
        remarks.append(f"{plural(trial.taken, 'epoch')} of {trial.taken_from}")
    return remarks


def _times(count: int) -> str:
    return "once" if count == 1 else plural(count, "time")
