"""Base class of rules, which change or stop a search between its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tune_nas.checkpoint import State
from tune_nas.search.view import SearchControl


class Rule:
    """Acts before and after the epochs of a search.

    It reads the search and changes it through the methods of `SearchControl`. Its state between
    epochs is in its ``state_dict``, so that a resumed search continues identically.

    Args:
        search: The search it acts on; its space, α and supernet already exist.

    Raises:
        ConfigError: If it does not fit the search.
    """

    # Keys or sections of the trial that a custom class reads; None for the whole section that names
    # it, `schedule` or `selection`. Others are rejected as without effect.
    reads: ClassVar[Sequence[str] | None] = None
    # Whether it restores earlier epochs of the search; its own state then stays as it is.
    rolls_back: ClassVar[bool] = False

    def __init__(self, search: SearchControl) -> None:
        self.search = search

    def before_epoch(self) -> None:
        """Act before the epoch ``search.epoch`` (0-based)."""

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Act after an epoch and optionally add metrics; ``search.epoch`` epochs have been run."""

    def state_dict(self) -> State:
        """Return its state as plain containers and tensors."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Restore its state. The state of the search is restored afterwards."""
