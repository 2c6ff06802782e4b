"""The trials of each combination of swept values, whether or not they count in its means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tune_nas.report.comparison import Comparison
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import Row, has_diverged, searches_of

ENDINGS = ("stopped early", "failed", "diverged")
"""The endings of searches that are excluded from means."""


@dataclass(frozen=True)
class TrialGroup:
    """The searches of one combination of swept values.

    Args:
        row: Its row in the comparison; means are over ``row.trials``.
        others: Its other searches: those before the repeats, and those that were stopped early,
            failed or diverged.
        endings: For each trial id in ``others``, one of `ENDINGS`; none for a search that ran to
            its end.
    """

    row: Row
    others: tuple[TrialResult, ...]
    endings: dict[str, str]

    @property
    def trials(self) -> tuple[TrialResult, ...]:
        """All its searches."""
        return (*self.row.trials, *self.others)


def group_trials(comparison: Comparison) -> list[TrialGroup]:
    """Return the searches of each combination, in the order of the values."""
    metric = comparison.rank_by.key
    searches = searches_of(comparison.axes, comparison.results)
    groups = []
    for row in comparison.rows():
        counted = {trial.trial_id for trial in row.trials}
        others = tuple(
            trial for trial in searches.get(row.key, []) if trial.trial_id not in counted
        )
        endings = {trial.trial_id: ending for trial in others if (ending := _ending(trial, metric))}
        groups.append(TrialGroup(row, others, endings))
    return [group for group in groups if group.trials]


def endings_text(endings: Iterable[str]) -> str:
    """Return endings as text, each once: ``stopped early, failed or diverged``."""
    found = set(endings)
    *others, last = [ending for ending in ENDINGS if ending in found] or [""]
    return f"{', '.join(others)} or {last}" if others else last


def _ending(trial: TrialResult, metric: str) -> str:
    if has_diverged(trial, metric):
        return "diverged"
    return "" if trial.status == "finished" else trial.status
