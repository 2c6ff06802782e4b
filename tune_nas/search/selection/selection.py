"""What a selection is: how a genotype is read off a supernet, at once or over epochs of tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from tune_nas.errors import ConfigError
from tune_nas.search.parts import find_part, register_in
from tune_nas.search.rules import Rule
from tune_nas.spaces import Genotype

if TYPE_CHECKING:
    from tune_nas.search.search import Search

_SELECTIONS: dict[str, type[Selection]] = {}


def register_selection(kind: str) -> Callable[[type[Selection]], type[Selection]]:
    """Make a selection known under the name that a trial's ``selection.kind`` uses."""
    return register_in(_SELECTIONS, kind)


def selection_names() -> list[str]:
    """Return the sorted names of all selections."""
    return sorted(_SELECTIONS)


def make_selection(search: Search) -> Selection:
    """Build the selection that a trial names.

    Raises:
        ConfigError: If it does not fit the search, or is a user's class that cannot be had.
    """
    config = search.trial.selection
    kind = find_part("selection.kind", config.kind, _SELECTIONS, Selection)
    try:
        return kind(search, **config.options)
    except TypeError as error:
        raise ConfigError(f"selection.options do not fit '{config.kind}': {error}") from error


class Selection(Rule, ABC):
    """Reads a genotype off the supernet of a search.

    One that decides while it tunes asks for epochs after the search's own; in those the hooks
    of a rule are where it decides.
    """

    @property
    def tuning_epochs(self) -> int:
        """Epochs that it needs after those of the search."""
        return 0

    def learning_rate(self, epoch: int) -> float:
        """Return w's learning rate in a tuning epoch, counted from 0."""
        raise NotImplementedError

    @abstractmethod
    def genotype(self) -> Genotype:
        """Return the genotype that the search has come to."""
