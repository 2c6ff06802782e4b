"""The sweep `combine`: each sample runs, or is redrawn with a one-line reason before it starts."""

from __future__ import annotations

import copy
import itertools
import logging
from functools import cache
from typing import Any, get_args

import pytest

from tune_nas import manifest
from tune_nas.config import TrialConfig, UpdateConfig
from tune_nas.config.effects import no_effect
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.optuna_source import OptunaSource
from tune_nas.sweep.resolve import base_trials, load_sweep
from tune_nas.sweep.sampled_study import SampledStudy
from tune_nas.sweep.valid_samples import resolve_sample
from tune_nas.testing.states import differences
from tune_nas.user_code import declared_reads

Sample = tuple[dict[str, object], TrialConfig | str]
SAMPLES = 400  # drawn and validated
RUN = 16  # of those that are accepted, run
LEVELS = get_args(UpdateConfig.model_fields["level"].annotation)
# Shipped names by key, so that the tests include parts that the file does not yet have.
NAMES: dict[str, tuple[str, ...]] = {
    # `controller` is that of the trial, for the level `policy` alone.
    "relaxation.kind": tuple(n for n in manifest.SHIPPED["relaxations"] if n != "controller"),
    "selection.kind": tuple(manifest.SHIPPED["selections"]),
    "optimizer.alphas.kind": tuple(manifest.SHIPPED["alpha_optimizers"]),
    "update.level": LEVELS,
}
MOVED = [name for name in NAMES["relaxation.kind"] if name != "uniform-path"]
TINY: dict[str, Any] = {
    "data.name": "fake",
    "data.train_images": 32,
    "data.resolution": 8,
    "space.init_channels": 4,
    "space.cells": 1,
    "schedule.batch_size": 8,
    "schedule.steps_per_epoch": 1,
    "update.policy": {"steps": 2, "samples": 2},
    "runtime.device": "cpu",
    "selection.perturbation.interval": 1,
    "selection.perturbation.batches": 1,
    "selection.sampled.genotypes": 2,
}


def tiny(**changes: Any) -> SweepConfig:
    """Return the sweep with every shipped part, at a size at which an epoch takes no time."""
    own = load_sweep("combine")
    parameters = {key: each.to_dict() for key, each in own.parameters.items()}
    for key, names in NAMES.items():
        parameters[key]["choice"] = list(names)
    parameters["relaxation.edge_normalization"]["when"] = {"relaxation.kind": list(MOVED)}
    content = {"parameters": parameters, "searcher": "random", "set": TINY, **changes}
    return load_sweep("combine", **content)


def of_decisions(**values: object) -> SweepConfig:
    """Return the sweep with decisions alone swept: first the given ones, then null."""
    small = {
        key: value for key, value in TINY.items() if not key.startswith(("selection.", "update."))
    }
    own = {"relaxation.kind": "softmax", "update.level": "bilevel", "selection.kind": "magnitude"}
    greedy = {"choice": [None, values], "prior": [values]}
    return load_sweep(
        "combine",
        parameters={"schedule.greedy": greedy},
        set={**small, **own},
        searcher="random",
        trials=2,
    )


@cache
def samples() -> list[Sample]:
    """Return samples as Optuna draws them, each with its trial or the reason for a new sample."""
    sweep = tiny()
    bases = base_trials(sweep)
    study, found = SampledStudy(sweep, bases.values), list[Sample]()
    for number in range(SAMPLES):
        trial, chosen = study.sample(number, 0)
        study.reject([trial])
        try:
            found.append((chosen, resolve_sample(sweep, bases, chosen)))
        except ConfigError as error:
            found.append((chosen, str(error)))
    return found


def accepted() -> list[tuple[dict[str, object], TrialConfig]]:
    return [(chosen, trial) for chosen, trial in samples() if isinstance(trial, TrialConfig)]


