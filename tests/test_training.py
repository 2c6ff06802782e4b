"""Learning rates, tallies and evaluation."""

import math
import warnings

import pytest
import torch
from torch.nn import functional

from tune_nas.training import Tally, cosine, evaluate

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rate", "rate_min", "epochs"), [(0.025, 0.001, 50), (0.1, 0.0, 7), (1.0, 0.5, 1)]
)
def test_cosine_is_torchs_schedule(rate: float, rate_min: float, epochs: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=rate_min)
    for epoch in range(epochs + 1):
        expected = optimizer.param_groups[0]["lr"]
        assert cosine(epoch, epochs, rate, rate_min) == pytest.approx(
            expected, rel=1e-12, abs=1e-15
        )
        with warnings.catch_warnings():
            # No optimiser steps before the schedule's: there is nothing to optimise here.
            warnings.simplefilter("ignore", UserWarning)
            schedule.step()


@pytest.mark.parametrize(("epoch", "epochs"), [(-1, 5), (6, 5), (0, 0)])
def test_cosine_checks_the_epoch(epoch: int, epochs: int) -> None:
    with pytest.raises(ValueError, match=f"epoch is {epoch}, but must be in"):
        cosine(epoch, epochs, 0.1)


def test_evaluate_is_the_mean_over_images_not_over_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(23, 6, generator=generator)
    labels = torch.randint(6, (23,), generator=generator)
    batches = [(images[i : i + 5], labels[i : i + 5]) for i in range(0, 23, 5)]
    loss, accuracy = evaluate(lambda x: 3 * x, batches, CPU)
    assert loss == pytest.approx(float(functional.cross_entropy(3 * images, labels)), rel=1e-6)
    right = sum(int(row.argmax()) == int(label) for row, label in zip(images, labels, strict=True))
    assert accuracy == pytest.approx(100 * right / 23, rel=1e-12)


def test_evaluate_records_no_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    seen = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        seen.append(x * weight)
        return seen[-1]

    evaluate(forward, [(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))], CPU)
    assert not seen[0].requires_grad


def test_a_tally_of_nothing_is_nan() -> None:
    tally = Tally(CPU)
    assert math.isnan(tally.loss) and math.isnan(tally.accuracy)


def test_a_loss_that_is_not_finite_stays_visible() -> None:
    tally = Tally(CPU)
    logits, labels = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    tally.add(torch.tensor(float("nan")), logits, labels)
    tally.add(torch.tensor(1.0), logits, labels)
    assert math.isnan(tally.loss)
    assert tally.accuracy == 100.0
