"""The table that an analysis of a search gives, with its metrics and the axes of its figure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tune_nas.errors import StorageError
from tune_nas.json_text import encode

Value = str | int | float
EPOCH = "epoch"
"""The first column of a table with several epochs."""
TABLE_SUFFIX = ".table.json"
"""Ending of the files in which the probe of an analysis keeps its table."""


@dataclass(frozen=True)
class TableAxes:
    """The columns that the figure of a table shows.

    Args:
        x: Column of the horizontal axis; text is spaced evenly.
        y: Column of the vertical axis.
        series: Column by which points are colored; empty for one color.
        panels: Columns with a panel for each of their values; empty for one panel.
        connected: Whether the points of a series are connected.
        own_epochs: Whether the horizontal axis stays the same for several epochs.
        panels_over_epochs: The panel columns if the horizontal axis is the epoch; None for
            ``panels``.
    """

    x: str
    y: str
    series: str = ""
    panels: tuple[str, ...] = ()
    connected: bool = False
    own_epochs: bool = False
    panels_over_epochs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AnalysisTable:
    """The result of an analysis.

    Args:
        kind: Its kind, e.g. ``gradient-bias``.
        columns: Names of the columns.
        rows: The rows; numbers may be nan.
        axes: The axes of the figure.
        metrics: Finite numbers by name, e.g. for MLflow.
        checkpoint: The checkpoint of the search, an absolute path or a URI; empty in a probe.
    """

    kind: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    axes: TableAxes
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: str = ""

    def __post_init__(self) -> None:
        wrong = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if wrong is not None:
            raise ValueError(f"a row has {len(wrong)} values, but must have {len(self.columns)}")

    def column(self, name: str) -> list[Value]:
        """Return the values of a column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def to_dict(self) -> dict[str, object]:
        """Return plain containers, with each row by column."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {
            "kind": self.kind,
            "checkpoint": self.checkpoint,
            "metrics": self.metrics,
            "columns": list(self.columns),
            "rows": rows,
            "axes": vars(self.axes),
        }

    def to_json(self) -> str:
        """Return the table as JSON; inf and nan, which JSON does not have, become text."""
        return json.dumps(encode(self.to_dict()), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> AnalysisTable:
        """Return the table that `to_json` wrote.

        Args:
            text: The JSON text.
            where: The file, for the message.

        Raises:
            StorageError: If it is damaged.
        """
        with reading_table(where):
            return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> AnalysisTable:
        """Return the table from the containers of its JSON form; call it in `reading_table`."""
        columns = tuple(str(name) for name in content["columns"])
        return cls(
            kind=str(content["kind"]),
            columns=columns,
            rows=[tuple(_decoded(row[name]) for name in columns) for row in content["rows"]],
            axes=_axes(content["axes"]),
            metrics={str(name): float(value) for name, value in content["metrics"].items()},
            checkpoint=str(content["checkpoint"]),
        )

    def to_csv(self) -> str:
        """Return a header and a line for each row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.columns, *self.rows])
        return text.getvalue()

    def title(self) -> str:
        """Return the line above the table."""
        return f"{self.kind}: {self.checkpoint}" if self.checkpoint else self.kind

    def sentence(self) -> str:
        """Return the metrics as a sentence; empty without any."""
        return ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())

    def text_rows(self) -> list[dict[str, str]]:
        """Return the rows as text by column, numbers with four digits."""
        return [dict(zip(self.columns, map(_shown, row), strict=True)) for row in self.rows]

    def markdown(self, name: str) -> str:
        """Return a Markdown page with the table.

        Args:
            name: Name of the run.
        """
        lines = [f"# Analysis {name}", "", f"Kind: {self.kind}", f"Checkpoint: `{self.checkpoint}`"]
        lines += ["", f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        lines += [f"| {' | '.join(row.values())} |" for row in self.text_rows()]
        if self.metrics:
            lines += ["", f"{self.sentence()}."]
        return "\n".join(lines) + "\n"


@contextmanager
def reading_table(where: str) -> Iterator[None]:
    """Raise a StorageError that names a file whose content is not the table of an analysis."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{where} is damaged: not an analysis ({error})") from error


def with_epochs(tables: Sequence[tuple[int, AnalysisTable]]) -> AnalysisTable:
    """Return one table of an analysis in several epochs; its metrics are those of the last one.

    The horizontal axis of its figure is the epoch if there are several.

    Args:
        tables: The number of epochs that had been run, and the table then; at least one.
    """
    _, last = tables[-1]
    axes = last.axes
    if len(tables) > 1 and not axes.own_epochs:
        panels = axes.panels if axes.panels_over_epochs is None else axes.panels_over_epochs
        axes = TableAxes(EPOCH, axes.y, axes.series, panels, connected=True)
    return AnalysisTable(
        kind=last.kind,
        columns=(EPOCH, *last.columns),
        rows=[(epoch, *row) for epoch, table in tables for row in table.rows],
        axes=axes,
        metrics=last.metrics,
    )


def is_table(content: object) -> bool:
    """Return whether the content of a JSON file is that of an `AnalysisTable`."""
    return isinstance(content, Mapping) and {"kind", "columns", "axes"} <= content.keys()


def _axes(content: Mapping[str, Any]) -> TableAxes:
    over_epochs = content["panels_over_epochs"]
    return TableAxes(
        x=str(content["x"]),
        y=str(content["y"]),
        series=str(content["series"]),
        panels=tuple(content["panels"]),
        connected=bool(content["connected"]),
        own_epochs=bool(content["own_epochs"]),
        panels_over_epochs=None if over_epochs is None else tuple(over_epochs),
    )


def _decoded(value: object) -> Value:
    if isinstance(value, str):
        return float(value) if value in ("inf", "-inf", "nan") else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a value is {value!r}, but must be a number or text")
    return value


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
