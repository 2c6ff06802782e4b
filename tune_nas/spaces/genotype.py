"""Genotypes: one discrete cell per cell type of a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import yaml

from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.spaces import notation
from tune_nas.spaces.operation_registry import KINDS, check_operation, operation_kind
from tune_nas.spaces.space import Edge, Space

NONE = "none"


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
        GenotypeError: If an edge is duplicated or leads backwards, or an operation is unknown.
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

    def triples(self) -> list[tuple[int, int, str]]:
        """Return its edges as (source, target, operation)."""
        return [(edge.source, edge.target, edge.operation) for edge in self.edges]


@dataclass(frozen=True)
class Genotype:
    """A discrete architecture: one cell per cell type.

    Two genotypes are equal if the names of their spaces and all edges are equal.

    Args:
        space: Name of its space.
        cells: The cells by type (``normal``, ``reduction``).
    """

    space: str
    cells: Mapping[str, CellGenotype]

    def __hash__(self) -> int:
        return hash((self.space, frozenset(self.cells.items())))

    def __str__(self) -> str:
        """Return the short published notation: NAS-Bench-201's or DARTS's, else edges by cell."""
        for form in (self.to_nasbench201, self.to_darts):
            try:
                return form()
            except GenotypeError:
                continue
        return notation.to_edge_list(_triples(self))

    def to_yaml(self) -> str:
        """Return the YAML form, with one line per edge."""
        cells = {
            name: {str(edge): edge.operation for edge in cell.edges}
            for name, cell in self.cells.items()
        }
        return yaml.safe_dump({"space": self.space, "cells": cells}, sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str) -> Genotype:
        """Read only the YAML form.

        Raises:
            GenotypeError: If it is not YAML or not a genotype.
        """
        return cls.of_reading(notation.read_yaml(text))

    def to_darts(self) -> str:
        """Return ``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=…, …)``.

        Raises:
            GenotypeError: If it does not have a normal and a reduction cell with two edges into
                each node.
        """
        return notation.to_darts(_triples(self))

    def to_nasbench201(self) -> str:
        """Return ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+…``.

        Raises:
            GenotypeError: If it does not have exactly one cell, with one input and all edges.
        """
        return notation.to_nasbench201(_triples(self))

    @classmethod
    def parse(cls, text: str, pick: str | None = None, space: str | None = None) -> Genotype:
        """Read a genotype in any form: see docs/spaces.md.

        Args:
            text: A genotype, or a text that contains one: a log, a Python file, JSON.
            pick: The one to read if there are several: its name, or its first line.
            space: The name of its space; None for the one in the text, or that of the notation.

        Raises:
            GenotypeError: If there is none or more than one, or it is invalid.
        """
        genotype = cls.of_reading(notation.read_genotype(text, pick))
        return genotype if space is None else replace(genotype, space=space)

    @classmethod
    def from_darts(cls, text: str, space: str = "darts") -> Genotype:
        """Read DARTS's notation: an earlier spelling of `parse`, accepted until version 0.2."""
        return cls.parse(text, space=space)

    @classmethod
    def from_nasbench201(cls, text: str, space: str = "nasbench201") -> Genotype:
        """Read NAS-Bench-201's: an earlier spelling of `parse`, accepted until version 0.2."""
        return cls.parse(text, space=space)

    @classmethod
    def load(cls, path: str | Path, pick: str | None = None) -> Genotype:
        """Read a genotype in any form from a text file; ``pick`` as in `parse`.

        Raises:
            GenotypeError: If the file cannot be read, or `parse` rejects its text.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise GenotypeError(f"{path}: cannot be read: {error}") from error
        try:
            return cls.parse(text, pick)
        except GenotypeError as error:
            raise GenotypeError(f"{path}: {error}") from error

    @classmethod
    def of_reading(cls, reading: notation.Reading) -> Genotype:
        """Build a genotype from the reading of a notation.

        Raises:
            GenotypeError: If an edge or an operation is invalid.
        """
        cells = {}
        for name, edges in reading.cells.items():
            try:
                cells[name] = CellGenotype.of(edges)
            except GenotypeError as error:
                raise GenotypeError(f"cell '{name}': {error}") from error
        return cls(reading.space, cells)

    def completed(self, space: Space) -> Genotype:
        """Return the genotype completed for a space whose genotypes keep every edge.

        A missing edge becomes ``none`` if that is one of its operations; FairDARTS's notation
        cannot express it otherwise.
        """
        cells = {}
        for name, cell in self.cells.items():
            known = space.cells.get(name)
            edges = cell.triples()
            if known is not None and known.inputs_per_node is None:
                held = {edge[:2] for edge in edges}
                targets = {edge[1] for edge in edges}
                edges += [
                    (*edge, NONE)
                    for edge, operations in zip(known.edges, known.operations, strict=True)
                    if edge not in held
                    and edge.target in targets
                    and NONE in operations
                    and NONE not in known.excluded
                ]
            cells[name] = CellGenotype.of(edges)
        return Genotype(self.space, cells)

    def check(self, space: Space) -> None:
        """Check that a space contains this genotype; the space's name is not compared.

        Raises:
            GenotypeError: If a cell, edge or operation is not in the space, or a node has the wrong
                number of edges.
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


def _triples(genotype: Genotype) -> notation.Cells:
    return {name: cell.triples() for name, cell in genotype.cells.items()}
