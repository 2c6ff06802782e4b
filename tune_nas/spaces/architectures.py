"""The genotypes of a space as points of a search: sampled, mutated, enumerated, told apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import prod
from random import Random

from tune_nas.spaces.computation import Computation
from tune_nas.spaces.genotype import CellGenotype, Genotype, GenotypeEdge
from tune_nas.spaces.space import CellSpace, Space

_Move = tuple[str, int, GenotypeEdge]
"""A cell type, the position of an edge in its cell, and what replaces it."""


class Architectures:
    """The genotypes of a space.

    Two genotypes are neighbors if they differ in one edge: in its operation, or in its source if
    genotypes do not keep every edge. An edge with another source has the same operation; only
    between edges that have no operation in common, it has any.

    Args:
        space: The space; everything follows from its description, so custom spaces work too.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._computation = Computation(space)
        self._cells = {name: _CellChoices(cell) for name, cell in space.cells.items()}

    @cached_property
    def size(self) -> int:
        """Number of genotypes.

        For each node, it is the sum over all choices of its incoming edges of the product of their
        numbers of operations; all nodes are independent.
        """
        return prod(cell.size for cell in self._cells.values())

    def at(self, index: int) -> Genotype:
        """Return a genotype by its position in `enumerate`.

        Raises:
            IndexError: If the index is not in [0, size).
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index is {index}, but must be in [0, {self.size})")
        cells = {}
        for name, cell in self._cells.items():
            index, rest = divmod(index, cell.size)
            cells[name] = cell.at(rest)
        return Genotype(self.space.name, cells)

    def enumerate(self) -> Iterator[Genotype]:
        """Yield each genotype once, in a fixed order. `size` may be large: DARTS has 10¹⁸."""
        for index in range(self.size):
            yield self.at(index)

    def sample(self, rng: Random) -> Genotype:
        """Return a genotype sampled uniformly among all."""
        return self.at(rng.randrange(self.size))

    def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
        """Return a neighbor of a genotype, sampled uniformly among its neighbors.

        Raises:
            ValueError: If it has none, since it is the only genotype of the space.
        """
        moves = list(self._moves(genotype))
        if not moves:
            raise ValueError(f"space '{self.space.name}' has one genotype, which has no neighbor")
        return _moved(genotype, rng.choice(moves))

    def neighbors(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield all neighbors of a genotype."""
        for move in self._moves(genotype):
            yield _moved(genotype, move)

    def key(self, genotype: Genotype) -> str:
        """Return a text that is equal for genotypes whose networks compute the same.

        It is the canonical form of `tune_nas.spaces.computation`, which says what that means. It
        is the same in all processes.
        """
        return self._computation.text(genotype)

    def _moves(self, genotype: Genotype) -> Iterator[_Move]:
        for name, cell in self._cells.items():
            for position, edge in cell.moves(genotype.cells[name]):
                yield name, position, edge


def _moved(genotype: Genotype, move: _Move) -> Genotype:
    name, position, edge = move
    edges = list(genotype.cells[name].edges)
    edges[position] = edge
    return Genotype(genotype.space, {**genotype.cells, name: CellGenotype(tuple(edges))})


class _CellChoices:
    """The cells of one type; every edge with an operation that a genotype may have is built once.

    Args:
        cell: The cell type.
    """

    def __init__(self, cell: CellSpace) -> None:
        legal = [
            tuple(
                GenotypeEdge(edge.source, edge.target, name)
                for name in names
                if name not in cell.excluded
            )
            for edge, names in zip(cell.edges, cell.operations, strict=True)
        ]
        self.nodes = {
            node: _NodeChoices([legal[row] for row in cell.incoming(node)], cell.kept_inputs(node))
            for node in cell.nodes
        }
        self.size = prod(node.size for node in self.nodes.values())

    def at(self, index: int) -> CellGenotype:
        """Return a cell by its index in [0, size)."""
        edges: list[GenotypeEdge] = []
        for node in self.nodes.values():
            index, rest = divmod(index, node.size)
            edges += node.at(rest)
        return CellGenotype(tuple(edges))

    def moves(self, genotype: CellGenotype) -> Iterator[tuple[int, GenotypeEdge]]:
        """Yield the position of an edge and what replaces it, for each neighbor of a cell."""
        kept = {(edge.source, edge.target) for edge in genotype.edges}
        for position, edge in enumerate(genotype.edges):
            choices = self.nodes[edge.target].edges
            names = {each.operation for each in choices[edge.source]}
            for source, others in choices.items():
                if source == edge.source:
                    yield from ((position, each) for each in others if each != edge)
                elif (source, edge.target) not in kept:
                    apart = names.isdisjoint(each.operation for each in others)
                    for each in others:
                        if apart or each.operation == edge.operation:
                            yield position, each


class _NodeChoices:
    """The choices of the edges into a node.

    Args:
        edges: For each source, the edge from it with each of its operations.
        kept: Number of sources that are kept.
    """

    def __init__(self, edges: list[tuple[GenotypeEdge, ...]], kept: int) -> None:
        self.edges = {choices[0].source: choices for choices in edges}
        self._rows, self._kept = edges, kept
        # [row][n]: the number of choices of n edges of the rows from this one on
        self._counts = [[1] + [0] * kept]
        for choices in reversed(edges):
            after = self._counts[0]
            taken = [0, *(len(choices) * count for count in after[:-1])]
            self._counts.insert(0, [a + b for a, b in zip(after, taken, strict=True)])
        self.size = self._counts[0][kept]

    def at(self, index: int) -> list[GenotypeEdge]:
        """Return the edges by their index in [0, size)."""
        left, found = self._kept, []
        for row, choices in enumerate(self._rows):
            if left == 0:
                break
            after = self._counts[row + 1][left - 1]
            if index < len(choices) * after:
                place, index = divmod(index, after)
                found.append(choices[place])
                left -= 1
            else:
                index -= len(choices) * after
        return found
