"""Ray Tune's events, written as MLflow runs; Ray's own callback doubles runs after a resume."""

from __future__ import annotations

import functools
import logging
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from tune_nas.errors import TuneNasError
from tune_nas.tracking.checkpoints import read_checkpoint_file
from tune_nas.tracking.outcome import ENDED, error_line, stop_reason
from tune_nas.tracking.store import one_line
from tune_nas.tracking.tracker import Tracker, TrackerSettings

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

_logger = logging.getLogger(__name__)

# A store that fails is left alone for a while: each call to a lost server takes seconds, in which
# no trial would get on.
_SILENCE_SECONDS = 30.0

# What Ray adds to every result, of no meaning for a search.
_OF_RAY = frozenset(
    {
        *(
            "config",
            "date",
            "done",
            "experiment_id",
            "experiment_tag",
            "hostname",
            "node_ip",
            "pid",
        ),
        *("iterations_since_restore", "should_checkpoint", "checkpoint_dir_name", "trial_id"),
        *("time_since_restore", "time_this_iter_s", "time_total_s", "node_ip", "timestamp"),
        *(
            "timesteps_since_restore",
            "timesteps_total",
            "warmup_time",
            "training_iteration",
            "trial_name",
        ),
    }
)


@dataclass(frozen=True)
class TrialFacts:
    """What the callback has to know about a trial, told by the sweep.

    Args:
        stage: ``search``, ``repeat`` or ``retrain``.
        settings: Everything that decides the trial (`TrialConfig.to_dict`); logged as parameters.
        epochs: Epochs of a trial that runs to its end.
        space: Name or path of its space, for the drawings.
        name: What MLflow's run table shows; None for stage and trial id.
        tags: Further tags, for example the swept values.
        parent: Trial id of the search that a retrain belongs to, if it is in the same sweep.
        parent_run: Its MLflow run id, if it is not.
    """

    stage: str
    settings: Mapping[str, Any]
    epochs: int
    space: str
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    parent_run: str | None = None


Describe = Callable[[str, Mapping[str, Any]], TrialFacts]


