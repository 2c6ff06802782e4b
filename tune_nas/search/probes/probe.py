"""A probe: something that observes a search and changes nothing of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tune_nas.search.view import SearchView


class Probe(ABC):
    """Observes each epoch of a search: its metrics, and files in its checkpoints.

    A search has the same result with and without it. If it samples something, it uses a generator
    of its own.

    Args:
        search: The search; its space, α and supernet exist already.

    Raises:
        ConfigError: If the probe does not fit the search.
    """

    # The keys or sections of the trial that a class of your own reads; None for none.
    reads: ClassVar[Sequence[str] | None] = None

    def __init__(self, search: SearchView) -> None:
        self.search = search

    @abstractmethod
    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        """Observe an epoch after its rules have acted, and return the metrics to add.

        ``search.epoch`` epochs have been run, ``search.metrics`` has the metrics so far. It is
        called in epochs in which a selection tunes, too.
        """

    def artifacts(self) -> Mapping[str, str | bytes]:
        """Return the files that each checkpoint gets, text or bytes by file name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers between epochs, as plain containers and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Restore a state that `state_dict` returned."""
