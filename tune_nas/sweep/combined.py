"""Several stored runs as one comparison: the rows of all, and the settings that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tune_nas.errors import ConfigError
from tune_nas.report import Report, TrialResult
from tune_nas.report.labels import value_label
from tune_nas.report.run_details import RunDetails, SettingDifference
from tune_nas.sweep.parameters import TRIAL
from tune_nas.sweep.runs.plan import Plan
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.runs.stored_details import details_of
from tune_nas.sweep.sweep_objectives import constraints_of, objectives_of
from tune_nas.text import brief, listed, plural

SWEEP = "sweep"
"""The key that the names of the runs have among the swept keys."""

_MOST_VALUES = 4
_MOST_KEYS = 4
_MOST_CHARACTERS = 60
# Names of a trial, and keys that change a result at most in its last digits.
_NOT_COMPARED = ("name", "description", "runtime.")


@dataclass(frozen=True)
class StoredRun:
    """A run as it is stored.

    Args:
        plan: Its plan.
        records: Its trials.
    """

    plan: Plan
    records: Sequence[Record]

    @property
    def name(self) -> str:
        """Its name."""
        return self.plan.sweep.name

    @property
    def ended(self) -> list[TrialResult]:
        """The results of the trials that have ended."""
        return [record.result() for record in self.records if record.ended]


def combine(runs: Sequence[StoredRun], metric: str | None = None) -> Report:
    """Return the comparison of all trials of several runs.

    The name of the run is one more swept key: the last one if all runs sweep the same keys, else
    the first. A run that does not sweep a key of another has the value of its trials in that
    column. The runs are compared by several objectives, and under constraints, if all have the same
    ones.

    Args:
        runs: The runs, with different names.
        metric: Metric to rank by; None for the metric of the runs.

    Raises:
        ConfigError: If no metric is given, and the runs are ranked by different ones.
    """
    rank_by, mode = _ranking(runs, metric)
    axes = _axes(runs)
    results = [
        _in_comparison(run, record, axes, record.result())
        for run in runs
        for record in run.records
        if record.ended
    ]
    keys = [*axes, SWEEP] if _have_same_axes(runs) else [SWEEP, *axes]
    sweeps = [run.plan.sweep for run in runs]
    objectives, constraints = objectives_of(sweeps[0]), constraints_of(sweeps[0])
    alike = metric is None and all(objectives_of(sweep) == objectives for sweep in sweeps)
    bounded = all(constraints_of(sweep) == constraints for sweep in sweeps)
    report = Report(
        *(listed([run.name for run in runs]), keys, results, rank_by, mode),
        objectives=objectives if alike else (),
        constraints=constraints if bounded else (),
    )
    report.remarks = _remarks(runs) + ([] if bounded else [_bounds(runs)])
    return report


def details_of_all(runs: Sequence[StoredRun]) -> RunDetails:
    """Return the details of several runs, with the settings that differ."""
    axes = _axes(runs)
    parts = {run.name: details_of(run.plan, run.records) for run in runs}

    def read_alphas(trial_id: str) -> bytes | None:
        name, _, own = trial_id.partition("/")
        return parts[name].read_alphas(own)

    return RunDetails(
        trials=tuple(
            replace(trial, result=_in_comparison(run, record, axes, trial.result))
            for run in runs
            for trial, record in zip(parts[run.name].trials, run.records, strict=True)
        ),
        sessions={name: part.sessions[name] for name, part in parts.items()},
        files={name: part.files[name] for name, part in parts.items()},
        read_alphas=read_alphas,
        differences=differences(runs),
        plotted=_have_same_axes(runs),
    )


def differences(runs: Sequence[StoredRun]) -> tuple[SettingDifference, ...]:
    """Return the keys of the trials whose values differ between runs, swept keys left out."""
    axes = _axes(runs)
    values = [_values(run) for run in runs]
    keys = dict.fromkeys(key for of_run in values for key in of_run)
    found = []
    for key in keys:
        texts = [of_run.get(key, ()) for of_run in values]
        skipped = key in axes or key.startswith(_NOT_COMPARED)
        if not skipped and len({frozenset(each) for each in texts}) > 1:
            found.append(SettingDifference(key, tuple(map(_shown, texts))))
    return tuple(found)


def _axes(runs: Sequence[StoredRun]) -> list[str]:
    """Return the swept keys of all runs."""
    return list(dict.fromkeys(axis for run in runs for axis in run.plan.sweep.parameters))


def _have_same_axes(runs: Sequence[StoredRun]) -> bool:
    return len({frozenset(run.plan.sweep.parameters) for run in runs}) == 1


def _remarks(runs: Sequence[StoredRun]) -> list[str]:
    """Return a sentence about the settings that differ; none if there are none."""
    found = differences(runs)
    if not found:
        return []
    shown = []
    for each in found[:_MOST_KEYS]:
        values = [f"{run.name}: {text}" for run, text in zip(runs, each.values, strict=True)]
        shown.append(f"{each.key} ({'; '.join(values)})")
    more = len(found) - len(shown)
    keys = listed([*shown, f"{plural(more, 'more key')}"] if more else shown)
    return [f"The runs also differ in {keys}, which may explain differences between their rows."]


def _bounds(runs: Sequence[StoredRun]) -> str:
    """Return a sentence: the constraints of the runs differ, so none applies."""
    each = [(run.name, ", ".join(run.plan.sweep.constraints) or "none") for run in runs]
    own = "; ".join(f"{name}: {text}" for name, text in each)
    return f"The runs have different constraints ({own}), so none applies here."


def _ranking(runs: Sequence[StoredRun], metric: str | None) -> tuple[str, str]:
    sweeps = [run.plan.sweep for run in runs]
    searched = [run for run in runs if run.plan.state.kind != "retrain"]
    known = [run.plan.sweep for run in searched] or sweeps
    metrics = dict.fromkeys(sweep.metric for sweep in known)
    if metric is None and len(metrics) > 1:
        each = listed([f"'{sweep.name}' by {sweep.metric}" for sweep in known])
        raise ConfigError(f"the runs are ranked by different metrics ({each}); give `metric`")
    chosen = metric or next(iter(metrics))
    mode = next((sweep.mode for sweep in sweeps if sweep.metric == chosen), "max")
    return chosen, mode


def _in_comparison(
    run: StoredRun, record: Record, axes: Sequence[str], result: TrialResult
) -> TrialResult:
    """Return a result under the names and with the swept keys of the comparison."""
    settings = dict(_flat(record.job.settings))
    own = run.plan.sweep.parameters
    fixed = {axis: _fixed(record, settings, axis) for axis in axes if axis not in own}
    parent = None if result.parent is None else f"{run.name}/{result.parent}"
    return replace(
        result,
        trial_id=f"{run.name}/{result.trial_id}",
        parameters={**fixed, **result.parameters, SWEEP: _label(run.name)},
        parent=parent,
    )


def _fixed(record: Record, settings: Mapping[str, object], axis: str) -> object:
    return record.job.trial.name if axis == TRIAL else settings.get(axis)


def _label(name: str) -> str:
    """Return a name for a column of swept values, in which a text like 1e3 is a number."""
    try:
        float(name)
    except ValueError:
        return name
    return f"{SWEEP} {name}"


def _values(run: StoredRun) -> dict[str, tuple[str, ...]]:
    """Return the values of each key over the searches, or the retraining runs without any."""
    searches = [record for record in run.records if record.job.phase in ("search", "repeat")]
    found: dict[str, dict[str, None]] = {}
    for record in searches or run.records:
        for key, value in _flat(record.job.settings):
            found.setdefault(key, {})[brief(value_label(value), _MOST_CHARACTERS)] = None
    return {key: tuple(values) for key, values in found.items()}


def _shown(values: Sequence[str]) -> str:
    more = len(values) - _MOST_VALUES
    return ", ".join(values[:_MOST_VALUES]) + (f" and {more} more" if more > 0 else "")


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the keys of a trial with dots, and their values."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(value) if isinstance(value, list) else value
