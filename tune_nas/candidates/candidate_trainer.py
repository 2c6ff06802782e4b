"""The training of candidates, a job's epoch at a time, in one process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tune_nas.candidates.candidate_states import CandidateStates
from tune_nas.candidates.candidate_trial import candidate_trial
from tune_nas.candidates.running_job import EpochResult, RunningJob
from tune_nas.config import TrialConfig
from tune_nas.data import DataSource
from tune_nas.errors import DivergedError
from tune_nas.retrain import Retrain
from tune_nas.retrain.distributed import Workers
from tune_nas.spaces import Genotype
from tune_nas.spaces.architectures import Architectures


class CandidateTrainer:
    """Trains candidates by the trial of a search.

    Args:
        trial: The trial of the search.
        data: The images of the candidates.
        states: The states of candidates that pause.
    """

    def __init__(self, trial: TrialConfig, data: DataSource, states: CandidateStates) -> None:
        self._trial, self._data, self._states = trial, data, states

    def check(self, architectures: Architectures) -> None:
        """Build the training of some candidate, to check that network, batches and images fit.

        Raises:
            TuneNasError: If they do not.
        """
        self._new(architectures.sample(Random(0)), None)

    def run_epoch(self, job: RunningJob, on_step: Callable[[int, int], None] | None) -> EpochResult:
        """Train an epoch of a job; store the state of its candidate if it may continue later.

        Args:
            job: The job, whose training is built or restored with its first epoch here.
            on_step: Called after each step with its number and the number of steps.

        Raises:
            TuneNasError: If the training cannot be built, or the state cannot be stored.
        """
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
        build = partial(self._new, request.genotype, request.epochs)
        if job.state is None and request.start:
            kept = self._states.load(request.candidate, request.start, build)
            if kept is not None:
                return kept
        training = build()
        if job.state is not None:
            training.load_state_dict(job.state)
        while training.epoch < request.start:
            training.run_epoch()
        return training

    def _new(self, genotype: Genotype, epochs: int | None) -> Retrain:
        trial = candidate_trial(self._trial, genotype, epochs)
        return Retrain(trial, genotype, data=self._data, workers=Workers())
