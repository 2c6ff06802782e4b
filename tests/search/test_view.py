"""What parts see of a search and do to it, and what a part says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from searching import small_trial, tiny_trial

from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Rule, Search, SearchControl, SearchView, Selection, SupernetSize
from tune_nas.search.relaxation import runs_everything
from tune_nas.search.search_memory import check_search_memory
from tune_nas.search.selection import Decided, Magnitude, Perturbation, Sampled
from tune_nas.spaces import Genotype


class ReadsAlpha(Selection):
    reads_alpha = True

    def genotype(self) -> Genotype:
        raise NotImplementedError


class LastOperation(Magnitude):
    """Chooses the last operation of an edge."""

    def choose(self, cell: str, row: int) -> int:
        return len(self.search.space.cells[cell].operations[row]) - 1


def test_a_search_follows_both_protocols() -> None:
    search = Search(tiny_trial())
    view: SearchView = search  # mypy compares the types
    control: SearchControl = search
    members = {
        name
        for protocol in SearchControl.__mro__
        if protocol.__module__ == SearchControl.__module__
        for name in vars(protocol)
        if not name.startswith("_")
    }
    assert len(members) > 31
    assert all(hasattr(view, name) and hasattr(control, name) for name in members)


def test_the_verbs_do_what_they_say() -> None:
    search = Search(tiny_trial())
    search.run_epoch()
    control: SearchControl = search
    control.decide("normal", 0, 2)
    control.prune("normal", 1)
    assert bool(control.choices.decided("normal")[0])
    assert bool(control.choices.pruned("normal")[1])

    control.scale_learning_rate(0.5)
    control.scale_learning_rate(0.1, floor=0.2)
    assert control.rate_factor == 0.2

    before = {name: alpha.detach().clone() for name, alpha in control.alphas.items()}
    moments = search.optimizers.alphas
    assert moments.state
    control.restart_alphas()
    assert search.optimizers.alphas is not moments
    assert all(torch.equal(before[name], alpha) for name, alpha in control.alphas.items())
    control.restart_alphas(seed=3)
    assert not any(torch.equal(before[name], alpha) for name, alpha in control.alphas.items())

    momenta = search.optimizers.weights
    weights = [parameter.detach().clone() for parameter in search.supernet.parameters()]
    control.restart_weights()
    assert search.optimizers.weights is not momenta
    assert all(map(torch.equal, weights, search.supernet.parameters()))

    control.set_skip_dropout(0.25)
    assert control.supernet.skip_dropout == 0.25
    old = control.supernet
    assert control.rebuild(SupernetSize(4, 1, 1)) is old
    assert control.size == SupernetSize(4, 1, 1)
    control.stop("enough")
    assert search.done
    assert search.stop_reason == "enough"


def test_a_rule_that_acts_through_the_parts_of_a_search_still_does(tmp_path: Path) -> None:
    """Own rules from before there were verbs."""
    trial = small_trial(tmp_path, **{"schedule.rules": [f"{__name__}:Earlier"]})
    search = Search(trial)
    search.run_epoch()
    assert search.rate_factor == 0.5
    assert bool(search.choices.decided("normal")[0])


class Earlier(Rule):
    def after_epoch(self, metrics: dict[str, float]) -> None:
        search = self.search
        assert isinstance(search, Search)
        search.rate_factor = 0.5
        search.choices.decide("normal", 0, 3)
        search.optimisers.restart_weights(search.supernet)
        search.optimisers.restart_alphas()


def test_decisions_take_the_operation_that_the_selection_chooses(tmp_path: Path) -> None:
    greedy = {"warmup": 0, "every": 1, "batch_growth": 0}
    kind = f"{__name__}:LastOperation"
    overrides = {"schedule.epochs": 6, "schedule.greedy": greedy, "selection.kind": kind}
    search = Search(small_trial(tmp_path, **overrides))
    while not search.done:
        search.run_epoch()
    decided = [entry.operation for entry in search.decisions.entries if entry.operation]
    assert decided == ["nor_conv_3x3"] * len(decided)
    assert decided


def test_selections_say_whether_they_read_alpha() -> None:
    reading = {kind: kind.reads_alpha for kind in (Magnitude, Decided, Perturbation, Sampled)}
    assert reading == {Magnitude: True, Decided: True, Perturbation: False, Sampled: False}
    still = {"relaxation.kind": "uniform-path", "update.level": "none"}
    trial = tiny_trial(**still, **{"selection.kind": f"{__name__}:ReadsAlpha"})
    with pytest.raises(ConfigError, match=r"α never moves, but selection.kind '.*' reads α"):
        Search(trial)


def test_relaxations_say_whether_a_pass_runs_everything() -> None:
    kinds = ("softmax", "sigmoid", "concrete", "dirichlet", "gumbel", "categorical")
    trials = {kind: tiny_trial(**{"relaxation.kind": kind}) for kind in kinds}
    trials["path"] = with_overrides(
        trials["softmax"],
        {"relaxation.kind": "uniform-path", "update.level": "none", "selection.kind": "sampled"},
    )
    trials["all paths"] = with_overrides(trials["categorical"], {"relaxation.gradient": "full"})
    running = {kind: runs_everything(trial.relaxation) for kind, trial in trials.items()}
    assert running == {
        **dict.fromkeys(("softmax", "sigmoid", "concrete", "dirichlet", "all paths"), True),
        "gumbel": False,
        "categorical": False,
        "path": False,
    }
    for trial in trials.values():
        check_search_memory(trial)
