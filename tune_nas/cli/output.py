"""Output of commands: tables and JSON on stdout."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tune_nas.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

# Wide enough for every table if the width of the terminal is unknown, e.g. in a pipe.
_PIPE_WIDTH = 220


class Format(StrEnum):
    """Output format of a command."""

    TABLE = "table"
    JSON = "json"


def print_json(value: Any) -> None:
    """Print one JSON document."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():  # JSON escapes only characters below a space
        kept = (char.isprintable() or char == "\n" for char in text)
        text = "".join(c if k else json.dumps(c)[1:-1] for c, k in zip(text, kept, strict=True))
    typer.echo(text)


def echo(text: str) -> None:
    """Print a text of several lines, without control characters."""
    typer.echo(printable(text))


def plain(value: Any) -> Any:
    """Convert a value to JSON types; ``inf`` becomes the string that YAML accepts."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Path):
        return str(value)
    return value


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table; the columns are keys of each row."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(key)) for key in columns))
    print_rich(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def print_rich(content: RenderableType) -> None:
    """Print content of rich: colored on a terminal, plain and unwrapped in a pipe."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(content)
