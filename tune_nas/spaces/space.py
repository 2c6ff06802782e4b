"""A search space: its cells and the skeleton into which they are stacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.library import read_yaml, validate
from tune_nas.shipped import find, shipped_names
from tune_nas.spaces.description import (
    CellDescription,
    SkeletonDescription,
    SpaceDescription,
    SupernetDescription,
)
from tune_nas.spaces.operation_registry import operation_kind
from tune_nas.spaces.own_operations import load_operations
from tune_nas.spaces.skeletons import SKELETONS


class Edge(NamedTuple):
    """An edge of a cell, from a node to a later one."""

    source: int
    target: int

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class CellSpace:
    """The cells of one type in a space.

    Args:
        n_inputs: Number of input nodes; they are the nodes 0 … n_inputs − 1.
        nodes: The intermediate nodes, in order.
        edges: All edges, ordered by target, then source. Operation weights have one row per edge.
        operations: The operations of each edge. Operation weights have one column per operation.
        output: ``concat`` of all intermediate nodes, or the ``last`` one.
        inputs_per_node: Number of edges into a node that a genotype keeps; None for all.
        excluded: Operations that a genotype never has.
    """

    n_inputs: int
    nodes: tuple[int, ...]
    edges: tuple[Edge, ...]
    operations: tuple[tuple[str, ...], ...]
    output: Literal["concat", "last"]
    inputs_per_node: int | None
    excluded: tuple[str, ...]

    @cached_property
    def n_operations(self) -> int:
        """Number of columns of the operation weights: the maximum over the edges."""
        return max(len(names) for names in self.operations)

    def mask(self) -> Tensor:
        """Return a bool tensor (edges, n_operations), true where an edge has an operation."""
        widths = torch.tensor([len(names) for names in self.operations])
        return torch.arange(self.n_operations) < widths[:, None]

    def eligible(self) -> Tensor:
        """Return the mask of operations that a genotype may have, (edges, n_operations), bool."""
        allowed = self.mask()
        for row, names in enumerate(self.operations):
            for column, name in enumerate(names):
                allowed[row, column] = name not in self.excluded
        return allowed

    def of_kind(self, kind: str) -> Tensor:
        """Return the mask of operations of a kind, (edges, n_operations), bool.

        Args:
            kind: The kind, see `operation_kind`.
        """
        found = self.mask()
        for row, names in enumerate(self.operations):
            for column, name in enumerate(names):
                found[row, column] = operation_kind(name) == kind
        return found

    def incoming(self, node: int) -> tuple[int, ...]:
        """Return the rows (positions in ``edges``) of the edges into a node."""
        return tuple(row for row, edge in enumerate(self.edges) if edge.target == node)

    def kept_inputs(self, node: int) -> int:
        """Return the number of edges into a node in a genotype."""
        available = len(self.incoming(node))
        return available if self.inputs_per_node is None else min(self.inputs_per_node, available)


@dataclass(frozen=True)
class Space:
    """A search space, as described by its YAML file.

    Args:
        name: Its name, also stored in genotypes.
        description: A one-line description.
        cells: The cell types by name: ``normal`` and, in the layout ``thirds``, ``reduction``.
        skeleton: How cells are stacked; ``init_channels`` and ``cells`` are the defaults.
        supernet: The supernet's batch normalization.
    """

    name: str
    description: str
    cells: dict[str, CellSpace]
    skeleton: SkeletonDescription
    supernet: SupernetDescription
    _source: SpaceDescription

    @classmethod
    def from_dict(cls, content: Mapping[str, object], where: str = "space") -> Space:
        """Build a space from the content of a YAML file.

        Raises:
            ConfigError: If it is invalid; the one-line message starts with ``where``.
        """
        source = validate(SpaceDescription, content, where)
        cells = {name: _cell_space(cell) for name, cell in source.cells.items()}
        return cls(source.name, source.description, cells, source.skeleton, source.supernet, source)

    @property
    def n_inputs(self) -> int:
        """Number of input nodes of a cell, the same for all types."""
        return next(iter(self.cells.values())).n_inputs

    @property
    def final_size(self) -> tuple[int, int]:
        """The usual channels and number of cells of a final network."""
        final, skeleton = self._source.final, self.skeleton
        if skeleton.strategy.usual_size is not None:
            channels, cells = skeleton.strategy.usual_size
        else:
            channels, cells = skeleton.init_channels, skeleton.cells
        return final.init_channels or channels, final.cells or cells

    def with_skeleton(self, layout: str) -> Space:
        """Return the same cells in another skeleton, with its usual final size.

        Args:
            layout: The name of the skeleton, e.g. ``imagenet``.

        Raises:
            ConfigError: If there is none of this name, or the cells do not fit it.
        """
        if layout == self.skeleton.layout:
            return self
        skeleton = {**self.skeleton.to_dict(), "layout": layout}
        content = {**self.to_dict(), "skeleton": skeleton, "final": {}}
        where = f"space '{self.name}' in the skeleton '{layout}'"
        fitting = [
            name for name, each in SKELETONS.items() if set(each.cell_types) == set(self.cells)
        ]
        try:
            return Space.from_dict(content, where)
        except ConfigError as error:
            if layout not in SKELETONS or layout in fitting:
                raise
            raise ConfigError(f"{error}; it fits {' and '.join(fitting)}") from error

    def to_dict(self) -> dict[str, object]:
        """Return the description as in a YAML file."""
        return self._source.to_dict()


def load_space(name: str | Path, skeleton: str | None = None) -> Space:
    """Load a built-in space by name, or a custom one by the path of its YAML file.

    Without the key ``name``, the space is named like its file. Custom operations,
    ``module:function``, are imported from the file's folder, Python's import path, or the current
    working directory.

    Args:
        name: The name or path.
        skeleton: The skeleton that replaces the space's, e.g. ``imagenet``; None to keep it.

    Raises:
        ConfigError: If no space has this name, its file is not valid, an operation cannot be
            imported, its cells do not fit the skeleton, or it is a different space with the name of
            a built-in one, with which its genotypes would be read.
    """
    path = find("space", name)
    space = _read_space(path, f"space '{name}'")
    if space.name in shipped_names("space") and str(name) != space.name:
        shipped = _read_space(find("space", space.name), space.name)
        if {**space.to_dict(), "description": ""} != {**shipped.to_dict(), "description": ""}:
            raise ConfigError(
                f"space '{name}': its name is '{space.name}', but that is a shipped space, with "
                f"which its genotypes would be read; give it another, as name: my-{space.name}"
            )
    return space if skeleton is None else space.with_skeleton(skeleton)


def _read_space(path: Path, where: str) -> Space:
    content = read_yaml(path)
    try:
        load_operations(content, path.resolve().parent)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return Space.from_dict({"name": path.stem, **content}, where)


def _cell_space(cell: CellDescription) -> CellSpace:
    edges = tuple(Edge(*pair) for pair in cell.edge_pairs())
    return CellSpace(
        n_inputs=cell.inputs,
        nodes=tuple(range(cell.inputs, cell.inputs + cell.nodes)),
        edges=edges,
        operations=tuple(tuple(cell.operations_of(*edge)) for edge in edges),
        output=cell.output,
        inputs_per_node=cell.inputs_per_node,
        excluded=cell.excluded,
    )
