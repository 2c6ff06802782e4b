"""Stand-ins whose α learning rate matters from epoch 3 on, and whose λ at the end only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from standin import StandIn, StandInTask

from tune_nas.config import TrialConfig
from tune_nas.sweep.reports_file import Report
from tune_nas.tasks import Inputs, Task, find_task

SWITCH = 3
"""The last epoch that trials with different learning rates of α have in common."""


class Sharing(StandIn):
    """Its state has the learning rate of α from epoch 4 on; each epoch leaves a line in a file."""

    def run_epoch(self, on_step: Any = None) -> dict[str, Any]:
        rate = self.trial.optimizer.alphas.learning_rate
        if self.epoch >= SWITCH and self.given is None:
            self.state += rate
        metrics = super().run_epoch(on_step)
        if self.given is None:
            metrics |= self.accuracies(self.epoch)
        else:
            metrics |= {"test_accuracy": self.state, "train_accuracy": self.state}
        if self.orders.get("ran"):
            with Path(self.orders["ran"]).open("a") as file:
                file.write(f"{self.trial.seed} {rate} {self.trial.update.lambda_} {self.epoch}\n")
        return metrics

    def accuracies(self, epoch: int) -> dict[str, float]:
        """The trials that are the same so far have the same value; λ changes that of the end."""
        rate = self.trial.optimizer.alphas.learning_rate if epoch > SWITCH else 0.0
        last = self.trial.update.lambda_ or 0.0 if epoch == self.epochs else 0.0
        valid = epoch + self.trial.seed / 10 + 100 * rate - last
        return {"valid_accuracy": valid, "train_accuracy": valid + 1}

    def branch(self, folder: Path, reports: Sequence[Report]) -> list[Report]:
        self.load(folder)
        return [
            report if self.given else {**report, **self.accuracies(report["epoch"])}
            for report in reports
        ]


class SharingTask(StandInTask):
    def course(self, trial: TrialConfig) -> Sequence[str]:
        if self._replaced == "retrain":
            return find_task(self._replaced).course(trial)
        epochs = range(1, self.epochs(trial) + 1)
        rate = trial.optimizer.alphas.learning_rate
        return [f"{trial.seed} {epoch} {rate if epoch > SWITCH else ''}" for epoch in epochs]

    def build(self, trial: TrialConfig, inputs: Inputs, together: Any = None) -> Sharing:
        return Sharing(trial, inputs.genotype)


SHARING: dict[str, Task] = {name: SharingTask(name) for name in ("search", "retrain")}


def epochs_run(file: Path) -> list[tuple[str, ...]]:
    """Return the epochs that were run, as lines of the file named in the orders."""
    return [tuple(line.split()) for line in file.read_text().splitlines()]
