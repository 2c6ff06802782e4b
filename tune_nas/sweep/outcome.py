"""The outcome of a sweep: results, report, figure, genotypes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tune_nas import figures
from tune_nas import report as reports
from tune_nas.operation_strength import StrengthTable
from tune_nas.paths import ANALYSIS, CANDIDATES
from tune_nas.report import Report, TrialResult
from tune_nas.status import Status
from tune_nas.sweep.config import race_rule
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sweep_objectives import constraints_of, objectives_of
from tune_nas.tasks import find_task
from tune_nas.tasks.task_lookup import CANDIDATES as CANDIDATES_TASK
from tune_nas.tracking import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOutcome:
    """The outcome of a sweep.

    Args:
        report: The comparison.
        results: Every trial of every phase.
        folder: Folder of the sweep.
        best_genotype_path: File of the best genotype; None if no trial can be ranked.
        mlflow_uri: The store that has the runs.
        n_failed: Number of failed trials.
        untracked: Runs that MLflow lacks and a resume sends, one line each; empty if none.
        remarks: Content that no MLflow store accepts, e.g. a damaged genotype, one line each.
        analysis: The table of an analysis; None for other runs, and if it failed at once.
        candidates: Folder of the tables of candidates; None without a black-box search.
    """

    report: Report
    results: list[TrialResult]
    folder: str
    best_genotype_path: str | None
    mlflow_uri: str
    n_failed: int
    untracked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    analysis: StrengthTable | None = None
    candidates: str | None = None


def conclude(plan: Plan, phases: list[Records], mlflow_uri: str) -> SweepOutcome:
    """Write the results of a sweep whose trials have all ended into its folder."""
    sweep, storage = plan.sweep, plan.storage
    records = [record for of_phase in phases for record in of_phase]
    results = [record.result() for record in records]
    report = Report(
        *(sweep.name, list(sweep.parameters), results, sweep.metric, sweep.mode),
        race_rule=race_rule(sweep),
        objectives=objectives_of(sweep),
        constraints=constraints_of(sweep),
    )
    content = json.dumps([result.to_dict() for result in results], indent=1, ensure_ascii=False)
    storage.write("results.json", content)
    for record in records:
        if record.genotype is not None and find_task(record.job.task).finds_genotypes:
            storage.write(f"genotypes/{record.job.id}.yaml", record.genotype)
    best = report.best_genotype
    best_path = None
    if best is not None:
        storage.write("genotypes/best.yaml", best)
        best_path = f"{storage.root}/genotypes/best.yaml"
    analysis = _write_analysis(plan, records)
    page = report.markdown() if analysis is None else analysis.markdown(sweep.name)
    storage.write("report.md", page)
    figure = _figure(plan, report)
    if figure is not None:
        for kind in ("svg", "png"):
            storage.write(f"figure.{kind}", figures.render(figure, kind))
    failed = sum(record.status is Status.FAILED for record in records)
    return SweepOutcome(
        *(report, results, storage.root, best_path, mlflow_uri, failed),
        analysis=analysis,
        candidates=_write_candidates(plan, records),
    )


def _write_candidates(plan: Plan, records: Sequence[Record]) -> str | None:
    """Write the table of each black-box search into the run's folder; return where they are."""
    written = False
    for record in records:
        if record.job.task == CANDIDATES_TASK:
            table = newest_artifacts(record.folders).get(CANDIDATES)
            if table is not None:
                plan.storage.write(f"candidates/{record.job.id}.csv", table)
                written = True
    return f"{plan.storage.root}/candidates" if written else None


def _write_analysis(plan: Plan, records: Sequence[Record]) -> StrengthTable | None:
    """Write the tables of an analysis into its folder; return None for another run."""
    if plan.state.kind != "analysis":
        return None
    files = newest_artifacts([folder for record in records for folder in record.folders])
    if ANALYSIS not in files:
        return None
    for name, content in files.items():
        plan.storage.write(name, content)
    return StrengthTable.from_json(files[ANALYSIS].decode(), f"{plan.storage.root}/{ANALYSIS}")


def tracking_actions(plan: Plan, outcome: SweepOutcome) -> list[Callable[[Tracker, str], None]]:
    """Return functions that write the sweep's MLflow run, in order: report, figure, end."""
    failed, n = outcome.n_failed, len(outcome.results)
    error = f"{failed} of {n} trials failed" if failed else None

    def log_report(tracker: Tracker, run_id: str) -> None:
        tracker.log_artifact(run_id, (plan.storage.read("report.md") or "").encode(), "report.md")

    def log_figure(tracker: Tracker, run_id: str) -> None:
        for name in ("figure.svg", "figure.png"):
            content = plan.storage.read_bytes(name)
            if content is not None:
                tracker.log_artifact(run_id, content, name)

    def finish(tracker: Tracker, run_id: str) -> None:
        tracker.finish(run_id, "FAILED" if failed == n else "FINISHED", error=error)

    return [log_report, log_figure, finish]


def _figure(plan: Plan, report: Report) -> Figure | None:
    """Return the metric over the swept value; None if the figure cannot be drawn."""
    if not plan.sweep.parameters:
        return None
    try:
        return reports.plot_axis(report)
    except ValueError as error:
        _logger.warning("no figure: %s", error)
        return None
