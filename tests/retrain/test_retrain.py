"""Training from scratch: its steps against plain ones, and going on from a checkpoint."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import assert_same
from genotypes import ALL_OPERATIONS
from torch import nn
from torch.nn import functional

from tune_nas.checkpoint import save_state
from tune_nas.config import TrialConfig
from tune_nas.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    GenotypeError,
    TuneNasError,
)
from tune_nas.library import load_trial, with_overrides
from tune_nas.retrain import STATE_FILE, Retrain
from tune_nas.spaces import CellGenotype, Genotype, build_network, count_parameters, load_space

DARTS = Genotype.parse(ALL_OPERATIONS)
NASBENCH201 = Genotype.parse(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)
_NOISY_CELL = [
    *((0, 2, "noise"), (1, 2, "sep_conv_3x3"), (0, 3, "sep_conv_3x3"), (2, 3, "noise")),
    *((1, 4, "sep_conv_3x3"), (3, 4, "sep_conv_3x3"), (0, 5, "noise"), (4, 5, "sep_conv_3x3")),
]
S4 = Genotype("s4", {name: CellGenotype.of(_NOISY_CELL) for name in ("normal", "reduction")})
RECIPE: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 32,
    "init_channels": 4,
    "cells": 3,
    "drop_path": 0.3,
    "label_smoothing": 0.1,
    "augment": {"crop_padding": 1, "flip": True, "cutout": 3},
}


def _trial(space: str = "darts", seed: int = 0, **recipe: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "seed": seed,
            "space": {"name": space},
            "data": {"name": "fake", "train_images": 128},
            "runtime": {"device": "cpu"},
            "retrain": {**RECIPE, **recipe},
        }
    )


def _run(retrain: Retrain, epochs: int) -> None:
    for _ in range(epochs):
        retrain.run_epoch()


@pytest.mark.parametrize(
    ("space", "genotype", "recipe"),
    [
        ("darts", DARTS, {}),
        ("darts", DARTS, {"auxiliary_weight": 0.0, "nesterov": True, "clip": 0.0}),
        ("nasbench201", NASBENCH201, {"auxiliary_weight": 0.0, "cells": 1}),
        ("s4", S4, {"auxiliary_weight": 0.0}),
    ],
)
def test_killed_and_resumed_is_straight_through_to_the_bit(
    space: str, genotype: Genotype, recipe: dict[str, Any], tmp_path: Path
) -> None:
    trial = _trial(space, **recipe)
    straight = Retrain(trial, genotype)
    _run(straight, 4)
    first = Retrain(trial, genotype)
    _run(first, 2)
    first.save(tmp_path / "checkpoint")
    _run(first, 1)  # lost in the crash
    torch.manual_seed(99)  # another process has other global random numbers
    second = Retrain(trial, genotype)
    second.load(tmp_path / "checkpoint")
    assert (second.epoch, second.done) == (2, False)
    _run(second, 2)
    assert second.done
    assert_same(straight.state_dict(), second.state_dict())
    moments = straight.state_dict()["optimizer"]["state"]
    assert moments and all(entry["momentum_buffer"] is not None for entry in moments.values())


def test_a_process_killed_in_an_epoch_is_resumed_to_the_bit(tmp_path: Path) -> None:
    trial = _trial()
    program = f"""
import os, signal
from pathlib import Path
from tune_nas.config import TrialConfig
from tune_nas.retrain import Retrain
from tune_nas.spaces import Genotype

retrain = Retrain(TrialConfig.model_validate({trial.to_dict()!r}), Genotype.parse({str(DARTS)!r}))
folder = Path({str(tmp_path)!r})
for epoch in (1, 2):
    retrain.run_epoch()
    retrain.save(folder / str(epoch))
kill = lambda step, n: os.kill(os.getpid(), signal.SIGKILL) if step == 2 else None
retrain.run_epoch(kill)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (-signal.SIGKILL, "")
    resumed = Retrain(trial, DARTS)
    resumed.load(tmp_path / "2")
    _run(resumed, 2)
    straight = Retrain(trial, DARTS)
    _run(straight, 4)
    assert_same(straight.state_dict(), resumed.state_dict())


