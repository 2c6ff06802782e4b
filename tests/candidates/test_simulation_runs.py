"""Curves over seeds: points by hand, intervals, processes, and the file of finished searches."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulating import cell, listed, small_table

from tune_nas.benchmark import DATA, CellTraining, TrainingTable
from tune_nas.benchmark.importing import all_cells
from tune_nas.candidates.curve_statistics import MeanInterval, budget_point, mean_interval
from tune_nas.candidates.search_curve import SearchCurve
from tune_nas.candidates.simulation import simulate
from tune_nas.candidates.simulation_cache import SimulationCache
from tune_nas.candidates.simulation_file import SimulationFile
from tune_nas.candidates.simulation_runs import Simulation, run_simulations
from tune_nas.config import TrialConfig
from tune_nas.errors import ConfigError, StorageError
from tune_nas.library import with_overrides
from tune_nas.proxies import make_proxy, proxy_inputs
from tune_nas.spaces import Genotype


def curve_of(*rows: tuple[float, float, float]) -> SearchCurve:
    return SearchCurve.of(simulate(listed(len(rows)), small_table(rows), "cifar10", workers=2))


def test_the_points_of_a_curve_by_hand() -> None:
    """The schedule of test_simulation: ends at 4, 7 and 10 seconds."""
    curve = curve_of((0, 90, 10), (0, 80, 4), (0, 85, 3))
    assert curve.at(199) is None
    for epochs, job, name in ((200, 1, 1), (399, 1, 1), (400, 2, 2), (600, 3, 0), (9999, 3, 0)):
        point = curve.at(epochs)
        assert point is not None
        assert (point.evaluations, point.epochs) == (job, 200 * job)
        assert point.incumbent.cell == cell(name)
    at_time, at_gpu = curve.at(9.9, "seconds"), curve.at(16.9, "gpu_seconds")
    assert at_time == at_gpu == curve.at(400)
    assert SearchCurve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve


def test_means_at_a_budget_by_hand() -> None:
    """Best cells of 90 and 70 %, tested 1 point lower; the second search has one job."""
    curves = [curve_of((0, 80, 3600), (0, 90, 7200)), curve_of((0, 70, 1800))]
    point = budget_point(curves, 400)
    assert point is not None
    assert (point.epochs, point.evaluations) == (300, 1.5)
    assert (point.gpu_hours, point.hours) == ((3 + 0.5) / 2, (2 + 0.5) / 2)
    assert [point.test[data].mean for data in DATA] == [79, 50, 30]
    assert point.test["cifar10"].n == 2
    assert point.regret.mean == 0  # each is the best of its own table
    assert budget_point(curves, 100) is None
    assert budget_point([*curves, curve_of((0, 99, 1))], 200) is not None


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(1).normal(5, 2, size=(200, 60))
    found = [mean_interval([float(value) for value in values]) for values in drawn]
    covered = sum(each.low <= 5 <= each.high for each in found)
    assert 180 <= covered <= 198  # 190 expected, a little less by the percentiles of 60 values
    width = statistics.fmean(each.high - each.low for each in found)
    assert width == pytest.approx(2 * 1.96 * 2 / 60**0.5, rel=0.05)
    assert mean_interval([3.0]) == MeanInterval(3, 3, 3, 1)
    assert mean_interval([1.0, 2.0]).mean == 1.5


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    """A table in which each convolution counts."""
    rows = {}
    for name in all_cells():
        valid = 50 + 7 * name.count("3x3~") - 3 * name.count("pool") + len(name) / 100
        training = CellTraining({12: valid - 20, 200: valid}, {200: valid - 1}, {}, 1000 + valid)
        rows[name] = dict.fromkeys(DATA, training)
    return TrainingTable(rows)


def trial_of(**strategy: object) -> TrialConfig:
    content = {"kind": "random", "levels": [12], "budget": 120, **strategy}
    return TrialConfig.model_validate({"space": "nasbench201", "strategy": content})


def simulations(count: int, **strategy: object) -> list[Simulation]:
    trial = trial_of(**strategy)
    return [Simulation("mine", trial, "cifar10", 2, seed) for seed in range(count)]


def test_two_processes_give_the_curves_of_one(table: TrainingTable) -> None:
    searches = simulations(3)
    alone = {search.seed: curve for search, curve in run_simulations(searches, table)}
    together = {search.seed: curve for search, curve in run_simulations(searches, table, 2)}
    assert together == alone
    assert alone[0] != alone[1]


def test_the_error_of_a_process_is_raised_here(table: TrainingTable) -> None:
    with pytest.raises(ConfigError, match=r"strategy.levels has 6"):
        list(run_simulations(simulations(2, levels=[6]), table, 2))


def test_a_process_that_ends_is_noticed(table: TrainingTable) -> None:
    with pytest.raises(StorageError, match="a process of the simulation was killed"):
        list(run_simulations(simulations(2, kind="simulating:Ending"), table, 2))


def test_finished_searches_are_kept_and_read(table: TrainingTable, tmp_path: Path) -> None:
    searches = simulations(3)
    path = tmp_path / "kept.jsonl"
    file = SimulationFile(path, "digest")
    curves = {
        search.seed: (search, curve) for search, curve in run_simulations(searches[:2], table)
    }
    for search, curve in curves.values():
        file.append(search, curve)
    # Killed while it wrote the third line.
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"trial": "mine", "se')
    again = SimulationFile(path, "digest")
    assert path.read_bytes() == whole
    assert [again.curve(search) for search in searches] == [
        *(curve for _, curve in curves.values()),
        None,
    ]


def test_other_settings_and_other_files_are_refused(table: TrainingTable, tmp_path: Path) -> None:
    (search,) = simulations(1)
    path = tmp_path / "kept.jsonl"
    SimulationFile(path, "digest").append(search, search.run(table))
    (other,) = simulations(1, budget=240)
    with pytest.raises(ConfigError, match=r"has 'mine' with strategy.budget 120, not 240; name"):
        SimulationFile(path, "digest").curve(other)
    with pytest.raises(ConfigError, match='with table "digest", not "another"'):
        SimulationFile(path, "another").curve(search)
    for line in ("no JSON", '{"trial": "mine"}', "[1]", '{"trial": 1, "seed": 1, "curve": {}}'):
        path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")
        with pytest.raises(ConfigError, match="line 2, is not a simulated search") as caught:
            SimulationFile(path, "digest")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "key", "message"),
    [
        ("naswot", "retrain.init_channels", r"with retrain\.init_channels null, not 8; name"),
        ("naswot", "data.train_images", r"with data\.train_images null, not 8; name"),
        ("naswot", "seed", r"with seed 0, not 8; name"),
        ("naswot", "retrain.epochs", None),
        (None, "retrain.init_channels", None),
    ],
)
def test_kept_searches_have_the_same_proxy(
    table: TrainingTable, tmp_path: Path, proxy: str | None, key: str, message: str | None
) -> None:
    search = simulations(1, kind="rank-nosh", nosh={"proxy": proxy})[0]
    path = tmp_path / "kept.jsonl"
    SimulationFile(path, "digest").append(search, simulations(1)[0].run(table))
    file = SimulationFile(path, "digest")
    assert file.curve(search) is not None
    other = replace(search, trial=with_overrides(search.trial, {key: 8}))
    if message is None:
        assert file.curve(other) is not None
        return
    with pytest.raises(ConfigError, match=message):
        file.curve(other)


def test_scores_of_a_proxy_are_kept_and_right() -> None:
    """Cells with the same operations have networks of the same size, wherever they are."""
    trial = trial_of(kind="rank-nosh", nosh={"proxy": "parameters"})
    cache = SimulationCache()
    scores = cache.proxy(trial)
    assert scores is not None
    assert cache.proxy(trial_of(kind="rank-nosh", budget=999)) is scores
    assert cache.proxy(trial_of(nosh={"proxy": None})) is None
    assert cache.proxy(trial_of(nosh={"proxy": "multiply-adds"})) is not scores
    exact = make_proxy("parameters", proxy_inputs(trial))
    one = Genotype.parse(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    )
    other = Genotype.parse(
        "|none~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_1x1~2|"
    )
    assert scores(one) == scores(other) == exact.score(one) == exact.score(other)
