"""A retraining run: the final network of a genotype, its epoch loop and its state.

The recipe follows the DARTS code, `cnn/train.py`: SGD with momentum and a cosine schedule, gradient
clipping, cutout, an auxiliary head and drop path that grows linearly over the epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tune_nas.checkpoint import State, check_same_trial, load_state, save_state, taking
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.data import DataSource, load_data
from tune_nas.errors import CheckpointError, DivergedError, TuneNasError
from tune_nas.library import trial_of_checkpoint
from tune_nas.memory import check_weights
from tune_nas.paths import GENOTYPE
from tune_nas.retrain.compiled import compile_pays, kernels_pay
from tune_nas.retrain.data_summary import DataSummary
from tune_nas.retrain.distributed import Workers
from tune_nas.retrain.network_training import NetworkTraining
from tune_nas.retrain.retrain_checks import (
    SIZE_KEYS,
    check_batch_size,
    check_retrain_size,
    check_workers,
    final_space,
)
from tune_nas.retrain.scores import Scores, score_network
from tune_nas.runtime import peak_memory_mib, reset_peak_memory, set_up_runtime
from tune_nas.seeds import building, derive_seed
from tune_nas.spaces import (
    Genotype,
    Network,
    build_network,
    count_parameters,
    estimate_network,
)

STATE_FILE = "retrain.pt"

Metrics = dict[str, float]


class Retrain:
    """The training of one genotype from scratch, run epoch by epoch.

    Killed after any epoch and resumed from its checkpoint, it gives a result that is bit for bit
    equal to an uninterrupted run (same machine, CPU, same number of threads).

    In a process group of `torch.distributed`, every process is a worker that computes its part of
    each batch; all of them run the same epochs. Their states and metrics are equal, and those of a
    run in one process up to rounding, so the checkpoint of one is loaded by any number of workers.

    A candidate of a black-box search is trained in the same way, on other images: the metrics of
    its held-out images start with ``valid_`` instead of ``test_``.

    Args:
        trial: Its seed, space, data, runtime and retrain sections determine the result.
        genotype: The genotype to train.
        data: The images; None to read those of the trial.
        workers: The processes that share every batch; None for those of the process group.

    Attributes:
        epoch: The next epoch to run, from 0.
        history: The metrics of the completed epochs.
        network: The final network.
        training: Its optimizer and its steps.

    Raises:
        ConfigError: If the space or the device is not available.
        DataError: If the images cannot be read.
        GenotypeError: If the space does not contain the genotype.
    """

    def __init__(
        self,
        trial: TrialConfig,
        genotype: Genotype,
        *,
        data: DataSource | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.trial = trial
        self.genotype = genotype
        self._recipe = trial.retrain
        self._workers = Workers.joined() if workers is None else workers
        space = final_space(trial)
        genotype.check(space)
        check_retrain_size(trial)
        self.device, self.dtype = set_up_runtime(trial.runtime)
        self.data: DataSource = data or load_data(
            trial.data, seed=trial.seed, device=self.device, dtype=self.dtype, for_search=False
        )
        estimate = estimate_network(
            space,
            genotype,
            n_classes=self.data.n_classes,
            in_channels=self.data.in_channels,
            image_size=self.data.image_size,
            init_channels=self._recipe.init_channels,
            cells=self._recipe.cells,
        )
        check_weights(estimate, self.dtype, self.device, SIZE_KEYS)
        with building(derive_seed(trial.seed, "retrain weights")):
            network = build_network(
                genotype,
                space,
                n_classes=self.data.n_classes,
                in_channels=self.data.in_channels,
                init_channels=self._recipe.init_channels,
                cells=self._recipe.cells,
                auxiliary=self._recipe.auxiliary_weight > 0,
            )
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(self.device, self.dtype)
        # On the trial's device: drop path is sampled once per step, noise in each pass.
        self._drop_path_generator = torch.Generator(self.device).manual_seed(
            derive_seed(trial.seed, "drop path")
        )
        self.network.generator = self._drop_path_generator
        self.training = NetworkTraining(
            self.network,
            trial.retrain,
            compiled=compile_pays(trial.runtime.compile, self.device),
            kernels=kernels_pay(trial.runtime, self.device),
            workers=self._workers,
        )
        self._train = self.data.train_stream(
            self._recipe.batch_size,
            derive_seed(trial.seed, "retrain batches"),
            self._recipe.augment,
            "retrain.augment",
        )
        check_batch_size(trial, space, self.data, self._train.batch_size)
        n_workers = max(self._workers.size, trial.runtime.workers)
        parts = self._recipe.accumulation_steps
        check_workers(n_workers, self._train.batch_size, parts, genotype)
        if self._workers.size > 1:
            self._train.select(self._workers.rows(self._train.batch_size, parts))
        self.epoch = 0
        self.history: list[Metrics] = []

    @property
    def epochs(self) -> int:
        """Total number of epochs."""
        return self._recipe.epochs

    @property
    def done(self) -> bool:
        """Whether all epochs were run."""
        return self.epoch >= self.epochs

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Run the next epoch and return its metrics.

        `train_loss` and `train_accuracy` are those of the main classifier on the augmented images
        during training; `best_test_accuracy` is the highest so far, first reached in `best_epoch`.
        `test_top5_accuracy` is absent if there are at most five classes. With ``ema_decay``, the
        metrics that start with `ema_` are those of the averaged weights.

        Args:
            on_step: Called after each step with its number and the number of steps of the epoch.

        Raises:
            TuneNasError: If all epochs were run.
            DivergedError: If the loss is not finite anymore.
        """
        if self.done:
            raise TuneNasError(
                f"the training is over: {self.epoch} of {self.epochs} epochs are run"
            )
        start = time.perf_counter()
        reset_peak_memory(self.device)
        rate = self.training.set_epoch(self.epoch)
        train = self.training.run_epoch(self._train, self.device, on_step)
        if not math.isfinite(train.loss):
            raise DivergedError(
                f"the train loss is {train.loss} in epoch {self.epoch + 1}; "
                "a lower retrain.learning_rate may help"
            )
        images = self.data.held_out
        scores = self._evaluate(self.network).metrics(f"{images}_")
        if (average := self.training.average) is not None:
            scores |= self._evaluate(average.network).metrics(f"ema_{images}_")
        self.epoch += 1
        if self.epoch == self.epochs:
            self._train.close()
        metrics: Metrics = {
            "epoch": self.epoch,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            **scores,
            "learning_rate": rate,
            "parameters": count_parameters(self.network),
        }
        accuracy = f"{images}_accuracy"
        best = max((*self.history, metrics), key=lambda epoch: epoch[accuracy])
        metrics[f"best_{accuracy}"] = best[accuracy]
        metrics["best_epoch"] = best["epoch"]
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        self.history.append(metrics)
        return dict(metrics)

    def _evaluate(self, network: Network | None = None) -> Scores:
        """Return the scores of the network, or of its average."""
        size = self._recipe.batch_size // self._recipe.accumulation_steps
        return score_network(
            network or self.network,
            self.data,
            size,
            self.device,
            self._workers,
            kernels=self.training.kernels,
        )

    def state_dict(self) -> State:
        """Return the complete state of the training as containers and tensors."""
        average = self.training.average
        return {
            "trial": self.trial.to_dict(),
            "genotype": self.genotype.to_yaml(),
            "data": DataSummary.of(self.data).to_dict(),
            "epoch": self.epoch,
            "network": dict(self.network.state_dict()),
            "optimizer": self.training.optimizer.state_dict(),
            "batches": self._train.state_dict(),
            "drop_path_generator": self._drop_path_generator.get_state(),
            "history": [dict(metrics) for metrics in self.history],
            **({} if average is None else {"ema": average.state_dict()}),
            "kernels": self.training.kernels,
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from a state of the same trial and genotype.

        Raises:
            CheckpointError: If the state is of another trial or genotype.
        """
        if state["genotype"] != self.genotype.to_yaml():
            raise CheckpointError("the checkpoint is of another genotype; use the one it has")
        if "optimizer" not in state:
            raise CheckpointError(
                "the checkpoint has no optimizer state, which `tune-nas clean` removes: training "
                "cannot continue from it"
            )
        saved = trial_of_checkpoint(state["trial"])  # keys added since get their defaults
        check_same_trial(
            decided_by(self.trial, Decides.RETRAIN), decided_by(saved, Decides.RETRAIN)
        )
        self.network.load_state_dict(state["network"])
        self.training.optimizer.load_state_dict(state["optimizer"])
        if self.training.average is not None:
            self.training.average.load_state_dict(state["ema"])
        self._train.load_state_dict(state["batches"])
        self._drop_path_generator.set_state(state["drop_path_generator"])
        self.history = [dict(metrics) for metrics in state["history"]]
        self.epoch = state["epoch"]
        # A run that started without the kernels, e.g. before there were any, ends without them.
        if not state.get("kernels", False):
            self.training.leave_out_kernels()

    def result(self) -> Genotype:
        """Return the genotype in training."""
        return self.genotype

    def remarks(self) -> dict[str, str]:
        """Return an empty dict: the metrics describe an epoch completely."""
        return {}

    def artifacts(self) -> dict[str, str]:
        """Return an empty dict: a retraining run has no tables."""
        return {}

    def save(self, folder: Path) -> None:
        """Write ``retrain.pt`` and ``genotype.yaml`` to a folder."""
        files = {GENOTYPE: self.genotype.to_yaml()}
        save_state(folder, self.state_dict(), name=STATE_FILE, files=files)

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, missing or of another trial or genotype.
        """
        state = load_state(folder, name=STATE_FILE)
        with taking(folder):
            self.load_state_dict(state)
