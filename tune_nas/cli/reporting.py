"""The work of `tune-nas report` and `tune-nas compare`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import typer

from tune_nas.cli.output import echo
from tune_nas.config import TrialConfig
from tune_nas.config.section import current_settings
from tune_nas.errors import ConfigError, StorageError
from tune_nas.files import write_atomically
from tune_nas.library import parse_assignment
from tune_nas.paths import ANALYSIS, expanded
from tune_nas.report import Comparison, find_report_format
from tune_nas.report.run_details import RunDetails
from tune_nas.sweep.baseline_key import baseline_of
from tune_nas.sweep.combined import StoredRun, combine, details_of_all
from tune_nas.sweep.phases import read_records
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.storage import Storage
from tune_nas.sweep.runs.stored_details import details_of
from tune_nas.sweep.sharing.shared_text import shared_remarks
from tune_nas.sweep.sweep_report import sweep_report

_SUFFIXES = {".html": "html", ".md": "markdown", ".json": "json"}
_OWN = '<meta name="generator" content="tune-nas'
_HEAD = 2000  # characters of a page that name its generator


def report(
    run: str,
    storage: str,
    format_name: str | None,
    output: Path | None,
    baseline: Sequence[str] | None = None,
) -> None:
    """Print or write the report of a run, from the records of its trials; running ones are named.

    Raises:
        ConfigError: If the format does not exist, if the file must not be written, or if the
            baseline is not one of the combinations of the run.
        StorageError: If the run does not exist, if it is an analysis, or damaged.
    """
    found = _stored(run, storage)
    remarks = shared_remarks(found.records)
    sweep = found.plan.sweep
    if baseline:
        given = current_settings(TrialConfig, dict(map(parse_assignment, baseline)))
        where, fixed = f"--baseline of '{run}'", found.plan.bases.values
        try:
            own = baseline_of(sweep.parameters, given, where, fixed=fixed)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        sweep = sweep.model_copy(update={"baseline": own})
    comparison = sweep_report(sweep, found.ended, remarks)
    _tell(comparison, lambda: details_of(found.plan, found.records), format_name, output)


def compare(
    runs: Sequence[str],
    storage: str,
    format_name: str | None,
    output: Path | None,
    metric: str | None,
) -> None:
    """Print or write the comparison of several runs.

    Raises:
        ConfigError: If a run is named twice, if they are ranked by different metrics, if there is
            no such format, or the file must not be written.
        StorageError: If the run does not exist, if it is an analysis, or damaged.
    """
    if len(runs) < 2:
        raise ConfigError(f"compare needs at least two runs, but '{runs[0]}' is the only one")
    twice = next((run for number, run in enumerate(runs) if run in runs[:number]), None)
    if twice is not None:
        raise ConfigError(f"'{twice}' is named twice; name each run once")
    found = [_stored(run, storage) for run in runs]
    comparison = combine(found, metric)
    _tell(comparison, lambda: details_of_all(found), format_name, output)


def _stored(run: str, storage: str) -> StoredRun:
    plan = read_plan(Storage(storage).within(existing_run(run, storage).name))
    if plan.state.kind == "analysis":
        raise StorageError(
            f"'{run}' is the analysis of a search, which compares no trials; its table is in "
            f"{plan.storage.root}/{ANALYSIS}"
        )
    return StoredRun(plan, [r for of_phase in read_records(plan).values() for r in of_phase])


def _tell(
    comparison: Comparison,
    details: Callable[[], RunDetails],
    format_name: str | None,
    output: Path | None,
) -> None:
    """Print a report, or write it into a file and print the file's name."""
    if output is None:
        text = find_report_format(format_name or "terminal").render_run(comparison, details)
        typer.echo(text, nl=not text.endswith("\n"))
        return
    path = expanded(output)
    report_format = find_report_format(format_name or _format_of(path))
    _check_replaceable(path)
    with redirect_stdout(io.StringIO()):  # a file gets no colors, even if stdout is a terminal
        text = report_format.render_run(comparison, details)
    write_atomically(path, text.encode())
    echo(f"report: {output}")


def _format_of(path: Path) -> str:
    if path.suffix not in _SUFFIXES:
        raise ConfigError(
            f"--output is '{path}', but must end in {', '.join(_SUFFIXES)}; for another file, "
            "give --format"
        )
    return _SUFFIXES[path.suffix]


def _check_replaceable(path: Path) -> None:
    """Raise a ConfigError unless a file is new, or a page that an earlier report has written."""
    if path.is_dir():
        raise ConfigError(f"--output is '{path}', which is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"--output is '{path}', but the folder '{path.parent}' does not exist")
    if not path.exists():
        return
    with path.open("rb") as file:
        if _OWN.encode() not in file.read(_HEAD):
            raise ConfigError(
                f"--output: '{path}' exists and is not a report page of tune-nas; name another file"
            )
