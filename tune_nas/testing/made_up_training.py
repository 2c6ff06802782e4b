"""A search by a strategy whose trainings are made up: it takes milliseconds, and needs no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tune_nas.seeds import derive_seed
from tune_nas.strategies import Request, Strategy

Train = Callable[[Request], float | None]
"""Returns the validation accuracy after a job; None if its training fails."""

_CALLS = 100_000  # far more than a search of a test has


@dataclass(frozen=True)
class Call:
    """A call of a strategy: an `ask` and its result, or a `tell` and its accuracy.

    Args:
        name: ``ask`` or ``tell``.
        request: The request; None if the strategy had none.
        accuracy: The accuracy that was told.
    """

    name: str
    request: Request | None
    accuracy: float | None = None


def made_up_accuracy(request: Request) -> float:
    """Return an accuracy in [0, 1) that depends on the genotype and the epochs alone."""
    return derive_seed(request.epochs, str(request.genotype)) / 2**63


def run_search(
    strategy: Strategy,
    train: Train = made_up_accuracy,
    workers: int = 1,
    order: Random | None = None,
    repeats: int = 0,
) -> list[Call]:
    """Run a search to its end and return its calls.

    Args:
        strategy: The strategy.
        train: Returns the accuracy after a job.
        workers: Number of jobs that are trained at a time.
        order: Chooses the job that ends next; None for the one that was asked for first.
        repeats: How often a strategy that has no request is asked again at once.

    Raises:
        AssertionError: If it does not end.
    """
    calls: list[Call] = []
    while not strategy.done:
        assert len(calls) < _CALLS, "the search does not end"
        while len(strategy.pending) < workers:
            request = strategy.ask()
            calls.append(Call("ask", request))
            if request is None:
                for _ in range(repeats):
                    assert strategy.ask() is None, "asked twice without a result, it answers twice"
                break
        pending = strategy.pending
        assert pending or strategy.done, "it awaits a result, but no request is pending"
        if pending:
            request = pending[0] if order is None else order.choice(pending)
            accuracy = train(request)
            strategy.tell(request, accuracy)
            calls.append(Call("tell", request, accuracy))
    return calls


def requests(calls: list[Call]) -> list[Request]:
    """Return the requests of a search, in order."""
    return [call.request for call in calls if call.name == "ask" and call.request is not None]