def test_the_seed_decides_everything() -> None:
    runs = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        retrain = Retrain(_trial(seed=seed), DARTS)
        retrain.run_epoch()
        assert torch.equal(torch.random.get_rng_state(), before)
        runs.append(retrain.state_dict())
    assert_same(runs[0], runs[1])
    first, other = runs[0]["network"], runs[2]["network"]
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_an_epoch_is_the_published_recipe_written_out() -> None:
    """Compare with plain SGD: loss + weight · auxiliary loss, clipping, momentum, decay."""
    retrain = Retrain(_trial(clip=0.5, drop_path=0.0), DARTS)
    space = load_space("darts")
    network = build_network(DARTS, space, n_classes=4, init_channels=4, cells=3, auxiliary=True)
    network.load_state_dict(retrain.network.state_dict())
    stream = retrain._train.state_dict()
    losses, right, clipped = [], 0, 0
    buffers: dict[str, torch.Tensor] = {}
    twin = Retrain(_trial(clip=0.5, drop_path=0.0), DARTS)
    twin._train.load_state_dict(stream)
    for _ in range(4):
        images, labels = twin._train.next()
        output, auxiliary = network(images)
        # Label smoothing by hand: 0.9 of the weight on the label, 0.1 on all classes alike.
        target = 0.9 * functional.one_hot(labels, 4) + 0.1 / 4
        loss, side = (
            -(target * scores.log_softmax(1)).sum(1).mean() for scores in (output, auxiliary)
        )
        network.zero_grad()
        (loss + 0.4 * side).backward()
        losses.append(float(loss.detach()))
        right += int((output.argmax(1) == labels).sum())
        parameters = dict(network.named_parameters())
        norm = sum(float((p.grad**2).sum()) for p in parameters.values()) ** 0.5
        clipped += norm > 0.5
        with torch.no_grad():
            for name, parameter in parameters.items():
                gradient = parameter.grad * min(1.0, 0.5 / norm) + 3e-4 * parameter
                buffers[name] = 0.9 * buffers[name] + gradient if name in buffers else gradient
                parameter -= 0.025 * buffers[name]
    metrics = retrain.run_epoch()
    assert clipped > 0
    assert metrics["train_loss"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert metrics["train_accuracy"] == 100 * right / 128
    for name, parameter in retrain.network.named_parameters():
        assert torch.allclose(parameter, dict(network.named_parameters())[name], atol=1e-5), name


def test_metrics_are_those_of_the_network() -> None:
    retrain = Retrain(_trial(learning_rate_min=0.005), DARTS)
    steps: list[tuple[int, int]] = []
    for epoch in range(4):
        metrics = retrain.run_epoch(lambda step, n: steps.append((step, n)))
        # Linear from 0, as published: probability · epoch / epochs.
        assert retrain.network.drop_path_probability == pytest.approx(0.3 * epoch / 4)
    assert steps == [(step, 4) for step in (1, 2, 3, 4)] * 4
    assert set(metrics) == {
        "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
        "best_test_accuracy", "best_epoch", "learning_rate", "parameters", "seconds", "memory_mib",
    }  # fmt: skip
    assert [entry["epoch"] for entry in retrain.history] == [1, 2, 3, 4]
    rates = [entry["learning_rate"] for entry in retrain.history]
    half = 0.005 + 0.02 * (1 + 2**-0.5) / 2
    assert rates == pytest.approx([0.025, half, 0.015, 0.03 - half])
    accuracies = [entry["test_accuracy"] for entry in retrain.history]
    assert metrics["best_test_accuracy"] == max(accuracies)
    assert metrics["best_epoch"] == accuracies.index(max(accuracies)) + 1
    assert metrics["parameters"] == count_parameters(retrain.network)
    retrain.network.eval()
    ((images, labels),) = retrain.data.evaluation_batches(retrain.data.test, 64)
    with torch.no_grad():
        logits = retrain.network(images)
    assert metrics["test_loss"] == pytest.approx(
        float(functional.cross_entropy(logits, labels)), rel=1e-5
    )
    accuracy = 100 * float((logits.argmax(1) == labels).double().mean())
    assert metrics["test_accuracy"] == pytest.approx(accuracy)


def test_it_learns() -> None:
    retrain = Retrain(_trial(epochs=6, drop_path=0.1), DARTS)
    _run(retrain, 6)
    # Four classes: 25 is chance.
    assert retrain.history[-1]["test_accuracy"] > 80


def test_test_images_never_train() -> None:
    """Scrambled test labels change the test metrics alone."""
    plain, scrambled = (Retrain(_trial(), DARTS) for _ in range(2))
    scrambled.data.test.labels.copy_(scrambled.data.test.labels.roll(1))
    _run(plain, 2)
    _run(scrambled, 2)
    assert_same(plain.state_dict()["network"], scrambled.state_dict()["network"])
    assert plain.history[1]["train_loss"] == scrambled.history[1]["train_loss"]
    assert plain.history[1]["test_loss"] != scrambled.history[1]["test_loss"]


def test_batch_normalization_does_not_learn_from_the_test() -> None:
    retrain = Retrain(_trial(), DARTS)
    before = {name: value.clone() for name, value in retrain.network.named_buffers()}
    retrain._evaluate()
    assert not any(
        module.training
        for module in retrain.network.modules()
        if isinstance(module, nn.BatchNorm2d)
    )
    for name, value in retrain.network.named_buffers():
        assert torch.equal(value, before[name]), name


def test_the_checkpoint_has_the_genotype_as_text(tmp_path: Path) -> None:
    Retrain(_trial(), DARTS).save(tmp_path)
    assert (tmp_path / STATE_FILE).is_file()
    assert Genotype.load(tmp_path / "genotype.yaml") == DARTS


def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    retrain = Retrain(_trial(), DARTS)
    retrain.run_epoch()
    retrain.save(tmp_path)
    for trial, words in (
        (_trial(seed=1), "seed differ"),
        (_trial(epochs=5, clip=1.0), r"retrain\.clip, retrain\.epochs differ"),
    ):
        other = Retrain(trial, DARTS)
        before = {name: value.clone() for name, value in other.network.state_dict().items()}
        with pytest.raises(CheckpointError, match=words):
            other.load(tmp_path)
        assert_same(before, dict(other.network.state_dict()))
        assert (other.epoch, other.history) == (0, [])
    swapped = DARTS.to_darts().replace("sep_conv_3x3", "sep_conv_5x5", 1)
    with pytest.raises(CheckpointError, match="of another genotype"):
        Retrain(_trial(), Genotype.parse(swapped)).load(tmp_path)
    with pytest.raises(CheckpointError):
        retrain.load(tmp_path / "absent")
    state = retrain.state_dict()
    cleaned = {key: value for key, value in state.items() if key != "optimizer"}
    save_state(tmp_path / "cleaned", cleaned, name=STATE_FILE)
    with pytest.raises(CheckpointError, match="no optimizer state, which `tune-nas clean` removes"):
        Retrain(_trial(), DARTS).load(tmp_path / "cleaned")
    del state["batches"]
    save_state(tmp_path / "old", state, name=STATE_FILE)
    with pytest.raises(CheckpointError, match="made by another version"):
        retrain.load(tmp_path / "old")


def test_a_genotype_of_another_space_is_refused() -> None:
    with pytest.raises(GenotypeError):
        Retrain(_trial(), NASBENCH201)


def test_a_finished_training_and_a_diverged_one_say_so() -> None:
    retrain = Retrain(_trial(epochs=1), DARTS)
    retrain.run_epoch()
    with pytest.raises(TuneNasError, match="the training is over: 1 of 1 epochs"):
        retrain.run_epoch()
    diverging = Retrain(_trial(learning_rate=1e30, clip=0.0), DARTS)
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in epoch 1; a lower retrain"):
        diverging.run_epoch()
    assert (diverging.epoch, diverging.history) == (0, [])


def test_importing_needs_torch_pydantic_and_yaml_alone() -> None:
    program = (
        "import sys, tune_nas.data, tune_nas.retrain\n"
        "heavy = {'ray', 'optuna', 'mlflow', 'torchvision', 'sklearn', 'PIL', 'rich', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")


@pytest.mark.parametrize("genotype", [DARTS, NASBENCH201], ids=["darts", "nasbench201"])
def test_batches_of_one_image_on_one_pixel_are_refused(genotype: Genotype) -> None:
    small = {"batch_size": 1, "auxiliary_weight": 0.0, "augment": {"crop_padding": 0}}
    trial = _trial(genotype.space, **small, cells=3)
    tiny = with_overrides(trial, {"data.resolution": 4})
    with pytest.raises(ConfigError, match=r"^retrain\.batch_size is 1, but must be >= 2: .*4-pix"):
        Retrain(tiny, genotype)
    assert Retrain(trial, genotype).data.image_size == 8  # a map of 2 × 2 pixels is left


def test_the_auxiliary_head_needs_two_images() -> None:
    trial = with_overrides(_trial(), {"data.train_images": 1})
    with pytest.raises(ConfigError, match=r"^data\.train_images is 1, .* auxiliary head"):
        Retrain(trial, DARTS)


def test_a_checkpoint_from_before_a_key_was_there_has_its_default() -> None:
    retrain = Retrain(_trial(epochs=1), DARTS)
    retrain.run_epoch()
    state = retrain.state_dict()
    for key in ("layout", "fit", "background"):
        del state["trial"]["data"][key]
    del state["trial"]["retrain"]["augment"]["reference_size"]
    resumed = Retrain(_trial(epochs=1), DARTS)
    resumed.load_state_dict(state)
    assert resumed.epoch == 1
    state["trial"]["data"]["resolution"] = 64
    with pytest.raises(CheckpointError, match=r"data\.resolution differ"):
        resumed.load_state_dict(state)


def test_retraining_on_the_8_pixels_of_the_digits_sees_the_digits() -> None:
    keys = {"epochs": 4, "cells": 1, "init_channels": 8, "batch_size": 24, "auxiliary_weight": 0}
    changes = {f"retrain.{key}": value for key, value in keys.items()}
    trial = load_trial(
        "darts-1st", {**changes, "space.name": "nasbench201", "data.train_images": 480}
    )
    assert trial.retrain.augment.cutout == 16  # for 32 pixels
    retrain = Retrain(trial, NASBENCH201)
    for _ in range(20):
        images, _ = retrain._train.next()
        assert not (images == 0).flatten(1).all(dim=1).any()  # what cutout sets a pixel to
    while not retrain.done:
        metrics = retrain.run_epoch()
    assert metrics["test_accuracy"] > 50  # chance is 10
