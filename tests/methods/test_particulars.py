"""What each shipped method has besides its row in test_shipped_trials.py, typed a second time."""

from __future__ import annotations

from typing import Any

import pytest

from tune_nas.config import TrialConfig
from tune_nas.library import load_trial

# trial -> dotted key -> value
PARTICULARS: dict[str, dict[str, Any]] = {
    "darts-2nd": {"update.unrolled_momentum": True, "update.epsilon": 0.01},
    "darts-es": {
        "space.name": "s1",
        "schedule.eigenvalue": {
            **{"action": "stop", "every": 2, "window": 5, "lag": 4, "factor": 1.3, "start": 10},
            **{"batches": 1, "decay_factor": 10.0, "max_decay": 0.03},
        },
    },
    "r-darts-ada": {
        "space.name": "s1",
        "optimizer.weights.weight_decay": 3e-4,
        "schedule.eigenvalue": {
            **{"action": "roll-back", "every": 2, "window": 5, "lag": 4, "factor": 1.3},
            **{"start": 10, "batches": 1, "decay_factor": 10.0, "max_decay": 0.03},
        },
    },
    "single-level": {"optimizer.alphas.weight_decay": 0.0, "data.single_level": "all"},
    "milenas": {"update.lambda": 1.0, "optimizer.weights.clip": 5.0},
    "milenas-code": {"update.lambda": 1.0, "optimizer.weights.clip": 0.0},
    "milenas-2nd": {"update.second_order_form": "eq6", "update.unrolled_momentum": False},
    "milenas-2nd-code": {
        "update.second_order_form": "train-weighted",
        "optimizer.weights.clip": 0.0,
    },
    "gdas": {
        "relaxation.temperature": {"start": 10.0, "end": 0.1},
        "relaxation.unsampled": "auto",
        "optimizer.weights.unsampled": "keep",
    },
    "gdas-code": {
        "space.name": "nasbench201",
        "optimizer.weights.nesterov": True,
        "optimizer.weights.weight_decay": 5e-4,
        "optimizer.weights.unsampled": "update",
        "relaxation.unsampled": "auto",
    },
    "milenas-gumbel": {
        "update.lambda": 1.0,
        "relaxation.temperature": {"start": 10.0, "end": 0.1},
    },
    "milenas-gumbel-code": {
        "relaxation.temperature": {"start": 10.0, "end": 1.03},
        "optimizer.weights.unsampled": "update",
    },
    "snas": {
        "space.name": "darts-all-edges",
        "relaxation.temperature": {"start": 1.0, "end": 0.03},
    },
    "darts-pt": {
        "space.name": "darts-no-none",
        "selection.perturbation.interval": 5,
        "selection.perturbation.criterion": "accuracy",
        "selection.perturbation.order": "random",
        "selection.perturbation.edges": "alone",
        "selection.perturbation.learning_rate_factor": 0.1,
    },
    "sdarts-rs": {
        "relaxation.smoothing": {"kind": "random", "start": 0.03, "end": 0.3, "steps": 7}
    },
    "sdarts-adv": {"relaxation.smoothing.kind": "adversarial", "relaxation.smoothing.steps": 7},
    "sdarts-pt": {
        "space.name": "darts-no-none",
        "relaxation.smoothing.kind": "random",
        "selection.perturbation.edges": "alone",
    },
    "sgas": {
        "schedule.greedy": {
            **{"criterion": 1, "warmup": 9, "every": 5},
            **{"batch_growth": 8, "history": 4, "prune": True},
        }
    },
    "sgas-pt": {"schedule.greedy.warmup": 9, "schedule.greedy.every": 5},
    "pc-darts": {
        "update.warmup": 15,
        "relaxation.partial_channels": 4,
        "relaxation.edge_normalization": True,
        "retrain.drop_path": 0.3,
    },
    "p-darts": {
        "update.warmup": 10,
        "schedule.carry_over": "none",
        "selection.max_skips": {"normal": 2},
        "retrain.batch_size": 128,
    },
    "drnas-progressive": {
        "update.warmup": 10,
        "schedule.carry_over": "weights",
        "space.init_channels": 36,
        "space.cells": 20,
        "retrain.batch_size": 64,
    },
    "drnas": {"selection.rank_by": "weights"},
    "drnas-code": {"selection.rank_by": "softmax", "space.name": "darts-no-none"},
    "drnas-progressive-code": {
        "selection.rank_by": "softmax",
        "update.warmup": 10,
        "schedule.carry_over": "weights",
        "space.init_channels": 36,
        "space.cells": 20,
    },
    "fairdarts": {
        "space.name": "darts-no-none",
        "relaxation.penalty": {"kind": "zero-one", "weight": 10.0},
        "optimizer.alphas.betas": (0.9, 0.999),
    },
    "gaea-bilevel": {
        "space.name": "nasbench201",
        "space.init_channels": 24,
        "optimizer.alphas.kind": "exponentiated",
        "optimizer.alphas.weight_decay": 0.0,
        "optimizer.alphas.reward_bound": None,
    },
    "gaea-erm": {
        "space.name": "nasbench201",
        "space.init_channels": 24,
        "data.single_level": "all",
        "optimizer.alphas.kind": "exponentiated",
        "optimizer.alphas.weight_decay": 0.0,
        "update.alpha_batch": "separate",
    },
    "gaea-pc-darts": {
        "space.name": "darts",
        "update.warmup": 0,
        "relaxation.partial_channels": 4,
        "relaxation.edge_normalization": True,
        "optimizer.alphas.weight_decay": 0.0,
        "retrain.drop_path": 0.3,
    },
    "gaea-gdas": {
        "space.name": "nasbench201",
        "space.init_channels": 24,
        "optimizer.weights.weight_decay": 3e-4,
        "optimizer.weights.nesterov": False,
        "relaxation.alphas": "probabilities",
        "relaxation.temperature": {"start": 10.0, "end": 0.1},
        "optimizer.alphas.kind": "exponentiated",
        "optimizer.alphas.weight_decay": 0.01,
        "update.warmup": 50,
    },
    "xnas": {
        "space.name": "darts",
        "optimizer.alphas.step_rule": "regret",
        "optimizer.alphas.reward_bound": 1.0,
        "optimizer.alphas.weight_decay": 0.0,
        "schedule.wipe_out": {"factor": 1.0},
    },
    "dsnas": {
        "space.name": "darts-all-edges",
        "relaxation.gradient": "score",
        "relaxation.init_std": 0.01,
        "optimizer.alphas.betas": (0.5, 0.999),
        "schedule.early_fixing": {"gap": 0.3},
        "optimizer.alphas.weight_decay": 0.0,
    },
    "proxylessnas": {
        "relaxation.gradient": "two",
        "update.weight_steps": 5,
        "update.warmup": 40,
        "optimizer.alphas.betas": (0.0, 0.999),
        "optimizer.alphas.weight_decay": 0.0,
        "optimizer.weights.weight_decay": 4e-5,
        "optimizer.weights.nesterov": True,
        "optimizer.weights.clip": 0.0,
    },
    "parsec": {
        "relaxation.gradient": "importance",
        "relaxation.samples": 8,
        "relaxation.likelihood": "batch",
        "optimizer.alphas.weight_decay": 0.0,
    },
    "darts-minus": {
        "relaxation.auxiliary_skip": {"start": 1.0, "end": 0.0},
        "space.name": "darts",
        "data.augment.cutout": 0,
    },
    "r-darts-dp": {
        "relaxation.drop_path": 0.2,
        "space.name": "s1",
        "data.augment.cutout": 16,
        "update.unrolled_momentum": True,
    },
    "dropnas": {
        "relaxation.dropout": {"rate": 3e-5, "groups": "parameters"},
        "data.single_level": "all",
        "space.init_channels": 16,
        "space.cells": 14,
        "optimizer.weights.clip": 3.0,
        "optimizer.weights.weight_decay": 3e-4,
        "optimizer.alphas.weight_decay": 1e-3,
        "optimizer.alphas.betas": (0.5, 0.999),
        "retrain.batch_size": 192,
        "retrain.learning_rate": 0.05,
    },
    "rsps": {"selection.sampled": {"candidates": "uniform", "genotypes": 100, "batches": 1}},
    "darts-plus": {
        "schedule.stop": {
            **{"convolutions": {}, "skips": {"normal": 2}},
            **{"settled": None, "patience": 1},
        }
    },
    "darts-plus-ranking": {
        "schedule.stop": {"convolutions": {}, "skips": {}, "settled": 10, "patience": 1}
    },
    "stacnas": {
        "data.single_level": "all",
        "schedule.carry_over": "none",
        "optimizer.weights.clip": 3.0,
        "optimizer.alphas.weight_decay": 1e-3,
    },
    "nasp": {"relaxation.init": "half", "optimizer.alphas.weight_decay": 1e-3},
    "setn": {
        "space.name": "nasbench201",
        "relaxation.weights": "uniform-path",
        "selection.sampled": {"candidates": "most-probable", "genotypes": 100, "batches": 1},
        "optimizer.weights.nesterov": True,
        "optimizer.weights.weight_decay": 5e-4,
        "optimizer.alphas.weight_decay": 1e-3,
    },
    "enas": {
        "space.name": "nasbench201",
        "relaxation.controller": {
            **{"hidden": 32, "layers": 2},
            **{"logit_divisor": 5.0, "tanh_scale": 2.5},
        },
        "update.policy": {
            **{"steps": 50, "samples": 20, "clip": 5.0},
            **{"entropy_weight": 1e-4, "baseline_decay": 0.99},
        },
        "optimizer.weights.weight_decay": 2.5e-4,
        "optimizer.weights.clip": 5.0,
        "optimizer.alphas.betas": (0.0, 0.999),
        "optimizer.alphas.epsilon": 1e-3,
        "optimizer.alphas.weight_decay": 0.0,
        "selection.sampled": {"candidates": "uniform", "genotypes": 100, "batches": 1},
    },
}


