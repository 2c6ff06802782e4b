"""Showing the progress of a phase on stderr: a live table on a terminal, or lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.phase_progress import PhaseProgress
from tune_nas.sweep.phases import Phase, phases_of
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sharing.sharing_source import SharingSource
from tune_nas.sweep.sources import Source

_REDRAW = 0.5  # seconds
_SILENCE = 300.0  # seconds; after them a pipe gets a line about the trials that run


class ProgressDisplay:
    """Shows the progress of a phase on stderr: a live table, or a line for each end.

    Args:
        progress: The progress of the phase.
        live: Show a table that is redrawn, for a terminal; otherwise lines.
        clock: Returns a time in seconds.
    """

    def __init__(
        self, progress: PhaseProgress, *, live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._progress, self._clock = progress, clock
        self._live: Live | None = None
        self._wants_live = live
        self._printed = self._drawn = clock()
        if not live:
            self._print(progress.heading())

    def decided(self, trial_id: str, epoch: int, decisions: str) -> None:
        """Print a line about the decisions of an epoch."""
        line = self._progress.decision_line(trial_id, epoch, decisions)
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        elif not self._wants_live:
            self._print(line)

    def refresh(self) -> None:
        """Redraw the table, at most twice a second; print a line after minutes without one."""
        if not self._wants_live:
            if self._clock() - self._printed >= _SILENCE:
                self._print(self._progress.running_line())
            return
        if self._live is None:
            self._live = Live(
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=2,
                redirect_stdout=False,
            )
            self._live.start()
        elif self._clock() - self._drawn < _REDRAW:
            return
        self._drawn = self._clock()
        self._live.update(self._progress.table())  # here: another thread would read half a change

    def ended(self, trial_id: str) -> None:
        """Print a line for a trial that ended."""
        if not self._wants_live:
            self._print(self._progress.end_line(trial_id))

    def stopping(self) -> None:
        """Say that a signal ends the session, and where its trials will resume."""
        self.close()
        self._print(self._progress.stopping_line())

    def close(self) -> None:
        """Release the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, text: str) -> None:
        self._printed = self._clock()
        print(text, file=sys.stderr, flush=True)


def display_of(
    plan: Plan, phase: Phase, records: Records, source: Source, options: RunOptions
) -> ProgressDisplay | None:
    """Return the display of a phase; None for a quiet run.

    Args:
        plan: The sweep.
        phase: The phase, one of those of the sweep.
        records: Records of the phase.
        source: The source of its trials.
        options: Whether and how to show it.
    """
    if options.quiet:
        return None
    names = [each.name for each in phases_of(plan)]
    progress = PhaseProgress(
        *(records, source.total, plan.sweep.search_metric),
        mode="max" if phase.task == "retrain" else plan.sweep.mode,  # of its test accuracy
        place=(names.index(phase.name) + 1, len(names)),
        most=(lambda: source.total) if source.is_bound else None,
        ahead=source.epochs_ahead if isinstance(source, SharingSource) else None,
    )
    return ProgressDisplay(progress, live=options.live)
