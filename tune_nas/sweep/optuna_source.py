"""A source of jobs whose parameters Optuna samples."""

from __future__ import annotations

import itertools
import logging

import optuna
from optuna.trial import TrialState

from tune_nas.errors import ConfigError
from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.define_by_run import DefineByRun
from tune_nas.sweep.distinct import Configurations
from tune_nas.sweep.jobs import Job, Sampling
from tune_nas.sweep.keys import SEEDS
from tune_nas.sweep.objective_values import point_of
from tune_nas.sweep.optuna_objectives import constrain, directions
from tune_nas.sweep.resolution import BaseTrials, resolve
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.samplers import keeps_state, make_sampler
from tune_nas.sweep.study_file import StudyFile
from tune_nas.sweep.trial_values import portable, reported
from tune_nas.tasks import task_of

_logger = logging.getLogger(__name__)

_DRAWS = 100  # samples per trial, until the values fit together


class OptunaSource:
    """Jobs whose parameters Optuna samples, in a study in memory that is rebuilt from the records.

    The sampler is created for every trial, with a seed from the sweep's seed and the trial's
    number. Samples therefore depend only on these, on the results so far and, with concurrent
    trials, on which of them were known: not on how often the sweep was interrupted. Samplers that
    keep a state (CMA-ES, NSGA-II) keep it in the study, so a resume asks and tells again in the
    recorded order. A trial that ASHA stopped is told as PRUNED with its last value: told as
    complete, as by Ray's own OptunaSearch, its early value would rank beside final ones.

    A configuration that is sampled again runs with the next seed: with the same one, it would only
    repeat its result. A configuration that failed is not run again.

    Args:
        sweep: The sweep; its ``seed`` determines the samples.
        bases: Its trials.
        records: Records of an earlier session.
        storage: Optuna storage URL to which the study is written for inspection; None for none.

    Attributes:
        study: The study from which is sampled.
    """

    waits = False

    def __init__(
        self,
        sweep: SweepConfig,
        bases: BaseTrials,
        records: Records,
        storage: str | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sweep, self._bases = sweep, bases
        self._space = DefineByRun(sweep.parameters, bases.values)
        self.total = sweep.n_drawn
        self.study = optuna.create_study(directions=directions(sweep))
        self._file = None if storage is None else StudyFile(sweep, storage, self.study.directions)
        self._configurations = Configurations(sweep.parameters)
        self._trials: dict[str, optuna.Trial] = {}
        self._running: dict[int, str] = {}  # ids of jobs that have not ended, by number
        self._seeds: dict[str, set[int]] = {}  # of each sampled configuration
        self._failed: set[str] = set()  # configurations
        self._left: list[Job] = []
        self._rebuild(records)

    def next(self) -> Job | None:
        """Return an interrupted job, else a new one, or None if none is left.

        Raises:
            ConfigError: If no valid configuration can be sampled.
        """
        if self._left:
            return self._left.pop(0)
        return self._ask() if len(self._trials) < self.total else None

    def tell(self, record: Record) -> None:
        """Tell the study: finished is COMPLETE, stopped early is PRUNED, failed is PRUNED too.

        A failed trial is told without a value, and so is one whose value is not finite; TPE counts
        them as the worst. It ignores trials told as FAIL, and would prefer regions without known
        trials: it would sample little else.
        """
        self._tell(record)
        if self._file is not None:
            self._file.end(record, self._values(record))

    def _tell(self, record: Record) -> None:
        job, values = record.job, self._values(record)
        number, trial = _number_of(job), self._trials[job.id]
        self._running.pop(number, None)
        self.study.sampler = make_sampler(self._sweep, number)
        constrain(trial, self._sweep, record)
        if values is None:
            self._failed.add(self._configurations.of(job.trial))
            trial.set_user_attr("failed", True)
            self.study.tell(trial, state=TrialState.PRUNED)
        elif record.status is Status.FINISHED:
            if len(values) == 1:  # Optuna has no intermediate values of several objectives
                trial.report(values[0], record.epoch)
            self.study.tell(trial, values)
        else:
            trial.report(values[0], record.epoch)
            self.study.tell(trial, state=TrialState.PRUNED)

    def _values(self, record: Record) -> list[float] | None:
        """Return the value of every objective; None if the trial failed or one is not finite."""
        point = None if record.status is Status.FAILED else point_of(self._sweep, record)
        return None if point is None else list(point)

    def _rebuild(self, records: Records) -> None:
        """Ask and tell again in the order in which the sweep did."""
        ended: dict[int, Record] = {}  # that are yet to be told
        for record in records:
            sampling = record.job.sampling
            running = () if sampling is None else sampling.running
            for number in [number for number in ended if number not in running]:
                self._tell(ended.pop(number))
            self._ask_again(record.job)
            if record.ended:
                ended[_number_of(record.job)] = record
            else:
                self._left.append(record.job)
        for record in ended.values():
            self._tell(record)
        if self._file is not None:
            self._file.add((record, self._values(record)) for record in records)

    def _ask(self) -> Job | None:
        """Sample the next trial; None if all configurations that can be sampled have failed."""
        number = next(n for n in itertools.count() if f"search-{n:05d}" not in self._trials)
        self.study.sampler = make_sampler(self._sweep, number)
        sampled = self._sample(number)
        if sampled is None:
            return None
        trial, job = sampled
        self._note(job, trial)
        if self._file is not None:
            self._file.start(job)
        return job

    def _ask_again(self, job: Job) -> None:
        """Add a known trial to the study, and repeat what a sampler with a state did for it."""
        number, sampling = _number_of(job), job.sampling or Sampling()
        again = keeps_state(self._sweep)
        self.study.sampler = make_sampler(self._sweep, number, None if again else "random")
        rejected = [self._draw(number, tried) for tried in range(sampling.rejected if again else 0)]
        self.study.enqueue_trial(self._space.drawn(dict(job.parameters)))
        trial = self.study.ask()
        self._space(trial)
        self._reject([sample for sample, _ in rejected])
        self._note(job, trial)

    def _note(self, job: Job, trial: optuna.Trial) -> None:
        trial.set_user_attr("trial_id", job.id)
        self._trials[job.id] = trial
        self._running[_number_of(job)] = job.id
        self._seeds.setdefault(self._configurations.of(job.trial), set()).add(job.seed)

    def _sample(self, number: int) -> tuple[optuna.Trial, Job] | None:
        """Sample until the values fit together and have not failed.

        Only the ends of ranges are validated in advance. Rejected samples count as running
        meanwhile, so that TPE moves away from them; if that does not help, the second half of the
        samples is random.

        Returns:
            None if, in many samples, all valid values have failed.

        Raises:
            ConfigError: If no values fit together in many samples.
        """
        error: ConfigError | None = None
        rejected: list[optuna.Trial] = []
        failed = 0
        try:
            while len(rejected) < _DRAWS:
                trial, parameters = self._draw(number, len(rejected))
                try:
                    job = self._job(number, parameters, len(rejected))
                except ConfigError as raised:
                    error = raised
                else:
                    if self._configurations.of(job.trial) not in self._failed:
                        return trial, job
                    failed += 1
                rejected.append(trial)
        finally:
            self._reject(rejected)
        if not failed:
            raise ConfigError(f"{error}; so it is with each of {_DRAWS} draws") from error
        _logger.warning(
            "sampling ends after %d of %d trials: what is sampled has failed before",
            len(self._trials),
            self.total,
        )
        return None

    def _draw(self, number: int, tried: int) -> tuple[optuna.Trial, dict[str, object]]:
        """Sample values for a trial, after a number of rejected ones."""
        if tried == _DRAWS // 2:
            self.study.sampler = make_sampler(self._sweep, number, "random")
        trial = self.study.ask()
        return trial, self._space(trial)

    def _reject(self, trials: list[optuna.Trial]) -> None:
        for trial in trials:
            self.study.tell(trial, state=TrialState.FAIL)

    def _job(self, number: int, parameters: dict[str, object], rejected: int) -> Job:
        """Return the job of sampled values, with the first seed that they have not used."""
        first = self._sweep.seed_list[0]
        resolved = resolve(self._sweep, self._bases, parameters, first)
        trial = portable(resolved, self._bases.folder)
        used = self._seeds.get(self._configurations.of(trial), set())
        seeds = itertools.chain([first], itertools.count(self._sweep.next_seed))
        seed = next(seed for seed in (seed % SEEDS for seed in seeds) if seed not in used)
        kept = reported(parameters, resolved)
        own = trial.model_copy(update={"seed": seed})
        task = task_of(self._sweep.task, own)
        sampling = Sampling(tuple(self._running), rejected)
        return Job(f"search-{number:05d}", task, "search", own, kept, sampling=sampling)


def _number_of(job: Job) -> int:
    return int(job.id.rsplit("-", 1)[1])
