"""The shipped trials hold the numbers of the papers and of their authors' code, typed anew here."""

from __future__ import annotations

from typing import Any

import pytest
from supernet_trials import STRATEGY_TRIALS, SUPERNET_TRIALS

from tune_nas.config import TrialConfig, scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.shipped import shipped_names

# relaxation, level, order, sequence, selection | epochs, batch | rate of w, its end; rate of α
SHIPPED: dict[str, tuple[Any, ...]] = {
    "darts-1st": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-2nd": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-es": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "r-darts-ada": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "single-level": ("sigmoid", "single", 1, "both", "magnitude", 50, 64, 0.005, 0.0, 3e-4),
    "milenas": ("softmax", "mixed", 1, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-code": ("softmax", "mixed", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-2nd": ("softmax", "mixed", 2, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "milenas-2nd-code": ("softmax", "mixed", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "bilevel-then-milenas": ("softmax", "mixed", 1, "w α", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "bilevel-then-milenas-code": (
        *("softmax", "mixed", 1, "α w", "magnitude"),
        *(50, 64, 0.025, 0.001, 3e-4),
    ),
    "gdas": ("gumbel", "bilevel", 1, "w α", "magnitude", 250, 256, 0.025, 0.001, 3e-4),
    "gdas-code": ("gumbel", "bilevel", 1, "w α", "magnitude", 250, 64, 0.025, 0.001, 3e-4),
    "milenas-gumbel": ("gumbel", "mixed", 1, "w α", "magnitude", 250, 256, 0.025, 0.001, 3e-4),
    "milenas-gumbel-code": ("gumbel", "mixed", 1, "α w", "magnitude", 300, 128, 0.025, 0.001, 3e-4),
    "snas": ("concrete", "single", 1, "both", "magnitude", 150, 64, 0.025, 0.001, 3e-4),
    "darts-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-rs": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-adv": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "sdarts-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "sgas": ("softmax", "bilevel", 1, "α w", "greedy", 50, 64, 0.025, 0.001, 3e-4),
    "sgas-pt": ("softmax", "bilevel", 1, "α w", "perturbation", 50, 64, 0.025, 0.001, 3e-4),
    "pc-darts": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 256, 0.1, 0.0, 6e-4),
    "p-darts": ("softmax", "bilevel", 1, "α w", "magnitude", 75, 96, 0.025, 0.0, 6e-4),
    "p-darts-code": ("softmax", "bilevel", 1, "α w", "magnitude", 75, 96, 0.025, 0.0, 6e-4),
    "drnas": ("dirichlet", "bilevel", 1, "α w", "magnitude", 100, 64, 0.025, 0.001, 3e-4),
    "drnas-progressive": ("dirichlet", "bilevel", 1, "α w", "magnitude", 50, 64, 0.1, 0.0, 6e-4),
    "drnas-code": ("dirichlet", "bilevel", 1, "α w", "magnitude", 100, 64, 0.025, 0.001, 3e-4),
    "drnas-progressive-code": (
        *("dirichlet", "bilevel", 1, "α w", "magnitude"),
        *(50, 64, 0.1, 0.0, 6e-4),
    ),
    "fairdarts": ("sigmoid", "bilevel", 1, "α w", "magnitude", 50, 128, 0.005, 0.001, 3e-3),
    "gaea-bilevel": ("simplex", "bilevel", 1, "α w", "magnitude", 25, 64, 0.025, 0.013, 0.1),
    "gaea-erm": ("simplex", "single", 1, "α w", "magnitude", 25, 64, 0.025, 0.013, 0.1),
    "gaea-pc-darts": ("simplex", "bilevel", 1, "α w", "magnitude", 50, 256, 0.1, 0.0, 0.1),
    "gaea-gdas": ("gumbel", "bilevel", 1, "α w", "magnitude", 250, 64, 0.025, 0.001, 0.01),
    "xnas": ("simplex", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, None),
    "dsnas": ("categorical", "single", 1, "both", "magnitude", 240, 1024, 0.5, 0.0, 1e-3),
    "proxylessnas": ("categorical", "bilevel", 1, "w α", "magnitude", 120, 64, 0.025, 0.0, 1e-3),
    "parsec": ("categorical", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-minus": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "r-darts-dp": ("softmax", "bilevel", 2, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "dropnas": ("dropout", "single", 1, "both", "magnitude", 76, 96, 0.0375, 0.0015, 3e-4),
    "rsps": ("uniform-path", "none", 1, None, "sampled", 100, 64, 0.025, 0.001, None),
    "darts-plus": ("softmax", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "darts-plus-ranking": (
        *("softmax", "bilevel", 1, "α w", "magnitude"),
        *(50, 64, 0.025, 0.001, 3e-4),
    ),
    "stacnas": ("softmax", "single", 1, "both", "magnitude", 160, 64, 0.025, 0.001, 3e-4),
    "nasp": ("proximal", "bilevel", 1, "α w", "magnitude", 50, 64, 0.025, 0.001, 3e-4),
    "setn": ("softmax", "bilevel", 1, "w α", "sampled", 250, 64, 0.025, 0.001, 3e-4),
    "enas": ("controller", "policy", 1, "α w", "sampled", 250, 128, 0.05, 0.0005, 1e-3),
}
# kind, budget, levels
STRATEGIES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "random-search": ("random", 300, (12,)),
    "regularized-evolution": ("evolution", 300, (12,)),
    "local-search": ("local-search", 300, (12,)),
    "successive-halving": ("successive-halving", 300, (3, 6, 12)),
    "asha-genotypes": ("asha", 300, (3, 6, 12)),
    "rank-nosh": ("rank-nosh", 292, (3, 6, 12)),
    "bananas": ("rank-nosh", 300, (12,)),
}
SEQUENCES = {"alphas-first": "α w", "weights-first": "w α", "simultaneous": "both"}

# What else the method is made of: dotted key -> value.
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
OWN_RETRAIN = (
    *("pc-darts", "gaea-pc-darts", "p-darts", "p-darts-code", "dropnas"),
    *("drnas", "drnas-code", "drnas-progressive", "drnas-progressive-code"),
)


def value_of(trial: TrialConfig, key: str) -> Any:
    value: Any = trial.to_dict()
    for part in key.split("."):
        value = value[part]
    return value


def _rate(trial: TrialConfig) -> float | None:
    """Return α's learning rate, or the size of its multiplicative steps if it is given."""
    alphas = trial.optimizer.alphas
    if alphas.kind != "exponentiated":
        return alphas.learning_rate
    return alphas.step_size if alphas.step_rule == "constant" else None


def test_every_shipped_trial_is_listed_here() -> None:
    assert sorted(SHIPPED) == SUPERNET_TRIALS
    assert sorted(STRATEGIES) == STRATEGY_TRIALS


@pytest.mark.parametrize("name", STRATEGIES)
def test_shipped_strategies_have_one_budget_and_space(name: str) -> None:
    trial = load_trial(name)
    assert trial.strategy is not None and trial.description
    kind, budget, levels = STRATEGIES[name]
    assert (trial.strategy.kind, trial.strategy.budget, trial.strategy.levels) == (
        *(kind, budget),
        levels,
    )
    assert (trial.space.name, trial.data.name) == ("nasbench201", "digits")
    assert trial.retrain.recipe == "nasbench201"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_trials_are_the_papers(name: str) -> None:
    trial = load_trial(name)
    update, optimizer, schedule = trial.update, trial.optimizer, trial.schedule
    moves = update.level != "none"
    assert SHIPPED[name] == (
        trial.relaxation.kind,
        update.level,
        update.order,
        SEQUENCES[update.sequence] if moves else None,
        trial.selection.kind,
        schedule.epochs,
        schedule.batch_size,
        optimizer.weights.learning_rate,
        optimizer.weights.learning_rate_min,
        _rate(trial) if moves else None,
    )
    particulars = PARTICULARS.get(name, {})
    assert {key: value_of(trial, key) for key in particulars} == particulars
    assert trial.data.name == "digits"
    assert (trial.retrain == TrialConfig().retrain) == (name not in OWN_RETRAIN)
    assert trial.description


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


@pytest.mark.parametrize("epochs", [6, 24, 50, 300])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_trial_can_be_scaled(name: str, epochs: int) -> None:
    trial = load_trial(name)
    shorter = with_overrides(trial, scaled(trial.to_dict(), epochs))
    assert shorter.schedule.epochs == epochs
    assert len(shorter.schedule.stages) == len(trial.schedule.stages)


@pytest.mark.parametrize("name", shipped_names("trial"))
def test_augmentation_is_stated_for_the_papers_images(name: str) -> None:
    """On smaller images it scales, and what is mirrored is the data set's to say."""
    trial = load_trial(name)
    searched = [trial.data.augment] if trial.strategy is None else []  # candidates: `retrain`
    for augment in (*searched, trial.retrain.augment):
        assert (augment.flip, augment.reference_size) == ("auto", 32)
