"""XNAS's wipe-out: the bound by hand, what always remains, metrics, remarks and resumes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.rules.wipe_out import survivors

ALPHAS = {
    **{"kind": "exponentiated", "step_size": 0.25, "weight_decay": 0.0},
    "reward_bound": 2.0,
}


def wiping(tmp_path: Path, **changes: Any) -> Search:
    own: dict[str, Any] = {
        "relaxation.kind": "simplex",
        "optimizer.alphas": ALPHAS,
        "schedule.epochs": 4,
        "schedule.wipe_out": {},
        **changes,
    }
    return Search(small_trial(tmp_path, **own))


def set_alphas(search: Search, logs: list[float]) -> None:
    """Set every edge's α to the same log ratios to the largest."""
    with torch.no_grad():
        for alpha in search.alphas.values():
            alpha.copy_(torch.tensor(logs).softmax(dim=0).expand_as(alpha))


def act(search: Search) -> dict[str, float]:
    """Let the rules act as after another epoch."""
    search.epoch += 1
    metrics: dict[str, float] = {}
    for rule in search.rules:
        rule.after_epoch(metrics)
    return metrics


def left(search: Search, row: int = 0) -> list[str]:
    mask = search.choices.remaining("normal")[row]
    names = search.space.cells["normal"].operations[row]
    return [name for name, there in zip(names, mask.tolist(), strict=True) if there]


def test_operations_below_the_bound_go(tmp_path: Path) -> None:
    """A step an epoch, of 4; 2ηL = 1: after epochs 1, 2, 3 the bounds are e⁻³, e⁻², e⁻¹."""
    search = wiping(tmp_path)
    set_alphas(search, [-0.9, -1.1, -2.1, -3.1, 0.0])
    assert act(search) == {"wiped_out/normal": 5, "wiped_out/reduction": 5}
    everything = ["none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"]
    assert left(search) == [*everything[:3], "nor_conv_3x3"]
    assert act(search) == {"wiped_out/normal": 10, "wiped_out/reduction": 10}
    assert left(search) == ["none", "skip_connect", "nor_conv_3x3"]
    assert search.remarks()["decisions"] == (
        "normal without 5 operations of 5 edges, reduction without 5 operations of 5 edges"
    )
    table = search.artifacts()["wiped_out.csv"]
    assert isinstance(table, str)
    lines = table.splitlines()
    assert lines[:2] == ["epoch,cell,edge,operation", "1,normal,0->2,nor_conv_1x1"]
    assert len(lines) == 1 + 20 and lines[11] == "2,normal,0->2,avg_pool_3x3"
    assert act(search)["wiped_out/normal"] == 15
    assert left(search) == ["none", "nor_conv_3x3"]
    act(search)  # the last epoch: nothing is left to make up, and nothing goes
    assert left(search) == ["none", "nor_conv_3x3"]
    assert search.remarks() == {}


def test_it_is_right_about_what_can_still_win(tmp_path: Path) -> None:
    """The weakest survivor can still become the largest with rewards of ±L; the others cannot."""
    search = wiping(tmp_path)
    rate, bound, steps = 0.25, 2.0, 3
    for gap, survives in ((-2.99, True), (-3.01, False)):
        set_alphas(search, [gap, 0.0, -9.0, -9.0, -9.0])
        alpha = torch.tensor([gap, 0.0])
        best = alpha + rate * bound * steps * torch.tensor([1.0, -1.0])
        assert bool(best[0] > best[1]) is survives
        margin = 2 * rate * bound * steps
        weights = torch.tensor([[gap, 0.0, -9.0, -9.0, -9.0]]).double().softmax(dim=1)
        everywhere = torch.ones(1, 5, dtype=torch.bool)
        kept = survivors(weights, everywhere, everywhere, margin)
        assert kept[0, 0].item() is survives


