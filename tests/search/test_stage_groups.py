"""Stages that return operations: representatives of groups, then the members of the strongest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, assert_same_state, small_trial

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search import CandidateMask, Search
from tune_nas.search.rules.operation_groups import opened, representatives
from tune_nas.spaces import load_space

# none, skip_connect, avg_pool_3x3, nor_conv_1x1, nor_conv_3x3
GROUPS = [["skip_connect"], ["nor_conv_3x3", "nor_conv_1x1"]]  # avg_pool_3x3 has no group
STAGES: dict[str, Any] = {
    "schedule.epochs": 4,
    "schedule.carry_over": "none",
    "schedule.stages": [
        {"epochs": 2, "cells": 3, "groups": GROUPS},
        {"epochs": 2, "cells": 4, "open_groups": 1},
    ],
    "update.level": "single",
    "update.sequence": "simultaneous",
    "data.single_level": "all",
}
FIRST = [1, 1, 1, 0, 1]
SKIP, CONVOLUTIONS = [1, 1, 1, 0, 0], [1, 0, 1, 1, 1]


def rows(mask: torch.Tensor) -> list[list[int]]:
    found: list[list[int]] = mask.int().tolist()
    return found


def test_the_representatives_of_the_published_groups_are_the_papers() -> None:
    stage = load_trial("stacnas").schedule.stages[0]
    assert stage.groups is not None
    cell = load_space("darts").cells["normal"]
    mask = representatives(cell, stage.groups)
    for row, names in enumerate(cell.operations):
        found = {name for name, there in zip(names, mask[row].tolist(), strict=True) if there}
        published = {"none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"}
        assert found == published


def test_an_edge_has_the_first_of_a_group_that_it_has_and_may_keep() -> None:
    cell = load_space("s1").cells["normal"]
    groups = [["sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5"], ["skip_connect", "max_pool_3x3"]]
    mask = representatives(cell, groups)
    names = [
        [name for name, there in zip(own, mask[row].tolist(), strict=True) if there]
        for row, own in enumerate(cell.operations)
    ]
    assert names[:2] == [["skip_connect", "dil_conv_3x3"], ["skip_connect", "dil_conv_5x5"]]
    assert names[5] == ["skip_connect"]  # its other operation is of the same group
    assert names[12] == ["dil_conv_3x3"]  # likewise
    darts = load_space("darts").cells["normal"]
    column = darts.operations[0].index
    with_none = representatives(darts, [["none", "skip_connect"]])  # `none` is not selectable
    assert not with_none[0, column("none")] and with_none[0, column("skip_connect")]


def test_the_strongest_groups_are_opened_by_their_representatives(tmp_path: Path) -> None:
    cell = Search(small_trial(tmp_path)).space.cells["normal"]
    weights = torch.tensor(
        [
            [0.0, 0.2, 0.0, 0.9, 0.3],  # nor_conv_1x1 does not count: it is not the representative
            [0.0, 0.4, 0.0, 0.9, 0.3],
            [0.9, 0.3, 0.9, 0.0, 0.3],  # a tie: the first group
            [0.0, 0.0, 0.0, 0.0, 0.1],
            [0.0, 0.1, 0.0, 0.0, 0.0],
        ]
    )
    first = opened(cell, GROUPS, weights, 1)
    assert rows(first) == [CONVOLUTIONS, SKIP, SKIP, CONVOLUTIONS, SKIP]
    assert torch.equal(opened(cell, GROUPS, weights, 2), cell.mask())
    # a group of which a genotype may have nothing comes last
    assert rows(opened(cell, [["none"], ["skip_connect"]], weights, 1))[2] == [0, 1, 1, 1, 1]


def test_candidates_return_on_open_edges_alone(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path))
    choices = CandidateMask(search.space)
    only = torch.zeros(5, 5, dtype=torch.bool)
    only[:, 1] = True
    choices.keep("normal", only)
    choices.decide("normal", 0, 1)
    choices.prune("normal", 1)
    version = choices.version
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2, 0] = False
    choices.reopen("normal", mask)
    assert choices.version > version
    assert rows(choices.remaining("normal")) == [
        *([0, 1, 0, 0, 0], [0] * 5, [0, 1, 1, 1, 1]),
        *([1] * 5, [1] * 5),
    ]
    assert choices.open("normal") == [2, 3, 4]
    other = CandidateMask(search.space)
    other.load_state_dict(choices.state_dict())
    assert_same_state(other.state_dict(), choices.state_dict())


def test_the_second_stage_has_the_strongest_group_and_starts_anew(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **STAGES))
    assert search.size.cells == 3
    for name in search.alphas:
        assert rows(search.choices.remaining(name)) == [FIRST] * 5
    search.run_epoch()
    search.run_epoch()
    with torch.no_grad():  # the skip connection is strongest on the edges 1 and 3 of the reduction
        for alpha in search.alphas.values():
            alpha.copy_(torch.tensor([9.0, 0.0, 8.0, 7.0, 1.0]).expand_as(alpha))
        search.alphas["reduction"][[1, 3], 1] = 2.0
    last = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    supernet = search.supernet
    search.rules[0].before_epoch()
    assert rows(search.choices.remaining("normal")) == [CONVOLUTIONS] * 5
    skips = [CONVOLUTIONS, SKIP, CONVOLUTIONS, SKIP, CONVOLUTIONS]
    assert rows(search.choices.remaining("reduction")) == skips
    assert search.supernet is not supernet and search.size.cells == 4
    for name, alpha in search.alphas.items():
        assert not torch.equal(alpha, last[name])
        assert float(alpha.detach().abs().max()) < 0.01
    assert len(search.optimizers.alphas.state) == len(search.optimizers.weights.state) == 0
    for name, weights in search.expected_weights().items():
        assert torch.equal(weights.operations > 0, search.choices.remaining(name))
    while not search.done:
        search.run_epoch()
    for edge in (e for cell in search.genotype.cells.values() for e in cell.edges):
        assert edge.operation != "none"
    assert search.history[-1]["stage"] == 2


def test_a_kill_in_any_stage_changes_nothing(tmp_path: Path) -> None:
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **STAGES), tmp_path)
    counts = search.choices.remaining("normal").sum(dim=1).tolist()
    assert set(counts) <= {3, 4}


def stages(*content: dict[str, Any], carry_over: str = "none") -> dict[str, Any]:
    return {
        "schedule.epochs": len(content),
        "schedule.stages": [{"epochs": 1, **stage} for stage in content],
        "schedule.carry_over": carry_over,
    }


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "later groups": (
        stages({}, {"groups": GROUPS}),
        "schedule.stages.1.groups is given, but only the first stage can have groups",
    ),
    "twice": (
        stages({"groups": [["none"], ["skip_connect", "none"]]}),
        "schedule.stages.0.groups has 'none' twice, but each operation has one group",
    ),
    "nothing to open": (
        stages({}, {"open_groups": 1}),
        "schedule.stages.1.open_groups is 1, but the stage before it has no groups; it must be "
        "null",
    ),
    "too many": (
        stages({"groups": GROUPS}, {"open_groups": 3}),
        "schedule.stages.1.open_groups is 3, but must be <= 2, the number of groups",
    ),
    "operations too": (
        stages({"groups": GROUPS}, {"open_groups": 1, "operations": 2}),
        "schedule.stages.1.operations is 2, but must be null in a stage whose operations "
        "open_groups determines",
    ),
    "weights": (
        stages({"groups": GROUPS}, {"open_groups": 1}, carry_over="weights"),
        "schedule.carry_over is 'weights', but must be 'none' with schedule.stages.1.open_groups, "
        "because operations that return have no trained weights",
    ),
    "unknown": (
        stages({"groups": [["sep_conv_3x3"]]}),
        "schedule.stages.0.groups has 'sep_conv_3x3', but the operations of space 'small' are "
        "none, skip_connect, avg_pool_3x3, nor_conv_1x1, nor_conv_3x3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_groups_that_cannot_be_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        Search(small_trial(tmp_path, **changes))
    assert str(caught.value).endswith(message) and "\n" not in str(caught.value)
