"""A rule: something that a search changes, or stops for, between its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tune_nas.search.view import SearchControl


class Rule:
    """Acts before and after the epochs of a search.

    It reads the search and changes it by the methods of `SearchControl`. What it remembers from
    one epoch to the next is in its ``state_dict``, so that a resumed search goes on as it would
    have.

    Args:
        search: The search that it acts on; its space, α and supernet are there already.

    Raises:
        ConfigError: If it does not fit the search.
    """

    # What a class of the user's own reads of the trial: keys or sections; None for the whole
    # section that names it, `schedule` or `selection`. Others are refused as without effect.
    reads: ClassVar[Sequence[str] | None] = None

    def __init__(self, search: SearchControl) -> None:
        self.search = search

    def before_epoch(self) -> None:
        """Act before the epoch ``search.epoch``, counted from 0."""

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Act after an epoch, ``search.epoch`` of which are now run; may add to its metrics."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, as plain containers and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember it again. The search's own state follows after this."""
