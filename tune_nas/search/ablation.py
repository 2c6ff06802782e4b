"""Ablation: the loss in accuracy of a supernet without an operation or an edge.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Sec. 4.1: the importance of an operation is the drop of the supernet's validation
accuracy when only this operation is removed. The other weights are unchanged; they are not
rescaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tune_nas.search.view import SearchView
from tune_nas.spaces import MixingWeights


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of the supernet on validation images without an operation or edge.

    Args:
        what: A column of operations, or a row of edges.
        loss: Mean cross-entropy.
        accuracy: In percent.
    """

    what: int
    loss: float
    accuracy: float

    def harm(self, criterion: str) -> tuple[float, float]:
        """Return a sort key that grows with the harm; the other criterion breaks ties."""
        by_accuracy, by_loss = -self.accuracy, self.loss
        return (by_loss, by_accuracy) if criterion == "loss" else (by_accuracy, by_loss)


def candidates(search: SearchView, cell: str, row: int) -> list[int]:
    """Return the operations that may still be selected on an edge, as columns."""
    remaining = search.choices.remaining(cell)[row] & search.space.cells[cell].eligible()[row]
    columns: list[int] = remaining.nonzero().flatten().tolist()
    return columns


def without_operations(search: SearchView, cell: str, row: int) -> list[Evaluation]:
    """Evaluate the supernet without each operation that may be selected on an edge, one by one.

    Raises:
        ValueError: If there is none.
    """
    weights, columns = search.expected_weights(), candidates(search, cell, row)
    if not columns:
        raise ValueError(f"edge {row} of cell '{cell}' has no operation left to select")
    return [
        _evaluate(search, _without(search, weights, cell, row, column), column)
        for column in columns
    ]


def without_edges(search: SearchView, cell: str, rows: list[int]) -> list[Evaluation]:
    """Evaluate the supernet without each of the given edges, one by one."""
    weights = search.expected_weights()
    return [_evaluate(search, _without(search, weights, cell, row, None), row) for row in rows]


def perturbed_choice(search: SearchView, cell: str, row: int) -> int:
    """Return the operation of an edge, as a column, whose removal hurts the supernet most.

    The criterion is that of ``selection.perturbation``; ties go to the first.

    Raises:
        ValueError: If the edge has no operation left that a genotype may have.
    """
    return chosen_of(search, without_operations(search, cell, row))


def chosen_of(search: SearchView, found: list[Evaluation]) -> int:
    """Return the operation whose removal does the most harm; ties go to the first."""
    criterion = search.trial.selection.perturbation.criterion
    return max(found, key=lambda evaluation: evaluation.harm(criterion)).what


def _without(
    search: SearchView, weights: MixingWeights, cell: str, row: int, column: int | None
) -> MixingWeights:
    """Return the weights with one or all operations of an edge at 0 and not run."""
    own = weights[cell]
    operations = own.operations.clone()
    active = search.choices.remaining(cell) if own.active is None else own.active
    active = active.clone()
    taken = slice(None) if column is None else column
    operations[row, taken] = 0.0
    active[row, taken] = False
    return {**weights, cell: replace(own, operations=operations, active=active)}


def _evaluate(search: SearchView, weights: MixingWeights, what: int) -> Evaluation:
    """Evaluate with batch statistics, as in the authors' code.

    The running statistics are those of the full supernet, not of the rest.
    """
    batches = search.trial.selection.perturbation.batches
    loss, accuracy = search.evaluate(weights, batches, batch_statistics=True)
    return Evaluation(what, loss, accuracy)
