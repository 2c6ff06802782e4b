"""One search: the epoch loop, and the state that a resumed search needs."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune_nas.checkpoint import fetched, load_state, save_state, taking
from tune_nas.config import TrialConfig
from tune_nas.data import SearchData, load_data
from tune_nas.errors import DivergedError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.paths import GENOTYPE
from tune_nas.runtime import peak_memory_mib, set_up_runtime
from tune_nas.search.alpha_history import AlphaHistory
from tune_nas.search.build import (
    SupernetSize,
    batch_needed,
    check_batches,
    initial_architecture,
    make_streams,
    make_supernet,
)
from tune_nas.search.choices import Choices
from tune_nas.search.decisions import Decisions
from tune_nas.search.draws import Draws
from tune_nas.search.evaluation import on_valid_half, valid_metrics
from tune_nas.search.findings import Findings
from tune_nas.search.graphs import make_steps, uncapturable_part
from tune_nas.search.identity import check_origin, check_same, check_same_space, with_rules_of
from tune_nas.search.metrics import Metrics, check_kept, make_numbers
from tune_nas.search.model_size import BEST_BY_SIZE
from tune_nas.search.objective import Objective
from tune_nas.search.optimisers import Optimisers, scheduled_rate
from tune_nas.search.relaxation import make_relaxation
from tune_nas.search.rules import Rule, make_rules
from tune_nas.search.selection import make_selection
from tune_nas.search.selection.selection import at_least_one_to_select
from tune_nas.search.smoothing import make_smoothing
from tune_nas.search.statistics import entropies, skip_advantage
from tune_nas.search.stepping import Step, run_steps
from tune_nas.search.together import SharedObjective, Together
from tune_nas.search.update import Update
from tune_nas.seeds import make_generator
from tune_nas.spaces import Genotype, MixingWeights, Supernet, check_cells_occur, load_space

STATE_FILE = "search.pt"


class Search:
    """A differentiable architecture search, run epoch by epoch.

    Killed after any epoch and resumed from its checkpoint, it ends bit-identical to a search
    that ran through (same machine, CPU, same number of threads).

    Its epochs are those of the search, then those in which its selection tunes and decides.

    Args:
        trial: All that decides the result.
        together: Searches whose passes run as one with its own; None for none.

    Raises:
        ConfigError: If the space, a part or the device cannot be had, or parts do not go together.
        DataError: If the images cannot be read.
    """

    def __init__(self, trial: TrialConfig, together: Together | None = None) -> None:
        self.trial = trial
        self._make_objective = (
            Objective if together is None else partial(SharedObjective, together=together)
        )
        self.space = load_space(trial.space.name)
        if trial.space.cells is not None:
            check_cells_occur(self.space, trial.space.cells, "space.cells")
        self.device, self.dtype = set_up_runtime(trial.runtime)
        data = load_data(
            trial.data, seed=trial.seed, device=self.device, dtype=self.dtype, for_search=True
        )
        least = batch_needed(trial, self.space, data.image_size)
        self.data: SearchData = dataclasses.replace(data, smallest_batch=least)
        self.choices = Choices(self.space)
        self.relaxation = make_relaxation(trial.relaxation, self.space, self.choices)
        self.smoothing = make_smoothing(trial.relaxation.smoothing)
        self._draws = make_generator(trial.seed, "draws")
        self._steps = make_steps(
            trial.runtime,
            self.device,
            self.relaxation,
            Draws(self._draws),
            together is None,
            uncapturable_part(trial),
        )
        self.alphas, self.betas = initial_architecture(
            self.relaxation, trial.seed, self.device, self.dtype
        )
        self.size = SupernetSize(
            trial.space.init_channels, trial.space.cells, trial.relaxation.partial_channels
        )
        self.supernet = self._make_supernet(self.size)
        self.optimisers = Optimisers(
            trial.optimizer,
            self.supernet,
            self.alphas,
            self.betas,
            self.choices,
            capturable=self._steps.captures,
        )
        self._connect()
        self.batch_size = trial.schedule.batch_size
        self._train, self._valid = make_streams(trial, self.data)
        check_batches(trial, self.data, (self._train, self._valid))
        self.epoch = 0
        self.rate_factor = 1.0
        self.stop_reason: str | None = None
        self._stopped_at: int | None = None
        self.history: list[Metrics] = []
        if trial.retrain.cells is not None:
            check_cells_occur(self.space, trial.retrain.cells, "retrain.cells")
        self.findings = Findings(trial, self.space, self.data)
        self._alpha_history = AlphaHistory(self.space)
        self.decisions = Decisions(self.choices)
        self.selection = make_selection(self)
        self.rules = make_rules(self)
        if trial.start_from is not None:
            self._start_from(trial.start_from)

    def _make_supernet(self, size: SupernetSize) -> Supernet:
        return make_supernet(self.space, self.data, size, self.trial, self.device, self.dtype)

    def _connect(self) -> None:
        """Let the objective and the update work on the present supernet."""
        self.objective = self._make_objective(
            self.supernet,
            self.relaxation,
            self.alphas,
            self.betas,
            self._steps.draws,
            bfloat16=self.trial.runtime.autocast,
        )

    @property
    def steps_per_epoch(self) -> int:
        """w steps of an epoch."""
        return self.trial.schedule.steps_per_epoch or self._train.steps_per_epoch

    @property
    def search_epochs(self) -> int:
        """Epochs of the search itself, without those in which the selection tunes."""
        return self.trial.schedule.epochs if self._stopped_at is None else self._stopped_at

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        tuning = at_least_one_to_select(self.trial, self.selection.tuning_epochs)
        return self.search_epochs + tuning

    @property
    def done(self) -> bool:
        """Whether no epoch is left to run."""
        return self.epoch >= self.epochs

    @property
    def is_tuning(self) -> bool:
        """Whether the next epoch is one of the selection's."""
        return self.epoch >= self.search_epochs

    @property
    def genotype(self) -> Genotype:
        """The genotype that the search has come to."""
        return self.selection.genotype()

    def stop(self, reason: str) -> None:
        """End the search after the epochs that it has run; a selection still tunes."""
        if self._stopped_at is None:
            self.stop_reason, self._stopped_at = reason, self.epoch

    def set_batch_size(self, batch_size: int) -> None:
        """Take batches of another size from now on; both streams start a new pass."""
        self.batch_size = batch_size
        self._train.resize(batch_size)
        self._valid.resize(batch_size)

    def rebuild(self, size: SupernetSize) -> Supernet:
        """Replace the supernet by a newly drawn one of another size, and return the old one.

        w's optimiser starts anew with it.
        """
        old, self.size = self.supernet, size
        self._steps.reset()  # before the memory for another one is needed
        self.supernet = self._make_supernet(size)
        self.optimisers.restart_weights(self.supernet)
        self._connect()
        return old

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Run the next epoch and return its metrics.

        Args:
            on_step: Called after each step with the steps done and the steps of the epoch.

        Raises:
            TuneNasError: If the search is over.
            DivergedError: If its loss is no longer finite.
        """
        if self.done:
            raise TuneNasError(f"the search is over: {self.epoch} of {self.epochs} epochs are run")
        start = time.perf_counter()
        tuning = self.is_tuning
        acting: list[Rule] = [self.selection] if tuning else [*self.rules]
        self._set_epoch()
        for rule in acting:
            rule.before_epoch()
        self.update = Update(
            self.trial.update.in_epoch(self.epoch),
            self.objective,
            self.smoothing,
        )
        # A selection that goes on from a checkpoint may have nothing to train.
        trains = not tuning or self.selection.tuning_epochs > 0
        trained = self._train_epoch(tuning, on_step) if trains else {}
        weights = self.expected_weights()
        valid = valid_metrics(self, weights)
        self.epoch += 1
        metrics: Metrics = {"epoch": self.epoch, **trained, **valid}
        if trains:
            metrics["gap"] = metrics["train_accuracy"] - metrics["valid_accuracy"]
        self._alpha_history.add(self.alphas, weights)
        metrics |= self.relaxation.metrics()
        make_numbers(metrics, self.relaxation)
        if self.smoothing is not None and trains:
            metrics["smoothing_radius"] = self.smoothing.radius
        for rule in acting:
            own = dict(metrics)
            rule.after_epoch(metrics)
            check_kept(own, metrics, rule)
            make_numbers(metrics, rule)
        self.decisions.see(self.epoch)
        metrics |= self._describe(weights, valid["valid_accuracy"])
        make_numbers(metrics, self.selection)
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        self.history.append(metrics)
        return metrics

    def _set_epoch(self) -> None:
        """Set temperature and radius; a tuning keeps the temperature, at the radius's end."""
        epochs = self.trial.schedule.epochs
        at = min(self.epoch, self.search_epochs - 1)
        self.relaxation.set_epoch(at, epochs)
        if self.smoothing is not None:
            self.smoothing.set_epoch(epochs if self.is_tuning else at, epochs)

    def moves_alphas(self, epoch: int) -> bool:
        """Whether α moves in an epoch, counted from 0: not while w warms up, in each stage."""
        if epoch >= self.search_epochs:
            return True
        _, start = self.trial.schedule.stage_of(epoch)
        return epoch - start >= self.trial.update.warmup

    def _train_epoch(self, tuning: bool, on_step: Callable[[int, int], None] | None) -> Metrics:
        """Run the steps of an epoch and return what they say."""
        if tuning:
            rate = self.selection.learning_rate(self.epoch - self.search_epochs)
        else:
            rate = self.rate_factor * scheduled_rate(self.trial, self.epoch)
        self.optimisers.set_learning_rate(rate)
        self.supernet.train()
        moves = self.moves_alphas(self.epoch)
        self._steps.begin(Step(self.update, self.optimisers, self._train, self._valid, moves))
        tally = run_steps(
            self._steps,
            self.steps_per_epoch,
            weight_steps=self.trial.update.weight_steps,
            device=self.device,
            on_step=on_step,
        )
        if not math.isfinite(tally.loss):
            raise DivergedError(
                f"the train loss is {tally.loss} in epoch {self.epoch + 1}; "
                "a lower optimizer.weights.learning_rate may help"
            )
        return {
            "train_loss": tally.loss,
            "train_accuracy": tally.accuracy,
            "learning_rate/weights": rate,
            "learning_rate/alphas": self.trial.optimizer.alphas.learning_rate,
        }

    def expected_weights(self) -> MixingWeights:
        """Return the mixing weights that α means, nothing drawn."""
        with torch.no_grad():
            return self.relaxation.weights(self.alphas, self.betas)

    def predict(self, images: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, classes) of images, in the mode that the supernet is in."""
        return self._steps.predict(self.objective, images, weights)

    def evaluate(
        self,
        weights: MixingWeights | Iterator[MixingWeights],
        batches: int | None = None,
        batch_statistics: bool = False,
    ) -> tuple[float, float]:
        """Return loss and accuracy of the supernet on the valid half: see `on_valid_half`."""
        return on_valid_half(self, weights, batches, batch_statistics)

    def _describe(self, weights: MixingWeights, valid_accuracy: float) -> Metrics:
        """Return what the epoch's α means."""
        metrics = self.findings.see(self.genotype, self.epoch, valid_accuracy)
        metrics |= self.selection.metrics()
        metrics |= entropies(weights)
        advantage = skip_advantage(self.space, self.alphas)
        if not math.isnan(advantage):
            metrics["skip_advantage"] = advantage
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the search depends on, as containers and tensors."""
        return {
            "trial": self.trial.to_dict(),
            "space": self.space.to_dict(),
            "epoch": self.epoch,
            "size": self.size._asdict(),
            "supernet": _copies(self.supernet.state_dict()),
            "alphas": _copies(self.alphas),
            "betas": _copies(self.betas),
            "optimisers": copy.deepcopy(self.optimisers.state_dict()),
            "draws": self._draws.get_state(),
            "batch_size": self.batch_size,
            "train_batches": self._train.state_dict(),
            "valid_batches": self._valid.state_dict(),
            "choices": self.choices.state_dict(),
            "decisions": self.decisions.state_dict(),
            "rules": [rule.state_dict() for rule in self.rules],
            "selection": self.selection.state_dict(),
            "rate_factor": self.rate_factor,
            "stop": {"reason": self.stop_reason, "epoch": self._stopped_at},
            "history": [dict(metrics) for metrics in self.history],
            "alpha_history": self._alpha_history.state_dict(),
            "findings": self.findings.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same trial.

        Raises:
            CheckpointError: If the state is of another trial, or of another form of its space.
        """
        trial = with_rules_of(self.trial, state["trial"])
        check_same(trial, state["trial"])
        check_same_space(self.space.to_dict(), state.get("space"))
        self._keep_rules(trial)
        self._steps.reset()
        self.epoch = state["epoch"]
        if SupernetSize(**state["size"]) != self.size:
            self.rebuild(SupernetSize(**state["size"]))
        self.supernet.load_state_dict(state["supernet"])
        with torch.no_grad():
            for held, saved in ((self.alphas, state["alphas"]), (self.betas, state["betas"])):
                for name, tensor in held.items():
                    tensor.copy_(saved[name])
        self.optimisers.load_state_dict(state["optimisers"])
        self._draws.set_state(state["draws"])
        self.set_batch_size(state["batch_size"])
        self._train.load_state_dict(state["train_batches"])
        self._valid.load_state_dict(state["valid_batches"])
        self.choices.load_state_dict(state["choices"])
        self.decisions.load_state_dict(state["decisions"])
        for rule, saved in zip(self.rules, state["rules"], strict=True):
            rule.load_state_dict(saved)
        self.selection.load_state_dict(state["selection"])
        self.rate_factor = state["rate_factor"]
        self.stop_reason, self._stopped_at = state["stop"]["reason"], state["stop"]["epoch"]
        self.history = [dict(metrics) for metrics in state["history"]]
        self._alpha_history.load_state_dict(state["alpha_history"])
        self.findings.load_state_dict(state["findings"])

    def result(self) -> Genotype:
        """Return the genotype that α selects now."""
        return self.genotype

    def remarks(self) -> dict[str, str]:
        """Return the edges decided in the last epoch, and why the search has ended early."""
        ended = self.stop_reason if self.done else None
        remarks = {DECISIONS: self.decisions.of_epoch(self.epoch), ENDED: ended}
        return {key: text for key, text in remarks.items() if text}

    def artifacts(self) -> dict[str, str]:
        """Return the tables of the search as text, by file name."""
        files = {
            "alphas.csv": self._alpha_history.to_csv(),
            BEST_BY_SIZE: self.findings.best_by_size.to_yaml(),
            **self.selection.files(),
        }
        if self.decisions.entries:
            files["decisions.csv"] = self.decisions.to_csv()
        return files

    def save(self, folder: Path) -> None:
        """Write ``search.pt``, the genotype and the tables to a folder."""
        files = {GENOTYPE: self.genotype.to_yaml(), **self.artifacts()}
        save_state(folder, self.state_dict(), name=STATE_FILE, files=files)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, absent or of another trial.
        """
        self._take(folder, load_state(folder, name=STATE_FILE))

    def _start_from(self, folder: str) -> None:
        """Take the state of a finished search, from which this one's own selection goes on."""
        with fetched(folder) as local:
            state = load_state(local, name=STATE_FILE)
        self._keep_rules(with_rules_of(self.trial, state["trial"], leave="selection"))
        check_origin(folder, self.trial, state)
        own = {"trial": self.trial.to_dict(), "selection": self.selection.state_dict()}
        self._take(folder, {**state, **own})

    def _keep_rules(self, trial: TrialConfig) -> None:
        """Take a trial that differs in the rules of an earlier version alone."""
        self.trial, self.relaxation.config = trial, trial.relaxation

    def _take(self, folder: Path | str, state: Mapping[str, Any]) -> None:
        with taking(folder):
            self.load_state_dict(state)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in memory of their own: saving a view would save all that it is a view of."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
