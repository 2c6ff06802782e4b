"""The memory that the trials of a sweep take at the same time, beside that of this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tune_nas.config import TrialConfig
from tune_nas.memory import gib
from tune_nas.runtime import memory_bytes, resident_memory_mib, resolve_device
from tune_nas.tasks import Inputs, find_task, task_of


@dataclass(frozen=True)
class MemoryUse:
    """An estimate; converts to a sentence.

    Args:
        per_trial: Bytes of a trial at its peak, of the largest one.
        at_once: Number of trials that share the memory.
        available: Bytes of the memory; None if the system does not say.
        where: What has it, e.g. ``cpu``.
    """

    per_trial: int
    at_once: int
    available: int | None
    where: str

    @property
    def fits(self) -> bool:
        """Whether all of them fit."""
        return self.available is None or self.per_trial * self.at_once <= self.available

    def to_dict(self) -> dict[str, object]:
        """Return the estimate as plain values, in MiB."""
        return {
            "mib_per_trial": round(self.per_trial / 2**20),
            "at_once": self.at_once,
            "mib_available": None if self.available is None else round(self.available / 2**20),
            "fits": self.fits,
        }

    def __str__(self) -> str:
        """Return the estimate as a sentence."""
        text = f"about {gib(self.per_trial)} GiB of memory per trial"
        if self.at_once > 1:
            text += f", {gib(self.per_trial * self.at_once)} GiB with {self.at_once} at a time"
        if self.available is None:
            return text
        text += f"; {self.where} has {gib(self.available)} GiB"
        if self.fits:
            return text
        remedy = "run fewer at a time (`concurrency`), or " if self.at_once > 1 else ""
        return (
            f"{text}, which may be too little: {remedy}lower schedule.batch_size, or set "
            "runtime.recompute to cell"
        )


def memory_use(task: str, trials: Sequence[TrialConfig], *, at_once: int) -> MemoryUse | None:
    """Return the memory that trials take on this machine; None if it is not known.

    Trials on a CPU share its memory, and each has a process, which takes as much as this one.

    Args:
        task: The task of the trials.
        trials: The trials.
        at_once: Number of trials that run at the same time.

    Raises:
        TuneNasError: If the space or the images of a trial are not available.
    """
    found: dict[str, tuple[int, TrialConfig]] = {}
    for trial in trials:
        key = repr([task_of(task, trial), *(getattr(trial, name) for name in _SECTIONS)])
        if key not in found:
            own = find_task(task_of(task, trial)).memory(trial, Inputs())
            if own is None:
                return None
            found[key] = own, trial
    most, largest = max(found.values(), key=lambda each: each[0])
    device = resolve_device(largest.runtime.device)
    if device.type == "cuda":
        return MemoryUse(most, 1, memory_bytes(device), str(device))
    process = resident_memory_mib()
    most += 0 if math.isnan(process) else round(process * 2**20)
    return MemoryUse(most, at_once, memory_bytes(device), "this machine")


_SECTIONS = ("space", "data", "relaxation", "schedule", "runtime", "retrain")
"""What of a trial decides its memory; other keys that are swept need no estimate of their own."""
