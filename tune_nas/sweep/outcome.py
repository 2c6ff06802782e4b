"""The outcome of a sweep: results, report, figure, genotypes."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tune_nas import figures
from tune_nas import report as reports
from tune_nas.errors import StorageError
from tune_nas.paths import ANALYSIS, CANDIDATES
from tune_nas.report import Report, TrialResult
from tune_nas.report.labels import RETRAIN
from tune_nas.status import Status
from tune_nas.sweep.analysis_results import AnyTable, analysis_figure, decode_analysis
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.provenance import record_end
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.runs.stored_details import details_of
from tune_nas.sweep.sharing.shared_text import shared_remarks
from tune_nas.sweep.sweep_report import sweep_report
from tune_nas.tasks import find_task
from tune_nas.tasks.task_lookup import CANDIDATES as CANDIDATES_TASK
from tune_nas.tracking import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEST_ACCURACY = "test_accuracy"
PAGE = "report.html"

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
        page: File of the report as an HTML page; None for a single search or retraining run.
    """

    report: Report
    results: list[TrialResult]
    folder: str
    best_genotype_path: str | None
    mlflow_uri: str
    n_failed: int
    untracked: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    analysis: AnyTable | None = None
    candidates: str | None = None
    page: str | None = None


def conclude(plan: Plan, phases: list[Records], mlflow_uri: str) -> SweepOutcome:
    """Write the results of a sweep whose trials have all ended into its folder."""
    sweep, storage = plan.sweep, plan.storage
    records = [record for of_phase in phases for record in of_phase]
    results = [record.result() for record in records]
    report = sweep_report(sweep, results, shared_remarks(records))
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
    figure = _figure(plan, report) if analysis is None else analysis_figure(analysis)
    if figure is not None:
        for kind in ("svg", "png"):
            storage.write(f"figure.{kind}", figures.render(figure, kind))
    record_end(storage, "finished")  # for the page
    html = _page(plan, report, records)
    if html is not None:
        storage.write(PAGE, html)
    failed = sum(record.status is Status.FAILED for record in records)
    return SweepOutcome(
        *(report, results, storage.root, best_path, mlflow_uri, failed),
        analysis=analysis,
        candidates=_write_candidates(plan, records),
        page=None if html is None else f"{storage.root}/{PAGE}",
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


def _write_analysis(plan: Plan, records: Sequence[Record]) -> AnyTable | None:
    """Write the tables of an analysis into its folder; return None for another run."""
    if plan.state.kind != "analysis":
        return None
    files = newest_artifacts([folder for record in records for folder in record.folders])
    if ANALYSIS not in files:
        return None
    for name, content in files.items():
        plan.storage.write(name, content)
    return decode_analysis(files[ANALYSIS].decode(), f"{plan.storage.root}/{ANALYSIS}")


def tracking_actions(plan: Plan, outcome: SweepOutcome) -> list[Callable[[Tracker, str], None]]:
    """Return functions that write the sweep's MLflow run, in order.

    These are the report, the page, the figure, the best result, and the end.
    """
    failed, n = outcome.n_failed, len(outcome.results)
    error = f"{failed} of {n} trials failed" if failed else None
    ended = round(time.time() * 1000)  # the same in each attempt: the store keeps one value

    def log_report(tracker: Tracker, run_id: str) -> None:
        tracker.log_artifact(run_id, (plan.storage.read("report.md") or "").encode(), "report.md")

    def log_page(tracker: Tracker, run_id: str) -> None:
        content = plan.storage.read_bytes(PAGE)
        if content is not None:
            tracker.log_artifact(run_id, content, PAGE)

    def log_figure(tracker: Tracker, run_id: str) -> None:
        for name in ("figure.svg", "figure.png"):
            content = plan.storage.read_bytes(name)
            if content is not None:
                tracker.log_artifact(run_id, content, name)

    def log_best(tracker: Tracker, run_id: str) -> None:
        if outcome.analysis is None:
            tracker.set_tags(run_id, {"mlflow.note.content": outcome.report.sentence()})
        best = next(iter(outcome.report.ranking()), None)
        if best is not None:
            metrics = {key: known.mean for key, known in best.statistics.items()}
            metrics[_TEST_ACCURACY] = metrics.pop(RETRAIN, math.nan)
            known = {key: value for key, value in metrics.items() if not math.isnan(value)}
            finished = sum(result.status == Status.FINISHED for result in outcome.results)
            tracker.log_epoch(run_id, finished, known, ended)
            if best.label:
                tracker.set_tags(run_id, {"best": best.label})

    def finish(tracker: Tracker, run_id: str) -> None:
        tracker.finish(run_id, "FAILED" if failed == n else "FINISHED", error=error)

    return [log_report, log_page, log_figure, log_best, finish]


def _page(plan: Plan, report: Report, records: Sequence[Record]) -> str | None:
    """Return the report of a sweep as an HTML page; None for other runs, and if it fails.

    A single search or retraining run has none in its folder: drawing takes seconds, for a run that
    may take as long.
    """
    if plan.state.kind != "sweep":
        return None
    try:
        page = reports.find_report_format("html")
        return page.render_run(report, lambda: details_of(plan, records))
    except StorageError:
        raise
    except Exception as error:  # of any library that draws; the results are worth more
        _logger.warning("no %s: %s: %s", PAGE, type(error).__name__, error)
        return None


def _figure(plan: Plan, report: Report) -> Figure | None:
    """Return the metric over the swept value; None if the figure cannot be drawn."""
    if not plan.sweep.parameters:
        return None
    try:
        return reports.plot_axis(report)
    except ValueError as error:
        _logger.warning("no figure: %s", error)
        return None
