"""A comparison as plain containers, for JSON."""

from __future__ import annotations

from dataclasses import asdict

from tune_nas.json_text import encode, json_text
from tune_nas.report.baseline import BaselineComparison, compare_with_baseline
from tune_nas.report.bootstrap import bootstrap_interval
from tune_nas.report.comparison import Comparison
from tune_nas.report.front import front_of, has_front, infeasible_of, volume_of
from tune_nas.report.genotype_orders import genotype_orders
from tune_nas.report.report_format import ReportFormat
from tune_nas.report.rows import Row, Statistic
from tune_nas.report.seed_statistics import MOST_ROWS, SeedStatistics
from tune_nas.report.sentence import compose
from tune_nas.report.setting_comparison import SettingComparison


class Json(ReportFormat):
    """A JSON document with the keys of `Report.to_dict`."""

    def render(self, comparison: Comparison) -> str:
        """Return the document."""
        return json_text(to_dict(comparison))


def to_dict(comparison: Comparison) -> dict[str, object]:
    """Return the comparison as plain containers for JSON; inf is the text ``inf``."""
    best, rows = comparison.best(), comparison.rows()
    intervals = len(rows) <= MOST_ROWS  # each takes milliseconds
    content = {
        "sweep": comparison.sweep,
        "axes": comparison.axes,
        "rank_by": comparison.rank_by.key,
        "mode": comparison.mode,
        "sentence": compose(comparison),
        "remarks": comparison.remarks,
        "best": None if best is None else best.trial_id,
        "best_genotype": comparison.best_genotype,
        "front": _front_dict(comparison),
        "infeasible": [row.values for row in infeasible_of(comparison)],
        "rows": [_row_dict(row, intervals=intervals) for row in rows],
        "statistics": _statistics_dict(comparison.over_seeds),
        "baseline": _baseline_dict(compare_with_baseline(comparison)),
        "genotype_orders": [asdict(each) for each in genotype_orders(comparison)],
        "race": _race_dict(comparison),
        "settings": _settings_dict(comparison.by_setting),
        "notes": comparison.notes(),
    }
    return {key: encode(value) for key, value in content.items()}


def _front_dict(comparison: Comparison) -> dict[str, object] | None:
    """Return the Pareto front, best by the first objective first; None for one objective."""
    if not has_front(comparison):
        return None
    volume = volume_of(comparison)
    return {
        "objectives": [
            {"metric": objective.key, "mode": objective.mode} for objective in comparison.goals
        ],
        "values": [row.values for row in front_of(comparison)],
        "hypervolume": None if volume is None else volume.value,
        "reference": None if volume is None else volume.reference,
    }


def _statistics_dict(found: SeedStatistics) -> dict[str, object]:
    return {
        "rows": [
            {
                "values": own.row.values,
                "interval": own.interval,
                "first": own.first,
                "test": None if own.test is None else asdict(own.test),
            }
            for own in found.rows
        ],
        "n_tests": found.n_tests,
        "smallest_p": found.smallest,
        "n_seeds": found.n_seeds,
        "seed_tau": found.seed_tau,
        "n_seed_pairs": found.n_seed_pairs,
    }


def _baseline_dict(found: BaselineComparison | None) -> dict[str, object] | None:
    """Return the comparison with the baseline; None without one, and if it has no value."""
    if found is None:
        return None
    rows = [
        {
            "values": own.row.values,
            "difference": own.difference,
            "probability": own.probability,
            "interval": own.interval,
        }
        for own in found.rows
    ]
    return {"values": found.baseline.values, "rows": rows}


def _race_dict(comparison: Comparison) -> dict[str, object] | None:
    race = comparison.race
    if race is None:
        return None
    dropped = [
        {"values": dict(zip(comparison.axes, values, strict=True)), **asdict(drop)}
        for values, drop in race.dropped.items()
    ]
    return {
        "trials": len(race.trials),
        "most": race.most,
        "rounds": race.rounds,
        "over": race.over,
        "dropped": dropped,
    }


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


def _statistic_dict(value: Statistic, *, intervals: bool = True) -> dict[str, object]:
    interval = bootstrap_interval(value.values) if intervals else None
    return {"mean": value.mean, "std": value.std, "n": value.n, "interval": interval}


def _row_dict(row: Row, *, intervals: bool) -> dict[str, object]:
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
            key: _statistic_dict(value, intervals=intervals)
            for key, value in row.statistics.items()
        },
        "trials": [trial.trial_id for trial in row.trials],
    }
