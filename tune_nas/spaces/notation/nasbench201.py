"""NAS-Bench-201's notation, to and from lists of edges, and its numbers 0 … 15624.

D-X-Y/NAS-Bench-201 and NATS-Bench (``|nor_conv_3x3~0|+|none~0|skip_connect~1|+…``).
"""

from __future__ import annotations

import itertools
import random
import re
from functools import cache

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Cells, operation_name
from tune_nas.spaces.notation.excerpts import MAX_LENGTH, error_at

SPACE = "nasbench201"
N_CELLS = 15_625

_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_NUMBERINGS = (
    ("NAS-Bench-201", _EDGES, _OPERATIONS),
    (  # automl/NASLib naslib/search_spaces/nasbench201/conversions.py
        "NASLib",
        tuple(sorted(_EDGES)),
        ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"),
    ),
)
_SHUFFLE_SEED = 88  # D-X-Y/AutoDL-Projects exps/NAS-Bench-201/main.py, generate_meta_info


def to_nasbench201(cells: Cells) -> str:
    """Write NAS-Bench-201's notation.

    Raises:
        GenotypeError: If there is not exactly one cell, with one input and all edges.
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


def read_nasbench201(cell: str, text: str, offsets: list[int]) -> Cells:
    """Read NAS-Bench-201's notation.

    Args:
        cell: The cell, without white space and quotes.
        text: The text that contains it.
        offsets: The offset of each of its characters in the text.

    Raises:
        GenotypeError: If it cannot be parsed, an operation is unknown or an edge is missing; says
            where.
    """
    if len(cell) > MAX_LENGTH:
        raise error_at(text, offsets[0], cell, f"is longer than {MAX_LENGTH:,} characters")
    edges: list[tuple[int, int, str]] = []
    start = 0
    for target, part in enumerate(cell.split("+"), start=1):
        if not re.fullmatch(r"\|(?:[\w.:]+~\d{1,4}\|)+", part):
            offset = offsets[min(start, len(offsets) - 1)]
            raise error_at(
                text, offset, part, "must be written |operation~source|, as |skip_connect~0|"
            )
        sources = []
        for match in re.finditer(r"([\w.:]+)~(\d+)", part):
            try:
                edges.append((int(match[2]), target, operation_name(match[1])))
            except GenotypeError as error:
                rule = f"has an {error}"
                raise error_at(text, offsets[start + match.start()], match[0], rule) from error
            sources.append(int(match[2]))
        if sorted(sources) != list(range(target)):
            raise error_at(
                text,
                offsets[start],
                part,
                f"must name each source from 0 to {target - 1} once, for node {target}",
            )
        start += len(part) + 1
    return {"normal": edges}


def cell_of_index(index: int) -> Cells:
    """Return the cell with a number, 0 … 15624, in the benchmark.

    The authors list all cells, with the first edge's operation changing slowest, and shuffle the
    list with Python's generator, seeded with 88.

    Raises:
        GenotypeError: If no cell has this number.
    """
    if not 0 <= index < N_CELLS:
        raise GenotypeError(
            f"'{index}' is no cell: NAS-Bench-201 numbers its cells from 0 to {N_CELLS - 1}"
        )
    operations = _order()[index]
    return {"normal": [(*edge, name) for edge, name in zip(_EDGES, operations, strict=True)]}


def cells_of_numbers(numbers: list[int]) -> list[tuple[str, str]]:
    """Return the possible cells of six operation numbers: the project of the order, the cell."""
    found = []
    for order, edges, operations in _NUMBERINGS:
        named = [(*edge, operations[n]) for edge, n in zip(edges, numbers, strict=True)]
        found.append((order, to_nasbench201({"normal": named})))
    return found


@cache
def _order() -> list[tuple[str, ...]]:
    cells = list(itertools.product(_OPERATIONS, repeat=len(_EDGES)))
    random.Random(_SHUFFLE_SEED).shuffle(cells)
    return cells
