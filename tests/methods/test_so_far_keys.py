"""Every key that decides a search, in a method that reads it: shared epochs are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from other_values import OTHER, SWAPPED, Shrink, changed
from test_effects import EFFECTIVE

from tune_nas.config import TrialConfig
from tune_nas.config.conditions import value_of
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import keys_that_decide
from tune_nas.config.effects import no_effect
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search, total_epochs
from tune_nas.search.so_far import deciding_text, shared_epochs
from tune_nas.testing.states import differences
from tune_nas.user_code import declared_reads

KEYS = [
    key
    for key in keys_that_decide(Decides.SEARCH)
    if not key.startswith(("strategy", "benchmark")) and key not in ("space.name", "data.name")
]
# Another value of the keys without conditions.
MORE: dict[str, Any] = {
    "seed": 1,
    "space.skeleton": "imagenet",
    "space.init_channels": 4,
    "data.layout": "classes",
    "data.fit": "pad",
    "data.background": "black",
    "data.train_images": 40,
    "data.resolution": 9,
    "data.train_portion": 0.4,
    "data.split": "fixed",
    "data.augment.crop": "resized",
    "data.augment.flip": True,
    "data.augment.color_jitter": [0.1, 0.0, 0.0, 0.0],
    "data.augment.cutout": 4,
    "data.augment.reference_size": 8,
    "relaxation.kind": "sigmoid",
    "relaxation.auxiliary_skip.start": 0.4,
    "update.level": "single",
    "update.phases": [{"until": 1, "set": {"level": "none"}}],
    "optimizer.weights.learning_rate": 0.3,
    "optimizer.weights.momentum": 0.3,
    "optimizer.weights.weight_decay": 0.3,
    "optimizer.weights.clip": 0.1,
    "schedule.epochs": 7,
    "schedule.batch_size": 4,
    "schedule.steps_per_epoch": 2,
    "schedule.greedy.criterion": 2,
    "schedule.greedy.warmup": 1,
    "schedule.greedy.every": 2,
    "schedule.greedy.batch_growth": 2,
    "schedule.greedy.prune": False,
    "schedule.greedy.history": 1,
    "schedule.early_fixing.gap": 0.0,
    "schedule.stop.convolutions": {"normal": 9},
    "schedule.stop.skips": {"normal": 1},
    "schedule.stop.settled": 1,
    "schedule.lr_rule.share": 0.0,
    "schedule.lr_rule.factor": 0.2,
    "schedule.lr_rule.floor": 0.9,
    "schedule.wipe_out.factor": 0.1,
    "schedule.eigenvalue.action": "roll-back",
    "schedule.eigenvalue.every": 2,
    "schedule.eigenvalue.window": 3,
    "schedule.eigenvalue.lag": 1,
    "schedule.eigenvalue.factor": 1e9,
    "schedule.eigenvalue.start": 2,
    "schedule.eigenvalue.batches": 2,
    "schedule.rules": ["tune_nas.search.rules.rule:Rule"],
    "selection.kind": "perturbation",
    "runtime.dtype": "float64",
    "runtime.autocast": True,
}
# By section or key: a method that reads it.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "schedule.stages": ("p-darts", {}),
    "schedule.greedy": ("sgas", {}),
    "schedule.greedy.warmup": ("sgas", {"schedule.epochs": 6, "schedule.greedy.criterion": 2}),
    "schedule.greedy.every": ("sgas", {"schedule.epochs": 8}),
    "schedule.early_fixing": ("dsnas", {}),
    "schedule.stop": ("darts-plus", {"schedule.stop.skips": {"normal": 9}}),
    "schedule.stop.settled": ("darts-plus-ranking", {"schedule.stop.settled": 2}),
    "schedule.lr_rule": ("single-level", {}),
    "schedule.wipe_out": ("xnas", {}),
    "schedule.eigenvalue": ("darts-es", {}),
    "selection.perturbation": ("darts-pt", {"schedule.epochs": 3}),
    "selection.max_skips": ("drnas", {}),
    "selection.rank_by": ("drnas", {}),
    **{key: found for key, found in EFFECTIVE.items() if not key.startswith("selection.pert")},
}
USUAL: tuple[str, dict[str, Any]] = ("darts-1st", {})
# Keys of which no other value is legal in a small search of a shipped data set.
NOT_HERE = {
    *("data.module_dir", "relaxation.options", "selection.options"),
}


def methods_of(key: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a method that reads a key, as it is and with a warm-up of α."""
    parts = key.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    name, needed = next((METHODS[each] for each in names if each in METHODS), USUAL)
    return [(name, needed), (name, {**needed, "update.warmup": 1})]


