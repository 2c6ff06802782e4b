"""Fixed or swept keys without effect are rejected: their trials would be identical."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from standin import MakeSweep

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.sweep.parameters import Parameter
from tune_nas.sweep.resolve import base_trials, load_sweep, resolve_trials
from tune_nas.sweep.runs.plan import Plan, State, read_plan
from tune_nas.sweep.runs.storage import Storage

END = "relaxation.temperature.end"
KINDS = {"grid": ["softmax", "gumbel"]}
GUMBEL = {"relaxation.kind": "gumbel"}


@pytest.mark.parametrize(
    ("trial", "key", "value", "rule"),
    [
        (
            *("darts-1st", END, 0.5),
            "relaxation.kind is 'softmax'; it needs relaxation.kind 'gumbel' or 'concrete'",
        ),
        (
            *("p-darts", "space.cells", 3),
            "schedule.stages is given; it needs a stage that leaves cells to the trial",
        ),
        ("darts-1st", "update.epsilon", 0.1, "update.order is 1; it needs update.order 2"),
        (
            *("darts-1st", "selection.perturbation.batches", 3),
            "selection.kind is 'magnitude'; it needs selection.kind 'perturbation'",
        ),
        (
            *("darts-1st", "optimizer.alphas.momentum", 0.5),
            "optimizer.alphas.kind is 'adam'; it needs optimizer.alphas.kind 'sgd'",
        ),
        (
            *("rsps", "optimizer.alphas.learning_rate", 0.1),
            "update.level is 'none'; it needs update.level 'single' or 'bilevel' or 'mixed' or "
            "'policy'",
        ),
        (
            *("sgas-pt", "selection.perturbation.interval", 2),
            "schedule.greedy is given; it needs schedule.greedy null",
        ),
        (
            *("milenas-2nd", "update.second_order_form", "train-weighted"),
            "update.lambda is 1.0 and update.lambda_prime is null; it needs update.lambda other "
            "than 1 or update.lambda_prime other than 0.5",
        ),
    ],
)
def test_a_set_key_without_effect_is_refused(trial: str, key: str, value: Any, rule: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial(trial, {key: value})
    assert str(error.value) == (
        f"trial '{trial}': {key} is {value!r}, but has no effect where {rule}"
    )


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"relaxation.temperature": {"end": 0.5}}, END),
        ({"relaxation": {"kind": "softmax", "temperature": {"end": 0.5}}}, END),
        (
            {"update.phases": [{"until": 5, "set": {"level": "single", "epsilon": 0.1}}]},
            "update.phases.0.set.epsilon",
        ),
    ],
)
def test_keys_in_a_set_section_are_keys_that_are_set(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is 0.[15], but has no effect"):
        load_trial("milenas", settings)


def test_a_key_counts_with_the_others_that_are_set() -> None:
    assert load_trial("darts-1st", {**GUMBEL, END: 0.5}).relaxation.temperature.end == 0.5
    assert load_trial("darts-1st", {"update.order": 2, "update.epsilon": 0.1}).update.epsilon == 0.1
    phases = [{"until": 5, "set": {"order": 2}}]
    assert load_trial("milenas", {"update.phases": phases, "update.epsilon": 0.1})
    covered = [{"until": 5, "set": {"order": 2, "epsilon": 0.2}}]
    with pytest.raises(ConfigError, match=r"has no effect where update.order is 1"):
        load_trial("milenas", {"update.phases": covered, "update.epsilon": 0.1})


def test_a_key_that_the_trial_is_not_valid_without_is_accepted() -> None:
    single = load_trial("milenas", {"update.level": "single", "update.lambda": None})
    assert single.update.lambda_ is None
    other = load_trial("p-darts", {"selection.kind": "sampled", "selection.max_skips": {}})
    assert other.selection.max_skips == {}
    with pytest.raises(ConfigError, match=r"selection.max_skips is \{\}, but has no effect"):
        load_trial("darts-1st", {"selection.kind": "sampled", "selection.max_skips": {}})


def test_a_trial_file_may_hold_keys_without_effect(tmp_path) -> None:
    """A resolved trial holds every key, and is a trial file."""
    path = tmp_path / "shown.yaml"
    content = load_trial("gdas", {"relaxation.kind": "softmax"}).to_dict()
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_trial(path).relaxation.temperature.end == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parameters": {END: {"grid": [0.1, 1, 10]}}},
            f"{END} is swept, but has no effect where relaxation.kind is 'softmax'; it needs "
            "relaxation.kind 'gumbel' or 'concrete'",
        ),
        (
            {"parameters": {END: {"grid": [0.1, 1]}, "relaxation.kind": KINDS}},
            f"{END} is swept, but has no effect where relaxation.kind is 'softmax'; add when: "
            "{relaxation.kind: [gumbel, concrete]} to it",
        ),
        (
            {
                "parameters": {
                    END: {"grid": [0.1, 1], "when": {"update.level": "mixed"}},
                    "relaxation.kind": KINDS,
                }
            },
            "add when: {relaxation.kind: [gumbel, concrete]} to it",
        ),
        (
            {
                "parameters": {
                    "update.epsilon": {"choice": [0.1, 1]},
                    "update.order": {"choice": [1, 2]},
                },
                "searcher": "tpe",
            },
            "update.epsilon is swept, but has no effect where update.order is 1; add when: "
            "{update.order: 2} to it",
        ),
        (
            {"parameters": {"retrain.learning_rate": {"grid": [0.1, 1]}}, "retrain": 0},
            "retrain.learning_rate is swept, but has no effect where retrain is 0",
        ),
        (
            {
                "set": {"update.order": 2},
                "parameters": {
                    "update.second_order_form": {"grid": ["eq6", "train-weighted"]},
                    "update.lambda": {"grid": [1, 10]},
                },
            },
            "has no effect where update.lambda is 1.0",
        ),
        ({"set": {END: 1}}, f"set has {END}: 1.0, which has no effect where relaxation.kind"),
        (
            {"set": {"optimizer.alphas": {"kind": "sgd", "betas": [0.1, 0.2]}}},
            "set has optimizer.alphas.betas: (0.1, 0.2), which has no effect where "
            "optimizer.alphas.kind is 'sgd'",
        ),
    ],
)
def test_a_swept_or_fixed_key_without_effect_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_sweep("lambda", **changes)
    assert str(error.value).startswith("sweep 'lambda': ")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_with_its_condition_a_key_is_swept_where_it_has_an_effect() -> None:
    when = {"relaxation.kind": ["gumbel", "concrete"]}
    parameters = {END: {"grid": [0.1, 1], "when": when}, "relaxation.kind": KINDS}
    trials = resolve_trials(load_sweep("lambda", parameters=parameters, seeds=1))
    found = [(values["relaxation.kind"], values.get(END)) for values, _, _ in trials]
    assert found == [("softmax", None), ("gumbel", 0.1), ("gumbel", 1)]


def test_the_end_of_a_range_is_not_held_against_a_drawn_key() -> None:
    """λ = 1 exactly, where both forms are equal, is almost never sampled."""
    form = {"choice": ["eq6", "train-weighted"]}
    for values, refused in (({"loguniform": [1, 10]}, False), ({"choice": [1, 10]}, True)):
        changes = {
            "set": {"update.order": 2},
            "parameters": {"update.second_order_form": form, "update.lambda": values},
            "searcher": "random",
        }
        if not refused:
            assert load_sweep("lambda", **changes)
            continue
        with pytest.raises(ConfigError, match=r"has no effect where update.lambda is 1"):
            load_sweep("lambda", **changes)


def test_a_fixed_key_needs_one_trial_of_the_sweep_that_reads_it(make_sweep: MakeSweep) -> None:
    rate = {"optimizer.alphas.learning_rate": 0.1}
    trials = {"trial": {"grid": ["rsps", "darts-1st"]}}
    assert make_sweep(trial=None, parameters=trials, set=rate)
    with pytest.raises(ConfigError, match=r"set has optimizer.alphas.learning_rate"):
        make_sweep(trial=None, parameters={"trial": {"grid": ["rsps"]}}, set=rate)
    with pytest.raises(ConfigError, match=r"set_in of 'rsps' has optimizer.alphas.learning_rate"):
        make_sweep(trial=None, parameters=trials, set_in={"rsps": rate})
    assert make_sweep(trial=None, parameters=trials, set_in={"darts-1st": rate})
    swept = {**trials, "optimizer.alphas.learning_rate": {"grid": [0.1, 0.2]}}
    with pytest.raises(
        ConfigError, match=r"add when: {update.level: \[single, bilevel, mixed, policy\]}"
    ):
        make_sweep(trial=None, parameters=swept)


def test_a_change_may_leave_a_fixed_key_of_the_file_without_effect(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    parameters = {"update.lambda": {"grid": [0, 1]}}
    fixed = {**GUMBEL, END: 0.5}
    content = {"trial": "milenas", "set": fixed, "parameters": parameters}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_sweep(path, set={"relaxation.kind": "softmax"})
    with pytest.raises(ConfigError, match=r"set has relaxation.smoothing.steps"):
        load_sweep(path, set={"relaxation.smoothing.steps": 2})


def test_a_sweep_of_an_earlier_version_is_resumed_as_it_was_started(tmp_path) -> None:
    sweep = load_sweep("lambda", seeds=1)
    swept = {END: {"grid": [0.1, 1]}}
    before = sweep.model_copy(update={"parameters": _parameters(swept)})
    Plan(Storage(str(tmp_path)), before, base_trials(before), State()).write()
    plan = read_plan(Storage(str(tmp_path)))
    assert len(resolve_trials(plan.sweep, plan.bases)) == 2


def _parameters(swept: dict[str, Any]) -> dict[str, Any]:
    return {key: Parameter.model_validate(values) for key, values in swept.items()}
