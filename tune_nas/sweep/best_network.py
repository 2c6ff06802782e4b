"""The network of a run's best genotype, as a model of the MLflow run that trained it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from tune_nas.errors import StorageError
from tune_nas.export.export_format import Exportable
from tune_nas.status import Status
from tune_nas.sweep.runs.checkpoints import list_checkpoints
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sweep_report import sweep_report
from tune_nas.sweep.trained import Trained, newest_network
from tune_nas.tracking import Experiment, RunReader
from tune_nas.tracking.logged_model import find_network, log_network

_RETRAIN = "retrain"  # the phase, and the shipped task

_logger = logging.getLogger(__name__)


def log_best_network(
    experiment: Experiment, sweep_run: str, plan: Plan, phases: Mapping[str, Records]
) -> None:
    """Log the network that was trained from the best genotype of a run, unless its run has one.

    If it cannot be saved, e.g. because a custom operation cannot be exported, a warning is logged.

    Args:
        experiment: The experiment of the sweep.
        sweep_run: Id of the sweep's MLflow run.
        plan: The sweep.
        phases: The records of each phase; those of MLflow have their runs already.

    Raises:
        StorageError: If the store or the storage cannot be used.
    """
    record = best_training(plan, phases)
    if record is None:
        return
    run = RunReader(experiment).find_trial(sweep_run, record.job.id)
    if run is None or find_network(experiment, run) is not None:
        return
    name = f"{plan.sweep.name}/{record.job.id}"
    try:
        trained = Trained(name, name, tuple(list_checkpoints(record.folders)))
        log_network(experiment, run, Exportable.of(newest_network(trained), run=name))
    except StorageError:
        raise
    except Exception as error:  # of any operation that is exported; the run has its results
        _logger.warning("no model of %s: %s: %s", name, type(error).__name__, error)


def best_training(plan: Plan, phases: Mapping[str, Records]) -> Record | None:
    """Return the finished retraining run of the best genotype; None if there is none.

    Of several, with further recipes or seeds, it is the first: the one with the best test accuracy
    would be selected on test data.
    """
    ended = [
        record
        for record in phases.get(_RETRAIN, ())
        if record.status is Status.FINISHED and record.job.task == _RETRAIN
    ]
    if plan.state.kind == _RETRAIN:
        return next(iter(ended), None)
    results = [record.result() for records in phases.values() for record in records]
    best = sweep_report(plan.sweep, results).best()
    if best is None or best.genotype is None:
        return None
    own = [record for record in ended if record.job.inputs.parent == best.trial_id]
    # one that several searches found is trained once
    same = [record for record in ended if record.job.inputs.genotype == best.genotype]
    return next(iter([*own, *same]), None)
