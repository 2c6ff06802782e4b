"""Searches whose batches could have one image on a map of one pixel."""

from typing import Any

import pytest
import torch
from searching import DARTS, tiny_trial

from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.stepping import channels_last

SMALL: dict[str, Any] = {"data.resolution": 4}


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
@pytest.mark.parametrize("space", [{"name": "nasbench201", "init_channels": 2, "cells": 1}, DARTS])
def test_batches_of_one_image_are_refused_before_the_search(
    space: dict[str, Any], implementation: str
) -> None:
    changes = {**SMALL, "space": space, "runtime.implementation": implementation}
    with pytest.raises(ConfigError, match=r"^schedule\.batch_size is 1, .* >= 2: maps of 4-pixel"):
        Search(tiny_trial(**changes, **{"schedule.batch_size": 1}))


def test_halves_of_one_image_are_refused_before_the_search() -> None:
    with pytest.raises(ConfigError, match=r"^a half of the training images has 1, .* >= 2"):
        Search(tiny_trial(**SMALL, **{"data.train_images": 8, "data.train_portion": 0.9}))


def test_one_image_is_enough_where_the_map_has_more_pixels() -> None:
    changes = {"data.train_images": 6, "data.resolution": 8, "schedule.batch_size": 1}
    search = Search(tiny_trial(**changes, **{"schedule.epochs": 1}))
    metrics = search.run_epoch()
    assert metrics["train_loss"] == metrics["train_loss"]


@pytest.mark.parametrize("kind", ["softmax", "gumbel"])
def test_an_image_left_over_is_evaluated_with_the_batch_before_it(kind: str) -> None:
    # 33 validation images: batches of 16 and 17. NAS-Bench-201 normalizes by the batch.
    changes = {**SMALL, "data.train_images": 66, "relaxation.kind": kind, "schedule.epochs": 1}
    search = Search(tiny_trial(**changes))
    assert len(search.data.valid) == 33
    assert search.run_epoch()["valid_loss"] > 0
    loss, _ = search.evaluate(search.expected_weights(), batch_statistics=True)
    losses = []
    supernet = search.supernet.train()
    for start, end in ((0, 16), (16, 33)):
        batch = next(search.data.evaluation_batches(search.data.valid[start:end], 33))
        images, labels = channels_last(batch)
        with torch.no_grad():
            logits = supernet(images, search.expected_weights())
        losses.append(float(torch.nn.functional.cross_entropy(logits, labels)) * (end - start))
    assert loss == pytest.approx(sum(losses) / 33, rel=1e-5)
