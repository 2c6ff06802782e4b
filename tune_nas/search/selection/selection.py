"""What a selection is: how a genotype is read off a supernet, at once or over epochs of tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

from tune_nas import manifest
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.search.parts import find_part, register_as, running_own_code
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import operation_shares
from tune_nas.search.view import SearchControl
from tune_nas.spaces import Genotype


def register_selection(kind: str) -> Callable[[type[Selection]], type[Selection]]:
    """Make a selection known under the name that a trial's ``selection.kind`` uses."""
    return register_as("selections", kind)


def selection_names() -> list[str]:
    """Return the sorted names of all selections."""
    return sorted(manifest.names("selections"))


def make_selection(search: SearchControl) -> Selection:
    """Build the selection that a trial names.

    Raises:
        ConfigError: If it does not fit the search, or is a user's class that cannot be had.
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
    """Return the epochs of a search that runs to its end, those in which it tunes included.

    Where a search goes on from another's checkpoint, those of the other are counted.

    Raises:
        ConfigError: If the trial's space or selection cannot be had.
    """
    kind = _find(trial)
    with running_own_code("selection.kind", trial.selection.kind):
        tuning = kind.tuning_of(trial)
    return trial.schedule.epochs + at_least_one_to_select(trial, tuning)


def at_least_one_to_select(trial: TrialConfig, tuning: int) -> int:
    """Return the tuning epochs; from a checkpoint one more where a selection needs none.

    In that epoch nothing is trained: the genotype is read off the supernet as it is.
    """
    return max(tuning, 1) if trial.start_from is not None else tuning


class Selection(Rule, ABC):
    """Reads a genotype off the supernet of a search.

    One that decides while it tunes asks for epochs after the search's own; in those the hooks
    of a rule are where it decides.
    """

    # Whether its genotype follows from α; it is then refused where no update moves α.
    reads_alpha: ClassVar[bool] = False

    @classmethod
    def tuning_of(cls, trial: TrialConfig) -> int:
        """Return the epochs that a search needs after its own; known before it starts.

        One whose selection has any must say so here: a sweep asks before there is a search.
        """
        return 0

    @cached_property
    def tuning_epochs(self) -> int:
        """Epochs that this search needs after its own."""
        return self.tuning_of(self.search.trial)

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch, counted from 0."""
        raise NotImplementedError

    @abstractmethod
    def genotype(self) -> Genotype:
        """Return the genotype that the search has come to."""

    def choose(self, cell: str, row: int) -> int:
        """Return the operation, as a column, that it chooses for an edge on its own.

        A rule that decides an edge while the search runs asks for it. By default the operation
        other than ``none`` of the largest expected weight.
        """
        _, shares = operation_shares(self.search, cell)
        remaining = self.search.choices.remaining(cell)[row]
        return int(shares[row].masked_fill(~remaining, -1.0).argmax())

    def metrics(self) -> dict[str, float]:
        """Return what an epoch's metrics should have of it; asked for after the genotype."""
        return {}

    def files(self) -> dict[str, str]:
        """Return texts by file name that a checkpoint should have of it."""
        return {}


def _find(trial: TrialConfig) -> type[Selection]:
    kind: type[Selection] = find_part("selection.kind", trial.selection.kind, Selection)
    return kind
