"""DARTS's notation, to and from lists of edges: four fields of a named tuple, or of a dictionary.

Sources, all parsed as syntax: quark0/darts ``cnn/genotypes.py``; D-X-Y/AutoDL-Projects
``nas_infer_model/DXYs/genotypes.py`` (two additional fields, always None) and
``cell_searchs/search_model_gdas_nasnet.py`` (a dictionary).
"""

from __future__ import annotations

import ast

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Cells
from tune_nas.spaces.notation.darts_edges import N_INPUTS, Field
from tune_nas.spaces.notation.excerpts import place, shorten
from tune_nas.spaces.notation.expression import Expression
from tune_nas.spaces.notation.published import refuse_other_cells

_CELLS = {"normal": "normal", "reduce": "reduction"}
_FIELDS = tuple(field + end for field in _CELLS for end in ("", "_concat"))
_IGNORED = ("connectN", "connects")


def to_darts(cells: Cells) -> str:
    """Write DARTS's notation.

    Raises:
        GenotypeError: If there are not a normal and a reduction cell with two edges into each
            node from 2 on.
    """
    if set(cells) != set(_CELLS.values()):
        raise GenotypeError("DARTS's notation has a normal and a reduction cell")
    parts = []
    for field, name in _CELLS.items():
        edges = sorted((target, source, operation) for source, target, operation in cells[name])
        nodes = range(N_INPUTS, N_INPUTS + len(edges) // 2)
        if [target for target, _, _ in edges] != [node for node in nodes for _ in range(2)]:
            raise GenotypeError(f"DARTS's notation has two edges into each node; {name} has not")
        pairs = [(operation, source) for _, source, operation in edges]
        parts.append(f"{field}={pairs!r}, {field}_concat={nodes!r}")
    return f"Genotype({', '.join(parts)})"


def read_darts(expression: Expression) -> Cells:
    """Read ``Genotype(normal=[…], normal_concat=…, …)``, or the same as a dictionary.

    Raises:
        GenotypeError: If a field is missing, unknown or invalid; says where.
    """
    found = _fields(expression)
    fields = {name: Field(expression, name, found[name]) for name in _CELLS}
    refuse_other_cells(fields["normal"].pairs())
    cells: Cells = {}
    for field, name in _CELLS.items():
        concat = found[f"{field}_concat"]
        output = expression.nodes(concat)
        cells[name] = fields[field].edges(output)
        last = max([target for _, target, _ in cells[name]] + (output or []))
        nodes = list(range(N_INPUTS, last + 1))
        if output is None or sorted(output) != nodes:
            raise expression.error(
                concat, f"is {field}_concat, but must be all intermediate nodes, {nodes}"
            )
        for node in nodes:
            if all(target != node for _, target, _ in cells[name]):
                raise expression.error(
                    found[field],
                    f"is {field}, but has no edge into node {node}; FairDARTS leaves such a node "
                    "out of the cell's output, but no space does",
                )
    return cells


def _fields(expression: Expression) -> dict[str, ast.expr]:
    """Return the four fields, without those that are always None."""
    listed = ", ".join(_FIELDS)
    found: dict[str, ast.expr] = {}
    for name, value in _named(expression):
        if name in found:
            raise expression.error(value, f"is the field {name} for the second time")
        if name not in (*_FIELDS, *_IGNORED):
            raise expression.error(value, f"is the field {name}; DARTS's notation has {listed}")
        found[name] = value
    missing = [name for name in _FIELDS if name not in found]
    if missing:
        raise GenotypeError(
            f"{place(expression.text, expression.start)}: DARTS's notation has {listed}, but this "
            f"has {shorten(', '.join(found)) or 'none of them'}"
        )
    return found


def _named(expression: Expression) -> list[tuple[str, ast.expr]]:
    root = expression.root
    if isinstance(root, ast.Dict):
        keys = [None if key is None else expression.string(key) for key in root.keys]
        return [(str(key), value) for key, value in zip(keys, root.values, strict=True)]
    if not isinstance(root, ast.Call):
        raise expression.error(root, "must be Genotype(normal=[…], normal_concat=…, …)")
    if len(root.args) > len(_FIELDS):
        raise expression.error(root.args[len(_FIELDS)], "is one field too many")
    positional = list(zip(_FIELDS, root.args, strict=False))
    return positional + [(str(keyword.arg), keyword.value) for keyword in root.keywords]
