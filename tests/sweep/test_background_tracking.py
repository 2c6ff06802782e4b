"""When the MLflow store of a run in this process is opened."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from tune_nas.sweep.background_tracking import BackgroundTracking
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.tracking import SweepTracking

URI = "sqlite:////nowhere/mlflow.db"


class Opening:
    """Opens a tracking that lists its updates."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.updates: list[str] = []

    def __call__(self) -> SweepTracking:
        def update(records: Records, job_id: str) -> None:
            self.updates.append(job_id)

        self.opened.set()
        stand_in = SimpleNamespace(update=update, settle=lambda: self.updates.append("all"))
        return cast(SweepTracking, stand_in)


def records(epoch: int, *, closed: bool) -> Records:
    return cast(Records, {"a": SimpleNamespace(epoch=epoch, closed=closed)})


@pytest.mark.parametrize(("epoch", "closed"), [(1, True), (2, False)])
def test_it_is_opened_after_a_trial_or_two_epochs(epoch: int, closed: bool) -> None:
    opening = Opening()
    tracking = BackgroundTracking(opening, URI, opened_after=60)
    for before in (0, 1):
        tracking.update(records(before, closed=False), "a")
    assert not opening.opened.wait(0.1)
    tracking.update(records(epoch, closed=closed), "a")
    assert opening.opened.wait(10)
    tracking.settle()
    assert opening.updates == ["all"]  # what came before it was open
    tracking.update(records(epoch, closed=closed), "a")
    assert opening.updates == ["all", "a"]


def test_it_is_opened_during_a_long_epoch() -> None:
    opening = Opening()
    tracking = BackgroundTracking(opening, URI, opened_after=0.05)
    assert opening.opened.wait(10)
    tracking.settle()


def test_what_needs_it_does_not_wait() -> None:
    opening = Opening()
    BackgroundTracking(opening, URI, opened_after=600).settle()
    assert opening.updates == ["all"]
