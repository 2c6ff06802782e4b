"""The file of a checkpoint with every result that its trial has reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tune_nas.errors import CheckpointError
from tune_nas.files import write_atomically
from tune_nas.sweep.runs.stored import read_stored

REPORTS = "reports.json"
TAKEN_FROM, TAKEN = "taken_from", "taken"
"""Entries of a report, as text: the trial that ran the epoch, and the number of such epochs."""
MADE_WITH = "made_with"
"""Entry of a report, as text: what the results depend on besides the trial."""

Report = dict[str, Any]
"""The metrics of an epoch with the genotype and the remarks, in the learner's order."""


def read_reports(folder: Path) -> list[Report]:
    """Return the results stored in a checkpoint.

    Raises:
        CheckpointError: If they are missing or damaged.
    """
    try:
        return parse_reports((folder / REPORTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / REPORTS}: absent or damaged: {error}") from error


def parse_reports(text: str) -> list[Report]:
    """Return the results in the text of such a file.

    Raises:
        ValueError: If it is damaged.
    """
    reports: list[Report] = read_stored(list[Report], text)
    if not all(isinstance(report.get("epoch"), int | float) for report in reports or [{}]):
        raise ValueError("it holds no list of results")
    return reports


def write_reports(folder: Path, reports: Sequence[Report]) -> None:
    """Write results into a checkpoint."""
    write_atomically(folder / REPORTS, json.dumps(reports).encode())
