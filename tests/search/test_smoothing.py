"""Smoothing: nothing at ε = 0, legal and within ε otherwise; the adversary raises the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig, SmoothingConfig
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.objective import Objective, SeededBatch
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.smoothing import Smoothing, make_smoothing
from tune_nas.search.smoothing.legal import project, scale_to_sum
from tune_nas.spaces import MixingWeights, Supernet, load_space

KINDS = ["random", "adversarial"]


def smoothing_of(kind: Any, radius: float, steps: int = 7) -> Smoothing:
    smoothing = make_smoothing(SmoothingConfig(kind=kind, start=radius, end=radius, steps=steps))
    assert smoothing is not None
    smoothing.set_epoch(0, 1)
    return smoothing


def problem(kind: str = "softmax") -> tuple[Objective, SeededBatch]:
    torch.manual_seed(0)
    space = load_space("nasbench201")
    net = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=1).double()
    choices = CandidateMask(space)
    relaxation = make_relaxation(RelaxationConfig(kind=kind, init_std=0.5), space, choices)
    alphas = relaxation.initial_alphas(torch.Generator().manual_seed(1), torch.float64)
    objective = Objective(net, relaxation, {n: a.requires_grad_() for n, a in alphas.items()})
    images = torch.randn(8, 1, 8, 8, dtype=torch.float64)
    return objective, SeededBatch(images, torch.randint(3, (8,)), 7)


def operations(mixing: MixingWeights) -> Tensor:
    return torch.cat([cell.operations for cell in mixing.values()])


def test_the_radius_grows_as_the_authors_code_has_it() -> None:
    smoothing = make_smoothing(SmoothingConfig(kind="random"))
    assert smoothing is not None and smoothing.radius == 0
    found = []
    for epoch in (0, 25, 49):
        smoothing.set_epoch(epoch, 50)
        found.append(smoothing.radius)
    assert found == pytest.approx([0.03, 0.165, 0.03 + 0.27 * 49 / 50])
    assert make_smoothing(SmoothingConfig()) is None


def test_without_a_radius_it_is_darts_to_the_bit() -> None:
    base = {
        "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
        "data": {"name": "fake", "train_images": 32, "resolution": 8},
        "schedule": {"epochs": 1, "batch_size": 8},
    }

    def states(**smoothing: Any) -> list[Tensor]:
        search = Search(with_overrides({**base, "relaxation": {"smoothing": smoothing}}, {}))
        search.run_epoch()
        return [*search.supernet.state_dict().values(), *search.alphas.values()]

    plain = states()
    for kind in KINDS:
        still, moved = (states(kind=kind, start=start, end=0.0) for start in (0.0, 0.3))
        assert all(torch.equal(one, other) for one, other in zip(plain, still, strict=True))
        assert not all(torch.equal(one, other) for one, other in zip(plain, moved, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relaxation", ["softmax", "sigmoid", "dirichlet", "concrete"])
def test_perturbed_weights_are_legal_around_those_of_the_pass(kind: str, relaxation: str) -> None:
    objective, batch = problem(relaxation)
    choices = objective.relaxation.choices
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[4, :3] = False
    choices.keep("normal", mask)
    choices.decide("normal", 2, 4)
    choices.prune("normal", 3)
    clean = operations(objective.mixing(batch))
    for radius in (0.01, 0.3):
        smoothing = smoothing_of(kind, radius, steps=2)
        mixing = smoothing.around(objective, batch)
        found = operations(mixing)
        assert not found.requires_grad
        if kind == "random" or radius == 0.01:  # far away the loss may be lower
            assert not torch.equal(found, clean)
        assert found.min() >= 0 and found.max() <= 1 + 1e-12
        if relaxation != "sigmoid":
            torch.testing.assert_close(found.sum(dim=1), clean.sum(dim=1))
        if kind == "adversarial" or relaxation == "sigmoid":
            assert (found - clean).abs().max() <= radius + 1e-9
        assert not found[~choices.remaining("normal")].any() and found[2, 4] == 1
        assert torch.equal(operations(smoothing.around(objective, batch)), found)


def test_random_smoothing_is_uniform() -> None:
    objective, batch = problem("sigmoid")
    clean = operations(objective.mixing(batch)).detach()
    smoothing = smoothing_of("random", 0.01)  # nothing is cut: σ(α) is near 1/5
    steps = torch.stack(  # each from a seed of its own
        [
            operations(smoothing.around(objective, batch._replace(seed=seed))) - clean
            for seed in range(200)
        ]
    )
    assert steps.abs().max() <= 0.01 and steps.abs().max() > 0.0099
    assert steps.mean().abs() < 4.5 * 0.01 / (3 * steps.numel()) ** 0.5
    assert steps.var().item() == pytest.approx(0.01**2 / 3, rel=0.05)


def test_weights_are_cut_and_divided_by_their_sum_by_hand() -> None:
    weights = torch.tensor([[0.2, -0.1, 1.3], [-0.3, -0.1, -0.2], [0.0, 0.0, 0.0], [0.5, 0.25, 0]])
    total = torch.tensor([[1.0], [1.0], [0.0], [1.5]])
    truth = [[0.2 / 1.2, 0.0, 1 / 1.2], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]
    torch.testing.assert_close(scale_to_sum(weights, total), torch.tensor(truth))


def test_the_projection_is_the_nearest_legal_point() -> None:
    """By the conditions that have one solution: x = clamp(v − μ), one μ per edge, and the sum."""
    torch.manual_seed(0)
    clean = torch.rand(50, 6, dtype=torch.float64).softmax(dim=1)
    values = clean + 0.4 * (2 * torch.rand_like(clean) - 1)
    low, high = (clean - 0.1).clamp(min=0), (clean + 0.1).clamp(max=1)
    found = project(values, low, high, torch.ones(50, 1))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(50).double(), rtol=0, atol=1e-12)
    assert (found >= low).all() and (found <= high).all()
    inside = (found > low + 1e-9) & (found < high - 1e-9)
    assert inside.any(dim=1).sum() > 20
    for value, x, free, least, most in zip(values, found, inside, low, high, strict=True):
        if free.any():
            mu = (value - x)[free]
            torch.testing.assert_close(mu, mu[:1].expand_as(mu), rtol=0, atol=1e-9)
            torch.testing.assert_close(x, (value - mu[0]).clamp(least, most), rtol=0, atol=1e-9)
    by_hand = project(
        torch.tensor([[0.9, 0.7]]), torch.zeros(1, 2), torch.ones(1, 2), torch.ones(1, 1)
    )
    torch.testing.assert_close(by_hand, torch.tensor([[0.6, 0.4]]))


def test_the_adversary_raises_the_loss_more_than_chance_and_touches_nothing() -> None:
    objective, batch = problem()
    net = objective.supernet.train()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    passes: list[bool] = []
    handle = net.register_forward_hook(lambda *_: passes.append(net.training))
    mixing = smoothing_of("adversarial", 0.1).around(objective, batch)
    handle.remove()
    assert passes == [False] * 9  # 7 steps, the loss before and after
    assert net.training
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert all(parameter.grad is None for parameter in net.parameters())
    net.eval()
    with torch.no_grad():
        clean = objective.loss(batch)[0]
        worst = objective.loss(batch, mixing=mixing)[0]
        by_chance = [
            objective.loss(batch._replace(seed=seed), mixing=at)[0]
            for seed in range(5)
            for at in [smoothing_of("random", 0.1).around(objective, batch._replace(seed=seed))]
        ]
    assert worst > clean and worst > max(by_chance)


class Linear(Objective):
    """A loss Σ c · w, whose highest point within the radius is known."""

    def loss(
        self, batch: Any, weights: Any = None, mixing: MixingWeights | None = None
    ) -> tuple[Tensor, Tensor]:
        assert mixing is not None
        return (operations(mixing) * batch[0]).sum(), torch.zeros(1, 1)


class Peak(Linear):
    """A loss that is highest at the weights of the pass."""

    def loss(
        self, batch: Any, weights: Any = None, mixing: MixingWeights | None = None
    ) -> tuple[Tensor, Tensor]:
        assert mixing is not None
        clean = operations(self.mixing(batch)).detach()
        return -(operations(mixing) - clean).square().sum(), torch.zeros(1, 1)


def test_the_adversary_finds_the_highest_point_where_it_is_known() -> None:
    objective, batch = problem()
    objective.relaxation.choices.keep("normal", torch.arange(5) < torch.full((6, 1), 4))
    clean = operations(objective.mixing(batch)).detach()
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0], dtype=torch.float64).expand(6, 5)
    linear = Linear(objective.supernet, objective.relaxation, objective.alphas)
    found = operations(
        smoothing_of("adversarial", 0.01).around(linear, SeededBatch(signs, batch.labels, 7))
    )
    torch.testing.assert_close(found, clean + 0.01 * signs)  # α is small: 0 is not reached
    peak = Peak(objective.supernet, objective.relaxation, objective.alphas)
    found = operations(smoothing_of("adversarial", 0.01).around(peak, batch))
    assert torch.equal(found, clean)


def test_edge_weights_and_the_drawn_path_are_kept() -> None:
    objective, batch = problem("dirichlet")
    betas = {name: torch.randn(6, dtype=torch.float64) for name in objective.alphas}
    objective = replace(objective, betas=betas)
    clean, found = (
        objective.mixing(batch),
        smoothing_of("random", 0.1).around(objective, batch),
    )
    for name, cell in found.items():
        assert torch.equal(cell.edges, clean[name].edges)  # type: ignore[arg-type]
        assert (cell.operations - clean[name].operations).abs().max() > 0.01
