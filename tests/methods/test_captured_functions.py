"""Functions as graphs, as evaluations and shared passes are: which ones, and in which thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from recording import FaultyRecorder, Recorder, Recording

from tune_nas.search.captured_functions import KEPT, CapturedFunctions


def test_of_many_functions_those_of_late_stay_captured() -> None:
    recorder = Recorder()
    functions = CapturedFunctions(recorder, "a test")

    def ask(key: int) -> None:
        for value in (1.0, 2.0, 3.0, 4.0):
            found = functions.run(key, lambda x: x * key, torch.tensor(value))
            assert float(found) == value * key

    for key in range(KEPT):
        ask(key)
    ask(0)
    assert len(recorder.recordings) == KEPT
    ask(KEPT)  # takes the place of 1, which was asked for least lately
    ask(0)
    assert len(recorder.recordings) == KEPT + 1
    ask(1)
    assert len(recorder.recordings) == KEPT + 2


def test_a_function_is_captured_in_a_thread_that_has_run_it() -> None:
    """Handles of libraries are made at a thread's first call, which cannot be captured."""
    recorder = Recorder()
    functions = CapturedFunctions(recorder, "a test")

    def ask(times: int) -> int:
        for _ in range(times):
            functions.run("key", lambda x: x + 1, torch.tensor(1.0))
        return len(recorder.recordings)

    with ThreadPoolExecutor(1) as other:
        assert [ask(2), other.submit(ask, 2).result()] == [0, 0]
        assert other.submit(ask, 1).result() == 1
    assert ask(1) == 1


def test_what_is_replayed_holds_nothing_of_where_its_inputs_come_from() -> None:
    functions = CapturedFunctions(Recorder(), "a test")
    leaf = torch.ones(3, requires_grad=True)
    for _ in range(5):
        found = functions.run("key", lambda x: x * 2, leaf.exp())
    assert found.grad_fn is None
    (captured,) = functions._captured.values()
    (own,) = captured._inputs
    assert own.grad_fn is None and not own.requires_grad


@pytest.mark.parametrize("fault", ["value", "statistics"])
def test_a_wrong_replay_of_a_function_has_no_effect(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    statistics = {"mean": torch.zeros(2)}

    def function(x: torch.Tensor) -> torch.Tensor:
        return statistics["mean"].mul_(0.5).add_(x).clone()

    def do_wrong(recording: Recording) -> None:
        target = recording.calls[-1][3] if fault == "value" else statistics["mean"]
        target.add_(1e-3)

    recorder = FaultyRecorder(do_wrong, steps_only=False)
    functions = CapturedFunctions(recorder, "a test")
    truth = torch.zeros(2)
    for value in range(6):
        x = torch.full((2,), float(value))
        truth = truth * 0.5 + x
        assert torch.equal(functions.run("key", function, x, state=lambda: statistics), truth)
        assert torch.equal(statistics["mean"], truth)
    (recording,) = recorder.recordings
    assert recording.replays == 1
    (record,) = caplog.records
    named = {"value": "result (value by ", "statistics": "statistics (mean by "}[fault]
    assert "each kernel of a test is launched by itself: its first" in record.getMessage()
    assert named in record.getMessage()
