"""Selections: they derive a genotype from the supernet."""

from tune_nas.search.selection.decided import Decided
from tune_nas.search.selection.magnitude import Magnitude, select_by_magnitude
from tune_nas.search.selection.perturbation import Perturbation, perturbed_choice
from tune_nas.search.selection.sampled import Sampled
from tune_nas.search.selection.selection import (
    Selection,
    make_selection,
    most_search_epochs,
    register_selection,
    selection_names,
    total_epochs,
)
from tune_nas.search.selection.tuning import Tuning

__all__ = [
    "Decided",
    "Magnitude",
    "Perturbation",
    "Sampled",
    "Selection",
    "Tuning",
    "make_selection",
    "most_search_epochs",
    "perturbed_choice",
    "register_selection",
    "select_by_magnitude",
    "selection_names",
    "total_epochs",
]
