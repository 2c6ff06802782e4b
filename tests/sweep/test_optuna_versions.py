"""One seed samples the same configurations on Optuna 4.9 and 5.0.

Their defaults differ, and so do the kernels of a multivariate TPE. The values below were printed
by both (numpy 2.4); this test runs on the version that is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sampled_keys import CONDITIONAL, WITHOUT_CONDITIONS, accuracy
from standin import MakeSweep

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

CMAES = {"searcher": "cmaes", "cmaes": {"popsize": 4}}
NSGA2 = {"searcher": "nsga2", "nsga2": {"population_size": 4}}
# Sampled at random: the first trials of each searcher, and all of a random search.
AT_RANDOM: list[tuple[Any, ...]] = [
    (0.030285252, "mixed", 5.4488318),
    (0.013351495, "mixed", 3.0233257),
    (0.015022325, "bilevel"),
    (0.03066105, "mixed", 5.1082761),
    (0.40736577, "bilevel"),
    (0.0039733142, "mixed", 9.1861091),
    (0.25692287, "bilevel"),
    (0.0016067703, "mixed", 7.2346518),
    (0.22769828, "mixed", 5.3085569),
    (0.001066595, "mixed", 1.3382953),
    (0.12071779, "bilevel"),
    (0.0030657906, "bilevel"),
]
AT_RANDOM_WITHOUT_CONDITIONS: list[tuple[Any, ...]] = [
    (0.030285252, "softmax", 42),
    (0.013351495, "softmax", 30),
    (0.015022325, "sigmoid", 37),
    (0.03066105, "softmax", 41),
    (0.40736577, "sigmoid", 51),
    (0.0039733142, "softmax", 61),
    (0.25692287, "sigmoid", 18),
    (0.0016067703, "softmax", 51),
    (0.22769828, "softmax", 42),
    (0.001066595, "softmax", 22),
]
EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "tpe": [
        *AT_RANDOM_WITHOUT_CONDITIONS,
        (0.15085877, "softmax", 58),
        (0.045271784, "softmax", 44),
    ],
    "early": [
        *AT_RANDOM_WITHOUT_CONDITIONS[:3],
        (0.40484402, "softmax", 56),
        (0.27930004, "softmax", 19),
        (0.004998162, "softmax", 61),
        (0.067086557, "softmax", 40),
        (0.072560485, "sigmoid", 53),
        (0.0012973877, "softmax", 31),
        (0.0015826081, "sigmoid", 44),
        (0.0018537317, "sigmoid", 18),
        (0.08861713, "sigmoid", 53),
    ],
    "conditional": [
        *AT_RANDOM[:3],
        (0.40484402, "mixed", 8.7779388),
        (0.0017510629, "mixed", 2.1063791),
        (0.38576543, "mixed", 7.8549698),
        (0.045384086, "bilevel"),
        (0.0010130354, "bilevel"),
        (0.092811941, "bilevel"),
        (0.0037373393, "bilevel"),
        (0.46035745, "bilevel"),
        (0.086258628, "bilevel"),
    ],
    "parallel": [
        *AT_RANDOM[:6],
        (0.42713801, "mixed", 0.19279789),
        (0.0023601642, "bilevel"),
        (0.083607099, "mixed", 6.0131973),
        (0.0011660569, "mixed", 1.0699747),
        (0.15034587, "mixed", 6.6727918),
        (0.074766644, "bilevel"),
    ],
    "one by one": [
        *AT_RANDOM[:3],
        (0.41800602, "mixed", 8.8114498),
        (0.0016439057, "mixed", 2.7984097),
        (0.4487423, "bilevel"),
        (0.042484323, "mixed", 8.3611986),
        (0.083547005, "mixed", 9.7313853),
        (0.0012870668, "bilevel"),
        (0.004144418, "mixed", 0.51213077),
        (0.11073468, "bilevel"),
        (0.082798709, "mixed", 9.9015802),
    ],
    "random": AT_RANDOM,
    "cmaes": [
        (0.030285252, "softmax", 42),
        (0.03834352, "sigmoid", 39),
        (0.057802769, "softmax", 37),
        (0.04202352, "sigmoid", 43),
        (0.020672589, "softmax", 29),
        (0.06757661, "sigmoid", 40),
        (0.12540998, "softmax", 49),
        (0.1120232, "sigmoid", 40),
        (0.02787642, "sigmoid", 32),
        (0.083536822, "sigmoid", 43),
        (0.027491321, "softmax", 36),
        (0.066238697, "softmax", 33),
    ],
    "cmaes parallel": [
        *AT_RANDOM_WITHOUT_CONDITIONS[:4],
        (0.020672589, "softmax", 29),
        (0.037902138, "sigmoid", 36),
        (0.027659999, "softmax", 48),
        (0.0049624919, "sigmoid", 43),
        (0.025716106, "sigmoid", 33),
        (0.012565758, "sigmoid", 42),
        (0.22176722, "softmax", 34),
        (0.086734416, "softmax", 36),
    ],
    "nsga2": [
        *AT_RANDOM[:4],
        (0.40736577, "mixed", 5.4723225),
        (0.03066105, "bilevel"),
        (0.030285252, "mixed", 8.9286015),
        (0.0016067703, "mixed", 7.2346518),
        (0.22769828, "mixed", 5.3085569),
        (0.001066595, "mixed", 1.3382953),
        (0.12071779, "bilevel"),
        (0.030285252, "mixed", 4.6321853),
    ],
    "nsga2 parallel": [
        *AT_RANDOM[:11],
        (0.030285252, "mixed", 4.6321853),
    ],
}


def sampled(source: OptunaSource, records: Records, running: int) -> list[tuple[Any, ...]]:
    """Run 12 trials, with a number of them still running when the next one is sampled."""
    jobs: list[Job] = []
    for number in range(12):
        job = source.next()
        assert job is not None
        records.start(job)
        jobs.append(job)
        if number >= running:
            ended = jobs[number - running]
            result = {"epoch": 4, "valid_accuracy": accuracy(ended), "genotype": "g"}
            records.add(ended.id, result)
            source.tell(records.end(ended.id))
    return [tuple(job.parameters.values()) for job in jobs]


@pytest.mark.parametrize(
    ("case", "parameters", "running", "changes"),
    [
        ("tpe", WITHOUT_CONDITIONS, 0, {}),
        ("early", WITHOUT_CONDITIONS, 0, {"tpe": {"n_startup_trials": 3}}),
        ("conditional", CONDITIONAL, 0, {"tpe": {"n_startup_trials": 3}}),
        ("parallel", CONDITIONAL, 3, {"tpe": {"n_startup_trials": 3}}),
        ("one by one", CONDITIONAL, 0, {"tpe": {"n_startup_trials": 3, "multivariate": False}}),
        ("random", CONDITIONAL, 0, {"searcher": "random"}),
        ("cmaes", WITHOUT_CONDITIONS, 0, CMAES),
        ("cmaes parallel", WITHOUT_CONDITIONS, 3, CMAES),
        ("nsga2", CONDITIONAL, 0, NSGA2),
        ("nsga2 parallel", CONDITIONAL, 3, NSGA2),
    ],
)
def test_the_first_twelve_configurations(
    make_sweep: MakeSweep,
    tmp_path: Path,
    case: str,
    parameters: dict[str, Any],
    running: int,
    changes: dict[str, Any],
) -> None:
    if case.startswith("cmaes"):
        pytest.importorskip("cmaes")
    sweep = make_sweep(**{"searcher": "tpe", "trials": 12, "parameters": parameters, **changes})
    records = Records(Storage(tmp_path), "search")
    found = sampled(OptunaSource(sweep, base_trials(sweep), records), records, running)
    for number, (one, expected) in enumerate(zip(found, EXPECTED[case], strict=True)):
        # up to rounding: processors and versions of NumPy differ in the last digits
        assert one == tuple(
            pytest.approx(entry, rel=1e-6) if isinstance(entry, float) else entry
            for entry in expected
        ), number
