"""What every shipped trial owes: it runs, resumes to the bit, moves α, and decides as it says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from supernet_trials import SUPERNET_TRIALS

from tune_nas.config import TrialConfig, scaled
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search
from tune_nas.spaces import Genotype, build_network
from tune_nas.testing.states import differences

NAMES = SUPERNET_TRIALS
Shrink = Callable[..., TrialConfig]
GradientsOf = Callable[[Search], list[list[bool]]]
States = list[dict[str, Any]]
TINY: dict[str, Any] = {
    "data.name": "fake",
    "data.train_images": 16,
    "data.resolution": 8,
    "schedule.batch_size": 8,
}


def run_through(search: Search) -> list[dict[str, Any]]:
    """Run a search and return its state before the first epoch and after each."""
    states = [copy.deepcopy(search.state_dict())]
    while not search.done:
        search.run_epoch()
        states.append(copy.deepcopy(search.state_dict()))
    return states


@pytest.mark.parametrize("name", NAMES)
def test_a_search_killed_after_any_epoch_goes_on_to_the_bit(
    name: str, shrink: Shrink, gradients_of: GradientsOf
) -> None:
    """From each state the next one follows, so every resumed search ends as the straight one."""
    search = Search(shrink(name))
    gradients = gradients_of(search)
    states = run_through(search)
    assert len(states) == search.epochs + 1
    check_resumed(search, states)
    check_genotype(search)
    check_alphas(name, states, gradients)
    check_choices(name, search, states)


# What no paper has: parts of several methods in one search.
MIXTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "gumbel, stages, partial channels, perturbation": (
        "milenas",
        {
            "space.init_channels": 4,
            "relaxation.kind": "gumbel",
            "relaxation.partial_channels": 4,
            "relaxation.edge_normalization": True,
            "schedule.epochs": 2,
            "schedule.stages": [
                {"epochs": 1, "skip_dropout": 0.5},
                {"epochs": 1, "operations": 2, "partial_channels": 2},
            ],
            "selection.kind": "perturbation",
            "selection.perturbation": {
                **{"interval": 1, "batches": 1},
                **{"criterion": "loss", "order": "fixed"},
            },
        },
    ),
    "dirichlet, criterion 2, perturbation": (
        "drnas",
        {
            "relaxation.penalty.kind": "kl",
            "schedule.epochs": 4,
            "schedule.greedy": {"warmup": 0, "every": 1, "criterion": 2, "history": 2},
            "selection.kind": "perturbation",
            "selection.perturbation.batches": 1,
        },
    ),
    "concrete, order 2, adversary, decisions": (
        "darts-2nd",
        {
            "relaxation.kind": "concrete",
            "relaxation.smoothing": {"kind": "adversarial", "steps": 2},
            "schedule.epochs": 4,
            "schedule.greedy": {"warmup": 0, "every": 1, "prune": False},
            "selection.kind": "greedy",
        },
    ),
    "two paths, stages, early fixing": (
        "proxylessnas",
        {
            "update.warmup": 0,
            "update.level": "mixed",
            "relaxation.init_std": 0.5,
            "schedule.epochs": 3,
            "schedule.early_fixing": {"gap": 0.2},
            "schedule.stages": [{"epochs": 2}, {"epochs": 1, "operations": 2}],
        },
    ),
    "all paths, edge weights, early fixing, perturbation": (
        "proxylessnas",
        {
            "update.warmup": 0,
            "relaxation.gradient": "full",
            "relaxation.edge_normalization": True,
            "relaxation.init_std": 0.5,
            "schedule.epochs": 2,
            "schedule.early_fixing": {"gap": 0.2},
            "selection.kind": "perturbation",
            "selection.perturbation": {"interval": 1, "batches": 1},
        },
    ),
    "likelihoods of training images, FLOPs, decisions": (
        "parsec",
        {
            "update.level": "single",
            "relaxation.likelihood": "image",
            "relaxation.flops_weight": 0.1,
            "schedule.epochs": 4,
            "schedule.greedy": {"warmup": 0, "every": 1, "prune": False},
            "selection.kind": "greedy",
        },
    ),
    "noise, samples": (
        "darts-1st",
        {
            "space.name": "s4",
            "schedule.epochs": 2,
            "selection.kind": "sampled",
            "selection.sampled.genotypes": 2,
        },
    ),
}


@pytest.mark.parametrize("mixture", MIXTURES)
def test_a_mixture_of_methods_goes_on_to_the_bit(mixture: str, shrink: Shrink) -> None:
    name, overrides = MIXTURES[mixture]
    search = Search(shrink(name, **overrides))
    check_resumed(search, run_through(search))
    check_genotype(search)


def check_resumed(search: Search, states: States) -> None:
    """A new search that takes each state comes to the next one, and to the same genotype."""
    for before, after in pairwise(states):
        resumed = Search(search.trial)
        resumed.load_state_dict(copy.deepcopy(before))
        resumed.run_epoch()
        assert differences(after, resumed.state_dict()) == []
    assert resumed.done
    assert resumed.genotype == search.genotype


def check_genotype(search: Search) -> None:
    """A genotype is of its space, survives its own text, and is a network that computes."""
    genotype = search.genotype
    genotype.check(search.space)
    assert Genotype.from_yaml(genotype.to_yaml()) == genotype
    network = build_network(genotype, search.space, n_classes=10, init_channels=4, cells=3)
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def check_alphas(name: str, states: States, gradients: list[list[bool]]) -> None:
    """α stays finite; it moves by a gradient that is not zero, or not at all."""
    assert all(alpha.isfinite().all() for state in states for alpha in state["alphas"].values())
    moved = [bool(differences(a["alphas"], b["alphas"])) for a, b in pairwise(states)]
    if name in ("rsps", "enas"):  # α is fixed, or that of the controller after each epoch
        assert not gradients and set(moved) == {name == "enas"}
        return
    # of α in the normal and in the reduction cell, and of both β where there are any
    assert gradients[0] == [True] * (4 if name.endswith("pc-darts") else 2)
    if name == "p-darts" or name.startswith("drnas-progressive"):  # each stage starts with w alone
        assert all(moved[1::2])
        anew = name == "p-darts"  # where α is drawn again
        assert moved[2::2] == [anew] * len(moved[2::2])
        assert not moved[0]
    elif name in ("pc-darts", "proxylessnas"):
        assert moved == [False, True, True]
    else:
        assert all(moved[:3])


def check_choices(name: str, search: Search, states: States) -> None:
    """Between the kills, τ, ε, K, sizes, masks and decisions were what the trial says."""
    history, epochs = search.history, range(search.trial.schedule.epochs)

    def metric(key: str) -> list[float]:
        return [metrics[key] for metrics in history if key in metrics]

    def size(key: str) -> list[int]:
        return [state["size"][key] for state in states[1:]]

    def remaining() -> list[set[int]]:
        masks = [state["choices"]["normal"]["remaining"] for state in states[1:]]
        return [set(mask.sum(dim=1).tolist()) for mask in masks]

    def decided(cell: str) -> list[int]:
        return [int(state["choices"][cell]["decided"].sum()) for state in states[1:]]

    if name.startswith(("gaea", "xnas")):
        for state in states:
            for kind, alpha in state["alphas"].items():
                torch.testing.assert_close(alpha.sum(dim=1), torch.ones(len(alpha)))
                assert (alpha >= 0).all(), kind
    if name == "xnas":
        wiped = metric("wiped_out/normal")
        assert 0 < wiped[0] <= wiped[1] == wiped[2]  # nothing after the last epoch
        gone = states[-1]["choices"]["normal"]["remaining"].logical_not().sum()
        assert wiped[-1] == gone
    if name.startswith(("gdas", "gaea-gdas", "milenas-gumbel", "snas")):
        start, end = {"snas": (1, 0.03), "milenas-gumbel-code": (10, 1.03)}.get(name, (10, 0.1))
        last = len(epochs) - 1
        expected = [start + (end - start) * e / last for e in epochs]
        assert metric("temperature") == pytest.approx(expected)
    if name.startswith("sdarts"):
        own = [0.03 + 0.27 * epoch / len(epochs) for epoch in epochs]
        tuning = [0.3] * (len(history) - len(epochs))
        assert metric("smoothing_radius") == pytest.approx([*own, *tuning])
    if name == "darts-minus":
        assert metric("auxiliary_skip") == pytest.approx([1.0, 2 / 3, 1 / 3])
    if name == "r-darts-dp":
        assert metric("drop_path") == pytest.approx([0.0, 0.1, 0.2])
    if name in ("darts-es", "r-darts-ada"):
        # after the fourth epoch of the schedule to the second; with two larger decays, twice
        went = [4] if name == "darts-es" else [4, 6]
        expected = [2 if epoch in went else epoch for epoch in metric("epoch")]
        assert metric("genotype_epoch") == expected
        assert search.epoch == (4 if name == "darts-es" else len(epochs) + 2 * 2)
        assert metric("weight_decay/weights") == pytest.approx(
            [] if name == "darts-es" else [3e-4] * 4 + [3e-3] * 2 + [0.03] * 3
        )
        assert (search.stop_reason is None) == (name == "r-darts-ada")
    if name.startswith("bilevel-then"):
        levels = [search.trial.update.in_epoch(epoch).level for epoch in epochs]
        assert levels == ["bilevel"] * (len(epochs) - 1) + ["mixed"]
    if name.startswith("p-darts"):
        each = 2 if name == "p-darts" else 1
        assert size("cells") == [cells for cells in (3, 4, 5) for _ in range(each)]
        assert remaining() == [{kept} for kept in (4, 3, 2) for _ in range(each)]
    if name == "stacnas":  # all but one convolution, then skips or both, beside `none` and pool
        assert size("cells") == [3, 3, 4, 4]
        assert remaining()[:2] == [{4}, {4}] and remaining()[2] == remaining()[3] <= {3, 4}
    if name.startswith("drnas-progressive"):
        assert size("partial_channels") == [6, 6, 4, 4]
        assert remaining() == [{3}, {3}, {2}, {2}]
    if name.startswith("sgas"):
        # a decision after each epoch; node 3 keeps two of its three edges
        assert decided("normal") == decided("reduction") == [1, 2, 3, 4, 4]
        assert search.choices.pruned("normal").sum() == 1
        assert search.batch_size == 8 + 4 * 8
    if name == "dsnas":
        # edges of which α is clear, whatever is decided afterwards, in both cell types
        assert decided("normal")[0] > 0 and decided("reduction")[0] > 0
        assert decided("normal") == sorted(decided("normal"))
        assert metric("decided_edges/normal") == decided("normal")
    if name in ("darts-pt", "sdarts-pt"):
        # the operations of 5 edges, then the edges of one node: 6 decisions
        interval = search.trial.selection.perturbation.interval
        assert search.epochs == 1 + interval * 5 + 1
        assert decided("normal")[:2] == [0, 1]
        assert max(decided("normal")) == max(decided("reduction")) == 5
        assert decided("normal")[-1] == decided("reduction")[-1] == 4
        assert search.choices.open("normal") == search.choices.open("reduction") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_fits_its_own_space(name: str) -> None:
    """The trial as it is shipped, a fifth as long, but for its sizes and images."""
    trial = load_trial(name)
    sizes = {
        "space.init_channels": {
            "pc-darts": 4,
            "gaea-pc-darts": 4,
            "drnas-progressive": 12,
            "drnas-progressive-code": 12,
        }.get(name, 2),
        "space.cells": 1 if trial.space.name == "nasbench201" else 3,
        "selection.sampled.genotypes": 2,
    }
    search = Search(with_overrides(trial, {**scaled(trial.to_dict(), 10), **TINY, **sizes}))
    assert search.epochs >= 10
    search.genotype.check(search.space)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-code")])
def test_one_epoch_in_mixed_precision(name: str, shrink: Shrink) -> None:
    search = Search(shrink(name, **{"runtime.autocast": True, "update.warmup": 0}))
    metrics = search.run_epoch()
    assert 0 < metrics["train_loss"] < 20
    assert all(alpha.isfinite().all() for alpha in search.alphas.values())
    assert all(alpha.dtype == torch.float32 for alpha in search.alphas.values())
    search.genotype.check(search.space)
