"""The result of one trial, which the sweep runner writes and the report reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_nas.errors import StorageError
from tune_nas.json_text import encode
from tune_nas.status import RESULT_STATUSES

PHASES = ("search", "repeat", "retrain", "analysis")
"""The phases of a run, in order; ``analysis`` is the only phase of a run that analyzes edges."""


@dataclass(frozen=True)
class TrialResult:
    """The outcome of one trial of a sweep.

    Args:
        trial_id: Ray's id of the trial.
        phase: ``search``; ``repeat`` (the best configurations again, over several seeds, to the
            end); ``retrain``; or ``analysis``.
        parameters: Swept dotted keys with their values, without the seed.
        seed: The trial's seed.
        status: ``finished``, ``stopped early`` or ``failed``.
        reason: Why it was stopped, ended itself or failed; empty if it ran to the last epoch.
        metrics: The metrics of the last epoch.
        history: The metrics of every epoch, in order.
        genotype: The genotype of the last epoch as YAML.
        error: The error of a failed trial, in one line.
        parent: For a retraining run, the trial id of the search that its genotype comes from.

    Raises:
        ValueError: If the phase or the status is not one of those above.
    """

    trial_id: str
    phase: str
    parameters: dict[str, object]
    seed: int
    status: str
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    genotype: str | None = None
    error: str | None = None
    parent: str | None = None

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ValueError(f"phase is '{self.phase}', but must be one of {', '.join(PHASES)}")
        if self.status not in RESULT_STATUSES:
            known = ", ".join(RESULT_STATUSES)
            raise ValueError(f"status is '{self.status}', but must be one of {known}")

    def to_dict(self) -> dict[str, object]:
        """Return plain containers for any JSON reader: inf and nan become strings."""
        return {entry.name: encode(getattr(self, entry.name)) for entry in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrialResult:
        """Rebuild a result from `to_dict`, including inf and nan; earlier versions wrote ``stage``.

        Raises:
            StorageError: If a key is missing or unknown, or a value is not valid.
        """
        numbers = ("parameters", "metrics", "history")
        own = {"phase" if key == "stage" else key: value for key, value in content.items()}
        try:
            return cls(**{key: _decode(v) if key in numbers else v for key, v in own.items()})
        except (TypeError, ValueError) as error:
            raise StorageError(f"not the record of a trial: {error}") from error


def read_results(folder: str | Path) -> list[TrialResult]:
    """Read the results of every trial of a completed sweep, search or retraining run.

    Args:
        folder: Folder of the sweep, e.g. ``runs/lambda``.

    Raises:
        StorageError: If the folder has no readable ``results.json``.
    """
    path = Path(folder).expanduser() / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise StorageError(f"{path}: not valid JSON: {error}") from error
    if not (isinstance(content, list) and all(isinstance(entry, dict) for entry in content)):
        raise StorageError(f"{path}: must hold a list of trials")
    return [TrialResult.from_dict(entry) for entry in content]


def _decode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _decode(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_decode(entry) for entry in value]
    return float(value) if value in ("inf", "-inf", "nan") else value
