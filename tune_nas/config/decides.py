"""Marks on the keys of a trial that declare what they affect."""

from __future__ import annotations

from enum import Flag, auto


class Decides(Flag):
    """What a key affects: ``name: Annotated[str, Decides.SEARCH | Decides.RETRAIN]``.

    A mark on a section applies to all its keys except those with their own mark.

    Attributes:
        SEARCH: The result of a search; its checkpoints can only be resumed with the same value. A
            black-box search also depends on the keys of ``RETRAIN``.
        RETRAIN: The result of a retraining run, likewise.
        LENGTH: The number of epochs of a search.
        SEARCH_STARTS: Whether a search can be built; a sweep checks one search per value.
        RETRAIN_STARTS: Whether a retraining run can be built, likewise.
        ANALYSIS: The result of the analysis of a search, together with the keys of ``SEARCH``.
    """

    NOTHING = 0
    SEARCH = auto()
    RETRAIN = auto()
    LENGTH = auto()
    SEARCH_STARTS = auto()
    RETRAIN_STARTS = auto()
    ANALYSIS = auto()
