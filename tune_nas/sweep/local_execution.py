"""Running the jobs of a phase in this process, one after another, without Ray.

The events of a trial come in the order in which Ray Tune has them, so that records, checkpoints
and MLflow runs are the same, and a run that was begun in one way can be resumed in the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tune_nas.sweep.local_trial import LocalTrial, error_line
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phase_runner import MakeRunner, PhaseRunner
from tune_nas.sweep.phases import Phase
from tune_nas.sweep.process_state import blas_threads
from tune_nas.sweep.progress_display import ProgressDisplay, display_of
from tune_nas.sweep.ray.endings import fails_again
from tune_nas.sweep.result_recorder import ResultRecorder
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stop_requests import StopRequests
from tune_nas.sweep.sources import Source
from tune_nas.sweep.sweep_objectives import needed_metrics
from tune_nas.sweep.trial_session import begin_session
from tune_nas.tasks import Tasks


@contextmanager
def local_runner(plan: Plan, options: RunOptions, tasks: Tasks) -> Iterator[MakeRunner]:
    """Provide the function that makes a `LocalPhaseRunner` within the block.

    Args:
        plan: The sweep, in a local storage.
        options: How trials run.
        tasks: Tasks that replace those that jobs name.
    """
    yield partial(LocalPhaseRunner, plan, options, tasks)


class LocalPhaseRunner(PhaseRunner):
    """Runs the trials of a phase in this process; the sweep is in a local storage."""

    def _run(self, phase: Phase, source: Source, records: Records) -> None:
        display = display_of(self._plan, phase, records, source, self._options)
        try:
            with self._interruption.deferred():
                self._run_jobs(phase, source, records, display)
        finally:
            if display is not None:
                display.close()

    def _run_jobs(
        self, phase: Phase, source: Source, records: Records, display: ProgressDisplay | None
    ) -> None:
        recorder = ResultRecorder(
            records,
            *needed_metrics(self._plan.sweep),
            requests=StopRequests(self._plan.storage),
        )
        while (job := source.next()) is not None:
            _, setup = begin_session(
                *(records, job, self._options.workers, source.sharing, self._reuse)
            )
            trial = LocalTrial(
                *(setup, self._tasks.get(phase.task), records, recorder),
                *(self._tracking, self._interruption, display),
            )
            with blas_threads():
                error = trial.run(self._options.max_failures)
            source.tell(records.end(job.id, error=None if error is None else "the trial failed"))
            if error is not None:
                recorder.fail(job.id, error_line(error), lasting=fails_again(error))
            if display is not None:
                display.ended(job.id)  # before its figures are drawn, which takes seconds
            self._tracking.update(records, job.id)
