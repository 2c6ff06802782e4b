"""The work of `tune-nas report`."""

from __future__ import annotations

import typer

from tune_nas.errors import StorageError
from tune_nas.paths import ANALYSIS
from tune_nas.report import Report, find_report_format
from tune_nas.sweep.phases import read_records
from tune_nas.sweep.runs.lookup import existing_run
from tune_nas.sweep.runs.plan import read_plan
from tune_nas.sweep.runs.storage import Storage


def report(run: str, storage: str, format_name: str) -> None:
    """Print the report of a run, from the records of its trials; running ones are left out.

    Raises:
        ConfigError: If there is no such format.
        StorageError: If there is no such run, if it is an analysis, or damaged.
    """
    report_format = find_report_format(format_name)
    plan = read_plan(Storage(storage).within(existing_run(run, storage).name))
    if plan.state.kind == "analysis":
        raise StorageError(
            f"'{run}' is the analysis of a search, which compares no trials; its table is in "
            f"{plan.storage.root}/{ANALYSIS}"
        )
    records = [record for of_phase in read_records(plan).values() for record in of_phase]
    sweep = plan.sweep
    text = report_format.render(
        Report(
            sweep.name,
            list(sweep.parameters),
            [record.result() for record in records if record.ended],
            sweep.metric,
            sweep.mode,
        )
    )
    typer.echo(text, nl=not text.endswith("\n"))
