"""The first replay of a captured step is compared with the same step, run eagerly."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from recording import FaultyRecorder, Recorder, Recording, Refuser

from tune_nas.search import Search, replay_differences, replay_proof
from tune_nas.search.replay_differences import Place, difference, distance_of
from tune_nas.search.replay_proof import run_and_compare
from tune_nas.search.rng import draw_seed
from tune_nas.search.stepping import Step
from tune_nas.testing.states import differences

CHANGES = {"schedule.steps_per_epoch": 4, "runtime.implementation": "torch"}
CPU = torch.device("cpu")


def use(monkeypatch: pytest.MonkeyPatch, capture: Any) -> None:
    """Let searches on this machine capture their steps."""
    monkeypatch.setattr("tune_nas.search.graphs.capture_for", lambda runtime, device: capture)


def run(search: Search) -> dict[str, Any]:
    while not search.done:
        search.run_epoch()
    return search.state_dict()


def add(tensor: torch.Tensor) -> None:
    """Change one element by as little as its type can tell."""
    with torch.no_grad():
        one = tensor.view(-1)[:1] if tensor.is_contiguous() else tensor.flatten()[:1]
        changed = torch.nextafter(one, torch.full_like(one, torch.inf))
        tensor.copy_(torch.cat([changed, tensor.flatten()[1:]]).view(tensor.shape))


def wrong_w(search: Search, recording: Recording) -> None:
    add(next(search.supernet.parameters()))


def wrong_alpha(search: Search, recording: Recording) -> None:
    add(search.alphas["reduction"])


def wrong_statistics(search: Search, recording: Recording) -> None:
    add(next(each for each in search.supernet.buffers() if each.is_floating_point()))


def wrong_count(search: Search, recording: Recording) -> None:
    next(each for each in search.supernet.buffers() if not each.is_floating_point()).add_(1)


def wrong_momentum(search: Search, recording: Recording) -> None:
    add(next(iter(search.optimizers.weights.state.values()))["momentum_buffer"])


def wrong_second_moment(search: Search, recording: Recording) -> None:
    add(search.optimizers.alphas.state[search.alphas["normal"]]["exp_avg_sq"])


def wrong_seeds(search: Search, recording: Recording) -> None:
    draw_seed(search._draws)


def wrong_default_generator(search: Search, recording: Recording) -> None:
    torch.rand(())


def wrong_loss(search: Search, recording: Recording) -> None:
    for func, _, _, out in recording.calls:
        if func._schema.name == "aten::nll_loss_forward":
            add(out[0])


# Each fault, and the words of the log line that name it.
FAULTS: dict[str, tuple[Callable[[Search, Recording], None], str]] = {
    "w": (wrong_w, "an eager run in w (backbone."),
    "α": (wrong_alpha, "an eager run in α (reduction by "),
    "statistics": (wrong_statistics, "an eager run in statistics (backbone."),
    "count of batches": (wrong_count, "num_batches_tracked by 1.0e+00)"),
    "optimizer of w": (wrong_momentum, "state of w's optimizer (momentum_buffer of tensor 0 by "),
    "optimizer of α": (wrong_second_moment, "state of α's optimizer (exp_avg_sq of tensor 0 by "),
    "seeds": (wrong_seeds, "an eager run in random generator (the search's)"),
    "torch's generator": (wrong_default_generator, "random generator (torch's on the CPU)"),
    "loss": (wrong_loss, "an eager run in result (loss by "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_replay_is_named_in_one_line_and_changes_no_search(
    fault: str, shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    do_wrong, words = FAULTS[fault]
    trial = shrink("milenas", **{**CHANGES, "schedule.epochs": 2})
    use(monkeypatch, Refuser())
    eager = run(Search(trial))
    caplog.clear()
    use(monkeypatch, FaultyRecorder(lambda recording: do_wrong(search, recording)))
    search = Search(trial)
    assert differences(eager, run(search)) == []
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("no CUDA graphs, each kernel of a step is launched by itself: ")
    assert words in message and message.count(" (") == 1 and "\n" not in message


def test_every_kind_that_differs_is_named(
    shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def do_wrong(recording: Recording) -> None:
        wrong_w(search, recording)
        wrong_alpha(search, recording)
        with torch.no_grad():
            search.alphas["normal"].fill_(torch.nan)

    use(monkeypatch, FaultyRecorder(do_wrong))
    search = Search(shrink("milenas", **{**CHANGES, "schedule.epochs": 1}))
    search.run_epoch()
    (record,) = caplog.records
    assert " in w (backbone." in record.getMessage()
    assert record.getMessage().endswith(", α (normal)")  # the worst of its kind; nan has no size


def test_a_proof_is_one_more_step_and_keeps_nothing(
    shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copies: weakref.WeakSet[Any] = weakref.WeakSet()
    tensors: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    runs = []
    make, step = replay_proof._Copies.__init__, Step.run

    def noted(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        copies.add(self)
        for tensor in self._values.values():
            tensors.add(tensor)

    def counted(self: Step, picks: Any) -> Any:
        runs.append(picks.moves_alphas)
        return step(self, picks)

    monkeypatch.setattr(replay_proof._Copies, "__init__", noted)
    monkeypatch.setattr(Step, "run", counted)
    recorder = Recorder()
    use(monkeypatch, recorder)
    search = Search(shrink("milenas", **{**CHANGES, "update.weight_steps": 2}))
    run(search)
    assert not caplog.records
    # of each kind: two before the capture, the capture, and one for the proof
    assert (runs.count(True), runs.count(False)) == (4, 4)
    assert all(each.replays > 1 for each in recorder.recordings if each.is_step)
    gc.collect()
    assert not copies and not tensors


def test_a_step_that_replaces_its_memory_is_not_captured() -> None:
    held = {"m": torch.ones(2)}

    def eager() -> torch.Tensor:
        held["m"] = held["m"] + 1
        return held["m"]

    result, fault = run_and_compare(eager, lambda: pytest.fail(), lambda: {"state": held}, {})
    assert fault == "it replaces a tensor of its state: state (m)"
    assert torch.equal(result, torch.full((2,), 2.0)) and held["m"] is result


@pytest.mark.parametrize("ends", ["equal", "refused", "broken"])
def test_the_eager_result_remains(ends: str) -> None:
    held, generator = {"m": torch.ones(2)}, torch.Generator().manual_seed(3)

    def eager() -> torch.Tensor:
        held["m"].add_(torch.rand(2, generator=generator))
        return held["m"].clone()

    def replay() -> torch.Tensor:
        assert torch.equal(held["m"], torch.ones(2))
        result = eager()
        if ends == "refused":
            raise RuntimeError("not permitted")
        if ends == "broken":
            raise KeyError("m")
        return result

    truth, other = torch.ones(2), torch.Generator().manual_seed(3)
    truth.add_(torch.rand(2, generator=other))
    compare = (eager, replay, lambda: {"state": held}, {"own": generator})
    if ends == "broken":
        with pytest.raises(KeyError):
            run_and_compare(*compare)
    else:
        result, fault = run_and_compare(*compare)
        assert fault == (None if ends == "equal" else "not permitted")
        assert torch.equal(result, truth)
    assert torch.equal(held["m"], truth)
    assert torch.equal(generator.get_state(), other.get_state())


def test_nan_and_infinity_are_equal_to_themselves() -> None:
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])
    assert difference(Place("w", "a"), values.clone(), values, torch.tensor(0.0)) is None
    assert float(distance_of(values, values.clone())) == 0.0
    for place in range(4):
        other = values.clone()
        other[place] = 2.0
        assert difference(Place("w", "a"), other, values, torch.tensor(1.0)) is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_gpu_rounding_is_allowed_and_a_wrong_step_is_not(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of 1e-4 of w: a fraction of w itself would let pass even that it is left out."""
    assert replay_differences.tolerance_of(torch.zeros(1, dtype=dtype)) == 0
    monkeypatch.setattr(
        replay_differences, "tolerance_of", lambda tensor: replay_differences.TOLERANCE[dtype]
    )
    generator = torch.Generator().manual_seed(1)
    before = torch.randn(1000, dtype=dtype, generator=generator)
    step = 1e-4 * torch.randn(1000, dtype=dtype, generator=generator)
    truth = before + step

    def compared(replayed: torch.Tensor) -> replay_differences.Difference | None:
        return difference(Place("w", "a"), replayed, truth, distance_of(truth, before))

    eps = torch.finfo(dtype).eps
    noise = torch.randn(1000, dtype=dtype, generator=generator)
    assert compared(truth * (1 + eps / 2 * noise.sign())) is None
    assert compared(before + step * (1 + 100 * eps * noise)) is None
    for wrong in (before, before + 1.01 * step, before + 2 * step, before - step):
        found = compared(wrong)
        assert found is not None and 0 < found.allowed < found.distance
        assert str(found) == f"w (a by {found.distance:.1e}, {found.allowed:.1e} allowed)"