def shortened(trial: TrialConfig) -> TrialConfig:
    """Return a trial in which all that happens over the epochs happens within a few."""
    schedule = trial.schedule
    changes: dict[str, Any] = {"schedule.epochs": 2, "update.warmup": min(1, trial.update.warmup)}
    if schedule.stages:
        length = 1 + changes["update.warmup"]
        stages = [{**stage.to_dict(), "epochs": length} for stage in schedule.stages]
        changes |= {"schedule.stages": stages, "schedule.epochs": length * len(stages)}
    if schedule.greedy is not None:
        greedy = {**schedule.greedy.to_dict(), "warmup": 0, "every": 1, "history": 2}
        changes |= {"schedule.greedy": greedy, "schedule.epochs": 6}
    return with_overrides(trial, changes)


def test_the_file_lists_every_shipped_part() -> None:
    parameters = load_sweep("combine").parameters
    assert {key: set(parameters[key].values) for key in NAMES} == {
        key: set(names) for key, names in NAMES.items()
    }
    assert parameters["relaxation.edge_normalization"].when == {"relaxation.kind": MOVED}


def test_reasons_are_one_line_that_names_the_sample() -> None:
    reasons = [reason for _, reason in samples() if isinstance(reason, str)]
    assert 0.25 * SAMPLES < len(reasons) < 0.85 * SAMPLES
    assert all("\n" not in reason and reason.startswith("sweep 'combine'") for reason in reasons)


def test_every_part_is_in_an_accepted_sample() -> None:
    for key, names in NAMES.items():
        assert {chosen[key] for chosen, _ in accepted() if key in chosen} == set(names)
    moving = [trial for _, trial in accepted() if trial.update.level != "none"]
    assert {trial.relaxation.kind for trial in moving} == {*MOVED, "controller"}


def test_every_key_of_an_accepted_sample_has_an_effect() -> None:
    for chosen, trial in accepted():
        assert [str(no_effect(trial, key, declared_reads)) for key in chosen] == ["None"] * len(
            chosen
        )


@pytest.mark.parametrize("index", range(RUN))
def test_an_accepted_sample_runs_and_resumes_to_the_bit(index: int) -> None:
    chosen, trial = accepted()[index]
    search = Search(shortened(trial))
    at = index % search.epochs
    for epoch in itertools.count():
        if epoch == at:
            state = copy.deepcopy(search.state_dict())
        search.run_epoch()
        if epoch == at:
            resumed = Search(search.trial)
            resumed.load_state_dict(state)
            resumed.run_epoch()
            assert differences(search.state_dict(), resumed.state_dict()) == [], chosen
        if search.done:
            break
    search.genotype.check(search.space)
    assert all(alpha.isfinite().all() for alpha in search.alphas.values())


def test_what_cannot_start_is_redrawn_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Too many decisions for the search are only known once the space is."""
    sweep = of_decisions(criterion=1, warmup=4, every=5)
    with caplog.at_level(logging.WARNING, logger="tune_nas"):
        job = OptunaSource(sweep, base_trials(sweep), []).next()
    assert job is not None and job.parameters == {"schedule.greedy": None}
    reason = caplog.messages[0]
    assert reason.startswith("search-00000 is redrawn: sweep 'combine' at schedule.greedy=")
    assert reason.endswith(
        "the last after epoch 30, but the search has 24 epochs (schedule.epochs)"
    )


def test_a_sampled_section_is_found_again_on_a_resume() -> None:
    """A record has the value as it is listed, not with the defaults that it leaves out."""
    listed = {"criterion": 2, "every": 3, "warmup": 4}
    sweep = of_decisions(**listed)
    job = OptunaSource(sweep, base_trials(sweep), []).next()
    assert job is not None and job.parameters == {"schedule.greedy": listed}
    assert job.trial.schedule.greedy is not None and job.trial.schedule.greedy.criterion == 2
    SampledStudy(sweep, base_trials(sweep).values).add(job)


def test_a_grid_cannot_redraw() -> None:
    with pytest.raises(ConfigError, match="invalid is 'redraw', but searcher 'grid' runs every"):
        load_sweep("combine", searcher="grid", trials=None)


def test_a_sweep_without_valid_samples_is_rejected() -> None:
    only = {
        "update.level": "none",
        "relaxation.kind": "softmax",
        "selection.kind": "magnitude",
    }
    parameters = {key: {"choice": [value]} for key, value in only.items()}
    with pytest.raises(ConfigError, match=r"'magnitude' reads α.*each of 1000 samples"):
        load_sweep("combine", parameters=parameters)
