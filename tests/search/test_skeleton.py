"""Searches in another skeleton than that of their space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searching import DARTS, UNEQUAL_BY_NATURE, tiny_trial

from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError, ConfigError
from tune_nas.retrain import Retrain
from tune_nas.search import Search
from tune_nas.search.effective import EffectiveValues
from tune_nas.spaces import (
    CellWeights,
    Supernet,
    count_multiply_adds,
    count_parameters,
    load_space,
)
from tune_nas.spaces.skeletons.imagenet import ImageNetStem


def trial(**changes: Any) -> TrialConfig:
    """A search of 2 epochs in DARTS's space on images of 64 pixels."""
    return tiny_trial(
        **{
            "space": {**DARTS, "init_channels": 4, "skeleton": "imagenet"},
            "data.resolution": 64,
            "data.train_images": 16,
            "schedule.batch_size": 4,
            "schedule.epochs": 2,
            "retrain": {"init_channels": 4, "cells": 3, "epochs": 1, "auxiliary_weight": 0},
            **changes,
        }
    )


def is_imagenet(network: torch.nn.Module) -> bool:
    return isinstance(network.get_submodule("backbone.stem"), ImageNetStem)


@pytest.mark.parametrize("implementation", ["torch", "fast"])
def test_every_form_of_a_supernet_equals_the_plain_one(implementation: str) -> None:
    space = load_space("darts", "imagenet")
    sizes = {"n_classes": 3, "init_channels": 4, "cells": 3}
    plain = Supernet(space, **sizes).double()
    other = Supernet(space, **sizes, implementation=implementation).double()
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    weights = {
        name: CellWeights(torch.rand(len(cell.edges), cell.n_operations, dtype=torch.float64))
        for name, cell in space.cells.items()
    }
    torch.testing.assert_close(other(x, weights), plain(x, weights), atol=1e-12, rtol=1e-12)


def test_a_search_halves_the_map_three_times_before_the_first_cell() -> None:
    search = Search(trial())
    assert is_imagenet(search.supernet)
    sides = []
    for block in search.supernet.backbone.blocks:
        block.body.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    search.run_epoch()
    assert sides[:3] == [8, 4, 2]


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = Search(trial())
    whole.run_epoch()
    whole.save(tmp_path)
    whole.run_epoch()
    resumed = Search(trial())
    resumed.load(tmp_path)
    resumed.run_epoch()
    for mine, other in zip(resumed.history, whole.history, strict=True):
        equal = set(mine) - set(UNEQUAL_BY_NATURE)
        assert {key: mine[key] for key in equal} == {key: other[key] for key in equal}
    with pytest.raises(CheckpointError, match=r"space\.skeleton"):
        Search(trial(**{"space.skeleton": None})).load(tmp_path)


def test_a_retraining_run_has_the_skeleton_of_its_search() -> None:
    genotype = Search(trial()).genotype
    assert is_imagenet(Retrain(trial(), genotype).network)
    assert not is_imagenet(Retrain(trial(**{"retrain.skeleton": "thirds"}), genotype).network)
    on_cifar = {"space.skeleton": None, "retrain.skeleton": "imagenet"}
    assert is_imagenet(Retrain(trial(**on_cifar), genotype).network)


@pytest.mark.parametrize(
    ("space", "retrain", "size"),
    [(None, None, (36, 20)), ("imagenet", None, (48, 14)), (None, "imagenet", (48, 14))],
)
def test_default_sizes_are_those_of_the_skeleton(
    space: str | None, retrain: str | None, size: tuple[int, int]
) -> None:
    keys = ("retrain.init_channels", "retrain.cells", "space.skeleton")
    changes = {"space.skeleton": space, "retrain": {"skeleton": retrain}}
    found = EffectiveValues(keys).of(trial(**changes))
    assert (found["retrain"]["init_channels"], found["retrain"]["cells"]) == size
    assert found["space"]["skeleton"] == (space or "thirds")


@pytest.mark.parametrize("skeleton", ["thirds", "imagenet"])
def test_sizes_reported_by_a_search_are_those_of_its_final_network(skeleton: str) -> None:
    search = Search(trial(**{"retrain.skeleton": skeleton}))
    counted = search.run_epoch()
    network = Retrain(search.trial, search.genotype).network
    assert counted["genotype/parameters"] == count_parameters(network)
    expected = count_multiply_adds(network, search.data.image_size, search.data.in_channels)
    assert counted["genotype/multiply_adds"] == expected > 0


def test_cells_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="layout 'imagenet' has the cells normal, reduction"):
        Search(tiny_trial(**{"space.skeleton": "imagenet"}))
