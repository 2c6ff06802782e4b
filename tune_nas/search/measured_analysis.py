"""An analysis of a checkpoint of a search, finished or not, as a task of one epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tune_nas.analysis_table import AnalysisTable
from tune_nas.checkpoint import State, load_state
from tune_nas.checkpoint_folder import fetched
from tune_nas.config import TrialConfig
from tune_nas.errors import TuneNasError
from tune_nas.learner import DECISIONS
from tune_nas.library import stored_trial
from tune_nas.paths import ANALYSIS
from tune_nas.runtime import peak_memory_mib, reset_peak_memory, resolve_device
from tune_nas.search.analyses import AnalysisProbe, load_analysis
from tune_nas.search.checkpoint_analysis import CheckpointAnalysis
from tune_nas.search.metrics import Metrics
from tune_nas.search.search import STATE_FILE as SEARCH_STATE
from tune_nas.search.search import Search

_HOW_OFTEN = ("kind", "every")  # keys that do not change what an epoch's measurement gives


class MeasuredAnalysis(CheckpointAnalysis):
    """The analysis of a checkpoint: its only epoch loads the search and measures it once.

    If the search had the analysis among its probes, with the same options, the table also has the
    epochs that the probe measured.

    Args:
        trial: The trial of the search; ``start_from`` is any of its checkpoints, and
            ``analysis.kind`` the kind.

    Raises:
        ConfigError: If there is no checkpoint, or the kind cannot be imported.
    """

    def __init__(self, trial: TrialConfig) -> None:
        super().__init__(trial)
        load_analysis(trial.analysis.kind)
        self._table: AnalysisTable | None = None

    @property
    def epoch(self) -> int:
        """1 if the checkpoint has been measured, else 0."""
        return 0 if self._table is None else 1

    @property
    def done(self) -> bool:
        """Whether the checkpoint has been measured."""
        return self._table is not None

    def run_epoch(self, on_step: Callable[[int, int], None] | None = None) -> Metrics:
        """Measure the checkpoint and return the metrics of the table.

        Args:
            on_step: Not called: there are no steps.

        Raises:
            TuneNasError: If it has been measured.
            CheckpointError: If the checkpoint is damaged, or of another trial.
        """
        if self.done:
            raise TuneNasError("the analysis is over: the checkpoint is measured")
        start = time.perf_counter()
        reset_peak_memory(resolve_device(self.trial.runtime.device))
        probe, search = _load_probe(self.trial)
        table = probe.table(search)
        assert table is not None
        self._table = replace(table, checkpoint=str(self.trial.start_from))
        return {
            "epoch": self.epoch,
            **table.metrics,
            "memory_mib": peak_memory_mib(search.device),
            "seconds": time.perf_counter() - start,
        }

    def table(self) -> AnalysisTable | None:
        """Return the table; None before the checkpoint is measured."""
        return self._table

    def remarks(self) -> dict[str, str]:
        """Return the metrics as text."""
        text = "" if self._table is None else self._table.sentence()
        return {DECISIONS: text} if text else {}

    def artifacts(self) -> dict[str, str]:
        """Return the table as JSON and as CSV."""
        table = self._table
        if table is None:
            return {}
        return {ANALYSIS: table.to_json(), "analysis.csv": table.to_csv()}

    def measures(self) -> State:
        """Return the table, if there is one, as text."""
        return {"table": None if self._table is None else self._table.to_json()}

    def load_measures(self, state: State) -> None:
        """Restore it."""
        text = state["table"]
        self._table = None if text is None else AnalysisTable.from_json(text, "its table")


def check_analysis(trial: TrialConfig) -> None:
    """Load the search of an analysis without measuring it.

    Args:
        trial: The trial of the analysis.

    Raises:
        ConfigError: If the kind cannot be imported, or does not fit the search.
        CheckpointError: If the checkpoint is damaged, or of another trial.
    """
    _load_probe(MeasuredAnalysis(trial).trial)


def _load_probe(trial: TrialConfig) -> tuple[AnalysisProbe, Search]:
    """Return the search as it was at the checkpoint, and the analysis.

    The analysis has the epochs of the search's own probe of this kind, if its options are the same.
    """
    kind = load_analysis(trial.analysis.kind)
    search = Search(trial.model_copy(update={"start_from": None}))
    with fetched(str(trial.start_from)) as local:
        search.load(local)
        state = load_state(local, name=SEARCH_STATE)
    probe = kind(search)
    own = trial.analysis.to_dict()
    then = stored_trial(state["trial"], str(trial.start_from)).analysis.to_dict()
    states = dict(state.get("probes", ()))  # missing in older checkpoints
    same = all(own[key] == then[key] for key in own if key not in _HOW_OFTEN)
    if same and trial.analysis.kind in states:
        probe.load_state_dict(states[trial.analysis.kind])
    return probe, search
