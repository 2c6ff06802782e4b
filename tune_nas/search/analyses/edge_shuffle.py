"""Edge shuffling: the accuracy of the supernet after two edges of every cell change places.

Wang, "Towards efficient, effective, and robust Neural Architecture Search methods" (thesis, UCLA
2021), Table 2.1: a trained DARTS supernet loses little (88.44 to 81.09), as a ResNet does when its
layers are shuffled, while a VGG falls to chance: the edges refine the same features, rather than
compute successive ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value
from tune_nas.errors import ConfigError
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.analyses.cell_weights import cells_of, separate_weights
from tune_nas.search.evaluation import unaugmented_batches
from tune_nas.search.objective import keeping_statistics
from tune_nas.search.view import SearchView
from tune_nas.seeds import derive_seed
from tune_nas.spaces import CellWeights, MixingWeights, Supernet
from tune_nas.spaces.mixed_cell import MixedCell
from tune_nas.training import evaluate

Swap = tuple[int, int] | None
"""Two edges of a cell, as rows; None if no two of them can be exchanged."""


def exchangeable(cell: MixedCell) -> list[tuple[int, int]]:
    """Return the pairs of edges with the same operations and stride, as rows."""
    described = [
        (stride, tuple(names))
        for stride, names in zip(cell.strides, cell.cell.operations, strict=True)
    ]
    return [
        (one, other)
        for one, other in combinations(range(len(described)), 2)
        if described[one] == described[other]
    ]


def random_swaps(supernet: Supernet, seed: int) -> list[Swap]:
    """Return two random edges for each cell of a supernet."""
    rng = random.Random(seed)
    pairs = [exchangeable(_body(block.body)) for block in cells_of(supernet)]
    return [rng.choice(of_cell) if of_cell else None for of_cell in pairs]


@contextmanager
def swapped_edges(
    supernet: Supernet, weights: MixingWeights, swaps: Sequence[Swap]
) -> Iterator[None]:
    """Exchange edges in the block: their operations with all weights, and operation weights.

    Edge weights (β) stay in their place. Afterwards all values are as before, bit for bit.

    Args:
        supernet: The supernet.
        weights: The mixing weights, by cell type.
        swaps: The edges to exchange in each cell.
    """
    own = [
        _swapped(weights[block.cell], swap)
        for block, swap in zip(cells_of(supernet), swaps, strict=True)
    ]
    _exchange(supernet, swaps)
    try:
        with separate_weights(supernet, own):
            yield
    finally:
        _exchange(supernet, swaps)


class EdgeShuffle(AnalysisProbe):
    """The accuracy of the supernet before and after shuffling, for several shuffles.

    Our reading of Table 2.1: in each cell, two random edges with the same operations and stride
    change places, each with its operations, their weights and its operation weights. Accuracies are
    on the validation half, with the running statistics of batch normalization, which move along,
    and with those of the batch. The metric ``edge_shuffle/drop`` is the mean loss of accuracy in
    percentage points, with running statistics.
    """

    kind = "edge-shuffle"
    reads = ("analysis.batches", "analysis.every", "analysis.shuffles")

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        if not any(random_swaps(search.supernet, 0)):
            raise ConfigError(
                f"the analysis is '{self.kind}', but needs two edges of a cell with the same "
                f"operations and stride, which space '{search.space.name}' does not have"
            )

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the accuracies by shuffle; the first row, 0, is the supernet itself."""
        supernet, weights = search.supernet, search.expected_weights()
        before = _accuracies(search, weights)
        rows: list[tuple[Value, ...]] = [(0, "before", *before)]
        for number in range(1, search.trial.analysis.shuffles + 1):
            swaps = random_swaps(supernet, derive_seed(search.trial.seed, f"shuffle {number}"))
            with swapped_edges(supernet, weights, swaps):
                rows.append((number, "after", *_accuracies(search, weights)))
        after = [float(row[2]) for row in rows[1:]]
        metrics = {
            "edge_shuffle/before": before[0],
            "edge_shuffle/after": sum(after) / len(after),
            "edge_shuffle/drop": before[0] - sum(after) / len(after),
        }
        columns = ("shuffle", "edges", "accuracy", "accuracy_batch_statistics")
        axes = TableAxes("shuffle", "accuracy", "edges")
        return AnalysisTable(self.kind, columns, rows, axes, metrics)


def _accuracies(search: SearchView, weights: MixingWeights) -> tuple[float, float]:
    """Return the accuracy in percent with running statistics, and with those of the batch."""
    supernet = search.supernet
    found = []
    # not by `search.evaluate`: its passes may be captured or shared, without the hooks of the cells
    for batch_statistics in (False, True):
        supernet.train(batch_statistics)
        supernet.seed_draws(derive_seed(search.trial.seed, "evaluation"))
        batches = unaugmented_batches(search, search.data.valid, search.trial.analysis.batches)
        # Passes with batch statistics change the running ones, which later passes read.
        with keeping_statistics(supernet):
            _, accuracy = evaluate(lambda x: supernet(x, weights), batches, search.device)
        found.append(accuracy)
    return found[0], found[1]


def _body(body: torch.nn.Module) -> MixedCell:
    assert isinstance(body, MixedCell)
    return body


@torch.no_grad()
def _exchange(supernet: Supernet, swaps: Sequence[Swap]) -> None:
    """Exchange the parameters and running statistics of two edges of each cell."""
    for block, swap in zip(cells_of(supernet), swaps, strict=True):
        if swap is None:
            continue
        one, other = (_tensors(_body(block.body), row) for row in swap)
        for left, right in zip(one, other, strict=True):
            kept = left.clone()
            left.copy_(right)
            right.copy_(kept)


def _tensors(cell: MixedCell, row: int) -> list[Tensor]:
    return [
        tensor
        for operation in cell.operations_of(row)
        for tensor in (*operation.parameters(), *operation.buffers())
    ]


def _swapped(weights: CellWeights, swap: Swap) -> CellWeights:
    """Return the weights of a cell with two rows exchanged."""
    if swap is None:
        return weights
    order = list(range(len(weights.operations)))
    order[swap[0]], order[swap[1]] = order[swap[1]], order[swap[0]]
    active = None if weights.active is None else weights.active[order]
    return replace(weights, operations=weights.operations[order], active=active)
