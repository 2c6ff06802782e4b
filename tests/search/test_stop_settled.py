"""The second criterion of DARTS+ on histories of α by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial, tiny_trial

from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.rules.stop import ranks
from tune_nas.spaces import load_space

# none, skip_connect, avg_pool_3x3, nor_conv_1x1, nor_conv_3x3
ONE, OTHER = [0.0, 0.0, 0.0, 0.1, 0.2], [0.0, 0.0, 0.0, 0.2, 0.1]
SKIPS = [0.0, 9.0, 0.5, 0.1, 0.2]  # the convolutions as in ONE


def settling(tmp_path: Path, epochs: int, **changes: Any) -> Search:
    stop = {"schedule.epochs": 20, "schedule.stop": {"settled": epochs}}
    return Search(small_trial(tmp_path, **stop, **changes))


def run(search: Search, *history: list[float], edge: int = 3) -> list[str | None]:
    """Act as after epochs that end with α on an edge of the reduction cell; return the reasons."""
    reasons = []
    for values in history:
        with torch.no_grad():
            for alpha in search.alphas.values():
                alpha.copy_(torch.tensor(ONE).expand_as(alpha))
            search.alphas["reduction"][edge] = torch.tensor(values)
        search.epoch += 1
        for rule in search.rules:
            rule.after_epoch({})
        reasons.append(search.stop_reason)
    return reasons


def test_the_ranking_is_of_the_operations_with_parameters_and_of_those_that_are_left() -> None:
    cell = load_space("darts").cells["normal"]
    names = [
        [name for name, learns in zip(cell.operations[row], mask, strict=False) if learns]
        for row, mask in enumerate(cell.of_kind("convolution").tolist())
    ]
    convolutions = ["sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"]
    assert names == [convolutions] * 14
    alphas = torch.tensor([[3.0, 0.1, 0.3, 0.2], [1.0, 0.5, 0.5, 0.9], [0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[False, True, True, True], [True, True, True, False], [False] * 4])
    assert ranks(alphas, mask).tolist() == [[2, 3, 1, -1], [0, 1, 2, -1], [-1] * 4]


def test_it_stops_once_as_many_epochs_have_not_changed_the_ranking(tmp_path: Path) -> None:
    search = settling(tmp_path, 2)
    # the first epoch has nothing to compare with; the third changes the ranking
    reasons = run(search, ONE, ONE, OTHER, OTHER, OTHER)
    assert reasons == [None] * 4 + [
        "stopped at epoch 5: the ranking of the convolutions by α is unchanged for 2 epochs"
    ]
    assert search.done and search.epochs == 5


def test_operations_without_parameters_are_not_ranked(tmp_path: Path) -> None:
    assert run(settling(tmp_path, 3), ONE, SKIPS, ONE, SKIPS)[-1] is not None
    assert run(settling(tmp_path, 3), ONE, SKIPS, OTHER, SKIPS)[-1] is None


def test_an_edge_that_loses_a_convolution_has_another_ranking(tmp_path: Path) -> None:
    search = settling(tmp_path, 2)
    assert run(search, ONE, ONE) == [None, None]
    search.choices.decide("reduction", 0, 4)
    assert run(search, ONE, ONE) == [None, None]
    assert run(search, ONE)[0] is not None


def test_epochs_of_the_warm_up_do_not_count(tmp_path: Path) -> None:
    search = settling(tmp_path, 1, **{"update.warmup": 3})
    reasons = run(search, ONE, ONE, ONE, ONE, ONE)
    assert reasons[:4] == [None] * 4
    assert reasons[4] == (
        "stopped at epoch 5: the ranking of the convolutions by α is unchanged for 1 epoch"
    )


def test_a_killed_search_stops_at_the_same_epoch(tmp_path: Path) -> None:
    changes = {
        "schedule.epochs": 6,
        "schedule.stop": {"settled": 2},
        "optimizer.alphas.learning_rate": 1e-6,  # too low to change a ranking
    }
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
    assert search.epoch == 3


def test_a_checkpoint_from_before_it_existed_is_resumed(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"schedule.stop": {"skips": {"normal": 9}}})
    search = Search(trial)
    search.run_epoch()
    state = search.state_dict()
    assert state["rules"][0].keys() == {"epochs", "settled", "ranking"}
    state["rules"] = [{"epochs": 0}]
    resumed = Search(trial)
    resumed.load_state_dict(state)
    resumed.run_epoch()
    assert resumed.epoch == 2


def test_where_there_is_no_ranking_it_is_refused(tmp_path: Path) -> None:
    still = {
        "update.level": "none",
        "selection.kind": "sampled",
        "schedule.stop": {"settled": 10},
    }
    with pytest.raises(ConfigError, match=r"but schedule\.stop\.settled is 10, for a ranking by α"):
        tiny_trial(**still)
    with pytest.raises(ConfigError) as caught:  # one convolution on an edge
        Search(tiny_trial(**{"space.name": "s2", "space.cells": 3, "schedule.stop.settled": 10}))
    assert str(caught.value) == (
        "schedule.stop.settled is 10, but must be null: no edge of space 's2' has two convolutions "
        "to rank"
    )
