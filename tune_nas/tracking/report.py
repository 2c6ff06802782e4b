"""What a sweep found: a table, one honest sentence about it, and the best genotype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tune_nas.tracking.labels import (
    COLUMNS,
    RETRAIN,
    MetricName,
    axis_label,
    metric_name,
    plural,
    value_label,
)
from tune_nas.tracking.results import TrialResult, encode
from tune_nas.tracking.sentence import compose
from tune_nas.tracking.summary import Row, group, has_diverged, metric_value

if TYPE_CHECKING:
    from rich.table import Table


class Report:
    """The comparison of a sweep's trials, grouped by the swept values.

    Means and standard deviations (n − 1) are over the trials that ran to their end. Where a
    combination was repeated over seeds, its row is about the repeats, and only repeated
    combinations are ranked. A combination of which a seed diverged ranks after all others.

    Args:
        sweep: Name of the sweep.
        axes: Swept dotted keys, the seed left out.
        results: Every trial, retrains included.
        rank_by: Metric of a search (``valid_accuracy``, ``benchmark/cifar10_test``, …), or
            ``retrain/test_accuracy``.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.

    Raises:
        ValueError: If mode is neither ``max`` nor ``min``.
    """

    def __init__(
        self,
        sweep: str,
        axes: Sequence[str],
        results: Sequence[TrialResult],
        rank_by: str,
        mode: str = "max",
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"mode is '{mode}', but must be 'max' or 'min'")
        self.sweep = sweep
        self.axes = list(axes)
        self.results = list(results)
        self.rank_by: MetricName = metric_name(rank_by)
        self.mode = mode
        metrics = dict.fromkeys([column.key for column in COLUMNS] + [self.rank_by.key])
        self._rows = group(self.axes, self.results, list(metrics), self.rank_by.key)

    def rows(self) -> list[Row]:
        """Return a row for each combination of swept values, in the order of the values."""
        return list(self._rows)

    def ranking(self) -> list[Row]:
        """Return the rows that can be compared, the best first."""
        known = self._known()
        repeated = [row for row in known if row.stage == "repeat"]
        return repeated or known

    def not_repeated(self) -> list[Row]:
        """Return the rows that were searched but not repeated where others were, the best first."""
        ranking = self.ranking()
        return [row for row in self._known() if row not in ranking]

    def diverged(self, row: Row) -> int:
        """Return how many trials of a row diverged: searches, or retrains if those rank it."""
        return row.retrains_diverged if self.rank_by.key == RETRAIN else row.diverged

    def best(self) -> TrialResult | None:
        """Return the best search of the best row, or None if no trial can be ranked."""
        ranking = self.ranking()
        if not ranking:
            return None
        row = ranking[0]
        if self.rank_by.key == RETRAIN:
            sought, key = {trial.trial_id: trial for trial in row.trials}, "test_accuracy"
            pairs = [(metric_value(r, key), sought.get(r.parent or "", r)) for r in row.retrained]
        else:
            pairs = [(metric_value(trial, self.rank_by.key), trial) for trial in row.trials]
        known = [(value, trial) for value, trial in pairs if value is not None]
        choose = max if self.mode == "max" else min
        return choose(known, key=lambda pair: pair[0])[1]

    @property
    def best_genotype(self) -> str | None:
        """The best search's genotype as YAML."""
        best = self.best()
        return None if best is None else best.genotype

    def sentence(self) -> str:
        """Return one sentence that reads the table: what is best, by what, and how sure."""
        return compose(self)

    def notes(self) -> list[str]:
        """Return a line for each trial that did not end as planned, with why."""
        notes = []
        for result in self.results:
            status, why = result.status, result.error or result.reason
            if status == "finished" and has_diverged(result, self.rank_by.key):
                status, why = "diverged", "its loss or metric is not finite"
            if status != "finished" or why:
                who = f"{result.stage} {result.trial_id} ({self._describe(result)})"
                notes.append(f"{who} {status}: {why}")
        return notes

    def table(self) -> Table:
        """Return the table for a terminal; the best row is bold."""
        from rich.table import Table

        header, lines = self._cells()
        table = Table(title=f"Sweep {self.sweep}", title_justify="left", title_style="bold")
        for number, title in enumerate(header):
            table.add_column(title, justify="left" if number < len(self.axes) else "right")
        ranking = self.ranking()
        for row, line in zip(self._rows, lines, strict=True):
            best = bool(ranking) and row is ranking[0]
            table.add_row(*line, style="bold" if best else None)
        return table

    def markdown(self) -> str:
        """Return the report as Markdown: the sentence, the table, and what did not finish."""
        header, lines = self._cells()
        ranking = self.ranking()
        parts = [f"# Sweep {self.sweep}", "", self.sentence(), ""]
        parts.append(f"| {' | '.join(header)} |")
        parts.append("|" + "|".join(["---"] * len(self.axes) + ["---:"] * self._width()) + "|")
        for row, line in zip(self._rows, lines, strict=True):
            best = bool(ranking) and row is ranking[0]
            cells = [f"**{cell}**" if best and cell else cell for cell in line]
            parts.append(f"| {' | '.join(cells)} |")
        parts += ["", "Mean ± sample standard deviation over the trials that ran to their end"]
        parts[-1] += " and did not diverge." if "diverged" in self._counts() else "."
        if self.notes():
            parts += ["", *(f"- {note}" for note in self.notes())]
        return "\n".join(parts) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain containers for JSON; inf is the text ``inf``."""
        best = self.best()
        content: Any = encode(
            {
                "sweep": self.sweep,
                "axes": self.axes,
                "rank_by": self.rank_by.key,
                "mode": self.mode,
                "sentence": self.sentence(),
                "best": None if best is None else best.trial_id,
                "best_genotype": self.best_genotype,
                "rows": [_row_dict(row) for row in self._rows],
                "notes": self.notes(),
            }
        )
        return dict(content)

    def _known(self) -> list[Row]:
        """Return the rows that have a value of what is ranked by, the best first."""
        key, sign = self.rank_by.key, -1 if self.mode == "max" else 1
        rows = [row for row in self._rows if key in row.statistics]
        return sorted(
            rows, key=lambda row: (self.diverged(row) > 0, sign * row.statistics[key].mean)
        )

    def _describe(self, result: TrialResult) -> str:
        values = [f"{axis_label(k)} = {value_label(v)}" for k, v in result.parameters.items()]
        return ", ".join([*values, f"seed {result.seed}"])

    def _columns(self) -> list[MetricName]:
        present = [c for c in COLUMNS if any(c.key in row.statistics for row in self._rows)]
        return present if self.rank_by in present else [*present, self.rank_by]

    def _counts(self) -> list[str]:
        names = ("stopped", "failed", "diverged")
        return [name for name in names if any(getattr(row, name) for row in self._rows)]

    def _width(self) -> int:
        return 1 + len(self._counts()) + len(self._columns())

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        columns, counts = self._columns(), self._counts()
        header = [axis_label(axis) for axis in self.axes] + ["n", *counts]
        header += [column.title for column in columns]
        lines = []
        for row in self._rows:
            line = [value_label(row.values[axis]) for axis in self.axes] + [_count(row)]
            line += [str(getattr(row, name)) for name in counts]
            line += [_cell(row, column) for column in columns]
            lines.append(line)
        return header, lines


def _cell(row: Row, column: MetricName) -> str:
    statistic = row.statistics.get(column.key)
    if statistic is None:
        return "–"
    # Often one genotype of each row is retrained, and a metric may be absent in some trials.
    other_n = statistic.n != _n(row)
    return statistic.text(column) + (f", n={statistic.n}" if other_n else "")


def _n(row: Row) -> int:
    """Return the searches of a row that ran to their end; of a lone retrain, the retrains."""
    retrained = row.statistics.get(RETRAIN)
    return row.n if row.n or retrained is None else retrained.n


def _count(row: Row) -> str:
    """Return n, marked where it is of repeats."""
    return plural(row.n, "repeat") if row.stage == "repeat" else str(_n(row))


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "values": row.values,
        "stage": row.stage,
        "n": row.n,
        "stopped": row.stopped,
        "failed": row.failed,
        "diverged": row.diverged,
        "retrains_failed": row.retrains_failed,
        "retrains_diverged": row.retrains_diverged,
        "statistics": {
            key: {"mean": value.mean, "std": value.std, "n": value.n}
            for key, value in row.statistics.items()
        },
        "trials": [trial.trial_id for trial in row.trials],
    }
