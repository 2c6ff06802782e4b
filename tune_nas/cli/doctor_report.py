"""The work of `tune-nas doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tune_nas.cli.flags import with_flags
from tune_nas.cli.output import Format, echo, print_json
from tune_nas.sweep.manage import checkups
from tune_nas.text import printable

_WIDTH = 9  # of the subjects
_MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def examine(
    storage: str,
    mlflow: str | None,
    address: str | None,
    data: str | None,
    data_dir: str | None,
    *,
    quick: bool,
    output: Format,
) -> None:
    """Print what works and what does not, one line each.

    Raises:
        typer.Exit: With status 1, if something does not work.
    """
    where = checkups.Surroundings(storage, mlflow, address, data, data_dir, quick)
    found: list[checkups.Checkup] = []
    for checkup in checkups.check_up(where):
        found.append(checkup)
        if output is Format.TABLE:
            echo(_line(checkup))
    if output is Format.JSON:
        print_json([{**asdict(each), "remedy": with_flags(each.remedy)} for each in found])
    if any(checkup.status == checkups.PROBLEM for checkup in found):
        raise typer.Exit(1)


def _line(checkup: checkups.Checkup) -> str:
    text = f"{_MARKS[checkup.status]} {checkup.subject:<{_WIDTH}} {checkup.found}"
    remedy = f"; to mend it: {with_flags(checkup.remedy)}" if checkup.remedy else ""
    return printable(" ".join(f"{text}{remedy}".splitlines()))
