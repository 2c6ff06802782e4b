"""Genotypes as inputs of a predictor: graphs of operations, and paths from input to output."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from tune_nas.spaces import CellGenotype, Genotype, Space
from tune_nas.spaces.genotype import NONE, GenotypeEdge
from tune_nas.spaces.space import CellSpace

Encoded = TypeVar("Encoded")

_MOST_PATHS = 1024  # features of a cell type


class Graphs(NamedTuple):
    """A batch of genotypes as graphs.

    Args:
        nodes: One-hot type of each node: an input, an operation or the output; zero for absent
            nodes; (n, cell types, nodes, types), float32.
        adjacency: Symmetric, 1 between neighbors; (n, cell types, nodes, nodes), float32.
    """

    nodes: Tensor
    adjacency: Tensor


def live_edges(space: CellSpace, cell: CellGenotype) -> tuple[GenotypeEdge, ...]:
    """Return the edges of a cell on a path from an input to the output without ``none``."""
    edges = [edge for edge in cell.edges if edge.operation != NONE]
    reached = set(range(space.n_inputs))
    for edge in edges:  # by target: sources are known before they are read
        if edge.source in reached:
            reached.add(edge.target)
    needed = set(_outputs(space))
    for edge in sorted(edges, key=lambda edge: -edge.target):
        if edge.target in needed:
            needed.add(edge.source)
    return tuple(edge for edge in edges if edge.source in reached and edge.target in needed)


class GraphEncoding:
    """Genotypes as graphs whose nodes are the operations of the edges.

    The nodes of a cell are its inputs, one per kept edge, and the output. An edge i→j is a neighbor
    of the edges j→k, of the input i if i is one, and of the output if the output reads node j.
    Edges with ``none``, and edges that are not on a path from an input to the output, are left out:
    cells that compute the same by such edges are the same graph.

    Args:
        space: The space; operations and sizes follow from its description.

    Attributes:
        n_types: Number of types of nodes.
        n_cells: Number of cell types.
    """

    def __init__(self, space: Space) -> None:
        self._cells = space.cells
        operations = dict.fromkeys(
            name for cell in space.cells.values() for row in cell.operations for name in row
        )
        self._operations = {name: place for place, name in enumerate(operations)}
        self._n_inputs = max(cell.n_inputs for cell in space.cells.values())
        self.n_types = len(operations) + self._n_inputs + 1
        self.n_cells = len(space.cells)
        self._n_nodes = self._n_inputs + 1 + max(map(_most_edges, space.cells.values()))
        self._known: dict[Genotype, Graphs] = {}

    def encode(self, genotypes: Sequence[Genotype]) -> Graphs:
        """Return genotypes as one batch; each is converted once."""
        found = [_cached(self._known, genotype, self._convert) for genotype in genotypes]
        return Graphs(*(torch.stack(parts) for parts in zip(*found, strict=True)))

    def _convert(self, genotype: Genotype) -> Graphs:
        nodes = torch.zeros(self.n_cells, self._n_nodes, self.n_types)
        adjacency = torch.zeros(self.n_cells, self._n_nodes, self._n_nodes)
        for row, (name, cell) in enumerate(self._cells.items()):
            edges = live_edges(cell, genotype.cells[name])
            self._fill(cell, edges, nodes[row], adjacency[row])
        return Graphs(nodes, adjacency)

    def _fill(
        self, cell: CellSpace, edges: Sequence[GenotypeEdge], nodes: Tensor, adjacency: Tensor
    ) -> None:
        output, first = self._n_inputs, self._n_inputs + 1
        types = [(node, len(self._operations) + node) for node in range(cell.n_inputs)]
        types.append((output, len(self._operations) + output))
        neighbors, outputs = [], _outputs(cell)
        for place, edge in enumerate(edges, first):
            types.append((place, self._operations[edge.operation]))
            neighbors += [
                (place, n) for n, other in enumerate(edges, first) if other.target == edge.source
            ]
            if edge.source < cell.n_inputs:
                neighbors.append((place, edge.source))
            if edge.target in outputs:
                neighbors.append((place, output))
        nodes[tuple(torch.tensor(types).T)] = 1
        if neighbors:
            first_of_pair, second = torch.tensor(neighbors).T
            adjacency[first_of_pair, second] = adjacency[second, first_of_pair] = 1


class PathEncoding:
    """Genotypes as binary features, one per path (BANANAS, White et al., arXiv:1910.11858).

    A path is an input and the operations of the edges from it to the output, in order; paths with
    ``none`` do not exist. Where there are too many, the paper keeps the shorter ones. Here,
    a cell type has the lengths with which its paths are at most 1,024: all in NAS-Bench-201 (84
    paths), up to 3 operations in DARTS (798 paths per cell type).

    Args:
        space: The space; operations and sizes follow from its description.

    Attributes:
        n_features: Number of features.
    """

    def __init__(self, space: Space) -> None:
        self._cells = space.cells
        self._places: dict[tuple[str, ...], int] = {}
        for name, cell in space.cells.items():
            for path in _all_paths(cell):
                self._places[name, *path] = len(self._places)
        self.n_features = len(self._places)
        self._known: dict[Genotype, Tensor] = {}

    def encode(self, genotypes: Sequence[Genotype]) -> Tensor:
        """Return genotypes as features (n, n_features), float32; each is converted once."""
        return torch.stack([_cached(self._known, each, self._convert) for each in genotypes])

    def _convert(self, genotype: Genotype) -> Tensor:
        features = torch.zeros(self.n_features)
        for name, cell in self._cells.items():
            for path in paths(cell, genotype.cells[name]):
                place = self._places.get((name, *path))
                if place is not None:
                    features[place] = 1
        return features


def paths(space: CellSpace, cell: CellGenotype) -> set[tuple[str, ...]]:
    """Return the paths of a cell: the input's number as text, then the operations in order."""
    into: dict[int, set[tuple[str, ...]]] = {n: {(str(n),)} for n in range(space.n_inputs)}
    for edge in live_edges(space, cell):
        longer = {(*path, edge.operation) for path in into[edge.source]}
        into.setdefault(edge.target, set()).update(longer)
    return set().union(*(into.get(node, set()) for node in _outputs(space)))


def _all_paths(cell: CellSpace) -> list[tuple[str, ...]]:
    """Return the features of a cell type: the possible paths by length, as many as are kept."""
    operations = sorted({name for row in cell.operations for name in row} - {NONE, *cell.excluded})
    inputs = [str(number) for number in range(cell.n_inputs)]
    kept: list[tuple[str, ...]] = []
    for length in range(1, len(cell.nodes) + 1):
        count = len(inputs) * len(operations) ** length
        if kept and len(kept) + count > _MOST_PATHS:
            break
        kept += itertools.product(inputs, *[operations] * length)
    return kept


def _outputs(cell: CellSpace) -> tuple[int, ...]:
    """Return the nodes that the output reads."""
    return cell.nodes if cell.output == "concat" else cell.nodes[-1:]


def _most_edges(cell: CellSpace) -> int:
    return sum(cell.kept_inputs(node) for node in cell.nodes)


def _cached(
    known: dict[Genotype, Encoded], genotype: Genotype, convert: Callable[[Genotype], Encoded]
) -> Encoded:
    found = known.get(genotype)
    if found is None:
        found = known[genotype] = convert(genotype)
    return found
