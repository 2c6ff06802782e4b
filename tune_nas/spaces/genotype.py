"""Genotypes: discrete cells, one for each cell type of a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.spaces import notation
from tune_nas.spaces.registry import KINDS, check_operation, operation_kind
from tune_nas.spaces.space import Edge, Space
from tune_nas.yaml_text import parse_yaml


@dataclass(frozen=True)
class GenotypeEdge:
    """An edge that the genotype keeps, and its operation."""

    source: int
    target: int
    operation: str

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class CellGenotype:
    """One discrete cell: its edges, ordered by target, then source.

    Raises:
        GenotypeError: If an edge is there twice or leads backwards, or an operation is unknown.
    """

    edges: tuple[GenotypeEdge, ...]

    def __post_init__(self) -> None:
        edges = tuple(sorted(self.edges, key=lambda edge: (edge.target, edge.source)))
        object.__setattr__(self, "edges", edges)
        for edge in edges:
            if not 0 <= edge.source < edge.target:
                raise GenotypeError(f"edge {edge} must lead from a node >= 0 to a later one")
            try:
                check_operation(edge.operation)
            except ConfigError as error:
                raise GenotypeError(f"edge {edge}: {error}") from error
        for edge, following in pairwise(edges):
            if str(edge) == str(following):
                raise GenotypeError(f"edge {edge} is there twice")

    @classmethod
    def of(cls, edges: Iterable[tuple[int, int, str]]) -> CellGenotype:
        """Build a cell from (source, target, operation)."""
        return cls(tuple(GenotypeEdge(*edge) for edge in edges))


@dataclass(frozen=True)
class Genotype:
    """A discrete architecture: a cell for each cell type.

    Two genotypes are equal if their spaces' names and all of their edges are.

    Args:
        space: Name of the space that it comes from.
        cells: The cells by type (``normal``, ``reduction``).
    """

    space: str
    cells: Mapping[str, CellGenotype]

    def __hash__(self) -> int:
        return hash((self.space, frozenset(self.cells.items())))

    def __str__(self) -> str:
        """Return the short published form: NAS-Bench-201's or DARTS's, else edges by cell."""
        for form in (self.to_nasbench201, self.to_darts):
            try:
                return form()
            except GenotypeError:
                continue
        cells = (
            f"{name}: " + ", ".join(f"{edge} {edge.operation}" for edge in cell.edges)
            for name, cell in self.cells.items()
        )
        return "; ".join(cells)

    def to_yaml(self) -> str:
        """Return the YAML form, with a line for each edge."""
        cells = {
            name: {str(edge): edge.operation for edge in cell.edges}
            for name, cell in self.cells.items()
        }
        return yaml.safe_dump({"space": self.space, "cells": cells}, sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> Genotype:
        """Read the YAML form.

        Raises:
            GenotypeError: If it is not YAML, or not that of a genotype.
        """
        content = _safe_yaml(text)
        if not isinstance(content, dict) or set(content) != {"space", "cells"}:
            raise GenotypeError("a genotype has the keys 'space' and 'cells', and no others")
        space, cells = content["space"], content["cells"]
        if not isinstance(space, str) or not isinstance(cells, dict) or not cells:
            raise GenotypeError("space must be a name, and cells a mapping of cells")
        return cls(space, {str(name): _cell_from_yaml(name, cell) for name, cell in cells.items()})

    def to_darts(self) -> str:
        """Return ``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, …)``.

        Raises:
            GenotypeError: If it has not a normal and a reduction cell of two edges into each node.
        """
        return notation.to_darts(self._triples())

    @classmethod
    def from_darts(cls, text: str, space: str = "darts") -> Genotype:
        """Read DARTS's notation, with or without ``NAME =`` before it.

        Args:
            text: The notation.
            space: Name of the space, which the notation does not say.

        Raises:
            GenotypeError: If it does not parse.
        """
        return cls._from_triples(space, notation.from_darts(text))

    def to_nasbench201(self) -> str:
        """Return ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+…``.

        Raises:
            GenotypeError: If it has not one cell, of one input, with all of its edges.
        """
        return notation.to_nasbench201(self._triples())

    @classmethod
    def from_nasbench201(cls, text: str, space: str = "nasbench201") -> Genotype:
        """Read NAS-Bench-201's notation.

        Args:
            text: The notation.
            space: Name of the space, which the notation does not say.

        Raises:
            GenotypeError: If it does not parse.
        """
        return cls._from_triples(space, notation.from_nasbench201(text))

    @classmethod
    def parse(cls, text: str) -> Genotype:
        """Read a genotype in any of the three forms.

        Raises:
            GenotypeError: If it is none of them, or not valid.
        """
        start = text.lstrip()
        if start.startswith("|"):
            return cls.from_nasbench201(text)
        if notation.looks_like_darts(start):
            return cls.from_darts(text)
        if not isinstance(_safe_yaml(text), dict):
            raise GenotypeError(
                f"'{notation.shorten(text)}' is no genotype; "
                "write Genotype(normal=…), |op~0|+… or YAML"
            )
        return cls.from_yaml(text)

    @classmethod
    def load(cls, path: str | Path) -> Genotype:
        """Read a genotype in any form from a text file.

        Raises:
            GenotypeError: If the file cannot be read, or its text is no genotype.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GenotypeError(f"{path}: cannot be read: {error}") from error
        try:
            return cls.parse(text)
        except GenotypeError as error:
            raise GenotypeError(f"{path}: {error}") from error

    def check(self, space: Space) -> None:
        """Check that a space holds this genotype; its name is not compared.

        Raises:
            GenotypeError: If a cell, edge or operation is not the space's, or a node has not as
                many edges as it should.
        """
        if set(self.cells) != set(space.cells):
            raise GenotypeError(
                f"space '{space.name}' has the cells {', '.join(space.cells)}, "
                f"but the genotype has {', '.join(self.cells)}"
            )
        for name, cell in self.cells.items():
            known = space.cells[name]
            for edge in cell.edges:
                key = Edge(edge.source, edge.target)
                where = f"{name} cell, edge {key}"
                if key not in known.edges:
                    raise GenotypeError(f"{where}: space '{space.name}' has no such edge")
                legal = [
                    operation
                    for operation in known.operations[known.edges.index(key)]
                    if operation not in known.excluded
                ]
                if edge.operation not in legal:
                    raise GenotypeError(
                        f"{where}: '{edge.operation}' is not one of {', '.join(legal)}, "
                        f"the operations of space '{space.name}' there"
                    )
            for node in known.nodes:
                found = sum(edge.target == node for edge in cell.edges)
                if found != known.kept_inputs(node):
                    raise GenotypeError(
                        f"{name} cell: node {node} has {found} edges into it, "
                        f"but must have {known.kept_inputs(node)}"
                    )

    def count(self, kind: str, cell: str | None = None) -> int:
        """Count the operations of a kind, in one cell type or in all.

        Args:
            kind: ``skip``, ``pool``, ``convolution``, ``none`` or ``noise``.
            cell: A cell type; None for all.

        Raises:
            ValueError: If the kind or the cell type is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"kind is '{kind}', but must be one of {', '.join(KINDS)}")
        if cell is not None and cell not in self.cells:
            raise ValueError(f"cell is '{cell}', but must be one of {', '.join(self.cells)}")
        cells = self.cells.values() if cell is None else [self.cells[cell]]
        return sum(operation_kind(edge.operation) == kind for c in cells for edge in c.edges)

    def _triples(self) -> notation.Cells:
        return {
            name: [(edge.source, edge.target, edge.operation) for edge in cell.edges]
            for name, cell in self.cells.items()
        }

    @classmethod
    def _from_triples(cls, space: str, cells: notation.Cells) -> Genotype:
        return cls(space, {name: CellGenotype.of(edges) for name, edges in cells.items()})


def _cell_from_yaml(name: Any, content: Any) -> CellGenotype:
    if not isinstance(content, dict):
        raise GenotypeError(f"cell {name!r} must be a mapping as 0->2: sep_conv_3x3")
    edges = [(*notation.parse_edge(str(key)), str(value)) for key, value in content.items()]
    try:
        return CellGenotype.of(edges)
    except GenotypeError as error:
        raise GenotypeError(f"cell {name!r}: {error}") from error


def _safe_yaml(text: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise GenotypeError(
            f"'{notation.shorten(text)}' is no genotype and not valid YAML: "
            f"{' '.join(str(error).split())}"
        ) from error
