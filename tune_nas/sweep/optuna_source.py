"""A source of jobs whose parameters Optuna samples."""

from __future__ import annotations

import itertools
import logging

import optuna

from tune_nas.errors import ConfigError
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.distinct import Configurations
from tune_nas.sweep.jobs import Job, Sampling
from tune_nas.sweep.keys import SEEDS
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sampled_study import DRAWS, SampledStudy, number_of
from tune_nas.sweep.study_file import StudyFile
from tune_nas.sweep.trial_values import portable, reported
from tune_nas.sweep.valid_samples import check_starts, resolve_sample
from tune_nas.tasks import task_of

_logger = logging.getLogger(__name__)


class OptunaSource:
    """Jobs whose parameters Optuna samples, in a study that is rebuilt from the records.

    The sampler is created for every trial, with a seed from the sweep's seed and the trial's
    number. Samples therefore depend only on these, on the results so far and, with concurrent
    trials, on which of them were known: not on how often the sweep was interrupted. A trial that
    ASHA stopped is told as PRUNED with its last value: told as complete, as by Ray's own
    OptunaSearch, its early value would rank beside final ones.

    A configuration that is sampled again runs with the next seed: with the same one, it would only
    repeat its result. A configuration that failed is not run again.

    Args:
        sweep: The sweep; its ``seed`` determines the samples.
        bases: Its trials.
        records: Records of an earlier session.
        storage: Optuna storage URL to which the study is written for inspection; None for none.
    """

    waits = is_bound = False
    sharing = None

    def __init__(
        self,
        sweep: SweepConfig,
        bases: BaseTrials,
        records: Records,
        storage: str | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sweep, self._bases = sweep, bases
        self.total = sweep.n_drawn
        self._sampled = SampledStudy(sweep, bases.values)
        self._file = None if storage is None else StudyFile(sweep, storage)
        self._configurations = Configurations(sweep.parameters)
        self._started: set[str] = set()  # ids of jobs
        self._number = 0  # no smaller number is left
        self._seeds: dict[str, set[int]] = {}  # of each sampled configuration
        self._failed: set[str] = set()  # configurations
        self._left: list[Job] = []
        self._rebuild(records)

    @property
    def study(self) -> optuna.Study:
        """The study from which is sampled."""
        return self._sampled.study

    def next(self) -> Job | None:
        """Return an interrupted job, else a new one, or None if none is left.

        Raises:
            ConfigError: If no valid configuration can be sampled.
        """
        if self._left:
            return self._left.pop(0)
        return self._ask() if len(self._started) < self.total else None

    def tell(self, record: Record) -> None:
        """Tell the study how a trial ended, as `SampledStudy.tell` does."""
        self._tell(record)
        if self._file is not None:
            self._file.end(record, self._sampled.values(record))

    def _tell(self, record: Record) -> None:
        if not self._sampled.tell(record):
            self._failed.add(self._configurations.of(record.job.trial))

    def _rebuild(self, records: Records) -> None:
        """Ask and tell again in the order in which the sweep did."""
        ended: dict[int, Record] = {}  # trials that are yet to be told
        for record in records:
            sampling = record.job.sampling
            running = () if sampling is None else sampling.running
            for number in [number for number in ended if number not in running]:
                self._tell(ended.pop(number))
            self._sampled.add(record.job)
            self._note(record.job)
            if record.ended:
                ended[number_of(record.job)] = record
            else:
                self._left.append(record.job)
        for record in ended.values():
            self._tell(record)
        if self._file is not None:
            self._file.add((record, self._sampled.values(record)) for record in records)

    def _ask(self) -> Job | None:
        """Sample the next trial; None if all configurations that can be sampled have failed."""
        while f"search-{self._number:05d}" in self._started:
            self._number += 1
        number = self._number
        sampled = self._sample(number)
        if sampled is None:
            return None
        trial, job = sampled
        self._sampled.start(job, trial)
        self._note(job)
        if self._file is not None:
            self._file.start(job)
        return job

    def _note(self, job: Job) -> None:
        self._started.add(job.id)
        self._seeds.setdefault(self._configurations.of(job.trial), set()).add(job.seed)

    def _sample(self, number: int) -> tuple[optuna.Trial, Job] | None:
        """Sample until the values fit together and have not failed.

        Only the ends of ranges are validated in advance; with ``invalid: redraw``, some random
        samples. Rejected samples count as running meanwhile, so that TPE moves away from them; if
        that does not help, the second half of the samples is random.

        Returns:
            None if, in many samples, all valid values have failed.

        Raises:
            ConfigError: If no values fit together in many samples.
        """
        error: ConfigError | None = None
        rejected: list[optuna.Trial] = []
        failed = 0
        try:
            while len(rejected) < DRAWS:
                trial, parameters = self._sampled.sample(number, len(rejected))
                try:
                    job = self._job(number, parameters, len(rejected))
                except ConfigError as raised:
                    error = raised
                    if self._sweep.invalid == "redraw":
                        _logger.warning("search-%05d is redrawn: %s", number, raised)
                else:
                    if self._configurations.of(job.trial) not in self._failed:
                        return trial, job
                    failed += 1
                rejected.append(trial)
        finally:
            self._sampled.reject(rejected)
        if not failed:
            raise ConfigError(f"{error}; so it is with each of {DRAWS} samples") from error
        _logger.warning(
            "sampling ends after %d of %d trials: all valid samples have failed before",
            len(self._started),
            self.total,
        )
        return None

    def _job(self, number: int, parameters: dict[str, object], rejected: int) -> Job:
        """Return the job of sampled values, with the first seed that they have not used."""
        first = self._sweep.seed_list[0]
        resolved = resolve_sample(self._sweep, self._bases, parameters)
        trial = portable(resolved, self._bases.folder)
        if self._sweep.invalid == "redraw":
            check_starts(self._sweep, parameters, trial)
        used = self._seeds.get(self._configurations.of(trial), set())
        seeds = itertools.chain([first], itertools.count(self._sweep.next_seed))
        seed = next(seed for seed in (seed % SEEDS for seed in seeds) if seed not in used)
        kept = reported(parameters, resolved, sampled=True)
        own = trial.model_copy(update={"seed": seed})
        task = task_of(self._sweep.task, own)
        sampling = Sampling(self._sampled.running, rejected)
        return Job(f"search-{number:05d}", task, "search", own, kept, sampling=sampling)
