"""Writes to the store what a trial's record contains: its run, epochs, files and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tune_nas import figures
from tune_nas.analysis_table import TABLE_SUFFIX, AnalysisTable
from tune_nas.errors import TuneNasError
from tune_nas.spaces import Genotype, Space, load_space
from tune_nas.tracking.epoch_metrics import EPOCH
from tune_nas.tracking.run_reader import RunReader
from tune_nas.tracking.store import one_line
from tune_nas.tracking.tracked_run import TrackedRun
from tune_nas.tracking.tracker import Tracker

_ALPHAS = "alphas.csv"  # logged with a drawing


@dataclass(frozen=True)
class End:
    """How a trial ended.

    Args:
        state: MLflow's status: FINISHED, FAILED or KILLED.
        outcome: The tag ``status``; None for finished, failed or interrupted.
        reason: Why; empty if it ran to its last epoch.
        error: Error of a failed trial, in one line.
    """

    state: str = "FINISHED"
    outcome: str | None = None
    reason: str = ""
    error: str | None = None


@dataclass(frozen=True)
class TrackedTrial:
    """The content of a trial's run in the store.

    Args:
        trial_id: Its id, kept across a resume.
        phase: ``search``, ``repeat`` or ``retrain``.
        settings: All settings of the trial; logged as parameters.
        space: Name or path of its space, for the drawings.
        name: Name of the run in MLflow's run table.
        tags: Further tags, e.g. the swept values.
        failures: Number of times that it failed and was retried.
        last_error: The last such failure, in one line.
        parent: Trial id of the search that a retraining run belongs to, if it is in the same sweep.
        parent_run: MLflow run id of that search, if it is not.
        history: The metrics of each epoch, with ``epoch``, in order.
        times: When each epoch was recorded, in seconds since 1970; may be shorter than the history.
        genotype: Genotype of the last epoch, as YAML.
        artifacts: Returns the files of the trial, by name.
        end: How it ended; None while it runs.
    """

    trial_id: str
    phase: str
    settings: Mapping[str, object]
    space: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    last_error: str = ""
    parent: str | None = None
    parent_run: str | None = None
    history: Sequence[Mapping[str, float]] = ()
    times: Sequence[float] = ()
    genotype: str | None = None
    artifacts: Callable[[], Mapping[str, bytes]] = dict
    end: End | None = None

    @property
    def epoch(self) -> int:
        """The last epoch; 0 for none."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def last_metrics(self) -> int:
        """The last epoch with metrics; 0 for none."""
        epochs = (int(metrics[EPOCH]) for metrics in reversed(self.history) if len(metrics) > 1)
        return next(epochs, 0)


class RunWriter:
    """Writes the trials of a sweep. Writing a trial again changes nothing that is already correct.

    Args:
        tracker: Writes to the store.
        reader: Reads from it.
        sweep_run_id: MLflow run of the sweep.

    Attributes:
        remarks: Content of trials that cannot be logged, e.g. a damaged genotype, one line each.
    """

    def __init__(self, tracker: Tracker, reader: RunReader, sweep_run_id: str) -> None:
        self._tracker, self._reader, self._sweep_run_id = tracker, reader, sweep_run_id
        self._runs: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._spaces: dict[str, Space] = {}
        self.remarks: dict[str, str] = {}

    def write(self, trial: TrackedTrial) -> None:
        """Write everything of a trial that the store lacks.

        Raises:
            Exception: The error of MLflow, if the store cannot be reached or refuses the request.
        """
        run_id = self._run(trial)
        if trial.failures != self._failures.get(trial.trial_id, 0):
            tags = {"failures": str(trial.failures), "last_error": trial.last_error}
            self._tracker.set_tags(run_id, tags)
            self._failures[trial.trial_id] = trial.failures
        logged = self._tracker.logged_epochs(run_id, trial.history)
        for position, metrics in enumerate(trial.history):
            if (step := int(metrics["epoch"])) not in logged:
                time_ms = self._time(run_id, trial, position)
                self._tracker.log_epoch(run_id, step, metrics, time_ms)
        if trial.end is None:
            return
        if trial.end.state != "KILLED":
            self._write_files(run_id, trial)
        end = trial.end
        self._tracker.finish(
            run_id, end.state, error=end.error, outcome=end.outcome, reason=end.reason
        )
        self._runs.pop(trial.trial_id)  # if the trial continues after all, its run is reopened

    def forget(self) -> None:
        """Clear the cache of the store: after a failed request it may be wrong."""
        self._runs.clear()
        self._failures.clear()
        self._tracker.forget()

    def knows(self, trial: TrackedTrial, runs: Sequence[TrackedRun]) -> bool:
        """Return whether the store has a trial that has ended, exactly once and with that end.

        Args:
            trial: The trial.
            runs: The runs of the trial in the store.
        """
        return (
            len(runs) == 1
            and trial.end is not None
            and runs[0].state == trial.end.state
            and runs[0].epoch == trial.last_metrics
        )

    def _run(self, trial: TrackedTrial) -> str:
        if trial.trial_id not in self._runs:
            self._runs[trial.trial_id] = self._tracker.trial_run(
                self._sweep_run_id,
                trial.trial_id,
                phase=trial.phase,
                parameters=trial.settings,
                tags=trial.tags,
                parent=self._parent(trial),
                name=trial.name,
            )
        return self._runs[trial.trial_id]

    def _parent(self, trial: TrackedTrial) -> str | None:
        """Return the run under which a trial's run is nested; None for that of the sweep."""
        if trial.parent_run is not None and self._reader.has_run(trial.parent_run):
            return trial.parent_run
        if trial.parent is None:
            return None
        found = self._reader.find_trial(self._sweep_run_id, trial.parent)
        return None if found is None else found.run_id

    def _time(self, run_id: str, trial: TrackedTrial, position: int) -> int:
        if position < len(trial.times):
            return round(trial.times[position] * 1000)
        # Recorded by a version that stored no times: any time that is always the same will do.
        return self._reader.started_ms(run_id) + position

    def _write_files(self, run_id: str, trial: TrackedTrial) -> None:
        if trial.genotype is not None:
            try:
                genotype = Genotype.from_yaml(trial.genotype)
                if trial.space not in self._spaces:
                    self._spaces[trial.space] = load_space(trial.space)
                self._tracker.log_genotype(run_id, genotype, self._spaces[trial.space])
            except TuneNasError as error:
                self.remarks[trial.trial_id] = f"the genotype of {trial.name}: {one_line(error)}"
        for name, content in trial.artifacts().items():
            if name == _ALPHAS:
                self._tracker.log_alphas(run_id, content)
                continue
            self._tracker.log_artifact(run_id, content, name)
            if name.endswith(TABLE_SUFFIX):
                self._draw(run_id, content, name)

    def _draw(self, run_id: str, content: bytes, name: str) -> None:
        """Log the figure of the table of an analysis; nothing if it has nothing to draw."""
        try:
            table = AnalysisTable.from_json(content.decode(), name)
            figure = figures.render(figures.plot_analysis(table), "png")
        except (TuneNasError, ValueError):
            return
        self._tracker.log_artifact(run_id, figure, f"{name.removesuffix(TABLE_SUFFIX)}.png")
