"""Gradient accumulation, averaged weights and mixed precision of retraining runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import assert_same
from genotypes import DARTS, NOISY
from torch import Tensor, nn

from tune_nas import load_network
from tune_nas.config import TrialConfig
from tune_nas.data import DataShape
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial, with_overrides
from tune_nas.retrain import Retrain
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.spaces import Genotype, Network


def trial_of(space: str = "darts", dtype: str = "float64", **recipe: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "space": {"name": space},
            "data": {"name": "fake", "train_images": 64},
            "runtime": {"device": "cpu", "dtype": dtype},
            "retrain": {
                **{"epochs": 3, "batch_size": 32, "init_channels": 4, "cells": 3, "drop_path": 0.3},
                **{"augment": {"crop_padding": 1, "flip": True, "cutout": 3}, **recipe},
            },
        }
    )


def run(retrain: Retrain, epochs: int) -> dict[str, Any]:
    for _ in range(epochs):
        retrain.run_epoch()
    return retrain.state_dict()


class FrozenStatistics(nn.BatchNorm2d):
    """Batch normalization by its running statistics, which do not move."""

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        return nn.functional.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)


def freeze(network: Network) -> None:
    generator = torch.Generator().manual_seed(7)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = FrozenStatistics
            size = module.running_mean.shape
            module.running_mean.copy_(torch.rand(size, generator=generator))
            module.running_var.copy_(torch.rand(size, generator=generator) + 0.5)


@pytest.mark.parametrize("steps", [2, 4, 16])
def test_the_parts_of_a_batch_give_the_step_of_the_whole(steps: int) -> None:
    """With fixed statistics; with auxiliary loss, clipping, momentum and label smoothing."""
    recipe = {"clip": 0.5, "drop_path": 0.0, "label_smoothing": 0.1}
    by_torch = {"runtime.implementation": "torch"}  # the layers are replaced below
    whole, parts = (
        Retrain(with_overrides(trial_of(accumulation_steps=n, **recipe), by_torch), DARTS)
        for n in (1, steps)
    )
    for each in (whole, parts):
        freeze(each.network)
        each.network.train()
    before = [p.detach().clone() for p in whole.network.parameters()]
    for _ in range(3):
        images, labels = whole._train.next()
        loss, logits = whole.training.step(images, labels)
        found, scores = parts.training.step(images, labels)
        torch.testing.assert_close(found, loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(scores, logits, rtol=1e-12, atol=1e-12)
    pairs = zip(parts.network.parameters(), whole.network.parameters(), strict=True)
    for own, other in pairs:
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)
    moved = zip(before, whole.network.parameters(), strict=True)
    assert max(float((old - new).detach().abs().max()) for old, new in moved) > 1e-3


def test_each_part_has_its_own_statistics_and_drop_path() -> None:
    retrain = Retrain(trial_of(accumulation_steps=4), DARTS)
    seen: list[tuple[int, ...]] = []
    draw = retrain.network.draw_kept

    def look(images: Tensor) -> Tensor | None:
        kept = draw(images)
        assert kept is not None
        seen.append(tuple(kept.shape))
        return kept

    retrain.network.draw_kept = look  # type: ignore[method-assign]
    retrain.training.set_epoch(1)
    retrain.network.train()
    retrain.training.step(*retrain._train.next())
    assert seen == [(retrain.network.n_paths, 8, 1, 1, 1)] * 4
    counts = [v for name, v in retrain.network.named_buffers() if name.endswith("batches_tracked")]
    assert counts and all(int(count) == 4 for count in counts)


RESUMED = [
    ("darts", DARTS, "float64", {"accumulation_steps": 4}),
    ("darts", DARTS, "float32", {"autocast": True}),
    ("s4", NOISY, "float32", {"ema_decay": 0.9, "accumulation_steps": 2, "autocast": True}),
]


@pytest.mark.parametrize(("space", "genotype", "dtype", "recipe"), RESUMED)
def test_options_are_resumed_bit_for_bit(
    space: str, genotype: Genotype, dtype: str, recipe: dict[str, Any], tmp_path: Path
) -> None:
    trial = trial_of(space, dtype, **recipe)
    straight = run(Retrain(trial, genotype), 2)
    first = Retrain(trial, genotype)
    run(first, 1)
    first.save(tmp_path)
    torch.manual_seed(99)
    second = Retrain(trial, genotype)
    second.load(tmp_path)
    assert_same(straight, run(second, 1))


@pytest.mark.parametrize(("space", "genotype"), [("darts", DARTS), ("s4", NOISY)])
def test_an_average_is_that_of_the_formula_and_changes_no_training(
    space: str, genotype: Genotype
) -> None:
    decay = 0.7
    retrain = Retrain(trial_of(space, ema_decay=decay), genotype)
    expected: dict[str, Tensor] = {}
    step = retrain.training.step

    def stepped(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        result = step(images, labels)
        for name, value in retrain.network.state_dict().items():
            if not value.is_floating_point():
                continue
            old = expected.get(name)
            # the first step is copied: there is nothing to average yet
            expected[name] = value.clone() if old is None else decay * old + (1 - decay) * value
        return result

    retrain.training.step = stepped  # type: ignore[method-assign]
    state = run(retrain, 2)
    average = state["ema"]
    assert average["steps"] == 4
    counters = average["network"].keys() - expected.keys()
    assert counters and all(int(average["network"][name]) == 4 for name in counters)
    for name, value in expected.items():
        torch.testing.assert_close(average["network"][name], value, rtol=1e-12, atol=1e-12)
    assert any(not torch.equal(average["network"][n], state["network"][n]) for n in expected)
    plain = run(Retrain(trial_of(space), genotype), 2)
    for key in ("network", "optimizer", "drop_path_generator"):
        assert_same(state[key], plain[key])
    for own, other in zip(state["history"], plain["history"], strict=True):
        assert own["test_loss"] == other["test_loss"]
        assert "ema_test_loss" in own and "ema_test_loss" not in other


def test_the_loaded_network_is_the_average(tmp_path: Path) -> None:
    retrain = Retrain(trial_of(ema_decay=0.9, dtype="float32"), DARTS)
    run(retrain, 2)
    retrain.save(tmp_path)
    loaded = load_network(tmp_path)
    batches = list(retrain.data.evaluation_batches(retrain.data.test, 1000))
    (images, labels) = batches[0]
    with torch.no_grad():
        logits = loaded(images)
    loss = float(nn.functional.cross_entropy(logits, labels))
    last = retrain.history[-1]
    assert len(batches) == 1
    assert loss == pytest.approx(last["ema_test_loss"], rel=1e-5)
    assert loaded.metrics["test_loss"] == last["ema_test_loss"] != last["test_loss"]
    assert loaded.metrics["test_accuracy"] == last["ema_test_accuracy"]
    assert "best_test_accuracy" in last and "best_test_accuracy" not in loaded.metrics


def test_autocast_is_close_to_float32_with_weights_in_float32() -> None:
    recipe = {"drop_path": 0.0, "auxiliary_weight": 0.4}
    plain = Retrain(trial_of(dtype="float32", **recipe), DARTS)
    mixed = Retrain(trial_of(dtype="float32", autocast=True, **recipe), DARTS)
    kinds: set[torch.dtype] = set()
    convolution = next(m for m in mixed.network.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, out: kinds.add(out.dtype))
    images, labels = plain._train.next()
    for each in (plain, mixed):
        each.network.train()
    loss, _ = plain.training.step(images, labels)
    found, logits = mixed.training.step(images, labels)
    assert kinds == {torch.bfloat16}
    assert (found.dtype, logits.dtype) == (torch.float32, torch.float32)
    assert 0 < abs(float(found - loss)) < 0.05 * float(loss)
    assert all(p.dtype == torch.float32 for p in mixed.network.parameters())
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in mixed.network.parameters())
    kinds.clear()
    mixed._evaluate()
    assert kinds == {torch.float32}


def test_it_learns_with_all_options() -> None:
    options = {"ema_decay": 0.8, "accumulation_steps": 2, "autocast": True}
    trial = trial_of(dtype="float32", **{"epochs": 12, "drop_path": 0.1, **options})
    history = run(Retrain(trial, DARTS), 12)["history"]
    # Four classes: 25 is chance.
    assert history[-1]["test_accuracy"] > 80 and history[-1]["ema_test_accuracy"] > 80


def test_scores_have_the_five_best_of_more_than_five_classes() -> None:
    digits = with_overrides(
        trial_of(dtype="float32"), {"data.name": "digits", "data.train_images": 64}
    )
    retrain = Retrain(with_overrides(digits, {"retrain.ema_decay": 0.5}), DARTS)
    metrics = retrain.run_epoch()
    retrain.network.eval()
    hits = total = 0
    for images, labels in retrain.data.evaluation_batches(retrain.data.test, 100):
        with torch.no_grad():
            logits = retrain.network(images)
        order = logits.argsort(dim=1, descending=True)
        pairs = zip(order[:, :5].tolist(), labels.tolist(), strict=True)
        hits += sum(label in row for row, label in pairs)
        total += len(labels)
    assert metrics["test_top5_accuracy"] == pytest.approx(100 * hits / total, rel=1e-12)
    assert metrics["test_top5_accuracy"] > metrics["test_accuracy"]
    assert not math.isnan(metrics["ema_test_top5_accuracy"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"retrain.accumulation_steps": 7},
            r"retrain\.accumulation_steps is 7, but must divide retrain\.batch_size \(96\)",
        ),
        ({"retrain.accumulation_steps": 96}, r"is 96, but must leave at least 2 of 96 images"),
        ({"retrain.accumulation_steps": 0}, r"retrain\.accumulation_steps is 0, but must be >= 1"),
        ({"retrain.ema_decay": 1}, r"retrain\.ema_decay is 1, but must be < 1"),
        ({"retrain.autocast": "half"}, r"retrain\.autocast is 'half', but must be"),
        (
            {"retrain.autocast": True, "runtime.dtype": "float64"},
            r"retrain\.autocast is true, but needs runtime\.dtype float32, not float64",
        ),
    ],
)
def test_bad_values_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_trial("darts-1st", settings)
    assert "\n" not in str(caught.value)


def test_a_batch_of_all_images_must_be_divisible() -> None:
    few = with_overrides(trial_of(accumulation_steps=16), {"data.train_images": 20})
    with pytest.raises(ConfigError, match=r"^retrain\.accumulation_steps is 16, .* all 20 train"):
        Retrain(few, DARTS)
    least = with_overrides(trial_of(accumulation_steps=16), {"data.train_images": 16})
    with pytest.raises(ConfigError, match=r"^retrain\.batch_size / .* is 1, but must be >= 2: "):
        Retrain(least, DARTS)


def test_a_part_of_a_batch_must_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = DataShape(n_classes=10, in_channels=3, image_size=32, n_train=50_000)
    monkeypatch.setattr("tune_nas.retrain.retrain_checks.describe_data", lambda config: shape)
    monkeypatch.setattr("tune_nas.memory.memory_bytes", lambda device: 2**30)
    plain = load_trial("darts-1st", {"retrain.batch_size": 4096, "runtime.device": "cpu"})
    with pytest.raises(ConfigError, match=r"a batch of 4096 .* retrain\.batch_size must be <= "):
        check_retrain_memory(plain)
    divided = with_overrides(plain, {"retrain.accumulation_steps": 16})
    key = r"retrain\.batch_size / retrain\.accumulation_steps"
    with pytest.raises(ConfigError, match=rf"a batch of 256 .* {key} must be <= "):
        check_retrain_memory(divided)
    check_retrain_memory(with_overrides(plain, {"retrain.accumulation_steps": 128}))


def test_a_trial_of_an_earlier_version_has_no_options() -> None:
    content = trial_of().to_dict()
    for key in ("accumulation_steps", "ema_decay", "autocast"):
        del content["retrain"][key]
    assert TrialConfig.model_validate(content) == trial_of()
    state = Retrain(trial_of(), DARTS).state_dict()
    assert "ema" not in state
