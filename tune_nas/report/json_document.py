"""A comparison as plain containers, for JSON."""

from __future__ import annotations

from tune_nas.json_text import encode, json_text
from tune_nas.report.comparison import Comparison
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.rows import Row, Statistic
from tune_nas.report.sentence import compose
from tune_nas.report.setting_comparison import SettingComparison


class Json(ReportFormat):
    """A JSON document with the keys of `Report.to_dict`."""

    def render(self, comparison: Comparison) -> str:
        """Return the document."""
        return json_text(to_dict(comparison))


def to_dict(comparison: Comparison) -> dict[str, object]:
    """Return the comparison as plain containers for JSON; inf is the text ``inf``."""
    best = comparison.best()
    content = {
        "sweep": comparison.sweep,
        "axes": comparison.axes,
        "rank_by": comparison.rank_by.key,
        "mode": comparison.mode,
        "sentence": compose(comparison),
        "remarks": comparison.remarks,
        "best": None if best is None else best.trial_id,
        "best_genotype": comparison.best_genotype,
        "rows": [_row_dict(row) for row in comparison.rows()],
        "settings": _settings_dict(comparison.by_setting),
        "notes": comparison.notes(),
    }
    return {key: encode(value) for key, value in content.items()}


def _settings_dict(found: SettingComparison | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "rows": [
            {
                "setting": row.setting,
                "values": row.values,
                "failed": row.failed,
                "diverged": row.diverged,
                "test_accuracy": None if row.accuracy is None else _statistic_dict(row.accuracy),
                "rank": row.rank,
            }
            for row in found.rows
        ],
        "agreements": [
            {"settings": list(pair.settings), "tau": pair.tau, "n": pair.n}
            for pair in found.agreements
        ],
    }


def _statistic_dict(value: Statistic) -> dict[str, object]:
    return {"mean": value.mean, "std": value.std, "n": value.n}


def _row_dict(row: Row) -> dict[str, object]:
    return {
        "values": row.values,
        "phase": row.phase,
        "n": row.n,
        "stopped": row.stopped,
        "failed": row.failed,
        "diverged": row.diverged,
        "retrains_failed": row.retrains_failed,
        "retrains_diverged": row.retrains_diverged,
        "statistics": {key: _statistic_dict(value) for key, value in row.statistics.items()},
        "trials": [trial.trial_id for trial in row.trials],
    }
