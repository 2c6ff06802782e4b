"""A prepared view of a sweep in the MLflow UI: its columns, filter, order and charts.

MLflow keeps a view that is shared by link as a tag of the experiment. The format is not documented;
it was read from the UI of MLflow 3.17.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Iterable, Sequence

from tune_nas.tracking.experiment import Experiment
from tune_nas.tracking.run_reader import RunReader
from tune_nas.tracking.tracked_run import SWEEP_RUN, TrackedRun

_TAG = "mlflow.sharedViewState."
_METRICS = (
    "valid_accuracy",
    "gap",
    "benchmark/cifar10_test",
    "test_accuracy",
    "genotype/skips",
    "genotype/parameters",
)
_SEED = "seed"
_TAGS = ("status", "genotype")
_OTHER_TAGS = {"status", "genotype", "reason", "error", "failures", "last_error"}
_NAME, _LAST = "attributes.`Run Name`", ("runDateAndNestInfo", "duration")
"""Columns that the table always has."""
_RETRAIN = "retrain/"  # prefix of a sweep's metric, if it is one of the retraining runs
_DRAWN = 100
"""More runs make the charts slow: then only the first 20 of the table are drawn."""


def prepare_view(experiment: Experiment, sweep: TrackedRun) -> str | None:
    """Write the view of a sweep to the store, or replace it.

    Args:
        experiment: The experiment of the sweep.
        sweep: The sweep's own run.

    Returns:
        Key of the view, for `view_link`; None for a sweep without trials.

    Raises:
        mlflow.exceptions.MlflowException: If the store refuses the request.
    """
    trials = RunReader(experiment).trials(sweep.run_id)
    if not trials:
        return None
    now = round(time.time() * 1000)
    state = json.dumps(view_state(sweep, trials)).encode()
    view = {
        "name": sweep.name,
        "createdAt": now,
        "updatedAt": now,
        "state": f"deflate;{base64.b64encode(zlib.compress(state)).decode()}",
    }
    experiment.client.set_experiment_tag(
        experiment.experiment_id, f"{_TAG}{sweep.run_id}", json.dumps(view)
    )
    return sweep.run_id


def view_link(base: str, experiment_id: str, key: str | None = None) -> str:
    """Return the link to an experiment's table of runs.

    Args:
        base: Address of the server.
        experiment_id: Id of the experiment.
        key: Key of a view; None for the plain table.
    """
    link = f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    return f"{link}&viewStateShareKey={key}" if key else link


def view_state(sweep: TrackedRun, trials: Sequence[TrackedRun]) -> dict[str, object]:
    """Return the state of a sweep's view, in the format of MLflow's UI.

    Args:
        sweep: The sweep's own run.
        trials: Its trials; only what they have becomes a column.
    """
    swept = list(dict.fromkeys(key for run in trials for key in _swept(run)))
    parameters = [key for key in swept if any(key in run.parameters for run in trials)]
    ranked = sweep.parameters.get("metric", _METRICS[0]).removeprefix(_RETRAIN)
    logged = {key for run in trials for key in run.metrics}
    metrics = [key for key in dict.fromkeys((ranked, *_METRICS)) if key in logged]
    columns = [_column("params" if key in parameters else "tags", key) for key in swept]
    if len(swept) > 1 and any(_SEED in run.parameters for run in trials):
        columns.append(_column("params", _SEED))  # MLflow cuts a name with several keys before it
    columns += [_column("metrics", key) for key in metrics]
    columns += [_column("tags", key) for key in _TAGS]
    return {
        "selectedColumns": columns,
        # Without an order, they are sorted by kind and name.
        "columnOrder": [_NAME, *columns, *_LAST],
        "columnWidths": {_NAME: 200, _column("tags", "genotype"): 400, _LAST[0]: 150, _LAST[1]: 80},
        "searchFilter": f"tags.`{SWEEP_RUN}` = '{sweep.run_id}'",
        "orderByKey": _column("metrics", metrics[0]) if metrics else "attributes.start_time",
        "orderByAsc": bool(metrics) and sweep.parameters.get("mode") == "min",
        "runsHiddenMode": "SHOW_ALL" if len(trials) <= _DRAWN else "FIRST_20_RUNS",
        "compareRunSections": [
            {"uuid": "sweep", "name": sweep.name, "display": True, "isReordered": False}
        ],
        "compareRunCharts": _charts(parameters, metrics),
        "isAccordionReordered": True,  # the sweep's section stays first
    }


def _swept(run: TrackedRun) -> Iterable[str]:
    """Return the swept keys of a trial, which are tags of its run."""
    return (
        key
        for key in run.tags
        if key not in _OTHER_TAGS and not key.startswith(("mlflow.", "tune_nas."))
    )


def _column(kind: str, key: str) -> str:
    return f"{kind}.`{key}`"


def _charts(parameters: Sequence[str], metrics: Sequence[str]) -> list[dict[str, object]]:
    """Return the charts of a sweep: each metric by each swept key, then by epoch."""
    shared = {"metricSectionId": "sweep", "deleted": False, "isGenerated": False}
    charts: list[dict[str, object]] = []
    if parameters and metrics:
        chosen = {"selectedParams": list(parameters), "selectedMetrics": [metrics[0]]}
        charts.append({**shared, "type": "PARALLEL", "showAllRuns": False, **chosen})
    for parameter in parameters if metrics else ():
        axes = {
            "xaxis": {"key": parameter, "type": "PARAM"},
            "yaxis": {"key": metrics[0], "type": "METRIC"},
        }
        charts.append({**shared, "type": "SCATTER", **axes})
    for metric in metrics[:2]:
        lines = {"metricKey": metric, "selectedMetricKeys": [metric]}
        charts.append({**shared, "type": "LINE", **lines, **_LINE})
    return [
        {"uuid": f"sweep-{number}", "runsCountToCompare": _DRAWN, **chart}
        for number, chart in enumerate(charts)
    ]


_LINE = {
    "lineSmoothness": 0,
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "xAxisKey": "step",
    "selectedXAxisMetricKey": "",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "ignoreOutliers": False,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}
"""The defaults of MLflow's line charts."""
