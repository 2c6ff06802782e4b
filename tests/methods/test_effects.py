"""The declared conditions of keys: what changes a search."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from other_values import OTHER, Shrink, changed, run
from supernet_trials import SUPERNET_TRIALS

from tune_nas.config.effects import no_effect, set_keys
from tune_nas.library import load_trial, read_yaml
from tune_nas.shipped import find
from tune_nas.testing.states import differences
from tune_nas.user_code import declared_reads


def plain_sgd(parameters: list[torch.Tensor], config: Any) -> torch.optim.Optimizer:
    """A custom optimizer, which goes with α of any kind."""
    return torch.optim.SGD(parameters, lr=config.learning_rate)


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


@pytest.mark.parametrize("name", SUPERNET_TRIALS)
def test_shipped_trials_give_no_key_without_effect(name: str) -> None:
    trial = load_trial(name)
    given = [key for key, _ in set_keys(read_yaml(find("trial", name)))]
    found = [key for key in given if no_effect(trial, key, declared_reads)]
    # Both forms are the same at λ = 1, which these have; at another λ the form is theirs.
    at_other_lambda = ["update.second_order_form"] if name.startswith("milenas-2nd") else []
    assert found == at_other_lambda
