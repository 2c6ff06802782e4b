"""A black-box search: the candidates of a strategy are trained, epoch by epoch."""

from __future__ import annotations

import math
import time
from collections import ChainMap
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from tune_nas.candidates.candidate_states import CandidateStates
from tune_nas.candidates.candidate_table import CANDIDATES, candidate_table
from tune_nas.candidates.candidate_trial import candidate_trial, strategy_of
from tune_nas.candidates.processes import Processes
from tune_nas.candidates.running_job import EpochResult, RunningJob
from tune_nas.checkpoint import State, check_same_trial, load_state, save_state, taking
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.data import load_data
from tune_nas.errors import CheckpointError, ConfigError, DivergedError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import stored_trial
from tune_nas.paths import GENOTYPE
from tune_nas.retrain import Retrain
from tune_nas.retrain.distributed import Workers
from tune_nas.retrain.retrain_checks import final_space
from tune_nas.runtime import peak_memory_mib, set_up_runtime
from tune_nas.search.checkpoint_compatibility import check_same_space
from tune_nas.search.probes.genotype_numbers import GenotypeNumbers
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, StrategyInputs
from tune_nas.strategies.history import History
from tune_nas.strategies.strategy_factory import make_strategy

STATE_FILE = "candidates.pt"
_CHECKPOINTS_KEPT = 2  # of a trial
_OF_RUNNING = ("train_loss", "train_accuracy", "learning_rate")

Metrics = dict[str, float]


class Incumbent(NamedTuple):
    """The best candidate so far.

    Args:
        candidate: Its number.
        genotype: Its genotype.
        accuracy: Its validation accuracy in percent.
    """

    candidate: int
    genotype: Genotype
    accuracy: float


class EndedJob(NamedTuple):
    """A job that has ended.

    Args:
        candidate: Its candidate.
        start: Epochs for which the candidate had been trained before.
        epoch: Epochs of the search when it ended.
    """

    candidate: int
    start: int
    epoch: int


