"""Processes that read ahead keep the order, and end when nobody reads from them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from children import children

from tune_nas.data.reading_processes import read_ahead

SCRIPT = """
import sys, time, multiprocessing
from tune_nas.data.reading_processes import read_ahead
batches = read_ahead(lambda n: bytes(10**6), iter(range(99)), 2)
next(batches)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_processes_end_with_a_training_that_is_killed() -> None:
    training = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert training.stdout is not None
    workers = [int(pid) for pid in training.stdout.readline().split()]
    assert len(workers) == 2 and all(Path(f"/proc/{pid}").exists() for pid in workers)
    training.kill()
    training.wait()
    until = time.monotonic() + 20

    def runs(pid: int) -> bool:
        status = Path(f"/proc/{pid}/stat")
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"

    while any(map(runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, workers))


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_planned_batches_are_read_once_and_in_order(workers: int) -> None:
    before = children()
    for n in (0, 1, 2, 5, 6):
        assert list(read_ahead(lambda item: item * item, iter(range(n)), workers)) == [
            number * number for number in range(n)
        ]
    assert children() == before
