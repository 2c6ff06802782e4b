"""The grid of a sweep's retraining runs: its spelling, its trials and the checks beforehand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import MakeSweep

from tune_nas.config import RetrainConfig
from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.distinct import check_distinct_settings
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.phases import jobs_of, read_records
from tune_nas.sweep.preflight import preflight
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.retrain_trials import retrain_trials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.storage import Storage
from tune_nas.tasks import Task

SHORT_AND_LONG = [{"name": "short", "epochs": 5}, {"name": "long", "epochs": 9}]


def sections(sweep: SweepConfig) -> dict[str, RetrainConfig]:
    bases = base_trials(sweep)
    return {name: own.retrain for name, own in retrain_trials(sweep, bases, bases.first, {})}


def with_searches(sweep: SweepConfig, folder: Path) -> Plan:
    """Write the plan of a grid whose searches have ended; the later ones are better."""
    plan = Plan(Storage(folder), sweep, base_trials(sweep), State())
    plan.write()
    records = read_records(plan)["search"]
    for number, job in enumerate(jobs_of(plan, "search", read_records(plan))):
        records.start(job)
        genotype = f"genotype of {job.id}"
        records.add(job.id, {"epoch": 4, "valid_accuracy": 50.0 + number, "genotype": genotype})
        records.end(job.id)
    return read_plan(Storage(folder))


def retraining(plan: Plan) -> list[Job]:
    return jobs_of(plan, "retrain", read_records(plan))


def test_every_genotype_setting_and_seed_is_a_trial(make_sweep: MakeSweep, tmp_path: Path) -> None:
    grid = {"genotypes": 2, "recipes": SHORT_AND_LONG, "seeds": 2}
    sweep = make_sweep(retrain=grid, seeds=[7, 8])
    assert sweep.retrain_grid.runs_per_genotype == 4
    plan = with_searches(sweep, tmp_path / "run")
    jobs = retraining(plan)
    assert [job.id for job in jobs] == [f"retrain-{number:05d}" for number in range(8)]
    assert len({(job.inputs.parent, str(job.parameters), job.seed) for job in jobs}) == 8
    # Per value, the search with the second seed is better; inf and 1 are the best values.
    assert {job.inputs.parent for job in jobs} == {"search-00005", "search-00003"}
    assert [job.seed for job in jobs] == [7] * 4 + [8] * 4
    epochs = {"short": 5, "long": 9}
    for job in jobs:
        assert job.epochs == epochs[str(job.parameters["retrain.setting"])]
        assert job.trial.update.lambda_ == job.parameters["update.lambda"]
    assert jobs[0].label == "λ=inf setting=short seed=7"


def test_a_custom_recipe_is_called_once(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "recipes_of_a_grid.py"
    module.write_text("def short():\n    return {'epochs': 3, 'weight_decay': 0.5}")
    monkeypatch.chdir(tmp_path)
    recipe = {"name": "own", "recipe": "recipes_of_a_grid:short"}
    plan = with_searches(make_sweep(retrain={"recipes": [recipe]}), tmp_path / "run")
    monkeypatch.delitem(sys.modules, "recipes_of_a_grid")
    module.write_text("raise OSError('changed')")
    again = read_plan(plan.storage)
    assert again.resolved.points == plan.resolved.points  # as a resume does first
    jobs = retraining(again)
    assert {(job.trial.retrain.epochs, job.trial.retrain.weight_decay) for job in jobs} == {
        (3, 0.5)
    }


def test_a_custom_recipe_is_not_swept(make_sweep: MakeSweep) -> None:
    swept = {"retrain.recipe": {"grid": ["darts-cifar", "own:short"]}}
    with pytest.raises(ConfigError, match="has 'own:short', but a custom recipe cannot be swept"):
        make_sweep(parameters=swept)


def test_a_resume_knows_them_again(make_sweep: MakeSweep, tmp_path: Path) -> None:
    plan = with_searches(
        make_sweep(retrain={"recipes": SHORT_AND_LONG, "seeds": 2}), tmp_path / "run"
    )
    jobs = retraining(plan)
    records = read_records(plan)["retrain"]
    for job in (jobs[5], jobs[2]):
        records.start(job)
    again = retraining(read_plan(plan.storage))
    assert again == jobs
    assert read_records(plan)["retrain"][jobs[5].id].job == jobs[5]


def test_seeds_alone_repeat_the_trials_own_settings(make_sweep: MakeSweep, tmp_path: Path) -> None:
    plan = with_searches(make_sweep(retrain={"genotypes": 1, "seeds": 3}), tmp_path / "run")
    jobs = retraining(plan)
    assert [job.seed for job in jobs] == [0, 1, 2]
    assert {tuple(job.parameters) for job in jobs} == {("update.lambda",)}


@pytest.mark.parametrize(
    ("plain", "grid"), [("each", {}), (2, {"genotypes": 2}), (0, {"genotypes": 0})]
)
def test_the_earlier_spellings_mean_the_same(
    make_sweep: MakeSweep, tmp_path: Path, plain: object, grid: dict[str, object]
) -> None:
    sweeps = [make_sweep(retrain=retrain) for retrain in (plain, grid)]
    assert sweeps[0].to_dict()["retrain"] == plain
    one, other = (
        retraining(with_searches(sweep, tmp_path / f"run{number}"))
        for number, sweep in enumerate(sweeps)
    )
    assert one == other
    assert len(one) == {"each": 3, 2: 2, 0: 0}[plain]  # type: ignore[index]


def test_a_recipe_replaces_the_section_and_the_sweeps_keys_win(make_sweep: MakeSweep) -> None:
    """The trial itself sets retrain.epochs 2, which a recipe replaces."""
    sweep = make_sweep(
        retrain={"recipes": ["nasbench201", {"name": "own", "cells": 7}]},
        set={"retrain.init_channels": 6},
        embedded={"retrain.batch_size": 8, "retrain.augment.cutout": 2},
    )
    found = sections(sweep)
    recipe, own = found["nasbench201"], found["own"]
    assert (recipe.epochs, recipe.learning_rate, recipe.nesterov) == (200, 0.1, True)
    assert (own.epochs, own.learning_rate, own.nesterov) == (2, 0.025, False)
    for section in (recipe, own):
        assert (section.init_channels, section.batch_size, section.augment.cutout) == (6, 8, 2)
    assert (recipe.cells, own.cells) == (5, 7)  # 5 per stage in NAS-Bench-201
    elsewhere = sweep.model_copy(update={"set": {**sweep.set, "data.name": "cifar10"}})
    assert sections(elsewhere)["nasbench201"].batch_size == 256


def test_a_settings_own_keys_win_over_its_recipe_and_embedded_ones(make_sweep: MakeSweep) -> None:
    setting = {"name": "short", "recipe": "darts-cifar", "epochs": 50, "batch_size": 16}
    sweep = make_sweep(retrain={"recipes": [setting]}, embedded={"retrain.batch_size": 8})
    assert (sections(sweep)["short"].epochs, sections(sweep)["short"].batch_size) == (50, 16)


def test_a_setting_means_the_same_if_the_trial_has_its_recipe(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    make_sweep()
    file = tmp_path / "input" / "trial.yaml"
    trial = yaml.safe_load(file.read_text())
    trial["retrain"] = {"recipe": "darts-cifar", "epochs": 3}
    file.write_text(yaml.safe_dump(trial))
    sweep = load_sweep(tmp_path / "input" / "test.yaml", retrain={"recipes": ["darts-cifar"]})
    assert sections(sweep)["darts-cifar"] == RetrainConfig(recipe="darts-cifar")


def test_the_names_of_settings(make_sweep: MakeSweep) -> None:
    entries = ["darts-cifar", {"recipe": "darts-cifar", "cells": 8}, {"epochs": 5}]
    grid = make_sweep(retrain={"recipes": entries}).retrain_grid
    assert [s.name for s in grid.settings] == ["darts-cifar", "darts-cifar cells=8", "epochs=5"]


def test_a_number_on_the_command_line_keeps_the_grid(make_sweep: MakeSweep, tmp_path: Path) -> None:
    make_sweep(retrain={"recipes": SHORT_AND_LONG, "seeds": 2})
    sweep = load_sweep(tmp_path / "input" / "test.yaml", retrain=1)
    assert (sweep.retrained, sweep.retrain_grid.runs_per_genotype) == (1, 4)


@pytest.mark.parametrize(
    ("grid", "changes", "says"),
    [
        ({"recipes": ["a", "a"]}, {}, "retrain.recipes has 'a' twice"),
        ({"recipes": "a"}, {}, "must be a list of recipes and of mappings"),
        ({"recipes": [{1: 2}]}, {}, "must be a list of recipes and of mappings"),
        ({"recipes": [{}]}, {}, "a name must have 1 to 60 printable characters"),
        ({"recipes": [{"name": "x\n", "epochs": 3}]}, {}, "printable characters"),
        ({"recipes": ["dart-cifar"]}, {}, "setting 'dart-cifar': retrain.recipe is 'dart-cifar'"),
        (
            {"recipes": [{"name": "a", "epoch": 3}]},
            {},
            "setting 'a': unknown key 'retrain.epoch'; did you mean 'retrain.epochs'?",
        ),
        ({"recipes": [{"name": "a", "epochs": 0}]}, {}, "setting 'a': retrain.epochs is 0"),
        (
            {"recipes": [{"name": "a", "lr_decay": 0.5}]},
            {},
            "setting 'a': retrain.lr_decay is 0.5, but has no effect",
        ),
        ({"seeds": 0}, {}, "retrain.seeds is 0, but must be >= 1"),
        ({"seeds": 2}, {"seeds": [2**31 - 1]}, "retrain.seeds takes the seeds 2147483647 to"),
        ({"sees": 1}, {}, "unknown key 'retrain.sees'; did you mean 'retrain.seeds'?"),
        ({"genotypes": -1}, {}, "retrain.genotypes is -1"),
        ({"genotypes": 5001, "seeds": 2}, {}, "retrain takes 10,002 trials"),
        # Three values of λ.
        ({"seeds": 4000}, {}, "retrain takes 12,000 trials"),
        (
            {"recipes": [{"name": "a", "epochs": 3}]},
            {"set": {"retrain.epochs": 3}},
            "'retrain.epochs' is under set, but the setting 'a'",
        ),
        (
            {"recipes": ["darts-cifar"]},
            {"parameters": {"retrain.weight_decay": {"grid": [0, 0.1]}}},
            "'retrain.weight_decay' is under parameters, but retrain.recipes",
        ),
        ({"genotypes": 0}, {"metric": "retrain/test_accuracy"}, "but retrain is 0"),
    ],
)
def test_bad_grids_are_one_line(
    make_sweep: MakeSweep, grid: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_sweep(retrain=grid, **changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_amount_to_the_same_are_refused(make_sweep: MakeSweep) -> None:
    """On 8-pixel digits, crops of 4 and 5 pixels of padding (of 32) are both of 1 pixel."""
    paddings = [{"name": f"p{padding}", "augment.crop_padding": padding} for padding in (4, 5)]
    sweep = make_sweep(retrain={"recipes": paddings})
    with pytest.raises(ConfigError, match="'p5' amounts to the same training as 'p4'"):
        check_distinct_settings(sweep, base_trials(sweep))
    other = make_sweep(retrain={"recipes": SHORT_AND_LONG})
    check_distinct_settings(other, base_trials(other))


class NoSearch(Task):
    section = "schedule"

    def epochs(self, trial: Any) -> int:
        return 4

    def check(self, trial: Any, inputs: Any) -> None:
        """Accept every trial."""

    def build(self, trial: Any, inputs: Any, together: Any = None) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"batch_size": 1_000_000, "init_channels": 20_000, "cells": 20}, "GiB"),
        ({"cells": 2}, "retrain.cells"),
        (
            {"batch_size": 1, "auxiliary_weight": 0, "skeleton": "imagenet"},
            "retrain.batch_size is 1, but must be >= 2",
        ),
        ({"skeleton": "stages"}, "skeleton"),
    ],
)
def test_a_setting_that_cannot_start_is_found_beforehand(
    make_sweep: MakeSweep, tmp_path: Path, setting: dict[str, object], says: str
) -> None:
    """The trial's own section, which no run would use, is not checked."""
    own = {"retrain.init_channels": 60_000}
    fits = {"name": "fits", "recipe": "darts-cifar", "init_channels": 4, "cells": 3}
    other = {
        "name": "other",
        "recipe": "darts-cifar",
        **{"init_channels": 4, "cells": 3},
        **setting,
    }
    for recipes in ([fits], [fits, other]):
        sweep = make_sweep(retrain={"recipes": recipes}, embedded=own)
        plan = Plan(Storage(tmp_path / "run"), sweep, base_trials(sweep), State())
        if len(recipes) == 1:
            preflight(plan, {"search": NoSearch()}, here=True)
            continue
        with pytest.raises(ConfigError) as caught:
            preflight(plan, {"search": NoSearch()}, here=True)
        assert "setting 'other': " in str(caught.value)
        assert says in str(caught.value)
