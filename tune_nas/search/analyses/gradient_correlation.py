"""Gradient correlation: how far the cells of a supernet agree on ∂L/∂p.

Hou and Jin, "Single-level Optimization For Differential Architecture Search", arXiv:2012.11337,
Eq. 13 and Fig. 2: near zero for bilevel search, far larger for single-level search, in the first,
middle and last cells. How we read Eq. 13 is said at `GradientCorrelation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

from torch import Tensor

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.analyses.cell_weights import cell_gradients, cells_of
from tune_nas.search.analyses.probe_batches import DEFAULT_BATCHES, HALVES
from tune_nas.search.shares import not_none
from tune_nas.search.view import SearchView

Gradients = Sequence[Sequence[Tensor]]
"""∂L/∂p by batch and cell; those of cells of a type have the same shape."""


def correlation(one: Tensor, other: Tensor) -> float:
    """Return Pearson's correlation of the entries of two tensors; nan if one is constant."""
    centered = []
    for values in (one.double().flatten(), other.double().flatten()):
        if values.min() == values.max():  # rounding of the mean would make them differ from it
            return math.nan
        centered.append(values - values.mean())
    return float(centered[0] @ centered[1] / (centered[0].norm() * centered[1].norm()))


def between_cells(found: Gradients, cell: int, others: Sequence[int]) -> float:
    """Return the mean correlation of a cell's gradient with those of other cells, on equal batches.

    Args:
        found: The gradients.
        cell: The cell.
        others: The other cells, of its type.
    """
    return _mean(correlation(batch[cell], batch[other]) for batch in found for other in others)


def between_batches(found: Gradients, cell: int) -> float:
    """Return the mean correlation of a cell's gradients on two batches, over pairs of batches."""
    return _mean(correlation(one[cell], other[cell]) for one, other in combinations(found, 2))


def between_halves(train: Gradients, valid: Gradients, cell: int) -> float:
    """Return the mean correlation of a cell's gradients on a train and a validation batch."""
    return _mean(correlation(one[cell], other[cell]) for one in train for other in valid)


def positions(types: Sequence[str]) -> dict[int, str]:
    """Return ``first``, ``middle`` and ``last`` by cell, among those of the first cell's type.

    Args:
        types: The type of each cell of the network.
    """
    alike = [cell for cell, name in enumerate(types) if name == types[0]]
    places = {alike[-1]: "last", alike[len(alike) // 2]: "middle", alike[0]: "first"}
    return places if len(alike) > 2 else {alike[-1]: "last", alike[0]: "first"}


class GradientCorrelation(AnalysisProbe):
    """The correlation of ∂L/∂p of a cell with that of other cells, batches and the other half.

    Our reading of Eq. 13: p, which all cells of a type share, gets the sum of the cells' own
    gradients; for each cell we correlate its own gradient (Pearson, over all operations that the
    edges have left, except ``none``, whose gradient is 0) on one batch with that of each other cell
    of its type on the same batch, and take the mean over cells and batches. ``half`` is the one of
    the batches: α of a bilevel search is updated on ``valid``, that of a single-level search on
    ``train``. Two further readings are columns: `between_batches` and `between_halves`.
    """

    kind = "gradient-correlation"
    reads = ("analysis.batches", "analysis.every")

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the three correlations by half and cell; the metrics are those of positions."""
        types = [block.cell for block in cells_of(search.supernet)]
        batches = search.trial.analysis.batches or DEFAULT_BATCHES
        found = {half: self._gradients(search, half, batches, types) for half in HALVES}
        places = positions(types)
        rows: list[tuple[Value, ...]] = []
        metrics: dict[str, float] = {}
        for half in HALVES:
            for cell, name in enumerate(types):
                others = [at for at, of in enumerate(types) if of == name and at != cell]
                values = (
                    between_cells(found[half], cell, others),
                    between_batches(found[half], cell),
                    between_halves(found["train"], found["valid"], cell),
                )
                place = places.get(cell, "")
                rows.append((half, cell, name, place, *values))
                if place and math.isfinite(values[0]):
                    metrics[f"gradient_correlation/{half}/{place}"] = values[0]
        columns = (
            *("half", "cell", "type", "position"),
            *("between_cells", "between_batches", "between_halves"),
        )
        axes = TableAxes(
            "cell", "between_cells", "half", connected=True, panels_over_epochs=("position",)
        )
        return AnalysisTable(self.kind, columns, rows, axes, metrics)

    def _gradients(
        self, search: SearchView, half: str, batches: int, types: Sequence[str]
    ) -> list[list[Tensor]]:
        """Return the gradients by batch and cell of the operations that are compared."""
        masks = {name: compared(search, name) for name in search.space.cells}
        return [
            [gradient.cpu()[masks[name]] for gradient, name in zip(of_batch, types, strict=True)]
            for of_batch in cell_gradients(search, half, batches)
        ]


def compared(search: SearchView, name: str) -> Tensor:
    """Return the operations of a cell type that are left and not ``none``, (edges, operations)."""
    return not_none(search.space.cells[name]) & search.choices.remaining(name)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
