"""The report of a sweep: its results, compared as its configuration says."""

from __future__ import annotations

from collections.abc import Sequence

from tune_nas.report import Report, TrialResult
from tune_nas.sweep.baseline_key import reported_baseline
from tune_nas.sweep.config import SweepConfig, race_rule
from tune_nas.sweep.sweep_objectives import constraints_of, objectives_of


def sweep_report(
    sweep: SweepConfig, results: Sequence[TrialResult], remarks: Sequence[str] = ()
) -> Report:
    """Return the report of a sweep's trials.

    Args:
        sweep: The sweep.
        results: Its trials that have ended, of every phase.
        remarks: Sentences about the whole sweep.
    """
    axes, baseline = list(sweep.parameters), sweep.baseline
    report = Report(
        *(sweep.name, axes, results, sweep.metric, sweep.mode),
        race_rule=race_rule(sweep),
        objectives=objectives_of(sweep),
        constraints=constraints_of(sweep),
        baseline=None if baseline is None else reported_baseline(baseline, axes, results),
    )
    report.remarks += remarks
    return report
