"""Simulated searches, against schedules by hand, sums of the table, and exact expectations."""

from __future__ import annotations

import csv
import gzip
import math
import statistics
from functools import cache
from pathlib import Path

import pytest
import simulating
from simulating import cell, listed, small_table, strategy

from tune_nas.benchmark import TrainingTable, load_trainings
from tune_nas.candidates.simulation import check_space, simulate
from tune_nas.errors import ConfigError
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, Strategy, StrategyInputs, make_strategy


@cache
def load(path: Path) -> TrainingTable:
    return load_trainings(path)


@pytest.fixture
def real(shared_data_dir: Path) -> TrainingTable:
    return load(shared_data_dir / "nasbench201.csv.gz")


def test_three_jobs_on_two_workers_by_hand() -> None:
    """Seconds 10, 4 and 3: the second worker is free at 4 and 7, the first at 10."""
    table = small_table([(0, 90, 10), (0, 80, 4), (0, 85, 3)])
    search = simulate(listed(3), table, "cifar10", workers=2)
    assert [job.request.candidate for job in search.jobs] == [1, 2, 0]
    assert [job.seconds for job in search.jobs] == [4, 7, 10]
    assert [job.gpu_seconds for job in search.jobs] == [4, 7, 17]
    assert [job.spent for job in search.jobs] == [200, 400, 600]
    assert [job.accuracy for job in search.jobs] == [80, 85, 90]
    assert [job.incumbent.cell for job in search.jobs] == [cell(1), cell(2), cell(0)]
    assert [job.incumbent.regret for job in search.jobs] == [10, 5, 0]
    assert search.jobs[1].incumbent.test == (84, 55, 35)
    assert [standing.candidate for standing in search.ranking] == [0, 2, 1]


def test_one_worker_trains_in_the_order_of_the_requests() -> None:
    table = small_table([(0, 90, 10), (0, 80, 4), (0, 85, 3)])
    search = simulate(listed(3), table, "cifar10", workers=1)
    assert [job.request.number for job in search.jobs] == [0, 1, 2]
    assert [job.seconds for job in search.jobs] == [10, 14, 17]
    assert [job.gpu_seconds for job in search.jobs] == [10, 14, 17]
    assert [job.incumbent.cell for job in search.jobs] == [cell(0)] * 3


def test_jobs_that_end_together_are_told_in_order() -> None:
    table = small_table([(0, 80 + number, 5) for number in range(4)])
    search = simulate(listed(4), table, "cifar10", workers=4)
    assert [(job.request.number, job.seconds) for job in search.jobs] == [
        (number, 5) for number in range(4)
    ]


def test_a_promotion_is_a_new_training() -> None:
    """12 epochs of 100, 200 and 300 seconds for 200, then all 200 epochs of the best."""
    table = small_table([(50, 90, 100), (60, 80, 200), (55, 85, 300)])
    search = simulate(listed(3, levels=(12, 200), promotion="restart"), table, "cifar10", workers=3)
    assert [job.seconds for job in search.jobs] == pytest.approx([6, 12, 18, 218])
    assert [job.spent for job in search.jobs] == [12, 24, 36, 236]
    assert [job.incumbent.cell for job in search.jobs] == [cell(0), cell(1), cell(1), cell(1)]
    # The accuracy after 12 epochs decides; the test accuracy is always that after 200.
    assert [job.incumbent.accuracy for job in search.jobs] == [50, 60, 60, 80]
    assert [job.incumbent.test[0] for job in search.jobs] == [89, 79, 79, 79]


def test_costs_are_sums_of_the_tables_columns(real: TrainingTable, shared_data_dir: Path) -> None:
    with gzip.open(shared_data_dir / "nasbench201.csv.gz", "rt", encoding="utf-8") as stream:
        rows = {row["arch"]: row for row in csv.DictReader(stream)}
    search = simulate(strategy("random", levels=(12,), budget=600), real, "cifar100", workers=4)
    cells = [str(job.request.genotype) for job in search.jobs]
    assert len({*cells}) == 50
    seconds = [float(rows[name]["c100_train_s_200"]) * 12 / 200 for name in cells]
    last = search.jobs[-1]
    assert last.gpu_seconds == pytest.approx(sum(seconds))
    assert last.spent == 600
    assert sum(seconds) / 4 <= last.seconds < sum(seconds) / 4 + max(seconds)
    best = max(cells, key=lambda name: float(rows[name]["c100_valid_12"]))
    assert last.incumbent.cell == best
    tested = tuple(float(rows[best][f"{stem}_test_200"]) for stem in ("c10", "c100", "in16"))
    assert last.incumbent.test == tested


