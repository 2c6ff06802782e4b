"""What a sweep leaves behind: results, report, figure, genotypes."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from tune_nas.sweep.plan import Plan
from tune_nas.sweep.records import Records
from tune_nas.tracking import Report, Tracker, TrialResult, plot_axis, render

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOutcome:
    """The end of a sweep.

    Args:
        report: The comparison.
        results: Every trial of every stage.
        folder: Where everything lies.
        best_genotype_path: File of the best genotype; None if no trial can be ranked.
        mlflow_uri: The store that has the runs.
        n_failed: How many trials failed.
    """

    report: Report
    results: list[TrialResult]
    folder: str
    best_genotype_path: str | None
    mlflow_uri: str
    n_failed: int


def conclude(plan: Plan, stages: list[Records], tracker: Tracker, sweep_run: str) -> SweepOutcome:
    """Write the results of a sweep whose trials have all ended, and close its MLflow run."""
    sweep, storage = plan.sweep, plan.storage
    results = [record.result() for records in stages for record in records]
    report = Report(sweep.name, list(sweep.parameters), results, sweep.metric, sweep.mode)
    content = json.dumps([result.to_dict() for result in results], indent=1, ensure_ascii=False)
    storage.write("results.json", content)
    for result in results:
        if result.genotype is not None and result.stage != "retrain":
            storage.write(f"genotypes/{result.trial_id}.yaml", result.genotype)
    best = report.best_genotype
    best_path = None
    if best is not None:
        storage.write("genotypes/best.yaml", best)
        best_path = f"{storage.root}/genotypes/best.yaml"
    markdown = report.markdown()
    storage.write("report.md", markdown)
    tracker.log_artifact(sweep_run, markdown.encode(), "report.md")
    _draw(plan, report, tracker, sweep_run)
    failed = sum(result.status == "failed" for result in results)
    error = f"{failed} of {len(results)} trials failed" if failed else None
    tracker.finish(sweep_run, "FAILED" if failed == len(results) else "FINISHED", error=error)
    return SweepOutcome(report, results, storage.root, best_path, tracker.uri, failed)


def _draw(plan: Plan, report: Report, tracker: Tracker, sweep_run: str) -> None:
    """Draw the metric over the swept value; a figure that cannot be drawn takes nothing down."""
    if not plan.sweep.parameters:
        return
    try:
        figure = plot_axis(report)
        for kind in ("svg", "png"):
            plan.storage.write(f"figure.{kind}", render(figure, kind))
        tracker.log_figure(sweep_run, figure, "figure")
    except ValueError as error:
        _logger.warning("no figure: %s", error)
