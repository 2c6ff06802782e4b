"""A comparison as plain containers, for JSON."""

from __future__ import annotations

from typing import Any

from tune_nas.report.comparison import Comparison
from tune_nas.report.results import encode
from tune_nas.report.rows import Row
from tune_nas.report.sentence import compose


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain containers for JSON; inf is the text ``inf``."""
    best = comparison.best()
    content: Any = encode(
        {
            "sweep": comparison.sweep,
            "axes": comparison.axes,
            "rank_by": comparison.rank_by.key,
            "mode": comparison.mode,
            "sentence": compose(comparison),
            "best": None if best is None else best.trial_id,
            "best_genotype": comparison.best_genotype,
            "rows": [_row_dict(row) for row in comparison.rows()],
            "notes": comparison.notes(),
        }
    )
    return dict(content)


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "values": row.values,
        "phase": row.phase,
        "n": row.n,
        "stopped": row.stopped,
        "failed": row.failed,
        "diverged": row.diverged,
        "retrains_failed": row.retrains_failed,
        "retrains_diverged": row.retrains_diverged,
        "statistics": {
            key: {"mean": value.mean, "std": value.std, "n": value.n}
            for key, value in row.statistics.items()
        },
        "trials": [trial.trial_id for trial in row.trials],
    }
