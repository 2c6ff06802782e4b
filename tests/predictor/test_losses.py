"""The losses and their gradients, worked out by hand in float64."""

from __future__ import annotations

import math

import pytest
import torch

from tune_nas.predictor import Observation
from tune_nas.predictor.losses import Ranking, Regression, pairs
from tune_nas.spaces import Genotype

G = Genotype("any", {})


def pool(*entries: tuple[int, float]) -> list[Observation]:
    return [Observation(G, level, score) for level, score in entries]


def test_pairs_by_hand() -> None:
    # 0: proxy 900; 1: proxy 100; 2: level 1, 0.5; 3: level 1, 0.5; 4: level 2, 0.4
    found = pairs(pool((0, 900.0), (0, 100.0), (1, 0.5), (1, 0.5), (2, 0.4)))
    assert found.T.tolist() == [
        *([0, 1], [2, 0], [2, 1], [3, 0], [3, 1]),
        *([4, 0], [4, 1], [4, 2], [4, 3]),
    ]


def test_equal_failures_are_no_pair() -> None:
    assert pairs(pool((0, -math.inf), (0, -math.inf), (0, 1.0))).T.tolist() == [[2, 0], [2, 1]]


def test_ranking_by_hand() -> None:
    scores = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64, requires_grad=True)
    loss = Ranking(pool((1, 0.9), (1, 0.8), (1, 0.7)))(scores)
    sigma = {d: 1 / (1 + math.exp(-d)) for d in (0.5, -0.8, -1.3)}  # s₀ − s₁, s₀ − s₂, s₁ − s₂
    assert loss.item() == pytest.approx(-sum(map(math.log, sigma.values())) / 3, rel=1e-14)
    loss.backward()
    first, second, third = (1 - value for value in sigma.values())
    expected = [-(first + second) / 3, (first - third) / 3, (second + third) / 3]
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx(expected, rel=1e-14)


def test_regression_by_hand() -> None:
    # accuracies 1, 2, 3 (mean 2, deviation √(2/3)); level 0 is left out
    loss_of = Regression(pool((1, 1.0), (0, 500.0), (2, 3.0), (1, 2.0)))
    scores = torch.tensor([0.0, 7.0, 1.0, -0.5], dtype=torch.float64, requires_grad=True)
    loss = loss_of(scores)
    z = math.sqrt(1.5)
    assert loss.item() == pytest.approx((z**2 + (1 - z) ** 2 + 0.25) / 3, rel=1e-14)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx([2 * z / 3, 0, 2 * (1 - z) / 3, -1 / 3])


@pytest.mark.parametrize("loss", [Ranking, Regression])
def test_a_pool_without_information_gives_no_gradient(
    loss: type[Ranking] | type[Regression],
) -> None:
    scores = torch.zeros(2, requires_grad=True)
    loss(pool((0, 1.0), (0, 1.0)))(scores).backward()
    assert scores.grad is not None and scores.grad.tolist() == [0, 0]
    assert loss(pool((1, 0.5), (1, 0.5)))(torch.zeros(2)).item() == 0
