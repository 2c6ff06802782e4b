"""The declared conditions of keys against the code: what a search reads, and what changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from supernet_trials import SUPERNET_TRIALS

from tune_nas.config import Section, TrialConfig, dotted_keys
from tune_nas.config.conditions import CONDITIONS, value_of
from tune_nas.config.effects import no_effect, set_keys
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, read_yaml, with_overrides
from tune_nas.search import Search
from tune_nas.shipped import find
from tune_nas.testing.states import differences
from tune_nas.user_code import declared_reads

Shrink = Callable[..., TrialConfig]
NAMES = SUPERNET_TRIALS
KEYS = list(dotted_keys(TrialConfig))

# Another value of each key with conditions; where a trial does not take it, no other is legal.
OTHER: dict[str, Any] = {
    "space.cells": 4,
    "benchmark.simulate": "cifar10",
    "data.module_dir": "elsewhere",
    "data.single_level": "all",
    "data.augment.crop_padding": 0,
    "data.augment.crop_scale": [0.5, 0.6],
    "relaxation.init": "uniform-weight",
    "relaxation.init_std": 0.5,
    "relaxation.weights": "uniform-path",
    "relaxation.temperature.start": 3.0,
    "relaxation.temperature.end": 0.7,
    "relaxation.smoothing.kind": "random",
    "relaxation.smoothing.start": 0.2,
    "relaxation.smoothing.end": 0.9,
    "relaxation.smoothing.steps": 2,
    "relaxation.partial_channels": 2,
    "relaxation.edge_normalization": True,
    "relaxation.flops_weight": 5.0,
    "relaxation.auxiliary_skip.end": 0.6,
    "relaxation.drop_path": 0.7,
    "relaxation.dropout.rate": 0.6,
    "relaxation.dropout.groups": None,
    "relaxation.flops_bound": 1.0,
    "relaxation.penalty.kind": "zero-one",
    "relaxation.penalty.weight": 5.0,
    "relaxation.unsampled": None,
    "relaxation.alphas": "probabilities",
    "relaxation.gradient": None,
    "relaxation.samples": 3,
    "relaxation.likelihood": "image",
    "relaxation.options": {"a": 1},
    "update.order": 2,
    "update.sequence": "simultaneous",
    "update.lambda": 0.2,
    "update.lambda_prime": 0.2,
    "update.hessian": "exact",
    "update.epsilon": 0.5,
    "update.unrolled_momentum": None,  # the opposite of the trial's
    "update.second_order_form": None,
    "update.alpha_batch": "separate",
    "update.weight_steps": 2,
    "update.warmup": 1,
    "update.policy.steps": 3,
    "update.policy.samples": 2,
    "update.policy.entropy_weight": 5.0,
    "update.policy.baseline_decay": 0.1,
    "update.policy.clip": 1e-4,
    "relaxation.controller.hidden": 8,
    "relaxation.controller.layers": 1,
    "relaxation.controller.logit_divisor": 0.1,
    "relaxation.controller.tanh_scale": 9.0,
    "optimizer.weights.learning_rate_min": 0.02,
    "optimizer.weights.nesterov": True,
    "optimizer.weights.unsampled": None,
    "optimizer.alphas.kind": "sgd",
    "optimizer.alphas.learning_rate": 0.1,
    "optimizer.alphas.betas": [0.1, 0.2],
    "optimizer.alphas.epsilon": 0.1,
    "optimizer.alphas.momentum": 0.1,
    "optimizer.alphas.weight_decay": 0.3,
    "optimizer.alphas.step_size": 0.7,
    "optimizer.alphas.step_rule": "regret",
    "optimizer.alphas.reward_bound": 1e-4,
    "schedule.greedy.history": 1,
    "schedule.carry_over": None,
    "schedule.stop.patience": 2,
    "schedule.eigenvalue.decay_factor": 3.0,
    "schedule.eigenvalue.max_decay": 0.001,
    "selection.max_skips": {"normal": 0},
    "selection.rank_by": "softmax",
    "selection.perturbation.edges": "one-by-one",
    "selection.perturbation.criterion": "loss",
    "selection.perturbation.order": "fixed",
    "selection.perturbation.interval": 3,
    "selection.perturbation.learning_rate_factor": 0.9,
    "selection.perturbation.batches": 2,
    "selection.sampled.candidates": None,
    "selection.sampled.genotypes": 2,
    "selection.sampled.batches": 2,
    "selection.options": {"a": 1},
    "benchmark.table": None,
    "retrain.learning_rate_min": 0.01,
    "retrain.lr_decay": 0.5,
    "retrain.lr_step_epochs": 2,
    "retrain.nesterov": True,
    "retrain.augment.crop_padding": 0,
    "retrain.augment.crop_scale": [0.5, 0.6],
}
SWAPPED: dict[str, Any] = {
    "relaxation.unsampled": {
        **dict.fromkeys(("auto", "left-out"), "as-numbers"),
        "as-numbers": "left-out",
    },
    "relaxation.gradient": {
        **dict.fromkeys(("full", "two", "importance"), "score"),
        "score": "full",
    },
    "relaxation.dropout.groups": {"parameters": "none", "none": "parameters"},
    "optimizer.weights.unsampled": {"keep": "update", "update": "keep"},
    "update.unrolled_momentum": {True: False, False: True},
    "update.second_order_form": {"eq6": "train-weighted", "train-weighted": "eq6"},
    "schedule.carry_over": {"weights": "none", "none": "weights"},
    "selection.sampled.candidates": {"uniform": "most-probable", "most-probable": "uniform"},
}

# Read, with no effect under the trial's conditions; the searches with other values prove it.
READ_IN_VAIN = {
    "space.cells",  # of a first supernet, which that of the first stage replaces
    "relaxation.partial_channels",
    "relaxation.init",  # `uniform-path` has an α that nothing depends on
    "relaxation.init_std",
    "relaxation.weights",  # with `uniform-path` only this one
    "relaxation.edge_normalization",
    "relaxation.flops_weight",  # where α does not decide the weights, or stays
    "relaxation.flops_bound",
    "relaxation.smoothing.kind",
    "relaxation.drop_path",  # 0 in a single epoch
    "relaxation.options",
    "selection.options",
    "update.order",
    "update.alpha_batch",
    "update.second_order_form",  # both forms are the same at λ = 1
    "update.unrolled_momentum",  # a phase sets it for all epochs of second order
    "update.weight_steps",
    "update.warmup",
    "optimizer.weights.learning_rate_min",  # a cosine of one epoch
    "optimizer.weights.unsampled",  # where every operation is sampled
    "selection.rank_by",  # where α is ranked as softmax
    "optimizer.alphas.kind",  # an optimizer that is made and never steps
    "optimizer.alphas.learning_rate",
    "optimizer.alphas.betas",
    "optimizer.alphas.epsilon",
    "optimizer.alphas.weight_decay",
    "optimizer.alphas.step_size",  # where `regret` has put another one in its place
    "schedule.greedy.history",  # kept for criterion 2 alone
}
# Keys of data are those of `check_data_keys`, which knows what each data set uses.
_OF_DATA = {"data.dir", "data.download", "data.layout", "data.fit", "data.background"}
_OF_DATA |= {"data.streaming", "data.workers"}
OF_OTHERS = ("retrain.", "analysis.")  # sections of other tasks
_OF_RETRAINING = {"runtime.compile", "runtime.workers"}
NOT_READ_BY_A_SEARCH = {"name", "description", *_OF_RETRAINING, *_OF_DATA}


def plain_sgd(parameters: list[torch.Tensor], config: Any) -> torch.optim.Optimizer:
    """A custom optimizer, which goes with α of any kind."""
    return torch.optim.SGD(parameters, lr=config.learning_rate)


def ineffective(trial: TrialConfig) -> list[str]:
    return [key for key in KEYS if no_effect(trial, key, declared_reads)]


def in_absent_section(trial: TrialConfig, key: str) -> bool:
    section = key.rpartition(".")[0]
    return bool(section) and value_of(trial.to_dict(), section) is None


@contextmanager
def recorded_reads(trial: TrialConfig) -> Iterator[set[str]]:
    """Record the dotted keys of a trial that are read as attributes."""
    reads: set[str] = set()
    paths: dict[Any, str] = {}  # by instance, and by class: phases make updates of their own

    def note(model: Section, path: str) -> None:
        paths[id(model)] = paths[type(model)] = path
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, Section):
                note(value, f"{path}{field.alias or name}.")

    note(trial, "")
    original = Section.__getattribute__

    def recording(model: Section, name: str) -> Any:
        field = type(model).model_fields.get(name)
        path = paths.get(id(model), paths.get(type(model)))
        if field is not None and path is not None:
            reads.add(f"{path}{field.alias or name}")
        return original(model, name)

    Section.__getattribute__ = recording  # type: ignore[method-assign]
    try:
        yield reads
    finally:
        Section.__getattribute__ = original  # type: ignore[method-assign]


def run(trial: TrialConfig) -> dict[str, Any]:
    """Run a search and return everything that it ends with, without its settings."""
    search = Search(trial)
    while not search.done:
        search.run_epoch()
    state = search.state_dict()
    state["optimisers"].pop("trained", None)  # a note for `optimizer.weights.unsampled` alone
    genotype = search.genotype.to_yaml()
    return {**{k: v for k, v in state.items() if k not in ("trial", "rules")}, "genotype": genotype}


def changed(trial: TrialConfig, keys: list[str]) -> tuple[TrialConfig, list[str]]:
    """Return a trial with other values of keys, and those keys that take another one."""
    taken = []
    for key in keys:
        own = value_of(trial.to_dict(), key)
        value = SWAPPED[key][own] if key in SWAPPED else OTHER[key]
        try:
            other = with_overrides(trial, {key: value})
        except ConfigError:
            continue
        if value_of(other.to_dict(), key) != own:
            trial = other
            taken.append(key)
    return trial, taken


def test_every_condition_is_of_a_key_and_has_another_value_here() -> None:
    for key in CONDITIONS:
        inside = [leaf for leaf in KEYS if f"{leaf}.".startswith(f"{key}.")]
        assert inside, key
        assert set(inside) <= OTHER.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_search_reads_the_declared_keys_and_the_others_change_no_bit(
    name: str, shrink: Shrink
) -> None:
    trial = shrink(name)
    without = ineffective(trial)
    with recorded_reads(trial) as reads:
        one = run(trial)
    assert reads & set(without) <= READ_IN_VAIN
    of_search = {key for key in KEYS if not key.startswith(OF_OTHERS)} - NOT_READ_BY_A_SEARCH
    unread = of_search - set(without) - reads
    assert {key for key in unread if not in_absent_section(trial, key)} == set()

    rules = trial.schedule.greedy, trial.schedule.wipe_out
    if trial.selection.kind in ("greedy", "perturbation") or any(rules):
        # Weights of operations that were taken out stay or move on; nothing runs them again.
        without.remove("optimizer.weights.unsampled")
        moved = run(changed(trial, ["optimizer.weights.unsampled"])[0])
        for part in ("history", "alphas", "genotype"):
            assert differences(one[part], moved[part]) == []
    other, taken = changed(trial, [key for key in without if not in_absent_section(trial, key)])
    assert len(taken) >= 8
    two = run(other)
    if trial.relaxation.kind == "uniform-path":  # its α is drawn and stays; nothing depends on it
        for state in (one, two):
            for key in ("alphas", "alpha_history"):
                state.pop(key)
            for metrics in state["history"]:
                metrics.pop("skip_advantage", None)
                metrics.pop("learning_rate/alphas")
            state["optimisers"].pop("alphas")
    assert differences(one, two) == []


# key -> a trial, and what it needs for the key to have an effect; the other value is that of OTHER
EFFECTIVE: dict[str, tuple[str, dict[str, Any]]] = {
    "space.cells": ("darts-1st", {}),
    "data.single_level": ("single-level", {"data.single_level": "train"}),
    "data.augment.crop_padding": ("darts-1st", {}),
    "relaxation.init": ("darts-1st", {}),
    "relaxation.init_std": ("darts-1st", {}),
    "relaxation.weights": ("darts-1st", {}),
    "relaxation.temperature.start": ("gdas", {}),
    "relaxation.temperature.end": ("snas", {}),
    "relaxation.smoothing.kind": ("darts-1st", {}),
    "relaxation.smoothing.start": ("sdarts-rs", {}),
    "relaxation.smoothing.end": ("sdarts-rs", {}),
    "relaxation.smoothing.steps": ("sdarts-adv", {}),
    "relaxation.partial_channels": ("darts-1st", {}),
    "relaxation.edge_normalization": ("darts-1st", {}),
    "relaxation.flops_weight": ("darts-1st", {}),
    "relaxation.auxiliary_skip.end": ("darts-minus", {}),
    "relaxation.drop_path": ("r-darts-dp", {}),
    "relaxation.dropout.rate": ("dropnas", {}),
    "relaxation.dropout.groups": ("dropnas", {}),
    "relaxation.flops_bound": ("darts-1st", {"relaxation.flops_weight": 5.0}),
    "relaxation.penalty.kind": ("single-level", {}),
    "relaxation.penalty.weight": ("fairdarts", {}),
    "relaxation.unsampled": ("gdas", {}),
    "relaxation.alphas": ("gdas", {"optimizer.alphas.kind": "test_effects:plain_sgd"}),
    "relaxation.gradient": ("dsnas", {}),
    "relaxation.samples": ("parsec", {}),
    "relaxation.likelihood": ("parsec", {}),
    "update.order": ("darts-1st", {}),
    "update.sequence": ("darts-1st", {}),
    "update.lambda": ("milenas", {}),
    "update.lambda_prime": ("milenas", {"update.lambda": None}),
    "update.hessian": ("darts-2nd", {}),
    "update.epsilon": ("darts-2nd", {}),
    "update.unrolled_momentum": ("darts-2nd", {}),
    "update.second_order_form": ("milenas-2nd", {"update.lambda": 0.2}),
    "update.alpha_batch": ("single-level", {}),
    "update.weight_steps": ("darts-1st", {"schedule.steps_per_epoch": 2}),
    "update.warmup": ("darts-1st", {}),
    "update.policy.steps": ("enas", {}),
    "update.policy.samples": ("enas", {}),
    "update.policy.entropy_weight": ("enas", {}),
    "update.policy.baseline_decay": ("enas", {}),
    "update.policy.clip": ("enas", {}),
    "relaxation.controller.hidden": ("enas", {}),
    "relaxation.controller.layers": ("enas", {}),
    "relaxation.controller.logit_divisor": ("enas", {}),
    "relaxation.controller.tanh_scale": ("enas", {}),
    "optimizer.weights.learning_rate_min": ("darts-1st", {}),
    "optimizer.weights.nesterov": ("darts-1st", {}),
    "optimizer.weights.unsampled": ("gdas", {}),
    "optimizer.alphas.kind": ("darts-1st", {}),
    "optimizer.alphas.learning_rate": ("darts-1st", {}),
    "optimizer.alphas.betas": ("darts-1st", {}),
    "optimizer.alphas.epsilon": ("darts-1st", {}),
    "optimizer.alphas.momentum": ("darts-1st", {"optimizer.alphas.kind": "sgd"}),
    "optimizer.alphas.weight_decay": ("darts-1st", {}),
    "optimizer.alphas.step_size": ("gaea-bilevel", {}),
    "optimizer.alphas.step_rule": ("gaea-bilevel", {"optimizer.alphas.reward_bound": 1.0}),
    "optimizer.alphas.reward_bound": ("gaea-bilevel", {}),
    "schedule.carry_over": ("drnas-progressive", {}),
    "schedule.stop.patience": ("darts-1st", {"schedule.stop.skips": {"normal": 1}}),
    "schedule.eigenvalue.decay_factor": ("r-darts-ada", {}),
    "schedule.eigenvalue.max_decay": ("r-darts-ada", {}),
    "selection.max_skips": ("darts-1st", {}),
    "selection.perturbation.criterion": ("darts-pt", {}),
    "selection.perturbation.order": ("darts-pt", {}),
    "selection.perturbation.interval": ("darts-pt", {}),
    "selection.perturbation.learning_rate_factor": ("darts-pt", {}),
    "selection.perturbation.batches": ("darts-pt", {}),
    "selection.sampled.candidates": ("setn", {}),
    "selection.sampled.genotypes": ("rsps", {}),
    "selection.sampled.batches": ("rsps", {}),
}


# What a search of the tests cannot show: own parts and data sets, the table, downloads and
# retraining. For the history of criterion 2 see tests/search/test_rules_greedy.py: a few epochs
# decide the same. For the ranking of edges see tests/search/test_rank_by.py; for how they are
# judged, which key says, test_perturbation_edges.py.
ELSEWHERE = {
    *("schedule.greedy.history", "selection.rank_by", "selection.perturbation.edges"),
    *("relaxation.options", "selection.options", "data.module_dir", "benchmark.table"),
    "benchmark.simulate",  # of black-box searches: tests/candidates/test_table_trainer.py
    *("retrain.learning_rate_min", "retrain.nesterov"),
    *("retrain.lr_decay", "retrain.lr_step_epochs"),  # tests/retrain/test_recipes.py
    # tests/data/test_streaming.py and test_random_image.py; a search has no resized crops
    *("retrain.augment.crop_padding", "retrain.augment.crop_scale", "data.augment.crop_scale"),
}


def test_every_key_with_conditions_is_shown_to_have_an_effect() -> None:
    assert EFFECTIVE.keys() | ELSEWHERE == OTHER.keys()


@pytest.mark.parametrize("key", EFFECTIVE)
def test_another_value_of_a_key_with_effect_changes_the_search(key: str, shrink: Shrink) -> None:
    name, needed = EFFECTIVE[key]
    trial = shrink(name, **needed)
    assert no_effect(trial, key, declared_reads) is None
    other, taken = changed(trial, [key])
    assert taken == [key]
    found = {where.split(".")[1].split("[")[0] for where in _differences(run(trial), run(other))}
    assert found & {"supernet", "history", "selection", "genotype"}


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    try:
        return differences(one, other)
    except AssertionError:  # another number of epochs, or of weights
        return ["state.supernet"]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_trials_give_no_key_without_effect(name: str) -> None:
    trial = load_trial(name)
    given = [key for key, _ in set_keys(read_yaml(find("trial", name)))]
    found = [key for key in given if no_effect(trial, key, declared_reads)]
    # Both forms are the same at λ = 1, which these have; at another λ the form is theirs.
    at_other_lambda = ["update.second_order_form"] if name.startswith("milenas-2nd") else []
    assert found == at_other_lambda


def test_an_own_part_reads_what_it_declares_or_else_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "from tune_nas.search.relaxation.plain import Softmax\n\n\n"
    own += "class Silent(Softmax):\n    pass\n\n\n"
    own += "class Declared(Softmax):\n    reads = ('relaxation.temperature',)\n"
    (tmp_path / "parts_that_read.py").write_text(own, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    end, steps = "relaxation.temperature.end", "relaxation.smoothing.steps"

    def refused(kind: str, key: str) -> bool:
        trial = load_trial("darts-1st", {"relaxation.kind": f"parts_that_read:{kind}"})
        return no_effect(trial, key, declared_reads) is not None

    assert not refused("Silent", end) and not refused("Silent", steps)
    assert not refused("Declared", end) and refused("Declared", steps)
    assert not refused("Declared", "relaxation.init")  # every relaxation does
