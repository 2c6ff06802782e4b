"""Swept keys for tests of samplers, and an accuracy that their values determine."""

from __future__ import annotations

import math
from typing import Any

from tune_nas.sweep.jobs import Job

RATE, BATCH, LEVEL, LAMBDA, KIND, CHANNELS = (
    "optimizer.weights.learning_rate",
    "schedule.batch_size",
    "update.level",
    "update.lambda",
    "relaxation.kind",
    "space.init_channels",
)
WITHOUT_CONDITIONS: dict[str, Any] = {
    RATE: {"loguniform": [0.001, 0.5]},
    BATCH: {"int": [16, 64]},
    KIND: {"choice": ["softmax", "sigmoid"]},
}
CONDITIONAL: dict[str, Any] = {
    RATE: {"loguniform": [0.001, 0.5]},
    LEVEL: {"choice": ["mixed", "bilevel"]},
    LAMBDA: {"uniform": [0, 10], "when": {LEVEL: "mixed"}},
}


def accuracy(job: Job) -> float:
    """An accuracy that the sampled values determine, the same on every machine."""
    found = job.parameters
    total = 80 - 10 * abs(math.log10(found[RATE] / 0.05)) - found.get(BATCH, 0) / 16
    total += {"sigmoid": 1, "bilevel": 2}.get(found.get(KIND, found.get(LEVEL)), 0)
    return total + found.get(LAMBDA, 0.0) / 4 + found.get(CHANNELS, 0) / 8
