"""How much a supernet loses without an operation, or without an edge.

Wang et al., "Rethinking Architecture Selection in Differentiable NAS" (DARTS-PT), ICLR 2021,
arXiv:2108.04392, Sec. 4.1: an operation matters as much as the supernet's valid accuracy falls
when it alone is taken out. The other weights stay as they are; they are not scaled up again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tune_nas.search.view import SearchView
from tune_nas.spaces import MixingWeights


@dataclass(frozen=True)
class Evaluation:
    """The supernet on valid images, with something taken out.

    Args:
        what: A column of operations, or a row of edges.
        loss: Mean cross-entropy.
        accuracy: In percent.
    """

    what: int
    loss: float
    accuracy: float

    def harm(self, criterion: str) -> tuple[float, float]:
        """Return a number that grows with the harm done; the other criterion parts ties."""
        by_accuracy, by_loss = -self.accuracy, self.loss
        return (by_loss, by_accuracy) if criterion == "loss" else (by_accuracy, by_loss)


def candidates(search: SearchView, cell: str, row: int) -> list[int]:
    """Return the operations that may still be selected on an edge, as columns."""
    remaining = search.choices.remaining(cell)[row] & search.space.cells[cell].eligible()[row]
    columns: list[int] = remaining.nonzero().flatten().tolist()
    return columns


def without_operations(search: SearchView, cell: str, row: int) -> list[Evaluation]:
    """Evaluate the supernet without each operation that may be selected on an edge, in turn.

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
    """Evaluate the supernet without each of some edges, in turn."""
    weights = search.expected_weights()
    return [_evaluate(search, _without(search, weights, cell, row, None), row) for row in rows]


def perturbed_choice(search: SearchView, cell: str, row: int) -> int:
    """Return the operation, as a column, without which the supernet loses most on an edge.

    Judged as ``selection.perturbation`` says; of equal ones the earlier.

    Raises:
        ValueError: If no operation that a genotype may have is left on the edge.
    """
    return chosen_of(search, without_operations(search, cell, row))


def chosen_of(search: SearchView, found: list[Evaluation]) -> int:
    """Return the operation whose absence does most harm; of equal ones the earlier."""
    criterion = search.trial.selection.perturbation.criterion
    return max(found, key=lambda evaluation: evaluation.harm(criterion)).what


def _without(
    search: SearchView, weights: MixingWeights, cell: str, row: int, column: int | None
) -> MixingWeights:
    """Return the weights with an operation of an edge at 0 and not run, or all of the edge's."""
    own = weights[cell]
    operations = own.operations.clone()
    active = search.choices.remaining(cell) if own.active is None else own.active
    active = active.clone()
    taken = slice(None) if column is None else column
    operations[row, taken] = 0.0
    active[row, taken] = False
    return {**weights, cell: replace(own, operations=operations, active=active)}


def _evaluate(search: SearchView, weights: MixingWeights, what: int) -> Evaluation:
    """Evaluate with the statistics of the batch, as the authors' code does.

    Those that batch normalisation has gathered are of the whole supernet, not of what is left.
    """
    batches = search.trial.selection.perturbation.batches
    loss, accuracy = search.evaluate(weights, batches, batch_statistics=True)
    return Evaluation(what, loss, accuracy)
