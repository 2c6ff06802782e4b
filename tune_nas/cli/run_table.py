"""The work of `tune-nas runs`: one line a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from tune_nas.cli.output import Format, echo, print_json
from tune_nas.cli.tables import print_table
from tune_nas.cli.units import age_text, size_text
from tune_nas.errors import ConfigError
from tune_nas.sweep.manage.run_summaries import STATUSES, Best, RunSummary, run_summaries
from tune_nas.sweep.runs.drivers import RUNNING
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import brief, printable

SORTS = ("age", "name", "status", "best", "size")
_WIDTH = 100  # of the table, at most
_GAP = 2  # between columns, and at both ends of the line
_SHORTEST_NAME = 12
_METRIC = 14  # characters
_METRICS = {"valid_accuracy": "valid", "retrain/test_accuracy": "test"}


def print_runs(storage: str, *, status: str | None, sort: str, output: Format) -> None:
    """Print the runs of a storage.

    Args:
        storage: Folder or URI in which runs are stored.
        status: Only runs of this status; None for all.
        sort: One of `SORTS`: newest first, by name, by status, best first, or largest first.
        output: Output format.

    Raises:
        ConfigError: If the status or order does not exist.
        StorageError: If the storage cannot be read.
    """
    check_choice("--status", status, STATUSES)
    check_choice("--sort", sort, SORTS)
    found = [run for run in run_summaries(storage) if status in (None, run.status)]
    found = _sorted(found, sort)
    if output is Format.JSON:
        print_json([asdict(replace(run, best=_rounded(run.best))) for run in found])
    elif found:
        now = time.time()
        rows = [_row(run, now) for run in found]
        longest = _name_width(rows)
        named = [{**row, "name": brief(row["name"], longest)} for row in rows]
        print_table(list(rows[0]), named, narrow=True)
    else:
        where = Storage(storage).root
        echo(f"no runs in {where} yet" if status is None else f"no run in {where} is {status}")


def check_choice(option: str, value: str | None, known: Sequence[str]) -> None:
    """Raise a ConfigError if the value of an option is not one of the known ones."""
    if value is not None and value not in known:
        raise ConfigError(f"{option} is '{brief(value)}', but must be one of {', '.join(known)}")


def _sorted(runs: Sequence[RunSummary], by: str) -> list[RunSummary]:
    if by == "name":
        return sorted(runs, key=lambda run: run.name)
    if by == "status":
        return sorted(runs, key=lambda run: (STATUSES.index(run.status), -run.started))
    if by == "size":
        return sorted(runs, key=lambda run: -(run.size or 0))
    if by == "best":  # metrics are not comparable with each other
        return sorted(runs, key=lambda run: _rank(run.best))
    return sorted(runs, key=lambda run: -run.started)


def _rank(best: Best | None) -> tuple[bool, str, float]:
    if best is None:
        return (True, "", 0.0)
    return (False, best.metric, best.value if best.mode == "min" else -best.value)


def _rounded(best: Best | None) -> Best | None:
    return None if best is None else replace(best, value=round(best.value, 4))


def _row(run: RunSummary, now: float) -> dict[str, str]:
    unsure = "?" if run.status == RUNNING and run.reason else ""
    return {
        "name": printable(run.name),
        "kind": run.kind,
        "status": run.status + unsure,
        "done": f"{run.done}/{run.total}",
        "running": _count(run.running),
        "lost": _count(run.lost),
        "failed": _count(run.failed),
        "best": best_text(run.best),
        "age": age_text(now - run.started) if run.started else "",
        "size": "" if run.size is None else size_text(run.size),
    }


def _count(number: int) -> str:
    return str(number) if number else "-"


def best_text(best: Best | None) -> str:
    """Return the best value with its metric, rounded; with ``…`` if its trial still runs."""
    if best is None:
        return ""
    metric = brief(_METRICS.get(best.metric, best.metric.rpartition("/")[2]), _METRIC)
    more = "" if best.is_final else "…"
    value = f"{best.value:.2f}" if abs(best.value) < 1e5 else f"{best.value:.3g}"
    return f"{printable(metric)} {value}{more}"


def _name_width(rows: Sequence[dict[str, str]]) -> int:
    """Return the width of the names with which the table fits."""
    others = [key for key in rows[0] if key != "name"]
    widths = [max(len(key), *(len(row[key]) for row in rows)) for key in others]
    return max(_SHORTEST_NAME, _WIDTH - sum(widths) - _GAP * (len(others) + 1))