class CandidateSearch:
    """A black-box search; one of its epochs trains one epoch of each running candidate.

    Candidates are trained on the training half of the training images, by the trial's ``retrain``
    section (see `candidate_trial`), and evaluated on the validation half.

    Killed after any epoch and resumed from its checkpoint, it makes the same decisions and gives a
    result that is bit for bit equal to an uninterrupted search (same machine, CPU, same number of
    threads), even if states of paused candidates are lost.

    In a process group of `torch.distributed`, every process trains another candidate. All make the
    same decisions, after each epoch. The checkpoint of one is loaded by any number of processes.

    Args:
        trial: The trial, which has a section ``strategy``.
        folders: The trial's folders or URIs, one per session, oldest first, for the states of
            candidates that pause; in several processes, all must reach them. None for a temporary
            folder.

    Attributes:
        epoch: Epochs trained so far, of all candidates.
        strategy: The strategy.

    Raises:
        ConfigError: If the space, a part or the device is not available, or keys do not fit.
        DataError: If the images cannot be read.
    """

    def __init__(self, trial: TrialConfig, folders: Sequence[str] = ()) -> None:
        self.trial = trial
        self._config = strategy_of(trial)
        self._candidate_trial = candidate_trial(trial)
        self.device, dtype = set_up_runtime(trial.runtime)
        self.space = final_space(trial)
        data = load_data(
            trial.data, seed=trial.seed, device=self.device, dtype=dtype, for_search=True
        )
        self.data = data.for_candidates()
        self._numbers = GenotypeNumbers(trial, self.space, self.data)
        self._inputs = StrategyInputs(Architectures(self.space), self._config, trial.seed)
        self._processes = Processes.joined()
        self._states = CandidateStates(folders)
        self._start()

    def _start(self) -> None:
        self.strategy = make_strategy(self._inputs)
        self.epoch = 0
        self._history = History()
        self._slots: list[RunningJob | None] = [None] * self._processes.size
        self._ended: list[EndedJob] = []
        self._superseded: list[EndedJob] = []  # whose first state is not removed yet
        self._remarks: list[str] = []

    @property
    def done(self) -> bool:
        """Whether the strategy asks for nothing more."""
        return self.strategy.done

    @property
    def running(self) -> list[RunningJob]:
        """The jobs in training, in the order of requests."""
        jobs = [job for job in self._slots if job is not None]
        return sorted(jobs, key=lambda job: job.request.number)

    @property
    def incumbent(self) -> Incumbent | None:
        """The first candidate of the ranking; while there is none, the best one in training."""
        for standing in self.strategy.ranking():
            if math.isfinite(standing.accuracy):
                return Incumbent(standing.candidate, standing.genotype, standing.accuracy)
        known = [job for job in self.running if job.accuracy is not None]
        if not known:
            return None
        best = max(known, key=lambda job: job.accuracy or 0.0)
        return Incumbent(best.request.candidate, best.request.genotype, best.accuracy or 0.0)

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Train an epoch of each running candidate and return the metrics.

        `valid_accuracy` is that of the best candidate so far, whose genotype the metrics that start
        with ``genotype/`` and ``benchmark/`` describe; 0 while no candidate has one. `candidates`
        counts those with a result. `candidate` is the number of the running candidate (the first of
        several), and `level` (from 1) what it is trained for; `candidate_accuracy` and `train_loss`
        are its own, absent in the epoch in which it diverges.

        Args:
            on_step: Called after each step with its number and the number of steps of the epoch.

        Raises:
            TuneNasError: If the search is over, or the strategy asks for an impossible job.
            DivergedError: If the search ends, and all candidates have diverged.
        """
        if self.done:
            raise TuneNasError(f"the search is over after {self.epoch} epochs")
        start = time.perf_counter()
        self._remarks = []
        if not self.strategy.standings:
            self._fill()
        jobs = {slot: job for slot, job in enumerate(self._slots) if job is not None}
        if not jobs:
            raise TuneNasError(f"strategy '{self._config.kind}' asks for no candidate")
        rank, size = self._processes.rank, self._processes.size
        own = {slot: self._train(job, on_step) for slot, job in jobs.items() if slot % size == rank}
        results = dict(ChainMap(*self._processes.shared(own)))
        self.epoch += len(jobs)
        first = min(jobs, key=lambda slot: jobs[slot].request.number)
        for slot in sorted(jobs, key=lambda slot: jobs[slot].request.number):
            self._note(slot, jobs[slot], results[slot])
        self._remove_superseded()
        self._fill()
        if self.strategy.done:
            self._states.clear()
            if self.incumbent is None:
                raise DivergedError(
                    f"all {len(self.strategy.standings)} candidates have diverged; a lower "
                    "retrain.learning_rate may help"
                )
        self._gather()
        metrics = self._metrics(jobs[first], results[first])
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        return metrics

    def check(self) -> None:
        """Build the training of a candidate, to check that its network, batches and images fit.

        Raises:
            TuneNasError: If they do not.
        """
        genotype = Architectures(self.space).sample(Random(0))
        Retrain(candidate_trial(self.trial, genotype), genotype, data=self.data, workers=Workers())

    def _metrics(self, job: RunningJob, result: EpochResult) -> Metrics:
        best, request = self.incumbent, job.request
        metrics: Metrics = {
            "epoch": self.epoch,
            "valid_accuracy": 0.0 if best is None else best.accuracy,
            "candidates": len(self.strategy.ranking()),
            "candidate": request.candidate,
            "level": 1 + sum(epochs < request.epochs for epochs in self._config.levels),
        }
        if result.metrics is not None:
            metrics["candidate_accuracy"] = result.metrics["valid_accuracy"]
            metrics |= {name: result.metrics[name] for name in _OF_RUNNING}
        if best is not None:
            metrics["best_candidate"] = best.candidate
            metrics |= self._numbers.of(best.genotype)
        return metrics

    def _train(self, job: RunningJob, on_step: Callable[[int, int], None] | None) -> EpochResult:
        """Train an epoch of a job, in this process; store the candidate's state at its end."""
        try:
            if job.training is None:
                job.training, job.state = self._training(job), None
            metrics = job.training.run_epoch(on_step)
        except DivergedError as error:
            return EpochResult(None, str(error))
        if job.training.epoch == job.request.epochs and not job.training.done:
            self._states.save(job.request.candidate, job.training)
        return EpochResult(metrics)

    def _training(self, job: RunningJob) -> Retrain:
        """Return the training of a job's candidate, as it was left."""
        request = job.request

        def build() -> Retrain:
            trial = candidate_trial(self.trial, request.genotype)
            return Retrain(trial, request.genotype, data=self.data, workers=Workers())

        if job.state is not None:
            training = build()
            training.load_state_dict(job.state)
            return training
        if request.start == 0:
            return build()
        kept = self._states.load(request.candidate, request.start, build)
        if kept is not None:
            return kept
        training = build()
        while training.epoch < request.start:
            training.run_epoch()
        return training

    def _note(self, slot: int, job: RunningJob, result: EpochResult) -> None:
        """Note the result of an epoch, and tell the strategy if the job has ended."""
        request = job.request
        job.trained += 1
        if result.metrics is None:
            self._remarks.append(f"candidate {request.candidate} failed: {result.error}")
            self._tell(slot, request, None)
            return
        job.accuracy = result.metrics["valid_accuracy"]
        if job.ends:
            self._tell(slot, request, job.accuracy)

    def _tell(self, slot: int, request: Request, accuracy: float | None) -> None:
        self.strategy.tell(request, accuracy)
        self._history.record_tell(request, accuracy)
        self._ended.append(EndedJob(request.candidate, request.start, self.epoch))
        self._superseded += self._ended[-1:] if request.start else []
        self._slots[slot] = None

    def _fill(self) -> None:
        """Ask for jobs until every process has one, or there is none for now."""
        size = self._processes.size
        while len(self._slots) > size and self._slots[-1] is None:
            self._slots.pop()  # of a session with more processes
        for slot in range(size):
            if self._slots[slot] is not None:
                continue
            try:
                request = self.strategy.ask()
            except TuneNasError:
                raise
            except ValueError as error:
                raise ConfigError(f"strategy '{self._config.kind}': {error}") from error
            self._history.record_ask(request)
            if request is None:
                return
            if request.start:
                self._remarks.append(f"candidate {request.candidate} → {request.epochs} epochs")
            self._slots[slot] = RunningJob(request, request.start)

    def _remove_superseded(self) -> None:
        """Remove states from which candidates have continued, once no checkpoint needs them."""
        kept = self.epoch - _CHECKPOINTS_KEPT * self._processes.size
        for job in [job for job in self._superseded if job.epoch <= kept]:
            self._superseded.remove(job)
            if self._processes.rank == 0:
                self._states.remove(job.candidate, job.start)

    def _gather(self) -> None:
        """Give the first process, which writes checkpoints, the states of the others."""
        own = {
            str(slot): job.training.state_dict()
            for slot, job in enumerate(self._slots)
            if job is not None and job.training is not None and self._processes.size > 1
        }
        for slot, state in self._processes.gathered(own).items():
            job = self._slots[int(slot)]
            if job is not None:
                job.state = state

    def state_dict(self) -> State:
        """Return the complete state of the search as containers and tensors."""
        return {
            "trial": self.trial.to_dict(),
            "space": self.space.to_dict(),
            "epoch": self.epoch,
            "history": self._history.to_state(),
            "slots": [None if job is None else job.to_state() for job in self._slots],
            "ended": [list(job) for job in self._ended],
            "superseded": [list(job) for job in self._superseded],
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from a state of the same trial.

        Raises:
            CheckpointError: If the state is of another trial or another version of its space, or
                the strategy decides otherwise now.
        """
        try:
            saved = stored_trial(state["trial"], "its trial")
        except ConfigError as error:
            raise CheckpointError(f"the checkpoint is of another version: {error}") from error
        mark = Decides.SEARCH | Decides.RETRAIN
        check_same_trial(
            decided_by(self._candidate_trial, mark), decided_by(candidate_trial(saved), mark)
        )
        check_same_space(self.space.to_dict(), state["space"])
        self._start()
        self._history = History.restore(self.strategy, state["history"])
        self.epoch = state["epoch"]
        self._ended = [EndedJob(*job) for job in state["ended"]]
        self._superseded = [EndedJob(*job) for job in state["superseded"]]
        requests = {request.number: request for request in self.strategy.pending}
        self._slots = [
            None if each is None else RunningJob.restored(each, requests[each["request"]])
            for each in state["slots"]
        ]
        self._slots += [None] * (self._processes.size - len(self._slots))

    def result(self) -> Genotype | None:
        """Return the genotype of the best candidate; before the first result, one in training."""
        best = self.incumbent
        if best is not None:
            return best.genotype
        return self.running[0].request.genotype if self.running else None

    def remarks(self) -> dict[str, str]:
        """Return the decisions of the last epoch, and the reason for an end before the budget."""
        remarks = {DECISIONS: "; ".join(self._remarks)}
        budget = self._config.budget
        if self.done and self.epoch < budget:
            remarks[ENDED] = (
                f"the strategy asks for no further job, with {budget - self.epoch} of {budget} "
                "epochs left"
            )
        return {key: text for key, text in remarks.items() if text}

    def artifacts(self) -> dict[str, str]:
        """Return the table of the candidates and the genotype of the best one, by file name."""
        spent = {job.candidate: job.epoch for job in self._ended}
        table = candidate_table(self.strategy.ranking(), spent, self._config.levels)
        best = self.result()
        return {CANDIDATES: table, **({} if best is None else {GENOTYPE: best.to_yaml()})}

    def save(self, folder: Path) -> None:
        """Write ``candidates.pt`` and the artifacts to a folder."""
        save_state(folder, self.state_dict(), name=STATE_FILE, files=self.artifacts())

    def load(self, folder: Path) -> None:
        """Resume from a checkpoint folder.

        Raises:
            CheckpointError: If it is damaged, missing or of another trial.
        """
        state = load_state(folder, name=STATE_FILE)
        with taking(folder):
            self.load_state_dict(state)
