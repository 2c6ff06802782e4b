"""Selections: how a genotype is read off the supernet."""

from tune_nas.search.selection.magnitude import Magnitude, select_by_magnitude
from tune_nas.search.selection.selection import (
    Selection,
    make_selection,
    register_selection,
    selection_names,
)

__all__ = [
    "Magnitude",
    "Selection",
    "make_selection",
    "register_selection",
    "select_by_magnitude",
    "selection_names",
]
