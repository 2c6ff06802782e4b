"""The study in memory from which the parameters of a sweep are sampled."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from tune_nas.errors import ConfigError
from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.define_by_run import DefineByRun
from tune_nas.sweep.jobs import Job, Sampling
from tune_nas.sweep.objective_values import point_of
from tune_nas.sweep.optuna_objectives import constrain, directions
from tune_nas.sweep.parameters import Fixed, first_values
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.samplers import keeps_state, make_sampler
from tune_nas.sweep.searchers import is_custom
from tune_nas.user_code import said

DRAWS = 100
"""Number of samples for one trial, until its values fit together; the second half is random."""


class SampledStudy:
    """Trials that are asked for and told, each with a sampler that is seeded by its number.

    A resume asks and tells again in the recorded order. A sampler that keeps a state (CMA-ES,
    NSGA-II) keeps it in the study, so that it, too, then samples as without an interruption.

    Args:
        sweep: The sweep; its ``seed`` determines the samples.
        fixed: Returns the values of keys that are not swept, given those chosen so far.

    Attributes:
        study: The study of Optuna.
    """

    def __init__(self, sweep: SweepConfig, fixed: Fixed) -> None:
        self._sweep = sweep
        self._space = DefineByRun(sweep.parameters, fixed)
        self._first = first_values(sweep.parameters)
        self.study = optuna.create_study(directions=directions(sweep))
        self._running: dict[int, optuna.Trial] = {}  # by the number in the job's id

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that were started and have not ended."""
        return tuple(self._running)

    def sample(self, number: int, rejected: int) -> tuple[optuna.Trial, dict[str, object]]:
        """Return a new trial of the study, and the values of its parameters.

        Args:
            number: Number of the trial in the sweep.
            rejected: Number of samples for it that were rejected before.
        """
        if rejected in (0, DRAWS // 2):
            self._set_sampler(number, random=rejected > 0)
        if number < len(self._first) and rejected < DRAWS // 2:
            self.study.enqueue_trial(self._space.drawn(self._first[number]))
        return self._ask()

    def start(self, job: Job, trial: optuna.Trial) -> None:
        """Note that a trial of the study is run as a job."""
        trial.set_user_attr("trial_id", job.id)
        self._running[number_of(job)] = trial

    def reject(self, trials: list[optuna.Trial]) -> None:
        """Note that trials are not run."""
        for trial in trials:
            self.study.tell(trial, state=TrialState.FAIL)

    def add(self, job: Job) -> None:
        """Add a job that was started before; a sampler with a state samples for it again."""
        number, sampling = number_of(job), job.sampling or Sampling()
        again = keeps_state(self._sweep)
        rejected = range(sampling.rejected if again else 0)
        tried = [self.sample(number, count)[0] for count in rejected]
        if not tried:
            self._set_sampler(number, random=not again)
        self.study.enqueue_trial(self._space.drawn(dict(job.parameters)))
        trial, _ = self._ask()
        self.reject(tried)
        self.start(job, trial)

    def tell(self, record: Record) -> bool:
        """Tell the end of a trial: finished is COMPLETE, stopped early or failed is PRUNED.

        A failed trial is told without a value, and so is one whose value is not finite; TPE counts
        them as the worst. It ignores trials told as FAIL, and would prefer regions without known
        trials: it would sample little else.

        Returns:
            Whether it has a finite value.
        """
        number, values = number_of(record.job), self.values(record)
        trial = self._running.pop(number)
        self._set_sampler(number)
        constrain(trial, self._sweep, record)
        if values is None:
            trial.set_user_attr("failed", True)
            self.study.tell(trial, state=TrialState.PRUNED)
            return False
        if len(values) == 1:  # Optuna has no intermediate values of several objectives
            trial.report(values[0], record.epoch)
        finished = record.status is Status.FINISHED
        self.study.tell(
            trial, values if finished else None, None if finished else TrialState.PRUNED
        )
        return True

    def values(self, record: Record) -> list[float] | None:
        """Return the value of every objective; None if the trial failed or one is not finite."""
        point = None if record.status is Status.FAILED else point_of(self._sweep, record)
        return None if point is None else list(point)

    def _ask(self) -> tuple[optuna.Trial, dict[str, object]]:
        """Ask for a trial and its parameters.

        Raises:
            ConfigError: If a sampler that the user names by its class fails.
        """
        try:
            trial = self.study.ask()
            # Optuna calls the sampler when the first value is not given; its state needs it now.
            trial.relative_params  # noqa: B018
            return trial, self._space(trial)
        except Exception as error:
            if not is_custom(self._sweep.searcher):
                raise
            searcher = self._sweep.searcher
            raise ConfigError(f"searcher '{searcher}' fails to sample: {said(error)}") from error

    def _set_sampler(self, number: int, *, random: bool = False) -> None:
        self.study.sampler = make_sampler(self._sweep, number, "random" if random else None)


def number_of(job: Job) -> int:
    """Return the number of a sampled trial, from 0."""
    return int(job.id.rsplit("-", 1)[1])
