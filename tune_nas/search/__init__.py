"""A search: relaxation, update, rules, selection, the epoch loop and its state."""

from tune_nas.search.candidates import CandidateMask
from tune_nas.search.probes import Probe
from tune_nas.search.relaxation import Relaxation, Sample, register_relaxation, relaxation_names
from tune_nas.search.rules import Rule
from tune_nas.search.search import Search
from tune_nas.search.selection import (
    Selection,
    register_selection,
    select_by_magnitude,
    selection_names,
    total_epochs,
)
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.search.update import Coefficients, Update, coefficients
from tune_nas.search.view import SearchControl, SearchView

__all__ = [
    "CandidateMask",
    "Coefficients",
    "Probe",
    "Relaxation",
    "Rule",
    "Sample",
    "Search",
    "SearchControl",
    "SearchView",
    "Selection",
    "SupernetSize",
    "Update",
    "coefficients",
    "register_relaxation",
    "register_selection",
    "relaxation_names",
    "select_by_magnitude",
    "selection_names",
    "total_epochs",
]
