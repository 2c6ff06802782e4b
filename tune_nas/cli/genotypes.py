"""Finding the genotype given to a command: as text, by name, in a file or of a run."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tune_nas.cli import shared_options as options
from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.paths import GENOTYPE, is_file, is_uri

if TYPE_CHECKING:
    from tune_nas.config import TrialConfig
    from tune_nas.spaces import Genotype, Space
    from tune_nas.spaces.notation import Reading
    from tune_nas.sweep.runs.records import Record

_TEXT_SIGNS = ("Genotype(", "|", "\n", "->")
_TEXT_STARTS = ("{", "[", "(")


@dataclass(frozen=True)
class Found:
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


def find_genotype(text: str, storage: str, mlflow: str | None) -> Found:
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
    return _named(text, storage, mlflow)


def _read(text: str, name: str, pick: str | None = None, where: str = "") -> Found:
    from tune_nas.spaces import Genotype
    from tune_nas.spaces.notation import read_genotype

    try:
        reading = read_genotype(text, pick)
        return Found(Genotype.of_reading(reading), name, assumed=reading.assumed)
    except GenotypeError as error:
        raise GenotypeError(f"{where}: {error}" if where else str(error)) from error


def _of_file(path: str, pick: str | None = None) -> Found:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GenotypeError(f"{path}: cannot be read: {error}") from error
    return _read(text, pick or Path(path).stem, pick, path)


def _of_uri(uri: str) -> Found:
    for place, pick in ((uri, None), uri.rpartition(":")[::2]):
        content = _read_uri(place)
        if content is not None:
            return _read(content, pick or Path(place).stem, pick, place)
    raise GenotypeError(f"{uri}: there is no such file")


def _read_uri(uri: str) -> str | None:
    from tune_nas.sweep.runs.storage import Storage

    folder, _, name = uri.rpartition("/")
    return Storage(folder).read(name) if is_uri(uri) and name else None


def _named(name: str, storage: str, mlflow: str | None) -> Found:
    """Return the genotype of a run, or the one published under a name or number."""
    from tune_nas.spaces import Genotype

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
            f"write {kind}:{name}, or name the run's search, as {name}/search-00000"
        )
    return Found(Genotype.of_reading(known), re.sub(r"\W+", "-", name))


def _published(name: str) -> tuple[Reading | None, GenotypeError | None]:
    """Return the genotype published under a name, or why a cell of another space is rejected."""
    from tune_nas.spaces.notation import read_name

    try:
        return read_name(name), None
    except GenotypeError as error:
        return None, error


def _is_run(name: str, storage: str) -> bool:
    from tune_nas.sweep.runs.lookup import find_run

    return find_run(name, storage).exists


def space_of(found: Found, space: str | None, storage: str, mlflow: str | None) -> Space:
    """Return the space of a genotype: the given one, that of its run, or the shipped one.

    Raises:
        ConfigError: If its space is not shipped, and no file of the space is given.
    """
    from tune_nas.library import shipped_names
    from tune_nas.spaces import load_space

    if space is not None:
        return load_space(space)
    name = found.genotype.space
    if name not in shipped_names("space"):
        trial = trial_of(found, storage, mlflow)
        name = name if trial is None else trial.space.name
        check_space_is_known(name)
    return load_space(name)


def check_space_is_known(name: str) -> None:
    """Raise a ConfigError that names ``--space`` if a space is neither shipped nor a file."""
    from tune_nas.library import shipped_names

    if name not in shipped_names("space") and not is_file(name):
        raise ConfigError(
            f"the genotype is of space '{name}', which is not a shipped one; "
            "name the file that describes it: --space FILE"
        )


def fit_to_space(found: Found, space: Space) -> Genotype:
    """Return the genotype in the notation of a space.

    If the space keeps every edge, a missing edge becomes ``none``; if the genotype's text does not
    name its space, the genotype is of this one.

    Raises:
        GenotypeError: If the space does not contain it; names those that do if it was assumed.
    """
    genotype = found.genotype.completed(space)
    if found.assumed:
        genotype = replace(genotype, space=space.name)
    try:
        genotype.check(space)
    except GenotypeError as error:
        if not found.assumed or found.genotype.space != space.name:
            raise
        others = _spaces_that_hold(found)
        hint = " or ".join(f"--space {name}" for name in others[:3]) or "--space FILE"
        raise GenotypeError(
            f"{error}; its text names no space, so '{space.name}' is assumed; give {hint}"
        ) from error
    return genotype


def _spaces_that_hold(found: Found) -> list[str]:
    from tune_nas.library import shipped_names
    from tune_nas.spaces import load_space

    names = []
    for name in shipped_names("space"):
        with suppress(GenotypeError):
            space = load_space(name)
            found.genotype.completed(space).check(space)
            names.append(name)
    return names


def _of_record(name: str, storage: str) -> Found | None:
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.runs.lookup import find_run

    record = find_run(name, storage, retraining=True).record
    if record is None:
        return None
    if record.genotype is None:
        raise GenotypeError(f"'{name}' has no genotype yet")
    short, sweep = name.replace("/", "-"), name.partition("/")[0]
    return Found(Genotype.parse(record.genotype), short, sweep=sweep, record=record)


def _of_run(name: str, storage: str, mlflow: str | None) -> Found:
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.runs.lookup import find_run
    from tune_nas.tracking import Tracker

    uri = options.mlflow_uri(mlflow, storage)
    if not options.exists(uri):
        from tune_nas.spaces.notation import nearest_published

        near = nearest_published(name)
        hint = f"; did you mean the published '{near}'?" if near else ""
        raise GenotypeError(
            f"'{name}' is neither a genotype nor a file, and there are no runs yet{hint}"
        )
    run = find_run(name, storage, uri, retraining=True).tracked
    assert run is not None  # the storage has no record of it
    text = Tracker(uri, create=False).read_artifact(run.run_id, GENOTYPE).decode()
    short = re.sub(r"[^\w.=+-]+", "-", run.name).strip("-.")
    return Found(Genotype.parse(text), short, run.run_id)


def trial_of(found: Found, storage: str, mlflow: str | None) -> TrialConfig | None:
    """Return the trial that found a genotype; None if it is not from a run.

    Raises:
        StorageError: If the run has no trial.
        ConfigError: If this version does not know a key of it.
    """
    if found.run_id is None and found.record is None:
        return None
    if found.record is not None:
        return found.record.job.trial
    from tune_nas.library import stored_trial
    from tune_nas.tracking import Tracker
    from tune_nas.yaml_text import parse_yaml

    tracker = Tracker(options.mlflow_uri(mlflow, storage), create=False)
    artifact = tracker.read_artifact(str(found.run_id), "parameters.yaml")
    return stored_trial(parse_yaml(artifact.decode()), f"the trial of '{found.name}'")


def run_of(found: Found, storage: str, mlflow: str | None) -> str | None:
    """Return the MLflow run that found a genotype; None without such a run or without MLflow."""
    if found.record is None:
        return found.run_id
    from tune_nas.errors import StorageError
    from tune_nas.tracking import Tracker

    with suppress(StorageError):  # the genotype is known without a run
        uri = options.mlflow_uri(mlflow, storage)
        for run in Tracker(uri, create=False).list_runs() if options.exists(uri) else []:
            if (run.sweep, run.trial_id) == (found.sweep, found.record.job.id):
                return run.run_id
    return None
