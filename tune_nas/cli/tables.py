"""Tables on stdout, by rich."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

from tune_nas.report.terminal import PIPE_WIDTH
from tune_nas.text import printable


def print_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, narrow: bool = False
) -> None:
    """Print rows as a table; the columns are keys of each row.

    Args:
        columns: The keys, in order.
        rows: The rows.
        narrow: Leave 2 characters between columns instead of 3.
    """
    print_rich(table_of(columns, rows, narrow=narrow))


def table_of(
    columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, narrow: bool = False
) -> Table:
    """Return rows as a table, as `print_table` prints it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0) if narrow else (0, 1))
    for column in columns:
        # a dotted name is a key of a trial, to be copied as it is
        title = column if "." in column else column.replace("_", " ")
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(key)) for key in columns))
    return table


def print_rich(content: RenderableType) -> None:
    """Print content of rich: colored on a terminal, plain and unwrapped in a pipe."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(content)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
