"""How long two searches are the same: what is declared is run, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from branching_pairs import (
    EPOCHS,
    PT,
    SAMPLED,
    STAGES,
    WARM,
    assert_branch,
    differ_in_w_or_alpha,
    pair,
    run_on,
)
from searching import small_trial
from torch import nn

from tune_nas.library import load_trial, with_overrides
from tune_nas.search.relaxation.plain import Softmax
from tune_nas.search.so_far import (
    Course,
    deciding_text,
    has_own_parts,
    runs_own_code,
    shared_epochs,
)

GREEDY = {"schedule.epochs": 8, "schedule.greedy.warmup": 1, "schedule.greedy.every": 2}
EIGENVALUE = {
    "schedule.eigenvalue.every": 1,
    "schedule.eigenvalue.window": 1,
    "schedule.eigenvalue.lag": 1,
    "schedule.eigenvalue.start": 1,
    "schedule.eigenvalue.factor": 1e9,
}
CONSTANT = {"optimizer.weights.learning_rate_min": 0.025}

# What a search has, what another one has instead, and for how many epochs they are the same.
SAME: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    # The selection acts when the search epochs are over,
    ({}, {"selection.max_skips": {"normal": 0, "reduction": 0}}, EPOCHS),
    ({}, PT, EPOCHS),
    (PT, {"selection.perturbation.criterion": "loss"}, EPOCHS),
    (SAMPLED, {"selection.sampled.genotypes": 2}, EPOCHS),
    ({"relaxation.edge_normalization": True}, SAMPLED, EPOCHS),
    ({"relaxation.edge_normalization": True, **SAMPLED}, {"selection.kind": "magnitude"}, EPOCHS),
    ({"schedule.stages": STAGES}, PT, EPOCHS),
    # except where the search asks it.
    (GREEDY, {"selection.kind": "greedy"}, 8),
    (GREEDY, PT, 1),
    ({**GREEDY, **PT}, {"selection.perturbation.criterion": "loss"}, 1),
    ({**WARM, "schedule.stop.skips": {"normal": 2}}, PT, 2),
    ({**WARM, "schedule.lr_rule.share": 0.3}, PT, 2),
    # α's settings act when its warm-up is over,
    (WARM, {"update.level": "mixed"}, 2),
    (WARM, {"update.level": "single"}, 2),
    (WARM, {"update.order": 2}, 2),
    (WARM, {"update.sequence": "weights-first"}, 2),
    ({**WARM, "schedule.steps_per_epoch": 2}, {"update.weight_steps": 2}, 2),
    (WARM, {"optimizer.alphas.learning_rate": 0.2}, 2),
    (WARM, {"optimizer.alphas.weight_decay": 0.5}, 2),
    (WARM, {"optimizer.alphas.betas": [0.1, 0.2]}, 2),
    (WARM, {"optimizer.alphas.kind": "sgd"}, 2),
    (WARM, {"relaxation.flops_weight": 5.0}, 2),
    (WARM, {"update.warmup": 1}, 1),
    (WARM, {"update.warmup": 3, **PT, "optimizer.alphas.kind": "sgd"}, 2),
    ({**WARM, "relaxation.kind": "dirichlet"}, {"relaxation.penalty.kind": "kl"}, 2),
    ({**WARM, "schedule.early_fixing.gap": 0.3}, {"schedule.early_fixing.gap": 0.0}, 2),
    ({**WARM, "schedule.lr_rule.share": 0.9}, {"schedule.lr_rule.share": 0.0}, 2),
    # and phases at their switch.
    (
        {"update.level": "mixed", "update.phases": [{"until": 3, "set": {"level": "bilevel"}}]},
        {"update.lambda": 3.0},
        3,
    ),
    (
        {"update.phases": [{"until": 2, "set": {"level": "none"}}]},
        {"update.sequence": "weights-first"},
        2,
    ),
    ({"update.level": "mixed", "update.lambda": float("inf")}, {"update.level": "bilevel"}, EPOCHS),
    # What anneals acts from the first epoch with another value,
    ({}, {"optimizer.weights.learning_rate_min": 0.002}, 1),
    ({}, {"schedule.epochs": 6}, 1),
    (CONSTANT, {"schedule.epochs": 6}, EPOCHS),
    (CONSTANT, {"schedule.epochs": 6, **PT}, EPOCHS),
    ({**CONSTANT, "relaxation.kind": "gumbel"}, {"schedule.epochs": 6}, 1),
    (
        {**CONSTANT, "relaxation.kind": "gumbel", "relaxation.temperature.end": 10.0},
        {"schedule.epochs": 6},
        EPOCHS,
    ),
    ({"relaxation.kind": "concrete"}, {"relaxation.temperature.end": 3.0}, 1),
    ({"relaxation.drop_path": 0.2}, {"relaxation.drop_path": 0.7}, 1),
    ({"relaxation.auxiliary_skip.start": 1.0}, {"relaxation.auxiliary_skip.end": 0.5}, 1),
    ({"relaxation.smoothing.kind": "random"}, {"relaxation.smoothing.end": 0.9}, 1),
    # and what happens at an epoch from there on.
    ({"schedule.stages": STAGES}, {"schedule.stages.1.operations": 2}, 2),
    (
        {"schedule.stages": STAGES, "space.init_channels": 4, "relaxation.partial_channels": 4},
        {"schedule.stages.1.partial_channels": 2},
        2,
    ),
    ({"schedule.stages": STAGES}, {"schedule.carry_over": "none"}, 1),  # w's rate restarts, too
    ({"schedule.stages": STAGES, **CONSTANT}, {"schedule.carry_over": "none"}, 2),
    (GREEDY, {"schedule.greedy.prune": False}, 1),
    (GREEDY, {"schedule.greedy.every": 1}, 2),
    (GREEDY, {"schedule.greedy.batch_growth": 2}, 1),
    ({**GREEDY, "schedule.greedy.history": 2}, {"schedule.greedy.history": 3}, 2),
    (
        {"schedule.stop.skips": {"normal": 9}, "schedule.stop.patience": 2},
        {"schedule.stop.patience": 3},
        1,
    ),
    ({"schedule.stop.settled": 2}, {"schedule.stop.settled": 3}, 2),
    ({}, {"schedule.stop.settled": 3}, 3),
    (WARM, {"schedule.stop.settled": 1}, 3),
    (WARM, {"schedule.stop.skips": {"normal": 1}, "schedule.stop.patience": 2}, 3),
    (
        {**WARM, "schedule.stop.skips": {"normal": 1}, "schedule.stop.patience": 2},
        {"schedule.stop.skips": {"normal": 2}, "schedule.stop.settled": 4, **PT},
        3,
    ),
    (
        {**WARM, "schedule.early_fixing.gap": 0.3, "schedule.stop.settled": 1},
        {"schedule.stop.settled": None, "schedule.early_fixing.gap": 0.2},
        2,
    ),
    (EIGENVALUE, {"schedule.eigenvalue.factor": 1e-9}, 2),
    (EIGENVALUE, {"schedule.eigenvalue.action": "roll-back"}, 2),
    (
        {**EIGENVALUE, "schedule.eigenvalue.action": "roll-back"},
        {"schedule.eigenvalue.max_decay": 3e-3, "schedule.eigenvalue.factor": 1e-9},
        2,
    ),
    ({**EIGENVALUE, **CONSTANT}, {"schedule.epochs": 5}, EPOCHS - 1),
    ({**CONSTANT, "schedule.stop.settled": 3}, {"schedule.epochs": 5}, EPOCHS - 1),
    ({**CONSTANT, "schedule.stop.settled": 4}, {"schedule.epochs": 5}, EPOCHS),
    # What a search reports of its genotypes does not decide it.
    (PT, {"retrain.init_channels": 8, "retrain.cells": 4}, EPOCHS + 6),
    ({}, {"name": "other", "retrain.epochs": 3, "benchmark.table": None}, EPOCHS),
]
# Keys that may matter in an epoch but do not have to: bounds that are not met, the same choices.
LATER = {
    *("selection.kind", "selection.perturbation.criterion", "schedule.stop.patience"),
    *("schedule.stop.settled", "schedule.greedy.history", "schedule.epochs"),
    *("schedule.stop.skips", "schedule.eigenvalue.action"),
    *("schedule.early_fixing.gap", "schedule.lr_rule.share", "schedule.greedy.prune"),
}
OTHER_FROM_THE_START: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"seed": 1}),
    (GREEDY, {"schedule.greedy.warmup": 0}),
    ({}, {"data.single_level": "all", "update.level": "single"}),
    (WARM, {"update.level": "single", "update.alpha_batch": "separate"}),
    ({}, {"schedule.batch_size": 4}),
    ({}, {"optimizer.weights.learning_rate": 0.05}),
    ({}, {"optimizer.alphas.learning_rate": 0.2}),
    ({}, {"relaxation.kind": "sigmoid"}),
    ({}, {"relaxation.drop_path": 0.2}),
    ({}, {"runtime.threads": 2}),
    ({}, {"runtime.implementation": "torch"}),
    ({}, {"runtime.autocast": True}),
    ({**EIGENVALUE, "schedule.stop.settled": 3}, {"schedule.stop.settled": 2}),
    (
        {"schedule.stop.skips": {"normal": 9}, "schedule.stop.patience": 3, **SAMPLED},
        {"selection.sampled.genotypes": 2},
    ),
    ({"probes": ["hessian"]}, PT),
    ({}, {"probes": ["hessian"]}),
    ({"relaxation.kind": "test_so_far:Own"}, PT),
    ({}, {"strategy.kind": "random"}),
]


class Own(Softmax):
    """A custom part, which may read any key."""


@pytest.mark.parametrize(("base", "changes", "epochs"), SAME, ids=str)
def test_the_declared_epochs_are_the_same(
    base: dict[str, Any], changes: dict[str, Any], epochs: int, tmp_path: Path
) -> None:
    """And no more, where the searches do go on in different ways."""
    one, other = pair(tmp_path, base, changes)
    assert shared_epochs(one, other, watched=True) == epochs
    assert shared_epochs(other, one, watched=True) == epochs
    searches = assert_branch(one, other, epochs, tmp_path)
    if epochs < min(one.schedule.epochs, other.schedule.epochs) and not LATER & changes.keys():
        for search, reports in searches:
            run_on(search, reports, epochs + 1)
        assert differ_in_w_or_alpha(searches[0][0], searches[1][0])


@pytest.mark.parametrize(("base", "changes"), OTHER_FROM_THE_START, ids=str)
def test_other_searches_share_nothing(
    base: dict[str, Any], changes: dict[str, Any], tmp_path: Path
) -> None:
    one, other = pair(tmp_path, base, changes)
    assert shared_epochs(one, other, watched=True) == shared_epochs(other, one, watched=True) == 0
    assert deciding_text(one) != deciding_text(other)


def test_custom_parts_share_all_or_nothing(tmp_path: Path) -> None:
    own, same = pair(tmp_path, {"relaxation.kind": "test_so_far:Own"}, {"name": "other"})
    assert has_own_parts(own) and not has_own_parts(small_trial(tmp_path))
    assert shared_epochs(own, same) == EPOCHS
    assert deciding_text(own) == deciding_text(same)
    assert shared_epochs(own, with_overrides(own, {"retrain.epochs": 3})) == 0


def test_code_of_the_user_is_recognized(tmp_path: Path) -> None:
    trial = small_trial(tmp_path)
    assert not runs_own_code(trial) and not runs_own_code(load_trial("enas"))
    assert runs_own_code(with_overrides(trial, {"relaxation.kind": "test_so_far:Own"}))
    assert runs_own_code(with_overrides(trial, {"data.name": "test_so_far:read"}))
    path = Path(trial.space.name)
    path.write_text(path.read_text().replace("nor_conv_1x1", "test_so_far:operation"))
    assert runs_own_code(trial)
    assert not has_own_parts(trial)


def operation(channels: int, stride: int, affine: bool) -> nn.Module:
    """A custom operation of a space."""
    return nn.Conv2d(channels, channels, 1, stride)


def test_the_text_has_what_decides_results_and_no_more(tmp_path: Path) -> None:
    trial = small_trial(tmp_path)
    text = deciding_text(trial)
    equal: list[dict[str, Any]] = [
        {"name": "other", "description": "said"},
        {"retrain.epochs": 3, "runtime.workers": 2, "analysis.batches": 2},
        {"selection.perturbation.interval": 9},  # has no effect on the magnitude
        {"space.init_channels": 4, "relaxation.init_std": 1e-3},  # the defaults
    ]
    for changes in equal:
        assert deciding_text(with_overrides(trial, changes)) == text
    others: list[dict[str, Any]] = [
        {"retrain.init_channels": 8},  # the reports have the size of that network
        {"selection.max_skips": {"normal": 1}},
        {"benchmark.table": None},
        {"data.dir": "elsewhere"},
        {"runtime.device": "cpu"},
    ]
    for changes in others:
        assert deciding_text(with_overrides(trial, changes)) != text
    path = Path(trial.space.name)
    path.write_text(path.read_text().replace("stem_multiplier: 1", "stem_multiplier: 2"))
    assert deciding_text(trial) != text


def test_prefixes_tell_all_pairs_apart(tmp_path: Path) -> None:
    trials = [
        trial
        for base, changes, _ in SAME[3:30]
        if "selection.kind" not in {**base, **changes}
        for trial in pair(tmp_path, base, changes)
    ]
    courses = [Course(trial) for trial in trials]
    for place, one in enumerate(courses):
        for other in courses[place:]:
            common = [a == b for a, b in zip(one.prefixes, other.prefixes, strict=False)]
            assert common == sorted(common, reverse=True)
            assert one.shared_with(other) == sum(common)
