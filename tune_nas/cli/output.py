"""Output of commands: text and JSON on stdout."""

from __future__ import annotations

from enum import StrEnum

import typer

from tune_nas.json_text import json_text
from tune_nas.text import printable


class Format(StrEnum):
    """Output format of a command."""

    TABLE = "table"
    JSON = "json"


class TableFormat(StrEnum):
    """Output format of a command whose result is one table of numbers."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json_text(value))


def echo(text: str) -> None:
    """Print a text of several lines, without control characters."""
    typer.echo(printable(text))
