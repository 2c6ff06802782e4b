"""A comparison for a terminal, as a table of rich."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.table import Table

from tune_nas.report.columns import text_table
from tune_nas.report.comparison import Comparison
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.sentence import compose
from tune_nas.text import printable

PIPE_WIDTH = 220
"""Wide enough for every table if the width of the terminal is unknown, e.g. in a pipe."""


class Terminal(ReportFormat):
    """The table, the sentence, and the unfinished trials; colored if stdout is a terminal."""

    def render(self, comparison: Comparison) -> str:
        """Return the report as lines of text."""
        lines = (compose(comparison), *comparison.notes())
        text, on_terminal = io.StringIO(), sys.stdout.isatty()
        console = Console(
            file=text,
            force_terminal=on_terminal,
            width=None if on_terminal else PIPE_WIDTH,
            highlight=False,
            markup=False,
        )
        console.print(to_table(comparison))
        return text.getvalue() + "".join(f"{printable(line)}\n" for line in lines)


def to_table(comparison: Comparison) -> Table:
    """Return the table for a terminal; the best row is bold."""
    content = text_table(comparison)
    table = Table(title=f"Sweep {comparison.sweep}", title_justify="left", title_style="bold")
    for number, title in enumerate(content.header):
        table.add_column(title, justify="left" if number < content.n_axes else "right")
    for number, line in enumerate(content.lines):
        table.add_row(*line, style="bold" if number == content.best else None)
    return table
