"""Strength of an operation on an edge: discretization accuracy at convergence.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Sec. 3.1: the edge is discretized to the operation, the rest of the supernet is
tuned until it converges, and its validation accuracy is measured. α often disagrees with it;
selection by perturbation approximates it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search.ablation import without_operations
from tune_nas.search.search import Search
from tune_nas.search.selection import Tuning
from tune_nas.search.view import SearchControl, SearchView


class Discretised(Tuning):
    """Discretizes one edge to one operation, then tunes; the rest is selected by magnitude.

    Args:
        search: The search, from whose end it continues.
        cell: The cell type.
        row: The edge.
        column: The operation; None leaves the edge unchanged.
        epochs: Number of tuning epochs.
    """

    def __init__(self, search: SearchControl, cell: str, row: int, column: int | None, epochs: int):
        super().__init__(search)
        self.cell, self.row, self.column = cell, row, column

    @classmethod
    def tuning_of(cls, trial: TrialConfig) -> int:
        """Return the number of epochs in the options."""
        return int(trial.selection.options["epochs"])

    def decide(self, epoch: int) -> None:
        """Decide the edge, before the first epoch."""
        if epoch == 0 and self.column is not None:
            self.search.decide(self.cell, self.row, self.column)


@dataclass(frozen=True)
class OperationStrength:
    """Measures of an operation on an edge. Accuracies are on the validation half, in percent.

    Args:
        operation: Its name.
        alpha: Its α.
        weight: Its expected operation weight.
        without: The supernet's accuracy without it.
        loss_without: The supernet's loss without it.
        converged: Its discretization accuracy at convergence.
    """

    operation: str
    alpha: float
    weight: float
    without: float
    loss_without: float
    converged: float


@dataclass(frozen=True)
class EdgeAnalysis:
    """The operations of an edge.

    Args:
        cell: The cell type.
        edge: E.g. ``0->2``.
        supernet: Accuracy of the unchanged supernet in percent.
        operations: The operations that a genotype may have there, in the order of the space.
    """

    cell: str
    edge: str
    supernet: float
    operations: list[OperationStrength]

    def ranks(self) -> dict[str, dict[str, int]]:
        """Return, by criterion, the rank of each operation; 1 is the one it would choose."""
        keys: dict[str, Callable[[OperationStrength], Any]] = {
            "magnitude": lambda worth: -worth.weight,
            "perturbation": lambda worth: (worth.without, -worth.loss_without),
            "discretisation": lambda worth: -worth.converged,
        }
        ranks = {}
        for criterion, key in keys.items():
            ordered = sorted(self.operations, key=key)
            ranks[criterion] = {worth.operation: rank for rank, worth in enumerate(ordered, 1)}
        return ranks


def analyze_edge(
    trial: TrialConfig,
    checkpoint: Path,
    cell: str,
    edge: str,
    epochs: int,
    on_operation: Callable[[str], None] | None = None,
) -> EdgeAnalysis:
    """Tune the supernet of a finished search with each operation of an edge alone on it.

    All accuracies use batch statistics in batch normalization, so that they are comparable, and all
    tunings see the same batches. The learning rate is that of ``selection.perturbation``.

    Args:
        trial: The trial of the search.
        checkpoint: Folder of its last checkpoint.
        cell: A cell type.
        edge: An edge of it, e.g. ``0->2``.
        epochs: Number of tuning epochs, assumed to reach convergence.
        on_operation: Called with the name of each operation before it is tuned.

    Raises:
        ConfigError: If the cell or edge does not exist, or the edge is already decided or pruned.
        CheckpointError: If the checkpoint is not the end of that search.
    """
    if epochs < 1:
        raise ConfigError(f"epochs is {epochs}, but must be >= 1")

    def start(row: int, column: int | None) -> Search:
        options = {"cell": cell, "row": row, "column": column, "epochs": epochs}
        selection = {
            **trial.selection.to_dict(),
            "kind": f"{__name__}:{Discretised.__name__}",
            "max_skips": {},
            "rank_by": "weights",
            "options": options,
        }
        return Search(
            with_overrides(trial, {"start_from": str(checkpoint), "selection": selection})
        )

    untouched = start(0, None)
    row = _open_row(untouched, cell, edge)
    _, supernet = untouched.evaluate(untouched.expected_weights(), batch_statistics=True)
    weights = untouched.expected_weights()[cell].operations[row]
    alphas = untouched.alphas[cell].detach()[row]
    found = []
    for missing in without_operations(untouched, cell, row):
        operation = untouched.space.cells[cell].operations[row][missing.what]
        if on_operation is not None:
            on_operation(operation)
        tuned = start(row, missing.what)
        while not tuned.done:
            tuned.run_epoch()
        _, converged = tuned.evaluate(tuned.expected_weights(), batch_statistics=True)
        found.append(
            OperationStrength(
                operation,
                alpha=float(alphas[missing.what]),
                weight=float(weights[missing.what]),
                without=missing.accuracy,
                loss_without=missing.loss,
                converged=converged,
            )
        )
    return EdgeAnalysis(cell, edge, supernet, found)


def _open_row(search: SearchView, cell: str, edge: str) -> int:
    cells = search.space.cells
    if cell not in cells:
        raise ConfigError(f"the cell is '{cell}', but must be one of {', '.join(cells)}")
    edges = [str(known) for known in cells[cell].edges]
    if edge not in edges:
        raise ConfigError(f"the {cell} cell has no edge '{edge}'; it has {', '.join(edges)}")
    row = edges.index(edge)
    if row not in search.choices.open(cell):
        raise ConfigError(f"edge {edge} of the {cell} cell is decided already, or was taken out")
    return row
