"""Sources of a phase's jobs: a list, or Optuna."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tune_nas.errors import ConfigError
from tune_nas.status import Status
from tune_nas.sweep.config import SEEDS, SweepConfig
from tune_nas.sweep.distinct import Configurations
from tune_nas.sweep.jobs import Job
from tune_nas.sweep.parameters import Fixed, Parameter, ordered
from tune_nas.sweep.resolve import BaseTrials, resolve
from tune_nas.sweep.runs.records import Record, Records
from tune_nas.sweep.samplers import make_sampler
from tune_nas.sweep.trial_values import portable, reported

if TYPE_CHECKING:
    import optuna


_logger = logging.getLogger(__name__)

_DRAWS = 100  # samples per trial, until the values fit together


class Source(Protocol):
    """Provides jobs, and is notified when each of them ends."""

    @property
    def total(self) -> int:
        """Total number of jobs."""

    def next(self) -> Job | None:
        """Return the next job, or None if none is left."""

    def tell(self, record: Record) -> None:
        """Take note of a trial that has ended."""


class ListSource:
    """Jobs that are known in advance: a grid, repeats, retraining runs.

    Args:
        jobs: All jobs of the phase, including those with a record.
        records: Records of an earlier session: jobs that ended are left out. A job that was
            started but is not listed anymore, since another is now better, is run to its end.

    Attributes:
        left: Jobs still to be run.
    """

    def __init__(self, jobs: Sequence[Job], records: Records) -> None:
        known = {record.job.id: record for record in records}
        every = {job.id: job for job in jobs} | {name: known[name].job for name in known}
        self.left = [
            job for name, job in every.items() if name not in known or not known[name].ended
        ]
        self.total = len(every)

    def next(self) -> Job | None:
        """Return the next job, or None if none is left."""
        return self.left.pop(0) if self.left else None

    def tell(self, record: Record) -> None:
        """Do nothing: no later job depends on it."""


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

    def __init__(
        self,
        sweep: SweepConfig,
        bases: BaseTrials,
        records: Records,
        storage: str | None = None,
    ) -> None:
        import optuna

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
        from optuna.trial import TrialState

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
        from optuna.trial import TrialState

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

    def _job(self, number: int, parameters: dict[str, Any]) -> Job:
        """Return the job of sampled values, with the first seed that they have not used."""
        first = self._sweep.seed_list[0]
        resolved = resolve(self._sweep, self._bases, parameters, first)
        trial = portable(resolved, self._bases.folder)
        used = self._seeds.get(self._configurations.of(trial), set())
        seeds = itertools.chain([first], itertools.count(self._sweep.next_seed))
        seed = next(seed for seed in (seed % SEEDS for seed in seeds) if seed not in used)
        kept = reported(parameters, resolved)
        own = trial.model_copy(update={"seed": seed})
        return Job(f"search-{number:05d}", self._sweep.task, "search", own, kept)


class DefineByRun:
    """Asks an Optuna trial for each parameter whose conditions are met.

    Args:
        parameters: The swept keys.
        fixed: Returns the values of the other keys, which conditions may name, given the chosen.
    """

    def __init__(self, parameters: dict[str, Parameter], fixed: Fixed) -> None:
        self._parameters = {key: parameters[key] for key in ordered(parameters)}
        self._fixed = fixed

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the chosen value of every parameter that is active."""
        chosen: dict[str, Any] = {}
        for key, parameter in self._parameters.items():
            if parameter.active({**self._fixed(chosen), **chosen}):
                chosen[key] = self._suggest(trial, key, parameter)
        return chosen

    def drawn(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Return the values that Optuna sampled for these parameters."""
        return {
            key: value if self._parameters[key].is_range else self._label(key, value)
            for key, value in chosen.items()
        }

    def _suggest(self, trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
        if parameter.kind == "int":
            return trial.suggest_int(key, *parameter.values)
        if parameter.is_range:
            return trial.suggest_float(key, *parameter.values, log=parameter.kind == "loguniform")
        # Optuna's categories are scalars, and its JSON has no inf: categories are text.
        labels = {str(value): value for value in parameter.values}
        return labels[trial.suggest_categorical(key, list(labels))]

    def _label(self, key: str, value: Any) -> str:
        labels = {str(other): other for other in self._parameters[key].values}
        text = str(value)
        return text if text in labels else next(k for k, v in labels.items() if _same(v, value))


def _same(listed: Any, value: Any) -> bool:
    """Return whether a listed value became this one in the trial (1 → 1.0, '1e-3' → 0.001)."""
    if listed == value:
        return True
    if isinstance(listed, list) and isinstance(value, list | tuple):
        return len(listed) == len(value) and all(map(_same, listed, value))
    try:
        return float(listed) == float(value)
    except (TypeError, ValueError):
        return False
