"""Base class of selections: they derive a genotype from a supernet, at once or while tuning it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from tune_nas import manifest
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.search.plugins import register_as, running_own_code
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import operation_shares
from tune_nas.search.view import SearchControl
from tune_nas.spaces import Genotype
from tune_nas.user_code import load_class


def register_selection(kind: str) -> Callable[[type[Selection]], type[Selection]]:
    """Register a selection under a name for ``selection.kind`` of a trial."""
    return register_as("selections", kind)


def selection_names() -> list[str]:
    """Return the sorted names of all selections."""
    return sorted(manifest.names("selections"))


def make_selection(search: SearchControl) -> Selection:
    """Build the selection that a trial names.

    Raises:
        ConfigError: If it does not fit the search, or is a custom class that cannot be loaded.
    """
    config = search.trial.selection
    kind = _find(search.trial)
    updates = search.trial.update.in_all_epochs()
    if kind.reads_alpha and all(update.level == "none" for update in updates):
        raise ConfigError(
            f"update.level is 'none', so that α never moves, but selection.kind '{config.kind}' "
            "reads α; take 'perturbation' or 'sampled'"
        )
    try:
        with running_own_code("selection.kind", config.kind):
            return kind(search, **config.options)
    except TypeError as error:
        raise ConfigError(f"selection.options do not fit '{config.kind}': {error}") from error


def total_epochs(trial: TrialConfig) -> int:
    """Return the maximum number of epochs of a search, including tuning epochs.

    If a search continues from another's checkpoint, the epochs of the other are included.

    Raises:
        ConfigError: If the trial's space or selection cannot be loaded.
    """
    kind = _find(trial)
    with running_own_code("selection.kind", trial.selection.kind):
        tuning = kind.tuning_of(trial)
    return most_search_epochs(trial) + at_least_one_to_select(trial, tuning)


def most_search_epochs(trial: TrialConfig) -> int:
    """Return the maximum number of search epochs, with those that a rollback repeats."""
    epochs, rule = trial.schedule.epochs, trial.schedule.eigenvalue
    decay = trial.optimizer.weights.weight_decay
    return epochs + (0 if rule is None else rule.most_repeated(epochs, decay))


def at_least_one_to_select(trial: TrialConfig, tuning: int) -> int:
    """Return the tuning epochs, at least one if the search continues from a checkpoint.

    If the selection needs none, nothing is trained in it: the genotype is derived from the
    unchanged supernet.
    """
    return max(tuning, 1) if trial.start_from is not None else tuning


class Selection(Rule, ABC):
    """Derives a genotype from the supernet of a search.

    A selection that decides while tuning requests epochs after the search epochs; in those, it
    decides in the hooks of a rule.
    """

    # Whether its genotype depends on α; it is then rejected if α is never updated.
    reads_alpha: ClassVar[bool] = False

    @classmethod
    def tuning_of(cls, trial: TrialConfig) -> int:
        """Return the number of tuning epochs that a search needs; known before it starts.

        A selection with tuning epochs must override this: a sweep calls it before there is a
        search.
        """
        return 0

    @cached_property
    def tuning_epochs(self) -> int:
        """Number of tuning epochs that this search needs."""
        return self.tuning_of(self.search.trial)

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch (0-based)."""
        raise NotImplementedError

    @abstractmethod
    def genotype(self) -> Genotype:
        """Return the current genotype of the search."""

    def choose(self, cell: str, row: int) -> int:
        """Return the operation, as a column, that it chooses for a single edge.

        Called by a rule that decides an edge during the search. By default, the operation other
        than ``none`` with the largest expected weight.
        """
        _, shares = operation_shares(self.search, cell)
        remaining = self.search.choices.remaining(cell)[row]
        return int(shares[row].masked_fill(~remaining, -1.0).argmax())

    def metrics(self) -> dict[str, float]:
        """Return its metrics for an epoch; called after `genotype`."""
        return {}

    def files(self) -> dict[str, str]:
        """Return its files for a checkpoint: texts by file name."""
        return {}


def _find(trial: TrialConfig) -> type[Selection]:
    kind: type[Selection] = load_class("selection.kind", trial.selection.kind, Selection)
    return kind