def value_of(trial: TrialConfig, key: str) -> Any:
    value: Any = trial.to_dict()
    for part in key.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("name", PARTICULARS)
def test_the_particulars_are_the_papers(name: str) -> None:
    trial, particulars = load_trial(name), PARTICULARS[name]
    assert {key: value_of(trial, key) for key in particulars} == particulars


def test_the_switch_is_at_epoch_35() -> None:
    update = load_trial("bilevel-then-milenas").update
    assert [update.in_epoch(epoch).level for epoch in (0, 34, 35, 49)] == [
        *("bilevel", "bilevel"),
        *("mixed", "mixed"),
    ]
    code = load_trial("bilevel-then-milenas-code").update
    assert (code.in_epoch(34).order, code.in_epoch(35).order) == (2, 1)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        # epochs, cells, K, operations (None: all), dropout on skips
        ("p-darts", [(25, 5, None, None, 0.0), (25, 11, None, 5, 0.4), (25, 17, None, 3, 0.7)]),
        (
            "p-darts-code",
            [(25, 5, None, None, 0.1), (25, 11, None, 5, 0.4), (25, 17, None, 3, 0.7)],
        ),
        ("stacnas", [(80, 14, None, None, 0.0), (80, 20, None, None, 0.0)]),
        ("drnas-progressive", [(25, None, 6, None, 0.0), (25, None, 4, 4, 0.0)]),
        ("drnas-progressive-code", [(25, None, 6, None, 0.0), (25, None, 4, 4, 0.0)]),
    ],
)
def test_the_stages_are_the_papers(name: str, stages: list[tuple[Any, ...]]) -> None:
    assert stages == [
        (stage.epochs, stage.cells, stage.partial_channels, stage.operations, stage.skip_dropout)
        for stage in load_trial(name).schedule.stages
    ]
