"""Marks on the keys of a trial that say what they decide."""

from __future__ import annotations

from enum import Flag, auto


class Decides(Flag):
    """What a key decides: ``name: Annotated[str, Decides.SEARCH | Decides.RETRAIN]``.

    A mark on a section holds for all its keys but those that have one themselves.

    Attributes:
        SEARCH: The result of a search; its checkpoints can only be resumed with the same value.
        RETRAIN: The result of a retraining run, likewise.
        LENGTH: The number of epochs of a search.
        SEARCH_STARTS: Whether a search can be built: a sweep checks one search for each value.
        RETRAIN_STARTS: Whether a retraining run can be built, likewise.
    """

    NOTHING = 0
    SEARCH = auto()
    RETRAIN = auto()
    LENGTH = auto()
    SEARCH_STARTS = auto()
    RETRAIN_STARTS = auto()
