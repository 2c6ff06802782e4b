"""Finding a run by whatever a user types: its name, a trial, an MLflow run or a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tune_nas.checkpoint_folder import is_state
from tune_nas.errors import StorageError
from tune_nas.paths import ARTIFACTS, DATABASE, STATE, SWEEP, expanded, is_folder, is_uri
from tune_nas.shipped import nearest
from tune_nas.sweep.runs.checkpoints import list_checkpoints
from tune_nas.sweep.runs.plan import REMOVED, State, read_state
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.record_files import FOLDER
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import brief, printable
from tune_nas.tracking import RunReader
from tune_nas.tracking.tracked_run import TrackedRun


@dataclass(frozen=True)
class RunReference:
    """The run or the checkpoints that a user's text names; the run need not exist.

    Args:
        text: The text.
        storage: Folder or URI in which runs are stored.
        checkpoints: If the text is the folder or URI of a checkpoint, or of those of a trial: the
            checkpoints, newest first. The other fields are then empty.
        name: Name of a run in the storage.
        trial_id: Id of one of its trials; empty if none is named.
        tracked: The MLflow run, if only MLflow knows the text; name and trial are then its own.
        retraining: Whether it may name a retraining run.
    """

    text: str
    storage: str
    checkpoints: tuple[str, ...] = ()
    name: str = ""
    trial_id: str = ""
    tracked: TrackedRun | None = None
    retraining: bool = False

    @property
    def exists(self) -> bool:
        """Whether the storage has an entry of that name."""
        return self.name in Storage(self.storage).names()

    @property
    def near(self) -> str:
        """``; did you mean '…'?`` if the storage has no such run, but one with a near name."""
        names = _run_names(self.storage)
        return "" if self.name in names else nearest(self.name, names)

    @property
    def state(self) -> State | None:
        """State of the run; None if it is missing or damaged, or a trial is named."""
        return None if self.trial_id else read_state(self._folder)

    @cached_property
    def record(self) -> Record | None:
        """The named trial, or the run's only search; None if the run has no such trial at all.

        Raises:
            StorageError: If the run has several searches or is an analysis, or the storage cannot
                be reached.
        """
        records = self.records("search", "repeat")
        if self.retraining and (not records or self.trial_id.startswith("retrain")):
            records = self.records("retrain")
        if not records:
            if self._folder.names(f"analysis/{FOLDER}"):
                raise StorageError(_is_analysis(self.name))
            return None
        if not self.trial_id and len(records) == 1:
            return next(iter(records.values()))
        if self.trial_id not in records:
            none = f", none of which is '{self.trial_id}'" if self.trial_id else ""
            raise StorageError(
                f"'{self.name}' has {len(records)} searches{none}; name one, e.g. "
                f"{self.name}/{next(iter(records))}"
            )
        return records[self.trial_id]

    def records(self, *phases: str) -> dict[str, Record]:
        """Return the trials of some phases of the named run, by id; empty if there are none.

        Raises:
            StorageError: If a record cannot be read; names the file.
        """
        return {
            record.job.id: record for phase in phases for record in Records(self._folder, phase)
        }

    @property
    def _folder(self) -> Storage:
        return Storage(self.storage).within(self.name)


def find_run(
    text: str,
    storage: str,
    mlflow: str | None = None,
    *,
    checkpoints: bool = False,
    retraining: bool = False,
) -> RunReference:
    """Resolve a text to checkpoints, else to a run in the storage, else to an MLflow run.

    Args:
        text: The name of a run, with the trial's id if it has several, e.g.
            ``lambda/search-00003``; the id, trial id or name of an MLflow run; or the folder or
            URI of checkpoints.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of an MLflow store, which is asked if the storage has no trial of that name;
            None to ask none: a run that is not in the storage is then returned unchecked.
        checkpoints: Whether the text may be a folder or URI of checkpoints.
        retraining: Whether it may name a retraining run.

    Raises:
        StorageError: If MLflow is asked and has no such run, if several trials have that name, if
            the run is an analysis, or a storage cannot be reached.
    """
    if checkpoints and (found := _checkpoints(text)):
        return RunReference(text, storage, found)
    name, _, trial_id = text.partition("/")
    stored = RunReference(text, storage, (), name, trial_id, retraining=retraining)
    if mlflow is None or stored.record is not None:
        return stored
    try:
        run = RunReader(mlflow).find_run(text)
    except StorageError as error:
        raise StorageError(f"{error}{stored.near}") from error
    if run.phase == "analysis":
        raise StorageError(_is_analysis(run.sweep))
    return RunReference(text, storage, (), run.sweep, run.trial_id or "", run, retraining)


def existing_run(text: str, storage: str, *, trial: bool = False) -> RunReference:
    """Return the run of a storage that a text names.

    Args:
        text: The name of the run.
        storage: Folder or URI in which runs are stored.
        trial: Whether the text may also name one of its trials, e.g. ``lambda/search-00003``; the
            trial need not exist.

    Raises:
        StorageError: If the storage has no such run; suggests a near name.
    """
    found = find_run(text, storage)
    files = Storage(storage).names(found.name) if found.exists else ()
    is_run = not found.name.startswith(REMOVED) and bool({STATE, SWEEP} & set(files))
    if not is_run or (found.trial_id and not trial):
        root = Storage(storage).root
        name = printable(brief(text))
        hint = found.near or "; see `tune-nas runs`"
        raise StorageError(f"'{name}' is not a run in {root}{hint}")
    return found


def _run_names(storage: str) -> list[str]:
    """Return the names in a storage that runs may have."""
    own = (DATABASE, ARTIFACTS)
    return [n for n in Storage(storage).names() if n not in own and not n.startswith(REMOVED)]


def _checkpoints(text: str) -> tuple[str, ...]:
    """Return the checkpoint, or the checkpoints of a trial, that are in a folder or URI."""
    if not (is_uri(text) or is_folder(expanded(text))):
        return ()
    is_checkpoint = any(is_state(name) for name in Storage(text).names())
    return (text,) if is_checkpoint else tuple(list_checkpoints([text]))


def _is_analysis(name: str) -> str:
    return f"'{name}' is the analysis of a search, not a search; name the search itself"
