"""A source of jobs whose parameters Optuna samples."""

from __future__ import annotations

import itertools
import logging
import math

import optuna
from optuna.trial import TrialState

from tune_nas.errors import ConfigError
from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.define_by_run import DefineByRun
from tune_nas.sweep.distinct import Configurations
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.keys import SEEDS
from tune_nas.sweep.resolution import BaseTrials, resolve
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.samplers import make_sampler
from tune_nas.sweep.trial_values import portable, reported
from tune_nas.tasks import task_of

_logger = logging.getLogger(__name__)

_DRAWS = 100  # samples per trial, until the values fit together


class OptunaSource:
    """Jobs whose parameters Optuna samples (random or TPE), in a study rebuilt from the records.

    The sampler is seeded for every trial, from the sweep's seed and the trial's number. Samples
    therefore depend only on these and on the results so far, not on how often the sweep was
    interrupted. A trial that ASHA stopped is told as PRUNED with its last value: told as complete,
    as by Ray's own OptunaSearch, its early value would rank beside final ones.

    A configuration that is sampled again runs with the next seed: with the same one, it would only
    repeat its result. A configuration that failed is not run again.

    Args:
        sweep: The sweep; its ``seed`` determines the samples.
        bases: Its trials.
        records: Records of an earlier session.
        storage: Optuna storage URL for the study, e.g. for inspection; None for memory.
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
        self.study = optuna.create_study(
            storage=storage,
            study_name=sweep.name,
            direction="maximize" if sweep.mode == "max" else "minimize",
        )
        self._configurations = Configurations(sweep.parameters)
        self._trials: dict[str, optuna.Trial] = {}
        self._seeds: dict[str, set[int]] = {}  # of each sampled configuration
        self._failed: set[str] = set()  # configurations
        self._left: list[Job] = []
        for record in records:
            self._ask(record.job)
            if record.ended:
                self.tell(record)
            else:
                self._left.append(record.job)

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
        trial, value = self._trials[record.job.id], record.value(self._sweep.search_metric)
        if record.status is Status.FAILED or value is None or not math.isfinite(value):
            self._failed.add(self._configurations.of(record.job.trial))
            trial.set_user_attr("failed", True)
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        trial.report(value, record.epoch)
        if record.status is Status.FINISHED:
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)

    def _ask(self, known: Job | None = None) -> Job | None:
        """Sample the next trial, or add a known one to the study again."""
        number = self._number(known)
        self.study.sampler = make_sampler(self._sweep, number)
        if known is None:
            sampled = self._sample(number)
            if sampled is None:
                return None
            trial, job = sampled
        else:
            self.study.enqueue_trial(self._space.drawn(dict(known.parameters)))
            trial, job = self.study.ask(), known
            self._space(trial)
        trial.set_user_attr("trial_id", job.id)
        self._trials[job.id] = trial
        self._seeds.setdefault(self._configurations.of(job.trial), set()).add(job.seed)
        return job

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
        refused: list[optuna.Trial] = []
        failed = 0
        try:
            while len(refused) < _DRAWS:
                if len(refused) == _DRAWS // 2:
                    self.study.sampler = make_sampler(self._sweep, number, "random")
                trial = self.study.ask()
                try:
                    job = self._job(number, self._space(trial))
                except ConfigError as raised:
                    error = raised
                else:
                    if self._configurations.of(job.trial) not in self._failed:
                        return trial, job
                    failed += 1
                refused.append(trial)
        finally:
            for trial in refused:
                self.study.tell(trial, state=TrialState.FAIL)
        if not failed:
            raise ConfigError(f"{error}; so it is with each of {_DRAWS} draws") from error
        _logger.warning(
            "sampling ends after %d of %d trials: what is sampled has failed before",
            len(self._trials),
            self.total,
        )
        return None

    def _number(self, known: Job | None) -> int:
        if known is not None:
            return int(known.id.rsplit("-", 1)[1])
        numbers = itertools.count()
        return next(n for n in numbers if f"search-{n:05d}" not in self._trials)

    def _job(self, number: int, parameters: dict[str, object]) -> Job:
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
        return Job(f"search-{number:05d}", task, "search", own, kept)
