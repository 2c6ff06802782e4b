"""The trial and the MLflow run that found a genotype."""

from __future__ import annotations

from contextlib import suppress

from tune_nas import tracking
from tune_nas.cli.genotype_reference import GenotypeReference
from tune_nas.cli.option_values import mlflow_uri
from tune_nas.config import TrialConfig
from tune_nas.errors import StorageError
from tune_nas.library import stored_trial
from tune_nas.sweep.runs.store_uri import existing_store
from tune_nas.yaml_text import parse_yaml


def trial_of(found: GenotypeReference, storage: str, mlflow: str | None) -> TrialConfig | None:
    """Return the trial that found a genotype; None if it is not from a run.

    Raises:
        StorageError: If the run has no trial.
        ConfigError: If this version does not know a key of it.
    """
    if found.run_id is None and found.record is None:
        return None
    if found.record is not None:
        return found.record.job.trial
    reader = tracking.RunReader(mlflow_uri(mlflow, storage))
    artifact = reader.read_artifact(str(found.run_id), "parameters.yaml")
    return stored_trial(parse_yaml(artifact.decode()), f"the trial of '{found.name}'")


def run_of(found: GenotypeReference, storage: str, mlflow: str | None) -> str | None:
    """Return the MLflow run that found a genotype; None without such a run or without MLflow."""
    if found.record is None:
        return found.run_id
    with suppress(StorageError):  # the genotype is known without a run
        uri = existing_store(storage, mlflow)
        if uri is not None:
            return tracking.RunReader(uri).run_of(found.sweep, found.record.job.id)
    return None
