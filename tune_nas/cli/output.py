"""Output of commands: text and JSON on stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import typer

from tune_nas.text import printable


class Format(StrEnum):
    """Output format of a command."""

    TABLE = "table"
    JSON = "json"


def print_json(value: object) -> None:
    """Print one JSON document."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():  # JSON escapes only characters below a space
        kept = (char.isprintable() or char == "\n" for char in text)
        text = "".join(c if k else json.dumps(c)[1:-1] for c, k in zip(text, kept, strict=True))
    typer.echo(text)


def echo(text: str) -> None:
    """Print a text of several lines, without control characters."""
    typer.echo(printable(text))


def plain(value: object) -> object:
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
