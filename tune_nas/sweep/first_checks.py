"""The checks of a sweep that need no torch; they come before all others."""

from __future__ import annotations

from collections.abc import Sequence

from tune_nas.benchmark import SPACE, find_table, user_table
from tune_nas.config import DataConfig, TrialConfig
from tune_nas.errors import ConfigError
from tune_nas.shipped import shipped_names
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.resolution import BaseTrials
from tune_nas.text import brief, printable

_LONGEST_NAME = 200  # bytes; file systems allow 255, and MLflow adds to it


def check_name(name: str) -> None:
    """Raise a ConfigError if a name is not valid for a folder, or not printable."""
    if set('/"') & set(name) or name in ("", ".", "..") or not name.isprintable():
        text = brief(printable(" ".join(name.split())))
        raise ConfigError(
            f"name is '{text}', but must be fit for a folder, without '/', '\"' and characters "
            "that are not printable"
        )
    if (size := len(name.encode())) > _LONGEST_NAME:
        raise ConfigError(
            f"name is '{brief(name, 60)}', {size} bytes long; it must have at most {_LONGEST_NAME}"
        )


def check_metric(sweep: SweepConfig, bases: BaseTrials) -> None:
    """Reject ranking by true accuracies that no trial would report.

    Raises:
        ConfigError: If the benchmark's table is missing, or the space is not that of the table.
    """
    if not sweep.metric.startswith("benchmark/"):
        return
    ranks = f"sweep '{sweep.name}': metric is '{sweep.metric}'"
    for trial in bases.trials.values():
        if find_table(trial.benchmark.table) is None:
            raise ConfigError(
                f"{ranks}, but there is no table at {user_table()}; write it with tune-nas "
                "benchmark import FILE, or set benchmark.table to one"
            )
        if trial.space.name != SPACE and trial.space.name in shipped_names("space"):
            raise ConfigError(
                f"{ranks}, which space '{trial.space.name}' does not have; it is for space "
                f"'{SPACE}'"
            )


def data_sections(sweep: SweepConfig, trials: Sequence[TrialConfig]) -> list[DataConfig]:
    """Return the data sections of trials, including those of swept data sets not yet sampled.

    Args:
        sweep: The sweep.
        trials: As `resolve_trials` returns them.
    """
    swept = sweep.parameters.get("data.name")
    names = [] if swept is None else swept.values
    drawn = [trial.data.model_copy(update={"name": name}) for trial in trials for name in names]
    return [*(trial.data for trial in trials), *drawn]
