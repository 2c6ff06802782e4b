"""Another value of each key with conditions, and everything that a search ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tune_nas.config import TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search

Shrink = Callable[..., TrialConfig]

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
