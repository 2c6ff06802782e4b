"""A job: one trial to run, and everything that decides it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tune_nas import library
from tune_nas.config import TrialConfig
from tune_nas.manifest import is_reference
from tune_nas.report.labels import axis_label, value_label
from tune_nas.tasks import Inputs, check_task, find_task

_SECTIONS = {"space", "schedule", "retrain"}  # contained in a trial that was stored in full


@dataclass(frozen=True)
class Sampling:
    """What decided the values of a sampled trial, besides the sweep's seed and its number.

    Args:
        running: Numbers of the earlier trials that had not ended when it was sampled.
        rejected: Number of samples that were rejected before it.
    """

    running: tuple[int, ...] = ()
    rejected: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain containers from which `from_dict` rebuilds it."""
        return {"running": list(self.running), "rejected": self.rejected}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Sampling:
        """Rebuild it from `to_dict`."""
        return cls(tuple(content["running"]), content["rejected"])


@dataclass(frozen=True)
class Job:
    """One trial to run: everything that decides it.

    Args:
        id: Stable across a resume; Ray's trial id and a tag of the MLflow run.
        task: Name of the task, or ``module:Class``.
        phase: The phase of the run: ``search``, ``repeat``, ``retrain`` or ``analysis``.
        trial: The resolved trial.
        parameters: Swept keys with their values, without the seed.
        inputs: Inputs of the task that come from other jobs.
        sampling: How a sampler reached its parameters; None if they were not sampled, or by an
            earlier version, which did not record it.
    """

    id: str
    task: str
    phase: str
    trial: TrialConfig
    parameters: Mapping[str, object] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    sampling: Sampling | None = None

    @property
    def seed(self) -> int:
        """The seed of the trial."""
        return self.trial.seed

    @property
    def label(self) -> str:
        """The swept values and the seed, for display."""
        return " ".join([*self._values, f"seed={self.seed}"])

    @property
    def run_name(self) -> str:
        """The name of its MLflow run: what differs first, then the phase, e.g. ``λ=1 s0 retrain``.

        The phase of a search with swept values is left out.
        """
        parts = [*self._values, f"s{self.seed}"]
        if self.phase != "search" or not self.parameters:
            parts.append(self.phase)
        return " ".join(parts)

    @property
    def _values(self) -> list[str]:
        return [f"{axis_label(key)}={value_label(v)}" for key, v in self.parameters.items()]

    @cached_property
    def epochs(self) -> int:
        """Number of the last epoch of a trial that runs to its end."""
        return find_task(self.task).epochs(self.trial)

    @cached_property
    def starts_after(self) -> int:
        """The epoch that it continues from; 0 unless it starts from another checkpoint."""
        return find_task(self.task).starts_after(self.trial)

    @property
    def settings(self) -> dict[str, object]:
        """The trial after a round trip through JSON, which turns tuples into lists."""
        return dict(json.loads(json.dumps(self.trial.to_dict())))

    def as_stored(self) -> Job:
        """Return the job as it will be read from its record."""
        return replace(self, parameters=json.loads(json.dumps(dict(self.parameters))))

    def to_dict(self) -> dict[str, object]:
        """Return plain containers from which `from_dict` rebuilds the job."""
        return {
            "id": self.id,
            "task": self.task,
            "phase": self.phase,
            "trial": self.trial.to_dict(),
            "parameters": dict(self.parameters),
            "inputs": self.inputs.to_dict(),
            **({} if self.sampling is None else {"sampling": self.sampling.to_dict()}),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str | None = None) -> Job:
        """Rebuild a job; its trial is validated.

        Args:
            content: From `to_dict`, of this version or an earlier one.
            where: Prefix of messages about the trial; None for ``trial ID``.

        Raises:
            ConfigError: If this version does not know a key of the trial.
            ValueError: If keys are missing.
        """
        own = {**content} if "task" in content else _of_earlier_version(content)
        if not is_reference(own["task"]):  # a class of the user's own is imported when it runs
            check_task(own["task"])
        if not own["trial"].keys() >= _SECTIONS:
            raise ValueError(f"{where or 'the trial'} lacks a section")
        own["trial"] = library.stored_trial(own["trial"], where or f"trial {own['id']}")
        sampled = own.get("sampling")
        own["sampling"] = None if sampled is None else Sampling.from_dict(sampled)
        return cls(**{**own, "inputs": Inputs(**own["inputs"])})


@dataclass
class _StoredSampling:
    running: list[int]
    rejected: int


@dataclass
class StoredJob:
    """The types of a job's entries in a JSON file, including those of earlier versions."""

    id: str
    trial: dict[str, object]
    parameters: dict[str, object]
    task: str = ""
    phase: str = ""
    inputs: dict[str, str | None] = field(default_factory=dict)
    sampling: _StoredSampling | None = None
    stage: str = ""
    seed: int = 0
    genotype: str | None = None
    parent: str | None = None
    parent_run: str | None = None


def _of_earlier_version(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a job's entries from the flat form, with ``stage`` for the phase and no task."""
    own = dict(content)
    phase, _ = own.pop("stage"), own.pop("seed")
    inputs = {name: own.pop(name, None) for name in ("genotype", "parent", "parent_run")}
    task = "retrain" if phase == "retrain" else "search"
    return {**own, "task": task, "phase": phase, "inputs": inputs}
