"""Strength of the operations on edges of a finished search, analyzed one by one and resumable.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Sec. 3.1: an edge is discretized to an operation, the rest of the supernet is
tuned until it converges, and its validation accuracy is measured. α often disagrees with it;
selection by perturbation approximates it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.config.analysis_config import DISCRETIZATION
from tune_nas.errors import ConfigError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import with_overrides
from tune_nas.operation_strength import (
    ANALYSIS_METRIC,
    EdgeAnalysis,
    OperationStrength,
    StrengthTable,
)
from tune_nas.paths import ANALYSIS
from tune_nas.runtime import peak_memory_mib
from tune_nas.search.checkpoint_analysis import CheckpointAnalysis
from tune_nas.search.edge_operations import (
    Candidate,
    Discretized,
    Measured,
    candidates_of,
    count_operations,
    measure_edge,
)
from tune_nas.search.metrics import Metrics
from tune_nas.search.search import Search
from tune_nas.text import plural


class Analysis(CheckpointAnalysis):
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
        super().__init__(trial)
        if not trial.analysis.edges and trial.analysis.kind != DISCRETIZATION:
            raise ConfigError("`analysis.edges` is empty, but must name an edge, as CELL:EDGE")
        search = _finished_search(trial)
        self.space = search.space
        self._candidates = list(candidates_of(search, trial))
        self._measured: dict[Candidate, Measured] = {}
        self._converged: list[float] = []

    @property
    def epoch(self) -> int:
        """Number of analyzed operations."""
        return len(self._converged)

    @property
    def done(self) -> bool:
        """Whether all operations are analyzed."""
        return self.epoch >= len(self._candidates)

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
            self._measured |= measure_edge(
                _finished_search(self.trial), candidate.cell, candidate.row
            )
        search = _finished_search(self.trial, candidate)
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

    def remarks(self) -> dict[str, str]:
        """Return the operation that was analyzed last, and why others were not analyzed."""
        if not self._converged:
            return {}
        cell, row, column = self._candidates[self.epoch - 1]
        described = self.space.cells[cell]
        last = f"{cell} {described.edges[row]} {described.operations[row][column]}"
        remarks = {DECISIONS: f"{last}: {self._converged[-1]:.2f} %"}
        removed = count_operations(self.trial, self.space) - len(self._candidates)
        if self.done and removed:
            remarks[ENDED] = f"the search had removed {plural(removed, 'operation')} of the edges"
        return remarks

    def artifacts(self) -> dict[str, str]:
        """Return the table as JSON and as CSV."""
        table = self.table()
        return {ANALYSIS: table.to_json(), "analysis.csv": table.to_csv()}

    def measures(self) -> State:
        """Return the measures so far as plain containers."""
        measured = [[*candidate, *astuple(each)] for candidate, each in self._measured.items()]
        return {"measured": measured, "converged": list(self._converged)}

    def load_measures(self, state: State) -> None:
        """Restore them."""
        self._measured = {
            Candidate(*entry[:3]): Measured(*entry[3:]) for entry in state["measured"]
        }
        self._converged = list(state["converged"])


def _finished_search(trial: TrialConfig, candidate: Candidate | None = None) -> Search:
    """Return the search to analyze as it ended, to be tuned with an operation alone on its edge.

    Args:
        trial: The trial of the analysis.
        candidate: The operation; None to leave all edges unchanged.
    """
    cell, row, column = candidate or ("", 0, None)
    epochs = trial.analysis.epochs
    selection = {
        **trial.selection.to_dict(),
        "kind": f"{Discretized.__module__}:{Discretized.__name__}",
        "max_skips": {},
        "rank_by": "weights",
        "options": {"cell": cell, "row": row, "column": column, "epochs": epochs},
    }
    return Search(with_overrides(trial, {"selection": selection}))
