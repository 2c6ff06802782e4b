"""One search: relaxation, update, selection, the epoch loop and its state."""

from tune_nas.search.benchmark import BenchmarkTable, load_benchmark
from tune_nas.search.relaxation import Relaxation, register_relaxation, relaxation_names
from tune_nas.search.search import Search
from tune_nas.search.selection import select_by_magnitude
from tune_nas.search.update import Coefficients, Update, coefficients

__all__ = [
    "BenchmarkTable",
    "Coefficients",
    "Relaxation",
    "Search",
    "Update",
    "coefficients",
    "load_benchmark",
    "register_relaxation",
    "relaxation_names",
    "select_by_magnitude",
]
