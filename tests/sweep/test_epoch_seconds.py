"""The time of an epoch, estimated from a few steps, with a clock and steps of known length."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tune_nas import library
from tune_nas.sweep import cost
from tune_nas.sweep.cost import epoch_seconds
from tune_nas.tasks import Task


class _Steps:
    """A task, and its learner, whose steps take given times; a step later than these is not run."""

    def __init__(self, seconds: list[float], steps_of_epoch: int) -> None:
        self.now, self.ends, self.steps_of_epoch = 0.0, list(accumulate(seconds)), steps_of_epoch

    def check_memory(self, *_: Any) -> None: ...

    def build(self, *_: Any) -> _Steps:
        return self

    def run_epoch(self, on_step: Callable[[int, int], None]) -> None:
        for step in range(1, self.steps_of_epoch + 1):
            self.now = self.ends[step - 1]
            on_step(step, self.steps_of_epoch)


@pytest.fixture
def seconds_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, int]]:
    """Return a function that returns the estimate for steps that take given seconds."""

    def estimated(seconds: list[float], steps_of_epoch: int) -> tuple[float, int]:
        steps = _Steps(seconds, steps_of_epoch)
        monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: steps.now))
        return epoch_seconds(cast(Task, steps), library.load_trial("darts-1st"))

    return estimated


@pytest.mark.parametrize(
    ("seconds", "steps_of_epoch", "expected"),
    [
        ([2, 1, 1, 1], 100, (130.0, 3)),  # three steps after the first; a third for validation
        ([120, 1, 1, 1], 100, (130.0, 3)),  # the first compiles kernels
        ([120, 16], 100, (2080.0, 1)),  # another is timed, however slow the first is
        ([20, 10, 8], 100, (1170.0, 2)),
        ([4, 1, 1], 3, (3.0, 3)),  # whole epochs
        ([120, 1], 2, (2.0, 2)),
        ([2], 1, (2.0, 1)),
    ],
)
def test_a_slow_first_step_is_not_taken_for_a_slow_epoch(
    seconds_of: Callable[..., tuple[float, int]],
    seconds: list[float],
    steps_of_epoch: int,
    expected: tuple[float, int],
) -> None:
    assert seconds_of(seconds, steps_of_epoch) == pytest.approx(expected)
