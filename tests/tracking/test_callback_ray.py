"""The callback in a real Ray Tune run with a trial of each end, run twice as after a kill."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from tune_nas.tracking import Tracker, TrackerSettings, TrackingCallback, TrialFacts

EPOCHS = 3


class Trainable(tune.Trainable):  # type: ignore[misc]
    def setup(self, config: dict[str, Any]) -> None:
        self.epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        if self.config["end"] == "fail" and self.epoch == 2:
            raise ValueError("broken in\ntwo lines")
        done = self.epoch == EPOCHS
        return {"epoch": self.epoch, "valid_accuracy": 10.0 * self.epoch, "done": done}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "state.json").write_text(json.dumps(self.epoch))
        text = "space: nasbench201\ncells:\n  normal:\n    0->1: none\n    0->2: none\n"
        text += "    1->2: none\n    0->3: none\n    1->3: none\n    2->3: skip_connect\n"
        Path(checkpoint_dir, "genotype.yaml").write_text(text)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.epoch = json.loads(Path(checkpoint_dir, "state.json").read_text())


def describe(trial_id: str, config: Mapping[str, Any]) -> TrialFacts:
    settings = {"end": config["end"]}
    return TrialFacts("search", settings, EPOCHS, "nasbench201", name=config["end"])


@pytest.fixture
def local_ray() -> Iterator[None]:
    ray.shutdown()  # of a test before: some of Ray's functions start it unasked
    ray.init(
        "local",  # not the cluster of somebody else on this machine
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()


@pytest.mark.sweep
def test_a_real_sweep_and_its_restore(store: str, tmp_path: Path, local_ray: None) -> None:
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    tracker = Tracker(store)
    sweep = tracker.sweep_run("lambda", {})
    tuner = tune.Tuner(
        Trainable,
        param_space={"end": tune.grid_search(["finish", "stop", "fail"])},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(tmp_path / "ray"),
            callbacks=[TrackingCallback(TrackerSettings(store), sweep, describe)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
            # As ASHA would: one trial is stopped after its second epoch.
            stop=stop_one,
            verbose=0,
        ),
    )
    tuner.fit()
    check_runs(store, tracker, sweep)

    # resume, as restart_errored makes a new trial, with a new id and rightly a new run.
    again = tune.Tuner.restore(str(tmp_path / "ray" / "search"), Trainable, resume_errored=True)
    again.fit()
    check_runs(store, tracker, sweep)


def stop_one(trial_id: str, result: dict[str, Any]) -> bool:
    return bool(result["config"]["end"] == "stop" and result["epoch"] == 2)


def check_runs(store: str, tracker: Tracker, sweep: str) -> None:
    runs = {run.name: run for run in tracker.runs(sweep)}
    assert len(tracker.runs(sweep)) == 3
    assert {name: (run.state, run.status) for name, run in runs.items()} == {
        "finish": ("FINISHED", "finished"),
        "stop": ("FINISHED", "stopped early"),
        "fail": ("FAILED", "failed"),
    }
    assert runs["fail"].tags["error"].startswith("ValueError: broken in")
    assert runs["stop"].tags["reason"] == (
        "stopped by ASHA after epoch 2 of 3, at valid_accuracy 20"
    )
    genotype = "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    assert runs["finish"].tags["genotype"] == genotype
    from mlflow import MlflowClient  # here, as trials import this module and need no mlflow

    client = MlflowClient(store)
    for name, steps in {"finish": [1, 2, 3], "stop": [1, 2], "fail": [1]}.items():
        history = client.get_metric_history(runs[name].run_id, "valid_accuracy")
        assert [(entry.step, entry.value) for entry in history] == [(s, 10.0 * s) for s in steps]