class EachCell(Architectures):
    """Tells cells apart by their operations, also those that compute the same."""

    def key(self, genotype: Genotype) -> str:
        return str(genotype)


def test_the_regret_of_random_search_is_the_exact_expectation(real: TrainingTable) -> None:
    """The best of n among N cells without replacement: the i-th has C(i−1, n−1) / C(N, n)."""
    n, searches = 20, 300
    cells = sorted(real.rows, key=lambda name: real.accuracy(name, "cifar10", 200, 0))
    total = len(cells)
    chance = [math.comb(place, n - 1) / math.comb(total, n) for place in range(total)]
    assert sum(chance) == pytest.approx(1)
    best = max(real.test(name, "cifar10") for name in cells)
    exact = sum(
        p * (best - real.test(name, "cifar10")) for p, name in zip(chance, cells, strict=True)
    )
    space = EachCell(load_space("nasbench201"))
    of = simulating.config(budget=200 * n)
    found = []
    for seed in range(searches):
        search = make_strategy(StrategyInputs(space, of, seed))
        found.append(simulate(search, real, "cifar10").jobs[-1].incumbent.regret)
    error = statistics.stdev(found) / math.sqrt(searches)
    assert abs(statistics.fmean(found) - exact) < 3.5 * error
    assert error < 0.1 * exact  # else the line above says little


def test_the_best_cell_has_no_regret(real: TrainingTable) -> None:
    """Local search by 12-epoch accuracies finds it; every other cell has a regret."""
    found = (
        simulate(strategy("local-search", levels=(12,), budget=6000), real, "cifar10")
        .jobs[-1]
        .incumbent
    )
    assert (found.regret, round(found.test[0], 2)) == (0, 94.37)
    # Two cells have this accuracy, a 1×1 and a 3×3 convolution exchanged.
    assert sum(real.test(name, "cifar10") == found.test[0] for name in real.rows) == 2


@pytest.mark.parametrize("kind", ["random", "evolution", "local-search", "asha"])
def test_the_incumbent_is_the_first_of_the_ranking(kind: str, real: TrainingTable) -> None:
    """It is found without sorting; here after each job, by repeating the calls."""
    changes = {"levels": (12, 200), "promotion": "restart", "budget": 4000}
    search = simulate(strategy(kind, seed=3, **changes), real, "cifar10", workers=3, seed=3)
    again = strategy(kind, seed=3, **changes)
    asked = {}
    for job in search.jobs:
        while len(asked) < 3 and (request := again.ask()) is not None:
            asked[request.number] = request
        again.tell(asked.pop(job.request.number), job.accuracy)
        assert job.incumbent.cell == str(again.ranking()[0].genotype)
        assert job.incumbent.accuracy == again.ranking()[0].accuracy
    assert len(search.jobs) > 15


def test_a_search_is_deterministic_and_its_seed_chooses_the_run(real: TrainingTable) -> None:
    runs = [
        simulate(strategy("evolution", budget=8000), real, "cifar10", workers=2, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert runs[0].jobs == runs[1].jobs
    assert runs[0].jobs[0].request == runs[2].jobs[0].request
    assert runs[0].jobs[0].accuracy != runs[2].jobs[0].accuracy


class Fixed(Strategy):
    """Asks for one cell, or for none."""

    def __init__(self, inputs: StrategyInputs, epochs: int = 0) -> None:
        super().__init__(inputs)
        self.epochs = epochs

    def propose(self) -> Request | None:
        """Return the same job again and again."""
        return self.new(Genotype.parse(cell(0)), self.epochs) if self.epochs else None


def test_what_cannot_be_simulated_is_refused() -> None:
    table = small_table([(50, 90, 100)])
    with pytest.raises(ConfigError, match="'continue', but must be restart"):
        simulate(listed(1, levels=(12, 200), kind="simulating:Listed"), table, "cifar10")
    with pytest.raises(ConfigError, match="has 6, but the benchmark knows trainings of 12 and"):
        simulate(listed(1, levels=(6,)), table, "cifar10")
    with pytest.raises(ConfigError, match="no data set 'svhn', only cifar10, cifar100"):
        simulate(listed(1), table, "svhn")
    with pytest.raises(ConfigError, match="'random' asks for no candidate"):
        simulate(Fixed(simulating.inputs(simulating.config())), table, "cifar10")
    with pytest.raises(ConfigError, match="'random': 6 epochs are not among strategy"):
        simulate(Fixed(simulating.inputs(simulating.config()), epochs=6), table, "cifar10")
    with pytest.raises(ConfigError, match="cells of space 'nasbench201', not 'darts'"):
        check_space("darts")
    with pytest.raises(ConfigError, match="no cell"):
        simulate(listed(2), table, "cifar10")
