"""The operations on edges of a finished search: which there are, and their measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tune_nas.config import TrialConfig, split_edge
from tune_nas.config.analysis_config import DISCRETIZATION
from tune_nas.errors import ConfigError
from tune_nas.search.ablation import candidates, without_operations
from tune_nas.search.selection import Tuning
from tune_nas.search.view import SearchControl, SearchView
from tune_nas.spaces import Space, load_space


class Discretized(Tuning):
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


class Candidate(NamedTuple):
    """An operation of an edge that is to be analyzed, as row and column of its cell type."""

    cell: str
    row: int
    column: int


@dataclass(frozen=True)
class Measured:
    """The measures of an operation in the supernet as the search left it.

    Args:
        supernet: Accuracy of the unchanged supernet in percent.
        alpha: α of the operation.
        weight: Its expected operation weight.
        without: The supernet's accuracy without it, in percent.
        loss_without: The supernet's loss without it.
    """

    supernet: float
    alpha: float
    weight: float
    without: float
    loss_without: float


def measure_edge(search: SearchView, cell: str, row: int) -> dict[Candidate, Measured]:
    """Measure each operation that a genotype may have on an edge, without tuning.

    All accuracies use batch statistics in batch normalization, so that they are comparable.

    Args:
        search: The finished search.
        cell: The cell type.
        row: The edge.
    """
    weights = search.expected_weights()
    _, supernet = search.evaluate(weights, batch_statistics=True)
    shares = weights[cell].operations[row]
    alphas = search.alphas[cell].detach()[row]
    return {
        Candidate(cell, row, missing.what): Measured(
            supernet=supernet,
            alpha=float(alphas[missing.what]),
            weight=float(shares[missing.what]),
            without=missing.accuracy,
            loss_without=missing.loss,
        )
        for missing in without_operations(search, cell, row)
    }


def count_operations(trial: TrialConfig, space: Space | None = None) -> int:
    """Return the number of operations that a genotype may have on the edges of an analysis.

    It is that of the epochs of the analysis, unless the search has removed some of them.

    Args:
        trial: The trial of the analysis.
        space: Its space; None to load it.

    Raises:
        ConfigError: If a cell or an edge does not exist.
    """
    space = load_space(trial.space.name, trial.space.skeleton) if space is None else space
    return sum(
        int(space.cells[cell].eligible()[row].sum()) for cell, row in _edges_of(trial, space)
    )


def with_default_edges(trial: TrialConfig, space: Space) -> TrialConfig:
    """Return a trial whose analysis names edges: by default the first one of each cell type."""
    if trial.analysis.edges:
        return trial
    edges = [f"{name}:{cell.edges[0]}" for name, cell in space.cells.items()]
    analysis = trial.analysis.model_copy(update={"edges": edges})
    return trial.model_copy(update={"analysis": analysis})


def candidates_of(
    search: SearchView, trial: TrialConfig, *, skip_closed: bool = False
) -> Iterator[Candidate]:
    """Yield the operations to analyze in order.

    Args:
        search: The search.
        trial: The trial of the analysis.
        skip_closed: Whether edges that are decided or pruned are left out.

    Raises:
        ConfigError: If an edge does not exist, or is already decided or pruned.
    """
    for cell, row in _edges_of(trial, search.space):
        if row not in search.choices.open(cell):
            if skip_closed:
                continue
            edge = search.space.cells[cell].edges[row]
            raise ConfigError(
                f"edge {edge} of the {cell} cell is decided already, or was taken out"
            )
        for column in candidates(search, cell, row):
            yield Candidate(cell, row, column)


def _edges_of(trial: TrialConfig, space: Space) -> Iterator[tuple[str, int]]:
    """Yield the edges of an analysis, each as cell type and row.

    Raises:
        ConfigError: If one does not exist.
    """
    if trial.analysis.kind == DISCRETIZATION:
        trial = with_default_edges(trial, space)
    for text in trial.analysis.edges:
        cell, edge = split_edge(text)
        if cell not in space.cells:
            known = ", ".join(space.cells)
            raise ConfigError(f"the cell is '{cell}', but must be one of {known}")
        edges = [str(known) for known in space.cells[cell].edges]
        if edge not in edges:
            raise ConfigError(f"the {cell} cell has no edge '{edge}'; it has {', '.join(edges)}")
        yield cell, edges.index(edge)
