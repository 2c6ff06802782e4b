"""Optuna's samplers by name: a sweep that is killed samples as one that was not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from sampled_keys import CHANNELS, CONDITIONAL, RATE, WITHOUT_CONDITIONS, accuracy
from standin import MakeSweep

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.resolve import base_trials
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage

PRIORS = {**CONDITIONAL, RATE: {**CONDITIONAL[RATE], "prior": [0.025, 0.1]}}
# Most numbers of channels are rejected: they must be divisible by 4.
REJECTED: dict[str, Any] = {
    RATE: {"loguniform": [0.001, 0.5]},
    CHANNELS: {"int": [8, 32]},
}
MINE = """
import optuna

class Counting(optuna.samplers.RandomSampler):
    '''Keeps a count in the study, as CMA-ES keeps its state, and draws from it.'''
    def __init__(self, step=0.25, seed=None):
        super().__init__(seed=seed)
        self.step = step
    def infer_relative_search_space(self, study, trial):
        return optuna.search_space.intersection_search_space(study.get_trials(deepcopy=False))
    def sample_relative(self, study, trial, search_space):
        ended = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
        before = ended[-1].system_attrs.get("count", 0) if ended else 0
        count = before + len(ended) + trial.number
        study._storage.set_trial_system_attr(trial._trial_id, "count", count)
        return {
            name: own.low + (own.high - own.low) * (count * self.step % 1)
            for name, own in search_space.items()
            if isinstance(own, optuna.distributions.FloatDistribution)
        }
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_samplers.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_samplers", raising=False)
    return "my_samplers"


def run(sweep: SweepConfig, folder: Path, running: int, kills: tuple[int, ...] = ()) -> list[Job]:
    """Run a sweep with some trials at a time; the driver is killed when it has so many trials.

    The trial that ends next is not the oldest one, every fifth fails and every third is stopped.
    After a kill, the trials that were running run on.
    """
    records = Records(Storage(folder), "search")
    source = OptunaSource(sweep, base_trials(sweep), records)
    open_jobs: list[Job] = []
    for number in range(sweep.n_drawn):
        if number in kills:
            records = Records(Storage(folder), "search")
            source = OptunaSource(sweep, base_trials(sweep), records)
            again = [source.next() for _ in open_jobs]
            assert [job for job in again if job] == sorted(open_jobs, key=lambda job: job.id)
        job = source.next()
        assert job is not None
        records.start(job)
        open_jobs.append(job)
        if len(open_jobs) > running:
            ended = open_jobs.pop(number * 7 % len(open_jobs))
            index = int(ended.id[-5:])
            stopped = "too low" if index % 3 == 1 else ""
            result = {"epoch": 4, "valid_accuracy": accuracy(ended), "genotype": "g"}
            records.add(ended.id, result, stopped=stopped)
            source.tell(records.end(ended.id, error="it failed" if index % 5 == 4 else None))
    return [record.job for record in Records(Storage(folder), "search")]


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "random": (PRIORS, {"searcher": "random"}),
    "tpe": (WITHOUT_CONDITIONS, {"searcher": "tpe", "tpe": {"n_startup_trials": 3}}),
    "tpe with conditions": (PRIORS, {"searcher": "tpe", "tpe": {"n_startup_trials": 3}}),
    "gp": (WITHOUT_CONDITIONS, {"searcher": "gp", "gp": {"n_startup_trials": 5}, "trials": 12}),
    "cmaes": (WITHOUT_CONDITIONS, {"searcher": "cmaes", "cmaes": {"popsize": 4}}),
    "cmaes with stopped trials": (
        WITHOUT_CONDITIONS,
        {"searcher": "cmaes", "cmaes": {"popsize": 4, "consider_pruned_trials": True}},
    ),
    "cmaes with rejected samples": (
        REJECTED,
        {
            "searcher": "cmaes",
            "cmaes": {"popsize": 4},
            "set": {"relaxation.partial_channels": 4},
        },
    ),
    "nsga2": (WITHOUT_CONDITIONS, {"searcher": "nsga2", "nsga2": {"population_size": 4}}),
    "nsga2 with conditions": (
        PRIORS,
        {"searcher": "nsga2", "nsga2": {"population_size": 4}},
    ),
    "custom": (PRIORS, {"searcher": "my_samplers:Counting", "sampler": {"step": 0.3}}),
}


@pytest.mark.parametrize(
    ("case", "running"), [*((case, 3) for case in CASES), ("cmaes", 0), ("nsga2", 0)]
)
def test_a_killed_sweep_samples_as_one_that_ran_through(
    make_sweep: MakeSweep, tmp_path: Path, module: str, case: str, running: int
) -> None:
    parameters, changes = CASES[case]
    if case.startswith("cmaes"):
        pytest.importorskip("cmaes")
    sweep = make_sweep(**{"trials": 18, "parameters": parameters, **changes})
    through = run(sweep, tmp_path / "through", running)
    last = sweep.n_drawn - 1
    killed = run(sweep, tmp_path / "killed", running, (4, 5, 11, last))
    assert killed == through
    assert len({json.dumps(dict(job.parameters)) for job in through}) > sweep.n_drawn // 2
    if "rejected" in case:
        assert sum(job.sampling.rejected for job in through if job.sampling) > 10


def test_a_searcher_learns(make_sweep: MakeSweep, tmp_path: Path) -> None:
    """The later half of the trials is better than that of a random search with the same seed."""
    random = make_sweep(searcher="random", trials=40, parameters=WITHOUT_CONDITIONS)
    base = sum(accuracy(job) for job in run(random, tmp_path / "random", 0)[20:])
    for name in ("tpe", "cmaes", "nsga2"):
        if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
            continue
        sweep = make_sweep(searcher=name, trials=40, parameters=WITHOUT_CONDITIONS)
        assert sum(accuracy(job) for job in run(sweep, tmp_path / name, 0)[20:]) > base + 20, name
