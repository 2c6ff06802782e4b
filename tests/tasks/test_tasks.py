"""What tasks say of a trial, and how they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_nas.config import TrialConfig, dotted_keys
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by, keys_that_decide
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.tasks import (
    AnalysisTask,
    CandidatesTask,
    Inputs,
    RetrainTask,
    SearchTask,
    find_task,
    task_of,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_length_of_a_trial() -> None:
    """DARTS-PT on 14 edges of two cell types: 5 epochs between decisions."""
    trial = load_trial("darts-pt", {"space": "nasbench201", "schedule.epochs": 4})
    assert SearchTask().epochs(trial) == 4 + 5 * 5 + 1
    assert RetrainTask().epochs(trial) == trial.retrain.epochs
    resumed = trial.model_copy(update={"start_from": "checkpoint"})
    assert (SearchTask().starts_after(resumed), RetrainTask().starts_after(resumed)) == (4, 0)


def test_tasks_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(find_task("search"), SearchTask)
    assert isinstance(find_task("candidates"), CandidatesTask)
    assert isinstance(find_task("retrain"), RetrainTask)
    assert isinstance(find_task("analysis"), AnalysisTask)
    monkeypatch.chdir(EXAMPLES)
    own = find_task("own_tasks:LinearProbe")
    assert (own.name, own.metric, own.finds_genotypes) == ("linear-probe", None, False)
    with pytest.raises(ConfigError, match="of search, candidates, retrain, analysis, or module"):
        find_task("dance")
    with pytest.raises(ConfigError, match=r"must be a class derived from tune_nas\.tasks\.Task"):
        find_task("own_tasks:LinearClassifier")
    with pytest.raises(ConfigError, match="importing it fails"):
        find_task("no_such_module:Task")


def test_the_task_of_a_trial_with_a_strategy() -> None:
    """Its search is a black-box search, whose length is the budget; retraining is as usual."""
    differentiable, black_box = load_trial("darts-1st"), load_trial("random-search")
    assert (task_of("search", differentiable), task_of("search", black_box)) == (
        "search",
        "candidates",
    )
    assert task_of("retrain", black_box) == "retrain"
    assert CandidatesTask().epochs(black_box) == 300
    longer = load_trial("random-search", epochs=120)
    assert CandidatesTask().epochs(longer) == 120 and longer.schedule == black_box.schedule
    with pytest.raises(ConfigError, match=r"trial 'darts-1st' has no strategy"):
        CandidatesTask().epochs(differentiable)


def test_a_retraining_run_needs_a_genotype() -> None:
    with pytest.raises(ConfigError, match="needs a genotype, but none is given"):
        RetrainTask().build(TrialConfig(), Inputs())


# The marks, each held against the keys that are known to decide it.
OF_NOTHING = {"description", "runtime.device", "runtime.threads", "runtime.implementation"}
OF_NOTHING |= {"runtime.compile", "runtime.graphs", "runtime.workers", "data.workers"}
OF_NOTHING |= {"runtime.recompute"}


def test_what_decides_a_search() -> None:
    every = set(dotted_keys(TrialConfig))
    not_search = {"name", "benchmark.table", "start_from", "data.dir", "data.download"}
    not_search |= {"data.module_dir", "probes", "data.streaming"}
    of_others = {key for key in every if key.startswith(("retrain.", "analysis."))}
    assert set(keys_that_decide(Decides.SEARCH)) == every - OF_NOTHING - not_search - of_others


def test_what_decides_an_analysis_besides_its_search() -> None:
    keys = ("kind", "edges", "epochs", "batches", "shuffles")
    assert keys_that_decide(Decides.ANALYSIS) == tuple(f"analysis.{key}" for key in keys)
    trial = load_trial("darts-1st", {"analysis.edges": ["normal:0->2", "reduction:0->3"]})
    assert AnalysisTask().epochs(trial) == 2 * 7  # of 8 operations, none is not selected


def test_what_decides_a_retraining_run() -> None:
    every = set(dotted_keys(TrialConfig))
    images = {"name", "layout", "train_images", "resolution", "fit", "background", "split"}
    images |= {"streaming"}
    expected = {key for key in every if key.startswith("retrain.")}
    expected |= {f"data.{key}" for key in images}
    expected |= {"seed", "space.name", "space.skeleton", "runtime.dtype"}
    assert set(keys_that_decide(Decides.RETRAIN)) == expected


def test_what_decides_the_length_is_what_changes_it() -> None:
    of_length = set(keys_that_decide(Decides.LENGTH))
    of_rollbacks = {"optimizer.weights.weight_decay"}  # how often it can be increased
    sections = {key.partition(".")[0] for key in of_length - of_rollbacks}
    assert sections == {"space", "schedule", "selection", "start_from", "strategy"}
    decays = [
        load_trial(
            "darts-1st",
            {"schedule.eigenvalue": {"action": "roll-back"}, "optimizer.weights.weight_decay": wd},
        )
        for wd in (3e-4, 3e-3)
    ]
    assert of_rollbacks <= of_length
    assert [SearchTask().epochs(trial) for trial in decays] == [50 + 2 * 12, 50 + 12]
    base = load_trial("darts-pt", {"space": "nasbench201"})
    for key, value in (("optimizer.alphas.learning_rate", 1.0), ("update.warmup", 3)):
        assert key not in of_length
        other = load_trial("darts-pt", {"space": "nasbench201", key: value})
        assert SearchTask().epochs(other) == SearchTask().epochs(base)


def test_what_is_built_before_a_start_and_what_is_not() -> None:
    starts = set(keys_that_decide(Decides.SEARCH_STARTS))
    assert {"update.warmup", "update.phases", "data.dir", "selection.kind", "name"} <= starts
    assert not {"update.lambda", "optimizer.weights.learning_rate", "seed"} & starts
    trial = load_trial("milenas")
    assert decided_by(trial, Decides.SEARCH_STARTS)["update.warmup"] == trial.update.warmup
    assert decided_by(trial, Decides.SEARCH_STARTS).keys() == starts
