"""Black-box searches whose accuracies come from the table, as trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_searches import epochs_of

from tune_nas.benchmark import load_trainings
from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.simulation import simulate
from tune_nas.config import TrialConfig
from tune_nas.config.effects import no_effect
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.strategies import StrategyInputs, make_strategy
from tune_nas.tasks import CandidatesTask, Inputs
from tune_nas.user_code import declared_reads

RANDOM = {"kind": "random", "budget": 65, "levels": [12]}
HALVING = {
    "kind": "successive-halving",
    "budget": 500,
    "levels": [12, 200],
    "promotion": "restart",
    "halving": {"candidates": 4},
}


def make_trial(table: Path | None, strategy: dict[str, Any], **benchmark: Any) -> TrialConfig:
    content: dict[str, Any] = {
        "space": "nasbench201",
        "seed": 1,
        "benchmark": {"table": table and str(table), "simulate": "cifar10", **benchmark},
        "strategy": strategy,
    }
    return TrialConfig.model_validate(content)


@pytest.mark.parametrize("strategy", [RANDOM, HALVING], ids=["random", "halving"])
def test_it_is_the_simulation_of_the_command(
    strategy: dict[str, Any], shared_data_dir: Path, tmp_path: Path
) -> None:
    """Same candidates, accuracies and costs; a step is a job; resumed from every checkpoint."""
    file = shared_data_dir / "nasbench201.csv.gz"
    trial = make_trial(file, strategy)
    CandidatesTask().check_memory(trial, Inputs())
    search = CandidateSearch(trial)
    search.check()
    found = epochs_of(search, tmp_path)
    assert trial.strategy is not None
    inputs = StrategyInputs(search.jobs.strategy.architectures, trial.strategy, 1)
    expected = simulate(make_strategy(inputs), load_trainings(file), "cifar10", seed=1)
    assert [metrics["epoch"] for metrics in found] == [job.spent for job in expected.jobs]
    assert [m["candidate_accuracy"] for m in found] == [job.accuracy for job in expected.jobs]
    assert [m["valid_accuracy"] for m in found] == [j.incumbent.accuracy for j in expected.jobs]
    assert [m["benchmark/cifar10_test_regret"] for m in found] == pytest.approx(
        [job.incumbent.regret for job in expected.jobs]
    )
    middle = CandidateSearch(trial)
    middle.load(tmp_path / str(int(found[2]["epoch"])))
    assert epochs_of(middle) == found[3:]


def test_what_the_table_lacks_is_told(
    shared_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shared_data_dir / "nasbench201.csv.gz"
    for strategy, message in (
        ({**RANDOM, "levels": [10]}, r"levels has 10, but .* the nearest is 12"),
        ({**HALVING, "promotion": "continue"}, "must be restart where"),
    ):
        with pytest.raises(ConfigError, match=message):
            CandidateSearch(make_trial(file, strategy))
    with pytest.raises(ConfigError, match=r"simulate is 'cifar10', but benchmark\.table is null"):
        CandidateSearch(make_trial(None, RANDOM))
    monkeypatch.setenv("TUNE_NAS_BENCHMARK", "missing.csv")
    with pytest.raises(ConfigError, match=r"but there is no table at missing\.csv; write"):
        CandidateSearch(make_trial(Path("auto"), RANDOM))
    other = make_trial(file, RANDOM).model_copy(update={"space": TrialConfig().space})
    with pytest.raises(ConfigError, match="knows cells of space 'nasbench201', not 'darts'"):
        CandidateSearch(other)


def test_a_differentiable_search_is_not_simulated() -> None:
    with pytest.raises(ConfigError, match="it needs a black-box search"):
        load_trial("darts-1st", {"benchmark.simulate": "cifar10"})
    assert no_effect(make_trial(None, RANDOM), "benchmark.simulate", declared_reads) is None
