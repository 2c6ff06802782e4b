"""The task of training a genotype from scratch."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.data import load_data
from tune_nas.errors import ConfigError
from tune_nas.retrain import Retrain
from tune_nas.retrain.retrain_checks import (
    check_batch_size,
    check_retrain_memory,
    check_retrain_size,
    final_space,
)
from tune_nas.spaces import Genotype, load_space
from tune_nas.tasks.task import Inputs, Task, on_cpu


class RetrainTask(Task):
    """A retraining run; the only task that reads the test images."""

    name = "retrain"
    section = "retrain"
    starts = Decides.RETRAIN_STARTS
    metric = "test_accuracy"
    finds_genotypes = False

    def epochs(self, trial: TrialConfig) -> int:
        """Return the number of epochs of the retraining run."""
        return trial.retrain.epochs

    def workers(self, trial: TrialConfig) -> int:
        """Return the number of processes that share every batch."""
        return trial.runtime.workers

    def course(self, trial: TrialConfig) -> Sequence[str]:
        """Return the same text for each epoch: the rate of each depends on the number of epochs."""
        spaces = [load_space(trial.space.name).to_dict(), final_space(trial).to_dict()]
        values = [decided_by(trial, Decides.RETRAIN), spaces]
        return [json.dumps(values, sort_keys=True, default=str)] * self.epochs(trial)

    def check(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Build the retraining run once, on the CPU; without a genotype, only read its data."""
        if inputs.genotype is not None:
            Retrain(on_cpu(trial), Genotype.parse(inputs.genotype))
        else:
            check_retrain_size(trial)
            cpu = torch.device("cpu")
            data = load_data(trial.data, seed=trial.seed, device=cpu, for_search=False)
            batch_size = min(trial.retrain.batch_size, data.n_train)
            check_batch_size(trial, final_space(trial), data, batch_size)

    def check_memory(self, trial: TrialConfig, inputs: Inputs) -> None:
        """Estimate the memory of the retraining run without building it."""
        known = None if inputs.genotype is None else Genotype.parse(inputs.genotype)
        check_retrain_memory(trial, known)

    def build(self, trial: TrialConfig, inputs: Inputs, together: object = None) -> Retrain:
        """Return the retraining run of the genotype, with the trial's number of CPU threads.

        Raises:
            ConfigError: If no genotype is given.
        """
        if inputs.genotype is None:
            raise ConfigError("a retraining run needs a genotype, but none is given")
        torch.set_num_threads(trial.runtime.threads)
        return Retrain(trial, Genotype.parse(inputs.genotype))
