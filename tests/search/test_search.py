"""The epoch loop: metrics, what a search may see, and resuming to the bit."""

from __future__ import annotations

import copy
import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from searching import (
    DARTS,
    assert_resumes_to_the_bit,
    assert_same_state,
    small_trial,
    tiny_trial,
)

from tune_nas.checkpoint import save_state
from tune_nas.errors import CheckpointError, ConfigError, DivergedError, TuneNasError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.spaces import Genotype

METHODS: dict[str, dict[str, Any]] = {
    "single": {"update.level": "single", "update.sequence": "simultaneous"},
    "bilevel": {"update.level": "bilevel"},
    "bilevel-2nd": {"update.level": "bilevel", "update.order": 2},
    "mixed": {"update.level": "mixed", "update.lambda": 0.5, "update.sequence": "weights-first"},
    "sigmoid": {"relaxation.kind": "sigmoid", "update.level": "single"},
    "darts": {"space": DARTS},
    "alpha-sgd": {"optimizer.alphas.kind": "sgd"},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_search_ends_as_one_that_ran_through(method: str, tmp_path: Path) -> None:
    assert_resumes_to_the_bit(tiny_trial(**METHODS[method]), tmp_path)


def test_alpha_and_w_move_and_metrics_are_complete() -> None:
    search = Search(tiny_trial(space=DARTS))
    alphas = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    weights = [parameter.detach().clone() for parameter in search.supernet.parameters()]
    metrics = search.run_epoch()
    assert all(not torch.equal(alphas[name], alpha) for name, alpha in search.alphas.items())
    moved = [
        not torch.equal(before, after)
        for before, after in zip(weights, search.supernet.parameters(), strict=True)
    ]
    assert all(moved)
    assert metrics["epoch"] == 1
    assert metrics["gap"] == metrics["train_accuracy"] - metrics["valid_accuracy"]
    assert 0 <= metrics["valid_accuracy"] <= 100
    assert metrics["learning_rate/weights"] == 0.025
    total = sum(metrics[f"genotype/{kind}"] for kind in ("skips", "pools", "convolutions"))
    assert total == 16  # two edges into each of four nodes, in two cells
    assert metrics["genotype/parameters"] > 0
    # α is close to 0 at first, so that every edge's weights are close to 1/8.
    assert metrics["entropy/mean"] == pytest.approx(math.log(8), abs=1e-2)
    assert set(metrics) >= {"entropy/normal", "entropy/reduction", "skip_advantage", "seconds"}


def test_w_is_clipped_and_alpha_is_not() -> None:
    norms: list[float] = []
    search = Search(tiny_trial(**{"optimizer.weights.clip": 1e-3}))
    weight_step, alpha_step = search.optimizers.weights.step, search.optimizers.alphas.step

    def norm(tensors: Any) -> float:
        return math.sqrt(sum(float(t.grad.square().sum()) for t in tensors if t.grad is not None))

    alpha_norms: list[float] = []
    search.optimizers.weights.step = lambda: (  # type: ignore[method-assign]
        norms.append(norm(search.supernet.parameters())),
        weight_step(),
    )
    search.optimizers.alphas.step = lambda: (  # type: ignore[method-assign]
        alpha_norms.append(norm(search.alphas.values())),
        alpha_step(),
    )
    search.run_epoch()
    assert norms and max(norms) <= 1e-3 * 1.001
    assert max(alpha_norms) > 1e-3


@pytest.mark.parametrize("part", ["train", "all"])
def test_single_level_takes_its_images_where_it_is_told(part: str) -> None:
    trial = tiny_trial(**{"update.level": "single", "data.single_level": part})
    search = Search(trial)
    assert search.steps_per_epoch == {"train": 2, "all": 4}[part]
    search = Search(with_overrides(trial, {"schedule.steps_per_epoch": 3}))
    assert search.steps_per_epoch == 3


def test_the_files_of_a_checkpoint_say_what_the_search_found(tmp_path: Path) -> None:
    search = Search(tiny_trial(space=DARTS))
    search.run_epoch()
    search.run_epoch()
    search.save(tmp_path)
    assert Genotype.load(tmp_path / "genotype.yaml") == search.genotype
    rows = list(csv.DictReader((tmp_path / "alphas.csv").open()))
    assert len(rows) == 2 * 2 * 14 * 8
    last = [float(row["alpha"]) for row in rows if row["epoch"] == "2" and row["cell"] == "normal"]
    assert last == pytest.approx(search.alphas["normal"].detach().flatten().tolist(), rel=1e-6)
    best = yaml.safe_load((tmp_path / "best_by_size.yaml").read_text())
    size = search.genotype.count("convolution")
    picked = Genotype.load(tmp_path / "best_by_size.yaml", str(size))
    assert (picked.space, picked.count("convolution")) == ("darts", size)
    assert best[size]["valid_accuracy"] == max(
        metrics["valid_accuracy"]
        for metrics in search.history
        if metrics["genotype/convolutions"] == size
    )


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    search = Search(tiny_trial())
    search.save(tmp_path)
    other = Search(tiny_trial(**{"optimizer.weights.learning_rate": 0.1}))
    with pytest.raises(CheckpointError, match="another trial: optimizer"):
        other.load(tmp_path)


def test_a_state_of_another_version_is_a_checkpoint_error(tmp_path: Path) -> None:
    search = Search(tiny_trial())
    state = search.state_dict()
    del state["train_batches"]
    save_state(tmp_path, state, name="search.pt")
    with pytest.raises(CheckpointError, match="another version"):
        search.load(tmp_path)
    save_state(tmp_path, {**search.state_dict(), "draws": torch.zeros(3)}, name="search.pt")
    with pytest.raises(CheckpointError, match="another version"):
        search.load(tmp_path)


def test_a_checkpoint_from_before_a_key_was_there_goes_on(tmp_path: Path) -> None:
    search = Search(tiny_trial())
    state = search.state_dict()
    del state["space"], state["trial"]["schedule"]["carry_over"]
    state["trial"]["schedule"]["stop"]["skips"] = None
    save_state(tmp_path, state, name="search.pt")
    search.load(tmp_path)
    state["trial"]["schedule"]["gone"] = 1
    save_state(tmp_path, state, name="search.pt")
    with pytest.raises(CheckpointError, match="of another version: its trial: unknown key"):
        search.load(tmp_path)


def test_a_space_that_was_changed_since_is_no_longer_the_same(tmp_path: Path) -> None:
    trial = small_trial(tmp_path)
    Search(trial).save(tmp_path / "checkpoint")
    path = Path(trial.space.name)
    own = path.read_text()
    path.write_text(own.replace("name: small", "name: small\ndescription: the same"))
    Search(trial).load(tmp_path / "checkpoint")
    path.write_text(own.replace("name: small", "name: another"))
    Search(trial).load(tmp_path / "checkpoint")
    path.write_text(own.replace("avg_pool_3x3", "max_pool_3x3"))
    with pytest.raises(CheckpointError, match=r"space 'small' is not as it was .*: cells differ"):
        Search(trial).load(tmp_path / "checkpoint")


def test_the_table_by_size_of_an_older_checkpoint_gets_the_space(tmp_path: Path) -> None:
    search = Search(tiny_trial(space=DARTS))
    search.run_epoch()
    state = search.state_dict()
    for _, entry in state["findings"]["entries"]:
        del entry["space"]
    save_state(tmp_path, state, name="search.pt")
    again = Search(tiny_trial(space=DARTS))
    again.load(tmp_path)
    assert {entry["space"] for entry in again.findings.best_by_size.entries.values()} == {"darts"}


def test_a_state_stays_as_it_was_while_the_search_goes_on() -> None:
    search = Search(tiny_trial())
    search.run_epoch()
    state = search.state_dict()
    kept = copy.deepcopy(state)
    search.run_epoch()
    assert_same_state(kept, state)


def test_the_benchmark_table_is_refused_outside_of_its_space() -> None:
    with pytest.raises(ConfigError, match="holds no cell of space 'darts'"):
        Search(tiny_trial(**{"space": DARTS, "benchmark.table": "table.csv"}))


def test_a_search_that_is_over_or_diverged_says_so() -> None:
    search = Search(tiny_trial(**{"schedule.epochs": 1}))
    search.run_epoch()
    with pytest.raises(TuneNasError, match="over: 1 of 1"):
        search.run_epoch()
    diverging = Search(
        tiny_trial(**{"optimizer.weights.learning_rate": 1e30, "optimizer.weights.clip": 0})
    )
    with pytest.raises(DivergedError, match=r"train loss is (nan|inf)"):
        diverging.run_epoch()


def test_uniform_weight_needs_two_operations(tmp_path: Path) -> None:
    content = {
        "name": "one-operation",
        **{
            key: value
            for key, value in yaml.safe_load(
                Path("search_spaces/architectures/nasbench201.yaml").read_text()
            ).items()
            if key != "name"
        },
    }
    content["cells"]["normal"]["operations"] = ["nor_conv_3x3"]
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="single operation"):
        Search(tiny_trial(**{"space.name": str(path), "relaxation.kind": "sigmoid"}))


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_all_forms_of_the_supernet_search_alike_and_share_checkpoints(
    space: str, tmp_path: Path
) -> None:
    size = {"name": space, "init_channels": 4, "cells": 1 if space == "nasbench201" else 3}
    searches = [
        Search(
            tiny_trial(
                **{
                    "space": size,
                    "runtime.dtype": "float64",
                    "runtime.implementation": form,
                    "update.level": "mixed",
                    "optimizer.weights.learning_rate": 0.01,
                }
            )
        )
        for form in ("plain", "torch", "fast")
    ]
    for search in searches:
        while not search.done:
            search.run_epoch()
    plain, *others = searches
    plain.save(tmp_path)
    for other in others:
        assert plain.genotype == other.genotype
        for name, alpha in plain.alphas.items():
            assert torch.allclose(alpha, other.alphas[name], rtol=0, atol=1e-9)
        other.load(tmp_path)
        assert torch.equal(plain.alphas["normal"], other.alphas["normal"])
