"""How many trials fit on nodes, and that Ray places as many; its GPUs are simulated."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tune_nas.errors import ConfigError
from tune_nas.sweep import RunOptions, estimate
from tune_nas.sweep.ray.room import Node, check_room, searches_per_process, trials_at_once

# Starts a placement group for each trial, as Tune does, and counts those that Ray can place.
PLACED = """
import json, sys
from tune_nas.sweep.ray.environment import prepare_environment
prepare_environment(None)
import ray
from ray.util.placement_group import placement_group
from tune_nas.sweep import RunOptions
from tune_nas.sweep.ray.cluster import connect, trials_at_once

ray.init(address="local", num_cpus=64, num_gpus=int(sys.argv[1]), include_dashboard=False)
counted, placed = [], []
with connect(None):
    for gpus in json.loads(sys.argv[2]):
        count = trials_at_once(RunOptions(gpus_per_trial=gpus))
        trials = [placement_group([{"CPU": 1, "GPU": gpus}]) for _ in range(count + 1)]
        ready = [trial.ready() for trial in trials]
        ray.wait(ready, num_returns=count, timeout=60)
        found, _ = ray.wait(ready, num_returns=count + 1, timeout=1)
        counted.append(count)
        placed.append(len(found))
        for trial in trials:
            ray.util.remove_placement_group(trial)
print(json.dumps([counted, placed]))
"""


@pytest.mark.parametrize(
    ("nodes", "changes", "at_once"),
    [
        ([Node(64, 8)], {"gpus_per_trial": 0.15}, 48),  # 6 on each GPU, and not 8 / 0.15 = 53
        ([Node(8, 2)], {"gpus_per_trial": 0.4}, 4),
        ([Node(8, 2)], {"gpus_per_trial": 0.6}, 2),
        ([Node(8, 3)], {"gpus_per_trial": 1}, 3),
        ([Node(8, 3)], {"gpus_per_trial": 2}, 1),
        ([Node(8, 1)], {"gpus_per_trial": 1 / 3}, 3),
        ([Node(8, 1)], {"gpus_per_trial": 0.1}, 8),  # 10 on the GPU, 8 on the CPUs
        ([Node(1, 1), Node(16, 1)], {"gpus_per_trial": 0.25}, 5),  # 1 and 4
        ([Node(16), Node(2, 4)], {"gpus_per_trial": 1}, 2),  # the first node has no GPU
        ([Node(3), Node(3)], {"cpus_per_trial": 2}, 2),
        ([Node(4)], {"cpus_per_trial": 1.5}, 2),
        ([Node(1)], {"cpus_per_trial": 0.1}, 10),
        ([Node(0), Node(2)], {}, 2),
        # In processes of 3 with 0.6 of a GPU each, one to a GPU.
        ([Node(64, 2)], {"gpus_per_trial": 0.2, "together": 3}, 6),
        ([Node(64, 2)], {"gpus_per_trial": 0.25, "together": 2}, 8),
        ([Node(2, 2)], {"gpus_per_trial": 0.25, "together": 4}, 2),
        ([Node(3), Node(3)], {"together": 2}, 4),
    ],
)
def test_trials_are_counted_by_gpu_and_node(
    nodes: list[Node], changes: dict[str, Any], at_once: int
) -> None:
    assert trials_at_once(nodes, RunOptions(**changes)) == at_once


def test_a_shared_process_fits_on_one_node() -> None:
    options = RunOptions(together=8)
    assert searches_per_process([Node(2), Node(3)], options) == 3
    assert searches_per_process([Node(16)], options) == 8
    assert searches_per_process([], options) == 1


@pytest.mark.parametrize(
    ("nodes", "changes", "says"),
    [
        (
            [Node(2)],
            {"cpus_per_trial": 4},
            "`cpus_per_trial` is 4, but must be at most 2, which is what the machine has",
        ),
        (
            [Node(8, 2), Node(8, 1)],
            {"gpus_per_trial": 3},
            "`gpus_per_trial` is 3, but must be at most 2, which is what the largest node has",
        ),
        (
            [Node(8), Node(1, 4)],
            {"cpus_per_trial": 2, "gpus_per_trial": 1},
            "`cpus_per_trial` is 2 with `gpus_per_trial` 1, but no node has both; use fewer of one",
        ),
    ],
)
def test_a_trial_that_fits_on_no_node_is_refused(
    nodes: list[Node], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_room(nodes, RunOptions(**changes))
    assert str(error.value) == says


@pytest.mark.parametrize("gpus", [1.5, 2.25, 1.0001])
def test_more_than_one_gpu_must_be_whole(gpus: float) -> None:
    with pytest.raises(ConfigError, match=r"must be whole if it is more than 1; try 1$"):
        RunOptions(gpus_per_trial=gpus)


def test_gpus_that_would_be_idle_are_said() -> None:
    (remark,) = RunOptions(gpus_per_trial=3).remarks
    assert remark.endswith("a trial computes on one GPU: of each trial's GPUs 2 will be idle")
    for gpus in (None, 0, 0.5, 1):
        assert RunOptions(gpus_per_trial=gpus).remarks == []


@pytest.mark.parametrize(
    ("address", "together", "expected"), [(None, None, 2), ("a:1", None, 5), ("a:1", 2, 2)]
)
def test_a_concurrency_beyond_the_machine_is_cut_but_a_cluster_may_grow(
    monkeypatch: pytest.MonkeyPatch, address: str | None, together: int | None, expected: int
) -> None:
    import ray

    from tune_nas.sweep.ray import cluster

    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    options = RunOptions(address=address, concurrency=5, together=together)
    assert cluster.trials_at_once(options) == expected


def test_an_estimate_counts_by_gpu(make_sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("tune_nas.sweep.cost.os.cpu_count", lambda: 64)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("tune_nas.sweep.cost.epoch_seconds", lambda task, trial: (60.0, 3))
    sweep = make_sweep(seeds=4)
    cost = estimate(sweep, options=RunOptions(gpus_per_trial=0.4))
    assert (cost["search_epochs"], cost["at_once"], cost["minutes"]) == (48, 4, 12)
    assert estimate(sweep, options=RunOptions(gpus_per_trial=0.2, together=3))["at_once"] == 6


@pytest.mark.sweep
def test_ray_places_as_many_trials_as_are_counted() -> None:
    asked, expected = [0.15, 0.4, 1, 2], [18, 6, 3, 1]
    code = [sys.executable, "-c", PLACED, "3", json.dumps(asked)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    counted, placed = json.loads(done.stdout.splitlines()[-1])
    assert counted == expected
    assert placed == expected
