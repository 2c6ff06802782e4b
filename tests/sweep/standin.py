"""A search without torch: deterministic, instant, and with configurable pauses and failures.

The trial's description is JSON with these keys: ``pause`` (seconds per epoch), ``fail`` (a seed
whose second epoch raises), ``fail_once`` (a file: the second epoch raises until it exists),
``fail_until`` (a file: with λ = 1 the second epoch raises until it exists), ``raise`` (the name of
one of our errors: with λ = 1 it is raised ``at`` ``epoch`` or ``start``, and a line added to the
file ``tries``), ``parameters`` (number of the network's parameters at λ = 0; it grows with λ).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_nas import errors
from tune_nas.config import TrialConfig
from tune_nas.errors import CheckpointError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.ray.trainable import EpochTrainable
from tune_nas.sweep.runs.records import Records
from tune_nas.tasks import Inputs, Task, find_task

MakeSweep = Callable[..., SweepConfig]
GENOTYPE_FILE = Path(__file__).with_name("genotype.yaml")


class Found:
    def __init__(self, text: str) -> None:
        self.text = text

    def to_yaml(self) -> str:
        return self.text


class StandIn:
    """Accuracy rises with the epochs, to a maximum that the learning rates determine."""

    def __init__(self, trial: TrialConfig, genotype: str | None) -> None:
        self.orders = json.loads(trial.description or "{}")
        self.trial, self.given = trial, genotype
        section = trial.schedule if genotype is None else trial.retrain
        self.epochs, self.epoch, self.state = section.epochs, 0, float(trial.seed)
        self._raise("start")

    @property
    def done(self) -> bool:
        return self.epoch >= self.epochs

    def result(self) -> Found:
        return Found(self.given or f"{GENOTYPE_FILE.read_text()}# epoch {self.epoch}\n")

    def remarks(self) -> dict[str, str]:
        return {}

    def artifacts(self) -> dict[str, str]:
        return {}

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        time.sleep(self.orders.get("pause", 0.0))
        self._fail()
        self.epoch += 1
        rates = self.trial.optimizer
        height = 90 - 20 * abs(math.log10(rates.weights.learning_rate / 0.03))
        height -= 5 * abs(math.log10(rates.alphas.learning_rate / 0.003))
        if self.trial.update.lambda_ is not None:
            height += min(self.trial.update.lambda_, 3.0)
        text = f"{self.trial.seed} {self.epoch} {self.state!r}"
        noise = int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) / 2**24
        self.state = math.fmod(self.state * 1.3 + noise, 7.0)
        accuracy = height * (1 - 0.8**self.epoch) + noise
        metrics = {"epoch": self.epoch, "state": self.state, "seconds": 0.1}
        if self.given is not None:
            return {**metrics, "test_accuracy": accuracy, "train_accuracy": accuracy + 2}
        if "parameters" in self.orders:
            share = 1 + min(self.trial.update.lambda_ or 0.0, 9.0)
            metrics["genotype/parameters"] = self.orders["parameters"] * share
        return {
            **metrics,
            "valid_accuracy": accuracy,
            "train_accuracy": accuracy + 1,
            "gap": 1.0,
            "genotype/skips": 8,
        }

    def save(self, folder: Path) -> None:
        content = json.dumps({"epoch": self.epoch, "state": self.state})
        digest = hashlib.sha256(content.encode()).hexdigest()
        (folder / "search.pt").write_text(f"{digest}\n{content}")

    def load(self, folder: Path) -> None:
        digest, _, content = (folder / "search.pt").read_text().partition("\n")
        if digest != hashlib.sha256(content.encode()).hexdigest():
            raise CheckpointError(f"{folder}: damaged")
        state = json.loads(content)
        self.epoch, self.state = state["epoch"], state["state"]

    def _raise(self, at: str) -> None:
        if self.trial.update.lambda_ == 1 and self.given is None and self.orders.get("at") == at:
            with Path(self.orders["tries"]).open("a") as file:
                file.write("tried\n")
            raise getattr(errors, self.orders["raise"])("it fails, as it was told to")

    def _fail(self) -> None:
        if self.epoch != 1:
            return
        self._raise("epoch")
        until = self.orders.get("fail_until")
        if until and self.trial.update.lambda_ == 1 and not Path(until).exists():
            raise ValueError("failed until something is there")
        if self.orders.get("fail") == self.trial.seed:
            raise ValueError("the second epoch failed\nas it was told to")
        once = self.orders.get("fail_once")
        if once and not Path(once).exists():
            Path(once).touch()
            raise ValueError("failed once")


class StandInTask(Task):
    """Replaces a search or a retraining run."""

    section = "schedule"

    def __init__(self, replaced: str) -> None:
        self._replaced = replaced  # its name: the task itself would import torch into each trial

    def epochs(self, trial: TrialConfig) -> int:
        return find_task(self._replaced).epochs(trial)

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Accept every trial."""

    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> StandIn:
        return StandIn(trial, inputs.genotype)


TASKS: dict[str, Task] = {name: StandInTask(name) for name in ("search", "retrain")}


class StandInTrainable(EpochTrainable):
    """The trainable of a search, without Ray."""

    def setup(self, config: dict[str, Any], task: Task | None = None) -> None:
        super().setup(config, task or TASKS["search"])


def write_sweep(folder: Path, orders: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a trial and a sweep of it, and return the sweep's file."""
    trial = {
        "description": json.dumps(orders or {}),
        "update": {"level": "mixed"},
        "schedule": {"epochs": changes.pop("epochs", 4)},
        "retrain": {"epochs": 2},
    }
    sweep = {
        "trial": str(folder / "trial.yaml"),
        "parameters": {"update.lambda": {"grid": [0, 1, float("inf")]}},
        "retrain": 0,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial.yaml").write_text(yaml.safe_dump(trial))
    (folder / "test.yaml").write_text(yaml.safe_dump(sweep))
    return folder / "test.yaml"


def interrupt_after(patch: pytest.MonkeyPatch, results: int) -> None:
    """Interrupt the driver in place of recording one more result."""
    add, count = Records.add, iter(range(results))

    def add_or_crash(self: Records, job_id: str, result: Any, *, stopped: str = "") -> bool:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return add(self, job_id, result, stopped=stopped)

    patch.setattr(Records, "add", add_or_crash)


@contextmanager
def crash_after(monkeypatch: pytest.MonkeyPatch, results: int) -> Iterator[None]:
    """Let the driver die after it has recorded a number of results."""
    crashed = False
    with monkeypatch.context() as patch:
        interrupt_after(patch, results)
        try:
            yield
        except KeyboardInterrupt:
            crashed = True
    restart_ray()
    assert crashed, "the driver did not get so far"


def restart_ray() -> None:
    """Restart the Ray of the tests: processes of interrupted trials keep its CPUs otherwise."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
