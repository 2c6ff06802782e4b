"""Base class of probes, which observe a search without changing it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from tune_nas.checkpoint import State
from tune_nas.search.view import SearchView


class Probe(ABC):
    """Observes each epoch of a search and adds metrics and checkpoint files.

    A search has the same result with and without it. A probe that samples must use a separate
    generator.

    Args:
        search: The search; its space, α and supernet exist already.

    Raises:
        ConfigError: If the probe does not fit the search.
    """

    # The keys or sections of the trial that a custom class reads; None for none.
    reads: ClassVar[Sequence[str] | None] = None

    def __init__(self, search: SearchView) -> None:
        self.search = search

    @abstractmethod
    def after_epoch(self, search: SearchView) -> Mapping[str, float]:
        """Observe an epoch after its rules have acted, and return the metrics to add.

        ``search.epoch`` epochs have been run; ``search.metrics`` has the metrics so far. It is also
        called in tuning epochs of a selection.
        """

    def artifacts(self) -> Mapping[str, str | bytes]:
        """Return the files for each checkpoint, text or bytes by file name."""
        return {}

    def state_dict(self) -> State:
        """Return its state between epochs as plain containers and tensors."""
        return {}

    def load_state_dict(self, state: State) -> None:  # noqa: B027
        """Restore a state that `state_dict` returned."""
