"""A cell type that occurs nowhere in the network: refused wherever a number of cells is set."""

from __future__ import annotations

from typing import Any

import pytest

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.retrain import Retrain
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.search import Search
from tune_nas.shipped import shipped_names
from tune_nas.spaces import Space, Supernet, build_network, load_space, model_size
from tune_nas.spaces.skeletons import SKELETONS

THIRDS = [n for n in shipped_names("space") if load_space(n).skeleton.layout == "thirds"]
MESSAGE = r"is {}, but must be >= 3: with {} the network of space '{}' has no normal cell"


def test_which_cells_occur() -> None:
    both = ("normal", "reduction")
    thirds, stages = SKELETONS["thirds"], SKELETONS["stages"]
    assert [position.cell for position in thirds.plan(1, 1)] == ["reduction"]
    assert [position.cell for position in thirds.plan(1, 2)] == [
        "reduction",
        "reduction",
    ]
    assert [position.cell for position in thirds.plan(1, 3)] == [
        "normal",
        *["reduction"] * 2,
    ]
    assert [thirds.absent_cells(cells, both) for cells in (1, 2)] == [["normal"]] * 2
    assert all(thirds.absent_cells(cells, both) == [] for cells in range(3, 40))
    assert all(stages.absent_cells(cells, ["normal"]) == [] for cells in range(1, 40))


@pytest.mark.parametrize("cells", [1, 2])
@pytest.mark.parametrize("name", THIRDS)
def test_every_shipped_space_of_that_layout(name: str, cells: int, picker: Any) -> None:
    space = load_space(name)
    genotype = picker(space, lambda options, n: options[:n])
    message = "^cells " + MESSAGE.format(cells, cells, name)
    with pytest.raises(ConfigError, match=message):
        Supernet(space, n_classes=10, cells=cells)
    with pytest.raises(ConfigError, match=message):
        build_network(genotype, space, n_classes=10, cells=cells)
    with pytest.raises(ConfigError, match=message):
        model_size(genotype, space, image_size=32, n_classes=10, cells=cells)


def test_one_cell_in_each_stage_is_enough() -> None:
    assert Supernet(load_space("nasbench201"), n_classes=10, cells=1).space.name == "nasbench201"


def test_the_key_is_named(picker: Any) -> None:
    message = MESSAGE.format(2, 2, "darts")
    with pytest.raises(ConfigError, match=r"^space\.cells " + message):
        Search(load_trial("milenas", {"space.cells": 2}))
    stages = [{"epochs": 10, "cells": 5}, {"epochs": 10, "cells": 2}]
    changes = {"schedule.epochs": 20, "schedule.stages": stages, "schedule.carry_over": "none"}
    with pytest.raises(ConfigError, match=r"^schedule\.stages\.1\.cells " + message):
        Search(load_trial("milenas", changes))
    trial = load_trial("milenas", {"retrain.cells": 2})
    with pytest.raises(ConfigError, match=r"^retrain\.cells " + message):
        Retrain(trial, picker(load_space("darts"), lambda options, n: options[:n]))
    with pytest.raises(ConfigError, match=r"^retrain\.cells " + message):
        check_retrain_memory(trial)


@pytest.mark.parametrize("key", ["skeleton", "final"])
def test_a_space_file_is_refused(key: str) -> None:
    content = load_space("darts").to_dict()
    content[key] = {**content[key], "cells": 2}
    with pytest.raises(ConfigError) as error:
        Space.from_dict(content, "mine.yaml")
    assert str(error.value) == (
        f"mine.yaml: {key}.cells is 2, with which the network has no normal cell; "
        "layout 'thirds' needs at least 3"
    )
