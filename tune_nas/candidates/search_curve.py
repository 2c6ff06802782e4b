"""The curve of a simulated search: cost and incumbent after each job, small enough for a file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, TypedDict, cast

from tune_nas.candidates.simulation import SimulatedIncumbent, SimulatedSearch

Cost = Literal["epochs", "gpu_seconds", "seconds"]
"""What a search has cost: training epochs, seconds of all GPUs, or virtual time."""


class CurveContent(TypedDict):
    """The plain containers of a curve: lists with an entry for each job, and the incumbents."""

    epochs: list[int]
    gpu_seconds: list[float]
    seconds: list[float]
    incumbents: list[dict[str, object]]


@dataclass(frozen=True)
class CurvePoint:
    """A search at some cost.

    Args:
        evaluations: Number of jobs that are completed.
        epochs: Their training epochs.
        gpu_seconds: Their seconds, one GPU a worker.
        seconds: Virtual time.
        incumbent: The first candidate of the ranking.
    """

    evaluations: int
    epochs: int
    gpu_seconds: float
    seconds: float
    incumbent: SimulatedIncumbent


@dataclass(frozen=True)
class SearchCurve:
    """The costs after each job of a search, and when its incumbent changed.

    Args:
        epochs: Training epochs of all completed jobs, after each job.
        gpu_seconds: Their seconds, one GPU a worker.
        seconds: Virtual time.
        incumbents: The incumbents, each with the number of the job from which on it was one.
    """

    epochs: Sequence[int]
    gpu_seconds: Sequence[float]
    seconds: Sequence[float]
    incumbents: Sequence[tuple[int, SimulatedIncumbent]]

    @classmethod
    def of(cls, search: SimulatedSearch) -> SearchCurve:
        """Return the curve of a search; times are rounded to hundredths of a second."""
        incumbents: list[tuple[int, SimulatedIncumbent]] = []
        for number, job in enumerate(search.jobs):
            if not incumbents or incumbents[-1][1] != job.incumbent:
                incumbents.append((number, job.incumbent))
        return cls(
            [job.spent for job in search.jobs],
            [round(job.gpu_seconds, 2) for job in search.jobs],
            [round(job.seconds, 2) for job in search.jobs],
            incumbents,
        )

    def at(self, cost: float, axis: Cost = "epochs") -> CurvePoint | None:
        """Return the last point that costs no more; None if the first job does.

        A search that ended earlier keeps its last point.
        """
        costs: Sequence[float] = getattr(self, axis)
        place = bisect_right(costs, cost) - 1
        if place < 0:
            return None
        incumbent = self.incumbents[bisect_right(self._changes, place) - 1][1]
        return CurvePoint(
            place + 1, self.epochs[place], self.gpu_seconds[place], self.seconds[place], incumbent
        )

    def to_dict(self) -> CurveContent:
        """Return the curve as plain containers, for JSON."""
        return {
            "epochs": list(self.epochs),
            "gpu_seconds": list(self.gpu_seconds),
            "seconds": list(self.seconds),
            "incumbents": [{"job": job, **asdict(each)} for job, each in self.incumbents],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> SearchCurve:
        """Build a curve from the result of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: If it is not one.
        """
        found = cast("CurveContent", content)
        if not len(found["epochs"]) == len(found["gpu_seconds"]) == len(found["seconds"]) > 0:
            raise ValueError("its lists must have an entry for each job")
        incumbents = []
        for each in found["incumbents"]:
            values = {**each, "test": tuple(cast("list[float]", each["test"]))}
            job = int(cast("int", values.pop("job")))
            incumbents.append((job, SimulatedIncumbent(**values)))  # type: ignore[arg-type]
        return cls(found["epochs"], found["gpu_seconds"], found["seconds"], incumbents)

    @cached_property
    def _changes(self) -> list[int]:
        return [job for job, _ in self.incumbents]
