"""This project's forms: YAML with one line per edge, and the same in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Cells, operation_name
from tune_nas.spaces.notation.excerpts import error_at, shorten

ONE_LINE = re.compile(r"(?m)(?:^|(?<=[\s'\"]))[A-Za-z_]\w*:[ ]+\d{1,4}->\d{1,4}[ ][^\n'\"]*")


def parse_edge(text: str) -> tuple[int, int]:
    """Read ``0->2``.

    Raises:
        GenotypeError: If it has another form.
    """
    match = re.fullmatch(r"\s*(\d{1,4})\s*->\s*(\d{1,4})\s*", text)
    if not match:
        raise GenotypeError(f"edge '{shorten(text)}' must be written SOURCE->TARGET, as 0->2")
    return int(match[1]), int(match[2])


def to_edge_list(cells: Cells) -> str:
    """Write ``normal: 0->2 skip_connect, 1->2 none; reduction: …``."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{source}->{target} {kind}" for source, target, kind in edges)
        for name, edges in cells.items()
    )


def read_edge_list(text: str, start: int, end: int) -> Cells:
    """Read the form that `to_edge_list` writes, between two offsets of a text.

    Raises:
        GenotypeError: If it cannot be parsed, a cell is duplicated or an operation is unknown; says
            where.
    """
    cells: Cells = {}
    offset = start
    for part in text[start:end].split(";"):
        name, colon, listed = part.partition(":")
        if not colon or not re.fullmatch(r"\s*\w+\s*", name) or name.strip() in cells:
            raise error_at(text, offset, part, "must be a cell, as normal: 0->2 skip_connect, …")
        cells[name.strip()] = []
        position = offset + len(name) + 1
        for entry in listed.split(","):
            match = re.fullmatch(r"\s*(\d{1,4})->(\d{1,4})\s+([\w.:]+)\s*", entry)
            inside = position + len(entry) - len(entry.lstrip())
            if not match:
                raise error_at(text, inside, entry, "must be an edge, as 0->2 skip_connect")
            try:
                operation = operation_name(match[3])
            except GenotypeError as error:
                raise error_at(text, inside, entry, f"has an {error}") from error
            cells[name.strip()].append((int(match[1]), int(match[2]), operation))
            position += len(entry) + 1
        offset += len(part) + 1
    return cells


def read_mapping(content: Mapping[object, object]) -> tuple[str, Cells]:
    """Read the content of the YAML form, ``{space: …, cells: {normal: {0->2: none, …}, …}}``.

    Raises:
        GenotypeError: If it has another form.
    """
    if set(content) != {"space", "cells"}:
        raise GenotypeError("a genotype has the keys 'space' and 'cells', and no others")
    space, cells = content["space"], content["cells"]
    if not isinstance(space, str) or not isinstance(cells, dict) or not cells:
        raise GenotypeError("space must be a name, and cells a mapping of cells")
    return space, {str(name): _cell(name, cell) for name, cell in cells.items()}


def _cell(name: object, content: object) -> list[tuple[int, int, str]]:
    if not isinstance(content, dict):
        raise GenotypeError(f"cell {name!r} must be a mapping as 0->2: sep_conv_3x3")
    return [(*parse_edge(str(key)), str(value)) for key, value in content.items()]
