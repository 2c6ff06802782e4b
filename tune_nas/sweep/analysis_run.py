"""The analysis of a search as a run: started, found again and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tune_nas.config import TrialConfig
from tune_nas.config.analysis_config import STRENGTH
from tune_nas.config.analysis_keys import check_analysis_keys
from tune_nas.config.effects import check_read
from tune_nas.errors import ConfigError, StorageError
from tune_nas.library import with_overrides
from tune_nas.paths import ANALYSIS
from tune_nas.sweep.analysis_results import AnyTable, decode_analysis
from tune_nas.sweep.failed import has_failed
from tune_nas.sweep.options import RunOptions
from tune_nas.sweep.outcome import SweepOutcome
from tune_nas.sweep.runner import start_analysis
from tune_nas.sweep.runs.origin import find_origin
from tune_nas.sweep.runs.plan import State, read_plan, read_state, read_states
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import existing_store
from tune_nas.sweep.trial_values import portable
from tune_nas.tasks import Tasks
from tune_nas.tracking import RunReader
from tune_nas.user_code import declared_reads


@dataclass(frozen=True)
class AnalysisRequest:
    """An analysis to run.

    Args:
        trial: The trial of the search, with ``start_from`` and the section ``analysis`` set.
        parent_run: MLflow run of the search; None if there is none in the store.
    """

    trial: TrialConfig
    parent_run: str | None = None

    @property
    def name(self) -> str:
        """Usual name of the run, e.g. ``milenas-analysis`` or ``milenas-gradient-bias``."""
        kind = self.trial.analysis.kind
        named = "analysis" if kind == STRENGTH else kind.rpartition(":")[2]
        return f"{self.trial.name}-{named}"


@dataclass(frozen=True)
class StoredAnalysis:
    """An analysis in the storage.

    Args:
        name: Name of the run.
        finished: Whether its table is complete.
    """

    name: str
    finished: bool


def run_analysis(
    run: str,
    edges: Sequence[str],
    options: RunOptions,
    name: str | None = None,
    *,
    kind: str | None = None,
    overrides: Mapping[str, object] | None = None,
    tasks: Tasks | None = None,
) -> SweepOutcome:
    """Analyze a search, tracked and resumable: by default, the strength of operations on edges.

    Args:
        run: The search, named as for `request_analysis`. It must be finished for the kinds
            ``strength`` and ``discretization``; the others use its newest checkpoint.
        edges: The edges, each as ``CELL:EDGE``, e.g. ``normal:0->2``; empty for other kinds.
        options: How it is executed.
        name: Folder and MLflow name; None for that of the trial with ``-analysis`` or the kind.
        kind: A value of ``analysis.kind``, e.g. ``gradient-bias``; None for ``strength``.
        overrides: Further dotted keys to set in the trial, e.g. ``analysis.epochs``.
        tasks: Tasks by name that replace the shipped ones.

    Returns:
        The outcome; its attribute ``analysis`` is the table.

    Raises:
        ConfigError: If an edge does not exist, or a key has no effect on an analysis.
        CheckpointError: If the checkpoint is not the end of a search.
        NameTakenError: If the name exists.
        StorageError: If no search is called ``run``, or the storage cannot be used.
    """
    changes = {"analysis.kind": STRENGTH if kind is None else kind, **(overrides or {})}
    if edges or changes["analysis.kind"] == STRENGTH:
        changes["analysis.edges"] = list(edges)
    request = request_analysis(run, options.storage, options.mlflow, changes)
    return start_analysis(
        request.trial, options, name or request.name, parent_run=request.parent_run, tasks=tasks
    )


def request_analysis(
    run: str, storage: str, mlflow: str | None, changes: Mapping[str, object]
) -> AnalysisRequest:
    """Return the analysis of a search.

    Args:
        run: The search: its name, ``NAME/TRIAL``, an MLflow run, or the folder of a checkpoint.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of the MLflow store; None for that of the storage.
        changes: Dotted keys to set in the trial of the search.

    Raises:
        ConfigError: If a key has no effect on an analysis, or a value is not valid.
        StorageError: If no search has this name.
        CheckpointError: If none of its checkpoints is intact.
    """
    uri = existing_store(storage, mlflow)
    origin = find_origin(run, storage, uri)
    check_read(changes, "analysis")
    keys = {**changes, "start_from": origin.checkpoint}
    trial = with_overrides(origin.trial, keys, f"the trial of '{run}'")
    check_analysis_keys(changes, trial.analysis.kind, declared_reads)
    return AnalysisRequest(trial, _search_run(origin.checkpoint, storage, uri))


def find_analysis(
    trial: TrialConfig, storage: str, name: str | None = None
) -> StoredAnalysis | None:
    """Return the run with the same analysis, finished or not; None if there is none.

    Args:
        trial: The trial of the analysis.
        storage: Folder or URI in which runs are stored.
        name: The run to compare; None for all runs of the storage.
    """
    root = Storage(storage)
    wanted = portable(trial, str(Path.cwd()))
    for candidate, state in read_states(root, None if name is None else [name]):
        if state is None or state.kind != "analysis":
            continue
        folder = root.within(candidate)
        with suppress(StorageError, ConfigError):  # damaged, or of another version
            if read_plan(folder).bases.first == wanted:
                return StoredAnalysis(candidate, _is_complete(folder, state))
    return None


def read_analysis(folder: str | Path) -> AnyTable:
    """Read the table of a finished analysis.

    Args:
        folder: Folder or URI of the run, e.g. ``runs/milenas-analysis``.

    Raises:
        StorageError: If it is not the folder of a finished analysis, or the table is damaged.
    """
    storage = Storage(folder)
    text = storage.read(ANALYSIS)
    state = read_state(storage)
    if text is None or state is None or not _is_complete(storage, state):
        raise StorageError(f"{storage.root} has no finished analysis")
    return decode_analysis(text, f"{storage.root}/{ANALYSIS}")


def _is_complete(folder: Storage, state: State) -> bool:
    """Return whether an analysis has ended, and has not failed."""
    return state.status != "running" and not has_failed(folder)


def _search_run(checkpoint: str, storage: str, uri: str | None) -> str | None:
    """Return the MLflow run of the search that a checkpoint in a storage belongs to."""
    root = f"{Storage(storage).root}/"
    parts = checkpoint.removeprefix(root).split("/")  # sweep, phase, trial, checkpoint
    if uri is None or not checkpoint.startswith(root) or len(parts) < 3:
        return None
    sweep, trial = parts[0], parts[2].partition(".")[0]
    with suppress(StorageError):  # the analysis does not need the run
        return RunReader(uri).run_of(sweep, trial)
    return None
