"""The retraining runs of a sweep by setting: means, ranks, and whether the settings agree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tune_nas.rank_correlation import kendall_tau
from tune_nas.report.labels import RETRAIN, SETTING, SweptValue, order_key
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import Statistic, has_diverged, statistic_of


@dataclass(frozen=True)
class SettingRow:
    """The retraining runs of one combination of swept values under one setting.

    Args:
        setting: Name of the setting.
        values: Swept key → value.
        accuracy: Test accuracy of the runs that ended and did not diverge; None without any.
        failed: Number of failed runs.
        diverged: Number of diverged runs.
        rank: Rank among the values under this setting, the highest mean first; equal means have the
            same rank, and values with a diverged run are after all others. None without a mean.
    """

    setting: str
    values: Mapping[str, SweptValue]
    accuracy: Statistic | None
    failed: int
    diverged: int
    rank: int | None

    @property
    def mean(self) -> float | None:
        """Mean accuracy; None without one, and if a run diverged: it is then not comparable."""
        return None if self.accuracy is None or self.diverged else self.accuracy.mean


@dataclass(frozen=True)
class Agreement:
    """Whether two settings order the swept values in the same way.

    Args:
        settings: Names of the settings.
        tau: Kendall's τ-b of the means; None if it is not defined: fewer than two values, or equal
            means under a setting.
        n: Number of values that have a mean, and no diverged run, under both settings.
    """

    settings: tuple[str, str]
    tau: float | None
    n: int


@dataclass(frozen=True)
class SettingComparison:
    """The retraining runs of a sweep with several settings.

    Args:
        rows: By setting, the one of the first run first, and in the order of the values.
        agreements: One for each pair of settings; empty if one combination of values is retrained.
    """

    rows: tuple[SettingRow, ...]
    agreements: tuple[Agreement, ...]

    @property
    def settings(self) -> list[str]:
        """The names of the settings."""
        return list(dict.fromkeys(row.setting for row in self.rows))


def compare_settings(
    settings: Sequence[str],
    runs: Mapping[tuple[SweptValue, ...], Sequence[TrialResult]],
    axes: Sequence[str],
) -> SettingComparison | None:
    """Compare retraining runs under several settings; return None for fewer than two settings.

    Args:
        settings: The names of the settings.
        runs: The retraining runs of each combination of swept values.
        axes: The swept keys.
    """
    if len(settings) < 2:
        return None
    keys = sorted(runs, key=lambda key: [order_key(value) for value in key])
    table = {
        setting: _ranked(
            [_row(setting, dict(zip(axes, key, strict=True)), runs[key]) for key in keys]
        )
        for setting in settings
    }
    pairs = itertools.combinations(settings, 2) if len(runs) > 1 else ()
    return SettingComparison(
        rows=tuple(row for rows in table.values() for row in rows),
        agreements=tuple(_agreement(table[first], table[second]) for first, second in pairs),
    )


def _row(setting: str, values: Mapping[str, SweptValue], runs: Sequence[TrialResult]) -> SettingRow:
    own = [run for run in runs if run.parameters.get(SETTING) == setting]
    diverged = [run for run in own if has_diverged(run, RETRAIN)]
    sound = [run for run in own if run not in diverged]
    finished = [run for run in sound if run.status == "finished"]
    return SettingRow(
        setting=setting,
        values=values,
        accuracy=statistic_of(finished, "test_accuracy"),
        failed=sum(run.status == "failed" for run in sound),
        diverged=len(diverged),
        rank=None,
    )


def _ranked(rows: Sequence[SettingRow]) -> list[SettingRow]:
    """Return the rows of a setting with their ranks."""
    keys = [
        None if row.accuracy is None else (row.diverged > 0, -row.accuracy.mean) for row in rows
    ]
    known = [key for key in keys if key is not None]
    return [
        row if key is None else replace(row, rank=1 + sum(other < key for other in known))
        for row, key in zip(rows, keys, strict=True)
    ]


def _agreement(first: Sequence[SettingRow], second: Sequence[SettingRow]) -> Agreement:
    means = [(one.mean, two.mean) for one, two in zip(first, second, strict=True)]
    known = [(one, two) for one, two in means if one is not None and two is not None]
    return Agreement(
        settings=(first[0].setting, second[0].setting),
        tau=kendall_tau([one for one, _ in known], [two for _, two in known]),
        n=len(known),
    )
