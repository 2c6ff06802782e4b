"""The papers' own notations of a genotype, to and from lists of (source, target, operation).

DARTS (quark0/darts ``cnn/genotypes.py``) and NAS-Bench-201 (D-X-Y/NAS-Bench-201). Text is
taken apart as syntax; nothing of it is ever run.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from tune_nas.errors import GenotypeError

Cells = dict[str, list[tuple[int, int, str]]]
"""Edges as (source, target, operation) by cell type."""

_DARTS_START = re.compile(r"(?:\w+\s*=\s*)?Genotype\s*\(")
_DARTS_INPUTS = 2
_DARTS_FIELDS = {"normal": "normal", "reduce": "reduction"}
_MOST_NODES = 1000
_LONGEST = 20_000  # characters; a published genotype has about 600


def looks_like_darts(text: str) -> bool:
    """Return whether a text starts as DARTS's notation does."""
    return _DARTS_START.match(text) is not None


def parse_edge(text: str) -> tuple[int, int]:
    """Read ``0->2``.

    Raises:
        GenotypeError: If it is written otherwise.
    """
    match = re.fullmatch(r"\s*(\d{1,4})\s*->\s*(\d{1,4})\s*", text)
    if not match:
        raise GenotypeError(f"edge '{shorten(text)}' must be written SOURCE->TARGET, as 0->2")
    return int(match[1]), int(match[2])


def shorten(text: str) -> str:
    """Return a text as one line of at most 40 characters, to be quoted in a message."""
    words = " ".join(text.split())
    return words if len(words) <= 40 else words[:39] + "…"


def to_darts(cells: Cells) -> str:
    """Write DARTS's notation.

    Raises:
        GenotypeError: If there are not a normal and a reduction cell with two edges into each
            node from 2 on.
    """
    if set(cells) != set(_DARTS_FIELDS.values()):
        raise GenotypeError("DARTS's notation has a normal and a reduction cell")
    parts = []
    for field, name in _DARTS_FIELDS.items():
        edges = sorted((target, source, operation) for source, target, operation in cells[name])
        nodes = range(_DARTS_INPUTS, _DARTS_INPUTS + len(edges) // 2)
        if [target for target, _, _ in edges] != [node for node in nodes for _ in range(2)]:
            raise GenotypeError(f"DARTS's notation has two edges into each node; {name} has not")
        pairs = [(operation, source) for _, source, operation in edges]
        parts.append(f"{field}={pairs!r}, {field}_concat={nodes!r}")
    return f"Genotype({', '.join(parts)})"


def from_darts(text: str) -> Cells:
    """Read DARTS's notation.

    Raises:
        GenotypeError: If it does not parse, lacks a field, or concatenates other nodes than all
            intermediate ones.
    """
    fields = _darts_fields(text)
    cells: Cells = {}
    for field, name in _DARTS_FIELDS.items():
        pairs, concat = fields[field], fields[f"{field}_concat"]
        if not isinstance(pairs, list | tuple) or not pairs or len(pairs) % 2:
            raise GenotypeError(f"{field} must be a list of pairs, two for each node")
        edges = []
        for index, pair in enumerate(pairs):
            if not (
                isinstance(pair, list | tuple)
                and len(pair) == 2
                and isinstance(pair[0], str)
                and type(pair[1]) is int
            ):
                raise GenotypeError(
                    f"{field}: {shorten(repr(pair))} must be a pair as ('sep_conv_3x3', 0)"
                )
            edges.append((pair[1], _DARTS_INPUTS + index // 2, pair[0]))
        nodes = list(range(_DARTS_INPUTS, _DARTS_INPUTS + len(pairs) // 2))
        if not _is_nodes(concat) or sorted(concat) != nodes:
            raise GenotypeError(f"{field}_concat must be all intermediate nodes, {nodes}")
        cells[name] = edges
    return cells


def _darts_fields(text: str) -> dict[str, Any]:
    body = text.strip()
    match = _DARTS_START.match(body)
    if not match or len(body) > _LONGEST:
        raise GenotypeError("DARTS's notation is Genotype(normal=[…], normal_concat=…, …)")
    try:
        call = ast.parse("Genotype(" + body[match.end() :], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("arguments must be named")
        fields = {str(word.arg): _literal(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise GenotypeError(
            f"DARTS's notation does not parse: {' '.join(str(error).split())}"
        ) from error
    needed = [field + end for field in _DARTS_FIELDS for end in ("", "_concat")]
    if sorted(fields) != sorted(needed):
        raise GenotypeError(
            f"DARTS's notation has {', '.join(needed)}, but this has {shorten(', '.join(fields))}"
        )
    return fields


def _literal(node: ast.expr) -> Any:
    """Return a literal, or a list for ``range(a, b)``."""
    if isinstance(node, ast.Call):
        bounds = [ast.literal_eval(argument) for argument in node.args]
        is_range = isinstance(node.func, ast.Name) and node.func.id == "range"
        if not is_range or node.keywords or not _is_nodes(bounds):
            raise ValueError("only range(a, b) may be called")
        return list(range(*bounds))
    return ast.literal_eval(node)


def _is_nodes(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        type(node) is int and 0 <= node < _MOST_NODES for node in value
    )


def to_nasbench201(cells: Cells) -> str:
    """Write NAS-Bench-201's notation.

    Raises:
        GenotypeError: If there is not one cell, of one input, with all of its edges.
    """
    if set(cells) != {"normal"}:
        raise GenotypeError("NAS-Bench-201's notation has one cell, normal")
    operations = {(source, target): operation for source, target, operation in cells["normal"]}
    last = max((target for _, target in operations), default=0)
    wanted = [(source, target) for target in range(1, last + 1) for source in range(target)]
    if sorted(operations) != sorted(wanted):
        raise GenotypeError("NAS-Bench-201's notation has every edge of the cell")
    nodes = (
        "|" + "".join(f"{operations[source, target]}~{source}|" for source in range(target))
        for target in range(1, last + 1)
    )
    return "+".join(nodes)


def from_nasbench201(text: str) -> Cells:
    """Read NAS-Bench-201's notation.

    Raises:
        GenotypeError: If it does not parse, or an edge is missing.
    """
    edges = []
    if len(text) > _LONGEST:
        raise GenotypeError("NAS-Bench-201's notation is |op~0|+|op~0|op~1|+…; this is too long")
    for target, part in enumerate(text.strip().split("+"), start=1):
        if not re.fullmatch(r"\|(?:[\w.:]+~\d{1,4}\|)+", part):
            raise GenotypeError(
                f"'{shorten(part)}' must be written |operation~source|, as |skip_connect~0|"
            )
        entries = [entry.split("~") for entry in part.strip("|").split("|")]
        sources = [int(source) for _, source in entries]
        if sorted(sources) != list(range(target)):
            raise GenotypeError(
                f"'{shorten(part)}' must name each source from 0 to {target - 1} once, "
                f"for node {target}"
            )
        edges += [(int(source), target, operation) for operation, source in entries]
    return {"normal": edges}
