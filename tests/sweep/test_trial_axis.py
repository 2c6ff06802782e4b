"""A sweep over trials: their choice, lengths, keys of a single trial, and a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import TASKS

from tune_nas.config import TrialConfig, scaled
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.sweep import RunOptions, run_sweep
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.define_by_run import DefineByRun
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.phases import search_jobs
from tune_nas.sweep.resolve import base_trials, load_sweep, resolve_trials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.storage import Storage

TWO = {"grid": ["darts-1st", "milenas"]}


def write(folder: Path, **keys: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"trial": TWO}, **keys}), encoding="utf-8")
    return path


def test_every_trial_is_its_own_with_the_fixed_keys_set(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        seeds=2,
        set={"space.cells": 3},
        embedded={"data.train_images": 100},
        set_in={"milenas": {"update.lambda": 3, "space.cells": 5, "schedule.batch_size": 8}},
    )
    trials = resolve_trials(load_sweep(path))
    assert [(p["trial"], seed) for p, seed, _ in trials] == [
        *(("darts-1st", 0), ("darts-1st", 1), ("milenas", 0), ("milenas", 1))
    ]
    darts, milenas = (trials[index][2] for index in (0, 2))
    plain = load_trial("darts-1st", {"space.cells": 3, "data.train_images": 100})
    assert darts == plain
    assert (milenas.update.level, milenas.update.lambda_) == ("mixed", 3.0)
    assert (milenas.space.cells, milenas.schedule.batch_size) == (3, 8)  # `set` holds for all
    again = SweepConfig.model_validate(yaml.safe_load(yaml.safe_dump(load_sweep(path).to_dict())))
    assert again == load_sweep(path)


def test_a_key_set_on_the_command_line_holds_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, set_in={"milenas": {"update.order": 2}})
    orders = [trial.update.order for _, _, trial in resolve_trials(load_sweep(path))]
    assert orders == [1, 2]
    path = write(tmp_path, set_in={"milenas": {"update.order": 2}})
    sweep = load_sweep(path, set={"update.order": 1})
    assert [trial.update.order for _, _, trial in resolve_trials(sweep)] == [1, 1]


def test_conditions_see_the_chosen_trial(tmp_path: Path) -> None:
    parameters: dict[str, Any] = {
        "update.lambda": {"grid": [0, 1], "when": {"update.level": "mixed"}},
        "relaxation.kind": {"grid": ["softmax", "sigmoid"], "when": {"trial": "darts-1st"}},
        "trial": TWO,
    }
    path = write(tmp_path, parameters=parameters)
    found = [parameters for parameters, _, _ in resolve_trials(load_sweep(path))]
    assert found == [
        {"relaxation.kind": "softmax", "trial": "darts-1st"},
        {"relaxation.kind": "sigmoid", "trial": "darts-1st"},
        {"update.lambda": 0.0, "trial": "milenas"},
        {"update.lambda": 1.0, "trial": "milenas"},
    ]
    with pytest.raises(ConfigError, match=r"never holds: update\.order is 1"):
        parameters["update.lambda"]["when"] = {"update.order": 2}
        load_sweep(write(tmp_path, parameters=parameters))


def test_a_drawn_trial_is_drawn_first() -> None:
    import optuna

    parameters = {
        "update.lambda": Parameter(choice=[0, 1], when={"update.level": "mixed"}),
        "trial": Parameter(choice=["darts-1st", "milenas"]),
    }
    bases = base_trials(SweepConfig(parameters=parameters, searcher="tpe"))
    space = DefineByRun(parameters, bases.values)
    drawn = {"trial": "milenas", "update.lambda": "1"}
    assert space(optuna.trial.FixedTrial(drawn)) == {"trial": "milenas", "update.lambda": 1}
    assert space(optuna.trial.FixedTrial({"trial": "darts-1st"})) == {"trial": "darts-1st"}


# Epochs at which something happens, by hand: of 50 epochs, 20 are 2/5; parts are rounded down.
STAGES = [{"epochs": 25, "operations": 7}, {"epochs": 25, "operations": 4}]


def test_another_length_scales_what_happens_at_epochs() -> None:
    trial = TrialConfig.model_validate(
        {
            "update": {"warmup": 9, "phases": [{"until": 35, "set": {"order": 2}}]},
            "schedule": {"greedy": {"warmup": 9, "every": 5, "history": 4}},
        }
    )
    assert scaled(trial.to_dict(), 20) == {
        "schedule.epochs": 20,
        "update.warmup": 3,
        "update.phases": [{"until": 14, "set": {"order": 2}}],
        "schedule.greedy.warmup": 3,
        "schedule.greedy.every": 2,
    }
    near = {"phases": [{"until": end, "set": {"order": 2}} for end in (10, 14)]}
    phases = scaled(TrialConfig.model_validate({"update": near}).to_dict(), 5)["update.phases"]
    assert [phase["until"] for phase in phases] == [1, 2]
    staged = TrialConfig.model_validate({"schedule": {"stages": STAGES}}).to_dict()
    assert [stage["epochs"] for stage in scaled(staged, 21)["schedule.stages"]] == [10, 11]
    # 29 of 100 is 29 of 100, though 100 · 0.29 is 28.999…
    long = TrialConfig.model_validate({"schedule": {"epochs": 100}, "update": {"warmup": 29}})
    assert scaled(long.to_dict(), 100)["update.warmup"] == 29
    short = TrialConfig.model_validate({"schedule": {"epochs": 29}, "update": {"warmup": 7}})
    assert scaled(short.to_dict(), 290)["update.warmup"] == 70


def test_epochs_take_the_place_of_every_other_length(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        set={"schedule": {"epochs": 7, "batch_size": 16}},
        embedded={"schedule.epochs": 9},
    )
    lengths = [
        [(t.schedule.epochs, t.schedule.batch_size) for _, _, t in resolve_trials(sweep)]
        for sweep in (load_sweep(path), load_sweep(path, epochs=3))
    ]
    assert lengths == [[(7, 16)] * 2, [(3, 16)] * 2]
    path = write(tmp_path, epochs=20, set_in={"darts-1st": {"update.warmup": 10}})
    sweep = load_sweep(path)
    assert [t.update.warmup for _, _, t in resolve_trials(sweep)] == [4, 0]
    sweep = load_sweep(path, set={"schedule.epochs": 11})
    assert {t.schedule.epochs for _, _, t in resolve_trials(sweep)} == {11}


def test_shipped_sweeps_over_cifar() -> None:
    collapse = resolve_trials(load_sweep("collapse"))
    settings = [
        (t.update.level, t.relaxation.kind, t.optimizer.weights.learning_rate, t.data.single_level)
        for _, _, t in collapse[::3]
    ]
    assert settings == [("bilevel", "softmax", 0.025, "train"), ("single", "sigmoid", 0.005, "all")]
    truth = resolve_trials(load_sweep("lambda-truth"))
    primes = [0, 0.25, 0.5, 0.75, 1]
    assert [t.update.lambda_prime for _, _, t in truth] == [v for v in primes for _ in range(5)]
    assert {t.update.sequence for _, _, t in truth} == {"simultaneous"}
    methods = resolve_trials(load_sweep("methods"))
    assert len(methods) == 3 * 40
    for _, _, trial in collapse + truth + methods:
        assert (trial.data.name, trial.data.train_images, trial.data.resolution) == (
            *("cifar10", 6000, 16),
        )
        assert (trial.space.name, trial.space.init_channels, trial.space.cells) == (
            *("nasbench201", 8, 3),
        )
        assert (trial.schedule.epochs, trial.schedule.batch_size) == (24, 64)
        assert trial.optimizer.alphas.learning_rate == 0.003


BAD: list[tuple[dict[str, Any], str]] = [
    ({"trial": "milenas"}, "'trial' is given, and under parameters too; give it once"),
    ({"parameters": {"update.lambda": {"grid": [1]}}}, "key 'trial' is missing"),
    ({"parameters": {"trial": {"grid": ["milenass"]}}}, "did you mean 'milenas'?"),
    ({"parameters": {"trial": {"grid": [1]}}}, "must be a list of names or paths"),
    ({"parameters": {"trial": {**TWO, "when": {"update.order": 1}}}}, "without conditions"),
    ({"set_in": {"drnas": {"update.order": 2}}}, "set_in has 'drnas', but the sweep has no such"),
    ({"set_in": {"milenas": {"update.odrer": 2}}}, "did you mean 'update.order'?"),
    ({"set": {"update.lambda": 1}}, "belongs to update.level 'mixed', not 'bilevel'"),
    ({"epochs": 0}, "epochs is 0, but must be >= 1"),
    ({"epochs": 3, "set": {"schedule.epochs": 3}}, "epochs and schedule.epochs say the same"),
    (
        {"scheduler": "asha", "set_in": {"milenas": {"schedule.epochs": 9}}},
        "'milenas' has 9 epochs and 'darts-1st' 50; set epochs, or take scheduler 'none'",
    ),
]


@pytest.mark.parametrize(("keys", "says"), BAD, ids=range(len(BAD)))
def test_bad_sweeps_over_trials_are_one_line(
    keys: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(tmp_path, **keys))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sweep_keeps_its_trials_for_a_resume(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{name}.yaml") for name in ("a", "b")]
    for name, value in zip(names, (0, 2), strict=True):
        Path(name).write_text(f"update: {{level: mixed, lambda: {value}}}", encoding="utf-8")
    sweep = load_sweep(write(tmp_path, parameters={"trial": {"grid": names}}))
    plan = Plan(Storage(tmp_path / "runs" / "mine"), sweep, base_trials(sweep), State())
    plan.write()
    for name in names:
        Path(name).unlink()
    again = read_plan(plan.storage)
    assert (again.sweep, again.bases) == (plan.sweep, plan.bases)
    jobs = search_jobs(again.resolved.trials, again.bases.folder)
    assert [job.parameters for job in jobs] == [{"trial": name} for name in names]
    assert [job.trial.update.lambda_ for job in jobs] == [0.0, 2.0]


def test_a_sweep_of_an_earlier_version_keeps_its_rules(tmp_path: Path) -> None:
    """Also in the trials that it has not started yet: none of them mixes with the others."""
    names = ["darts-pt", "gdas"]
    sweep = load_sweep(write(tmp_path, parameters={"trial": {"grid": names}}))
    plan = Plan(Storage(tmp_path / "runs" / "old"), sweep, base_trials(sweep), State())
    plan.write()
    path = tmp_path / "runs" / "old" / "trials.yaml"
    stored = yaml.safe_load(path.read_text())
    for name in names:
        del stored[name]["selection"]["perturbation"]["edges"]
        del stored[name]["relaxation"]["unsampled"]
    path.write_text(yaml.safe_dump(stored))
    again = read_plan(plan.storage)
    jobs = search_jobs(again.resolved.trials, again.bases.folder)
    edges, unsampled = (
        [job.trial.selection.perturbation.edges for job in jobs],
        [job.trial.relaxation.unsampled for job in jobs],
    )
    assert (edges, unsampled) == (["one-by-one", "alone"], ["auto", "as-numbers"])
    # and of a trial that was recorded by that version
    stored = jobs[0].to_dict()
    del stored["trial"]["selection"]["perturbation"]["edges"]
    assert Job.from_dict(stored).trial.selection.perturbation.edges == "one-by-one"


@pytest.mark.sweep
def test_a_run_over_trials_and_its_report(tmp_path: Path, ray_session: None) -> None:
    names = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    for name, value in zip(names, (0, 2), strict=True):
        Path(name).write_text(f"update: {{level: mixed, lambda: {value}}}", encoding="utf-8")
    path = write(tmp_path, parameters={"trial": {"grid": names}}, epochs=2, retrain=0)
    options = RunOptions(storage=str(tmp_path / "runs"), quiet=True)
    outcome = run_sweep(load_sweep(path), options, tasks=TASKS)
    found = [(r.parameters, r.status, len(r.history)) for r in outcome.results]
    assert found == [({"trial": name}, "finished", 2) for name in names]
    rows = outcome.report.rows()
    assert [row.label for row in rows] == [f"trial = {name}" for name in names]
    assert outcome.report.ranking()[0] is rows[1]  # the stand-in rises with λ


@pytest.mark.parametrize(("name", "epochs", "least"), [("stacnas", 1, 2), ("p-darts", 2, 3)])
def test_a_trial_has_an_epoch_for_each_stage(name: str, epochs: int, least: int) -> None:
    expected = f"^trial '{name}': epochs is {epochs}, but must be >= {least}, one for each of "
    with pytest.raises(ConfigError, match=expected):
        load_trial(name, epochs=epochs)
    assert load_trial(name, epochs=least).schedule.epochs == least
