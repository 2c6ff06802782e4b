"""A comparison for a terminal, as a table of rich."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.table import Table

from tune_nas.report.baseline_text import BASELINE_TITLE, baseline_lines, baseline_table
from tune_nas.report.columns import TextTable, text_table
from tune_nas.report.comparison import Comparison
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.sentence import compose
from tune_nas.report.setting_text import TITLE, setting_lines, setting_table
from tune_nas.report.size_text import SIZE_TITLE, size_table
from tune_nas.report.statistical_notes import race_lines
from tune_nas.text import printable

PIPE_WIDTH = 220
"""Wide enough for every table if the width of the terminal is unknown, e.g. in a pipe."""


class Terminal(ReportFormat):
    """The table, the sentence, and the unfinished trials; colored if stdout is a terminal."""

    def render(self, comparison: Comparison) -> str:
        """Return the report as lines of text."""
        lines = closing_lines(comparison)
        text, on_terminal = io.StringIO(), sys.stdout.isatty()
        console = Console(
            file=text,
            force_terminal=on_terminal,
            width=None if on_terminal else PIPE_WIDTH,
            highlight=False,
            markup=False,
        )
        for table in to_tables(comparison):
            console.print(table)
        return text.getvalue() + "".join(f"{printable(line)}\n" for line in lines)


def to_table(comparison: Comparison) -> Table:
    """Return the table for a terminal; the best row is bold."""
    return _table(text_table(comparison), f"Sweep {comparison.sweep}")


def to_tables(comparison: Comparison) -> list[Table]:
    """Return all tables: of the sweep, of its baseline, of retraining by setting and by size."""
    others = (
        (baseline_table(comparison), BASELINE_TITLE),
        (setting_table(comparison), TITLE),
        (size_table(comparison), SIZE_TITLE),
    )
    return [
        to_table(comparison),
        *(_table(content, title) for content, title in others if content is not None),
    ]


def closing_lines(comparison: Comparison) -> list[str]:
    """Return the lines below the tables: the sentence, the race, the baseline, the settings, and
    the unfinished trials."""
    own = [compose(comparison), *comparison.remarks, *race_lines(comparison)]
    own += baseline_lines(comparison)
    return [*own, *setting_lines(comparison), *comparison.notes()]


def _table(content: TextTable, title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, title in enumerate(content.header):
        table.add_column(title, justify="left" if number < content.n_axes else "right")
    for number, line in enumerate(content.lines):
        table.add_row(*line, style="bold" if content.is_best(number) else None)
    return table
