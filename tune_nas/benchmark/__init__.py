"""The NAS-Bench-201 results: the true accuracy of every cell of that space.

Dong and Yang, "NAS-Bench-201", ICLR 2020 (arXiv:2001.00326); Dong et al., "NATS-Bench", 2021
(arXiv:2009.00437), whose topology space is the same. This table is the only source of test accuracy
in a search's metrics (``benchmark/``); no search reads it back. It also has the trainings of every
cell, for searches that are simulated.

The names below are loaded when they are first used: importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazily

if TYPE_CHECKING:
    from tune_nas.benchmark.importing import import_benchmark
    from tune_nas.benchmark.location import AUTO, VARIABLE, find_table, user_table
    from tune_nas.benchmark.table import ACCURACIES, SPACE, BenchmarkTable, load_benchmark
    from tune_nas.benchmark.training_table import (
        DATA,
        CellTraining,
        TrainingTable,
        load_trainings,
    )
else:
    __getattr__ = lazily(
        __name__,
        {
            "ACCURACIES": "tune_nas.benchmark.table",
            "AUTO": "tune_nas.benchmark.location",
            "BenchmarkTable": "tune_nas.benchmark.table",
            "CellTraining": "tune_nas.benchmark.training_table",
            "DATA": "tune_nas.benchmark.training_table",
            "SPACE": "tune_nas.benchmark.table",
            "TrainingTable": "tune_nas.benchmark.training_table",
            "VARIABLE": "tune_nas.benchmark.location",
            "find_table": "tune_nas.benchmark.location",
            "import_benchmark": "tune_nas.benchmark.importing",
            "load_benchmark": "tune_nas.benchmark.table",
            "load_trainings": "tune_nas.benchmark.training_table",
            "user_table": "tune_nas.benchmark.location",
        },
    )

__all__ = [
    "ACCURACIES",
    "AUTO",
    "DATA",
    "SPACE",
    "VARIABLE",
    "BenchmarkTable",
    "CellTraining",
    "TrainingTable",
    "find_table",
    "import_benchmark",
    "load_benchmark",
    "load_trainings",
    "user_table",
]
