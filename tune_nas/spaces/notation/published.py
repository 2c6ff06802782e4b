"""Published genotypes by name, and cells of other spaces, which no space here contains.

The data is in ``published.yaml``, with the paper and the source file of each.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tune_nas.errors import GenotypeError
from tune_nas.spaces.notation.cells import Reading
from tune_nas.spaces.notation.edge_list import read_edge_list
from tune_nas.yaml_text import parse_yaml

PREFIX = "published:"


@dataclass(frozen=True)
class Published:
    """A published genotype.

    Args:
        name: Its name in the authors' code.
        paper: First author, short title, arXiv number.
        source: Repository and file.
        space: Name of its space.
        parameters: Published number of parameters, in millions, of the CIFAR-10 network with 36
            channels and 20 cells; None if not published.
        edges: Its cells in one line.
        with_auxiliary_head: Whether that count includes the auxiliary head.
    """

    name: str
    paper: str
    source: str
    space: str
    parameters: float | None
    edges: str
    with_auxiliary_head: bool = False

    def read(self) -> Reading:
        """Return its edges."""
        return Reading(read_edge_list(self.edges, 0, len(self.edges)), self.space, assumed=False)


def published_genotypes() -> list[Published]:
    """Return all published genotypes of the table, in its order."""
    return [Published(name, **entry) for name, entry in _table()["genotypes"].items()]


def find_published(name: str) -> Published | None:
    """Return the published genotype of a name, optionally prefixed by ``published:``.

    Raises:
        GenotypeError: If it is a cell of another space, or ``published:`` is followed by an unknown
            name.
    """
    bare = name.removeprefix(PREFIX)
    refuse_other_name(bare)
    entry = _table()["genotypes"].get(bare)
    if entry is not None:
        return Published(bare, **entry)
    if bare == name:
        return None
    names = list(_table()["genotypes"])
    raise GenotypeError(f"'{bare}' is no published genotype of the table: {', '.join(names)}")


def nearest_published(name: str) -> str | None:
    """Return the published name nearest to a text, or None."""
    by_case = {known.lower(): known for known in _table()["genotypes"]}
    near = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.75)
    return by_case[near[0]] if near else None


def refuse_other_name(name: str) -> None:
    """Raise a GenotypeError if a name is that of a cell of another space, e.g. ``NASNet_A``."""
    for other, entry in _table()["refused"].items():
        if name.lower().startswith(other.lower()):
            raise _refusal(other, entry)


def refuse_other_cells(normal: Sequence[tuple[str, int]]) -> None:
    """Raise a GenotypeError if a normal cell is that of NASNet, AmoebaNet, PNASNet or ENAS.

    Args:
        normal: Its operations and their sources, in the order of the authors' files.
    """
    listed = [f"{operation} {source}" for operation, source in normal]
    for other, entry in _table()["refused"].items():
        if listed == entry["normal"]:
            raise _refusal(other, entry)


def _refusal(name: str, entry: Mapping[str, object]) -> GenotypeError:
    return GenotypeError(f"{name} ({entry['paper']}) is a cell that no space holds: {entry['why']}")


@cache
def _table() -> dict[str, Any]:
    content = parse_yaml(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return dict(content)
