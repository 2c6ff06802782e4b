"""Stages: fewer operations, another supernet; what is carried over, and what starts anew."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial

from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.rules.stages import strongest
from tune_nas.spaces import load_space
from tune_nas.training import cosine

# As P-DARTS: deeper, all but the operations anew; and as DrNAS: wider, w carried over.
DEEPER: dict[str, Any] = {
    "schedule.epochs": 5,
    "schedule.carry_over": "none",
    "schedule.stages": [
        {"epochs": 2, "cells": 3, "operations": 5, "skip_dropout": 0.1},
        {"epochs": 3, "cells": 4, "operations": 3, "skip_dropout": 0.4},
    ],
    "update.warmup": 1,
}
WIDER: dict[str, Any] = {
    "schedule.epochs": 4,
    "schedule.stages": [
        {"epochs": 2, "partial_channels": 2},
        {"epochs": 2, "partial_channels": 1, "operations": 2},
    ],
    "update.warmup": 1,
}


def test_the_strongest_stay_and_one_of_them_can_be_in_a_genotype() -> None:
    weights = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    remaining = torch.ones(3, 4, dtype=torch.bool)
    remaining[1, 3] = False
    eligible = torch.tensor([[False, True, True, True]] * 3)  # the first is `none`
    kept = strongest(weights, remaining, eligible, 2)
    assert kept.int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]]
    alone = strongest(weights, remaining, eligible, 1)
    assert alone.int().tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert torch.equal(strongest(weights, remaining, eligible, 9), remaining)


def test_a_stage_that_carries_nothing_starts_w_alpha_and_their_optimizers_anew(
    tmp_path: Path,
) -> None:
    search = Search(small_trial(tmp_path, **DEEPER))
    first = Search(small_trial(tmp_path, **DEEPER)).alphas
    assert search.size.cells == 3
    rates, counts = [], []
    while not search.done:
        before = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
        rates.append(search.run_epoch()["learning_rate/weights"])
        kept = {name: search.choices.remaining(name).sum(dim=1) for name in search.alphas}
        counts.append({int(count) for rows in kept.values() for count in rows})
        if search.epoch == 2:
            strong = {
                name: alpha.detach().softmax(dim=1).topk(3, dim=1).indices
                for name, alpha in search.alphas.items()
            }
        if search.epoch == 3:  # w warms up: α is as it was drawn for the stage
            for name, alpha in search.alphas.items():
                assert not torch.equal(alpha, before[name])
                assert not torch.equal(alpha, first[name])
                assert float(alpha.detach().abs().max()) < 0.01
                chosen = search.choices.remaining(name).nonzero()[:, 1].reshape(-1, 3)
                assert torch.equal(chosen, strong[name].sort(dim=1).values)
            assert len(search.optimizers.alphas.state) == 0
    assert counts == [{5}, {5}, {3}, {3}, {3}]
    assert search.size.cells == 4 and len(search.supernet.backbone.blocks) == 4
    expected = [cosine(epoch, epochs, 0.025, 0.001) for epoch, epochs in
                ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))]  # fmt: skip
    assert rates == expected
    assert [metrics["stage"] for metrics in search.history] == [1, 1, 2, 2, 2]


def test_skip_dropout_falls_linearly_then_exponentially_and_is_off_between_epochs(
    tmp_path: Path,
) -> None:
    search = Search(small_trial(tmp_path, **DEEPER))
    while not search.done:
        search.run_epoch()
        assert search.supernet.skip_dropout == 0
    found = [metrics["skip_dropout"] for metrics in search.history]
    after = [0.4 * math.exp(-0.2 * epochs) for epochs in (0, 1)]
    assert found == pytest.approx([0.1 * 1 / 2, 0.1, 0.4 * 2 / 3, *after], rel=1e-12)


def test_a_wider_stage_has_the_weights_and_the_momentum_of_the_one_before(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **WIDER))
    assert search.size.partial_channels == 2
    search.run_epoch()
    search.run_epoch()
    old, alphas = search.supernet, {k: a.detach().clone() for k, a in search.alphas.items()}
    momenta = {
        name: search.optimizers.weights.state[parameter].get("momentum_buffer")
        for name, parameter in old.named_parameters()
    }
    adam = search.optimizers.alphas.state_dict()
    search.rules[0].before_epoch()
    assert search.size.partial_channels == 1 and search.supernet is not old
    narrow, widened = old.state_dict(), 0
    for name, parameter in search.supernet.named_parameters():
        momentum = search.optimizers.weights.state[parameter].get("momentum_buffer")
        assert (momentum is None) == (momenta[name] is None)
        shape = narrow[name].shape
        rows = slice(shape[0])
        if parameter.shape == shape:
            assert torch.equal(parameter, narrow[name])
        elif parameter.shape[1:] == shape[1:]:  # no input channels of its own, as depthwise
            assert torch.equal(parameter[rows], narrow[name])
            widened += 1
        else:
            # the copies of an input channel share its weight
            total = parameter.detach()[rows].sum(dim=1)
            torch.testing.assert_close(total, narrow[name].sum(dim=1))
            widened += 1
        if momentum is not None:
            inner = momentum[rows] if momentum.dim() < 2 else momentum[rows, : shape[1]]
            assert torch.equal(inner, momenta[name])
    assert widened > 0
    for name, alpha in search.alphas.items():
        assert torch.equal(alpha, alphas[name])
        assert search.choices.remaining(name).sum(dim=1).tolist() == [2] * 5
    assert search.optimizers.alphas.state_dict()["state"].keys() == adam["state"].keys()
    search.run_epoch()
    assert search.history[-1]["learning_rate/weights"] == cosine(2, 4, 0.025, 0.001)


@pytest.mark.parametrize("changes", [DEEPER, WIDER], ids=["deeper", "wider"])
def test_a_kill_in_any_stage_changes_nothing(changes: dict[str, Any], tmp_path: Path) -> None:
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
    search.genotype.check(load_space(tmp_path / "small.yaml"))


def stages(*content: dict[str, Any], **further: Any) -> dict[str, Any]:
    return {
        "schedule.epochs": sum(stage["epochs"] for stage in content),
        "schedule.stages": list(content),
        **{key.replace("__", "."): value for key, value in further.items()},
    }


ONE = {"epochs": 1}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "more than there are": (
        stages({**ONE, "operations": 6}),
        "schedule.stages.0.operations is 6, but an edge of space 'small' has 5 operations at most",
    ),
    "before any choice": (
        stages({**ONE, "operations": 3}),
        "schedule.stages.0.operations is 3, but must be null or 5: before the first stage no α "
        "has moved to choose by",
    ),
    "α never moves": (
        stages({"epochs": 2}, ONE, update__warmup=1),
        "schedule.stages.1.epochs is 1, but must be > update.warmup, 1: α has to move in every "
        "stage",
    ),
    "other cells": (
        stages(ONE, {**ONE, "cells": 4}),
        "schedule.stages.1.cells is 4, but must be 3, as before it, with schedule.carry_over "
        "'weights'",
    ),
    "narrower": (
        stages(ONE, {**ONE, "partial_channels": 2}),
        "schedule.stages.1.partial_channels is 2, but must be <= 1, as before it, with "
        "schedule.carry_over 'weights'",
    ),
    "no divisor": (
        stages({**ONE, "partial_channels": 3}, ONE),
        "schedule.stages.0.partial_channels is 3, but must divide the 4 channels of the first "
        "cell (space.init_channels)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_stages_that_cannot_be_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        Search(small_trial(tmp_path, **changes))
    assert str(caught.value) == message
