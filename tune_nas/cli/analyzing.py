"""What `tune-nas analyze` does: runs an analysis, or finds the finished one, and prints it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tune_nas.cli.output import Format
from tune_nas.cli.run_summary import print_analysis, print_outcome, print_table_of
from tune_nas.cli.runs import named
from tune_nas.cli.shared_options import Place
from tune_nas.sweep.analysis_run import find_analysis, read_analysis, request_analysis
from tune_nas.sweep.runner import start_analysis
from tune_nas.sweep.runs.plan import read_state
from tune_nas.sweep.runs.storage import Storage
from tune_nas.text import printable


def run_and_print(
    run: str, changes: Mapping[str, Any], place: Place, name: str | None, output: Format
) -> None:
    """Run an analysis and print its table; if the same one has finished, print that one.

    Args:
        run: The finished search.
        changes: Dotted keys to set in its trial.
        place: Where and how it runs.
        name: Name of the run; None for the usual one, with a number if that is taken.
        output: Format of the output.

    Raises:
        NameTakenError: If the name is taken, or the same analysis has not finished.
    """
    request = request_analysis(run, place.storage, place.mlflow, changes)
    known = find_analysis(request.trial, place.storage, name)
    if known is not None and _has_finished(known, place.storage):
        if not place.quiet:
            where = printable(f"{Storage(place.storage).root}/{known}")
            print(f"tune-nas: note: analyzed before, in {where}", file=sys.stderr)
        print_table_of(read_analysis(f"{Storage(place.storage).root}/{known}"), output)
        return
    where_it_runs = place.run_options()
    outcome = named(
        known or name,
        request.name,
        place.storage,
        lambda name: start_analysis(
            request.trial, where_it_runs, name, parent_run=request.parent_run
        ),
    )
    if outcome.analysis is None:
        print_outcome(outcome, output, place.storage)
    else:
        print_analysis(outcome, outcome.analysis, output, place.storage)


def _has_finished(name: str, storage: str) -> bool:
    state = read_state(Storage(storage).within(name))
    return state is not None and state.status != "running"
