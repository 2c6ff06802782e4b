"""One trial in this process: its epochs, its checkpoints, its retries after a failure."""

from __future__ import annotations

import os
import shutil
import traceback
from datetime import datetime
from pathlib import Path

from tune_nas.errors import StorageError, TuneNasError
from tune_nas.files import make_folder
from tune_nas.learner import DECISIONS
from tune_nas.paths import CHECKPOINT
from tune_nas.sweep.background_tracking import BackgroundTracking
from tune_nas.sweep.interruption import Interruption
from tune_nas.sweep.phase_runner import TrialTracking
from tune_nas.sweep.progress_display import ProgressDisplay
from tune_nas.sweep.ray.endings import fails_again, summarize_error
from tune_nas.sweep.reports_file import Report
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.checkpoints import list_checkpoints, number_of
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.trial_epochs import CHECKPOINTS_KEPT, TrialEpochs, TrialSetup
from tune_nas.tasks import Task

_PARTIAL = ".partial"  # a checkpoint that is being written; it is renamed when it is complete
_ERRORS = "error.txt"


class LocalTrial:
    """One trial, run in this process with the same events and files as under Ray.

    Args:
        setup: The trial, its folder, and where it continues.
        task: Task that builds the learner; None for the task that the job names.
        records: Records of the phase.
        recorder: Writes the results to them.
        tracking: MLflow runs of the sweep.
        interruption: Raised between two steps.
        display: Shows the progress; None for a quiet run.
    """

    def __init__(
        self,
        setup: TrialSetup,
        task: Task | None,
        records: Records,
        recorder: ResultRecorder,
        tracking: TrialTracking,
        interruption: Interruption,
        display: ProgressDisplay | None,
    ) -> None:
        self._setup, self._task = setup, task
        self._id, self._folder = str(setup["job"]["id"]), Path(setup["folder"])
        self._records, self._recorder, self._tracking = records, recorder, tracking
        self._interruption, self._display = interruption, display

    def run(self, max_failures: int) -> Exception | None:
        """Run the trial to its end, and after a failure again from its newest checkpoint.

        Args:
            max_failures: Maximum number of retries.

        Returns:
            The error with which it failed for good; None if it has finished.

        Raises:
            KeyboardInterrupt: After a signal.
            TuneNasError: If a result cannot be recorded.
        """
        # Any files in it are of an earlier trial, whose record was removed to run it again.
        shutil.rmtree(self._folder, ignore_errors=True)
        make_folder(self._folder)
        self._tracking.update(self._records, self._id)
        failures = 0
        while True:
            error = self._attempt()
            if error is None:
                return None
            failures += 1
            self._note_error(error, failures)
            if fails_again(error) or failures > max_failures:
                return error
            self._recorder.retry(self._id, failures, error_line(error))
            self._tracking.update(self._records, self._id)

    def _attempt(self) -> Exception | None:
        """Run the trial from its newest checkpoint; return the error of its own code or files."""
        epochs = TrialEpochs()
        epochs.setup(self._setup, self._task)
        try:
            newest = next(list_checkpoints([str(self._folder)]), None)
            if newest is not None:
                epochs.load_checkpoint(newest)
        except Exception as error:
            return error
        while True:
            self._between_steps()
            try:
                report = epochs.step(self._on_step)
            except Exception as error:
                self._check_store()  # its error is not one of the trial
                return error
            if self._recorder.is_asked_to_stop(self._id):
                report = {**report, "done": True}
            self._report(report)
            try:
                self._save(epochs)
            except Exception as error:
                return error
            if report["done"]:
                return None

    def _report(self, report: Report) -> None:
        """Record a result, then track and show it."""
        self._recorder.add(self._id, report)
        self._tracking.update(self._records, self._id)
        if self._display is not None and report.get(DECISIONS):
            self._display.decided(self._id, int(report["epoch"]), report[DECISIONS])

    def _on_step(self, step: int, steps: int) -> None:
        self._between_steps()

    def _between_steps(self) -> None:
        """Show the progress, and end the session after a signal: checkpoints are complete here.

        Raises:
            KeyboardInterrupt: After a signal.
            StorageError: If the MLflow store, opened meanwhile, cannot be used.
        """
        self._check_store()
        if self._display is not None:
            if self._interruption.pressed:
                self._display.stopping()
            else:
                self._display.refresh()
        self._interruption.check()

    def _check_store(self) -> None:
        """Raise the error of an MLflow store that is opened meanwhile and cannot be used.

        Raises:
            StorageError: If it cannot.
        """
        if isinstance(self._tracking, BackgroundTracking):
            self._tracking.check()

    def _save(self, epochs: TrialEpochs) -> None:
        """Write the next checkpoint of the folder, and remove those that are not kept.

        Raises:
            StorageError: If it cannot be written; names the file.
        """
        numbers = [number_of(path.name) for path in self._folder.iterdir()]
        known = sorted(number for number in numbers if number is not None)
        number = known[-1] + 1 if known else 0
        partial = self._folder / _PARTIAL
        try:
            shutil.rmtree(partial, ignore_errors=True)  # of an attempt that failed
            partial.mkdir()
            epochs.save_checkpoint(str(partial))
            partial.rename(self._folder / _name(number))
        except TuneNasError:
            raise
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            where = error.filename or partial
            raise StorageError(f"checkpoint cannot be written: {where}: {reason}") from error
        for old in known[: len(known) + 1 - CHECKPOINTS_KEPT]:
            shutil.rmtree(self._folder / _name(old), ignore_errors=True)

    def _note_error(self, error: Exception, failures: int) -> None:
        """Append a failure with its traceback to the trial's file of errors."""
        when = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        text = "".join(traceback.format_exception(error))
        try:
            with (self._folder / _ERRORS).open("a", encoding="utf-8") as file:
                file.write(f"Failure # {failures} (occurred at {when})\n{text}\n")
        except OSError:  # e.g. a full disk; the record has the error, too
            return


def error_line(error: Exception) -> str:
    """Return an error as one line, its type and message."""
    return summarize_error("".join(traceback.format_exception(error)))


def _name(number: int) -> str:
    return f"{CHECKPOINT}{number:06d}"
