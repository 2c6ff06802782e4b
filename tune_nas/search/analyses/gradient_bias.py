"""Gradient bias: ∂L/∂p of each operation on each edge.

Hou and Jin, "Single-level Optimization For Differential Architecture Search", arXiv:2012.11337,
Fig. 3 and Appendix B: gradients of the operation weights p that favor operations without parameters
make a search collapse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from tune_nas.analysis_table import AnalysisTable, TableAxes, Value
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.analyses.probe_batches import DEFAULT_BATCHES, HALVES, probe_passes
from tune_nas.search.objective import gradients
from tune_nas.search.view import SearchView
from tune_nas.spaces import operation_kind

Row = tuple[str, str, str, float]
"""Cell type, edge, operation, ∂L/∂p."""

_AXES = TableAxes("edge", "gradient", "operation", ("half", "cell"))


def mean_gradients(search: SearchView, half: str, batches: int) -> dict[str, Tensor]:
    """Return ∂L/∂p by cell type, each (edges, operations), the mean over batches.

    p are the expected operation weights, shared by the cells of a type; batch normalization uses
    batch statistics.

    Args:
        search: The search.
        half: ``train`` or ``valid``: the images of the batches.
        batches: Number of batches.
    """
    weights = search.expected_weights()
    leaves = {name: own.operations.clone().requires_grad_() for name, own in weights.items()}
    mixing = {name: replace(own, operations=leaves[name]) for name, own in weights.items()}
    total = {name: leaf.new_zeros(leaf.shape) for name, leaf in leaves.items()}
    n = 0
    for batch in probe_passes(search, half, batches):
        loss, _ = search.objective.loss(batch, mixing=mixing)
        for name, gradient in zip(total, gradients(loss, list(leaves.values())), strict=True):
            if gradient is not None:
                total[name] += gradient
        n += 1
    return {name: each / n for name, each in total.items()}


class GradientBias(AnalysisProbe):
    """∂L/∂p of each operation that an edge has left, on both halves of the training data.

    A negative gradient raises p. The metric ``gradient_bias/HALF`` is the mean of ∂L/∂p over the
    convolutions minus that over the skip connections and pools: positive if a step of gradient
    descent on p favors the operations without parameters.
    """

    kind = "gradient-bias"
    reads = ("analysis.batches", "analysis.every")

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return the gradient by half, cell type, edge and operation."""
        rows: list[tuple[Value, ...]] = []
        metrics = {}
        for half in HALVES:
            found = mean_gradients(search, half, search.trial.analysis.batches or DEFAULT_BATCHES)
            of_half = _rows(search, found)
            rows += [(half, *row) for row in of_half]
            bias = _bias(of_half)
            if bias is not None:
                metrics[f"gradient_bias/{half}"] = bias
        columns = ("half", "cell", "edge", "operation", "gradient")
        return AnalysisTable(self.kind, columns, rows, _AXES, metrics)


def _rows(search: SearchView, found: Mapping[str, Tensor]) -> list[Row]:
    rows = []
    for name, gradient in found.items():
        cell, remaining = search.space.cells[name], search.choices.remaining(name)
        values = gradient.tolist()
        for row, edge in enumerate(cell.edges):
            for column, operation in enumerate(cell.operations[row]):
                if remaining[row, column]:
                    rows.append((name, str(edge), operation, values[row][column]))
    return rows


def _bias(rows: Sequence[Row]) -> float | None:
    """Return mean ∂L/∂p of convolutions minus that of skips and pools; None if one is missing."""
    convolutions = [value for *_, name, value in rows if operation_kind(name) == "convolution"]
    others = [value for *_, name, value in rows if operation_kind(name) in ("skip", "pool")]
    if not convolutions or not others:
        return None
    return sum(convolutions) / len(convolutions) - sum(others) / len(others)
