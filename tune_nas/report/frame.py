"""The trials of a sweep as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tune_nas.report.labels import normalize
from tune_nas.report.results import TrialResult

if TYPE_CHECKING:
    from pandas import DataFrame


def to_dataframe(results: Iterable[TrialResult], *, epochs: bool = False) -> DataFrame:
    """Return the results of trials as a table, in the given order.

    The columns are ``trial_id``, ``phase``, ``seed``, ``status``, ``reason`` and ``parent``, then
    the swept keys and the metrics under their names; a missing value is NaN.

    Args:
        results: From `SweepOutcome.results` or `read_results`.
        epochs: Return one row per epoch of each trial, with a column ``epoch`` that counts from 1;
            otherwise one row per trial, with the metrics of its last epoch.
    """
    from pandas import DataFrame  # here, not above: it takes half a second

    rows: list[dict[str, object]] = []
    for result in results:
        row: dict[str, object] = {
            "trial_id": result.trial_id,
            "phase": result.phase,
            "seed": result.seed,
            "status": result.status,
            "reason": result.error or result.reason,
            "parent": result.parent,
            **{key: normalize(value) for key, value in result.parameters.items()},
        }
        if epochs:
            rows += [{**row, "epoch": n, **m} for n, m in enumerate(result.history, start=1)]
        else:
            rows.append({**row, **result.metrics})
    return DataFrame(rows)
