"""Positions in a text, and excerpts to quote in a message."""

from __future__ import annotations

from tune_nas.errors import GenotypeError

MAX_LENGTH = 20_000
"""Maximum characters of one genotype; a published one has about 600."""

MAX_NODES = 1000

QUOTED = 40


def shorten(text: str) -> str:
    """Return a text as one line of at most 40 characters, to be quoted in a message."""
    words = " ".join(text.split())
    return words if len(words) <= QUOTED else words[: QUOTED - 1] + "…"


def place(text: str, offset: int) -> str:
    """Return ``line 3, column 14`` for an offset in a text (1-based)."""
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return f"line {line}, column {column}"


def error_at(text: str, offset: int, piece: str, rule: str) -> GenotypeError:
    """Return the error of a piece of a text: its position, the piece, the violated rule."""
    return GenotypeError(f"{place(text, offset)}: {_quote(piece)} {rule}")


def _quote(piece: str) -> str:
    """Quote a piece, unless it starts with a bracket or a quote."""
    short = shorten(piece)
    return short if short[:1] in ("(", "[", "{", "'", '"') else f"'{short}'"