def mutated(trial: TrialConfig, key: str) -> TrialConfig | None:
    """Return a trial with another value of a key; None if none is legal."""
    own = value_of(trial.to_dict(), key)
    if key == "schedule.stages":
        stages = [{**stage, "operations": 2} for stage in own[1:]]
        changes: dict[str, Any] = {key: [*own[:1], *stages]}
    else:
        other = SWAPPED[key].get(own) if key in SWAPPED else {**OTHER, **MORE}[key]
        changes = {key: other}
    for further in ({}, {"update.lambda": None}, {"update.order": 1}):
        try:
            found = with_overrides(trial, {**changes, **further})
        except ConfigError:
            continue
        return None if value_of(found.to_dict(), key) == own else found
    return None


@pytest.mark.parametrize("key", KEYS)
def test_another_value_shares_only_equal_epochs(key: str, shrink: Shrink, tmp_path: Path) -> None:
    pairs = []
    for name, needed in methods_of(key):
        try:
            trial = shrink(name, **needed)
        except ConfigError:  # no warm-up in so few epochs
            continue
        other = mutated(trial, key)
        if other is not None:
            pairs.append((trial, other))
    assert bool(pairs) != (key in NOT_HERE)
    for one, other in pairs:
        epochs = shared_epochs(one, other, watched=True)
        if epochs > 0 and can_be_built(other):
            check(one, other, epochs, tmp_path)
            break


@pytest.mark.parametrize("name", ["darts-1st", "gdas", "xnas", "sgas-pt", "enas", "rsps"])
def test_keys_without_effect_are_shared(name: str, shrink: Shrink, tmp_path: Path) -> None:
    """Except those that leave a trace in the state or in a metric, which are told apart."""
    trial = shrink(name)
    without = [key for key in KEYS if key in OTHER and no_effect(trial, key, declared_reads)]
    tracing = ("optimizer", "schedule", "data", "relaxation.init", "relaxation.weights")
    keys = [key for key in without if not key.startswith(tracing)]
    other, taken = changed(trial, keys)
    assert len(taken) >= 8
    assert deciding_text(trial) == deciding_text(other)
    assert shared_epochs(trial, other) == total_epochs(trial)
    check(trial, other, total_epochs(trial), tmp_path)


def can_be_built(trial: TrialConfig) -> bool:
    """Return whether a search accepts the value of a trial: that of a rule, for so few epochs."""
    try:
        Search(trial)
    except ConfigError:
        return False
    return True


def check(saved: TrialConfig, own: TrialConfig, epochs: int, folder: Path) -> None:
    """Compare a branch at an epoch with a search that has run these epochs, to the bit."""
    trunk = Search(saved)
    trunk.watch([own])
    reports = ran(trunk, epochs)
    trunk.save(folder)
    branch, straight = Search(own), Search(own)
    made = branch.branch(folder, json.loads(json.dumps(reports)))
    wanted = ran(straight, epochs)
    states = straight.state_dict(), branch.state_dict()
    for state in states:
        del state["watched"]
    assert differences(*states) == []
    assert differences({"reports": wanted}, {"reports": made}) == []


def ran(search: Search, epochs: int) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = []
    while not search.done and search.epoch < epochs:
        metrics = search.run_epoch()
        reports.append({**metrics, **search.remarks(), "genotype": search.genotype.to_yaml()})
    return reports
