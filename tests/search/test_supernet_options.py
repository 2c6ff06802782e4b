"""β of the auxiliary skips and drop path over a search: schedules by hand, resuming, stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from searching import assert_resumes_to_the_bit, finished, small_trial

from tune_nas.config import RelaxationConfig
from tune_nas.search import Search
from tune_nas.testing.states import differences

FALLING = {"relaxation.auxiliary_skip": {"start": 1.0, "end": 0.0}}
DROPPING = {"relaxation.drop_path": 0.6}


def test_beta_is_that_of_the_authors_and_drop_path_grows_to_its_last_value() -> None:
    """β(e) = 1 − e / 50 (DARTS-) and p · e / 49 (RobustDARTS), e from 0 to 49."""
    config = RelaxationConfig(auxiliary_skip={"start": 1.0, "end": 0.0}, drop_path=0.6)
    beta = config.auxiliary_skip.weight
    assert [beta(epoch, 50) for epoch in (0, 1, 25, 49)] == pytest.approx([1.0, 0.98, 0.5, 0.02])
    drop = config.drop_path_in
    assert [drop(epoch, 50) for epoch in (0, 1, 49)] == pytest.approx([0.0, 0.6 / 49, 0.6])
    assert drop(0, 1) == 0.0
    constant = RelaxationConfig(auxiliary_skip={"start": 0.5, "end": 0.5}).auxiliary_skip
    assert constant.present and {constant.weight(epoch, 7) for epoch in range(7)} == {0.5}
    assert not RelaxationConfig().auxiliary_skip.present


def test_metrics_are_the_schedules_and_alpha_does_not_know_the_skip(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path, **FALLING, **DROPPING))
    found = [(metrics["auxiliary_skip"], metrics["drop_path"]) for metrics in search.history]
    assert found == [pytest.approx(pair) for pair in ((1.0, 0.0), (2 / 3, 0.3), (1 / 3, 0.6))]
    plain = finished(small_trial(tmp_path))
    assert {name: alpha.shape for name, alpha in search.alphas.items()} == {
        name: alpha.shape for name, alpha in plain.alphas.items()
    }
    search.genotype.check(search.space)
    entropies = [key for key in plain.history[-1] if "entropy" in key]
    assert entropies and set(plain.history[-1]) == set(search.history[-1]) - {
        "auxiliary_skip",
        "drop_path",
    }


def test_at_zero_it_is_the_search_without_them_to_the_bit(tmp_path: Path) -> None:
    zero = {"relaxation.auxiliary_skip": {"start": 0.0, "end": 0.0}, "relaxation.drop_path": 0.0}
    one, other = finished(small_trial(tmp_path)), finished(small_trial(tmp_path, **zero))
    assert not differences(one.state_dict(), other.state_dict())


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"relaxation.kind": "gumbel", "relaxation.partial_channels": 2},
        {
            "update.level": "single",
            "schedule.stages": [{"epochs": 1}, {"epochs": 2, "cells": 4}],
            "schedule.carry_over": "none",
        },
        {
            "relaxation.kind": "concrete",
            "relaxation.partial_channels": 2,
            "relaxation.edge_normalization": True,
            "update.order": 2,
        },
        {"schedule.stages": [{"epochs": 2, "partial_channels": 2}, {"epochs": 1, "operations": 2}]},
    ],
    ids=["softmax", "gumbel", "stages", "concrete", "wider"],
)
def test_a_killed_search_ends_the_same_to_the_bit(tmp_path: Path, own: dict[str, Any]) -> None:
    trial = small_trial(tmp_path, **FALLING, **DROPPING, **own)
    search = assert_resumes_to_the_bit(trial, tmp_path / "checkpoints")
    found = [metrics["auxiliary_skip"] for metrics in search.history]
    assert found == pytest.approx([1.0, 2 / 3, 1 / 3])


def test_a_loaded_search_has_beta_of_its_last_epoch(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **FALLING)
    search = finished(trial)
    search.save(tmp_path / "saved")
    loaded = Search(trial)
    assert loaded.supernet.skip_weight == 1.0
    loaded.load(tmp_path / "saved")
    assert loaded.supernet.skip_weight == pytest.approx(1 / 3)
    weights = loaded.expected_weights()
    assert loaded.evaluate(weights) == search.evaluate(weights)
    loaded.supernet.skip_weight = 0.0
    assert loaded.evaluate(weights) != search.evaluate(weights)


def test_validation_has_beta_of_the_epoch_and_tuning_the_final_one(tmp_path: Path) -> None:
    trial = small_trial(
        tmp_path,
        **FALLING,
        **DROPPING,
        **{"selection.kind": "perturbation", "selection.perturbation.interval": 1},
    )
    search, seen = Search(trial), list[tuple[float, float]]()
    evaluate = search.evaluate

    def recorded(*given: Any, **named: Any) -> tuple[float, float]:
        seen.append((search.supernet.skip_weight, search.supernet.drop_path))
        return evaluate(*given, **named)

    search.evaluate = recorded  # type: ignore[method-assign]
    for _ in range(3):
        search.run_epoch()
    betas = [beta for beta, _ in dict.fromkeys(seen)]
    assert betas == pytest.approx([1.0, 2 / 3, 1 / 3])
    seen.clear()
    metrics = search.run_epoch()
    assert metrics["auxiliary_skip"] == 0.0 and metrics["drop_path"] == pytest.approx(0.6)
    assert {beta for beta, _ in seen} == {0.0}
