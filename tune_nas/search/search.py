"""A search: the epoch loop and the state that a resumed search needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.checkpoint import State, load_state, save_state, taking
from tune_nas.checkpoint_folder import MANIFEST, fetched
from tune_nas.config import TrialConfig
from tune_nas.errors import DivergedError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.paths import GENOTYPE
from tune_nas.runtime import peak_memory_mib, reset_peak_memory
from tune_nas.search.checkpoint_compatibility import (
    check_origin,
    check_same,
    check_same_space,
    with_rules_of,
)
from tune_nas.search.controlled_training import ControlledTraining
from tune_nas.search.evaluation import on_valid_half, valid_metrics
from tune_nas.search.importance import make_update
from tune_nas.search.metrics import Metrics, check_kept, make_numbers
from tune_nas.search.objective import SeededBatch
from tune_nas.search.optimizers import alphas_rate, scheduled_rate
from tune_nas.search.policy import Policy
from tune_nas.search.probes import (
    AlphaHistory,
    ChoiceHistory,
    Decisions,
    Entropies,
    GenotypeMetrics,
    Probe,
    load_probes,
    make_probes,
    observe,
    probe_files,
)
from tune_nas.search.rules import Rule, make_rules
from tune_nas.search.selection import make_selection
from tune_nas.search.so_far.branching import (
    Parts,
    Report,
    check_branch,
    make_again,
    own_state,
    with_ending,
)
from tune_nas.search.so_far.watching import Watching
from tune_nas.search.stepping import Step, channels_last, run_steps
from tune_nas.search.together import Together
from tune_nas.spaces import Genotype, MixingWeights, check_cells_occur

STATE_FILE = "search.pt"


class Search(ControlledTraining):
    """A differentiable architecture search, run epoch by epoch.

    Killed after any epoch and resumed from its checkpoint, it gives a result that is bit for bit
    equal to an uninterrupted search (same machine, CPU, same number of threads).

    Its epochs are the search epochs, followed by the tuning epochs of its selection. Its parts see
    it as a `SearchView`; rules and selections change it as a `SearchControl`.

    Args:
        trial: The trial, which determines the result.
        together: Searches whose passes run jointly with its own; None for none.
        watched: Trials that may branch from it, see `watch`.

    Raises:
        ConfigError: If the space, a part or the device is not available, or parts are incompatible.
        DataError: If the images cannot be read.
    """

    def __init__(
        self,
        trial: TrialConfig,
        together: Together | None = None,
        watched: Iterable[TrialConfig] = (),
    ) -> None:
        super().__init__(trial, together)
        self.history: list[Metrics] = []
        if trial.retrain.cells is not None:
            check_cells_occur(self.space, trial.retrain.cells, "retrain.cells")
        self.findings = GenotypeMetrics(self)
        self._alpha_history = AlphaHistory(self)
        self.decisions = Decisions(self)
        self._choice_history = ChoiceHistory(self)
        recorded = (self._alpha_history, self._choice_history, self.decisions, self.findings)
        self._probes: list[Probe] = [*recorded]
        self._entropies = Entropies(self)
        self._own_probes = make_probes(self)
        self.selection = make_selection(self)
        self.rules = make_rules(self)
        self._watching = Watching(self)
        self._schedule_supernet(0)
        self.watch(watched)
        if trial.start_from is not None:
            self._start_from(trial.start_from)

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Run the next epoch and return its metrics.

        Args:
            on_step: Called after each step with its number and the number of steps of the epoch.

        Raises:
            TuneNasError: If all epochs were run.
            DivergedError: If the loss is not finite anymore.
        """
        if self.done:
            raise TuneNasError(f"the search is over: {self.epoch} of {self.epochs} epochs are run")
        start = time.perf_counter()
        reset_peak_memory(self.device)
        tuning = self.is_tuning
        acting: list[Rule] = [self.selection] if tuning else [*self.rules]
        self._set_epoch(self.schedule_epoch)
        for rule in acting:
            rule.before_epoch()
        self.update = make_update(
            self.trial.update.in_epoch(self.schedule_epoch),
            self.objective,
            self.smoothing,
        )
        # A selection that continues from a checkpoint may have nothing to train.
        trains = not tuning or self.selection.tuning_epochs > 0
        trained = self._train_epoch(tuning, on_step) if trains else {}
        if trains and self.policy is not None and self.moves_alphas(self.epoch):
            trained |= self._train_policy(self.policy)
        self.epoch_weights = self.expected_weights()
        valid = valid_metrics(self, self.epoch_weights)
        self.epoch += 1
        metrics = self.metrics = {"epoch": self.epoch, **trained, **valid}
        if trains:
            metrics["gap"] = metrics["train_accuracy"] - metrics["valid_accuracy"]
        metrics |= self.relaxation.metrics()
        make_numbers(metrics, self.relaxation)
        if self.smoothing is not None and trains:
            metrics["smoothing_radius"] = self.smoothing.radius
        if self.trial.relaxation.auxiliary_skip.present:
            metrics["auxiliary_skip"] = self.supernet.skip_weight
        if self.trial.relaxation.drop_path > 0 and self.trial.schedule.epochs > 1:
            metrics["drop_path"] = self.supernet.drop_path
        for rule in acting:
            own = dict(metrics)
            rule.after_epoch(metrics)
            check_kept(own, metrics, rule)
            make_numbers(metrics, rule)
        metrics |= self._restored
        self._restored = {}
        observe(self, self._probes, metrics)
        metrics |= self.selection.metrics()
        make_numbers(metrics, self.selection)
        if not tuning:
            self._watching.after_epoch()
        observe(self, [self._entropies, *self._own_probes.values()], metrics)
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        self.history.append(metrics)
        return metrics

    def _train_epoch(self, tuning: bool, on_step: Callable[[int, int], None] | None) -> Metrics:
        """Run the steps of an epoch and return their metrics."""
        if tuning:
            rate = self.selection.learning_rate(self.epoch - self.search_epochs)
        else:
            rate = self.rate_factor * scheduled_rate(self.trial, self.schedule_epoch)
        self.optimizers.set_learning_rate(rate)
        self.supernet.train()
        moves = self.moves_alphas(self.epoch)
        self._steps.begin(Step(self.update, self.optimizers, self._train, self._valid, moves))
        tally = run_steps(
            self._steps,
            self.steps_per_epoch,
            weight_steps=self.trial.update.in_epoch(self.schedule_epoch).weight_steps,
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
            "learning_rate/alphas": alphas_rate(self.optimizers.config.alphas),
        }

    def _train_policy(self, policy: Policy) -> Metrics:
        """Train the controller on the validation accuracy of sampled architectures, set α to it.

        Every sample is evaluated on another validation batch, with batch statistics.
        """
        draws, config = self._steps.draws, policy.config
        accuracies, entropies = list[float](), list[float]()
        self.supernet.train()
        with self.objective.keeping_statistics():
            for _ in range(config.steps):
                seeds = [draws.seed() for _ in range(config.samples)]
                accuracies += [self._sampled_accuracy(seed) for seed in seeds]
                entropies.append(policy.step(seeds, accuracies[-len(seeds) :], draws.generator))
        policy.set_alphas(self.alphas)
        return policy.metrics(accuracies, entropies)

    @torch.no_grad()
    def _sampled_accuracy(self, seed: int) -> float:
        """Return the accuracy, as a fraction, of the architecture of a pass with a seed."""
        images, labels = channels_last(self._valid.make(self._valid.pick()))
        self.supernet.seed_draws(seed, self._steps.draws.generator)
        weights = self.objective.mixing(SeededBatch(images, labels, seed))
        logits = self.predict(images, weights)
        return float((logits.argmax(dim=1) == labels).double().mean())

    def predict(self, images: Tensor, weights: MixingWeights) -> Tensor:
        """Return the logits (n, classes) of images, in the current mode of the supernet."""
        return self._steps.predict(self.objective, images, weights)

    def evaluate(
        self,
        weights: MixingWeights | Iterator[MixingWeights],
        batches: int | None = None,
        batch_statistics: bool = False,
    ) -> tuple[float, float]:
        """Return loss and accuracy of the supernet on the validation half: see `on_valid_half`."""
        return on_valid_half(self, weights, batches, batch_statistics)

    def state_dict(self) -> State:
        """Return the complete state of the search as containers and tensors."""
        return {
            "trial": self.trial.to_dict(),
            "space": self.space.to_dict(),
            "epoch": self.epoch,
            **self.training_state(),
            "choices": self.choices.state_dict(),
            "decisions": self.decisions.state_dict(),
            "rules": [rule.state_dict() for rule in self.rules],
            "selection": self.selection.state_dict(),
            "rate_factor": self.rate_factor,
            "repeated": self._repeated,
            "stop": {"reason": self.stop_reason, "epoch": self._stopped_at},
            "history": [dict(metrics) for metrics in self.history],
            "alpha_history": self._alpha_history.state_dict(),
            "choice_history": self._choice_history.state_dict(),
            "watched": self._watching.state_dict(),
            "findings": self.findings.state_dict(),
            "probes": [[name, probe.state_dict()] for name, probe in self._own_probes.items()],
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from a state of the same trial.

        Raises:
            CheckpointError: If the state is of another trial or another version of its space.
        """
        trial = with_rules_of(self.trial, state["trial"])
        check_same(trial, state["trial"])
        check_same_space(self.space.to_dict(), state.get("space"))
        self._keep_rules(trial)
        self.epoch = state["epoch"]
        self.load_training_state(state)
        self.choices.load_state_dict(state["choices"])
        self.decisions.load_state_dict(state["decisions"])
        for rule, saved in zip(self.rules, state["rules"], strict=True):
            rule.load_state_dict(saved)
        self.selection.load_state_dict(state["selection"])
        self.rate_factor = state["rate_factor"]
        self._repeated = state.get("repeated", 0)  # missing in older checkpoints
        self.stop_reason, self._stopped_at = state["stop"]["reason"], state["stop"]["epoch"]
        self.history = [dict(metrics) for metrics in state["history"]]
        self._alpha_history.load_state_dict(state["alpha_history"])
        if "choice_history" in state:  # missing in older checkpoints
            self._choice_history.load_state_dict(state["choice_history"])
        self._watching.load_state_dict(state.get("watched", {}))  # likewise
        self.findings.load_state_dict(state["findings"])
        load_probes(self._own_probes, state.get("probes", ()))  # missing in older checkpoints
        self._schedule_supernet(max(self.schedule_epoch - 1, 0))  # those of the last epoch

    def watch(self, trials: Iterable[TrialConfig]) -> None:
        """Record, in each epoch, the genotypes of trials that may branch from this search.

        They are recorded if they depend on w, so that no later epoch has them. Call it before the
        first epoch, or before a checkpoint is loaded.

        Raises:
            ConfigError: If a selection does not fit the search.
        """
        self._watching.watch(trials)

    def branch(self, folder: Path, reports: Sequence[Mapping[str, object]]) -> list[Report]:
        """Continue from the checkpoint of another trial whose search is the same so far.

        Run to its end, the search then has the result of one that ran from the start, bit for bit.

        Args:
            folder: The checkpoint of the other trial, of epoch `shared_epochs` or an earlier one.
            reports: The reports of its epochs: metrics, remarks, and the genotype as YAML.

        Returns:
            The reports that this search itself would have made in these epochs; times and memory
            are those of the other one.

        Raises:
            CheckpointError: If it is damaged, missing, or of a search that is not the same so far;
                names the keys that differ.
        """
        state = load_state(folder, name=STATE_FILE)
        with taking(folder):
            pair = check_branch(self.trial, state)
            initial = self.state_dict()
            parts = Parts(
                *(partial(self.recall, state), self.selection, self.rules, self.findings),
                alphas_rate(self.optimizers.config.alphas),
            )
            own = own_state(parts, initial, pair, state)
            made = make_again(parts, pair, state, reports)
            own["history"] = [metrics for metrics, _ in made]
            own["findings"] = self.findings.state_dict()
            self.load_state_dict(own)
        return with_ending([report for _, report in made], self._ending())

    def result(self) -> Genotype:
        """Return the current genotype."""
        return self.genotype

    def remarks(self) -> dict[str, str]:
        """Return the decisions and removals of the last epoch, and the reason for an early end."""
        decided = [self.decisions.of_epoch(self.epoch)]
        decided += [text for rule in self.rules for text in rule.remarks()]
        remarks = {DECISIONS: ", ".join(text for text in decided if text)}
        return {**{key: text for key, text in remarks.items() if text}, **self._ending()}

    def _ending(self) -> dict[str, str]:
        """Return the remark on an early end, if the search has ended so."""
        return {ENDED: self.stop_reason} if self.done and self.stop_reason else {}

    def artifacts(self) -> dict[str, str | bytes]:
        """Return the additional files of a checkpoint, by file name."""
        files: dict[str, str | bytes] = {
            GENOTYPE: self.genotype.to_yaml(),
            **probe_files(self._probes),
            **{name: text for rule in self.rules for name, text in rule.files().items()},
            **self.selection.files(),
        }
        taken = (*files, STATE_FILE, MANIFEST)
        return {**files, **probe_files(self._own_probes.values(), taken)}

    def save(self, folder: Path) -> None:
        """Write ``search.pt`` and the artifacts to a folder."""
        save_state(folder, self.state_dict(), name=STATE_FILE, files=self.artifacts())

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, missing or of another trial.
        """
        self._take(folder, load_state(folder, name=STATE_FILE))

    def _start_from(self, folder: str) -> None:
        """Load the state of a finished search, from which the selection of this one continues."""
        with fetched(folder) as local:
            state = load_state(local, name=STATE_FILE)
        self._keep_rules(with_rules_of(self.trial, state["trial"], leave="selection"))
        check_origin(folder, self.trial, state)
        own = {"trial": self.trial.to_dict(), "selection": self.selection.state_dict()}
        self._take(folder, {**state, **own})

    def _keep_rules(self, trial: TrialConfig) -> None:
        """Set a trial that differs only in the behavior of an earlier version."""
        self.trial, self.relaxation.config = trial, trial.relaxation

    def _take(self, folder: Path | str, state: State) -> None:
        with taking(folder):
            self.load_state_dict(state)
