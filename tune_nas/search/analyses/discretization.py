"""Discretization: α of an operation against the accuracy with this operation alone on its edge.

Wang, "Towards efficient, effective, and robust Neural Architecture Search methods" (thesis, UCLA
2021), Fig. 2.1 (Wang et al., "Rethinking Architecture Selection in Differentiable NAS", ICLR 2021,
arXiv:2108.04392): the operation with the largest α is often not the one with the best accuracy
after the edge is discretized to it and the supernet is tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tune_nas.analysis_table import AnalysisTable, Value
from tune_nas.config.analysis_config import DISCRETIZATION
from tune_nas.operation_strength import discretization_table
from tune_nas.search.analyses.analysis_probe import AnalysisProbe
from tune_nas.search.analyses.probe_batches import probe_passes
from tune_nas.search.edge_operations import Candidate, candidates_of, with_default_edges
from tune_nas.search.objective import Gradients, gradients
from tune_nas.search.view import SearchView
from tune_nas.spaces import MixingWeights


class Discretization(AnalysisProbe):
    """The validation accuracy of the supernet with an operation alone on its edge, after tuning.

    As a probe, it tunes a copy of w on the train half without augmentation, for
    ``analysis.epochs`` epochs of ``analysis.batches`` batches with SGD at
    ``selection.perturbation.learning_rate_factor`` times the initial learning rate, with momentum
    and weight decay of the search; α does not move. Accuracies are on the validation half with
    batch statistics. The edges are those of ``analysis.edges`` that are not decided; without any,
    the first edge of each cell type.

    `tune-nas analyze RUN discretization` instead tunes as DARTS-PT's selection does: see
    `tune_nas.search.analysis.Analysis`.

    The metric ``discretization/agreement`` is the fraction of edges on which the largest α has the
    best accuracy.
    """

    kind = DISCRETIZATION
    reads = (
        *("analysis.batches", "analysis.edges", "analysis.epochs", "analysis.every"),
        "selection.perturbation.learning_rate_factor",
    )

    def __init__(self, search: SearchView) -> None:
        super().__init__(search)
        _candidates(search)  # checks the names

    def measure(self, search: SearchView) -> AnalysisTable:
        """Return α, weight and accuracy of each operation that is left on the edges."""
        weights = search.expected_weights()
        rows: list[tuple[Value, ...]] = []
        for cell, row, column in _candidates(search):
            described = search.space.cells[cell]
            rows.append(
                (
                    *(cell, str(described.edges[row]), described.operations[row][column]),
                    float(search.alphas[cell].detach()[row, column]),
                    float(weights[cell].operations[row, column]),
                    tuned_accuracy(search, discretized(weights, cell, row, column)),
                )
            )
        return discretization_table(rows)


def _candidates(search: SearchView) -> list[Candidate]:
    """Return the operations of the edges that are not decided."""
    trial = with_default_edges(search.trial, search.space)
    return list(candidates_of(search, trial, skip_closed=True))


def discretized(weights: MixingWeights, cell: str, row: int, column: int) -> MixingWeights:
    """Return mixing weights with one operation, of weight 1, alone on an edge."""
    own = weights[cell]
    operations = own.operations.clone()
    operations[row] = 0.0
    operations[row, column] = 1.0
    active = torch.ones(operations.shape, dtype=torch.bool) if own.active is None else own.active
    active = active.clone()
    active[row] = False
    active[row, column] = True
    return {**weights, cell: replace(own, operations=operations, active=active)}


def tuned_accuracy(search: SearchView, weights: MixingWeights) -> float:
    """Return the validation accuracy in percent after tuning w at given mixing weights.

    w and the running statistics are restored, bit for bit.
    """
    trial, objective = search.trial, search.objective
    settings = trial.optimizer.weights
    with objective.at([weight.detach().clone() for weight in objective.weight_list]):
        optimizer = torch.optim.SGD(
            objective.weight_list,
            lr=trial.selection.perturbation.learning_rate_factor * settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        for _ in range(trial.analysis.epochs):
            for batch in probe_passes(search, "train", trial.analysis.batches):
                loss, _ = objective.loss(batch, mixing=weights)
                found = gradients(loss, objective.weight_list)
                _step(optimizer, objective.weight_list, found)
        _, accuracy = search.evaluate(weights, batch_statistics=True)
    return accuracy


def _step(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], found: Gradients) -> None:
    """Make a step with given gradients; the parameters keep those that they had."""
    kept = [weight.grad for weight in weights]
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
    optimizer.step()
    for weight, gradient in zip(weights, kept, strict=True):
        weight.grad = gradient
