"""The NAS-Bench-201 results: the true accuracy of every cell of that space.

Dong and Yang, "NAS-Bench-201", ICLR 2020 (arXiv:2001.00326); Dong et al., "NATS-Bench", 2021
(arXiv:2009.00437), whose topology space is the same. This table is the only source of test accuracy
in a search's metrics (``benchmark/``); no search reads it back.
"""

from tune_nas.benchmark.importing import import_benchmark
from tune_nas.benchmark.location import AUTO, VARIABLE, find_table, user_table
from tune_nas.benchmark.table import ACCURACIES, SPACE, BenchmarkTable, load_benchmark

__all__ = [
    "ACCURACIES",
    "AUTO",
    "SPACE",
    "VARIABLE",
    "BenchmarkTable",
    "find_table",
    "import_benchmark",
    "load_benchmark",
    "user_table",
]
