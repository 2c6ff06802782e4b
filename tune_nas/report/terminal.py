"""A comparison for a terminal, as a table of rich."""

from __future__ import annotations

from rich.table import Table

from tune_nas.report.columns import text_table
from tune_nas.report.comparison import Comparison


def to_table(comparison: Comparison) -> Table:
    """Return the table for a terminal; the best row is bold."""
    content = text_table(comparison)
    table = Table(title=f"Sweep {comparison.sweep}", title_justify="left", title_style="bold")
    for number, title in enumerate(content.header):
        table.add_column(title, justify="left" if number < content.n_axes else "right")
    for number, line in enumerate(content.lines):
        table.add_row(*line, style="bold" if number == content.best else None)
    return table