def test_the_last_operation_that_a_genotype_may_have_stays() -> None:
    """`none` wins, but a genotype must not have it: the strongest of the others stays beside it."""

    def found(weights: list[float], remaining: list[bool]) -> list[bool]:
        eligible = torch.tensor([[False, True, True]])
        kept = survivors(
            torch.tensor([weights]).double(), torch.tensor([remaining]), eligible, math.log(2.0)
        )
        return list(kept[0].tolist())

    everything = [True] * 3
    assert found([0.9, 0.04, 0.06], everything) == [True, False, True]
    assert found([0.9, 0.04, 0.0], [True, True, False]) == [True, True, False]
    assert found([0.2, 0.5, 0.3], everything) == [False, True, True]  # 0.25 is the bound
    assert found([0.2, 0.6, 0.2], everything) == [False, True, False]
    assert found([0.0, 0.0, 0.0], [False] * 3) == [False] * 3  # a pruned edge


def test_decided_edges_and_the_warm_up_are_left_alone(tmp_path: Path) -> None:
    search = wiping(tmp_path, **{"update.warmup": 1, "schedule.epochs": 5})
    search.decide("normal", 0, 3)
    search.prune("normal", 1)
    set_alphas(search, [-9.0, -9.0, -9.0, -9.0, 0.0])
    assert act(search) == {"wiped_out/normal": 0, "wiped_out/reduction": 0}
    # the bound is e⁻³ from here; 3 of 5 edges are open in the normal cell
    assert act(search) == {"wiped_out/normal": 12, "wiped_out/reduction": 20}
    assert left(search, 0) == ["nor_conv_1x1"] and left(search, 1) == []
    assert left(search, 2) == ["nor_conv_3x3"]
    assert search.choices.decided("normal").tolist() == [True, False, False, False, False]


def test_a_few_removals_are_named(tmp_path: Path) -> None:
    search = wiping(tmp_path)
    set_alphas(search, [0.0] * 5)
    assert act(search) == {"wiped_out/normal": 0, "wiped_out/reduction": 0}
    assert search.remarks() == {} and "wiped_out.csv" not in search.artifacts()
    with torch.no_grad():
        search.alphas["reduction"][4, 1:3] = 0.01
    act(search)
    assert search.remarks()["decisions"] == (
        "reduction 2->3 without skip_connect, reduction 2->3 without avg_pool_3x3"
    )


def test_a_factor_moves_the_bound(tmp_path: Path) -> None:
    search = wiping(tmp_path, **{"schedule.wipe_out": {"factor": 0.3}})
    set_alphas(search, [-0.8, -1.0, -0.5, -0.4, 0.0])
    act(search)  # e^(−0.9)
    assert left(search) == ["none", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"]


def test_a_search_wipes_out_renormalizes_and_resumes(tmp_path: Path) -> None:
    changes = {
        "relaxation.kind": "simplex",
        "optimizer.alphas": {**ALPHAS, "step_size": 3.0},
        "schedule.epochs": 4,
        "schedule.wipe_out": {"factor": 0.003},
    }
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
    counts = [metrics["wiped_out/normal"] for metrics in search.history]
    assert counts[0] > 0 and counts == sorted(counts)
    weights = search.expected_weights()["normal"].operations
    remaining = search.choices.remaining("normal")
    assert int((~remaining).sum()) == counts[-1]
    assert bool((weights[~remaining] == 0).all())
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    assert every_edge_has_an_eligible_operation(search)


def every_edge_has_an_eligible_operation(search: Search) -> bool:
    masks: list[Tensor] = [
        search.choices.remaining(name) & cell.eligible()
        for name, cell in search.space.cells.items()
    ]
    return all(bool(mask.any(dim=1).all()) for mask in masks)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer.alphas": {**ALPHAS, "reward_bound": None}},
        {"relaxation.kind": "softmax", "optimizer.alphas": {"kind": "adam"}},
    ],
)
def test_it_needs_a_bound_of_the_rewards(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        wiping(tmp_path, **changes)
    assert (
        "schedule.wipe_out is given, but needs optimizer.alphas.kind 'exponentiated' with a "
        "reward_bound, by which it knows what cannot win any more" in str(error.value)
    )
