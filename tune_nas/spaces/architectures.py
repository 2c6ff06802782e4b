"""The genotypes of a space as points of a search: sampled, mutated, enumerated, told apart."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tune_nas.spaces.genotype import CellGenotype, Genotype, GenotypeEdge
from tune_nas.spaces.space import CellSpace, Space


class Architectures:
    """The genotypes of a space.

    Args:
        space: The space; everything follows from its description, so custom spaces work too.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def sample(self, rng: Random) -> Genotype:
        """Return a genotype sampled uniformly: edges of each node, and an operation of each."""
        cells = {name: _sample_cell(cell, rng) for name, cell in self.space.cells.items()}
        return Genotype(self.space.name, cells)

    def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
        """Return a neighbor of a genotype, sampled uniformly among its neighbors."""
        return rng.choice(list(self.neighbors(genotype)))

    def neighbors(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield the genotypes that differ in the operation or the source of one edge, in order."""
        for name, found in genotype.cells.items():
            for cell in _neighbors(self.space.cells[name], found):
                yield Genotype(genotype.space, {**genotype.cells, name: cell})

    def key(self, genotype: Genotype) -> str:
        """Return a text that is equal for genotypes whose networks compute the same."""
        return str(genotype)


def _operations(cell: CellSpace, row: int) -> list[str]:
    return [name for name in cell.operations[row] if name not in cell.excluded]


def _sample_cell(cell: CellSpace, rng: Random) -> CellGenotype:
    edges = []
    for node in cell.nodes:
        for row in sorted(rng.sample(cell.incoming(node), cell.kept_inputs(node))):
            operation = rng.choice(_operations(cell, row))
            edges.append(GenotypeEdge(cell.edges[row].source, node, operation))
    return CellGenotype(tuple(edges))


def _neighbors(cell: CellSpace, found: CellGenotype) -> Iterator[CellGenotype]:
    rows = {(edge.source, edge.target): row for row, edge in enumerate(cell.edges)}
    taken = {(edge.source, edge.target) for edge in found.edges}
    for position, edge in enumerate(found.edges):
        others = [each for place, each in enumerate(found.edges) if place != position]
        here = (edge.source, edge.target)
        for row in cell.incoming(edge.target):
            source = cell.edges[row].source
            if (source, edge.target) in taken - {here}:
                continue
            old = edge.operation if rows[here] == row else None
            # A moved edge keeps its operation where it exists.
            names = _operations(cell, row)
            names = names if old is not None else [n for n in names if n == edge.operation]
            for name in names:
                if name != old:
                    yield CellGenotype((*others, GenotypeEdge(source, edge.target, name)))
