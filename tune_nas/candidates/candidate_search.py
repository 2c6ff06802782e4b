"""A black-box search: the candidates of a strategy are trained, epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tune_nas.candidates.candidate_jobs import CandidateJobs
from tune_nas.candidates.candidate_states import CandidateStates
from tune_nas.candidates.candidate_table import candidate_table
from tune_nas.candidates.candidate_trainer import CandidateTrainer
from tune_nas.candidates.candidate_trial import candidate_trial, strategy_of
from tune_nas.candidates.processes import Processes
from tune_nas.candidates.proxy_of_trial import proxy_of
from tune_nas.candidates.running_job import EpochResult, RunningJob
from tune_nas.candidates.table_trainer import TableTrainer
from tune_nas.checkpoint import State, check_same_trial, load_state, save_state, taking
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.data import load_data
from tune_nas.data.data_source import DataFacts
from tune_nas.errors import CheckpointError, ConfigError, DivergedError, TuneNasError
from tune_nas.learner import DECISIONS, ENDED
from tune_nas.library import stored_trial
from tune_nas.paths import CANDIDATES, GENOTYPE
from tune_nas.retrain.retrain_checks import final_space
from tune_nas.runtime import peak_memory_mib, set_up_runtime
from tune_nas.search.checkpoint_compatibility import check_same_space
from tune_nas.search.probes.genotype_numbers import GenotypeNumbers
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import StrategyInputs

STATE_FILE = "candidates.pt"
_CHECKPOINTS_KEPT = 2  # of a trial
_OF_RUNNING = ("train_loss", "train_accuracy", "learning_rate")

Metrics = dict[str, float]


class CandidateSearch:
    """A black-box search; one of its epochs trains one epoch of each running candidate.

    Candidates are trained on the training half of the training images, by the trial's ``retrain``
    section (see `candidate_trial`), and evaluated on the validation half.

    Killed after any epoch and resumed from its checkpoint, it makes the same decisions and gives a
    result that is bit for bit equal to an uninterrupted search (same machine, CPU, same number of
    threads), even if states of paused candidates are lost.

    In a process group of `torch.distributed`, every process trains another candidate. All make the
    same decisions, after each epoch. The checkpoint of one is loaded by any number of processes.

    With ``benchmark.simulate``, nothing is trained: a step takes the accuracy of a whole job from
    the NAS-Bench-201 table, and the epoch advances by those of the job.

    Args:
        trial: The trial, which has a section ``strategy``.
        folders: The trial's folders or URIs, one per session, oldest first, for the states of
            candidates that pause; in several processes, all must reach them. None for a temporary
            folder.

    Attributes:
        epoch: Epochs trained so far, of all candidates.
        data: The images of the candidates.
        jobs: The strategy and its jobs.

    Raises:
        ConfigError: If the space, a part or the device is not available, or keys do not fit.
        DataError: If the images cannot be read.
    """

    def __init__(self, trial: TrialConfig, folders: Sequence[str] = ()) -> None:
        self.trial = trial
        self._config = strategy_of(trial)
        candidate_trial(trial)  # rejects a warm-up that is too long
        self.device, dtype = set_up_runtime(trial.runtime)
        self.space = final_space(trial)
        self._states = CandidateStates(folders)
        self._trainer: CandidateTrainer | TableTrainer
        self.data: DataFacts
        simulated = trial.benchmark.simulate
        if simulated is not None:
            self._trainer = TableTrainer.of(trial, simulated)
            self.data = self._trainer.facts
        else:
            halves = load_data(
                trial.data, seed=trial.seed, device=self.device, dtype=dtype, for_search=True
            )
            self.data = images = halves.for_candidates()
            self._trainer = CandidateTrainer(trial, images, self._states)
        self._numbers = GenotypeNumbers(trial, self.space, self.data)
        self._inputs = StrategyInputs(
            Architectures(self.space), self._config, trial.seed, proxy_of(trial)
        )
        self._processes = Processes.joined()
        self.jobs = CandidateJobs(self._inputs, self._processes.size)
        self.epoch = 0

    @property
    def done(self) -> bool:
        """Whether the strategy asks for nothing more."""
        return self.jobs.strategy.done

    def check(self) -> None:
        """Check that the candidates can be trained, by building one.

        Raises:
            TuneNasError: If they cannot.
        """
        if isinstance(self._trainer, CandidateTrainer):
            self._trainer.check(self._inputs.architectures)

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Train an epoch of each running candidate and return the metrics.

        `valid_accuracy` is that of the best candidate so far, whose genotype the metrics that start
        with ``genotype/`` and ``benchmark/`` describe; 0 while no candidate has one. `candidates`
        counts those with a result. `candidate` is the number of the running candidate (the first of
        several), and `level` (from 1) what it is trained for; `candidate_accuracy` and `train_loss`
        are its own, absent in the epoch in which it diverges. Those of the strategy itself start
        with ``strategy/``.

        Args:
            on_step: Called after each step with its number and the number of steps of the epoch.

        Raises:
            TuneNasError: If the search is over, or the strategy asks for an impossible job.
            DivergedError: If the search ends, and all candidates have diverged.
        """
        if self.done:
            raise TuneNasError(f"the search is over after {self.epoch} epochs")
        start, jobs, processes = time.perf_counter(), self.jobs, self._processes
        jobs.remarks = []
        if not jobs.strategy.standings:
            jobs.fill()
        own = {
            slot: self._trainer.run_epoch(job, on_step)
            for slot, job in enumerate(jobs.slots)
            if job is not None and slot % processes.size == processes.rank
        }
        results = {slot: found for each in processes.shared(own) for slot, found in each.items()}
        if not results:
            raise TuneNasError(f"strategy '{self._config.kind}' asks for no candidate")
        trained = sorted(
            ((job, results[slot]) for slot, job in enumerate(jobs.slots) if job is not None),
            key=lambda each: each[0].request.number,
        )
        self.epoch += sum(result.epochs for _, result in trained)
        for job, result in trained:
            jobs.note(job, result, self.epoch)
        for ended in jobs.superseded(self.epoch - _CHECKPOINTS_KEPT * processes.size):
            self._states.remove(ended.candidate, ended.start)
        jobs.fill()
        if jobs.strategy.done:
            self._states.clear()
            if jobs.incumbent is None:
                raise DivergedError(
                    f"all {len(jobs.strategy.standings)} candidates have diverged; a lower "
                    "retrain.learning_rate may help"
                )
        jobs.gather(processes)
        metrics = self._metrics(*trained[0])
        metrics["memory_mib"] = peak_memory_mib(self.device)
        metrics["seconds"] = time.perf_counter() - start
        return metrics

    def _metrics(self, job: RunningJob, result: EpochResult) -> Metrics:
        """Return the metrics of an epoch, given the first of the jobs in training."""
        best, request = self.jobs.incumbent, job.request
        metrics: Metrics = {
            "epoch": self.epoch,
            "valid_accuracy": 0.0 if best is None else best.accuracy,
            "candidates": len(self.jobs.strategy.ranking()),
            "candidate": request.candidate,
            "level": 1 + self._config.levels.index(request.epochs),
        }
        if result.metrics is not None:
            metrics["candidate_accuracy"] = result.metrics["valid_accuracy"]
            known = [name for name in _OF_RUNNING if name in result.metrics]
            metrics |= {name: result.metrics[name] for name in known}
        metrics |= {f"strategy/{name}": v for name, v in self.jobs.strategy.metrics().items()}
        if best is not None:
            metrics["best_candidate"] = best.candidate
            metrics |= self._numbers.of(best.genotype)
        return metrics

    def state_dict(self) -> State:
        """Return the complete state of the search as containers and tensors."""
        return {
            "trial": self.trial.to_dict(),
            "space": self.space.to_dict(),
            "epoch": self.epoch,
            **self.jobs.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from a state of the same trial.

        Raises:
            CheckpointError: If the state is of another trial or another version of its space, or
                the strategy decides otherwise now.
        """
        try:
            saved = candidate_trial(stored_trial(state["trial"], "its trial"))
        except ConfigError as error:
            raise CheckpointError(f"the checkpoint is of another version: {error}") from error
        mark = Decides.SEARCH | Decides.RETRAIN
        check_same_trial(decided_by(candidate_trial(self.trial), mark), decided_by(saved, mark))
        check_same_space(self.space.to_dict(), state["space"])
        self.jobs = CandidateJobs.restored(self._inputs, self._processes.size, state)
        self.epoch = state["epoch"]

    def result(self) -> Genotype | None:
        """Return the genotype of the best candidate; before the first result, one in training."""
        best = self.jobs.incumbent
        if best is not None:
            return best.genotype
        return next((job.request.genotype for job in self.jobs.running), None)

    def remarks(self) -> dict[str, str]:
        """Return the decisions of the last epoch, and the reason for an end before the budget."""
        remarks = {DECISIONS: "; ".join(self.jobs.remarks)}
        budget = self._config.budget
        if self.done and self.epoch < budget:
            remarks[ENDED] = (
                f"the strategy asks for no further job, with {budget - self.epoch} of {budget} "
                "epochs left"
            )
        return {key: text for key, text in remarks.items() if text}

    def artifacts(self) -> dict[str, str]:
        """Return the table of the candidates and the genotype of the best one, by file name."""
        spent = {job.candidate: job.epoch for job in self.jobs.ended}
        table = candidate_table(self.jobs.strategy.ranking(), spent, self._config.levels)
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
