"""Learning rates, tallies and evaluation."""

import math
import warnings
from typing import Any

import pytest
import torch
from torch.nn import functional

from tune_nas.training import FusedSGD, Tally, cosine, evaluate, tally

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
            # No optimizer steps before the schedule's: there is nothing to optimize here.
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


def _pairs() -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Return parameters in channels_last, and the same in NCHW."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((8, 4, 3, 3), (6, 5, 1, 1), (7, 1, 5, 5), (5, 3), (9,))
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return (
        [
            torch.nn.Parameter(
                value.to(memory_format=torch.channels_last) if value.ndim == 4 else value.clone()
            )
            for value in values
        ],
        [torch.nn.Parameter(value.clone()) for value in values],
    )


def _steps(optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(5):
        for parameter in optimizer.param_groups[0]["params"]:
            gradient = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        optimizer.step()


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9, "weight_decay": 3e-4, "nesterov": True},
        {"momentum": 0.9, "weight_decay": 0.0},
        {"momentum": 0.0, "weight_decay": 0.1},
    ],
)
def test_fused_sgd_is_sgd_and_goes_on_from_its_state(options: dict[str, Any]) -> None:
    last, plain = _pairs()
    fused = FusedSGD(last, lr=0.1, **options)
    sgd = torch.optim.SGD(plain, lr=0.1, **options)
    for seed in (1, 2):
        _steps(fused, seed)
        _steps(sgd, seed)
        for one, other in zip(last, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        # The momentum of the other lies in NCHW, and its group says that nothing is fused.
        fused.load_state_dict(sgd.state_dict())
        assert fused.param_groups[0]["fused"] is True
        for parameter, entry in fused.state.items():
            assert entry["momentum_buffer"].stride() == parameter.stride()
    foreach = torch.optim.SGD(_pairs()[1], lr=0.1, foreach=True, **options)
    fused.load_state_dict(foreach.state_dict())
    _steps(fused, 3)


def test_the_class_among_the_largest_logits_is_counted_by_hand() -> None:
    logits = torch.tensor(
        [
            [9.0, 8, 7, 6, 5, 4, 3],  # 0 to 4 are the five largest
            [1.0, 2, 3, 4, 5, 6, 7],  # 2 to 6
            [0.0, 9, 0, 9, 9, 9, 9],  # 1, 3, 4, 5, 6
        ]
    )
    batches = [
        (logits, torch.tensor([4, 1, 6])),  # two hits, no first
        (logits, torch.tensor([0, 2, 0])),  # two hits, one first
    ]
    found = tally(lambda scores: scores, batches, CPU, top=5)
    assert found.top_accuracy == pytest.approx(100 * 4 / 6, rel=1e-12)
    assert found.accuracy == pytest.approx(100 / 6, rel=1e-12)
    assert (found.loss, found.accuracy) == evaluate(lambda scores: scores, batches, CPU)
    assert tally(lambda scores: scores, batches, CPU).top_accuracy is None
    empty = tally(lambda scores: scores, [], CPU, top=5).top_accuracy
    assert empty is not None and math.isnan(empty)


def test_of_equal_logits_those_that_topk_chooses_count() -> None:
    equal = torch.zeros(9, 9)
    hits = equal.topk(5, dim=1).indices
    expected = sum(label in row for label, row in enumerate(hits.tolist()))
    found = tally(lambda scores: scores, [(equal, torch.arange(9))], CPU, top=5)
    assert expected == 5
    assert found.top_accuracy == pytest.approx(100 * expected / 9, rel=1e-12)
