"""MLflow after a kill: what the records know and the store may not."""

from __future__ import annotations

from tune_nas.errors import TuneNasError
from tune_nas.sweep.callbacks import facts_of
from tune_nas.sweep.records import Record, Records
from tune_nas.tracking import Tracker, stop_reason


def reconcile(tracker: Tracker, sweep_run: str, records: Records, metric: str) -> None:
    """Log what is missing of every trial whose end MLflow does not have, and close ended ones.

    A kill between a result and its logging leaves a hole that the resumed trial would not fill.
    """
    for record in records:
        if record.tracked:
            continue
        run_id = trial_run(tracker, sweep_run, record)
        for metrics in record.history:
            tracker.log_epoch(run_id, int(metrics["epoch"]), metrics)
        if record.status == "stopping":
            records.end(record.job.id)
        if record.ended:
            log_genotype(tracker, run_id, record)
            _close(tracker, run_id, record, metric)
            records.tracked(record.job.id)


def trial_run(tracker: Tracker, sweep_run: str, record: Record) -> str:
    """Return the MLflow run of a trial, found or created."""
    facts = facts_of(record.job)
    parent = facts.parent_run
    if parent is None and facts.parent is not None:
        found = tracker.find_trial(sweep_run, facts.parent)
        parent = None if found is None else found.run_id
    return tracker.trial_run(
        sweep_run,
        record.job.id,
        stage=facts.stage,
        parameters=facts.settings,
        tags=facts.tags,
        parent=parent,
        name=facts.name,
    )


def log_genotype(tracker: Tracker, run_id: str, record: Record) -> None:
    """Log the genotype of a record, if it has one that its space knows."""
    from tune_nas.spaces import Genotype, load_space

    if record.genotype is None:
        return
    try:
        space = load_space(record.job.trial["space"]["name"])
        tracker.log_genotype(run_id, Genotype.from_yaml(record.genotype), space)
    except TuneNasError:
        return  # a trial of a space that is gone keeps its metrics


def _close(tracker: Tracker, run_id: str, record: Record, metric: str) -> None:
    if record.status == "failed":
        tracker.finish(run_id, "FAILED", error=record.error, reason=record.reason)
    elif record.status == "stopped early":
        reason = record.reason or stop_reason("ASHA", record.epoch, record.job.epochs, metric)
        tracker.finish(run_id, "FINISHED", outcome="stopped early", reason=reason)
    else:
        tracker.finish(run_id, "FINISHED", reason=record.reason)
