"""Finding the genotype given to a command: as text, by name, in a file or of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tune_nas import tracking
from tune_nas.cli.option_values import mlflow_uri
from tune_nas.errors import GenotypeError
from tune_nas.paths import GENOTYPE, is_file, is_uri
from tune_nas.spaces import Genotype
from tune_nas.spaces.notation import Reading, nearest_published, read_genotype, read_name
from tune_nas.sweep.runs.lookup import find_run
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.store_uri import store_exists
from tune_nas.text import brief

_TEXT_SIGNS = ("Genotype(", "|", "\n", "->")
_TEXT_STARTS = ("{", "[", "(")
_FILE_ENDINGS = (".yaml", ".yml", ".json", ".txt", ".log", ".py")


@dataclass(frozen=True)
class GenotypeReference:
    """A genotype and its source.

    Args:
        name: Short name of the source, suitable for a file name.
        run_id: The MLflow run that found it; None if it was not named by a run.
        sweep: The sweep in the storage that found it; empty if it was not named by a sweep.
        record: Its search in that sweep.
        assumed: Whether its text does not name the space, so that the default one is assumed.
    """

    genotype: Genotype
    name: str
    run_id: str | None = None
    sweep: str = ""
    record: Record | None = None
    assumed: bool = False


def find_genotype(text: str, storage: str, mlflow: str | None) -> GenotypeReference:
    """Return the genotype of a file or URI, of a text, of a published name or of a run.

    Args:
        text: ``FILE`` or ``FILE:NAME``, the genotype itself, a published name, a number of
            NAS-Bench-201, or the name of a run.
        storage: Folder or URI in which runs are stored.
        mlflow: URI of the MLflow store; None for that of the storage.

    Raises:
        GenotypeError: If it is none of these, not a genotype, or both a run and a published name.
        StorageError: If no run has this name.
    """
    if is_file(text):
        return _of_file(text)
    if any(sign in text for sign in _TEXT_SIGNS) or text.lstrip().startswith(_TEXT_STARTS):
        return _read(text, "genotype")
    if is_uri(text):
        return _of_uri(text)
    path, colon, pick = text.rpartition(":")
    if colon and is_file(path):
        return _of_file(path, pick)
    if (path or text).lower().endswith(_FILE_ENDINGS):
        raise GenotypeError(f"there is no genotype file '{brief(path or text)}'")
    return _named(text, storage, mlflow)


def _read(text: str, name: str, pick: str | None = None, where: str = "") -> GenotypeReference:
    try:
        reading = read_genotype(text, pick)
        return GenotypeReference(Genotype.of_reading(reading), name, assumed=reading.assumed)
    except GenotypeError as error:
        raise GenotypeError(f"{where}: {error}" if where else str(error)) from error


def _of_file(path: str, pick: str | None = None) -> GenotypeReference:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GenotypeError(f"{path}: cannot be read: {error}") from error
    return _read(text, pick or Path(path).stem, pick, path)


def _of_uri(uri: str) -> GenotypeReference:
    for file, pick in ((uri, None), uri.rpartition(":")[::2]):
        content = _read_uri(file)
        if content is not None:
            return _read(content, pick or Path(file).stem, pick, file)
    raise GenotypeError(f"{uri}: there is no such file")


def _read_uri(uri: str) -> str | None:
    folder, _, name = uri.rpartition("/")
    return Storage(folder).read(name) if is_uri(uri) and name else None


def _named(name: str, storage: str, mlflow: str | None) -> GenotypeReference:
    """Return the genotype of a run, or the one published under a name or number."""
    known, refused = _published(name)
    is_run = _is_run(name, storage)
    if known is None and (refused is None or is_run):
        return _of_record(name, storage) or _of_run(name, storage, mlflow)
    if known is None:
        raise refused or AssertionError
    if is_run:
        kind = "nasbench201" if name.isdecimal() else "published"
        raise GenotypeError(
            f"'{name}' is a run in {storage} and a published genotype; "
            f"write {kind}:{name}, or name the run's search, e.g. {name}/search-00000"
        )
    return GenotypeReference(Genotype.of_reading(known), re.sub(r"\W+", "-", name))


def _published(name: str) -> tuple[Reading | None, GenotypeError | None]:
    """Return the genotype published under a name, or why a cell of another space is rejected."""
    try:
        return read_name(name), None
    except GenotypeError as error:
        return None, error


def _is_run(name: str, storage: str) -> bool:
    return find_run(name, storage).exists


def _of_record(name: str, storage: str) -> GenotypeReference | None:
    record = find_run(name, storage, retraining=True).record
    if record is None:
        return None
    if record.genotype is None:
        raise GenotypeError(f"'{name}' has no genotype yet")
    short, sweep = name.replace("/", "-"), name.partition("/")[0]
    return GenotypeReference(Genotype.parse(record.genotype), short, sweep=sweep, record=record)


def _of_run(name: str, storage: str, mlflow: str | None) -> GenotypeReference:
    uri = mlflow_uri(mlflow, storage)
    if not store_exists(uri):
        near = nearest_published(name)
        hint = f"; did you mean the published '{near}'?" if near else ""
        raise GenotypeError(
            f"'{name}' is neither a genotype nor a file, and there are no runs yet{hint}"
        )
    run = find_run(name, storage, uri, retraining=True).tracked
    assert run is not None  # the storage has no record of it
    text = tracking.RunReader(uri).read_artifact(run.run_id, GENOTYPE).decode()
    short = re.sub(r"[^\w.=+-]+", "-", run.name).strip("-.")
    return GenotypeReference(Genotype.parse(text), short, run.run_id)
