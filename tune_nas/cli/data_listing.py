"""The rows of `tune-nas list data`."""

from __future__ import annotations

from tune_nas.data import dataset_description, dataset_names
from tune_nas.errors import ConfigError


def data_set_rows() -> list[dict[str, str]]:
    """Return name and description of every data set."""
    return [{"name": name, "description": _described(name)} for name in dataset_names()]


def _described(name: str) -> str:
    try:
        return dataset_description(name)
    except ConfigError as error:  # an error of an installed package must not hide the others
        return str(error)