class TrackingCallback(Callback):  # type: ignore[misc]
    """Writes each trial of a Ray experiment as an MLflow run under the sweep's.

    An MLflow server that is lost on the way does not take the sweep down: what could not be
    written is in `problems`, and every run is put right at the end of the experiment if the
    server is back by then.

    Args:
        settings: The store.
        sweep_run_id: The sweep's run, from `Tracker.sweep_run`.
        describe: Gives the facts of a trial from its id and its Ray config. Is pickled with
            the experiment, so a function of a module or a callable object, not a lambda.
        scheduler: What to call that which stops trials early.
        rank_by: Metric that is named in the reason of an early stop.
        has_ended: Tells of a trial's id whether it has ended: Ray also calls a trial TERMINATED
            that an error in the driver has cut short. None to believe Ray.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        sweep_run_id: str,
        describe: Describe,
        *,
        scheduler: str = "ASHA",
        rank_by: str = "valid_accuracy",
        has_ended: Callable[[str], bool] | None = None,
    ) -> None:
        self.settings = settings
        self.sweep_run_id = sweep_run_id
        self.describe = describe
        self.scheduler = scheduler
        self.rank_by = rank_by
        self._has_ended = has_ended
        self.problems: list[str] = []
        self._tracker: Tracker | None = None
        self._runs: dict[str, str] = {}
        self._waiting: dict[str, dict[int, dict[str, float]]] = {}
        self._silent_until = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process: the client and what it knows of its store."""
        fresh: dict[str, Any] = {
            "problems": [],
            "_has_ended": None,
            "_tracker": None,
            "_runs": {},
            "_waiting": {},
            "_silent_until": 0.0,
        }
        return self.__dict__ | fresh

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open the trial's run, or open it again."""
        self._attempt(trial, lambda: self._run(trial))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: Mapping[str, Any],
        **info: Any,
    ) -> None:
        """Log the epoch; a server that does not answer gets it with the next one."""
        step = int(result.get("epoch", result.get("training_iteration", 0)))
        self._waiting.setdefault(trial.trial_id, {})[step] = metrics_of(result)
        self._attempt(trial, lambda: self._log_waiting(trial))

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Note that the trial failed and is tried again."""
        tags = {"failures": str(trial.num_failures), "last_error": error_line(trial)}
        self._attempt(trial, lambda: self._open_tracker().set_tags(self._run(trial), tags))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that finished or was stopped."""
        self._attempt(trial, lambda: self._close(trial, "complete"))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the run of a trial that failed for good."""
        self._attempt(trial, lambda: self._close(trial, "error"))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Put right what is not: no run stays RUNNING, none is missing."""
        self._silent_until = 0.0
        for trial in trials:
            self._attempt(trial, functools.partial(self._settle, trial))

    def _attempt(self, trial: Trial, action: Callable[[], Any]) -> None:
        if time.monotonic() < self._silent_until:
            return
        try:
            action()
        except Exception as error:  # MLflow's stores each raise their own; none may end the sweep
            self._silent_until = time.monotonic() + _SILENCE_SECONDS
            problem = f"MLflow run of trial {trial.trial_id}: {one_line(error)}"
            if problem not in self.problems:
                self.problems.append(problem)
                _logger.warning(problem)

    def _open_tracker(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self.settings.open()
        return self._tracker

    def _facts(self, trial: Trial) -> TrialFacts:
        return self.describe(trial.trial_id, trial.config)

    def _run(self, trial: Trial) -> str:
        if trial.trial_id not in self._runs:
            facts, tracker = self._facts(trial), self._open_tracker()
            parent = facts.parent_run
            if parent is None and facts.parent is not None:
                search = tracker.find_trial(self.sweep_run_id, facts.parent)
                parent = search.run_id if search else None
            self._runs[trial.trial_id] = tracker.trial_run(
                self.sweep_run_id,
                trial.trial_id,
                stage=facts.stage,
                parameters=facts.settings,
                tags=facts.tags,
                parent=parent,
                name=facts.name,
            )
        return self._runs[trial.trial_id]

    def _settle(self, trial: Trial) -> None:
        """Close a run that still should be: it was interrupted, or a kill cut in before."""
        end = {"TERMINATED": "complete", "ERROR": "error"}.get(trial.status, "interrupted")
        if self._has_ended is not None and not self._has_ended(trial.trial_id):
            end = "interrupted"
        run = self._open_tracker().find_trial(self.sweep_run_id, trial.trial_id)
        if end == "interrupted":
            if run is not None and run.state == "RUNNING":
                self._close(trial, end)
        elif run is None or run.state in ("RUNNING", "KILLED") or self._waiting.get(trial.trial_id):
            self._close(trial, end)

    def _log_waiting(self, trial: Trial) -> None:
        waiting = self._waiting.get(trial.trial_id, {})
        for step in sorted(waiting):
            self._open_tracker().log_epoch(self._run(trial), step, waiting[step])
            del waiting[step]

    def _close(self, trial: Trial, kind: str) -> None:
        tracker, run_id, facts = self._open_tracker(), self._run(trial), self._facts(trial)
        self._log_waiting(trial)
        self._log_files(trial, run_id, facts)
        epoch = int((trial.last_result or {}).get("epoch", 0))
        if kind == "error":
            line = error_line(trial)
            tracker.finish(run_id, "FAILED", error=line, reason=line)
        elif kind == "interrupted":
            reason = f"interrupted after epoch {epoch} of {facts.epochs}; resume the sweep"
            tracker.finish(run_id, "KILLED", reason=reason)
        elif ended := (trial.last_result or {}).get(ENDED):
            tracker.finish(run_id, "FINISHED", reason=str(ended))
        elif epoch < facts.epochs:
            value = metrics_of(trial.last_result or {}).get(self.rank_by)
            reason = stop_reason(self.scheduler, epoch, facts.epochs, self.rank_by, value)
            tracker.finish(run_id, "FINISHED", outcome="stopped early", reason=reason)
        else:
            tracker.finish(run_id, "FINISHED")
        del self._runs[trial.trial_id]  # should the trial go on after all, its run is reopened

    def _log_files(self, trial: Trial, run_id: str, facts: TrialFacts) -> None:
        """Log genotype and α history of the newest checkpoint; a trial may have none yet."""
        from tune_nas.spaces import Genotype, load_space

        tracker = self._open_tracker()
        genotype = read_checkpoint_file(trial, "genotype.yaml")
        if genotype is not None:
            try:
                parsed = Genotype.from_yaml(genotype.decode())
                tracker.log_genotype(run_id, parsed, load_space(facts.space))
            except (TuneNasError, UnicodeDecodeError) as error:
                self.problems.append(f"trial {trial.trial_id}: {one_line(error)}")
        alphas = read_checkpoint_file(trial, "alphas.csv")
        if alphas is not None:
            tracker.log_alphas(run_id, alphas)
        for name in ("best.yaml", "decisions.csv", "perturbation.csv"):
            content = read_checkpoint_file(trial, name)
            if content is not None:
                tracker.log_artifact(run_id, content, name)


def metrics_of(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a Ray result, nested ones with ``/``, without Ray's own entries."""
    metrics: dict[str, float] = {}
    for key, value in result.items():
        if isinstance(value, bool) or (not prefix and key in _OF_RAY):
            continue
        if isinstance(value, Mapping):
            metrics |= metrics_of(value, f"{prefix}{key}/")
        elif isinstance(value, numbers.Real):
            metrics[f"{prefix}{key}"] = float(value)
    return metrics
