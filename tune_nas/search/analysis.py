"""Strength of an operation on an edge: discretization accuracy at convergence.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Sec. 3.1: the edge is discretized to the operation, the rest of the supernet is
tuned until it converges, and its validation accuracy is measured. α often disagrees with it;
selection by perturbation approximates it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tune_nas.checkpoint import check_same_trial, load_state, save_state, taking
from tune_nas.config import TrialConfig, split_edge
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.errors import CheckpointError, ConfigError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import stored_trial, with_overrides
from tune_nas.operation_strength import (
    ANALYSIS_METRIC,
    EdgeAnalysis,
    OperationStrength,
    StrengthTable,
)
from tune_nas.paths import ANALYSIS
from tune_nas.runtime import peak_memory_mib
from tune_nas.search.ablation import candidates, without_operations
from tune_nas.search.metrics import Metrics
from tune_nas.search.search import Search
from tune_nas.search.selection import Tuning
from tune_nas.search.view import SearchControl, SearchView
from tune_nas.spaces import Space, load_space
from tune_nas.text import plural

STATE_FILE = "analysis.pt"


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


class Analysis:
    """The analysis of a finished search: an epoch of it analyzes one operation of one edge.

    Each operation starts from the checkpoint of the search, so the analysis has the same result
    with and without interruptions. All accuracies use batch statistics in batch normalization, so
    that they are comparable, and all tunings see the same batches. The learning rate is that of
    ``selection.perturbation``.

    Args:
        trial: The trial of the search; ``start_from`` is its last checkpoint, and ``analysis``
            names the edges.

    Raises:
        ConfigError: If a cell or an edge does not exist or is already decided or pruned, or none is
            named.
        CheckpointError: If the checkpoint is not the end of that search.
    """

    def __init__(self, trial: TrialConfig) -> None:
        if trial.start_from is None:
            raise ConfigError(
                "start_from is null, but must be the checkpoint of the search to analyze"
            )
        if not trial.analysis.edges:
            raise ConfigError("`analysis.edges` is empty, but must name an edge, as CELL:EDGE")
        self.trial = trial
        search = self._search("", 0, None)
        self.space = search.space
        self._candidates = list(_candidates(search, trial))
        self._measured: dict[Candidate, Measured] = {}
        self._converged: list[float] = []

    def _search(self, cell: str, row: int, column: int | None) -> Search:
        """Return the finished search, with an edge that is discretized when it is tuned."""
        epochs = self.trial.analysis.epochs
        selection = {
            **self.trial.selection.to_dict(),
            "kind": f"{__name__}:{Discretised.__name__}",
            "max_skips": {},
            "rank_by": "weights",
            "options": {"cell": cell, "row": row, "column": column, "epochs": epochs},
        }
        return Search(with_overrides(self.trial, {"selection": selection}))

    @property
    def epoch(self) -> int:
        """Number of analyzed operations."""
        return len(self._converged)

    @property
    def epochs(self) -> int:
        """Number of operations to analyze."""
        return len(self._candidates)

    @property
    def done(self) -> bool:
        """Whether all operations are analyzed."""
        return self.epoch >= self.epochs

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Analyze the next operation and return its measures.

        Args:
            on_step: Called after each step of the tuning with its number and the number of steps of
                the tuning epoch.

        Raises:
            TuneNasError: If all operations are analyzed.
            DivergedError: If the loss is not finite anymore.
        """
        if self.done:
            raise TuneNasError(f"the analysis is over: {self.epoch} operations are analyzed")
        start = time.perf_counter()
        candidate = self._candidates[self.epoch]
        if candidate not in self._measured:
            self._measure(candidate.cell, candidate.row)
        search = self._search(*candidate)
        while not search.done:
            search.run_epoch(on_step)
        _, converged = search.evaluate(search.expected_weights(), batch_statistics=True)
        self._converged.append(converged)
        measured = self._measured[candidate]
        return {
            "epoch": self.epoch,
            "supernet_accuracy": measured.supernet,
            "alpha": measured.alpha,
            "weight": measured.weight,
            "accuracy_without": measured.without,
            "loss_without": measured.loss_without,
            ANALYSIS_METRIC: converged,
            "memory_mib": peak_memory_mib(search.device),
            "seconds": time.perf_counter() - start,
        }

    def _measure(self, cell: str, row: int) -> None:
        """Measure all operations of an edge in the supernet as the search left it."""
        search = self._search(cell, row, None)
        weights = search.expected_weights()
        _, supernet = search.evaluate(weights, batch_statistics=True)
        shares = weights[cell].operations[row]
        alphas = search.alphas[cell].detach()[row]
        for missing in without_operations(search, cell, row):
            self._measured[Candidate(cell, row, missing.what)] = Measured(
                supernet=supernet,
                alpha=float(alphas[missing.what]),
                weight=float(shares[missing.what]),
                without=missing.accuracy,
                loss_without=missing.loss,
            )

    def table(self) -> StrengthTable:
        """Return the operations analyzed so far, by edge."""
        edges: dict[tuple[str, int], EdgeAnalysis] = {}
        for candidate, converged in zip(self._candidates, self._converged, strict=False):
            cell, row, column = candidate
            measured, described = self._measured[candidate], self.space.cells[cell]
            if (cell, row) not in edges:
                edge = str(described.edges[row])
                edges[cell, row] = EdgeAnalysis(cell, edge, measured.supernet, [])
            strength = OperationStrength(
                operation=described.operations[row][column],
                alpha=measured.alpha,
                weight=measured.weight,
                without=measured.without,
                loss_without=measured.loss_without,
                converged=converged,
            )
            edges[cell, row].operations.append(strength)
        return StrengthTable(
            str(self.trial.start_from), self.trial.analysis.epochs, list(edges.values())
        )

    def result(self) -> None:
        """Return None: an analysis finds no genotype."""

    def remarks(self) -> dict[str, str]:
        """Return the operation that was analyzed last, and why others were not analyzed."""
        if not self._converged:
            return {}
        cell, row, column = self._candidates[self.epoch - 1]
        described = self.space.cells[cell]
        last = f"{cell} {described.edges[row]} {described.operations[row][column]}"
        remarks = {DECISIONS: f"{last}: {self._converged[-1]:.2f} %"}
        removed = count_operations(self.trial, self.space) - self.epochs
        if self.done and removed:
            remarks[ENDED] = f"the search had removed {plural(removed, 'operation')} of the edges"
        return remarks

    def artifacts(self) -> dict[str, str]:
        """Return the table as JSON and as CSV."""
        table = self.table()
        return {ANALYSIS: table.to_json(), "analysis.csv": table.to_csv()}

    def state_dict(self) -> dict[str, Any]:
        """Return the measures so far as plain containers."""
        measured = [[*candidate, *astuple(each)] for candidate, each in self._measured.items()]
        return {
            "trial": self.trial.to_dict(),
            "measured": measured,
            "converged": list(self._converged),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of the same analysis.

        Raises:
            CheckpointError: If it is of another one.
        """
        try:
            saved = stored_trial(state["trial"], "its trial")
        except ConfigError as error:
            raise CheckpointError(f"the checkpoint is of another version: {error}") from error
        for mark in (Decides.SEARCH, Decides.ANALYSIS):
            check_same_trial(decided_by(self.trial, mark), decided_by(saved, mark))
        self._measured = {
            Candidate(*entry[:3]): Measured(*entry[3:]) for entry in state["measured"]
        }
        self._converged = list(state["converged"])

    def save(self, folder: Path) -> None:
        """Write ``analysis.pt`` and the artifacts to a folder."""
        save_state(folder, self.state_dict(), name=STATE_FILE, files=self.artifacts())

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, missing or of another analysis.
        """
        state = load_state(folder, name=STATE_FILE)
        with taking(folder):
            self.load_state_dict(state)


def count_operations(trial: TrialConfig, space: Space | None = None) -> int:
    """Return the number of operations that a genotype may have on the edges of an analysis.

    It is that of the epochs of the analysis, unless the search has removed some of them.

    Args:
        trial: The trial of the analysis.
        space: Its space; None to load it.

    Raises:
        ConfigError: If a cell or an edge does not exist.
    """
    space = load_space(trial.space.name) if space is None else space
    return sum(
        int(space.cells[cell].eligible()[row].sum()) for cell, row in _edges_of(trial, space)
    )


def _candidates(search: SearchView, trial: TrialConfig) -> Iterator[Candidate]:
    """Yield the operations to analyze in order.

    Raises:
        ConfigError: If an edge does not exist, or is already decided or pruned.
    """
    for cell, row in _edges_of(trial, search.space):
        if row not in search.choices.open(cell):
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
    for text in trial.analysis.edges:
        cell, edge = split_edge(text)
        if cell not in space.cells:
            known = ", ".join(space.cells)
            raise ConfigError(f"the cell is '{cell}', but must be one of {known}")
        edges = [str(known) for known in space.cells[cell].edges]
        if edge not in edges:
            raise ConfigError(f"the {cell} cell has no edge '{edge}'; it has {', '.join(edges)}")
        yield cell, edges.index(edge)
