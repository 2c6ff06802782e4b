"""The parts of a report's sentence about the Pareto front and about constraints."""

from __future__ import annotations

from tune_nas.report.comparison import Comparison
from tune_nas.report.front import front_of, infeasible_of, volume_of
from tune_nas.report.labels import RETRAIN, MetricName, metric_name
from tune_nas.report.rows import Row
from tune_nas.text import listed, plural

_MOST_NAMED = 3


def aims_text(report: Comparison) -> str:
    """Return the objectives of a comparison and their modes as text."""
    pairs = zip(_names(report), report.goals, strict=True)
    return listed([f"{name.words} ({objective.mode})" for name, objective in pairs])


def front_parts(report: Comparison) -> list[str]:
    """Return the parts of the sentence about a front: its size, its ends, its hypervolume."""
    ranking, front = report.ranking(), front_of(report)
    names = _names(report)
    ranked = "value" if report.axes else "search"
    verb = "is" if len(front) == 1 else "are"
    parts = [
        f"{len(front)} of {plural(len(ranking), ranked)} {verb} on the Pareto front of "
        f"{aims_text(report)}"
    ]
    parts += _ends(report, front, names)
    if all(row.statistics[name.key].n == 1 for row in front for name in names):
        parts.append(
            "with one seed each, nothing says that the front is more than chance"
            if len(ranking) > 1
            else "there is nothing to compare it to"
        )
    parts.append(volume_text(report))
    parts += _retrained(report, ranking)
    others = report.not_repeated()
    if others:
        parts.append(f"{plural(len(others), 'other value')} not repeated")
    return parts


def volume_text(report: Comparison) -> str:
    """Return the hypervolume of the front with its reference point."""
    volume = volume_of(report)
    assert volume is not None  # there is a front
    at = [f"{name.words} {amount(volume.reference[name.key], name)}" for name in _names(report)]
    note = "" if volume.given else ", which depends on this sweep's worst values"
    return f"hypervolume {volume.value:,.4g} from the reference point {listed(at)}{note}"


def infeasible_parts(report: Comparison) -> list[str]:
    """Say how many values violate the constraints, and that they are not ranked."""
    rows = infeasible_of(report)
    if not rows:
        return []
    bounds = listed([constraint.words for constraint in report.constraints])
    labels = [row.label for row in rows if row.label]
    few = labels and len(labels) <= _MOST_NAMED
    who = listed(labels) if few else plural(len(rows), "value" if report.axes else "search")
    verb = "does" if len(rows) == 1 else "do"
    return [
        f"{who} {verb} not meet {bounds}, so {'it is' if len(rows) == 1 else 'they are'} not ranked"
    ]


def amount(value: float, name: MetricName) -> str:
    """Return a value of a metric with its unit; large counts in millions."""
    if name.digits == 0 and abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.{name.digits}f}{name.unit}"


def _names(report: Comparison) -> list[MetricName]:
    own = {report.valid_accuracy.key: report.valid_accuracy}
    return [own.get(each.key) or metric_name(each.key) for each in report.goals]


def _ends(report: Comparison, front: list[Row], names: list[MetricName]) -> list[str]:
    """Name the best row of the front in each objective; one row once."""
    best: dict[int, list[MetricName]] = {}
    for name, objective in zip(names, report.goals, strict=True):
        means = [row.statistics[name.key].mean for row in front]
        top = max(means) if objective.mode == "max" else min(means)
        best.setdefault(means.index(top), []).append(name)
    return [
        f"best by {listed([name.words for name in of_row])}: {_described(front[index], names)}"
        for index, of_row in best.items()
    ]


def _retrained(report: Comparison, ranking: list[Row]) -> list[str]:
    """Say which value is best once retrained, unless that is an objective."""
    if RETRAIN in {objective.key for objective in report.goals}:
        return []
    rows = [row for row in ranking if RETRAIN in row.statistics]
    if not rows:
        return [f"nothing was retrained, so this compares {report.compared}"]
    name = metric_name(RETRAIN)
    best = max(rows, key=lambda row: row.statistics[RETRAIN].mean)
    statistic = best.statistics[RETRAIN]
    found = f"{amount(statistic.mean, name)}, n = {statistic.n}"
    among = f" of {len(rows)}" if len(rows) > 1 else ""
    return [f"{name.words} best{among}: {best.label or report.sweep} ({found})"]


def _described(row: Row, names: list[MetricName]) -> str:
    values = ", ".join(amount(row.statistics[name.key].mean, name) for name in names)
    n = min(row.statistics[name.key].n for name in names)
    repeats = "" if row.phase != "repeat" else " repeat" if n == 1 else " repeats"
    label = f"{row.label} " if row.label else ""
    return f"{label}({values}; n = {n}{repeats})"
