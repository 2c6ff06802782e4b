"""Tests that every training-free proxy must pass: a finite score that only its inputs decide."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from random import Random
from typing import ClassVar

import torch

from tune_nas.config import DataConfig
from tune_nas.proxies import Proxy, ProxyInputs, inputs_for, make_proxy
from tune_nas.shipped import shipped_names
from tune_nas.spaces import CellGenotype, CellSpace, Genotype, GenotypeEdge, Space, load_space
from tune_nas.spaces.architectures import Architectures

_DATA = DataConfig(name="fake", train_images=32)
_CHANNELS = 4
_BATCH = 8


class ProxyContract:
    """The tests of a proxy, on small networks and synthetic images.

    Attributes:
        proxy: Its name in a trial (``strategy.nosh.proxy``): a shipped one, or ``module:Class``.
    """

    proxy: ClassVar[str]

    def inputs(self, space: Space, seed: int = 0) -> ProxyInputs:
        """Return the inputs of the tests: the smallest network that has every cell type."""
        cells = smallest_stack(space)
        return inputs_for(
            space, _DATA, init_channels=_CHANNELS, cells=cells, seed=seed, batch_size=_BATCH
        )

    def make_proxy(self, space: Space, seed: int = 0) -> Proxy:
        """Return the proxy, as a search makes it."""
        return make_proxy(self.proxy, self.inputs(space, seed))

    def test_every_score_is_a_finite_number(self) -> None:
        """In every shipped space, also where all operations are zeros, or skips."""
        for name in shipped_names("space"):
            space = load_space(name)
            proxy = self.make_proxy(space)
            for genotype in some_genotypes(space):
                score = proxy.score(genotype)
                assert isinstance(score, float) and math.isfinite(score), f"{score}: {genotype}"

    def test_the_same_inputs_give_the_same_score(self) -> None:
        """Another object, and another state of torch's generator, change nothing."""
        space = load_space("nasbench201")
        genotype = Architectures(space).sample(Random(0))
        scores = []
        for state in (0, 1):
            torch.manual_seed(state)
            scores.append(self.make_proxy(space).score(genotype))
        assert scores[0] == scores[1]

    def test_earlier_calls_change_nothing(self) -> None:
        """A score is the same whichever genotypes are scored before."""
        space = load_space("nasbench201")
        genotypes = list(some_genotypes(space))
        proxy = self.make_proxy(space)
        first = [proxy.score(genotype) for genotype in genotypes]
        again = [proxy.score(genotype) for genotype in reversed(genotypes)]
        assert first == again[::-1]
        assert self.make_proxy(space).score(genotypes[-1]) == first[-1]

    def test_the_random_state_is_unchanged(self) -> None:
        """Scoring leaves torch's global generator, and whether gradients are recorded, as is."""
        space = load_space("s4")
        genotype = Architectures(space).sample(Random(0))
        before = torch.get_rng_state()
        with torch.no_grad():  # as a strategy may call it
            score = self.make_proxy(space).score(genotype)
            assert not torch.is_grad_enabled()
        assert torch.equal(torch.get_rng_state(), before)
        assert self.make_proxy(space).score(genotype) == score


def smallest_stack(space: Space) -> int:
    """Return the smallest number of cells with which every cell type occurs."""
    strategy = space.skeleton.strategy
    return next(n for n in itertools.count(1) if not strategy.absent_cells(n, space.cells))


def some_genotypes(space: Space) -> Iterator[Genotype]:
    """Yield genotypes of zeros, of skips and of pools where there are any, and two samples."""
    for operation in ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"):
        if any(operation in names for cell in space.cells.values() for names in cell.operations):
            cells = {name: _filled(cell, operation) for name, cell in space.cells.items()}
            yield Genotype(space.name, cells)
    for seed in range(2):
        yield Architectures(space).sample(Random(seed))


def _filled(cell: CellSpace, operation: str) -> CellGenotype:
    """Return the cell with an operation on every edge that may have it, and else the first."""
    edges = []
    for node in cell.nodes:
        for row in cell.incoming(node)[: cell.kept_inputs(node)]:
            names = [name for name in cell.operations[row] if name not in cell.excluded]
            chosen = operation if operation in names else names[0]
            edges.append(GenotypeEdge(cell.edges[row].source, node, chosen))
    return CellGenotype(tuple(edges))
