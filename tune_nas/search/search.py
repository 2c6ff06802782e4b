"""One search: the epoch loop, and the state that a resumed search needs."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune_nas.checkpoint import check_same_trial, load_state, save_state
from tune_nas.config import AlphasOptimizer, TrialConfig
from tune_nas.data import SearchData, load_data
from tune_nas.errors import CheckpointError, ConfigError, TuneNasError
from tune_nas.runtime import peak_memory_mib, set_up_runtime
from tune_nas.search.benchmark import BENCHMARK_SPACE, BenchmarkTable, load_benchmark
from tune_nas.search.model_size import BestBySize
from tune_nas.search.objective import Batch, Gradients, Objective
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.selection import select_by_magnitude
from tune_nas.search.statistics import entropies, genotype_counts, skip_advantage
from tune_nas.search.unrolled import SgdState
from tune_nas.search.update import Update
from tune_nas.seeds import derive_seed, make_generator
from tune_nas.spaces import Genotype, Supernet, load_space, model_size
from tune_nas.training import Tally, cosine, evaluate

STATE_FILE = "search.pt"

Metrics = dict[str, float]


class Search:
    """A differentiable architecture search, run epoch by epoch.

    Killed after any epoch and resumed from its checkpoint, it ends bit-identical to a search
    that ran through (same machine, CPU, same number of threads).

    Args:
        trial: All that decides the result.

    Raises:
        ConfigError: If the space, a part or the device cannot be had.
        DataError: If the images cannot be read.
    """

    def __init__(self, trial: TrialConfig) -> None:
        self.trial = trial
        self.space = load_space(trial.space.name)
        self.device, self.dtype = set_up_runtime(trial.runtime)
        self._benchmark = self._load_benchmark()
        self.data: SearchData = load_data(
            trial.data, seed=trial.seed, device=self.device, dtype=self.dtype, for_search=True
        )
        self._build_model()
        self._build_optimisers()
        self._build_streams()
        self.epoch = 0
        self.history: list[Metrics] = []
        self.best_by_size = BestBySize()
        self._alpha_history: dict[str, list[Tensor]] = {name: [] for name in self.alphas}
        self._parameters: dict[Genotype, int] = {}

    def _load_benchmark(self) -> BenchmarkTable | None:
        table = self.trial.benchmark.table
        if table is None:
            return None
        if self.space.name != BENCHMARK_SPACE:
            raise ConfigError(
                f"benchmark.table is given, but holds no cell of space '{self.space.name}'; "
                f"it is for space '{BENCHMARK_SPACE}'"
            )
        return load_benchmark(table)

    def _build_model(self) -> None:
        trial = self.trial
        self.relaxation = make_relaxation(trial.relaxation, self.space)
        initial = self.relaxation.initial_alphas(make_generator(trial.seed, "alphas"), self.dtype)
        self.alphas = {
            name: alpha.to(self.device).requires_grad_() for name, alpha in initial.items()
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(trial.seed, "weights"))
            supernet = Supernet(
                self.space,
                n_classes=self.data.n_classes,
                in_channels=self.data.in_channels,
                init_channels=trial.space.init_channels,
                cells=trial.space.cells,
            )
        # The same mathematics, and faster on a CPU, pools most of all.
        self.supernet = supernet.to(self.device, self.dtype)
        self.supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = Objective(self.supernet, self.relaxation, self.alphas)
        self.update = Update(trial.update, self.objective)

    def _build_optimisers(self) -> None:
        weights = self.trial.optimizer.weights
        self.weights_optimizer = torch.optim.SGD(
            self.supernet.parameters(),
            lr=weights.learning_rate,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
            nesterov=weights.nesterov,
        )
        self.alphas_optimizer = _alphas_optimizer(
            self.trial.optimizer.alphas, list(self.alphas.values())
        )

    def _build_streams(self) -> None:
        trial = self.trial
        on_all = trial.update.level == "single" and trial.data.single_level == "all"
        images = self.data.all_train if on_all else self.data.train
        self._train, self._valid = (
            self.data.batches(
                part,
                trial.schedule.batch_size,
                make_generator(trial.seed, purpose),
                trial.data.augment,
            )
            for part, purpose in ((images, "train batches"), (self.data.valid, "valid batches"))
        )
        self.steps_per_epoch = trial.schedule.steps_per_epoch or self._train.steps_per_epoch

    @property
    def epochs(self) -> int:
        """Epochs that the whole search has."""
        return self.trial.schedule.epochs

    @property
    def done(self) -> bool:
        """Whether no epoch is left to run."""
        return self.epoch >= self.epochs

    @property
    def genotype(self) -> Genotype:
        """The genotype that the current α selects."""
        with torch.no_grad():
            return select_by_magnitude(self.space, self.relaxation.weights(self.alphas))

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Run the next epoch and return its metrics.

        Args:
            on_step: Called after each step with the steps done and the steps of the epoch.

        Raises:
            TuneNasError: If the search is over, or its loss is no longer finite.
        """
        if self.done:
            raise TuneNasError(f"the search is over: {self.epoch} of {self.epochs} epochs are run")
        start = time.perf_counter()
        rate = self._set_learning_rate()
        train = self._train_epoch(on_step)
        valid_loss, valid_accuracy = self._evaluate()
        if not math.isfinite(train.loss):
            raise TuneNasError(
                f"the train loss is {train.loss} in epoch {self.epoch + 1}; "
                "a lower optimizer.weights.learning_rate may help"
            )
        self.epoch += 1
        metrics: Metrics = {
            "epoch": self.epoch,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "valid_loss": valid_loss,
            "valid_accuracy": valid_accuracy,
            "gap": train.accuracy - valid_accuracy,
            "learning_rate/weights": rate,
            "learning_rate/alphas": self.trial.optimizer.alphas.learning_rate,
        }
        metrics |= self._describe(valid_accuracy)
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        self.history.append(metrics)
        return metrics

    def _set_learning_rate(self) -> float:
        weights = self.trial.optimizer.weights
        rate = cosine(self.epoch, self.epochs, weights.learning_rate, weights.learning_rate_min)
        self.weights_optimizer.param_groups[0]["lr"] = rate
        return rate

    def _train_epoch(self, on_step: Callable[[int, int], None] | None) -> Tally:
        self.supernet.train()
        tally = Tally(self.device)
        for step in range(self.steps_per_epoch):
            train = _channels_last(self._train.next())
            valid = _channels_last(self._valid.next()) if self.update.needs_valid else None
            output = self.update.step(
                train,
                valid,
                step_weights=self._step_weights,
                step_alphas=self._step_alphas,
                sgd=self._sgd_state(),
            )
            tally.add(output.train_loss, output.train_logits, train[1])
            if on_step is not None:
                on_step(step + 1, self.steps_per_epoch)
        return tally

    def _evaluate(self) -> tuple[float, float]:
        self.supernet.eval()
        with torch.no_grad():
            weights = self.relaxation.weights(self.alphas)
        batches = map(
            _channels_last,
            self.data.evaluation_batches(self.data.valid, self.trial.schedule.batch_size),
        )
        return evaluate(lambda images: self.supernet(images, weights), batches, self.device)

    def _describe(self, valid_accuracy: float) -> Metrics:
        """Return what the epoch's α means, and remember it."""
        with torch.no_grad():
            weights = self.relaxation.weights(self.alphas)
        genotype = select_by_magnitude(self.space, weights)
        self.best_by_size.see(genotype, self.epoch, valid_accuracy)
        for name, alpha in self.alphas.items():
            self._alpha_history[name].append(alpha.detach().cpu().clone())
        metrics = genotype_counts(genotype)
        metrics["genotype/parameters"] = self._count_parameters(genotype)
        metrics |= entropies(weights)
        advantage = skip_advantage(self.space, self.alphas)
        if not math.isnan(advantage):
            metrics["skip_advantage"] = advantage
        if self._benchmark is not None:
            metrics |= self._benchmark.query(genotype.to_nasbench201())
        return metrics

    def _count_parameters(self, genotype: Genotype) -> int:
        if genotype not in self._parameters:
            self._parameters[genotype] = model_size(
                genotype,
                self.space,
                image_size=self.data.image_size,
                n_classes=self.data.n_classes,
                in_channels=self.data.in_channels,
                init_channels=self.trial.retrain.init_channels,
                cells=self.trial.retrain.cells,
            ).parameters
        return self._parameters[genotype]

    def _step_weights(self, gradients: Gradients) -> None:
        parameters = list(self.supernet.parameters())
        _give(parameters, gradients)
        clip = self.trial.optimizer.weights.clip
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        self.weights_optimizer.step()
        self.weights_optimizer.zero_grad(set_to_none=True)

    def _step_alphas(self, gradients: Gradients) -> None:
        _give(list(self.alphas.values()), gradients)
        self.alphas_optimizer.step()
        self.alphas_optimizer.zero_grad(set_to_none=True)

    def _sgd_state(self) -> SgdState:
        group = self.weights_optimizer.param_groups[0]
        return SgdState(
            learning_rate=group["lr"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            buffers=[
                self.weights_optimizer.state[parameter].get("momentum_buffer")
                for parameter in group["params"]
            ],
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the search depends on, as containers and tensors."""
        return {
            "trial": self.trial.to_dict(),
            "epoch": self.epoch,
            "supernet": dict(self.supernet.state_dict()),
            "alphas": {name: alpha.detach().clone() for name, alpha in self.alphas.items()},
            "weights_optimizer": self.weights_optimizer.state_dict(),
            "alphas_optimizer": self.alphas_optimizer.state_dict(),
            "train_batches": self._train.state_dict(),
            "valid_batches": self._valid.state_dict(),
            "history": [dict(metrics) for metrics in self.history],
            "alpha_history": {name: list(rows) for name, rows in self._alpha_history.items()},
            "best_by_size": self.best_by_size.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same trial.

        Raises:
            CheckpointError: If the state is of another trial.
        """
        check_same_trial(_deciding(self.trial.to_dict()), _deciding(state["trial"]))
        self.epoch = state["epoch"]
        self.supernet.load_state_dict(state["supernet"])
        with torch.no_grad():
            for name, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][name])
        self.weights_optimizer.load_state_dict(state["weights_optimizer"])
        self.alphas_optimizer.load_state_dict(state["alphas_optimizer"])
        self._train.load_state_dict(state["train_batches"])
        self._valid.load_state_dict(state["valid_batches"])
        self.history = [dict(metrics) for metrics in state["history"]]
        self._alpha_history = {name: list(rows) for name, rows in state["alpha_history"].items()}
        self.best_by_size.load_state_dict(state["best_by_size"])

    def save(self, folder: Path) -> None:
        """Write ``search.pt``, ``genotype.yaml``, ``alphas.csv`` and ``best.yaml`` to a folder."""
        files = {
            "genotype.yaml": self.genotype.to_yaml(),
            "alphas.csv": self._alphas_csv(),
            "best.yaml": self.best_by_size.to_yaml(),
        }
        save_state(folder, self.state_dict(), name=STATE_FILE, files=files)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, absent or of another trial.
        """
        state = load_state(folder, name=STATE_FILE)
        try:
            self.load_state_dict(state)
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: made by another version: {error!r}") from error

    def _alphas_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("epoch", "cell", "source", "target", "operation", "alpha", "weight"))
        for name, rows in self._alpha_history.items():
            cell = self.space.cells[name]
            for epoch, alpha in enumerate(rows, start=1):
                numbers = torch.stack((alpha, self.relaxation.relax(alpha, cell.mask())), dim=-1)
                for edge, operations, row in zip(
                    cell.edges, cell.operations, numbers.tolist(), strict=True
                ):
                    place = (epoch, name, edge.source, edge.target)
                    writer.writerows(
                        (*place, operation, *pair)
                        for operation, pair in zip(operations, row, strict=False)
                    )
        return text.getvalue()


def _deciding(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that decide a search's result."""
    ignored = ("name", "description", "retrain", "benchmark", "runtime")
    content = {key: value for key, value in trial.items() if key not in ignored}
    data = {key: value for key, value in trial["data"].items() if key not in ("dir", "download")}
    return {**content, "data": data, "dtype": trial["runtime"]["dtype"]}


def _alphas_optimizer(config: AlphasOptimizer, alphas: list[Tensor]) -> torch.optim.Optimizer:
    if config.kind == "adam":
        return torch.optim.Adam(
            alphas, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        alphas,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def _channels_last(batch: Batch) -> Batch:
    return batch[0].contiguous(memory_format=torch.channels_last), batch[1]


def _give(parameters: list[Any], gradients: Gradients) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
