"""Passes of w with another relaxation than those of α: in every sequence, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_steps import plain_step
from searching import assert_same_state, finished, tiny_trial
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from tune_nas.config import RelaxationConfig, TrialConfig, UpdateConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, with_overrides
from tune_nas.search import Search
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import make_relaxation, runs_everything
from tune_nas.search.update import Update
from tune_nas.spaces import CellWeights, Supernet, load_space

W_RATE, A_RATE = 0.05, 0.3
SEQUENCES = ["simultaneous", "weights-first", "alphas-first"]
LEVELS: list[dict[str, Any]] = [
    {"level": "single"},
    {"level": "bilevel"},
    {"level": "mixed", "lambda": 0.5},
]
FACTORS = {"single": (1.0, 0.0), "bilevel": (0.0, 1.0), "mixed": (1.0, 0.5)}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("level", LEVELS, ids=[level["level"] for level in LEVELS])
def test_w_follows_its_own_mixture_and_alpha_another_in_every_sequence(
    level: dict[str, Any], sequence: str
) -> None:
    torch.manual_seed(0)
    space = load_space("nasbench201")
    supernet = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=1).double()
    config = RelaxationConfig(kind="softmax", weights="sigmoid", init_std=1.0)
    relaxation = make_relaxation(config, space)
    alpha = relaxation.initial_alphas(torch.Generator().manual_seed(1), torch.float64)["normal"]
    alpha.requires_grad_()
    batches = [(torch.randn(6, 1, 8, 8).double(), torch.randint(3, (6,))) for _ in range(2)]
    names = [name for name, _ in supernet.named_parameters()]

    def loss(w: list[Tensor], mixture: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        mixing = {"normal": CellWeights(mixture)}
        logits = functional_call(supernet, dict(zip(names, w, strict=True)), (batch[0], mixing))
        return cross_entropy(logits, batch[1])

    def move_w(w: list[Tensor], a: Tensor) -> list[Tensor]:
        w = [each.detach().requires_grad_() for each in w]
        found = torch.autograd.grad(loss(w, 1 / (1 + (-a.detach()).exp()), batches[0]), w)
        return [x - W_RATE * g for x, g in zip(w, found, strict=True)]

    def move_a(w: list[Tensor], a: Tensor) -> Tensor:
        a = a.detach().requires_grad_()
        mixture = a.exp() / a.exp().sum(dim=1, keepdim=True)
        terms = [
            factor * loss([each.detach() for each in w], mixture, batch)
            for factor, batch in zip(FACTORS[level["level"]], batches, strict=True)
        ]
        return a - A_RATE * torch.autograd.grad(torch.stack(terms).sum(), [a])[0]

    w, a = [each.detach().clone() for each in supernet.parameters()], alpha.detach().clone()
    if sequence == "simultaneous":
        w_true, a_true = move_w(w, a), move_a(w, a)
    elif sequence == "weights-first":
        w_true = move_w(w, a)
        a_true = move_a(w_true, a)
    else:
        a_true = move_a(w, a)
        w_true = move_w(w, a_true)

    objective = Objective(supernet, relaxation, {"normal": alpha})
    update = Update(UpdateConfig(**level, sequence=sequence), objective)

    update.step(
        batches[0],
        batches[1] if update.needs_valid else None,
        step_weights=plain_step(objective.weight_list, W_RATE),
        step_alphas=plain_step(objective.alpha_list, A_RATE),
        sgd=lambda: pytest.fail("no unrolled step"),
    )
    torch.testing.assert_close(alpha.detach(), a_true.detach(), rtol=1e-9, atol=1e-12)
    for ours, truth in zip(supernet.parameters(), w_true, strict=True):
        torch.testing.assert_close(ours.detach(), truth.detach(), rtol=1e-9, atol=1e-12)


def setn(**changes: Any) -> TrialConfig:
    own = {"relaxation.weights": "uniform-path", "update.level": "bilevel"}
    return tiny_trial(**{**own, "schedule.steps_per_epoch": 2, **changes})


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_path_is_run_for_w_and_the_mixture_for_alpha(
    sequence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[tuple[bool, bool, int]] = []
    forward = Supernet.forward

    def recorded(self: Supernet, x: Tensor, weights: Any) -> Tensor:
        own = weights["normal"].operations
        of_w = next(self.parameters()).requires_grad
        running = weights["normal"].active
        if self.training and torch.is_grad_enabled():
            count = own.numel() if running is None else int(running.sum())
            passes.append((of_w, own.requires_grad, count))
        return forward(self, x, weights)

    monkeypatch.setattr(Supernet, "forward", recorded)
    trial = setn(
        **{"update.level": "mixed", "update.sequence": sequence, "schedule.steps_per_epoch": 1}
    )
    Search(trial).run_epoch()
    # w: one operation on each of 6 edges; α: all 5 of each, on the training and validation batch
    assert sorted(passes) == [(False, True, 30), (False, True, 30), (True, False, 6)]


def test_the_same_name_is_the_same_relaxation_to_the_bit() -> None:
    for kind in ("softmax", "gumbel"):
        trial = tiny_trial(**{"relaxation.kind": kind, "update.sequence": "simultaneous"})
        one, other = finished(trial), finished(with_overrides(trial, {"relaxation.weights": kind}))
        assert one.relaxation.for_weights() is one.relaxation
        assert other.relaxation.for_weights() is other.relaxation
        state, same = one.state_dict(), other.state_dict()
        state.pop("trial"), same.pop("trial")
        assert_same_state(state, same)


def test_the_relaxation_of_w_has_the_temperature_of_the_epoch() -> None:
    temperature = {"relaxation.temperature": {"start": 4.0, "end": 2.0}}
    search = Search(setn(**{"relaxation.weights": "concrete", **temperature}))
    of_weights: Any = search.relaxation.for_weights()
    found = []
    while not search.done:
        search.run_epoch()
        found.append(of_weights.temperature)
    assert found == [4.0, 3.0, 2.0]


def test_smoothing_is_around_the_mixture_of_w() -> None:
    smoothing = {"kind": "random", "start": 0.02, "end": 0.02}
    own = {"relaxation.kind": "gumbel", "relaxation.weights": "softmax", "relaxation.init_std": 1.0}
    search = Search(setn(**own, **{"relaxation.smoothing": smoothing}))
    assert search.smoothing is not None
    search.smoothing.set_epoch(0, 3)
    images, labels = search.data.valid.images[:4], search.data.valid.labels[:4]
    batch = search.objective.seeded((images, labels))
    found = search.smoothing.around(search.objective, batch)["normal"]
    alpha = search.alphas["normal"].detach()
    wanted = alpha.exp() / alpha.exp().sum(dim=1, keepdim=True)
    distance = (found.operations - wanted).abs().max()
    assert 0 < float(distance) < 0.04
    torch.testing.assert_close(found.operations.sum(dim=1), torch.ones(6))


def test_decided_edges_always_run_on_a_uniform_path() -> None:
    darts = {"space": {"name": "darts", "init_channels": 2, "cells": 3}}
    search = Search(setn(**darts))
    assert int(search.choices.decided("normal").sum()) == 0
    search.choices.decide("normal", 13, 3)  # into the last node, which keeps two of five
    search.choices.decide("normal", 11, 4)
    of_weights = search.relaxation.for_weights()
    for seed in range(20):
        active = of_weights.weights(search.alphas, seed=seed)["normal"].active
        assert active is not None
        assert active[9:].nonzero().tolist() == [[2, 4], [4, 3]]
        assert active[[0, 1]].any(dim=1).all() and active[2:5].any(dim=1).sum() == 2


def test_memory_is_estimated_for_the_larger_of_the_two() -> None:
    for kind, weights, everything in (
        ("gumbel", None, False),
        ("gumbel", "softmax", True),
        ("softmax", "uniform-path", True),
        ("gumbel", "uniform-path", False),
    ):
        assert runs_everything(RelaxationConfig(kind=kind, weights=weights)) is everything


def test_dropout_of_w_alone_reads_its_options() -> None:
    """A key that is read must be accepted where only w's passes drop operations."""
    ends = []
    for rate in (0.01, 0.9):
        read = {"relaxation.weights": "dropout", "relaxation.dropout.rate": rate}
        assert load_trial("darts-1st", read).relaxation.dropout.rate == rate
        ends.append(finished(tiny_trial(**read)).metrics["train_loss"])
    assert ends[0] != ends[1]
    with pytest.raises(ConfigError, match="has no effect where"):
        load_trial("darts-1st", {"relaxation.dropout.rate": 0.5})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"update.order": 2},
            "relaxation.weights is 'uniform-path', not relaxation.kind 'softmax', but update.order "
            "is 2, which differentiates w's step by α; order must be 1",
        ),
        (
            {"relaxation.smoothing.kind": "random"},
            "relaxation.smoothing.kind is 'random', but relaxation.weights 'uniform-path' runs one "
            "operation per edge: it has no weights to smooth",
        ),
        (
            {"relaxation.kind": "uniform-path", "relaxation.weights": "softmax"},
            "relaxation.weights is 'softmax', but relaxation.kind 'uniform-path' has no α for it; "
            "leave it out, or exchange the two",
        ),
        (
            {"update.level": "none"},
            "update.level is 'none', so that α never moves, but selection.sampled.candidates "
            "'most-probable' reads α; take 'uniform'",
        ),
        (
            {"relaxation.weights": "uniform-paths"},
            "relaxation.weights is 'uniform-paths', but must be one of ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_trial("setn", overrides)
    assert str(caught.value).startswith(f"trial 'setn': {message}")
    assert "\n" not in str(caught.value)
